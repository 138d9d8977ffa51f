//! Keys of a broker, by subject.

mod group;
mod log;
mod network;
mod quipu;
mod quorum;
mod remote;
mod security;
mod transaction;

use super::ConfigKey;

/// All parts of the table.
pub(super) const PARTS: &[&[ConfigKey]] = &[
    group::KEYS,
    log::KEYS,
    network::KEYS,
    quipu::KEYS,
    quorum::KEYS,
    remote::KEYS,
    security::KEYS,
    transaction::KEYS,
];
