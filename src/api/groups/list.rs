//! ListGroups.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use quipu_protocol::primitives::Str;

use super::text;
use crate::api::Context;
use crate::security::acl::{Operation, ResourceType};

/// Lists groups by name.
///
/// Versions 0–5. From version 4 only those in given states (KIP-518), from version 5 only those of given types; names of
/// both are taken in any case, and names that do not exist match nothing. Who may describe the cluster sees all groups,
/// others those that they may describe.
pub async fn list_groups<'a>(cx: &Context<'_>, request: ListGroupsRequest<'a>) -> ListGroupsResponse<'a> {
    let wanted = |filter: &[Str<'_>], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let sees_all = cx.may_on_cluster(Operation::Describe);
    match cx.broker.groups.list() {
        Ok(listings) => ListGroupsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::NONE,
            groups: listings
                .iter()
                .filter(|group| wanted(&request.states_filter, group.state))
                .filter(|group| wanted(&request.types_filter, group.kind.name()))
                .filter(|group| {
                    sees_all || cx.may_quietly(Operation::Describe, ResourceType::Group, &group.id)
                })
                .map(|group| ListedGroup {
                    group_id: text(&group.id),
                    protocol_type: text(&group.protocol_type),
                    group_state: text(group.state),
                    group_type: text(group.kind.name()),
                })
                .collect(),
        },
        Err(error_code) => ListGroupsResponse { throttle_time_ms: 0, error_code, groups: Vec::new() },
    }
}
