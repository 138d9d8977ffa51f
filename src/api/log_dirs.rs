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
use crate::topic::Topic;

/// Describes the one log directory.
pub async fn describe_log_dirs<'a>(
    cx: &Context<'_>,
    request: DescribeLogDirsRequest<'a>,
) -> DescribeLogDirsResponse<'static> {
    if let Err(error_code) = cx.permit_on_cluster(Operation::Describe) {
        return DescribeLogDirsResponse { error_code, ..Default::default() };
    }
    // Topics, and which of their partitions: `None` for all.
    let wanted: Vec<_> = match request.topics {
        None => cx.broker.topics.all().into_iter().map(|topic| (topic, None)).collect(),
        Some(asked) => {
            let find = |name: &str| cx.broker.topics.by_name(name);
            let asked =
                asked.into_iter().filter_map(|asked| Some((find(&asked.topic)?, Some(asked.partitions))));
            asked.collect()
        }
    };
    // A log that nobody has used yet is looked for on the disk.
    let looked = cx.broker.aside(move |broker| {
        let describe = |(topic, wanted): (Arc<Topic>, Option<Vec<i32>>)| {
            let is_wanted = |index| wanted.as_ref().is_none_or(|wanted| wanted.contains(&index));
            let described = describe(&topic, is_wanted);
            (wanted.is_none() || !described.partitions.is_empty()).then_some(described)
        };
        let topics = wanted.into_iter().filter_map(describe).collect();
        Ok((topics, broker.volume_bytes().unwrap_or((-1, -1))))
    });
    let (topics, (total_bytes, usable_bytes)) = match looked.await {
        Ok(looked) => looked,
        Err(refused) => return DescribeLogDirsResponse { error_code: refused.code, ..Default::default() },
    };
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

fn describe(topic: &Topic, is_wanted: impl Fn(i32) -> bool) -> DescribeLogDirsTopic<'static> {
    let partitions = topic.partitions();
    DescribeLogDirsTopic {
        name: Str::Owned(topic.name().to_string()),
        partitions: partitions
            .iter()
            .filter(|partition| is_wanted(partition.index()))
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
