//! ShareGroupHeartbeat (key 76).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ShareGroupHeartbeatRequest`, versions 1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 76, kind = "request", versions = "1", flexible = "0+")]
pub struct ShareGroupHeartbeatRequest<'a> {
    pub group_id: Str<'a>,
    pub member_id: Str<'a>,
    pub member_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub subscribed_topic_names: Option<Vec<Str<'a>>>,
}

/// Response body `ShareGroupHeartbeatResponse`, versions 1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 76, kind = "response", versions = "1", flexible = "0+")]
pub struct ShareGroupHeartbeatResponse<'a> {
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

/// Part `Assignment` of [`ShareGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}

/// Part `TopicPartitions` of [`ShareGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}
