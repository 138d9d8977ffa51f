//! ConsumerGroupDescribe.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    TopicPartitions,
};
use quipu_protocol::primitives::Str;

use super::describe::{ALL_OPERATIONS, OPERATIONS_OMITTED};
use super::{enabled, maybe_text, text};
use crate::api::Context;
use crate::coordinator::assign::Partitions;
use crate::coordinator::group::consumer::{ConsumerMemberView, Refused};

/// A member that speaks the classic protocol.
const CLASSIC_MEMBER: i8 = 0;
/// A member that speaks the consumer protocol.
const CONSUMER_MEMBER: i8 = 1;

/// Shows consumer groups (KIP-848) with their members: what each has, and what it is to have.
///
/// Versions 0–1. Version 1 says which protocol a member speaks.
pub async fn consumer_group_describe<'a>(
    cx: &Context<'_>,
    request: ConsumerGroupDescribeRequest<'a>,
) -> ConsumerGroupDescribeResponse<'a> {
    let operations = if request.include_authorized_operations { ALL_OPERATIONS } else { OPERATIONS_OMITTED };
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        groups.push(describe(cx, group_id, operations).await);
    }
    ConsumerGroupDescribeResponse { throttle_time_ms: 0, groups }
}

async fn describe<'a>(cx: &Context<'_>, group_id: Str<'a>, operations: i32) -> DescribedGroup<'a> {
    if let Err(Refused { code, message }) = enabled(cx) {
        return DescribedGroup {
            group_id,
            error_code: code,
            error_message: Some(Str::Owned(message)),
            ..Default::default()
        };
    }
    if group_id.is_empty() {
        return DescribedGroup { group_id, error_code: ErrorCode::INVALID_GROUP_ID, ..Default::default() };
    }
    match cx.broker.groups.describe_consumer(&group_id).await {
        Ok(view) => DescribedGroup {
            error_code: ErrorCode::NONE,
            error_message: None,
            group_id,
            group_state: text(view.state.name()),
            group_epoch: view.epoch,
            assignment_epoch: view.target_epoch,
            assignor_name: text(view.assignor.name()),
            members: view.members.iter().map(|view| member(cx, view)).collect(),
            authorized_operations: operations,
        },
        Err(Refused { code, message }) => DescribedGroup {
            error_code: code,
            error_message: Some(text(&message)),
            group_id,
            ..Default::default()
        },
    }
}

fn member(cx: &Context<'_>, view: &ConsumerMemberView) -> Member<'static> {
    let ConsumerMemberView { id, subscription, current, target } = view;
    Member {
        member_id: text(id),
        instance_id: maybe_text(subscription.instance_id.as_ref()),
        rack_id: maybe_text(subscription.rack_id.as_ref()),
        member_epoch: current.epoch,
        client_id: text(&subscription.client_id),
        client_host: text(&subscription.client_host),
        subscribed_topic_names: subscription.topics.iter().map(|name| text(name)).collect(),
        // Kafka has the empty text where there is none.
        subscribed_topic_regex: Some(maybe_text(subscription.regex.as_ref()).unwrap_or_default()),
        assignment: assignment(cx, &current.assigned),
        target_assignment: assignment(cx, target),
        member_type: if subscription.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
    }
}

/// Partitions with the names of their topics; topics that are gone are left out.
fn assignment(cx: &Context<'_>, partitions: &Partitions) -> Assignment<'static> {
    let topics = cx.broker.groups.topics();
    let of = |(topic_id, partitions): (_, &std::collections::BTreeSet<i32>)| {
        let topic_name = text(&topics.name_of(topic_id)?);
        Some(TopicPartitions { topic_id, topic_name, partitions: partitions.iter().copied().collect() })
    };
    Assignment { topic_partitions: partitions.topics().filter_map(of).collect() }
}
