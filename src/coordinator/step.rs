//! The way of every step: lock the group, let its machine plan, append, settle, let go, wait.

use std::sync::atomic::Ordering;

use quipu_protocol::error_code::ErrorCode;

use super::doors::Durability;
use super::group::{Group, JoinReply, Record, Reply, Step, SyncReply, Token};
use super::slots::Slot;
use super::{GroupCoordinator, Now, records};

impl GroupCoordinator {
    pub(super) fn admit(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.admit_any_name(group_id)?;
        if group_id.is_empty() { Err(ErrorCode::INVALID_GROUP_ID) } else { Ok(()) }
    }

    /// Offsets may be kept under the empty name, as they always could.
    pub(super) fn admit_any_name(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.admit_any()?;
        self.lost.check(group_id)
    }

    /// What concerns all groups.
    pub(super) fn admit_any(&self) -> Result<(), ErrorCode> {
        if self.is_stopped.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        } else if !self.is_loaded.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
        } else {
            Ok(())
        }
    }

    /// Works on a group that exists.
    pub(super) fn with<R>(&self, group_id: &str, work: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        loop {
            let slot = self.slots.get(group_id)?;
            let mut slot = slot.lock();
            if !slot.removed {
                let result = work(&mut slot);
                self.tidy(&mut slot);
                return Some(result);
            }
        }
    }

    /// Works on a group that may be new.
    pub(super) fn with_new<R>(
        &self,
        group_id: &str,
        work: impl FnOnce(&mut Slot) -> R,
    ) -> Result<R, ErrorCode> {
        let limit = self.settings().groups_max;
        loop {
            let Some(slot) = self.slots.get_or_create(group_id, limit) else {
                tracing::warn!(group = group_id, limit, "too many groups: delete some that are not used");
                return Err(ErrorCode::POLICY_VIOLATION);
            };
            let mut slot = slot.lock();
            if !slot.removed {
                let result = work(&mut slot);
                self.tidy(&mut slot);
                return Ok(result);
            }
        }
    }

    pub(super) fn for_each(&self, work: impl Fn(&mut Slot)) {
        for slot in self.slots.all() {
            let mut slot = slot.lock();
            if !slot.removed {
                work(&mut slot);
                self.tidy(&mut slot);
            }
        }
    }

    /// Drops the group if nothing is left of it, else sees to its next deadline.
    pub(super) fn tidy(&self, slot: &mut Slot) {
        if slot.group.is_forgettable() && !slot.is_known {
            self.deadlines.forget(slot);
            self.slots.remove(slot);
        } else if self.deadlines.schedule(slot) {
            self.earlier.notify_one();
        }
    }

    /// Takes a step that parks a request, and waits for its reply.
    pub(super) async fn parked(
        &self,
        group_id: &str,
        create: bool,
        plan: impl FnOnce(&mut Group, Now, Token) -> Step,
    ) -> Result<Reply, ErrorCode> {
        let now = self.clock.now();
        let work = |slot: &mut Slot| {
            let (token, reply) = slot.park();
            let step = plan(&mut slot.group, now, token);
            // Whatever becomes of the append, the reply says it.
            let _ = self.advance(slot, now, step);
            (token, reply)
        };
        let (token, reply) = if create {
            self.with_new(group_id, work)?
        } else {
            self.with(group_id, work).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
        };
        let parked = Parked { coordinator: self, group_id, token };
        let delivered = reply.await;
        std::mem::forget(parked);
        let (mut reply, durability) = delivered.map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        if let Err(error) = durability.wait().await.map_err(log_error) {
            reply = match reply {
                Reply::Join(join) => Reply::Join(JoinReply::refuse(error, join.member_id)),
                Reply::Sync(_) => Reply::Sync(SyncReply::refuse(error)),
            };
        }
        Ok(reply)
    }

    /// Appends and settles a step, and sends its replies.
    ///
    /// # Errors
    /// The step's own records could not be appended. The replies are sent all the same: they say so.
    pub(super) fn advance(&self, slot: &mut Slot, now: Now, mut step: Step) -> Result<Durability, ErrorCode> {
        let mut outcome = None;
        loop {
            let appended = self.append(slot.group.id(), &step, now);
            let settled = appended.as_ref().map(|_| ()).map_err(|error| *error);
            if let (false, Ok(durability)) = (step.records.is_empty(), &appended) {
                slot.latest = durability.clone();
                slot.is_known = !step.records.last().is_some_and(Record::removes_group);
            }
            step = slot.group.settle(now, step, settled);
            outcome.get_or_insert(appended);
            if step.records.is_empty() {
                break;
            }
        }
        for (token, reply) in step.replies {
            // A waiter whose connection is gone has taken its place with it.
            if let Some(waiter) = slot.waiters.remove(&token) {
                // Also a reply without records of its own may tell what the last append made so.
                let _ = waiter.send((reply, slot.latest.clone()));
            }
        }
        outcome.unwrap_or(Ok(Durability::Done))
    }

    pub(super) fn append(&self, group_id: &str, step: &Step, now: Now) -> Result<Durability, ErrorCode> {
        if step.records.is_empty() {
            return Ok(Durability::Done);
        }
        let encoded: Result<Vec<_>, _> =
            step.records.iter().map(|record| records::encode(group_id, record)).collect();
        let encoded = encoded.map_err(|error| {
            tracing::warn!(group = group_id, %error, "group state not kept");
            ErrorCode::INVALID_REQUEST
        })?;
        self.log.append(group_id, encoded, now.wall).map_err(|error| {
            tracing::warn!(group = group_id, %error, "group state not kept");
            log_error(error)
        })
    }
}

/// A parked request: leaves its group when its future is dropped before the reply has come.
struct Parked<'a> {
    coordinator: &'a GroupCoordinator,
    group_id: &'a str,
    token: Token,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let coordinator = self.coordinator;
        let now = coordinator.clock.now();
        coordinator.with(self.group_id, |slot| {
            // Without the waiter the reply has been sent, and the member is one like any other.
            if slot.waiters.remove(&self.token).is_some() {
                let mut step = Step::default();
                slot.group.classic.abandon(now, self.token, &mut step);
                let _ = coordinator.advance(slot, now, step);
            }
        });
    }
}

/// Longest string of a record.
pub(super) const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// What clients are told of an error of the log, as by Kafka's coordinator.
pub(super) fn log_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}
