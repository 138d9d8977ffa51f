//! Where the group coordinator's records live: the internal topic `__consumer_offsets`.

use std::sync::{Arc, Weak};

use quipu_protocol::ErrorCode;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::{CheckedBatch, Millis, Origin};

use super::{
    Replayed, durability_of, get_or_create, is_kept_in, partition_index, partition_of, replay_topic,
};
use crate::broker::Broker;
use crate::coordinator::Now;
use crate::coordinator::doors::{CoordinatorLog, Durability};
use crate::coordinator::records::CoordinatorRecord;
use crate::topic::{OFFSETS_TOPIC, Topic};

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
    let settings = broker.settings();
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("quipu.durability", "sync".to_owned()),
        ("segment.bytes", settings.offsets.topic_segment_bytes.to_string()),
    ];
    get_or_create(broker, OFFSETS_TOPIC, settings.offsets.topic_partitions, configs)
}

/// Gives the coordinator everything that was written, in order.
pub fn replay(broker: &Arc<Broker>) {
    let now = broker.clock.now_ms();
    if let Some(topic) = broker.topics.by_name(OFFSETS_TOPIC) {
        let count = topic.partitions().len();
        let lost = replay_topic(&topic, now, |partition, replayed| match replayed {
            Replayed::Marker(marker) => {
                let is_here = |group: &str| partition_index(group, count) == partition.index();
                broker.groups.end_transaction(marker.producer_id, marker.is_commit, is_here);
            }
            Replayed::Record { key, value, producer } => {
                // One record that cannot be read must not take every group with it.
                if let Err(error) = broker.groups.replay(key, value, producer) {
                    tracing::error!("a group record is passed over: {error}");
                }
            }
        });
        broker.groups.lose(is_kept_in(lost, count));
    }
    let silences = super::silence::load(broker);
    broker.groups.finish_loading(Now { tick: broker.clock.monotonic_ms(), wall: now }, &silences);
}
