//! CreatePartitions (key 37).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `CreatePartitionsRequest`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 37, kind = "request", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest<'a> {
    pub topics: Vec<CreatePartitionsTopic<'a>>,
    pub timeout_ms: i32,
    pub validate_only: bool,
}

/// Part `CreatePartitionsTopic` of [`CreatePartitionsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatePartitionsTopic<'a> {
    pub name: Str<'a>,
    pub count: i32,
    #[kafka(nullable = "0+")]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// Part `CreatePartitionsAssignment` of [`CreatePartitionsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatePartitionsAssignment {
    pub broker_ids: Vec<i32>,
}

/// Response body `CreatePartitionsResponse`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 37, kind = "response", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<CreatePartitionsTopicResult<'a>>,
}

/// Part `CreatePartitionsTopicResult` of [`CreatePartitionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatePartitionsTopicResult<'a> {
    pub name: Str<'a>,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
}
