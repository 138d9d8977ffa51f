//! Keys of a client metrics subscription (KIP-714).

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::Any;
use crate::config::value::ValueType::{Int, List};

/// The rows.
pub const KEYS: &[ConfigKey] = &[
    key("interval.ms", Int, Some("300000"), Any).doc(""),
    key("match", List, Some(""), Any).doc(""),
    key("metrics", List, Some(""), Any).doc(""),
];
