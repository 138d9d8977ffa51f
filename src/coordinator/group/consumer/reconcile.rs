//! From what a member has to what it is to have (Kafka's CurrentAssignmentBuilder).

use std::collections::BTreeSet;

use quipu_protocol::primitives::Uuid;

use super::{Consumer, Current, Held, MemberId, Progress};
use crate::coordinator::assign::Partitions;

/// Where a member is to go.
pub(super) struct Goal<'a> {
    /// What it is to have.
    pub(super) target: &'a Partitions,
    /// The epoch of that.
    pub(super) epoch: i32,
    /// What the member says it has, `None` when it says nothing, which counts as no change.
    pub(super) owned: Option<&'a Partitions>,
    /// Whether it subscribes to something else than before.
    pub(super) has_resubscribed: bool,
    /// The topics that it subscribes to: a target that is older may still give it others.
    pub(super) subscribed: &'a dyn Fn() -> BTreeSet<Uuid>,
}

impl Consumer {
    /// The member's next step towards its goal; `None` when there is nothing to do now.
    pub(super) fn reconcile(&self, id: &MemberId, current: &Current, goal: &Goal<'_>) -> Option<Current> {
        let next = match current.progress {
            Progress::Stable if current.epoch == goal.epoch => unsubscribe(current, goal)?,
            Progress::Unrevoked if still_owns(goal.owned, &current.revoking) => unsubscribe(current, goal)?,
            Progress::Stable | Progress::Unreleased | Progress::Unrevoked => self.step(id, current, goal),
        };
        (next != *current).then_some(next)
    }

    fn step(&self, id: &MemberId, current: &Current, goal: &Goal<'_>) -> Current {
        let subscribed = (goal.subscribed)();
        let is_kept = |&(topic, partition, _): &(Uuid, i32, i32)| {
            goal.target.contains(topic, partition) && subscribed.contains(&topic)
        };
        let (kept, revoking): (Vec<_>, Vec<_>) = current.assigned.with_epochs().partition(is_kept);
        let mut assigned: Held = kept.into_iter().collect();
        let revoking: Held = revoking.into_iter().collect();
        if still_owns(goal.owned, &revoking) {
            return Current {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                progress: Progress::Unrevoked,
                assigned,
                revoking,
            };
        }
        let mut progress = Progress::Stable;
        for (topic, partition) in goal.target.iter() {
            if current.assigned.contains(topic, partition) || !subscribed.contains(&topic) {
                continue;
            }
            // What is the member's own it has just revoked.
            if self.owners.get(&(topic, partition)).is_none_or(|owner| owner == id) {
                assigned.insert(topic, partition, goal.epoch);
            } else {
                progress = Progress::Unreleased;
            }
        }
        Current {
            epoch: goal.epoch,
            previous_epoch: current.epoch,
            progress,
            assigned,
            revoking: Held::default(),
        }
    }
}

/// Takes from a member that stays in its epoch what it no longer subscribes to.
fn unsubscribe(current: &Current, goal: &Goal<'_>) -> Option<Current> {
    if !goal.has_resubscribed {
        return None;
    }
    let subscribed = (goal.subscribed)();
    let is_kept = |(topic, ..): &(Uuid, i32, i32)| subscribed.contains(topic);
    let (kept, dropped): (Vec<_>, Vec<_>) = current.assigned.with_epochs().partition(is_kept);
    if dropped.is_empty() {
        return None;
    }
    let assigned = kept.into_iter().collect();
    let revoking: Held = current.revoking.with_epochs().chain(dropped).collect();
    let next = Current { previous_epoch: current.epoch, assigned, ..current.clone() };
    if still_owns(goal.owned, &revoking) {
        return Some(Current { progress: Progress::Unrevoked, revoking, ..next });
    }
    Some(next)
}

/// Whether the member still has, as far as we can tell, any of `revoking`.
fn still_owns(owned: Option<&Partitions>, revoking: &Held) -> bool {
    if revoking.is_empty() {
        return false;
    }
    owned.is_none_or(|owned| revoking.iter().any(|(topic, partition)| owned.contains(topic, partition)))
}
