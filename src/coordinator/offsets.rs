//! What a group has read: commit, look, delete.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::doors::Durability;
use super::group::offsets::{Commit, CommitRequest};
use super::group::{Committer, Group};
use super::slots::Slot;
use super::step::{TEXT_BYTES_MAX, log_error};
use super::{GroupCoordinator, Millis};

impl GroupCoordinator {
    /// OffsetCommit: one error code per partition. `retention_ms` is the client's own (versions 2–4); `names_groups`
    /// says that the client knows `GROUP_ID_NOT_FOUND` (version 9).
    ///
    /// # Errors
    /// The request as a whole is refused.
    pub async fn commit(
        &self,
        group_id: &str,
        committer: &Committer,
        requests: Vec<CommitRequest>,
        retention_ms: Option<Millis>,
        names_groups: bool,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit_any_name(group_id)?;
        let now = self.clock.now();
        let mut settings = self.settings();
        settings.offset_metadata_bytes_max = settings.offset_metadata_bytes_max.min(TEXT_BYTES_MAX);
        let commit = |slot: &mut Slot| {
            let asked = Commit { requests, retention_ms, knows_epochs: names_groups };
            let (codes, step) = slot.group.commit(now, committer, asked, &*self.topics, &settings)?;
            Ok((codes, self.advance(slot, now, step)?))
        };
        // Without a generation the group need not exist: its offsets are all that it is (a "simple" group).
        let committed = if committer.generation < 0 {
            Some(self.with_new(group_id, commit)?)
        } else {
            self.with(group_id, commit)
        };
        let no_group =
            if names_groups { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION };
        let (codes, durability) = committed.ok_or(no_group)?.map_err(|error| match error {
            ErrorCode::UNKNOWN_SERVER_ERROR => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
            other => other,
        })?;
        durability.wait().await.map_err(log_error)?;
        Ok(codes)
    }

    /// Looks at a group's offsets; `look` gets `None` for a group that does not exist. What it saw is durable when this
    /// returns, so that nobody goes on from an offset that a power cut could take back.
    ///
    /// # Errors
    /// The coordinator is loading or stopped, or what was seen could not be made durable.
    pub async fn look<R>(
        &self,
        group_id: &str,
        look: impl FnOnce(Option<&Group>) -> R,
    ) -> Result<R, ErrorCode> {
        let (seen, durability) = self.peek(group_id, look)?;
        durability.wait().await.map_err(log_error)?;
        Ok(seen)
    }

    pub(super) fn peek<R>(
        &self,
        group_id: &str,
        look: impl FnOnce(Option<&Group>) -> R,
    ) -> Result<(R, Durability), ErrorCode> {
        self.admit_any_name(group_id)?;
        let Some(slot) = self.slots.get(group_id) else { return Ok((look(None), Durability::Done)) };
        let slot = slot.lock();
        Ok((look(Some(&slot.group).filter(|_| !slot.removed)), slot.latest.clone()))
    }

    /// OffsetDelete: one error code per partition.
    ///
    /// # Errors
    /// The request as a whole is refused; `GROUP_ID_NOT_FOUND` when there is no such group.
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit(group_id)?;
        let now = self.clock.now();
        let deleted = self.with(group_id, |slot| {
            let (codes, step) = slot.group.delete_offsets(partitions)?;
            Ok((codes, self.advance(slot, now, step)?))
        });
        let (codes, durability) = deleted.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)??;
        durability.wait().await.map_err(log_error)?;
        Ok(codes)
    }
}
