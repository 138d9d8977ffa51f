//! CreateTopics (key 19).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `CreateTopicsRequest`, versions 2-7.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 19, kind = "request", versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest<'a> {
    pub topics: Vec<CreatableTopic<'a>>,
    #[kafka(default = 60000, name = "timeoutMs")]
    pub timeout_ms: i32,
    #[kafka(versions = "1+", name = "validateOnly")]
    pub validate_only: bool,
}

/// Part `CreatableTopic` of [`CreateTopicsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopic<'a> {
    pub name: Str<'a>,
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig<'a>>,
}

/// Part `CreatableReplicaAssignment` of [`CreateTopicsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

/// Part `CreatableTopicConfig` of [`CreateTopicsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicConfig<'a> {
    pub name: Str<'a>,
    #[kafka(nullable = "0+")]
    pub value: Option<Str<'a>>,
}

/// Response body `CreateTopicsResponse`, versions 2-7.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 19, kind = "response", versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse<'a> {
    #[kafka(versions = "2+")]
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult<'a>>,
}

/// Part `CreatableTopicResult` of [`CreateTopicsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicResult<'a> {
    pub name: Str<'a>,
    #[kafka(versions = "7+")]
    pub topic_id: Uuid,
    pub error_code: ErrorCode,
    #[kafka(versions = "1+", nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "5+", tag = 0, tagged = "5+")]
    pub topic_config_error_code: ErrorCode,
    #[kafka(versions = "5+", default = -1)]
    pub num_partitions: i32,
    #[kafka(versions = "5+", default = -1)]
    pub replication_factor: i16,
    #[kafka(versions = "5+", nullable = "5+")]
    pub configs: Option<Vec<CreatableTopicConfigs<'a>>>,
}

/// Part `CreatableTopicConfigs` of [`CreateTopicsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicConfigs<'a> {
    #[kafka(versions = "5+")]
    pub name: Str<'a>,
    #[kafka(versions = "5+", nullable = "5+")]
    pub value: Option<Str<'a>>,
    #[kafka(versions = "5+")]
    pub read_only: bool,
    #[kafka(versions = "5+", default = -1)]
    pub config_source: i8,
    #[kafka(versions = "5+")]
    pub is_sensitive: bool,
}
