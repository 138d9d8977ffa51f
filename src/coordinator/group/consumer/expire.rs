//! What happens when time passes.

use super::{Consumer, Progress};
use crate::coordinator::Now;
use crate::coordinator::group::Record;
use crate::coordinator::group::timers::Timer;

impl Consumer {
    /// Removes the first member whose session, or whose time to revoke, is over; false when nothing is due. One at a
    /// time, because the records for one build on what has been replayed for the one before.
    pub(crate) fn expire_one(&mut self, now: Now, records: &mut Vec<Record>) -> bool {
        let Some(timer) = self.timers.pop_due(now.tick) else { return false };
        let member_id = match timer {
            Timer::Session(id) => id,
            Timer::Revoke(id)
                if self.members.get(&id).is_some_and(|it| it.current.progress == Progress::Unrevoked) =>
            {
                id
            }
            _ => return true,
        };
        if self.members.contains_key(&member_id) {
            self.remove(&member_id, records);
        }
        true
    }
}
