//! From what a member has to what it is to have (Kafka's CurrentAssignmentBuilder).

use quipu_protocol::primitives::Uuid;

use super::{Consumer, Current, Held, MemberId, Progress};
use crate::coordinator::assign::Partitions;

impl Consumer {
    /// The member's next step towards `target`; `None` when there is nothing to do now. `owned` is what the member
    /// says it has, `None` when it says nothing, which counts as no change.
    pub(super) fn reconcile(
        &self,
        id: &MemberId,
        current: &Current,
        target: &Partitions,
        target_epoch: i32,
        owned: Option<&Partitions>,
    ) -> Option<Current> {
        let next = match current.progress {
            Progress::Stable if current.epoch == target_epoch => return None,
            Progress::Stable | Progress::Unreleased => {
                self.step(id, current, current.epoch, target, target_epoch, owned)
            }
            Progress::Unrevoked if still_owns(owned, &current.revoking) => return None,
            Progress::Unrevoked => self.step(id, current, current.epoch + 1, target, target_epoch, owned),
        };
        (next != *current).then_some(next)
    }

    fn step(
        &self,
        id: &MemberId,
        current: &Current,
        epoch: i32,
        target: &Partitions,
        target_epoch: i32,
        owned: Option<&Partitions>,
    ) -> Current {
        let is_kept = |&(topic, partition, _): &(Uuid, i32, i32)| target.contains(topic, partition);
        let (kept, revoking): (Vec<_>, Vec<_>) = current.assigned.with_epochs().partition(is_kept);
        let mut assigned: Held = kept.into_iter().collect();
        let revoking: Held = revoking.into_iter().collect();
        if still_owns(owned, &revoking) {
            return Current {
                epoch,
                previous_epoch: current.epoch,
                progress: Progress::Unrevoked,
                assigned,
                revoking,
            };
        }
        let mut progress = Progress::Stable;
        for (topic, partition) in target.iter() {
            if current.assigned.contains(topic, partition) {
                continue;
            }
            // What is the member's own it has just revoked.
            if self.owners.get(&(topic, partition)).is_none_or(|owner| owner == id) {
                assigned.insert(topic, partition, target_epoch);
            } else {
                progress = Progress::Unreleased;
            }
        }
        Current {
            epoch: target_epoch,
            previous_epoch: current.epoch,
            progress,
            assigned,
            revoking: Held::default(),
        }
    }
}

/// Whether the member still has, as far as we can tell, any of `revoking`.
fn still_owns(owned: Option<&Partitions>, revoking: &Held) -> bool {
    if revoking.is_empty() {
        return false;
    }
    owned.is_none_or(|owned| revoking.iter().any(|(topic, partition)| owned.contains(topic, partition)))
}
