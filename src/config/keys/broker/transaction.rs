//! Transactions and idempotent producers.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast};
use crate::config::value::ValueType::{Boolean, Int, Short};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0)).doc(""),
    key("add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1)).doc(""),
    key("producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1)).internal().doc(""),
    key("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1)).cluster_wide().doc(""),
    key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1))
        .doc(""),
    key("transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1)).doc(""),
    key("transaction.partition.verification.enable", Boolean, Some("true"), Any).cluster_wide().doc(""),
    key("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1))
        .doc(""),
    key("transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1)).doc(""),
    key("transaction.state.log.min.isr", Int, Some("1"), AtLeast(1)).doc(""),
    key("transaction.state.log.num.partitions", Int, Some("1"), AtLeast(1)).doc(""),
    key("transaction.state.log.replication.factor", Short, Some("1"), AtLeast(1)).doc(""),
    key("transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1)).doc(""),
    key("transaction.two.phase.commit.enable", Boolean, Some("false"), Any).doc(""),
    key("transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1)).doc(""),
];
