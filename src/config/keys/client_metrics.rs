//! Keys of a client metrics subscription (KIP-714).

use crate::config::keys::{ConfigKey, TELEMETRY, key};
use crate::config::value::Allowed::Any;
use crate::config::value::ValueType::{Int, List};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub const KEYS: &[ConfigKey] = &[
    key("interval.ms", Int, Some("300000"), Any).not_yet(TELEMETRY)
        .doc("How often clients send their metrics."),
    key("match", List, Some(""), Any).not_yet(TELEMETRY)
        .doc("Which clients send: patterns on client id, software, address and the like; none means all."),
    key("metrics", List, Some(""), Any).not_yet(TELEMETRY)
        .doc("Prefixes of the metrics to send; * or an empty prefix means all of them."),
];
