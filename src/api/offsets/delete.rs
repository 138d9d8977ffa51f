//! OffsetDelete.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use crate::api::Context;
use crate::api::groups::shared;

/// Removes committed offsets of topics that no member of the group reads.
///
/// Version 0. Topics that do not exist are refused one by one; an error of the group is the response's.
pub async fn offset_delete<'a>(
    cx: &Context<'_>,
    request: OffsetDeleteRequest<'a>,
) -> OffsetDeleteResponse<'a> {
    let groups = &cx.broker.groups;
    let exists = |name: &str| groups.topics().partitions(name).is_some();
    let known: Vec<bool> = request.topics.iter().map(|topic| exists(&topic.name)).collect();
    let asked: Vec<_> = request
        .topics
        .iter()
        .zip(&known)
        .filter(|(_, known)| **known)
        .flat_map(|(topic, _)| {
            let name = shared(&topic.name);
            topic.partitions.iter().map(move |partition| (name.clone(), partition.partition_index))
        })
        .collect();
    let mut codes = match groups.delete_offsets(&request.group_id, &asked).await {
        Ok(codes) => codes.into_iter(),
        Err(error_code) => {
            return OffsetDeleteResponse { error_code, throttle_time_ms: 0, topics: Vec::new() };
        }
    };
    let topics = request.topics.into_iter().zip(known).map(|(topic, known)| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: if known {
                    codes.next().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)
                } else {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                },
            })
            .collect(),
    });
    OffsetDeleteResponse { error_code: ErrorCode::NONE, throttle_time_ms: 0, topics: topics.collect() }
}
