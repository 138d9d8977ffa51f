//! Members that stay silent over several lives of the broker.
//!
//! Sessions are not in the log: a heartbeat would be a write. So every start would give every member a fresh session, as
//! it does in Kafka, and restarts that follow each other faster than a session ends would keep a dead member, and its
//! partitions, for ever. What has to outlive a life is little: who has not been heard of in it, and for how long. It is
//! a hint and no more. Without it sessions start afresh; with one that is too old, a member that is alive has a quarter
//! of its session to say so.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::group::{Group, MemberId};
use super::{GroupCoordinator, Millis, Now};

/// A member that has not been heard of in this life of the broker, while others of its group were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The group.
    pub group_id: Arc<str>,
    /// The member.
    pub member_id: MemberId,
    /// For how long the broker has been there and has not heard of it, lives before this one included.
    pub silent_ms: Millis,
}

/// The groups that still have members to be heard of.
#[derive(Debug, Default)]
pub(super) struct Watch {
    groups: Mutex<Vec<Arc<str>>>,
    since: Mutex<Millis>,
}

impl Watch {
    pub(super) fn add(&self, group: &Group) {
        if group.silences(0).next().is_some() {
            self.groups.lock().push(group.id().clone());
        }
    }

    pub(super) fn start(&self, now: Now) {
        *self.since.lock() = now.tick;
    }
}

/// By group, then by member.
pub(super) fn by_group(silences: &[Silence]) -> HashMap<&str, HashMap<&str, Millis>> {
    let mut groups: HashMap<&str, HashMap<&str, Millis>> = HashMap::new();
    for silence in silences {
        groups.entry(&silence.group_id).or_default().insert(&silence.member_id, silence.silent_ms);
    }
    groups
}

impl GroupCoordinator {
    /// What the next life has to know about members that are silent in this one; `None` once all members have been heard
    /// of or are gone, from which on there is nothing to know.
    pub fn silences(&self, now: Now) -> Option<Vec<Silence>> {
        let uptime_ms = now.tick - *self.watch.since.lock();
        let watched = std::mem::take(&mut *self.watch.groups.lock());
        let mut silences = Vec::new();
        let mut still = Vec::new();
        for group_id in watched {
            let Some(slot) = self.slots.get(&group_id) else { continue };
            let slot = slot.lock();
            let before = silences.len();
            let mut is_watched = false;
            for (member_id, silent_ms) in slot.group.silences(uptime_ms) {
                is_watched = true;
                if silent_ms > 0 {
                    let (group_id, member_id) = (group_id.clone(), member_id.clone());
                    silences.push(Silence { group_id, member_id, silent_ms });
                }
            }
            silences[before..].sort_by(|a, b| a.member_id.cmp(&b.member_id));
            if is_watched {
                still.push(group_id.clone());
            }
        }
        let is_over = still.is_empty();
        *self.watch.groups.lock() = still;
        (!is_over).then_some(silences)
    }
}
