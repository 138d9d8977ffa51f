//! DescribeGroups.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use quipu_protocol::primitives::Str;

use super::{blob, maybe_text, text};
use crate::api::Context;
use crate::api::permission::NO_OPERATIONS;
use crate::security::acl::{Operation, ResourceType};

/// First version that says that a group does not exist (KIP-1043); before, such a group is `Dead`.
const FIRST_WITH_NOT_FOUND: i16 = 6;

/// Shows groups with their members. Subscriptions are shown of stable groups only, as in Kafka.
///
/// Versions 0–6.
pub async fn describe_groups<'a>(
    cx: &Context<'_>,
    request: DescribeGroupsRequest<'a>,
) -> DescribeGroupsResponse<'a> {
    let tells_operations = request.include_authorized_operations;
    let groups =
        request.groups.into_iter().map(|group_id| describe(cx, group_id, tells_operations)).collect();
    DescribeGroupsResponse { throttle_time_ms: 0, groups }
}

fn describe<'a>(cx: &Context<'_>, group_id: Str<'a>, tells_operations: bool) -> DescribedGroup<'a> {
    if let Err(error_code) = cx.permit(Operation::Describe, ResourceType::Group, &group_id) {
        return DescribedGroup { error_code, group_id, ..Default::default() };
    }
    let authorized_operations = cx.operations(tells_operations, ResourceType::Group, &group_id);
    let view = match cx.broker.groups.describe(&group_id) {
        Ok(view) => view,
        Err(error) => {
            let is_missing = error == ErrorCode::GROUP_ID_NOT_FOUND;
            let is_shown = is_missing && cx.version < FIRST_WITH_NOT_FOUND;
            return DescribedGroup {
                error_code: if is_shown { ErrorCode::NONE } else { error },
                error_message: is_missing.then(|| text(&format!("Group {group_id} not found."))),
                group_id,
                group_state: text(if is_missing { "Dead" } else { "" }),
                protocol_type: text(""),
                protocol_data: text(""),
                members: Vec::new(),
                authorized_operations: if is_shown { authorized_operations } else { NO_OPERATIONS },
            };
        }
    };
    DescribedGroup {
        error_code: ErrorCode::NONE,
        error_message: None,
        group_id,
        group_state: text(view.state.name()),
        protocol_type: text(&view.protocol_type),
        protocol_data: text(&view.protocol),
        members: view
            .members
            .iter()
            .map(|member| DescribedGroupMember {
                member_id: text(&member.id),
                group_instance_id: maybe_text(member.instance_id.as_ref()),
                client_id: text(&member.client_id),
                client_host: text(&member.client_host),
                member_metadata: blob(&member.metadata),
                member_assignment: blob(&member.assignment),
            })
            .collect(),
        authorized_operations,
    }
}
