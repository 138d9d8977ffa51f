//! AlterShareGroupOffsets (key 91).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `AlterShareGroupOffsetsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 91, kind = "request", versions = "0", flexible = "0+")]
pub struct AlterShareGroupOffsetsRequest<'a> {
    pub group_id: Str<'a>,
    pub topics: Vec<AlterShareGroupOffsetsRequestTopic<'a>>,
}

/// Part `AlterShareGroupOffsetsRequestTopic` of [`AlterShareGroupOffsetsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterShareGroupOffsetsRequestTopic<'a> {
    pub topic_name: Str<'a>,
    pub partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
}

/// Part `AlterShareGroupOffsetsRequestPartition` of [`AlterShareGroupOffsetsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterShareGroupOffsetsRequestPartition {
    pub partition_index: i32,
    pub start_offset: i64,
}

/// Response body `AlterShareGroupOffsetsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 91, kind = "response", versions = "0", flexible = "0+")]
pub struct AlterShareGroupOffsetsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub responses: Vec<AlterShareGroupOffsetsResponseTopic<'a>>,
}

/// Part `AlterShareGroupOffsetsResponseTopic` of [`AlterShareGroupOffsetsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterShareGroupOffsetsResponseTopic<'a> {
    pub topic_name: Str<'a>,
    pub topic_id: Uuid,
    pub partitions: Vec<AlterShareGroupOffsetsResponsePartition<'a>>,
}

/// Part `AlterShareGroupOffsetsResponsePartition` of [`AlterShareGroupOffsetsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterShareGroupOffsetsResponsePartition<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
}
