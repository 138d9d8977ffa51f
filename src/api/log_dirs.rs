//! DescribeLogDirs (key 35): what the partitions take on disk, and how much room there is. AlterReplicaLogDirs (key 34):
//! moves them between directories.
//!
//! DescribeLogDirs 1–5: 4 adds the size of the volume (KIP-827). AlterReplicaLogDirs 1–2. There is one log directory:
//! everything is there already, and can go nowhere else.

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use quipu_protocol::message::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use quipu_protocol::primitives::Str;

use super::Context;
use crate::security::acl::Operation;
use crate::topic::{Partition, Topic};

/// Describes the one log directory.
pub async fn describe_log_dirs<'a>(
    cx: &Context<'_>,
    request: DescribeLogDirsRequest<'a>,
) -> DescribeLogDirsResponse<'static> {
    if let Err(error_code) = cx.permit_on_cluster(Operation::Describe) {
        return DescribeLogDirsResponse { error_code, ..Default::default() };
    }
    let topics = match request.topics {
        None => cx.broker.topics.all().iter().map(|topic| describe(topic, |_| true)).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = cx.broker.topics.by_name(&asked.topic)?;
                Some(describe(&topic, |partition| asked.partitions.contains(&partition.index())))
            })
            .filter(|topic| !topic.partitions.is_empty())
            .collect(),
    };
    let (total_bytes, usable_bytes) = cx.broker.volume_bytes().unwrap_or((-1, -1));
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir: Str::Owned(cx.broker.data_dir().display().to_string()),
        topics,
        total_bytes,
        usable_bytes,
        is_cordoned: false,
    };
    DescribeLogDirsResponse { results: vec![result], ..Default::default() }
}

fn describe(topic: &Topic, is_wanted: impl Fn(&Arc<Partition>) -> bool) -> DescribeLogDirsTopic<'static> {
    let partitions = topic.partitions();
    DescribeLogDirsTopic {
        name: Str::Owned(topic.name().to_string()),
        partitions: partitions
            .iter()
            .filter(|partition| is_wanted(partition))
            .map(|partition| DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            })
            .collect(),
    }
}

/// Answers per partition whether it is in the directory asked for, which is all that can be done about it.
pub async fn alter_replica_log_dirs<'a>(
    cx: &Context<'_>,
    request: AlterReplicaLogDirsRequest<'a>,
) -> AlterReplicaLogDirsResponse<'a> {
    let permitted = cx.permit_on_cluster(Operation::Alter);
    let ours = cx.broker.data_dir().display().to_string();
    let mut results = Vec::new();
    for dir in request.dirs {
        for asked in dir.topics {
            let topic = cx.broker.topics.by_name(&asked.name);
            let outcome = |partition| {
                let exists = topic.as_ref().is_some_and(|topic| topic.partition(partition).is_some());
                match (permitted, *dir.path == ours, exists) {
                    (Err(code), ..) => code,
                    (Ok(()), false, _) => ErrorCode::LOG_DIR_NOT_FOUND,
                    (Ok(()), true, false) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    (Ok(()), true, true) => ErrorCode::NONE,
                }
            };
            let partitions = asked
                .partitions
                .iter()
                .map(|&partition_index| AlterReplicaLogDirPartitionResult {
                    partition_index,
                    error_code: outcome(partition_index),
                })
                .collect();
            results.push(AlterReplicaLogDirTopicResult { topic_name: asked.name, partitions });
        }
    }
    AlterReplicaLogDirsResponse { throttle_time_ms: 0, results }
}
