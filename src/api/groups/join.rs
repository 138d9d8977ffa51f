//! JoinGroup.

use bytes::Bytes;
use quipu_protocol::message::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::{blob, maybe_text, shared, text};
use crate::api::Context;
use crate::coordinator::group::JoinReply;
use crate::coordinator::group::classic::{JoinRequest, Protocol};
use crate::security::acl::{Operation, ResourceType};

/// First version whose clients come back with the member id that they are given (KIP-394).
const FIRST_WITH_KNOWN_ID: i16 = 4;
/// First version in which a response need not name a protocol.
const FIRST_WITH_NO_PROTOCOL: i16 = 7;
/// First version in which a leader can be told to assign nothing (KIP-814).
const FIRST_WITH_SKIP: i16 = 9;

/// Makes the client a member of a group, or calls it into the group's next generation. Waits until all members
/// have joined, or the rebalance timeout is over.
///
/// Versions 0–9. Version 0 has no rebalance timeout: the session timeout counts for both. From version 4 a new dynamic
/// member first gets MEMBER_ID_REQUIRED and its id, from version 5 members may be static, from version 9 a static
/// leader that comes back is told that it need not assign.
pub async fn join_group<'a>(cx: &Context<'_>, request: JoinGroupRequest<'a>) -> JoinGroupResponse<'a> {
    let protocols = request.protocols.into_iter().map(|protocol| Protocol {
        name: shared(&protocol.name),
        metadata: Bytes::from(protocol.metadata.into_owned()),
    });
    let join = JoinRequest {
        member_id: shared(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(shared),
        client_id: shared(cx.client_id.unwrap_or_default()),
        client_host: cx.client_host().into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: shared(&request.protocol_type),
        protocols: protocols.collect(),
        fresh_id: shared(""),
        must_know_id: cx.version >= FIRST_WITH_KNOWN_ID,
        may_skip_assignment: cx.version >= FIRST_WITH_SKIP,
    };
    let reply = match cx.permit(Operation::Read, ResourceType::Group, &request.group_id) {
        Ok(()) => cx.broker.groups.join(&request.group_id, join, &cx.sees()).await,
        Err(code) => JoinReply::refuse(code, shared("")),
    };
    let protocol_name = maybe_text(reply.protocol.as_ref());
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        generation_id: reply.generation,
        protocol_type: maybe_text(reply.protocol_type.as_ref()),
        protocol_name: if cx.version < FIRST_WITH_NO_PROTOCOL {
            Some(protocol_name.unwrap_or_default())
        } else {
            protocol_name
        },
        leader: text(&reply.leader),
        skip_assignment: reply.skip_assignment,
        member_id: text(&reply.member_id),
        members: reply
            .members
            .iter()
            .map(|member| JoinGroupResponseMember {
                member_id: text(&member.id),
                group_instance_id: maybe_text(member.instance_id.as_ref()),
                metadata: blob(&member.metadata),
            })
            .collect(),
    }
}
