//! OffsetDelete (key 47).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `OffsetDeleteRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 47, kind = "request", versions = "0", flexible = "none")]
pub struct OffsetDeleteRequest<'a> {
    pub group_id: Str<'a>,
    pub topics: Vec<OffsetDeleteRequestTopic<'a>>,
}

/// Part `OffsetDeleteRequestTopic` of [`OffsetDeleteRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetDeleteRequestTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// Part `OffsetDeleteRequestPartition` of [`OffsetDeleteRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetDeleteRequestPartition {
    pub partition_index: i32,
}

/// Response body `OffsetDeleteResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 47, kind = "response", versions = "0", flexible = "none")]
pub struct OffsetDeleteResponse<'a> {
    pub error_code: ErrorCode,
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetDeleteResponseTopic<'a>>,
}

/// Part `OffsetDeleteResponseTopic` of [`OffsetDeleteResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetDeleteResponseTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// Part `OffsetDeleteResponsePartition` of [`OffsetDeleteResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetDeleteResponsePartition {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
