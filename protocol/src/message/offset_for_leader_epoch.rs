//! OffsetForLeaderEpoch (key 23).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `OffsetForLeaderEpochRequest`, versions 2-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 23, kind = "request", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest<'a> {
    #[kafka(versions = "3+", default = -2)]
    pub replica_id: i32,
    pub topics: Vec<OffsetForLeaderTopic<'a>>,
}

/// Part `OffsetForLeaderTopic` of [`OffsetForLeaderEpochRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetForLeaderTopic<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// Part `OffsetForLeaderPartition` of [`OffsetForLeaderEpochRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetForLeaderPartition {
    pub partition: i32,
    #[kafka(versions = "2+", default = -1)]
    pub current_leader_epoch: i32,
    pub leader_epoch: i32,
}

/// Response body `OffsetForLeaderEpochResponse`, versions 2-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 23, kind = "response", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse<'a> {
    #[kafka(versions = "2+")]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetForLeaderTopicResult<'a>>,
}

/// Part `OffsetForLeaderTopicResult` of [`OffsetForLeaderEpochResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetForLeaderTopicResult<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<EpochEndOffset>,
}

/// Part `EpochEndOffset` of [`OffsetForLeaderEpochResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EpochEndOffset {
    pub error_code: ErrorCode,
    pub partition: i32,
    #[kafka(versions = "1+", default = -1)]
    pub leader_epoch: i32,
    #[kafka(default = -1)]
    pub end_offset: i64,
}
