//! SyncGroup.

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{blob, maybe_text, shared};
use crate::api::Context;
use crate::coordinator::group::SyncReply;
use crate::coordinator::group::classic::SyncRequest;
use crate::security::acl::{Operation, ResourceType};

/// First version that has to name the protocol that the client believes in (KIP-559).
const FIRST_WITH_PROTOCOL: i16 = 5;

/// Hands in the leader's assignment and gives each member its own. Followers wait for the leader.
///
/// Versions 0–5. From version 5 the protocol type and name are mandatory and have to agree with the group's.
pub async fn sync_group<'a>(cx: &Context<'_>, request: SyncGroupRequest<'a>) -> SyncGroupResponse<'a> {
    let lacks_protocol = request.protocol_type.is_none() || request.protocol_name.is_none();
    let reply = if cx.version >= FIRST_WITH_PROTOCOL && lacks_protocol {
        SyncReply::refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
    } else if let Err(code) = cx.permit(Operation::Read, ResourceType::Group, &request.group_id) {
        SyncReply::refuse(code)
    } else {
        let assignments = request
            .assignments
            .into_iter()
            .map(|given| (shared(&given.member_id), Bytes::from(given.assignment.into_owned())));
        let sync = SyncRequest {
            member_id: shared(&request.member_id),
            instance_id: request.group_instance_id.as_deref().map(shared),
            generation: request.generation_id,
            protocol_type: request.protocol_type.as_deref().map(shared),
            protocol: request.protocol_name.as_deref().map(shared),
            assignments: assignments.collect(),
        };
        cx.broker.groups.sync(&request.group_id, sync).await
    };
    SyncGroupResponse {
        throttle_time_ms: 0,
        error_code: reply.error,
        protocol_type: maybe_text(reply.protocol_type.as_ref()),
        protocol_name: maybe_text(reply.protocol.as_ref()),
        assignment: blob(&reply.assignment),
    }
}
