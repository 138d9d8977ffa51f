//! DeleteGroups.

use std::collections::HashSet;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::text;
use crate::api::Context;
use crate::security::acl::{Operation, ResourceType};

/// Deletes groups without members, with their offsets.
///
/// Versions 0–3. From version 3 an error has a message.
pub async fn delete_groups<'a>(
    cx: &Context<'_>,
    request: DeleteGroupsRequest<'a>,
) -> DeleteGroupsResponse<'a> {
    let mut results = Vec::with_capacity(request.groups_names.len());
    let mut seen = HashSet::new();
    for group_id in request.groups_names {
        // A group named twice is answered once.
        if !seen.insert(group_id.clone()) {
            continue;
        }
        let deleted = match cx.permit(Operation::Delete, ResourceType::Group, &group_id) {
            Ok(()) => cx.broker.groups.delete(&group_id).await,
            refused => refused,
        };
        let error_code = deleted.err().unwrap_or(ErrorCode::NONE);
        let error_message = match error_code {
            ErrorCode::GROUP_ID_NOT_FOUND => Some(text(&format!("Group {group_id} not found."))),
            ErrorCode::NON_EMPTY_GROUP => Some(text(&format!("Group {group_id} still has members."))),
            _ => None,
        };
        results.push(DeletableGroupResult { group_id, error_code, error_message });
    }
    DeleteGroupsResponse { throttle_time_ms: 0, results }
}
