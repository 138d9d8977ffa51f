//! OffsetCommit (key 8).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `OffsetCommitRequest`, versions 2-10.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 8, kind = "request", versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest<'a> {
    pub group_id: Str<'a>,
    #[kafka(versions = "1+", default = -1)]
    pub generation_id_or_member_epoch: i32,
    #[kafka(versions = "1+")]
    pub member_id: Str<'a>,
    #[kafka(versions = "7+", nullable = "7+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    #[kafka(versions = "2-4", default = -1)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic<'a>>,
}

/// Part `OffsetCommitRequestTopic` of [`OffsetCommitRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitRequestTopic<'a> {
    #[kafka(versions = "0-9")]
    pub name: Str<'a>,
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitRequestPartition<'a>>,
}

/// Part `OffsetCommitRequestPartition` of [`OffsetCommitRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitRequestPartition<'a> {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "6+", default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "0+")]
    pub committed_metadata: Option<Str<'a>>,
}

/// Response body `OffsetCommitResponse`, versions 2-10.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 8, kind = "response", versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse<'a> {
    #[kafka(versions = "3+")]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic<'a>>,
}

/// Part `OffsetCommitResponseTopic` of [`OffsetCommitResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitResponseTopic<'a> {
    #[kafka(versions = "0-9")]
    pub name: Str<'a>,
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// Part `OffsetCommitResponsePartition` of [`OffsetCommitResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
