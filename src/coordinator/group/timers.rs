//! What a group waits for, and until when.

use std::collections::{BTreeSet, HashMap};

use super::MemberId;
use crate::coordinator::Millis;

/// One thing that happens to a group when nothing else happens first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The round of joins ends with whoever is there.
    Join,
    /// Members that have not asked for their assignment are removed.
    Sync,
    /// The member has not been heard of for its session timeout.
    Session(MemberId),
    /// The member of a consumer group has not revoked what it was to revoke.
    Revoke(MemberId),
    /// The member of a consumer group that speaks the classic protocol was told to join again, and has not.
    JoinOf(MemberId),
    /// The same, which has joined, has not asked for what it may read.
    SyncOf(MemberId),
}

/// The timers of one group, by the monotonic clock.
///
/// Each timer is set at most once; setting it again moves it. Cost per change: logarithmic in the number
/// of members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Millis, Timer)>,
    at: HashMap<Timer, Millis>,
    /// Members of before the start that have given no sign of life since, with how long they had been silent by then.
    unheard: HashMap<MemberId, Millis>,
    /// Whether any member has given a sign of life since the start.
    has_heard: bool,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Millis) {
        if let Timer::Session(member_id) = &timer {
            // A session is set when its member is heard of.
            self.has_heard = true;
            if !self.unheard.is_empty() {
                self.unheard.remove(member_id);
            }
        }
        self.set_any(timer, at);
    }

    /// Starts the session of a member that is known from before the start, and may have been silent for a while then.
    pub(crate) fn resume_session(
        &mut self,
        member_id: &MemberId,
        now: Millis,
        session_ms: Millis,
        silent_ms: Millis,
    ) {
        self.set_any(Timer::Session(member_id.clone()), now + first_session_ms(session_ms, silent_ms));
        self.unheard.insert(member_id.clone(), silent_ms);
    }

    /// Has the session of a member end at a time of ours, not because the member was heard of.
    pub(crate) fn end_session_at(&mut self, member_id: &MemberId, at: Millis) {
        self.set_any(Timer::Session(member_id.clone()), at);
    }

    /// Members that have not been heard of since the start, `uptime_ms` ago, and for how long each has been silent while
    /// there was somebody to talk to. Time in which no member was heard of counts for none of them: then the fault may
    /// have been ours.
    pub(crate) fn silences(&self, uptime_ms: Millis) -> impl Iterator<Item = (&MemberId, Millis)> {
        let more = if self.has_heard { uptime_ms } else { 0 };
        self.unheard.iter().map(move |(id, before)| (id, before.saturating_add(more)))
    }

    /// Sets a timer that may have been set before, and then stays as it was.
    pub(crate) fn set_if_absent(&mut self, timer: Timer, at: Millis) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    fn set_any(&mut self, timer: Timer, at: Millis) {
        if let Some(before) = self.at.insert(timer.clone(), at) {
            if before == at {
                return;
            }
            // The set is ordered by (time, timer), so the old entry is found without a scan.
            self.due.remove(&(before, timer.clone()));
        }
        self.due.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, timer: &Timer) {
        self.forget(timer);
        if let Some(at) = self.at.remove(timer) {
            self.due.remove(&(at, timer.clone()));
        }
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        self.forget(&timer);
        Some(timer)
    }

    fn forget(&mut self, timer: &Timer) {
        if let Timer::Session(member_id) = timer
            && !self.unheard.is_empty()
        {
            self.unheard.remove(member_id);
        }
    }

    /// When `timer` fires, if it is set.
    #[cfg(test)]
    pub(crate) fn at(&self, timer: &Timer) -> Option<Millis> {
        self.at.get(timer).copied()
    }
}

/// The session after a start. Who was heard of in the broker's last life has all of it, as with Kafka. Who was silent all
/// through that life, and the ones before, has what that leaves, so that restarts which follow each other faster than
/// sessions end do not keep a dead member for ever. It never has less than a quarter, in which clients reconnect.
fn first_session_ms(session_ms: Millis, silent_ms: Millis) -> Millis {
    (session_ms - silent_ms).max(session_ms / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_timer_leaves_one_entry() {
        let mut timers = Timers::default();
        timers.set(Timer::Join, 10);
        timers.set(Timer::Join, 5);
        timers.set(Timer::Sync, 7);
        assert_eq!(timers.next(), Some(5));
        assert_eq!(timers.pop_due(4), None);
        assert_eq!(timers.pop_due(10), Some(Timer::Join));
        assert_eq!(timers.pop_due(10), Some(Timer::Sync));
        assert_eq!(timers.pop_due(10), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut timers = Timers::default();
        timers.set(Timer::Session("a".into()), 3);
        timers.cancel(&Timer::Session("a".into()));
        assert_eq!(timers.at(&Timer::Session("a".into())), None);
        assert_eq!(timers.pop_due(100), None);
    }
}
