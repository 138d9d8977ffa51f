//! Classic groups: the clients choose a leader's assignment, we only agree on who takes part.
//!
//! ```text
//!            first member            all joined, or time is up        leader's assignment kept
//!   Empty ────────────────▶ Preparing ──────────────────▶ Completing ─────────────────────▶ Stable
//!     ▲                      │ ▲  ▲                         │                                 │
//!     └──── nobody left ─────┘ │  └──── somebody joins, leaves, changes or is not heard of ───┤
//!                              └────────────────────────────┴─────────────────────────────────┘
//! ```
//!
//! The rules and error codes are those of Kafka 4's ClassicGroup and GroupMetadataManager. Differences, all where
//! Kafka would leave a request unanswered or fail with an unknown server error: a second JoinGroup or SyncGroup of
//! the same member answers the first with `REBALANCE_IN_PROGRESS`, and a member that goes while it awaits its
//! assignment is told `UNKNOWN_MEMBER_ID`.

mod expire;
mod join;
mod leave;
mod member;
mod rebalance;
mod subscription;
mod sync;
mod view;

#[cfg(test)]
mod liveness;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

pub use self::join::JoinRequest;
pub(crate) use self::join::Replaced;
pub use self::leave::Leaving;
pub(crate) use self::member::Member;
pub use self::member::Protocol;
pub use self::sync::SyncRequest;
pub use self::view::{GroupView, MemberView};

use super::offsets::RetentionFrom;
use super::timers::{Timer, Timers};
use super::{Committer, Generation, JoinReply, MemberId, Step, SyncReply};
use crate::coordinator::{Millis, Now};

/// Protocol type of consumers; only theirs are looked into.
pub(crate) const CONSUMER: &str = "consumer";

/// State of a classic group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// No members.
    #[default]
    Empty,
    /// Members are being asked to join.
    PreparingRebalance,
    /// Everybody has joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody may ask for its assignment.
    Stable,
}

impl State {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The wait for more members after the first one of an empty group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InitialDelay {
    delay_ms: Millis,
    remaining_ms: Millis,
    member_added: bool,
}

/// The live membership of a classic group.
#[derive(Debug, Default)]
pub(crate) struct Classic {
    state: State,
    /// Wall clock of the last change of state; −1 before the first.
    state_since_ms: Millis,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Bytes that the members' protocols hold together.
    members_bytes: usize,
    /// Instance id → member id.
    static_members: HashMap<Arc<str>, MemberId>,
    /// Protocol → how many members offer it. Those that all offer are the candidates.
    offered: HashMap<Arc<str>, usize>,
    /// Ids handed out with MEMBER_ID_REQUIRED and not used yet.
    pending_joins: HashSet<MemberId>,
    /// Members of this generation that have not asked for their assignment.
    pending_syncs: BTreeSet<MemberId>,
    /// How many members have a parked JoinGroup.
    joined: usize,
    /// Set while the round of joins is an empty group's first.
    initial: Option<InitialDelay>,
    /// Topics of all members; `None` when unknown, which counts as all topics for consumers.
    subscribed: Option<HashSet<Arc<str>>>,
    pub(crate) timers: Timers,
}

impl Classic {
    /// The live form of a settled generation. `silent_ms` tells how long members had been silent before the start.
    pub(crate) fn restore(settled: &Generation, now: Now, silent_ms: impl Fn(&str) -> Millis) -> Self {
        let mut group = Self {
            state: if settled.members.is_empty() { State::Empty } else { State::Stable },
            state_since_ms: settled.state_since_ms,
            generation: settled.id,
            protocol_type: Some(settled.protocol_type.clone()).filter(|kind| !kind.is_empty()),
            protocol: settled.protocol.clone(),
            leader: settled.leader.clone(),
            ..Self::default()
        };
        let protocol = settled.protocol.clone().unwrap_or_default();
        for kept in &settled.members {
            let member = Member::restore(kept, &protocol);
            group.timers.resume_session(&kept.id, now.tick, member.session_ms(), silent_ms(&kept.id));
            group.add_member(kept.id.clone(), member);
        }
        // What a downgrade has left names no leader: its round of joins was not over.
        if settled.leader.is_none() && !group.members.is_empty() {
            group.state = State::PreparingRebalance;
            group.timers.set(Timer::Join, now.tick + group.rebalance_timeout_ms().max(1));
        }
        // A damaged or foreign record could name a leader that is no member.
        if group.leader.as_ref().is_none_or(|leader| !group.members.contains_key(leader)) {
            group.leader = group.members.keys().next().cloned();
        }
        group.subscribed = group.topics_of_members();
        group
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Nobody is in it or about to be.
    pub(crate) fn is_vacant(&self) -> bool {
        self.state == State::Empty && self.pending_joins.is_empty()
    }

    /// Who is in it.
    pub(crate) fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    /// Number of the generation.
    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// Sets what members offer, of which a settled generation keeps only what was agreed on.
    pub(crate) fn offer_again<'a>(
        &mut self,
        offers: impl Iterator<Item = (&'a MemberId, &'a Vec<Protocol>)>,
    ) {
        for (id, protocols) in offers {
            let Some(mut member) = self.members.remove(id) else { continue };
            self.count_protocols(&member, false);
            member.protocols.clone_from(protocols);
            self.count_protocols(&member, true);
            self.members.insert(id.clone(), member);
        }
    }

    /// The group becomes one of another kind: whoever waits for an answer is to join again.
    pub(crate) fn dissolve(&mut self, step: &mut Step) {
        let group = std::mem::take(self);
        for (id, member) in group.members {
            if let Some(token) = member.awaiting_join {
                step.join(token, JoinReply::refuse(ErrorCode::REBALANCE_IN_PROGRESS, id));
            }
            if let Some(token) = member.awaiting_sync {
                step.sync(token, SyncReply::refuse(ErrorCode::REBALANCE_IN_PROGRESS));
            }
        }
    }

    /// Whether its members are consumers.
    pub(crate) fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn all_joined(&self) -> bool {
        self.members.len() == self.joined && self.pending_joins.is_empty()
    }

    /// The longest that any member may take to rejoin.
    fn rebalance_timeout_ms(&self) -> Millis {
        self.members.values().map(|m| Millis::from(m.rebalance_timeout_ms)).max().unwrap_or(0).max(0)
    }

    fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_since_ms = now.wall;
    }

    fn refresh_session(&mut self, now: Now, member_id: &MemberId) {
        if let Some(member) = self.members.get(member_id) {
            self.timers.set(Timer::Session(member_id.clone()), now.tick + member.session_ms());
        }
    }

    /// Checks that the member is one of the group, and, for a static member, the current holder of its instance id.
    fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if &**current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn validate_generation(&self, generation: i32) -> Result<(), ErrorCode> {
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// Answers a heartbeat and keeps the session alive.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let valid =
            self.validate_member(member_id, instance_id).and_then(|()| self.validate_generation(generation));
        if let Err(error) = valid {
            return error;
        }
        self.refresh_session(now, member_id);
        match self.state {
            State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }

    /// Whether these offsets may be committed now; counts as a sign of life.
    pub(crate) fn admit_commit(&mut self, now: Now, committer: &Committer) -> Result<(), ErrorCode> {
        let Committer { member_id, instance_id, generation } = committer;
        if *generation < 0 && self.state == State::Empty {
            // A client outside of group management, or an admin tool.
            return Ok(());
        }
        if *generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.validate_member(member_id, instance_id.as_deref())?;
        self.validate_generation(*generation)?;
        match self.state {
            // The member has the new generation but not its assignment: what it commits is about the old one.
            State::CompletingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::PreparingRebalance | State::Stable => {
                self.refresh_session(now, member_id);
                Ok(())
            }
            State::Empty => Ok(()),
        }
    }

    /// As [`Self::admit_commit`], for what is committed in a transaction: old producers do not know the member that they
    /// commit for, and a new generation does not hold up what the old one has done.
    pub(crate) fn admit_transactional_commit(
        &mut self,
        now: Now,
        committer: &Committer,
    ) -> Result<(), ErrorCode> {
        let Committer { member_id, instance_id, generation } = committer;
        if *generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Ok(());
        }
        if *generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        self.validate_member(member_id, instance_id.as_deref())?;
        self.validate_generation(*generation)?;
        if self.state != State::Empty {
            self.refresh_session(now, member_id);
        }
        Ok(())
    }

    pub(crate) fn admit_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.state == State::Empty || self.is_consumer() {
            Ok(())
        } else {
            Err(ErrorCode::NON_EMPTY_GROUP)
        }
    }

    /// Whether a member reads the topic, as far as we can tell: consumers whose subscription we cannot read count as
    /// subscribed to everything.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer(),
        }
    }

    pub(crate) fn retention_from(&self) -> RetentionFrom {
        match (&self.protocol_type, self.state) {
            (None, _) => RetentionFrom::Commit,
            (Some(_), State::Empty) => RetentionFrom::emptied(self.state_since_ms),
            (Some(_), State::Stable) if self.is_consumer() && self.subscribed.is_some() => {
                RetentionFrom::Commit
            }
            _ => RetentionFrom::Never,
        }
    }

    fn add_member(&mut self, member_id: MemberId, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        self.count_protocols(&member, true);
        self.joined += usize::from(member.awaiting_join.is_some());
        self.pending_joins.remove(&member_id);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
    }

    /// Takes a member out and tells it so, should it be waiting for an answer.
    fn remove_member(&mut self, member_id: &MemberId, step: &mut Step) {
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        self.timers.cancel(&Timer::Session(member_id.clone()));
        let Some(mut member) = self.members.remove(member_id) else { return };
        self.count_protocols(&member, false);
        if let Some(token) = member.awaiting_join.take() {
            self.joined -= 1;
            step.join(token, JoinReply::refuse(ErrorCode::UNKNOWN_MEMBER_ID, "".into()));
        }
        if let Some(token) = member.awaiting_sync.take() {
            step.sync(token, SyncReply::refuse(ErrorCode::UNKNOWN_MEMBER_ID));
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn count_protocols(&mut self, member: &Member, up: bool) {
        if up {
            self.members_bytes += member.bytes();
        } else {
            self.members_bytes -= member.bytes();
        }
        for protocol in &member.protocols {
            if up {
                *self.offered.entry(protocol.name.clone()).or_default() += 1;
            } else if let Some(count) = self.offered.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.offered.remove(&protocol.name);
                }
            }
        }
    }

    fn is_candidate(&self, protocol: &str) -> bool {
        self.offered.get(protocol).is_some_and(|&count| count == self.members.len())
    }
}
