//! What happens when time passes.

use super::{Classic, State};
use crate::coordinator::Now;
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{MemberId, Step};
use crate::coordinator::settings::GroupSettings;

impl Classic {
    /// Fires every timer that is due. Timers set on the way lie in the future, so this ends.
    pub(crate) fn expire(&mut self, now: Now, settings: &GroupSettings, step: &mut Step) {
        while let Some(timer) = self.timers.pop_due(now.tick) {
            match timer {
                Timer::Join if self.state == State::PreparingRebalance => {
                    self.end_initial_delay(now, settings, step);
                }
                Timer::Join => {}
                Timer::Sync => self.expire_syncs(now, step),
                // Only consumer groups set these.
                Timer::Revoke(_) | Timer::JoinOf(_) | Timer::SyncOf(_) => {}
                Timer::Session(member_id) => self.expire_session(now, &member_id, step),
            }
        }
    }

    fn expire_syncs(&mut self, now: Now, step: &mut Step) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        let silent = std::mem::take(&mut self.pending_syncs);
        if silent.is_empty() {
            return;
        }
        for member_id in &silent {
            self.remove_member(member_id, step);
        }
        self.prepare_rebalance(now, step);
    }

    fn expire_session(&mut self, now: Now, member_id: &MemberId, step: &mut Step) {
        if self.members.get(member_id).is_some_and(|member| member.is_waiting()) {
            // It waits for us; its session begins anew with our answer.
            return;
        }
        let was_member = self.members.contains_key(member_id);
        self.remove_member(member_id, step);
        match self.state {
            State::Stable | State::CompletingRebalance if was_member => self.prepare_rebalance(now, step),
            _ => self.maybe_complete_join(now, step),
        }
    }
}
