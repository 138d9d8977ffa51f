//! What the transaction coordinator needs of the broker: the internal topic `__transaction_state`, producer ids, and
//! markers in the partitions that a transaction touched.

use std::sync::{Arc, Weak};

use quipu_protocol::ErrorCode;
use quipu_protocol::record::BatchBuilder;
use quipu_storage::{AppendError, CheckedBatch, Marker, Millis, Origin};

use super::{
    Replayed, durability_of, get_or_create, is_kept_in, partition_index, partition_of, replay_topic,
};
use crate::broker::Broker;
use crate::coordinator::Now;
use crate::coordinator::doors::Durability;
use crate::coordinator::records::CoordinatorRecord;
use crate::coordinator::txn::{OpenTransaction, TransactionDoors};
use crate::topic::{AppendFailure, OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topic};

/// The coordinator's way to the broker.
#[derive(Debug)]
pub struct TransactionsLog {
    broker: Weak<Broker>,
}

impl TransactionsLog {
    /// A log of `broker`, which owns the coordinator that owns this.
    pub fn new(broker: Weak<Broker>) -> Self {
        Self { broker }
    }

    fn broker(&self) -> Result<Arc<Broker>, ErrorCode> {
        self.broker.upgrade().ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
    }
}

impl TransactionDoors for TransactionsLog {
    fn append(
        &self,
        transactional_id: &str,
        record: CoordinatorRecord,
        now: Millis,
    ) -> Result<(), ErrorCode> {
        let broker = self.broker()?;
        let topic = topic(&broker)?;
        let partition = partition_of(&topic, transactional_id).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let mut batch = BatchBuilder::new();
        batch.push(now, Some(&record.key), record.value.as_deref(), &[]);
        let bytes = batch.finish();
        let checked = CheckedBatch::check(&bytes).map_err(|error| {
            tracing::error!("a transaction record that the log refuses: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?;
        partition.append_unhurried(&checked, Origin::Internal, now).map(drop).map_err(|failure| {
            tracing::error!(transactional_id, "cannot write a transaction record: {failure:?}");
            failure.code()
        })
    }

    fn durable(&self, transactional_id: &str) -> Durability {
        let topic = self.broker.upgrade().and_then(|broker| broker.topics.by_name(TRANSACTIONS_TOPIC));
        // Without the topic nothing was ever appended.
        let Some(partition) = topic.and_then(|topic| partition_of(&topic, transactional_id)) else {
            return Durability::Done;
        };
        let durability = durability_of(&partition, partition.end_offset());
        if matches!(durability, Durability::Pending(_)) {
            partition.request_flush();
        }
        durability
    }

    fn fresh_producer_id(&self) -> Result<i64, ErrorCode> {
        self.broker()?.next_producer_id()
    }

    fn write_marker(&self, topic: &str, partition: i32, marker: &Marker) -> Result<Durability, ErrorCode> {
        let broker = self.broker()?;
        let mut ended = end(&broker, topic, partition, marker);
        if let Err(AppendFailure::Log(AppendError::CoordinatorFenced { current, .. })) = ended {
            // An operator's marker gave itself out for a later coordinator's; but there is none besides this one.
            ended = end(&broker, topic, partition, &Marker { coordinator_epoch: current, ..*marker });
        }
        match ended.map_err(|failure| failure.code()) {
            // Gone with its records: nobody will ask.
            Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Ok(Durability::Done),
            // The producer has gone on, which it can only after this transaction was ended (T6).
            Err(ErrorCode::INVALID_PRODUCER_EPOCH) => Ok(Durability::Done),
            other => other,
        }
    }
}

/// Ends a producer's transaction on one partition, with the offsets that were committed in it.
///
/// # Errors
/// The log's. Nothing was appended.
pub fn write_marker(
    broker: &Broker,
    topic: &str,
    index: i32,
    marker: &Marker,
) -> Result<Durability, ErrorCode> {
    end(broker, topic, index, marker).map_err(|failure| failure.code())
}

fn end(broker: &Broker, topic: &str, index: i32, marker: &Marker) -> Result<Durability, AppendFailure> {
    let unknown = || AppendFailure::Code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let topic = broker.topics.by_name(topic).ok_or_else(unknown)?;
    let partition = topic.partition(index).ok_or_else(unknown)?;
    let ended = partition.end_transaction(marker, broker.clock.now_ms()).inspect_err(|failure| {
        tracing::warn!(topic = %topic.name(), partition = index, "cannot end a transaction: {failure:?}");
    })?;
    if **topic.name() == *OFFSETS_TOPIC {
        let count = topic.partitions().len();
        let is_here = |group: &str| partition_index(group, count) == index;
        broker.groups.end_transaction(marker.producer_id, marker.is_commit, is_here);
    }
    Ok(durability_of(&partition, ended.last_offset + 1))
}

/// The topic, created at its first use.
///
/// # Errors
/// `COORDINATOR_NOT_AVAILABLE` when it cannot be created; the reason is logged.
pub fn topic(broker: &Broker) -> Result<Arc<Topic>, ErrorCode> {
    let settings = broker.settings();
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("segment.bytes", settings.transactions.topic_segment_bytes.to_string()),
    ];
    get_or_create(broker, TRANSACTIONS_TOPIC, settings.transactions.topic_partitions, configs)
}

/// Gives the coordinator everything that was written, in order, and after a crash what partitions hold open.
pub fn replay(broker: &Arc<Broker>, was_killed: bool) {
    let now = broker.clock.now_ms();
    if let Some(topic) = broker.topics.by_name(TRANSACTIONS_TOPIC) {
        let lost = replay_topic(&topic, now, |_, replayed| {
            // One record that cannot be read must not take every transaction with it.
            if let Replayed::Record { key, value, .. } = replayed
                && let Err(error) = broker.transactions.replay(key, value)
            {
                tracing::error!("a transaction record is passed over: {error}");
            }
        });
        broker.transactions.lose(is_kept_in(lost, topic.partitions().len()));
    }
    if was_killed {
        broker.transactions.found_open(&open_transactions(broker));
    }
    broker.transactions.finish_loading(Now { tick: broker.clock.monotonic_ms(), wall: now });
}

/// The transactions that are open in logs that are: after a crash, in all that hold anything.
fn open_transactions(broker: &Broker) -> Vec<OpenTransaction> {
    let mut found = Vec::new();
    for topic in broker.topics.all() {
        for partition in topic.partitions().iter() {
            partition.with_open_appender(|appender| {
                let open = appender.producers().filter(|(_, state)| state.transaction_start.is_some());
                found.extend(open.map(|(producer_id, state)| OpenTransaction {
                    producer: (producer_id, state.epoch),
                    topic: Arc::clone(topic.name()),
                    partition: partition.index(),
                }));
            });
        }
    }
    found
}
