//! Produce (key 0).

use crate::error_code::ErrorCode;
use crate::primitives::{Records, Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ProduceRequest`, versions 3-13.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 0, kind = "request", versions = "3-13", flexible = "9+")]
pub struct ProduceRequest<'a> {
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub transactional_id: Option<Str<'a>>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData<'a>>,
}

/// Part `TopicProduceData` of [`ProduceRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicProduceData<'a> {
    #[kafka(versions = "0-12")]
    pub name: Str<'a>,
    #[kafka(versions = "13+")]
    pub topic_id: Uuid,
    pub partition_data: Vec<PartitionProduceData<'a>>,
}

/// Part `PartitionProduceData` of [`ProduceRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionProduceData<'a> {
    pub index: i32,
    #[kafka(nullable = "0+")]
    pub records: Option<Records<'a>>,
}

/// Response body `ProduceResponse`, versions 3-13.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 0, kind = "response", versions = "3-13", flexible = "9+")]
pub struct ProduceResponse<'a> {
    pub responses: Vec<TopicProduceResponse<'a>>,
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    #[kafka(versions = "10+", tag = 0, tagged = "10+")]
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Part `TopicProduceResponse` of [`ProduceResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicProduceResponse<'a> {
    #[kafka(versions = "0-12")]
    pub name: Str<'a>,
    #[kafka(versions = "13+")]
    pub topic_id: Uuid,
    pub partition_responses: Vec<PartitionProduceResponse<'a>>,
}

/// Part `PartitionProduceResponse` of [`ProduceResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionProduceResponse<'a> {
    pub index: i32,
    pub error_code: ErrorCode,
    pub base_offset: i64,
    #[kafka(versions = "2+", default = -1)]
    pub log_append_time_ms: i64,
    #[kafka(versions = "5+", default = -1)]
    pub log_start_offset: i64,
    #[kafka(versions = "8+")]
    pub record_errors: Vec<BatchIndexAndErrorMessage<'a>>,
    #[kafka(versions = "8+", nullable = "8+", default = null)]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "10+", tag = 0, tagged = "10+")]
    pub current_leader: LeaderIdAndEpoch,
}

/// Part `BatchIndexAndErrorMessage` of [`ProduceResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct BatchIndexAndErrorMessage<'a> {
    #[kafka(versions = "8+")]
    pub batch_index: i32,
    #[kafka(versions = "8+", nullable = "8+", default = null)]
    pub batch_index_error_message: Option<Str<'a>>,
}

/// Part `LeaderIdAndEpoch` of [`ProduceResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[kafka(versions = "10+", default = -1)]
    pub leader_id: i32,
    #[kafka(versions = "10+", default = -1)]
    pub leader_epoch: i32,
}

/// Part `NodeEndpoint` of [`ProduceResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint<'a> {
    #[kafka(versions = "10+")]
    pub node_id: i32,
    #[kafka(versions = "10+")]
    pub host: Str<'a>,
    #[kafka(versions = "10+")]
    pub port: i32,
    #[kafka(versions = "10+", nullable = "10+", default = null)]
    pub rack: Option<Str<'a>>,
}
