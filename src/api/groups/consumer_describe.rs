//! ConsumerGroupDescribe.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    TopicPartitions,
};
use quipu_protocol::primitives::Str;

use super::{enabled, maybe_text, text};
use crate::api::Context;
use crate::coordinator::assign::Partitions;
use crate::coordinator::group::consumer::{ConsumerMemberView, Refused};
use crate::security::acl::{Operation, ResourceType};

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
    let tells_operations = request.include_authorized_operations;
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        groups.push(describe(cx, group_id, tells_operations).await);
    }
    ConsumerGroupDescribeResponse { throttle_time_ms: 0, groups }
}

async fn describe<'a>(cx: &Context<'_>, group_id: Str<'a>, tells_operations: bool) -> DescribedGroup<'a> {
    if let Err(Refused { code, message }) = enabled(cx) {
        return DescribedGroup {
            group_id,
            error_code: code,
            error_message: Some(Str::Owned(message)),
            ..Default::default()
        };
    }
    if let Err(error_code) = cx.permit(Operation::Describe, ResourceType::Group, &group_id) {
        return DescribedGroup { group_id, error_code, ..Default::default() };
    }
    if group_id.is_empty() {
        return DescribedGroup { group_id, error_code: ErrorCode::INVALID_GROUP_ID, ..Default::default() };
    }
    match cx.broker.groups.describe_consumer(&group_id).await {
        Ok(view) => hide(
            cx,
            DescribedGroup {
                error_code: ErrorCode::NONE,
                error_message: None,
                authorized_operations: cx.operations(tells_operations, ResourceType::Group, &group_id),
                group_id,
                group_state: text(view.state.name()),
                group_epoch: view.epoch,
                assignment_epoch: view.target_epoch,
                assignor_name: text(view.assignor.name()),
                members: view.members.iter().map(|view| member(cx, view)).collect(),
            },
        ),
        Err(Refused { code, message }) => DescribedGroup {
            error_code: code,
            error_message: Some(text(&message)),
            group_id,
            ..Default::default()
        },
    }
}

/// Topics that the client may not describe are not shown to it, nor is what a group does with them.
fn hide<'a>(cx: &Context<'_>, group: DescribedGroup<'a>) -> DescribedGroup<'a> {
    if cx.broker.authorizer.is_none() {
        return group;
    }
    let assignments = group.members.iter().flat_map(|member| [&member.assignment, &member.target_assignment]);
    let mut topics: Vec<&Str<'_>> =
        assignments.flat_map(|it| &it.topic_partitions).map(|topic| &topic.topic_name).collect();
    topics.sort_unstable();
    topics.dedup();
    let is_seen = |topic: &&Str<'_>| cx.may(Operation::Describe, ResourceType::Topic, topic);
    if topics.iter().all(is_seen) {
        return group;
    }
    DescribedGroup {
        group_id: group.group_id,
        error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        error_message: Some(text(
            "The group has described topic(s) that the client is not authorized to describe.",
        )),
        ..Default::default()
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
        assignment: assignment(cx, &current.assigned.partitions()),
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
