//! The broker's own topics: where the coordinators' records live, in Kafka's formats.
//!
//! A topic is created at its first use, and replayed at start. Which partition holds a group or a transactional id is
//! chosen as Kafka chooses it, so that its tools look in the right one.

pub mod offsets;
pub mod silence;
pub mod transactions;

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::record::{Batches, Records};
use quipu_storage::{Marker, Millis, Offset, ProducerId, ReadError};

use crate::broker::{Broker, CreateTopic};
use crate::coordinator::doors::Durability;
use crate::topic::durable::Told;
use crate::topic::{Partition, Topic};

/// Most bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;

/// The topic, created if it does not exist.
fn get_or_create<const N: usize>(
    broker: &Broker,
    name: &str,
    partitions: i32,
    configs: [(&str, String); N],
) -> Result<Arc<Topic>, ErrorCode> {
    if let Some(topic) = broker.topics.by_name(name) {
        return Ok(topic);
    }
    let asked = CreateTopic {
        partitions: Some(partitions),
        // default.replication.factor is for topics of users.
        replication_factor: Some(1),
        configs: configs.map(|(key, value)| (key.to_owned(), value)).into(),
        ..CreateTopic::with_defaults(name)
    };
    match broker.create_topic(asked) {
        Ok(topic) => Ok(topic),
        // Another connection may have been first.
        Err(refused) => broker.topics.by_name(name).ok_or_else(|| {
            tracing::error!("cannot create {name}: {}", refused.message);
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
    // The smallest number has no absolute value and counts as 0 (`Utils.abs`).
    let hash = java_hash(id).checked_abs().unwrap_or(0);
    hash % (count.max(1) as i32)
}

/// The partition that holds a group, or a transactional id.
fn partition_of(topic: &Topic, id: &str) -> Option<Arc<Partition>> {
    let partitions = topic.partitions();
    partitions.get(partition_index(id, partitions.len()) as usize).cloned()
}

/// `String.hashCode` of Java: over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// What a partition of an internal topic holds.
enum Replayed<'a> {
    /// A record with a key; the producer's id if it was written in a transaction.
    Record { key: &'a [u8], value: Option<&'a [u8]>, producer: Option<ProducerId> },
    /// The end of a producer's transaction.
    Marker(Marker),
}

/// Shows `visit` everything that was written to the partitions of a topic, in order. Gives the partitions that could not
/// be read as a whole, which the operator has been told: what was shown of those is not to be relied on.
fn replay_topic(topic: &Topic, now: Millis, mut visit: impl FnMut(&Partition, Replayed<'_>)) -> Vec<i32> {
    let partitions = topic.partitions();
    let lost = partitions.iter().filter(|partition| {
        let done = replay_partition(partition, now, |replayed| visit(partition, replayed));
        if let Err(reason) = &done {
            tracing::error!(
                "{}-{} cannot be read ({reason}): what it keeps is answered with NOT_COORDINATOR until that is mended \
                 and the broker started again; quipu verify says more",
                topic.name(),
                partition.index()
            );
        }
        done.is_err()
    });
    lost.map(|partition| partition.index()).collect()
}

/// Whether an id is kept in one of the partitions `lost`, of `count`.
fn is_kept_in(lost: Vec<i32>, count: usize) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    move |id| lost.contains(&partition_index(id, count))
}

/// Shows `visit` everything that was written to a partition, in order, or says why it cannot.
fn replay_partition(
    partition: &Partition,
    now: Millis,
    mut visit: impl FnMut(Replayed<'_>),
) -> Result<(), String> {
    let reader = partition.reader(now).map_err(|code| code.to_string())?;
    if let Some(fence) = reader.fenced() {
        return Err(fence.to_string());
    }
    let end = reader.end_offset();
    let mut next = reader.log_start_offset();
    while next < end {
        let read = reader.read(next, REPLAY_BYTES, end, true).map_err(|error| {
            partition.read_failed(&error);
            error.to_string()
        })?;
        let before = next;
        for batch in read.slices.iter().flat_map(|slice| Batches::new(slice)) {
            let header = batch.header();
            if batch.computed_crc() != header.crc {
                let reason = format!("the sum of the batch at offset {} is wrong", header.base_offset);
                let path = partition.dir().to_owned();
                partition.read_failed(&ReadError::Corrupt { path, position: 0, reason: reason.clone() });
                return Err(reason);
            }
            next = header.last_offset() + 1;
            if let Some(marker) = Marker::read(&batch) {
                visit(Replayed::Marker(marker));
            }
            // Written by us, never compressed.
            if header.attributes.is_control() {
                continue;
            }
            let producer = header.attributes.is_transactional().then_some(header.producer_id);
            for record in Records::new(batch.payload(), header.records_count) {
                let record = record.map_err(|error| error.to_string())?;
                if let Some(key) = record.key {
                    visit(Replayed::Record { key, value: record.value, producer });
                }
            }
        }
        if next == before {
            return Err(format!("nothing can be read at offset {next}, before its end {end}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_index};

    #[test]
    fn hashes_are_javas() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(
            java_hash("my-group"),
            "my-group".bytes().fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()))
        );
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        let partition = |id| partition_index(id, 50);
        assert_eq!(
            (partition("polygenelubricants"), partition("order-writer"), partition("payments")),
            (0, 46, 13)
        );
    }
}
