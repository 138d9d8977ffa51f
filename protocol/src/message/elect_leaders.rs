//! ElectLeaders (key 43).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ElectLeadersRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 43, kind = "request", versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest<'a> {
    #[kafka(versions = "1+")]
    pub election_type: i8,
    #[kafka(nullable = "0+")]
    pub topic_partitions: Option<Vec<TopicPartitions<'a>>>,
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
}

/// Part `TopicPartitions` of [`ElectLeadersRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Response body `ElectLeadersResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 43, kind = "response", versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse<'a> {
    pub throttle_time_ms: i32,
    #[kafka(versions = "1+")]
    pub error_code: ErrorCode,
    pub replica_election_results: Vec<ReplicaElectionResult<'a>>,
}

/// Part `ReplicaElectionResult` of [`ElectLeadersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaElectionResult<'a> {
    pub topic: Str<'a>,
    pub partition_result: Vec<PartitionResult<'a>>,
}

/// Part `PartitionResult` of [`ElectLeadersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionResult<'a> {
    pub partition_id: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
