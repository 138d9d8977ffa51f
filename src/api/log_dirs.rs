//! DescribeLogDirs (key 35): what the partitions take on disk, and how much room there is.
//!
//! Versions 1–5: 4 adds the size of the volume (KIP-827). There is one log directory.

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use quipu_protocol::primitives::Str;

use super::Context;
use crate::topic::{Partition, Topic};

/// Describes the one log directory.
pub async fn describe_log_dirs<'a>(
    cx: &Context<'_>,
    request: DescribeLogDirsRequest<'a>,
) -> DescribeLogDirsResponse<'static> {
    let topics = match request.topics {
        None => cx.broker.topics.all().iter().map(|topic| describe(topic, |_| true)).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = cx.broker.topics.by_name(&asked.topic)?;
                Some(describe(&topic, |partition| asked.partitions.contains(&partition.index())))
            })
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
