//! What the transaction coordinator needs of the broker: the internal topic `__transaction_state`, producer ids, and
//! markers in the partitions that a transaction touched.

use std::sync::{Arc, Weak};

use quipu_protocol::ErrorCode;
use quipu_protocol::record::{BatchBuilder, Batches, Records};
use quipu_storage::{CheckedBatch, Marker, Millis, Origin};

use crate::broker::{Broker, CreateTopic};
use crate::coordinator::Now;
use crate::coordinator::doors::Durability;
use crate::coordinator::records::CoordinatorRecord;
use crate::coordinator::txn::TransactionDoors;
use crate::error::StartError;
use crate::offsets_log::{durability_of, partition_index};
use crate::topic::{OFFSETS_TOPIC, Partition, TRANSACTIONS_TOPIC, Topic};

/// Most bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;

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
    ) -> Result<Durability, ErrorCode> {
        let broker = self.broker()?;
        let topic = topic(&broker)?;
        let index = partition_index(transactional_id, topic.partitions().len());
        let partition = topic.partition(index).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let mut batch = BatchBuilder::new();
        batch.push(now, Some(&record.key), record.value.as_deref(), &[]);
        let bytes = batch.finish();
        let checked = CheckedBatch::check(&bytes).map_err(|error| {
            tracing::error!("a transaction record that the log refuses: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?;
        let appended = partition.append(&checked, Origin::Internal, now).map_err(|failure| {
            tracing::error!(transactional_id, "cannot write a transaction record: {failure:?}");
            failure.code()
        })?;
        Ok(durability_of(&partition, appended.last_offset + 1))
    }

    fn fresh_producer_id(&self) -> Result<i64, ErrorCode> {
        self.broker()?.next_producer_id()
    }

    fn write_marker(&self, topic: &str, partition: i32, marker: &Marker) -> Result<Durability, ErrorCode> {
        let broker = self.broker()?;
        match write_marker(&broker, topic, partition, marker) {
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
    let topic = broker.topics.by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let ended = partition.end_transaction(marker, broker.clock.now_ms()).map_err(|failure| {
        tracing::warn!(topic = %topic.name(), partition = index, "cannot end a transaction: {failure:?}");
        failure.code()
    })?;
    if **topic.name() == *OFFSETS_TOPIC {
        let count = topic.partitions().len();
        let is_here = |group: &str| partition_index(group, count) == index;
        broker.groups.end_transaction(marker.producer_id, marker.is_commit, is_here);
    }
    Ok(durability_of(&partition, ended.last_offset + 1))
}

/// The topic, created at its first use.
fn topic(broker: &Broker) -> Result<Arc<Topic>, ErrorCode> {
    if let Some(topic) = broker.topics.by_name(TRANSACTIONS_TOPIC) {
        return Ok(topic);
    }
    let settings = broker.settings();
    let asked = CreateTopic {
        partitions: Some(settings.transactions.topic_partitions),
        // How durable it is follows the broker: an outcome need not be safer than the records that it is about.
        configs: [
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", settings.transactions.topic_segment_bytes.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
        ..CreateTopic::with_defaults(TRANSACTIONS_TOPIC)
    };
    match broker.create_topic(asked) {
        Ok(topic) => Ok(topic),
        Err(refused) => broker.topics.by_name(TRANSACTIONS_TOPIC).ok_or_else(|| {
            tracing::error!("cannot create {TRANSACTIONS_TOPIC}: {}", refused.message);
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }),
    }
}

/// Gives the coordinator everything that was written, in order.
pub fn replay(broker: &Arc<Broker>) -> Result<(), StartError> {
    let now = broker.clock.now_ms();
    if let Some(topic) = broker.topics.by_name(TRANSACTIONS_TOPIC) {
        for partition in topic.partitions().iter() {
            replay_partition(broker, partition, now)?;
        }
    }
    broker.transactions.finish_loading(Now { tick: broker.clock.monotonic_ms(), wall: now });
    Ok(())
}

fn replay_partition(broker: &Broker, partition: &Partition, now: Millis) -> Result<(), StartError> {
    let damaged = |reason: String| StartError::Damaged { path: partition.dir().to_owned(), reason };
    let reader = partition.reader(now).map_err(|code| damaged(code.to_string()))?;
    let end = reader.end_offset();
    let mut next = reader.log_start_offset();
    while next < end {
        let read = reader.read(next, REPLAY_BYTES, end, true).map_err(|e| damaged(e.to_string()))?;
        let before = next;
        for batch in read.slices.iter().flat_map(|slice| Batches::new(slice)) {
            let header = batch.header();
            next = header.last_offset() + 1;
            if header.attributes.is_control() {
                continue;
            }
            for record in Records::new(batch.payload(), header.records_count) {
                let record = record.map_err(|e| damaged(e.to_string()))?;
                // One record that cannot be read must not take every transaction with it.
                if let Some(key) = record.key
                    && let Err(error) = broker.transactions.replay(key, record.value)
                {
                    tracing::error!("a transaction record is passed over: {error}");
                }
            }
        }
        if next == before {
            return Err(damaged(format!("nothing can be read at offset {next}, before its end {end}")));
        }
    }
    Ok(())
}
