//! LeaveGroup.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

use super::shared;
use crate::api::Context;
use crate::coordinator::group::classic::Leaving;
use crate::security::acl::{Operation, ResourceType};

/// First version that takes several members (KIP-345).
const FIRST_BATCH: i16 = 3;

/// Takes members out of a group.
///
/// Versions 0–5. Up to version 2 a member takes itself out and its error is that of the response; from version 3 a
/// request names any number of members, static ones by their instance id alone if need be, and each has an error.
pub async fn leave_group<'a>(cx: &Context<'_>, request: LeaveGroupRequest<'a>) -> LeaveGroupResponse<'a> {
    if let Err(error_code) = cx.permit(Operation::Read, ResourceType::Group, &request.group_id) {
        return LeaveGroupResponse { throttle_time_ms: 0, error_code, members: Vec::new() };
    }
    let members = if cx.version >= FIRST_BATCH {
        request.members
    } else {
        vec![MemberIdentity { member_id: request.member_id, group_instance_id: None, reason: None }]
    };
    let leaving: Vec<_> = members
        .iter()
        .map(|member| Leaving {
            member_id: shared(&member.member_id),
            instance_id: member.group_instance_id.as_deref().map(shared),
        })
        .collect();
    let (error_code, codes) = match cx.broker.groups.leave(&request.group_id, &leaving).await {
        Ok(codes) => (ErrorCode::NONE, codes),
        // No such group: nobody is a member of it.
        Err(ErrorCode::UNKNOWN_MEMBER_ID) => {
            (ErrorCode::NONE, vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()])
        }
        Err(error) => (error, Vec::new()),
    };
    if cx.version < FIRST_BATCH {
        let own = codes.first().copied().unwrap_or(error_code);
        return LeaveGroupResponse { throttle_time_ms: 0, error_code: own, members: Vec::new() };
    }
    LeaveGroupResponse {
        throttle_time_ms: 0,
        error_code,
        members: members
            .into_iter()
            .zip(codes)
            .map(|(member, error_code)| MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                error_code,
            })
            .collect(),
    }
}
