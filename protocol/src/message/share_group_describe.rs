//! ShareGroupDescribe (key 77).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ShareGroupDescribeRequest`, versions 1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 77, kind = "request", versions = "1", flexible = "0+")]
pub struct ShareGroupDescribeRequest<'a> {
    pub group_ids: Vec<Str<'a>>,
    pub include_authorized_operations: bool,
}

/// Response body `ShareGroupDescribeResponse`, versions 1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 77, kind = "response", versions = "1", flexible = "0+")]
pub struct ShareGroupDescribeResponse<'a> {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup<'a>>,
}

/// Part `DescribedGroup` of [`ShareGroupDescribeResponse`].
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

/// Part `Member` of [`ShareGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Member<'a> {
    pub member_id: Str<'a>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    pub member_epoch: i32,
    pub client_id: Str<'a>,
    pub client_host: Str<'a>,
    pub subscribed_topic_names: Vec<Str<'a>>,
    pub assignment: Assignment<'a>,
}

/// Part `Assignment` of [`ShareGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment<'a> {
    pub topic_partitions: Vec<TopicPartitions<'a>>,
}

/// Part `TopicPartitions` of [`ShareGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions<'a> {
    pub topic_id: Uuid,
    pub topic_name: Str<'a>,
    pub partitions: Vec<i32>,
}
