//! From one generation to the next.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::{Classic, InitialDelay, Member, State};
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{Generation, MemberId, Record, Step, SyncReply};
use crate::coordinator::settings::GroupSettings;
use crate::coordinator::{Millis, Now};

impl Classic {
    /// Something about the membership changed: start a round of joins, or end the one under way if that was the last
    /// that it waited for.
    pub(super) fn rebalance_or_complete_join(&mut self, now: Now, settings: &GroupSettings, step: &mut Step) {
        match self.state {
            State::Empty => self.begin_first_round(now, settings, step),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(now, step),
            State::PreparingRebalance => self.maybe_complete_join(now, step),
        }
    }

    /// The first members of an empty group: wait a little for more of them, if so configured.
    fn begin_first_round(&mut self, now: Now, settings: &GroupSettings, step: &mut Step) {
        self.enter(State::PreparingRebalance, now);
        let delay_ms = Millis::from(settings.initial_rebalance_delay_ms.max(0));
        if delay_ms == 0 {
            self.complete_join(now, step);
            return;
        }
        let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
        self.initial = Some(InitialDelay { delay_ms, remaining_ms, member_added: false });
        self.timers.set(Timer::Join, now.tick + delay_ms);
    }

    /// The initial delay is over: wait once more if members came in the meantime, but never past the rebalance
    /// timeout.
    pub(super) fn end_initial_delay(&mut self, now: Now, settings: &GroupSettings, step: &mut Step) {
        if let Some(initial) = &mut self.initial
            && initial.member_added
            && initial.remaining_ms != 0
        {
            let configured = Millis::from(settings.initial_rebalance_delay_ms.max(0));
            let delay_ms = configured.min(initial.remaining_ms).max(1);
            *initial = InitialDelay {
                delay_ms,
                remaining_ms: (initial.remaining_ms - initial.delay_ms).max(0),
                member_added: false,
            };
            self.timers.set(Timer::Join, now.tick + delay_ms);
            return;
        }
        self.complete_join(now, step);
    }

    /// Calls everybody to join again. Not for an empty group.
    pub(crate) fn prepare_rebalance(&mut self, now: Now, step: &mut Step) {
        if self.state == State::CompletingRebalance {
            self.withdraw_assignments(now, ErrorCode::REBALANCE_IN_PROGRESS, step);
        }
        self.pending_syncs.clear();
        self.timers.cancel(&Timer::Sync);
        self.enter(State::PreparingRebalance, now);
        if self.all_joined() {
            self.complete_join(now, step);
        } else {
            self.timers.set(Timer::Join, now.tick + self.rebalance_timeout_ms().max(1));
        }
    }

    /// Ends the round of joins if everybody is there, except during the initial delay.
    pub(super) fn maybe_complete_join(&mut self, now: Now, step: &mut Step) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.all_joined() {
            self.complete_join(now, step);
        }
    }

    /// Ends the round of joins: who is not there is out (static members stay until their session ends), and the
    /// next generation begins.
    pub(super) fn complete_join(&mut self, now: Now, step: &mut Step) {
        self.timers.cancel(&Timer::Join);
        self.initial = None;
        let absent: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && !member.is_static())
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in &absent {
            self.remove_member(member_id, step);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Only silent static members are left; their sessions decide.
            self.timers.set(Timer::Join, now.tick + self.rebalance_timeout_ms().max(1));
            return;
        }

        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.subscribed = self.topics_of_members();
            self.enter(State::Empty, now);
            let generation = self.generation_with(now, |_, _| Bytes::new());
            step.records.push(Record::Generation(Some(Arc::new(generation))));
            return;
        }
        self.protocol = self.select_protocol();
        self.subscribed = self.topics_of_members();
        self.enter(State::CompletingRebalance, now);
        self.pending_syncs = self.members.keys().cloned().collect();
        let mut waiting = Vec::with_capacity(self.joined);
        for (member_id, member) in &mut self.members {
            member.is_new = false;
            member.is_anonymous = false;
            let until = now.tick + member.session_ms();
            self.timers.set(Timer::Session(member_id.clone()), until);
            if let Some(token) = member.awaiting_join.take() {
                waiting.push((token, member_id.clone()));
            }
        }
        self.joined = 0;
        for (token, member_id) in waiting {
            let reply = self.joined_reply(&member_id);
            step.join(token, reply);
        }
        self.timers.set(Timer::Sync, now.tick + self.rebalance_timeout_ms().max(1));
    }

    /// Keeps the leader if it joined, else takes the first member that did. False when nobody joined.
    fn elect_leader(&mut self) -> bool {
        let joined = |member: &Member| member.awaiting_join.is_some();
        if self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(joined) {
            return true;
        }
        match self.members.iter().find(|(_, member)| joined(member)) {
            Some((id, _)) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    /// The protocol with the most votes among those that every member offers; each member votes for the one that it
    /// likes best. A tie goes to the name that comes first, so that the outcome never depends on chance.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: HashMap<&Arc<str>, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some(choice) = member.protocols.iter().find(|p| self.is_candidate(&p.name)) {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)))
            .map(|(name, _)| name.clone())
    }

    /// Takes back every assignment and tells the members that wait for theirs why.
    pub(super) fn withdraw_assignments(&mut self, now: Now, error: ErrorCode, step: &mut Step) {
        for (member_id, member) in &mut self.members {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                step.sync(token, SyncReply::refuse(error));
                let until = now.tick + member.session_ms();
                self.timers.set(Timer::Session(member_id.clone()), until);
            }
        }
    }

    /// The generation as it is kept, with assignments from `assignment`.
    pub(super) fn generation_with(
        &self,
        now: Now,
        assignment: impl Fn(&MemberId, &Member) -> Bytes,
    ) -> Generation {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        Generation {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            id: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: now.wall,
            members: self
                .members
                .iter()
                .map(|(id, member)| member.keep(id, protocol, assignment(id, member)))
                .collect(),
        }
    }
}
