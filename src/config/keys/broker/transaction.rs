//! Transactions and idempotent producers.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast};
use crate::config::value::ValueType::{Boolean, Int, Short};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0))
        .doc("Longest that Kafka's brokers wait before they ask a transaction's coordinator again."),
    key("add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1))
        .doc("First time that Kafka's brokers wait before they ask a transaction's coordinator again."),
    key("producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1)).internal().not_yet("it happens along with retention")
        .doc("How often idle producer ids are looked for."),
    key("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1)).cluster_wide().acts()
        .doc("How long a partition remembers the sequences of a producer that is silent."),
    key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1)).acts()
        .doc("How often transactions that took too long are looked for."),
    key("transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1)).acts()
        .doc("Longest timeout that a producer may ask for its transactions."),
    key("transaction.partition.verification.enable", Boolean, Some("true"), Any).cluster_wide().acts()
        .doc("Whether a produce request of a transaction is checked against its coordinator. Those of clients with an epoch per transaction always are."),
    key("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1)).acts()
        .doc("How often transactional ids that ran out are removed."),
    key("transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1))
        .doc("Bytes that Kafka reads at a time when it loads transactions."),
    key("transaction.state.log.min.isr", Int, Some("1"), AtLeast(1))
        .doc("Replicas of the transaction topic that must be in sync; always 1 here."),
    key("transaction.state.log.num.partitions", Int, Some("1"), AtLeast(1)).acts()
        .doc("Partitions of the transaction topic, fixed when it is created. Kafka makes 50."),
    key("transaction.state.log.replication.factor", Short, Some("1"), AtLeast(1))
        .doc("Replicas of the transaction topic; always 1 here."),
    key("transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1)).acts()
        .doc("Size at which the transaction topic goes on in a new segment file."),
    key("transaction.two.phase.commit.enable", Boolean, Some("false"), Any).acts()
        .doc("Whether producers may have transactions that no timeout ends, for a coordinator outside to decide on (KIP-939)."),
    key("transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1)).acts()
        .doc("How long a transactional id that is not used is remembered."),
];
