//! ConsumerGroupHeartbeat (key 68).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ConsumerGroupHeartbeatRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 68, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatRequest<'a> {
    pub group_id: Str<'a>,
    pub member_id: Str<'a>,
    pub member_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub subscribed_topic_names: Option<Vec<Str<'a>>>,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub subscribed_topic_regex: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub server_assignor: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// Part `TopicPartitions` of [`ConsumerGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// Response body `ConsumerGroupHeartbeatResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 68, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub member_id: Option<Str<'a>>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub assignment: Option<Assignment>,
}

/// Part `Assignment` of [`ConsumerGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment {
    pub topic_partitions: Vec<ResponseTopicPartitions>,
}

/// Part `TopicPartitions` of [`ConsumerGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "TopicPartitions")]
pub struct ResponseTopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}
