//! LeaveGroup: by the members themselves, or by an administrator for static members.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::{Classic, State};
use crate::coordinator::Now;
use crate::coordinator::group::{MemberId, Step, Token};

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its id; empty when an administrator names the instance id only.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
}

impl Classic {
    /// Takes members out; one error code each, in order.
    pub(crate) fn leave(&mut self, now: Now, leaving: &[Leaving], step: &mut Step) -> Vec<ErrorCode> {
        let before = self.members.len();
        let codes = leaving.iter().map(|one| self.leave_one(one, step).err().unwrap_or(ErrorCode::NONE));
        let codes = codes.collect();
        match self.state {
            State::Stable | State::CompletingRebalance if self.members.len() < before => {
                self.prepare_rebalance(now, step);
            }
            State::PreparingRebalance => self.maybe_complete_join(now, step),
            _ => {}
        }
        codes
    }

    fn leave_one(&mut self, leaving: &Leaving, step: &mut Step) -> Result<(), ErrorCode> {
        let member_id = if leaving.member_id.is_empty() {
            leaving
                .instance_id
                .as_ref()
                .and_then(|id| self.static_members.get(id))
                .cloned()
                .ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
        } else {
            if !self.pending_joins.contains(&leaving.member_id) {
                self.validate_member(&leaving.member_id, leaving.instance_id.as_deref())?;
            }
            leaving.member_id.clone()
        };
        self.remove_member(&member_id, step);
        Ok(())
    }

    /// The connection that a parked request came on is gone. A member that nobody else knows the id of leaves with
    /// it; all others have their sessions.
    pub(crate) fn abandon(&mut self, now: Now, token: Token, step: &mut Step) {
        let orphan = self
            .members
            .iter()
            .find(|(_, member)| member.is_anonymous && member.awaiting_join == Some(token))
            .map(|(id, _)| id.clone());
        if let Some(member_id) = orphan {
            self.remove_member(&member_id, step);
            self.maybe_complete_join(now, step);
        }
    }
}
