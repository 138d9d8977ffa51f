//! AlterReplicaLogDirs (key 34).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AlterReplicaLogDirsRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 34, kind = "request", versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsRequest<'a> {
    pub dirs: Vec<AlterReplicaLogDir<'a>>,
}

/// Part `AlterReplicaLogDir` of [`AlterReplicaLogDirsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterReplicaLogDir<'a> {
    pub path: Str<'a>,
    pub topics: Vec<AlterReplicaLogDirTopic<'a>>,
}

/// Part `AlterReplicaLogDirTopic` of [`AlterReplicaLogDirsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterReplicaLogDirTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Response body `AlterReplicaLogDirsResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 34, kind = "response", versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<AlterReplicaLogDirTopicResult<'a>>,
}

/// Part `AlterReplicaLogDirTopicResult` of [`AlterReplicaLogDirsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterReplicaLogDirTopicResult<'a> {
    pub topic_name: Str<'a>,
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
}

/// Part `AlterReplicaLogDirPartitionResult` of [`AlterReplicaLogDirsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterReplicaLogDirPartitionResult {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
