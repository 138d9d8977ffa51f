//! ListPartitionReassignments (key 46).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ListPartitionReassignmentsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 46, kind = "request", versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsRequest<'a> {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics<'a>>>,
}

/// Part `ListPartitionReassignmentsTopics` of [`ListPartitionReassignmentsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListPartitionReassignmentsTopics<'a> {
    pub name: Str<'a>,
    pub partition_indexes: Vec<i32>,
}

/// Response body `ListPartitionReassignmentsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 46, kind = "response", versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub topics: Vec<OngoingTopicReassignment<'a>>,
}

/// Part `OngoingTopicReassignment` of [`ListPartitionReassignmentsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OngoingTopicReassignment<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// Part `OngoingPartitionReassignment` of [`ListPartitionReassignmentsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OngoingPartitionReassignment {
    pub partition_index: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}
