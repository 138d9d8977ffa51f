//! JoinGroup: who may enter, with which id, and whether that starts a rebalance.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::member::bytes_of;
use super::{Classic, Member, Protocol, State};
use crate::coordinator::Now;
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{After, JoinReply, JoinedMember, MemberId, Record, Step, Token};
use crate::coordinator::settings::{GroupSettings, NEW_MEMBER_WAIT_MS};

/// A request to join, with what its API version says about the client.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The member's id; empty for a client that has none yet.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where the client connects from, as Kafka prints it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// Longest silence; already checked against the bounds.
    pub session_timeout_ms: i32,
    /// Longest time that the member may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// Kind of protocol.
    pub protocol_type: Arc<str>,
    /// Protocols on offer, best first; names are distinct.
    pub protocols: Vec<Protocol>,
    /// The id that the member gets if it has none.
    pub fresh_id: MemberId,
    /// The client comes back with the id that it is given (JoinGroup 4, KIP-394).
    pub must_know_id: bool,
    /// The client understands that it need not assign (JoinGroup 9, KIP-814).
    pub may_skip_assignment: bool,
}

/// What it takes to answer a static member's rejoin, or to undo it.
#[derive(Debug)]
pub(crate) struct Replaced {
    token: Token,
    instance_id: Arc<str>,
    old_id: MemberId,
    new_id: MemberId,
    old: Member,
    may_skip_assignment: bool,
}

impl Classic {
    /// Takes a join; the reply may come now or when the round ends.
    pub(crate) fn join(
        &mut self,
        now: Now,
        token: Token,
        request: JoinRequest,
        settings: &GroupSettings,
        step: &mut Step,
    ) {
        let refused = if !self.has_room(&request, settings) {
            if self.state == State::PreparingRebalance {
                // As in Kafka: a group over a limit that was lowered sheds its last joiners.
                let id = request.member_id.clone();
                self.remove_member(&id, step);
                self.maybe_complete_join(now, step);
            }
            Some((ErrorCode::GROUP_MAX_SIZE_REACHED, "".into()))
        } else if !self.supports(&request) {
            Some((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, request.member_id.clone()))
        } else {
            None
        };
        if let Some((error, member_id)) = refused {
            step.join(token, JoinReply::refuse(error, member_id));
        } else if request.member_id.is_empty() {
            self.join_first_time(now, token, request, settings, step);
        } else {
            self.join_again(now, token, request, settings, step);
        }
    }

    fn join_first_time(
        &mut self,
        now: Now,
        token: Token,
        request: JoinRequest,
        settings: &GroupSettings,
        step: &mut Step,
    ) {
        let current = request.instance_id.as_ref().and_then(|id| self.static_members.get(id)).cloned();
        let member_id = request.fresh_id.clone();
        match current {
            Some(old_id) => self.replace_static(now, token, request, old_id, step),
            None if request.instance_id.is_none() && request.must_know_id => {
                self.pending_joins.insert(member_id.clone());
                let until = now.tick + i64::from(request.session_timeout_ms);
                self.timers.set(Timer::Session(member_id.clone()), until);
                step.join(token, JoinReply::refuse(ErrorCode::MEMBER_ID_REQUIRED, member_id));
            }
            None => self.add(now, token, member_id, request, settings, step),
        }
    }

    fn join_again(
        &mut self,
        now: Now,
        token: Token,
        request: JoinRequest,
        settings: &GroupSettings,
        step: &mut Step,
    ) {
        let member_id = request.member_id.clone();
        if self.pending_joins.contains(&member_id) {
            if request.instance_id.is_some() {
                // The id was handed to a dynamic member.
                step.join(token, JoinReply::refuse(ErrorCode::UNKNOWN_MEMBER_ID, member_id));
            } else {
                self.add(now, token, member_id, request, settings, step);
            }
            return;
        }
        if let Err(error) = self.validate_member(&member_id, request.instance_id.as_deref()) {
            step.join(token, JoinReply::refuse(error, member_id));
            return;
        }
        let unchanged = self.members[&member_id].protocols == request.protocols;
        let is_current = match self.state {
            State::Empty | State::PreparingRebalance => false,
            // It may not have received its first answer.
            State::CompletingRebalance => unchanged,
            // A leader that joins again has seen something that we cannot see, such as new partitions.
            State::Stable => unchanged && !self.is_leader(&member_id),
        };
        if is_current {
            let reply = self.joined_reply(&member_id);
            step.join(token, reply);
        } else {
            self.update_member(&member_id, &request, token, step);
            self.rebalance_or_complete_join(now, settings, step);
        }
    }

    fn add(
        &mut self,
        now: Now,
        token: Token,
        member_id: MemberId,
        request: JoinRequest,
        settings: &GroupSettings,
        step: &mut Step,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let Some(initial) = &mut self.initial {
            initial.member_added = true;
        }
        let member = Member {
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Default::default(),
            is_new: true,
            is_anonymous: request.member_id.is_empty(),
            awaiting_join: Some(token),
            awaiting_sync: None,
        };
        self.timers.set(Timer::Session(member_id.clone()), now.tick + NEW_MEMBER_WAIT_MS);
        self.add_member(member_id, member);
        self.rebalance_or_complete_join(now, settings, step);
    }

    fn update_member(&mut self, member_id: &MemberId, request: &JoinRequest, token: Token, step: &mut Step) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        self.count_protocols(&member, false);
        member.protocols = request.protocols.clone();
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        match member.awaiting_join.replace(token) {
            None => self.joined += 1,
            Some(earlier) => {
                step.join(earlier, JoinReply::refuse(ErrorCode::REBALANCE_IN_PROGRESS, member_id.clone()));
            }
        }
        self.count_protocols(&member, true);
        self.members.insert(member_id.clone(), member);
    }

    /// A static member came back without its id: it goes on as a new id in place of the old one.
    fn replace_static(
        &mut self,
        now: Now,
        token: Token,
        request: JoinRequest,
        old_id: MemberId,
        step: &mut Step,
    ) {
        let Some(mut old) = self.swap_out(&old_id) else { return };
        // Whoever still waits under the old id is fenced at once.
        if let Some(waiting) = old.awaiting_join.take() {
            self.joined -= 1;
            step.join(waiting, JoinReply::refuse(ErrorCode::FENCED_INSTANCE_ID, old_id.clone()));
        }
        if let Some(waiting) = old.awaiting_sync.take() {
            step.sync(waiting, super::SyncReply::refuse(ErrorCode::FENCED_INSTANCE_ID));
        }
        let new_id = request.fresh_id;
        let instance_id = request.instance_id.unwrap_or_default();
        let new = Member {
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            awaiting_join: Some(token),
            is_new: false,
            ..old.clone()
        };
        self.swap_in(&old_id, new_id.clone(), new);
        self.refresh_session(now, &new_id);

        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // The assignment stays; only the new id has to be kept before it is told.
                let generation = self.generation_with(now, |_, member| member.assignment.clone());
                step.records.push(Record::Generation(Some(Arc::new(generation))));
                step.after = After::Replaced(Box::new(Replaced {
                    token,
                    instance_id,
                    old_id,
                    new_id,
                    old,
                    may_skip_assignment: request.may_skip_assignment,
                }));
            }
            // While completing, the leader may be assigning to the old id: everybody has to start over.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, step),
            State::PreparingRebalance | State::Empty => self.maybe_complete_join(now, step),
        }
    }

    /// Answers the static member once its new id is kept, or puts the old one back.
    pub(crate) fn replaced(
        &mut self,
        now: Now,
        replaced: Replaced,
        appended: Result<(), ErrorCode>,
        step: &mut Step,
    ) {
        let Replaced { token, instance_id, old_id, new_id, old, may_skip_assignment } = replaced;
        if let Err(error) = appended {
            if self.swap_out(&new_id).is_some() {
                self.joined -= 1;
                debug_assert_eq!(old.instance_id.as_ref(), Some(&instance_id));
                self.swap_in(&new_id, old_id.clone(), old);
                self.refresh_session(now, &old_id);
            }
            step.join(token, JoinReply::refuse(error, "".into()));
            return;
        }
        if let Some(member) = self.members.get_mut(&new_id) {
            member.awaiting_join = None;
            self.joined -= 1;
        }
        let is_leader = self.is_leader(&new_id);
        let mut reply = self.joined_reply(&new_id);
        if may_skip_assignment {
            reply.skip_assignment = is_leader;
        } else {
            // An old client that learns that it leads would assign anew, with nobody to read it: name its old self.
            reply.members.clear();
            if is_leader {
                reply.leader = old_id;
            }
        }
        step.join(token, reply);
    }

    fn swap_out(&mut self, member_id: &MemberId) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        self.count_protocols(&member, false);
        self.timers.cancel(&Timer::Session(member_id.clone()));
        self.pending_syncs.remove(member_id);
        Some(member)
    }

    fn swap_in(&mut self, old_id: &MemberId, new_id: MemberId, member: Member) {
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.add_member(new_id, member);
    }

    fn supports(&self, request: &JoinRequest) -> bool {
        if self.state == State::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && (self.members.is_empty() || request.protocols.iter().any(|p| self.is_candidate(&p.name)))
    }

    fn has_room(&self, request: &JoinRequest, settings: &GroupSettings) -> bool {
        let limit = settings.members_max.min(GroupSettings::MEMBERS_MAX);
        let member = self.members.get(&request.member_id);
        let within = match self.state {
            State::Empty => true,
            // Counting who waits, not who is known, lets a lowered limit shed members.
            State::PreparingRebalance => {
                member.is_some_and(|m| m.awaiting_join.is_some()) || self.joined < limit
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < limit,
        };
        let replaces = request.instance_id.as_ref().is_some_and(|id| self.static_members.contains_key(id));
        let bytes = self.members_bytes - member.map_or(0, Member::bytes) + bytes_of(&request.protocols);
        (within || replaces)
            && bytes <= settings.group_bytes_max
            && (!request.member_id.is_empty() || self.pending_joins.len() < settings.pending_members_max)
    }

    /// The answer that a member of the current generation gets.
    pub(super) fn joined_reply(&self, member_id: &MemberId) -> JoinReply {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members
                .iter()
                .map(|(id, member)| JoinedMember {
                    id: id.clone(),
                    instance_id: member.instance_id.clone(),
                    metadata: member.metadata(protocol),
                })
                .collect()
        } else {
            Vec::new()
        };
        JoinReply {
            error: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members,
        }
    }
}
