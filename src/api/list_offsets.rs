//! ListOffsets (key 2) and OffsetForLeaderEpoch (key 23): where a log starts, ends, or passes a time.
//!
//! ListOffsets 1–11. Special timestamps: −1 latest, −2 earliest, −3 the record with the newest timestamp
//! (version 7), −4 earliest local (8), −5 latest tiered (9), −6 earliest pending upload (11). Nothing is tiered
//! here: −4 is the log start, −5 and −6 have no offset.

use std::collections::BTreeMap;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use quipu_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use quipu_storage::{Millis, Offset};

use super::fetch::{READ_COMMITTED, check_leader_epoch};
use super::{Context, partition_of};
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::topic::{LEADER_EPOCH, Topic};

const LATEST: Millis = -1;
const EARLIEST: Millis = -2;
const MAX_TIMESTAMP: Millis = -3;
const EARLIEST_LOCAL: Millis = -4;
const LATEST_TIERED: Millis = -5;
const EARLIEST_PENDING_UPLOAD: Millis = -6;

/// "No such offset", "no timestamp".
const NONE: i64 = -1;

/// Finds an offset per partition.
pub async fn list_offsets<'a>(cx: &Context<'_>, request: ListOffsetsRequest<'a>) -> ListOffsetsResponse<'a> {
    let now = cx.broker.clock.now_ms();
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = cx
                .permit(Operation::Describe, ResourceType::Topic, &asked.name)
                .map(|()| cx.broker.topics.by_name(&asked.name));
            let topic = topic.as_ref().map(Option::as_deref).map_err(|code| *code);
            let mut times_asked: BTreeMap<i32, usize> = BTreeMap::new();
            for partition in &asked.partitions {
                *times_asked.entry(partition.partition_index).or_default() += 1;
            }
            let partitions = asked
                .partitions
                .iter()
                // Asked for twice, a partition is refused once.
                .filter_map(|p| match times_asked.remove(&p.partition_index)? {
                    1 => Some(answer(cx, topic, p, request.isolation_level, now)),
                    _ => Some(ListOffsetsPartitionResponse {
                        partition_index: p.partition_index,
                        error_code: ErrorCode::INVALID_REQUEST,
                        timestamp: NONE,
                        offset: NONE,
                        leader_epoch: -1,
                    }),
                })
                .collect();
            ListOffsetsTopicResponse { name: asked.name, partitions }
        })
        .collect();
    ListOffsetsResponse { throttle_time_ms: 0, topics }
}

fn answer(
    cx: &Context<'_>,
    topic: Result<Option<&Topic>, ErrorCode>,
    asked: &ListOffsetsPartition,
    isolation_level: i8,
    now: Millis,
) -> ListOffsetsPartitionResponse {
    let (error_code, offset, timestamp) = match find(cx, topic, asked, isolation_level, now) {
        Ok((offset, timestamp)) => (ErrorCode::NONE, offset, timestamp),
        Err(code) => (code, NONE, NONE),
    };
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code,
        timestamp,
        offset,
        leader_epoch: if offset == NONE { -1 } else { LEADER_EPOCH },
    }
}

fn find(
    cx: &Context<'_>,
    topic: Result<Option<&Topic>, ErrorCode>,
    asked: &ListOffsetsPartition,
    isolation_level: i8,
    now: Millis,
) -> Result<(Offset, Millis), ErrorCode> {
    let partition = partition_of(topic?, asked.partition_index)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    let reader = partition.reader(now)?;
    let end = if isolation_level == READ_COMMITTED {
        partition.last_stable_offset(now)?
    } else {
        partition.high_watermark(now)?
    };
    // A version that does not know a special timestamp does not get its meaning.
    let since = match asked.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    };
    if cx.version < since {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    let broken = |error: quipu_storage::ReadError| partition.read_failed(&error);
    match asked.timestamp {
        LATEST => Ok((end, NONE)),
        EARLIEST | EARLIEST_LOCAL => Ok((reader.log_start_offset(), NONE)),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok((NONE, NONE)),
        MAX_TIMESTAMP => Ok(reader.max_timestamp(end).map_err(broken)?.unwrap_or((NONE, NONE))),
        timestamp if timestamp >= 0 => {
            Ok(reader.offset_for_timestamp(timestamp, end).map_err(broken)?.unwrap_or((NONE, NONE)))
        }
        _ => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

/// Where an epoch ended, so that a client can tell whether the log was cut behind its back (KIP-320).
pub async fn offset_for_leader_epoch<'a>(
    cx: &Context<'_>,
    request: OffsetForLeaderEpochRequest<'a>,
) -> OffsetForLeaderEpochResponse<'a> {
    let now = cx.broker.clock.now_ms();
    // Brokers ask as such; consumers need the right to their topics.
    let is_broker = cx.may_quietly(Operation::ClusterAction, ResourceType::Cluster, CLUSTER_NAME);
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let permitted = match is_broker {
                true => Ok(()),
                false => cx.permit(Operation::Describe, ResourceType::Topic, &asked.topic),
            };
            let topic = permitted.map(|()| cx.broker.topics.by_name(&asked.topic));
            let topic = topic.as_ref().map(Option::as_deref).map_err(|code| *code);
            let partitions = asked
                .partitions
                .iter()
                .map(|partition| {
                    epoch_end(topic, partition, now).unwrap_or_else(|error_code| EpochEndOffset {
                        error_code,
                        partition: partition.partition,
                        leader_epoch: -1,
                        end_offset: NONE,
                    })
                })
                .collect();
            OffsetForLeaderTopicResult { topic: asked.topic, partitions }
        })
        .collect();
    OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics }
}

fn epoch_end(
    topic: Result<Option<&Topic>, ErrorCode>,
    asked: &OffsetForLeaderPartition,
    now: Millis,
) -> Result<EpochEndOffset, ErrorCode> {
    let partition = partition_of(topic?, asked.partition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    let end = partition.high_watermark(now)?;
    // One epoch has ever been: it ends where the log ends, and any other is unknown.
    let (leader_epoch, end_offset) =
        if asked.leader_epoch == LEADER_EPOCH { (LEADER_EPOCH, end) } else { (-1, NONE) };
    Ok(EpochEndOffset { error_code: ErrorCode::NONE, partition: asked.partition, leader_epoch, end_offset })
}
