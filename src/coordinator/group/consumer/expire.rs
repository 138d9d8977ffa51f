//! What happens when time passes.

use super::{Consumer, MemberId, Progress};
use crate::coordinator::group::timers::Timer;
use crate::coordinator::{Millis, Now};

impl Consumer {
    /// The first member whose session is over, or whose time to revoke, to join again or to ask for what it may read.
    /// One at a time, because the records for one build on what has been replayed for the one before.
    pub(crate) fn next_expired(&mut self, now: Now) -> Option<MemberId> {
        while let Some(timer) = self.timers.pop_due(now.tick) {
            let id = match timer {
                Timer::Session(id) => id,
                Timer::JoinOf(id) | Timer::SyncOf(id) if self.is_classic_member(&id) => id,
                Timer::Revoke(id)
                    if !self.is_classic_member(&id)
                        && self
                            .members
                            .get(&id)
                            .is_some_and(|it| it.current.progress == Progress::Unrevoked) =>
                {
                    id
                }
                _ => continue,
            };
            if self.members.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    fn is_classic_member(&self, id: &MemberId) -> bool {
        self.members.get(id).is_some_and(|member| member.subscription.classic.is_some())
    }

    /// Has a member's session end once more in a while, unless the member is gone by then.
    pub(crate) fn look_again(&mut self, id: &MemberId, now: Now) {
        self.timers.end_session_at(id, now.tick.saturating_add(LOOK_AGAIN_MS));
    }
}

/// When the removal of a member that the log has refused is tried again.
const LOOK_AGAIN_MS: Millis = 500;
