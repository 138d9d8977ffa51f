//! Consumer groups (KIP-848): heartbeats and what they look like.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::GroupCoordinator;
use super::doors::{Sight, TopicLookup};
use super::group::GroupKind;
use super::group::consumer::{Beat, BeatReply, ConsumerView, Refused};
use super::slots::Slot;
use super::step::{TEXT_BYTES_MAX, log_error};

/// The topics, of which a client may see some only.
pub(super) struct Seen<'a> {
    pub(super) topics: &'a dyn TopicLookup,
    pub(super) sight: &'a dyn Sight,
}

impl TopicLookup for Seen<'_> {
    fn partitions(&self, name: &str) -> Option<i32> {
        self.topics.partitions(name)
    }

    fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        self.topics.name_of(id)
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        self.topics.id_of(name)
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.topics.names()
    }

    fn shows(&self, name: &str) -> bool {
        self.sight.sees(name)
    }

    /// Both only rise, so that their sum changes with either.
    fn version(&self) -> i64 {
        self.topics.version() + self.sight.version()
    }
}

impl GroupCoordinator {
    /// ConsumerGroupHeartbeat of a member whose request is well formed. Answers when what it says is durable. Regular
    /// expressions that it makes the group resolve stand for topics in its `sight`.
    ///
    /// # Errors
    /// With a message, as Kafka's; the group is as it was.
    pub async fn consumer_heartbeat(
        &self,
        group_id: &str,
        beat: &Beat,
        sight: &dyn Sight,
    ) -> Result<BeatReply, Refused> {
        let plain = |code: ErrorCode| Refused::new(code, code.to_string());
        self.admit(group_id).map_err(plain)?;
        let is_too_long = |text: &Arc<str>| text.len() > TEXT_BYTES_MAX;
        if group_id.len() > TEXT_BYTES_MAX || is_too_long(&beat.member_id) {
            return Err(plain(ErrorCode::INVALID_REQUEST));
        }
        let now = self.clock.now();
        let settings = self.settings();
        let times = self.consumer_times(group_id);
        let topics = Seen { topics: &*self.topics, sight };
        let beat_once = |slot: &mut Slot| {
            let taken = slot.group.consumer_heartbeat(now, beat, &topics, &settings, &times);
            let (reply, step) = taken?;
            self.advance(slot, now, step).map_err(plain)?;
            // Also an answer without records of its own tells what the last append made so.
            Ok((reply, slot.latest.clone()))
        };
        let (reply, durability) = if beat.epoch == 0 {
            self.with_new(group_id, beat_once).map_err(plain)??
        } else {
            let missing = || Refused {
                code: ErrorCode::GROUP_ID_NOT_FOUND,
                message: format!("Group {group_id} not found."),
            };
            self.with(group_id, beat_once).ok_or_else(missing)??
        };
        durability.wait().await.map_err(|error| plain(log_error(error)))?;
        Ok(reply)
    }

    /// ConsumerGroupDescribe, for one group.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, with Kafka's message; or the coordinator is loading or stopped.
    pub async fn describe_consumer(&self, group_id: &str) -> Result<ConsumerView, Refused> {
        let default = self.settings().assignors[0];
        let view = self.look(group_id, |group| {
            let group = group.ok_or("not found")?;
            match group.kind() {
                GroupKind::Consumer => Ok(group.consumer.view(default)),
                GroupKind::Classic => Err("is not a consumer group"),
            }
        });
        let view = view.await.map_err(|code| Refused::new(code, code.to_string()))?;
        view.map_err(|why| Refused {
            code: ErrorCode::GROUP_ID_NOT_FOUND,
            message: format!("Group {group_id} {why}."),
        })
    }
}
