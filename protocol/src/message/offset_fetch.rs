//! OffsetFetch (key 9).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `OffsetFetchRequest`, versions 1-10.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 9, kind = "request", versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest<'a> {
    #[kafka(versions = "0-7")]
    pub group_id: Str<'a>,
    #[kafka(versions = "0-7", nullable = "2-7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic<'a>>>,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup<'a>>,
    #[kafka(versions = "7+")]
    pub require_stable: bool,
}

/// Part `OffsetFetchRequestTopic` of [`OffsetFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestTopic<'a> {
    #[kafka(versions = "0-7")]
    pub name: Str<'a>,
    #[kafka(versions = "0-7")]
    pub partition_indexes: Vec<i32>,
}

/// Part `OffsetFetchRequestGroup` of [`OffsetFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestGroup<'a> {
    #[kafka(versions = "8+")]
    pub group_id: Str<'a>,
    #[kafka(versions = "9+", nullable = "9+", default = null)]
    pub member_id: Option<Str<'a>>,
    #[kafka(versions = "9+", default = -1)]
    pub member_epoch: i32,
    #[kafka(versions = "8+", nullable = "8+")]
    pub topics: Option<Vec<OffsetFetchRequestTopics<'a>>>,
}

/// Part `OffsetFetchRequestTopics` of [`OffsetFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestTopics<'a> {
    #[kafka(versions = "8-9")]
    pub name: Str<'a>,
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    #[kafka(versions = "8+")]
    pub partition_indexes: Vec<i32>,
}

/// Response body `OffsetFetchResponse`, versions 1-10.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 9, kind = "response", versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse<'a> {
    #[kafka(versions = "3+")]
    pub throttle_time_ms: i32,
    #[kafka(versions = "0-7")]
    pub topics: Vec<OffsetFetchResponseTopic<'a>>,
    #[kafka(versions = "2-7")]
    pub error_code: ErrorCode,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup<'a>>,
}

/// Part `OffsetFetchResponseTopic` of [`OffsetFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseTopic<'a> {
    #[kafka(versions = "0-7")]
    pub name: Str<'a>,
    #[kafka(versions = "0-7")]
    pub partitions: Vec<OffsetFetchResponsePartition<'a>>,
}

/// Part `OffsetFetchResponsePartition` of [`OffsetFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponsePartition<'a> {
    #[kafka(versions = "0-7")]
    pub partition_index: i32,
    #[kafka(versions = "0-7")]
    pub committed_offset: i64,
    #[kafka(versions = "5-7", default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(versions = "0-7", nullable = "0-7")]
    pub metadata: Option<Str<'a>>,
    #[kafka(versions = "0-7")]
    pub error_code: ErrorCode,
}

/// Part `OffsetFetchResponseGroup` of [`OffsetFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseGroup<'a> {
    #[kafka(versions = "8+")]
    pub group_id: Str<'a>,
    #[kafka(versions = "8+")]
    pub topics: Vec<OffsetFetchResponseTopics<'a>>,
    #[kafka(versions = "8+")]
    pub error_code: ErrorCode,
}

/// Part `OffsetFetchResponseTopics` of [`OffsetFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseTopics<'a> {
    #[kafka(versions = "8-9")]
    pub name: Str<'a>,
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    #[kafka(versions = "8+")]
    pub partitions: Vec<OffsetFetchResponsePartitions<'a>>,
}

/// Part `OffsetFetchResponsePartitions` of [`OffsetFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponsePartitions<'a> {
    #[kafka(versions = "8+")]
    pub partition_index: i32,
    #[kafka(versions = "8+")]
    pub committed_offset: i64,
    #[kafka(versions = "8+", default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(versions = "8+", nullable = "8+")]
    pub metadata: Option<Str<'a>>,
    #[kafka(versions = "8+")]
    pub error_code: ErrorCode,
}
