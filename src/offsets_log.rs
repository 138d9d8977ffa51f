//! Where the group coordinator's records live: the internal topic `__consumer_offsets`.

use std::sync::{Arc, Weak};

use quipu_protocol::ErrorCode;
use quipu_protocol::record::{Attributes, BatchBuilder, Batches, Records};
use quipu_storage::{CheckedBatch, Marker, Millis, Offset, Origin};

use crate::broker::{Broker, CreateTopic};
use crate::coordinator::Now;
use crate::coordinator::doors::{CoordinatorLog, Durability};
use crate::coordinator::records::CoordinatorRecord;
use crate::error::StartError;
use crate::topic::durable::Told;
use crate::topic::{OFFSETS_TOPIC, Partition, Topic};

/// Most bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;

/// The coordinator's way to its topic.
#[derive(Debug)]
pub struct OffsetsLog {
    broker: Weak<Broker>,
}

impl OffsetsLog {
    /// A log of `broker`, which owns the coordinator that owns this.
    pub fn new(broker: Weak<Broker>) -> Self {
        Self { broker }
    }
}

impl CoordinatorLog for OffsetsLog {
    fn append(
        &self,
        group_id: &str,
        records: Vec<CoordinatorRecord>,
        now: Millis,
    ) -> Result<Durability, ErrorCode> {
        self.write(group_id, records, None, now)
    }

    fn append_in_transaction(
        &self,
        group_id: &str,
        records: Vec<CoordinatorRecord>,
        producer: (i64, i16),
        now: Millis,
    ) -> Result<Durability, ErrorCode> {
        self.write(group_id, records, Some(producer), now)
    }
}

impl OffsetsLog {
    fn write(
        &self,
        group_id: &str,
        records: Vec<CoordinatorRecord>,
        producer: Option<(i64, i16)>,
        now: Millis,
    ) -> Result<Durability, ErrorCode> {
        let broker = self.broker.upgrade().ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let topic = topic(&broker)?;
        let partition = partition_of(&topic, group_id).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let mut batch = BatchBuilder::new();
        if let Some((id, epoch)) = producer {
            let attributes = Attributes::default().with_transactional(true);
            batch = batch.producer(id, epoch, -1).attributes(attributes);
        }
        for record in &records {
            batch.push(now, Some(&record.key), record.value.as_deref(), &[]);
        }
        let bytes = batch.finish();
        let checked = CheckedBatch::check(&bytes).map_err(|error| {
            tracing::error!("a group record that the log refuses: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?;
        let appended = partition.append(&checked, Origin::Internal, now).map_err(|failure| {
            tracing::error!(group = group_id, "cannot write a group record: {failure:?}");
            failure.code()
        })?;
        Ok(durability_of(&partition, appended.last_offset + 1))
    }
}

/// The topic, created at its first use.
///
/// # Errors
/// `COORDINATOR_NOT_AVAILABLE` when it cannot be created; the reason is logged.
pub fn topic(broker: &Broker) -> Result<Arc<Topic>, ErrorCode> {
    if let Some(topic) = broker.topics.by_name(OFFSETS_TOPIC) {
        return Ok(topic);
    }
    let settings = broker.settings();
    let asked = CreateTopic {
        partitions: Some(settings.offsets.topic_partitions),
        configs: [
            ("cleanup.policy", "compact".to_owned()),
            ("quipu.durability", "sync".to_owned()),
            ("segment.bytes", settings.offsets.topic_segment_bytes.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
        ..CreateTopic::with_defaults(OFFSETS_TOPIC)
    };
    match broker.create_topic(asked) {
        Ok(topic) => Ok(topic),
        Err(refused) => broker.topics.by_name(OFFSETS_TOPIC).ok_or_else(|| {
            tracing::error!("cannot create {OFFSETS_TOPIC}: {}", refused.message);
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }),
    }
}

/// Whether everything below `end` is durable.
pub(crate) fn durability_of(partition: &Partition, end: Offset) -> Durability {
    let mut durability = Durability::Done;
    partition.when_durable(end, || {
        let (sender, pending) = Durability::pending();
        durability = pending;
        Told::Coordinator(sender)
    });
    durability
}

/// The number of the partition that holds a group, or a transactional id, of `count`.
pub(crate) fn partition_index(id: &str, count: usize) -> i32 {
    let hash = java_hash(id) & i32::MAX;
    hash % (count.max(1) as i32)
}

/// The partition that holds a group: chosen as Kafka does, so that its tools look in the right one.
fn partition_of(topic: &Topic, group_id: &str) -> Option<Arc<Partition>> {
    let partitions = topic.partitions();
    partitions.get(partition_index(group_id, partitions.len()) as usize).cloned()
}

/// `String.hashCode` of Java: over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Gives the coordinator everything that was written, in order.
pub fn replay(broker: &Arc<Broker>) -> Result<(), StartError> {
    let now = broker.clock.now_ms();
    if let Some(topic) = broker.topics.by_name(OFFSETS_TOPIC) {
        let partitions = topic.partitions();
        for partition in partitions.iter() {
            replay_partition(broker, partition, partitions.len(), now)?;
        }
    }
    broker.groups.finish_loading(Now { tick: broker.clock.monotonic_ms(), wall: now });
    Ok(())
}

fn replay_partition(
    broker: &Broker,
    partition: &Partition,
    count: usize,
    now: Millis,
) -> Result<(), StartError> {
    let is_here = |group: &str| partition_index(group, count) == partition.index();
    let damaged = |reason: String| StartError::Damaged { path: partition.dir().to_owned(), reason };
    let reader = partition.reader(now).map_err(|code| damaged(code.to_string()))?;
    let end = reader.end_offset();
    let mut next = reader.log_start_offset();
    while next < end {
        let read = reader.read(next, REPLAY_BYTES, end, true).map_err(|e| damaged(e.to_string()))?;
        let before = next;
        for slice in &read.slices {
            for batch in Batches::new(slice) {
                let header = batch.header();
                next = header.last_offset() + 1;
                if let Some(marker) = Marker::read(&batch) {
                    broker.groups.end_transaction(marker.producer_id, marker.is_commit, is_here);
                }
                // Written by us, never compressed.
                if header.attributes.is_control() {
                    continue;
                }
                let producer = header.attributes.is_transactional().then_some(header.producer_id);
                for record in Records::new(batch.payload(), header.records_count) {
                    let record = record.map_err(|e| damaged(e.to_string()))?;
                    if let Some(key) = record.key {
                        // One record that cannot be read must not take every group with it.
                        if let Err(error) = broker.groups.replay(key, record.value, producer) {
                            tracing::error!("a group record is passed over: {error}");
                        }
                    }
                }
            }
        }
        if next == before {
            return Err(damaged(format!("nothing can be read at offset {next}, before its end {end}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::java_hash;

    #[test]
    fn hashes_are_javas() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(
            java_hash("my-group"),
            "my-group".bytes().fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()))
        );
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
    }
}
