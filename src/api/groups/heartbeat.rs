//! Heartbeat.

use quipu_protocol::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::shared;
use crate::api::Context;
use crate::security::acl::{Operation, ResourceType};

/// Keeps a member's session alive, and tells it when it has to join again (REBALANCE_IN_PROGRESS).
///
/// Versions 0–4.
pub async fn heartbeat<'a>(cx: &Context<'_>, request: HeartbeatRequest<'a>) -> HeartbeatResponse {
    if let Err(error_code) = cx.permit(Operation::Read, ResourceType::Group, &request.group_id) {
        return HeartbeatResponse { throttle_time_ms: 0, error_code };
    }
    let error_code = cx.broker.groups.heartbeat(
        &request.group_id,
        &shared(&request.member_id),
        request.group_instance_id.as_deref(),
        request.generation_id,
    );
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}
