//! Metadata (key 3) and DescribeTopicPartitions (key 75): which topics exist and who leads them.
//!
//! Metadata 0–13: version 1 tells "all" (null) from "none" (empty); 10 and 12 name topics by id; 4 lets a client
//! forbid auto-creation. A topic that is created on the way is usable when the answer arrives: Kafka answers
//! LEADER_NOT_AVAILABLE first and lets the client come back. DescribeTopicPartitions 0 is paged (KIP-966).

use std::collections::HashSet;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, ResponseCursor,
    TopicRequest,
};
use quipu_protocol::message::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use quipu_protocol::primitives::{Str, Uuid};

use super::Context;
use super::context::Named;
use crate::broker::CreateTopic;
use crate::internal::offsets;
use crate::security::acl::Operation::{Create, Describe};
use crate::security::acl::ResourceType;
use crate::topic::{LEADER_EPOCH, OFFSETS_TOPIC, Topic, is_internal};

/// First version in which a request may name topics by id.
const IDS_ASKED_SINCE: i16 = 12;

/// Describes the topics asked for, creating missing ones where that is allowed.
pub async fn metadata<'a>(cx: &Context<'_>, request: MetadataRequest<'a>) -> MetadataResponse<'a> {
    if let Some(refused) = request.topics.as_deref().and_then(|topics| refuse_ids(cx, topics)) {
        return refused;
    }
    let tells_operations = request.include_topic_authorized_operations;
    // Version 0 has no null: its empty list asks for everything.
    let topics = match request.topics {
        Some(asked) if !(cx.version == 0 && asked.is_empty()) => {
            let mut topics = Vec::with_capacity(asked.len());
            for asked in once_each(asked) {
                topics.push(match find(cx, &asked, request.allow_auto_topic_creation).await {
                    Ok(topic) => describe(cx, &topic, tells_operations),
                    Err(code) => unknown(asked, code),
                });
            }
            topics
        }
        _ => {
            let all = cx.broker.topics.all();
            let seen = all.iter().filter(|topic| cx.may_quietly(Describe, ResourceType::Topic, topic.name()));
            seen.map(|topic| describe(cx, topic, tells_operations)).collect()
        }
    };
    let address = cx.broker.address_for(cx.local_addr);
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: cx.broker.node_id(),
            host: Str::Owned(address.host),
            port: i32::from(address.port),
            rack: cx.broker.settings().rack.clone().map(Str::Owned),
        }],
        cluster_id: Some(Str::Owned(cx.broker.cluster_id().to_owned())),
        controller_id: cx.broker.node_id(),
        topics,
        cluster_authorized_operations: cx.cluster_operations(request.include_cluster_authorized_operations),
        ..Default::default()
    }
}

/// Topics may be asked for by id since version 12 only, though the field is there since 10.
fn refuse_ids<'a>(cx: &Context<'_>, asked: &[MetadataRequestTopic<'_>]) -> Option<MetadataResponse<'a>> {
    let is_wrong = |topic: &MetadataRequestTopic<'_>| topic.name.is_none() || !topic.topic_id.is_zero();
    if cx.version >= IDS_ASKED_SINCE || !asked.iter().any(is_wrong) {
        return None;
    }
    let refuse = |topic: &MetadataRequestTopic<'_>| MetadataResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(Str::Owned(topic.name.as_deref().unwrap_or_default().to_owned())),
        topic_id: topic.topic_id,
        ..Default::default()
    };
    Some(MetadataResponse { topics: asked.iter().map(refuse).collect(), ..Default::default() })
}

/// A topic named twice is answered once.
fn once_each(asked: Vec<MetadataRequestTopic<'_>>) -> Vec<MetadataRequestTopic<'_>> {
    let mut seen = HashSet::new();
    asked.into_iter().filter(|topic| seen.insert((topic.topic_id, topic.name.clone()))).collect()
}

async fn find(
    cx: &Context<'_>,
    asked: &MetadataRequestTopic<'_>,
    may_create: bool,
) -> Result<std::sync::Arc<Topic>, ErrorCode> {
    // Java names the empty string beside an id (its consumer of a regular expression asks so).
    let Some(name) = asked.name.as_deref().filter(|_| asked.topic_id.is_zero()) else {
        return cx.topic(Describe, Named::Id(asked.topic_id));
    };
    match cx.topic(Describe, Named::Name(name)) {
        // It could come to be.
        Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
        found => return found,
    }
    crate::topic::check_name(name).map_err(|_| ErrorCode::INVALID_TOPIC_EXCEPTION)?;
    if !(may_create && cx.broker.settings().topics.auto_create) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    if !cx.may_on_cluster(Create) {
        cx.permit(Create, ResourceType::Topic, name)?;
    }
    if is_internal(name) {
        // Whoever looks for the offsets' topic before any group exists gets the real one, not one by that name.
        return if name == OFFSETS_TOPIC {
            cx.internal_topic(name, offsets::topic).await
        } else {
            Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        };
    }
    let plan = CreateTopic::with_defaults(name);
    match cx.broker.aside(move |broker| broker.create_topic(plan)).await {
        Ok(topic) => Ok(topic),
        // Two clients asked at the same moment: the other one's topic is as good.
        Err(error) => cx.broker.topics.by_name(name).ok_or(error.code),
    }
}

fn unknown<'a>(asked: MetadataRequestTopic<'a>, code: ErrorCode) -> MetadataResponseTopic<'a> {
    MetadataResponseTopic {
        error_code: code,
        name: asked.name.filter(|_| asked.topic_id.is_zero()),
        topic_id: asked.topic_id,
        ..Default::default()
    }
}

fn describe<'a>(cx: &Context<'_>, topic: &Topic, tells_operations: bool) -> MetadataResponseTopic<'a> {
    let node = cx.broker.node_id();
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(Str::Owned(topic.name().to_string())),
        topic_id: topic.id(),
        is_internal: topic.is_internal(),
        partitions: topic
            .partitions()
            .iter()
            .map(|partition| MetadataResponsePartition {
                error_code: ErrorCode::NONE,
                partition_index: partition.index(),
                leader_id: node,
                leader_epoch: LEADER_EPOCH,
                replica_nodes: vec![node],
                isr_nodes: vec![node],
                offline_replicas: offline(node, partition),
            })
            .collect(),
        topic_authorized_operations: cx.operations(tells_operations, ResourceType::Topic, topic.name()),
    }
}

/// The replicas that take no records. Ours still leads, because it can be read.
fn offline(node: i32, partition: &crate::topic::Partition) -> Vec<i32> {
    partition.fault().map(|_| node).into_iter().collect()
}

/// Describes topics in order of name, at most a page of partitions at a time.
pub async fn describe_topic_partitions<'a>(
    cx: &Context<'_>,
    request: DescribeTopicPartitionsRequest<'a>,
) -> DescribeTopicPartitionsResponse<'a> {
    let names_all = request.topics.is_empty();
    let (first_topic, first_partition) = match &request.cursor {
        Some(cursor) => (&*cursor.topic_name, cursor.partition_index),
        None => ("", 0),
    };
    let is_lost = |cursor: &Cursor<'_>| request.topics.iter().all(|topic| topic.name != cursor.topic_name);
    if first_partition < 0 || !names_all && request.cursor.as_ref().is_some_and(is_lost) {
        return refuse_page(request.topics);
    }
    let mut names: Vec<String> = if names_all {
        cx.broker.topics.all().iter().map(|topic| topic.name().to_string()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    names.retain(|name| name.as_str() >= first_topic);
    names.sort();
    names.dedup();
    let mut hidden = Vec::new();
    names.retain(|name| {
        let may = |name| match names_all {
            true => cx.may_quietly(Describe, ResourceType::Topic, name),
            false => cx.may(Describe, ResourceType::Topic, name),
        };
        let is_seen = may(name);
        if !is_seen && !names_all {
            hidden.push(DescribeTopicPartitionsResponseTopic {
                error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                name: Some(Str::Owned(name.clone())),
                ..Default::default()
            });
        }
        is_seen
    });
    let most = cx.broker.settings().network.max_request_partitions;
    let mut room = usize::try_from(request.response_partition_limit).unwrap_or(0).min(most).max(1);
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in names {
        let from = if name == first_topic { first_partition as usize } else { 0 };
        if room == 0 {
            next_cursor = Some(ResponseCursor { topic_name: Str::Owned(name), partition_index: from as i32 });
            break;
        }
        let Some(topic) = cx.broker.topics.by_name(&name) else {
            let code = match crate::topic::check_name(&name) {
                Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            };
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: code,
                topic_authorized_operations: cx.authorized_operations(ResourceType::Topic, &name),
                name: Some(Str::Owned(name)),
                topic_id: Uuid::ZERO,
                ..Default::default()
            });
            continue;
        };
        let all = topic.partitions();
        let until = all.len().min(from.saturating_add(room));
        let page = all.get(from..until).unwrap_or_default();
        topics.push(describe_page(cx, &topic, page));
        room -= page.len();
        if until < all.len() {
            next_cursor =
                Some(ResponseCursor { topic_name: Str::Owned(name), partition_index: until as i32 });
            break;
        }
    }
    // Kafka names them last, and on every page.
    topics.append(&mut hidden);
    DescribeTopicPartitionsResponse { throttle_time_ms: 0, topics, next_cursor }
}

/// Refuses a cursor that is on no partition or on none of the topics. Names only what the client named.
fn refuse_page<'a>(asked: Vec<TopicRequest<'a>>) -> DescribeTopicPartitionsResponse<'a> {
    let refuse = |topic: TopicRequest<'a>| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(topic.name),
        ..Default::default()
    };
    DescribeTopicPartitionsResponse { topics: asked.into_iter().map(refuse).collect(), ..Default::default() }
}

fn describe_page<'a>(
    cx: &Context<'_>,
    topic: &Topic,
    page: &[std::sync::Arc<crate::topic::Partition>],
) -> DescribeTopicPartitionsResponseTopic<'a> {
    let node = cx.broker.node_id();
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(Str::Owned(topic.name().to_string())),
        topic_id: topic.id(),
        is_internal: topic.is_internal(),
        partitions: page
            .iter()
            .map(|partition| DescribeTopicPartitionsResponsePartition {
                error_code: ErrorCode::NONE,
                partition_index: partition.index(),
                leader_id: node,
                leader_epoch: LEADER_EPOCH,
                replica_nodes: vec![node],
                isr_nodes: vec![node],
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                offline_replicas: offline(node, partition),
            })
            .collect(),
        topic_authorized_operations: cx.authorized_operations(ResourceType::Topic, topic.name()),
    }
}
