//! SyncGroup: the leader hands in the assignment, everybody takes theirs.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::{Classic, State};
use crate::coordinator::Now;
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{After, Generation, MemberId, Record, Step, SyncReply, Token};

/// A request for the member's assignment, from the leader with everybody's.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The member.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Generation that the member joined.
    pub generation: i32,
    /// What the member takes for the protocol type, if it says so (SyncGroup 5).
    pub protocol_type: Option<Arc<str>>,
    /// What the member takes for the protocol, if it says so (SyncGroup 5).
    pub protocol: Option<Arc<str>>,
    /// Assignment per member; empty unless from the leader.
    pub assignments: Vec<(MemberId, Bytes)>,
}

impl Classic {
    /// Takes a sync; the reply may come now or with the leader's assignment.
    pub(crate) fn sync(&mut self, now: Now, token: Token, request: SyncRequest, step: &mut Step) {
        if let Err(error) = self.validate_sync(&request) {
            step.sync(token, SyncReply::refuse(error));
            return;
        }
        match self.state {
            State::Empty => step.sync(token, SyncReply::refuse(ErrorCode::UNKNOWN_MEMBER_ID)),
            State::PreparingRebalance => {
                step.sync(token, SyncReply::refuse(ErrorCode::REBALANCE_IN_PROGRESS));
            }
            State::CompletingRebalance => {
                self.synced(&request.member_id);
                if let Some(member) = self.members.get_mut(&request.member_id)
                    && let Some(earlier) = member.awaiting_sync.replace(token)
                {
                    step.sync(earlier, SyncReply::refuse(ErrorCode::REBALANCE_IN_PROGRESS));
                }
                if self.is_leader(&request.member_id) {
                    self.assign(now, request, step);
                }
            }
            State::Stable => {
                self.synced(&request.member_id);
                let reply = self.assignment_reply(&request.member_id);
                step.sync(token, reply);
            }
        }
    }

    /// The leader's assignment is kept before anybody sees it.
    fn assign(&self, now: Now, request: SyncRequest, step: &mut Step) {
        let given: HashMap<MemberId, Bytes> = request.assignments.into_iter().collect();
        let generation = self.generation_with(now, |id, _| given.get(id).cloned().unwrap_or_default());
        step.records.push(Record::Generation(Some(Arc::new(generation))));
        step.after = After::Assigned { generation: self.generation };
    }

    /// The leader's assignment is kept: hand it out.
    pub(crate) fn adopt(&mut self, now: Now, generation: i32, settled: &Generation, step: &mut Step) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        for kept in &settled.members {
            if let Some(member) = self.members.get_mut(&kept.id) {
                member.assignment = kept.assignment.clone();
            }
        }
        self.enter(State::Stable, now);
        let mut waiting = Vec::with_capacity(self.members.len());
        for (member_id, member) in &mut self.members {
            if let Some(token) = member.awaiting_sync.take() {
                // Its session may have run out, without effect, while it waited for us.
                let until = now.tick + member.session_ms();
                self.timers.set(Timer::Session(member_id.clone()), until);
                waiting.push((token, member_id.clone()));
            }
        }
        for (token, member_id) in waiting {
            let reply = self.assignment_reply(&member_id);
            step.sync(token, reply);
        }
    }

    /// The leader's assignment could not be kept: tell everybody, and start over.
    pub(crate) fn assignment_lost(&mut self, now: Now, generation: i32, error: ErrorCode, step: &mut Step) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        self.withdraw_assignments(now, error, step);
        self.prepare_rebalance(now, step);
    }

    fn assignment_reply(&self, member_id: &MemberId) -> SyncReply {
        SyncReply {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member_id).map_or_else(Bytes::new, |m| m.assignment.clone()),
        }
    }

    fn synced(&mut self, member_id: &MemberId) {
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            self.timers.cancel(&Timer::Sync);
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.instance_id.as_deref())?;
        self.validate_generation(request.generation)?;
        let differs = |asked: &Option<Arc<str>>, ours: &Option<Arc<str>>| {
            asked.is_some() && ours.is_some() && asked != ours
        };
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }
}
