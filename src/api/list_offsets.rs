//! ListOffsets (key 2) and OffsetForLeaderEpoch (key 23): where a log starts, ends, or passes a time.
//!
//! ListOffsets 1–11. Special timestamps: −1 latest, −2 earliest, −3 the record with the newest timestamp
//! (version 7), −4 earliest local (8), −5 latest tiered (9), −6 earliest pending upload (11). Nothing is tiered
//! here: −4 is the log start, −5 and −6 have no offset.

use std::collections::HashMap;
use std::sync::Arc;

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

use super::context::Named;
use super::fetch::{READ_COMMITTED, check_leader_epoch};
use super::{Context, partition_of};
use crate::security::acl::Operation;
use crate::topic::{LEADER_EPOCH, Partition};

const LATEST: Millis = -1;
const EARLIEST: Millis = -2;
const MAX_TIMESTAMP: Millis = -3;
const EARLIEST_LOCAL: Millis = -4;
const LATEST_TIERED: Millis = -5;
const EARLIEST_PENDING_UPLOAD: Millis = -6;

/// "No such offset", "no timestamp".
const NONE: i64 = -1;

/// What a partition's answer is, or where it has to be searched for.
enum Found {
    At(Offset, Millis),
    Search(Arc<Partition>, Search),
}

/// A search for a time. It reads headers and a batch, which may have to come from the disk.
#[derive(Clone, Copy)]
struct Search {
    /// The first record of this time or later, or the last of the newest time of all.
    timestamp: Millis,
    /// Nothing from here on is shown.
    end: Offset,
}

/// Finds an offset per partition. Searches run on a thread that may wait for the disk.
pub async fn list_offsets<'a>(cx: &Context<'_>, request: ListOffsetsRequest<'a>) -> ListOffsetsResponse<'a> {
    let now = cx.broker.clock.now_ms();
    let mut times_asked: HashMap<(&str, i32), usize> = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            *times_asked.entry((&topic.name, partition.partition_index)).or_default() += 1;
        }
    }
    let permitted = |name: &str| cx.topic(Operation::Describe, Named::Name(name));
    let found: Vec<_> = request.topics.iter().map(|asked| permitted(&asked.name)).collect();
    let of_one = found.iter().zip(&request.topics);
    let named = of_one.flat_map(|(topic, asked)| {
        asked.partitions.iter().filter_map(|asked| topic.as_ref().ok()?.partition(asked.partition_index))
    });
    let unopened = cx.open_logs(named, now).await;
    let mut searches = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for (asked, topic) in request.topics.iter().zip(&found) {
        let topic = topic.as_deref().map_err(|code| *code);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for p in &asked.partitions {
            let found = match times_asked.remove(&(&*asked.name, p.partition_index)) {
                Some(1) => {
                    let partition = partition_of(topic, p.partition_index)
                        .and_then(|partition| unopened.check(&partition).map(|()| partition));
                    partition.and_then(|partition| find(cx, partition, p, request.isolation_level, now))
                }
                Some(_) => Err(ErrorCode::INVALID_REQUEST),
                // Asked for more than once, a partition is refused once.
                None => continue,
            };
            let found = found.map(|found| match found {
                Found::At(offset, timestamp) => (offset, timestamp),
                Found::Search(partition, search) => {
                    searches.push(((topics.len(), partitions.len()), partition, search));
                    (NONE, NONE)
                }
            });
            partitions.push(answer(p.partition_index, found));
        }
        topics.push(partitions);
    }
    if !searches.is_empty() {
        let places: Vec<(usize, usize)> = searches.iter().map(|(place, ..)| *place).collect();
        let searched = cx.broker.aside(move |_| {
            let one = |(place, partition, search): (_, Arc<Partition>, Search)| {
                (place, search.run(&partition, now))
            };
            Ok(searches.into_iter().map(one).collect::<Vec<_>>())
        });
        let searched = searched
            .await
            .unwrap_or_else(|refused| places.into_iter().map(|place| (place, Err(refused.code))).collect());
        for ((topic, partition), found) in searched {
            let before: &mut ListOffsetsPartitionResponse = &mut topics[topic][partition];
            *before = answer(before.partition_index, found);
        }
    }
    let answered = request.topics.into_iter().zip(topics).filter(|(asked, partitions)| {
        // One that was named before has its answers there.
        asked.partitions.is_empty() || !partitions.is_empty()
    });
    let topics = answered
        .map(|(asked, partitions)| ListOffsetsTopicResponse { name: asked.name, partitions })
        .collect();
    ListOffsetsResponse { throttle_time_ms: 0, topics }
}

fn answer(partition_index: i32, found: Result<(Offset, Millis), ErrorCode>) -> ListOffsetsPartitionResponse {
    let (error_code, offset, timestamp) = match found {
        Ok((offset, timestamp)) => (ErrorCode::NONE, offset, timestamp),
        Err(code) => (code, NONE, NONE),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp,
        offset,
        leader_epoch: if offset == NONE { -1 } else { LEADER_EPOCH },
    }
}

fn find(
    cx: &Context<'_>,
    partition: Arc<Partition>,
    asked: &ListOffsetsPartition,
    isolation_level: i8,
    now: Millis,
) -> Result<Found, ErrorCode> {
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
    match asked.timestamp {
        LATEST => Ok(Found::At(end, NONE)),
        EARLIEST | EARLIEST_LOCAL => Ok(Found::At(reader.log_start_offset(), NONE)),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(Found::At(NONE, NONE)),
        timestamp if timestamp == MAX_TIMESTAMP || timestamp >= 0 => {
            Ok(Found::Search(partition, Search { timestamp, end }))
        }
        _ => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

impl Search {
    fn run(self, partition: &Arc<Partition>, now: Millis) -> Result<(Offset, Millis), ErrorCode> {
        let Self { timestamp, end } = self;
        let reader = partition.reader(now)?;
        let found = match timestamp {
            MAX_TIMESTAMP => reader.max_timestamp(end),
            timestamp => reader.offset_for_timestamp(timestamp, end),
        };
        Ok(found.map_err(|error| partition.read_failed(&error))?.unwrap_or((NONE, NONE)))
    }
}

/// Where an epoch ended, so that a client can tell whether the log was cut behind its back (KIP-320).
pub async fn offset_for_leader_epoch<'a>(
    cx: &Context<'_>,
    request: OffsetForLeaderEpochRequest<'a>,
) -> OffsetForLeaderEpochResponse<'a> {
    let now = cx.broker.clock.now_ms();
    // Brokers ask as such; consumers need the right to their topics.
    let is_broker = cx.may_on_cluster(Operation::ClusterAction);
    let topics = &cx.broker.topics;
    let permitted = |name: &str| match is_broker {
        true => topics.by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        false => cx.topic(Operation::Describe, Named::Name(name)),
    };
    let found: Vec<_> = request.topics.iter().map(|asked| permitted(&asked.topic)).collect();
    let of_one = found.iter().zip(&request.topics);
    let named = of_one.flat_map(|(topic, asked)| {
        asked.partitions.iter().filter_map(|asked| topic.as_ref().ok()?.partition(asked.partition))
    });
    let unopened = cx.open_logs(named, now).await;
    let topics = request
        .topics
        .into_iter()
        .zip(found)
        .map(|(asked, topic)| {
            let topic = topic.as_deref().map_err(|code| *code);
            let end = |asked: &OffsetForLeaderPartition| {
                let partition = partition_of(topic, asked.partition)?;
                unopened.check(&partition)?;
                epoch_end(&partition, asked, now)
            };
            let partitions = asked
                .partitions
                .iter()
                .map(|partition| {
                    end(partition).unwrap_or_else(|error_code| EpochEndOffset {
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
    partition: &Partition,
    asked: &OffsetForLeaderPartition,
    now: Millis,
) -> Result<EpochEndOffset, ErrorCode> {
    check_leader_epoch(asked.current_leader_epoch)?;
    let end = partition.high_watermark(now)?;
    // One epoch has ever been: it ends where the log ends, and any other is unknown.
    let (leader_epoch, end_offset) =
        if asked.leader_epoch == LEADER_EPOCH { (LEADER_EPOCH, end) } else { (-1, NONE) };
    Ok(EpochEndOffset { error_code: ErrorCode::NONE, partition: asked.partition, leader_epoch, end_offset })
}
