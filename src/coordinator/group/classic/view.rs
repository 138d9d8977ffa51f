//! How a group looks from outside (DescribeGroups, ListGroups).

use std::sync::Arc;

use bytes::Bytes;

use super::{Classic, State};
use crate::coordinator::group::MemberId;

/// A group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// State.
    pub state: State,
    /// Kind of protocol, empty when it never had members.
    pub protocol_type: Arc<str>,
    /// Protocol agreed on; empty unless stable.
    pub protocol: Arc<str>,
    /// Members in order of their ids.
    pub members: Vec<MemberView>,
}

/// A member as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Id.
    pub id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where it connects from.
    pub client_host: Arc<str>,
    /// Metadata for the protocol agreed on; empty unless stable.
    pub metadata: Bytes,
    /// Its last assignment; while rebalancing the one that it is giving up.
    pub assignment: Bytes,
}

impl Classic {
    /// A copy of everything that may be shown.
    pub(crate) fn view(&self) -> GroupView {
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| is_stable).unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberView {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable { member.metadata(&protocol) } else { Bytes::new() },
            assignment: member.assignment.clone(),
        });
        GroupView {
            state: self.state,
            protocol_type: self.protocol_type(),
            protocol: protocol.clone(),
            members: members.collect(),
        }
    }

    /// Kind of protocol, empty when the group never had members.
    pub(crate) fn protocol_type(&self) -> Arc<str> {
        self.protocol_type.clone().unwrap_or_default()
    }
}
