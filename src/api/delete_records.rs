//! DeleteRecords (key 21): move the log start up. Versions 0–2. Offset −1 means the high watermark.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use quipu_storage::{Millis, Offset};

use super::context::Named;
use super::{Context, partition_of};
use crate::security::acl::Operation;
use crate::topic::Topic;

/// "Everything up to the high watermark."
const HIGH_WATERMARK: Offset = -1;

/// Deletes each partition's records before an offset; durable when the answer leaves (L7).
pub async fn delete_records<'a>(
    cx: &Context<'_>,
    request: DeleteRecordsRequest<'a>,
) -> DeleteRecordsResponse<'a> {
    let now = cx.broker.clock.now_ms();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = cx.topic(Operation::Delete, Named::Name(&asked.name));
        let topic = topic.as_deref().map_err(|code| *code);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in &asked.partitions {
            let (low_watermark, error_code) = match delete(cx, topic, partition, now).await {
                Ok(low) => (low, ErrorCode::NONE),
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code,
            });
        }
        topics.push(DeleteRecordsTopicResult { name: asked.name, partitions });
    }
    DeleteRecordsResponse { throttle_time_ms: 0, topics }
}

async fn delete(
    cx: &Context<'_>,
    topic: Result<&Topic, ErrorCode>,
    asked: &DeleteRecordsPartition,
    now: Millis,
) -> Result<Offset, ErrorCode> {
    let topic = topic?;
    let partition = partition_of(Ok(topic), asked.partition_index)?;
    // As in Kafka: the broker's own state is not for clients, and a topic that is only compacted keeps its keys.
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    if topic.config().cleanup.compact && !topic.config().cleanup.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let offset = asked.offset;
    // Waits for the disk, opens the log if it has to, and removes files.
    let deleted = cx.broker.aside(move |_| {
        let delete = || {
            let end = partition.high_watermark(now)?;
            let to = if offset == HIGH_WATERMARK { end } else { offset };
            if !(0..=end).contains(&to) {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
            }
            partition.delete_prefix(to, now)
        };
        Ok(delete())
    });
    deleted.await.map_err(|refused| refused.code)?
}
