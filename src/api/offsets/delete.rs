//! OffsetDelete.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use crate::api::Context;
use crate::api::groups::shared;
use crate::security::acl::{Operation, ResourceType};

/// Removes committed offsets of topics that no member of the group reads.
///
/// Version 0. Partitions that do not exist are refused one by one; an error of the group is the response's.
pub async fn offset_delete<'a>(
    cx: &Context<'_>,
    request: OffsetDeleteRequest<'a>,
) -> OffsetDeleteResponse<'a> {
    if let Err(error_code) = cx.permit(Operation::Delete, ResourceType::Group, &request.group_id) {
        return OffsetDeleteResponse { error_code, throttle_time_ms: 0, topics: Vec::new() };
    }
    let groups = &cx.broker.groups;
    let exists = |topic: &OffsetDeleteRequestTopic<'_>, index: i32| {
        groups.topics().partitions(&topic.name).is_some_and(|count| (0..count).contains(&index))
    };
    let mut asked = Vec::new();
    // NONE stands for what the coordinator decides.
    let mut refused: Vec<Vec<ErrorCode>> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let name = shared(&topic.name);
        let permitted = cx.permit(Operation::Read, ResourceType::Topic, &name);
        let codes = topic.partitions.iter().map(|partition| {
            if let Err(code) = permitted {
                return code;
            }
            if !exists(topic, partition.partition_index) {
                return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            }
            asked.push((name.clone(), partition.partition_index));
            ErrorCode::NONE
        });
        refused.push(codes.collect());
    }
    let mut codes = match groups.delete_offsets(&request.group_id, &asked).await {
        Ok(codes) => codes.into_iter(),
        Err(error_code) => {
            return OffsetDeleteResponse { error_code, throttle_time_ms: 0, topics: Vec::new() };
        }
    };
    let topics = request.topics.into_iter().zip(refused).map(|(topic, refused)| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .zip(refused)
            .map(|(partition, refused)| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: if refused.is_none() {
                    codes.next().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)
                } else {
                    refused
                },
            })
            .collect(),
    });
    OffsetDeleteResponse { error_code: ErrorCode::NONE, throttle_time_ms: 0, topics: topics.collect() }
}
