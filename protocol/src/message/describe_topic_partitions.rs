//! DescribeTopicPartitions (key 75).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `DescribeTopicPartitionsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 75, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest<'a> {
    pub topics: Vec<TopicRequest<'a>>,
    #[kafka(default = 2000)]
    pub response_partition_limit: i32,
    #[kafka(nullable = "0+", default = null)]
    pub cursor: Option<Cursor<'a>>,
}

/// Part `TopicRequest` of [`DescribeTopicPartitionsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicRequest<'a> {
    pub name: Str<'a>,
}

/// Part `Cursor` of [`DescribeTopicPartitionsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Cursor<'a> {
    pub topic_name: Str<'a>,
    pub partition_index: i32,
}

/// Response body `DescribeTopicPartitionsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 75, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse<'a> {
    pub throttle_time_ms: i32,
    pub topics: Vec<DescribeTopicPartitionsResponseTopic<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub next_cursor: Option<ResponseCursor<'a>>,
}

/// Part `DescribeTopicPartitionsResponseTopic` of [`DescribeTopicPartitionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponseTopic<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub name: Option<Str<'a>>,
    pub topic_id: Uuid,
    pub is_internal: bool,
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    #[kafka(default = -2147483648)]
    pub topic_authorized_operations: i32,
}

/// Part `DescribeTopicPartitionsResponsePartition` of [`DescribeTopicPartitionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    pub error_code: ErrorCode,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(nullable = "0+", default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    #[kafka(nullable = "0+", default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    pub offline_replicas: Vec<i32>,
}

/// Part `Cursor` of [`DescribeTopicPartitionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "Cursor")]
pub struct ResponseCursor<'a> {
    pub topic_name: Str<'a>,
    pub partition_index: i32,
}
