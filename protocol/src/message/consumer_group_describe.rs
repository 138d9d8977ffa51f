//! ConsumerGroupDescribe (key 69).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ConsumerGroupDescribeRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 69, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeRequest<'a> {
    pub group_ids: Vec<Str<'a>>,
    pub include_authorized_operations: bool,
}

/// Response body `ConsumerGroupDescribeResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 69, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse<'a> {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup<'a>>,
}

/// Part `DescribedGroup` of [`ConsumerGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroup<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub group_id: Str<'a>,
    pub group_state: Str<'a>,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub assignor_name: Str<'a>,
    pub members: Vec<Member<'a>>,
    #[kafka(default = -2147483648)]
    pub authorized_operations: i32,
}

/// Part `Member` of [`ConsumerGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Member<'a> {
    pub member_id: Str<'a>,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    pub member_epoch: i32,
    pub client_id: Str<'a>,
    pub client_host: Str<'a>,
    pub subscribed_topic_names: Vec<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub subscribed_topic_regex: Option<Str<'a>>,
    pub assignment: Assignment<'a>,
    pub target_assignment: Assignment<'a>,
    #[kafka(versions = "1+", default = -1)]
    pub member_type: i8,
}

/// Part `Assignment` of [`ConsumerGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment<'a> {
    pub topic_partitions: Vec<TopicPartitions<'a>>,
}

/// Part `TopicPartitions` of [`ConsumerGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions<'a> {
    pub topic_id: Uuid,
    pub topic_name: Str<'a>,
    pub partitions: Vec<i32>,
}
