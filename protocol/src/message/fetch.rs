//! Fetch (key 1).

use crate::error_code::ErrorCode;
use crate::primitives::{Records, Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `FetchRequest`, versions 4-18.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 1, kind = "request", versions = "4-18", flexible = "12+")]
pub struct FetchRequest<'a> {
    #[kafka(versions = "12+", nullable = "12+", tag = 0, tagged = "12+", default = null)]
    pub cluster_id: Option<Str<'a>>,
    #[kafka(versions = "0-14", default = -1)]
    pub replica_id: i32,
    #[kafka(versions = "15+", tag = 1, tagged = "15+")]
    pub replica_state: ReplicaState,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    #[kafka(versions = "3+", default = 2147483647)]
    pub max_bytes: i32,
    #[kafka(versions = "4+")]
    pub isolation_level: i8,
    #[kafka(versions = "7+")]
    pub session_id: i32,
    #[kafka(versions = "7+", default = -1)]
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic<'a>>,
    #[kafka(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic<'a>>,
    #[kafka(versions = "11+")]
    pub rack_id: Str<'a>,
}

/// Part `ReplicaState` of [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaState {
    #[kafka(versions = "15+", default = -1)]
    pub replica_id: i32,
    #[kafka(versions = "15+", default = -1)]
    pub replica_epoch: i64,
}

/// Part `FetchTopic` of [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchTopic<'a> {
    #[kafka(versions = "0-12")]
    pub topic: Str<'a>,
    #[kafka(versions = "13+")]
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

/// Part `FetchPartition` of [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchPartition {
    pub partition: i32,
    #[kafka(versions = "9+", default = -1)]
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    #[kafka(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    #[kafka(versions = "5+", default = -1)]
    pub log_start_offset: i64,
    pub partition_max_bytes: i32,
    #[kafka(versions = "17+", tag = 0, tagged = "17+")]
    pub replica_directory_id: Uuid,
    #[kafka(versions = "18+", tag = 1, tagged = "18+", default = 9223372036854775807)]
    pub high_watermark: i64,
}

/// Part `ForgottenTopic` of [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ForgottenTopic<'a> {
    #[kafka(versions = "7-12")]
    pub topic: Str<'a>,
    #[kafka(versions = "13+")]
    pub topic_id: Uuid,
    #[kafka(versions = "7+")]
    pub partitions: Vec<i32>,
}

/// Response body `FetchResponse`, versions 4-18.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 1, kind = "response", versions = "4-18", flexible = "12+")]
pub struct FetchResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    #[kafka(versions = "7+")]
    pub error_code: ErrorCode,
    #[kafka(versions = "7+")]
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse<'a>>,
    #[kafka(versions = "16+", tag = 0, tagged = "16+")]
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Part `FetchableTopicResponse` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchableTopicResponse<'a> {
    #[kafka(versions = "0-12")]
    pub topic: Str<'a>,
    #[kafka(versions = "13+")]
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData<'a>>,
}

/// Part `PartitionData` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    pub high_watermark: i64,
    #[kafka(versions = "4+", default = -1)]
    pub last_stable_offset: i64,
    #[kafka(versions = "5+", default = -1)]
    pub log_start_offset: i64,
    #[kafka(versions = "12+", tag = 0, tagged = "12+")]
    pub diverging_epoch: EpochEndOffset,
    #[kafka(versions = "12+", tag = 1, tagged = "12+")]
    pub current_leader: LeaderIdAndEpoch,
    #[kafka(versions = "12+", tag = 2, tagged = "12+")]
    pub snapshot_id: SnapshotId,
    #[kafka(versions = "4+", nullable = "4+")]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    #[kafka(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    #[kafka(nullable = "0+")]
    pub records: Option<Records<'a>>,
}

/// Part `EpochEndOffset` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EpochEndOffset {
    #[kafka(versions = "12+", default = -1)]
    pub epoch: i32,
    #[kafka(versions = "12+", default = -1)]
    pub end_offset: i64,
}

/// Part `LeaderIdAndEpoch` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[kafka(versions = "12+", default = -1)]
    pub leader_id: i32,
    #[kafka(versions = "12+", default = -1)]
    pub leader_epoch: i32,
}

/// Part `SnapshotId` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct SnapshotId {
    #[kafka(default = -1)]
    pub end_offset: i64,
    #[kafka(default = -1)]
    pub epoch: i32,
}

/// Part `AbortedTransaction` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AbortedTransaction {
    #[kafka(versions = "4+")]
    pub producer_id: i64,
    #[kafka(versions = "4+")]
    pub first_offset: i64,
}

/// Part `NodeEndpoint` of [`FetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint<'a> {
    #[kafka(versions = "16+")]
    pub node_id: i32,
    #[kafka(versions = "16+")]
    pub host: Str<'a>,
    #[kafka(versions = "16+")]
    pub port: i32,
    #[kafka(versions = "16+", nullable = "16+", default = null)]
    pub rack: Option<Str<'a>>,
}
