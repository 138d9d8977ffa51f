//! ConsumerGroupHeartbeat.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ResponseTopicPartitions,
};
use quipu_protocol::primitives::Str;

use super::{enabled, shared, text};
use crate::api::Context;
use crate::api::permission::message;
use crate::coordinator::assign::{Assignor, Partitions};
use crate::coordinator::group::consumer::{Beat, Refused};
use crate::security::acl::{Operation, ResourceType};

/// First version whose clients make their own member ids (KIP-1082), and that knows regular expressions.
const FIRST_WITH_OWN_ID: i16 = 1;

/// Keeps a member of a consumer group alive (KIP-848): epoch 0 joins, −1 leaves, −2 leaves as a static member that
/// comes back. The answer brings the member's epoch and, when it changes, what it may read; what is missing there it
/// has to revoke, and says so by what it names as its own.
///
/// Versions 0–1. In version 0 a member that joins may leave its id to us; version 1 adds regular expressions.
pub async fn consumer_group_heartbeat<'a>(
    cx: &Context<'_>,
    request: ConsumerGroupHeartbeatRequest<'a>,
) -> ConsumerGroupHeartbeatResponse<'a> {
    let group_id = request.group_id.clone();
    let permitted = enabled(cx).and_then(|()| permit(cx, &request));
    let beaten = match permitted.and_then(|()| check(cx, &request)) {
        Ok(()) => cx.broker.groups.consumer_heartbeat(&group_id, &beat(cx, request), &cx.sees()).await,
        Err(refused) => Err(refused),
    };
    match beaten {
        Ok(reply) => ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::NONE,
            error_message: None,
            member_id: Some(text(&reply.member_id)),
            member_epoch: reply.epoch,
            heartbeat_interval_ms: reply.heartbeat_interval_ms,
            assignment: reply.assignment.map(|partitions| Assignment {
                topic_partitions: partitions
                    .topics()
                    .map(|(topic_id, partitions)| ResponseTopicPartitions {
                        topic_id,
                        partitions: partitions.iter().copied().collect(),
                    })
                    .collect(),
            }),
        },
        Err(Refused { code, message }) => ConsumerGroupHeartbeatResponse {
            error_code: code,
            error_message: Some(text(&message)),
            ..ConsumerGroupHeartbeatResponse::default()
        },
    }
}

fn refused(code: ErrorCode) -> Refused {
    Refused::new(code, message(code))
}

/// Whether the client may read as part of the group, and see the topics that it names. Those that an expression stands for
/// and it may not see are left out later.
fn permit(cx: &Context<'_>, request: &ConsumerGroupHeartbeatRequest<'_>) -> Result<(), Refused> {
    cx.permit(Operation::Read, ResourceType::Group, &request.group_id).map_err(refused)?;
    for topic in request.subscribed_topic_names.iter().flatten() {
        cx.permit(Operation::Describe, ResourceType::Topic, topic).map_err(refused)?;
    }
    Ok(())
}

fn beat(cx: &Context<'_>, request: ConsumerGroupHeartbeatRequest<'_>) -> Beat {
    let member_id = if request.member_id.is_empty() {
        cx.broker.clock.random_uuid().to_string().into()
    } else {
        shared(&request.member_id)
    };
    Beat {
        member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id.as_deref().map(shared),
        rack_id: request.rack_id.as_deref().map(shared),
        client_id: shared(cx.client_id.unwrap_or_default()),
        client_host: cx.client_host().into(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: request.subscribed_topic_names.map(|names| names.iter().map(|name| shared(name)).collect()),
        regex: request.subscribed_topic_regex.as_deref().map(shared),
        assignor: request.server_assignor.as_deref().map(shared),
        owned: request.topic_partitions.map(|topics| {
            let each = topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |&partition| (topic.topic_id, partition)));
            each.collect::<Partitions>()
        }),
    }
}

/// Whether the request makes sense by itself, in Kafka's order.
fn check(cx: &Context<'_>, request: &ConsumerGroupHeartbeatRequest<'_>) -> Result<(), Refused> {
    let invalid = |message: &str| Err(Refused { code: ErrorCode::INVALID_REQUEST, message: message.into() });
    let is_empty = |text: &Option<Str<'_>>| text.as_ref().is_some_and(|text| text.is_empty());
    let epoch = request.member_epoch;
    if request.member_id.is_empty() && (cx.version >= FIRST_WITH_OWN_ID || epoch > 0 || epoch == -1) {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        0 => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        }
        -2 if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..-2 => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let offered = cx.broker.groups.settings().assignors;
    if let Some(name) = &request.server_assignor
        && !Assignor::named(name).is_some_and(|assignor| offered.contains(&assignor))
    {
        let mut names = offered.map(Assignor::name).to_vec();
        names.dedup();
        let names = names.join(", ");
        return Err(Refused {
            code: ErrorCode::UNSUPPORTED_ASSIGNOR,
            message: format!("ServerAssignor {name} is not supported. Supported assignors: {names}."),
        });
    }
    Ok(())
}
