//! OffsetCommit.

use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::commits::{Asked, Commits};
use crate::api::Context;
use crate::api::groups::shared;
use crate::coordinator::group::Committer;
use crate::security::acl::{Operation, ResourceType};

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
    let mut commits = Commits::new(cx.permit(Operation::Read, ResourceType::Group, &request.group_id));
    for topic in &request.topics {
        let id = (cx.version >= FIRST_WITH_IDS).then_some(topic.topic_id);
        let partitions = topic.partitions.iter().map(|partition| Asked {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        });
        commits.topic(cx, &topic.name, id, partitions);
    }

    let committer = Committer {
        member_id: shared(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id_or_member_epoch,
    };
    let retention_ms = (request.retention_time_ms >= 0).then_some(request.retention_time_ms);
    let names_groups = cx.version >= FIRST_WITH_NOT_FOUND;
    let requests = std::mem::take(&mut commits.requests);
    let decided = if requests.is_empty() {
        Ok(Vec::new())
    } else {
        groups.commit(&request.group_id, &committer, requests, retention_ms, names_groups).await
    };
    let codes = commits.codes(decided);
    let topics = request.topics.into_iter().zip(codes).map(|(topic, codes)| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .zip(codes)
            .map(|(partition, code)| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code,
            })
            .collect(),
    });
    OffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}
