//! Who is in a group: join, sync, heartbeat, leave.

use std::collections::HashSet;
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::GroupCoordinator;
use super::consumer::Seen;
use super::doors::Sight;
use super::group::classic::{JoinRequest, Leaving, SyncRequest};
use super::group::{GroupKind, JoinReply, MemberId, Reply, SyncReply};
use super::settings::{GroupSettings, PROTOCOLS_PER_MEMBER_MAX};
use super::slots::Slot;
use super::step::{TEXT_BYTES_MAX, log_error};

impl GroupCoordinator {
    /// JoinGroup. Waits until the round of joins ends. Regular expressions that it makes a consumer group resolve stand
    /// for topics in the client's `sight`.
    pub async fn join(&self, group_id: &str, mut request: JoinRequest, sight: &dyn Sight) -> JoinReply {
        let member_id = request.member_id.clone();
        if let Err(error) = self.admit_join(group_id, &mut request) {
            return JoinReply::refuse(error, member_id);
        }
        let settings = GroupSettings { consumer: self.consumer_times(group_id), ..self.settings() };
        let create = member_id.is_empty();
        let topics = Seen { topics: &*self.topics, sight };
        let parked = self.parked(group_id, create, |group, now, token| {
            group.join(now, token, request, &topics, &settings)
        });
        match parked.await {
            Ok(Reply::Join(reply)) => reply,
            Ok(Reply::Sync(_)) => unreachable!("a join is answered as a join"),
            Err(error) => JoinReply::refuse(error, member_id),
        }
    }

    fn admit_join(&self, group_id: &str, request: &mut JoinRequest) -> Result<(), ErrorCode> {
        self.admit(group_id)?;
        let settings = self.settings();
        let bounds = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
        if !bounds.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if request.rebalance_timeout_ms < 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        // What does not fit a record's string could never be kept.
        let texts = [
            request.protocol_type.len(),
            request.client_id.len() + UUID_TEXT_BYTES,
            request.instance_id.as_ref().map_or(0, |id| id.len()) + UUID_TEXT_BYTES,
        ];
        if texts.into_iter().any(|length| length > TEXT_BYTES_MAX) || group_id.len() > TEXT_BYTES_MAX {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let mut seen = HashSet::new();
        request.protocols.retain(|protocol| seen.insert(protocol.name.clone()));
        let fits = |name: &Arc<str>| name.len() <= TEXT_BYTES_MAX;
        if request.protocols.len() > PROTOCOLS_PER_MEMBER_MAX || !seen.iter().all(fits) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let prefix = request.instance_id.as_ref().unwrap_or(&request.client_id);
        request.fresh_id = member_id(prefix, self.clock.random_bits());
        Ok(())
    }

    /// SyncGroup. Waits for the leader's assignment.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> SyncReply {
        if let Err(error) = self.admit(group_id) {
            return SyncReply::refuse(error);
        }
        let parked =
            self.parked(group_id, false, |group, now, token| group.sync(now, token, request, &*self.topics));
        match parked.await {
            Ok(Reply::Sync(reply)) => reply,
            Ok(Reply::Join(_)) => unreachable!("a sync is answered as a sync"),
            Err(error) => SyncReply::refuse(error),
        }
    }

    /// Heartbeat.
    pub fn heartbeat(
        &self,
        group_id: &str,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        match self.admit(group_id) {
            // While loading, nobody can be told that it is not a member.
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => return ErrorCode::NONE,
            Err(error) => return error,
            Ok(()) => {}
        }
        let now = self.clock.now();
        let beat = |slot: &mut Slot| slot.group.heartbeat(now, member_id, instance_id, generation);
        self.with(group_id, beat).unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// LeaveGroup: one error code per member.
    ///
    /// # Errors
    /// The request as a whole is refused; `UNKNOWN_MEMBER_ID` when there is no such group. Of a consumer group also the
    /// log's: nobody has left.
    pub async fn leave(&self, group_id: &str, leaving: &[Leaving]) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit(group_id)?;
        let now = self.clock.now();
        let left = self.with(group_id, |slot| {
            let kind = slot.group.kind();
            let (codes, step) = slot.group.leave(now, leaving, &*self.topics, &self.settings());
            (codes, kind, self.advance(slot, now, step))
        });
        let (codes, kind, appended) = left.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let kept = match appended {
            Ok(durability) => durability.wait().await.map_err(log_error),
            Err(error) => Err(error),
        };
        match kind {
            // The members are gone from memory whether or not that was kept; a restart would have them time out.
            GroupKind::Classic => Ok(codes),
            GroupKind::Consumer => kept.map(|()| codes),
        }
    }
}

/// Length of what [`member_id`] adds to its prefix.
const UUID_TEXT_BYTES: usize = 37;

/// A member id as Kafka makes them: the client id, or a static member's instance id, and a random UUID.
pub(super) fn member_id(prefix: &str, bits: u128) -> MemberId {
    // Version 4, variant 1.
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let part = |shift: u32, bytes: u32| (bits >> shift) & ((1 << (8 * bytes)) - 1);
    format!(
        "{prefix}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 4),
        part(80, 2),
        part(64, 2),
        part(48, 2),
        part(0, 6)
    )
    .into()
}
