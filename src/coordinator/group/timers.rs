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
}

/// The timers of one group, by the monotonic clock.
///
/// Each timer is set at most once; setting it again moves it. Cost per change: logarithmic in the number
/// of members.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Millis, Timer)>,
    at: HashMap<Timer, Millis>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Millis) {
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
        Some(timer)
    }

    /// When `timer` fires, if it is set.
    #[cfg(test)]
    pub(crate) fn at(&self, timer: &Timer) -> Option<Millis> {
        self.at.get(timer).copied()
    }
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
