//! OffsetCommit.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};

use crate::api::Context;
use crate::api::groups::shared;
use crate::coordinator::group::Committer;
use crate::coordinator::group::offsets::CommitRequest;

/// First version whose clients know GROUP_ID_NOT_FOUND (KIP-848).
const FIRST_WITH_NOT_FOUND: i16 = 9;
/// First version that names topics by id (KIP-848).
const FIRST_WITH_IDS: i16 = 10;

/// Commits offsets of a group's member, or, with generation −1, of whoever uses an empty group to keep offsets.
///
/// Versions 2–10. Versions 2–4 may bring a retention of their own, version 6 brings leader epochs, version 10 topic
/// ids. Partitions that do not exist are refused one by one; an error of the group is every partition's.
pub async fn offset_commit<'a>(
    cx: &Context<'_>,
    request: OffsetCommitRequest<'a>,
) -> OffsetCommitResponse<'a> {
    let groups = &cx.broker.groups;
    let mut commits = Vec::new();
    // Codes of what is refused here; NONE stands for what the coordinator decides.
    let mut codes: Vec<Vec<ErrorCode>> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let (name, count, unknown) = resolve(cx, topic);
        codes.push(
            topic
                .partitions
                .iter()
                .map(|partition| {
                    if !(0..count).contains(&partition.partition_index) {
                        return unknown;
                    }
                    commits.push(CommitRequest {
                        topic: name.clone(),
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: shared(partition.committed_metadata.as_deref().unwrap_or_default()),
                    });
                    ErrorCode::NONE
                })
                .collect(),
        );
    }

    let committer = Committer {
        member_id: shared(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id_or_member_epoch,
    };
    let retention_ms = (request.retention_time_ms >= 0).then_some(request.retention_time_ms);
    let names_groups = cx.version >= FIRST_WITH_NOT_FOUND;
    let decided = if commits.is_empty() {
        Ok(Vec::new())
    } else {
        groups.commit(&request.group_id, &committer, commits, retention_ms, names_groups).await
    };
    let mut decided = decided.map(Vec::into_iter);
    let mut decide = |code: ErrorCode| match &mut decided {
        _ if !code.is_none() => code,
        Ok(codes) => codes.next().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(error) => *error,
    };
    let topics = request.topics.into_iter().zip(codes).map(|(topic, codes)| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .zip(codes)
            .map(|(partition, code)| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: decide(code),
            })
            .collect(),
    });
    OffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

/// The topic's name, how many partitions it has (0 if it does not exist), and what to call one that it lacks.
fn resolve(cx: &Context<'_>, topic: &OffsetCommitRequestTopic<'_>) -> (Arc<str>, i32, ErrorCode) {
    let topics = cx.broker.groups.topics();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    if cx.version < FIRST_WITH_IDS {
        return (shared(&topic.name), topics.partitions(&topic.name).unwrap_or(0), unknown);
    }
    match topics.name_of(topic.topic_id) {
        Some(name) => {
            let count = topics.partitions(&name).unwrap_or(0);
            (name, count, unknown)
        }
        None => (shared(""), 0, ErrorCode::UNKNOWN_TOPIC_ID),
    }
}
