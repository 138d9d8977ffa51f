//! AlterPartitionReassignments (key 45).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AlterPartitionReassignmentsRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 45, kind = "request", versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsRequest<'a> {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    #[kafka(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    pub topics: Vec<ReassignableTopic<'a>>,
}

/// Part `ReassignableTopic` of [`AlterPartitionReassignmentsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignableTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<ReassignablePartition>,
}

/// Part `ReassignablePartition` of [`AlterPartitionReassignmentsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignablePartition {
    pub partition_index: i32,
    #[kafka(nullable = "0+", default = null)]
    pub replicas: Option<Vec<i32>>,
}

/// Response body `AlterPartitionReassignmentsResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 45, kind = "response", versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsResponse<'a> {
    pub throttle_time_ms: i32,
    #[kafka(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub responses: Vec<ReassignableTopicResponse<'a>>,
}

/// Part `ReassignableTopicResponse` of [`AlterPartitionReassignmentsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignableTopicResponse<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<ReassignablePartitionResponse<'a>>,
}

/// Part `ReassignablePartitionResponse` of [`AlterPartitionReassignmentsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignablePartitionResponse<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
