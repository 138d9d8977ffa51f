//! ListOffsets (key 2).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ListOffsetsRequest`, versions 1-11.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 2, kind = "request", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest<'a> {
    pub replica_id: i32,
    #[kafka(versions = "2+")]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic<'a>>,
    #[kafka(versions = "10+")]
    pub timeout_ms: i32,
}

/// Part `ListOffsetsTopic` of [`ListOffsetsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<ListOffsetsPartition>,
}

/// Part `ListOffsetsPartition` of [`ListOffsetsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    #[kafka(versions = "4+", default = -1)]
    pub current_leader_epoch: i32,
    pub timestamp: i64,
}

/// Response body `ListOffsetsResponse`, versions 1-11.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 2, kind = "response", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse<'a> {
    #[kafka(versions = "2+")]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse<'a>>,
}

/// Part `ListOffsetsTopicResponse` of [`ListOffsetsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsTopicResponse<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// Part `ListOffsetsPartitionResponse` of [`ListOffsetsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(versions = "1+", default = -1)]
    pub timestamp: i64,
    #[kafka(versions = "1+", default = -1)]
    pub offset: i64,
    #[kafka(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
