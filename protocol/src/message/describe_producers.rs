//! DescribeProducers (key 61).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeProducersRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 61, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest<'a> {
    pub topics: Vec<TopicRequest<'a>>,
}

/// Part `TopicRequest` of [`DescribeProducersRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicRequest<'a> {
    pub name: Str<'a>,
    pub partition_indexes: Vec<i32>,
}

/// Response body `DescribeProducersResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 61, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse<'a> {
    pub throttle_time_ms: i32,
    pub topics: Vec<TopicResponse<'a>>,
}

/// Part `TopicResponse` of [`DescribeProducersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicResponse<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<PartitionResponse<'a>>,
}

/// Part `PartitionResponse` of [`DescribeProducersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionResponse<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub active_producers: Vec<ProducerState>,
}

/// Part `ProducerState` of [`DescribeProducersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i32,
    #[kafka(default = -1)]
    pub last_sequence: i32,
    #[kafka(default = -1)]
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    #[kafka(default = -1)]
    pub current_txn_start_offset: i64,
}
