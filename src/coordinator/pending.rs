//! Offsets that are committed in transactions: they count once the transaction is committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_protocol::error_code::ErrorCode;

use super::doors::Durability;
use super::group::offsets::CommitRequest;
use super::group::{Committer, Record};
use super::slots::Slot;
use super::step::{TEXT_BYTES_MAX, log_error};
use super::{GroupCoordinator, records};

/// The groups that wait for the end of a producer's transaction. Locked behind a slot, and let go before another one is
/// locked.
#[derive(Default)]
pub(super) struct PendingGroups(Mutex<HashMap<i64, BTreeSet<Arc<str>>>>);

impl PendingGroups {
    fn add(&self, producer: i64, group_id: &Arc<str>) {
        self.0.lock().entry(producer).or_default().insert(Arc::clone(group_id));
    }

    /// Takes out those for which `is_here` holds.
    fn take(&self, producer: i64, is_here: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let mut pending = self.0.lock();
        let Some(groups) = pending.get_mut(&producer) else { return Vec::new() };
        let (taken, left): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(groups).into_iter().partition(|group| is_here(group));
        if left.is_empty() {
            pending.remove(&producer);
        } else {
            *groups = left;
        }
        taken.into_iter().collect()
    }
}

impl GroupCoordinator {
    /// TxnOffsetCommit: one error code per partition (T10). Does not wait: what is told of it has to be durable first.
    ///
    /// # Errors
    /// The request as a whole is refused.
    pub fn commit_in_transaction(
        &self,
        group_id: &str,
        committer: &Committer,
        producer: (i64, i16),
        requests: Vec<CommitRequest>,
    ) -> Result<(Vec<ErrorCode>, Durability), ErrorCode> {
        self.admit(group_id)?;
        let now = self.clock.now();
        let mut settings = self.settings();
        settings.offset_metadata_bytes_max = settings.offset_metadata_bytes_max.min(TEXT_BYTES_MAX);
        let commit = |slot: &mut Slot| {
            let topics = &*self.topics;
            let (codes, records) =
                slot.group.commit_in_transaction(now, committer, requests, topics, &settings)?;
            if records.is_empty() {
                return Ok((codes, Durability::Done));
            }
            let encoded: Result<Vec<_>, _> =
                records.iter().map(|record| records::encode(group_id, record)).collect();
            let encoded = encoded.map_err(|_| ErrorCode::INVALID_REQUEST)?;
            let durability =
                self.log.append_in_transaction(group_id, encoded, producer, now.wall).map_err(log_error)?;
            for record in &records {
                self.pend(slot, producer.0, record);
            }
            slot.latest = durability.clone();
            Ok((codes, durability))
        };
        // As with other commits, a group need not exist before it keeps offsets.
        if committer.generation < 0 {
            self.with_new(group_id, commit)?
        } else {
            self.with(group_id, commit).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?
        }
    }

    pub(super) fn pend(&self, slot: &mut Slot, producer: i64, record: &Record) {
        slot.group.pend(producer, record);
        self.pending.add(producer, slot.group.id());
    }

    /// A producer's transaction has ended, and the marker is in the log: what it committed in the groups for which
    /// `is_here` holds counts, or is dropped.
    pub fn end_transaction(&self, producer: i64, is_commit: bool, is_here: impl Fn(&str) -> bool) {
        for group in self.pending.take(producer, is_here) {
            self.with(&group, |slot| slot.group.end_transaction(producer, is_commit));
        }
    }
}
