//! TxnOffsetCommit (key 28).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `TxnOffsetCommitRequest`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 28, kind = "request", versions = "0-6", flexible = "3+")]
pub struct TxnOffsetCommitRequest<'a> {
    pub transactional_id: Str<'a>,
    pub group_id: Str<'a>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    #[kafka(versions = "3+", default = -1)]
    pub generation_id_or_member_epoch: i32,
    #[kafka(versions = "3+")]
    pub member_id: Str<'a>,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    pub topics: Vec<TxnOffsetCommitRequestTopic<'a>>,
}

/// Part `TxnOffsetCommitRequestTopic` of [`TxnOffsetCommitRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TxnOffsetCommitRequestTopic<'a> {
    #[kafka(versions = "0-5")]
    pub name: Str<'a>,
    #[kafka(versions = "6+")]
    pub topic_id: Uuid,
    pub partitions: Vec<TxnOffsetCommitRequestPartition<'a>>,
}

/// Part `TxnOffsetCommitRequestPartition` of [`TxnOffsetCommitRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TxnOffsetCommitRequestPartition<'a> {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "2+", default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "0+")]
    pub committed_metadata: Option<Str<'a>>,
}

/// Response body `TxnOffsetCommitResponse`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 28, kind = "response", versions = "0-6", flexible = "3+")]
pub struct TxnOffsetCommitResponse<'a> {
    pub throttle_time_ms: i32,
    pub topics: Vec<TxnOffsetCommitResponseTopic<'a>>,
}

/// Part `TxnOffsetCommitResponseTopic` of [`TxnOffsetCommitResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TxnOffsetCommitResponseTopic<'a> {
    #[kafka(versions = "0-5")]
    pub name: Str<'a>,
    #[kafka(versions = "6+")]
    pub topic_id: Uuid,
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

/// Part `TxnOffsetCommitResponsePartition` of [`TxnOffsetCommitResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TxnOffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
