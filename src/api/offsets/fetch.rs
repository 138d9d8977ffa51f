//! OffsetFetch.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use quipu_protocol::primitives::{Str, Uuid};

use crate::api::Context;
use crate::api::groups::text;
use crate::coordinator::group::Group;
use crate::coordinator::group::offsets::Committed;
use crate::security::acl::{Operation, ResourceType};

/// First version with an error of the whole group, and in which no topics mean all (KIP-88).
const FIRST_WITH_GROUP_ERROR: i16 = 2;
/// First version that takes several groups (KIP-709).
const FIRST_BATCH: i16 = 8;
/// First version that names topics by id (KIP-848).
const FIRST_WITH_IDS: i16 = 10;

/// Reads committed offsets. A partition without one, also of a group that does not exist, has offset −1.
///
/// Versions 1–10. From version 2 no topics mean all of the group's, from version 7 the client may insist on offsets
/// that no open transaction can change, from version 8 a request names any number of groups, from version 9 the member, which a
/// consumer group checks, and from version 10 topics go by their ids.
///
/// An offset of a topic that has been deleted is not one of the next topic of that name (KAFKA-19154). Kafka sees to that
/// in version 10 only, and not when all topics are asked for; here it holds for every request.
pub async fn offset_fetch<'a>(cx: &Context<'_>, request: OffsetFetchRequest<'a>) -> OffsetFetchResponse<'a> {
    if cx.version >= FIRST_BATCH {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch_group(cx, group, request.require_stable).await);
        }
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    // Before, the one group is answered as the only one of a batch, and unpacked.
    let topics = request.topics.map(|topics| {
        let into = |topic: OffsetFetchRequestTopic<'a>| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes,
        };
        topics.into_iter().map(into).collect()
    });
    let group = fetch_group(
        cx,
        OffsetFetchRequestGroup { group_id: request.group_id, member_id: None, member_epoch: -1, topics },
        request.require_stable,
    )
    .await;
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    });
    OffsetFetchResponse {
        throttle_time_ms: 0,
        topics: topics.collect(),
        error_code: group.error_code,
        groups: Vec::new(),
    }
}

async fn fetch_group<'a>(
    cx: &Context<'_>,
    request: OffsetFetchRequestGroup<'a>,
    require_stable: bool,
) -> OffsetFetchResponseGroup<'a> {
    let OffsetFetchRequestGroup { group_id, topics, member_id, member_epoch } = request;
    if let Err(error_code) = cx.permit(Operation::Describe, ResourceType::Group, &group_id) {
        let topics = topics.filter(|_| cx.version < FIRST_WITH_GROUP_ERROR).unwrap_or_default();
        let topics = topics.into_iter().map(|topic| refuse_topic(topic, error_code)).collect();
        return OffsetFetchResponseGroup { group_id, topics, error_code };
    }
    // Decided before the group is locked, which others wait for.
    let asks_for_all = topics.is_none();
    let permitted = |topic: OffsetFetchRequestTopics<'a>| {
        let name = permitted_name(cx, &topic);
        (topic, name)
    };
    let mut wanted = topics.map(|topics| topics.into_iter().map(permitted).collect::<Vec<_>>());
    let fetched = cx.broker.groups.look(&group_id, |group| {
        if let Some(group) = group {
            group.admit_fetch(member_id.as_deref(), member_epoch)?;
        }
        Ok(match wanted.take() {
            Some(topics) => {
                let fetch = |(topic, name): (OffsetFetchRequestTopics<'a>, _)| match name {
                    Ok(name) => fetch_topic(cx, group, topic, name, require_stable),
                    Err(code) => refuse_topic(topic, code),
                };
                topics.into_iter().map(fetch).collect()
            }
            None => group.map(|group| fetch_all(cx, group, require_stable)).unwrap_or_default(),
        })
    });
    let fetched = fetched.await.and_then(|fetched| fetched);
    let (error_code, topics) = match fetched {
        Ok(mut topics) => {
            if asks_for_all {
                let is_seen = |name: &str| cx.may_quietly(Operation::Describe, ResourceType::Topic, name);
                topics.retain(|topic: &OffsetFetchResponseTopics<'_>| is_seen(&topic.name));
            }
            (ErrorCode::NONE, topics)
        }
        // The oldest version has a place for errors at the partitions only.
        Err(error) if cx.version < FIRST_WITH_GROUP_ERROR => {
            let topics = wanted.unwrap_or_default().into_iter().map(|(topic, _)| refuse_topic(topic, error));
            (error, topics.collect())
        }
        Err(error) => (error, Vec::new()),
    };
    OffsetFetchResponseGroup { group_id, topics, error_code }
}

/// The name of the topic that is meant, if the client may see it.
fn permitted_name<'a>(cx: &Context<'_>, topic: &OffsetFetchRequestTopics<'a>) -> Result<Str<'a>, ErrorCode> {
    let name = if cx.version < FIRST_WITH_IDS {
        topic.name.clone()
    } else {
        let name = cx.broker.groups.topics().name_of(topic.topic_id);
        text(&name.ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?)
    };
    cx.permit(Operation::Describe, ResourceType::Topic, &name).map(|()| name)
}

fn fetch_topic<'a>(
    cx: &Context<'_>,
    group: Option<&Group>,
    topic: OffsetFetchRequestTopics<'a>,
    name: Str<'a>,
    require_stable: bool,
) -> OffsetFetchResponseTopics<'a> {
    let id = cx.broker.groups.topics().id_of(&name);
    let partitions = topic.partition_indexes.iter().map(|&index| match group {
        Some(group) if require_stable && group.is_unstable(&name, index) => unstable(index),
        _ => {
            let committed = group.and_then(|group| group.committed(&name, index));
            partition(index, committed.filter(|committed| counts(committed, id)), ErrorCode::NONE)
        }
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name, topic_id: topic.topic_id, partitions }
}

fn fetch_all(
    cx: &Context<'_>,
    group: &Group,
    require_stable: bool,
) -> Vec<OffsetFetchResponseTopics<'static>> {
    let mut topics: Vec<OffsetFetchResponseTopics<'static>> = Vec::new();
    for (name, index, committed) in group.all_committed() {
        if topics.last().is_none_or(|topic| topic.name != **name) {
            let topic_id = cx.broker.groups.topics().id_of(name).unwrap_or(Uuid::ZERO);
            topics.push(OffsetFetchResponseTopics { name: text(name), topic_id, partitions: Vec::new() });
        }
        let found = if require_stable && group.is_unstable(name, index) {
            unstable(index)
        } else {
            partition(index, Some(committed), ErrorCode::NONE)
        };
        let topic = topics.last_mut().expect("pushed above");
        if counts(committed, Some(topic.topic_id).filter(|id| !id.is_zero())) {
            topic.partitions.push(found);
        }
    }
    topics.retain(|topic| !topic.partitions.is_empty());
    if cx.version >= FIRST_WITH_IDS {
        // A topic without an id is on its way out and could not be told from others.
        topics.retain(|topic| !topic.topic_id.is_zero());
    }
    topics
}

/// Whether it is one of the topic that has the name now. Of one that is being deleted nothing is told apart.
fn counts(committed: &Committed, id: Option<Uuid>) -> bool {
    id.is_none_or(|id| committed.is_of(id))
}

fn refuse_topic(topic: OffsetFetchRequestTopics<'_>, error: ErrorCode) -> OffsetFetchResponseTopics<'_> {
    let partitions = topic.partition_indexes.iter().map(|&index| partition(index, None, error)).collect();
    OffsetFetchResponseTopics { name: topic.name, topic_id: topic.topic_id, partitions }
}

/// An open transaction may still change the offset (KIP-447): the client has to come again.
fn unstable(index: i32) -> OffsetFetchResponsePartitions<'static> {
    partition(index, None, ErrorCode::UNSTABLE_OFFSET_COMMIT)
}

fn partition(
    partition_index: i32,
    committed: Option<&Committed>,
    error_code: ErrorCode,
) -> OffsetFetchResponsePartitions<'static> {
    let metadata: Str<'static> = committed.map_or_else(|| text(""), |committed| text(&committed.metadata));
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(metadata),
        error_code,
    }
}
