//! DeleteTopics (key 20).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `DeleteTopicsRequest`, versions 1-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 20, kind = "request", versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest<'a> {
    #[kafka(versions = "6+")]
    pub topics: Vec<DeleteTopicState<'a>>,
    #[kafka(versions = "0-5")]
    pub topic_names: Vec<Str<'a>>,
    pub timeout_ms: i32,
}

/// Part `DeleteTopicState` of [`DeleteTopicsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteTopicState<'a> {
    #[kafka(versions = "6+", nullable = "6+", default = null)]
    pub name: Option<Str<'a>>,
    #[kafka(versions = "6+")]
    pub topic_id: Uuid,
}

/// Response body `DeleteTopicsResponse`, versions 1-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 20, kind = "response", versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult<'a>>,
}

/// Part `DeletableTopicResult` of [`DeleteTopicsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeletableTopicResult<'a> {
    #[kafka(nullable = "6+")]
    pub name: Option<Str<'a>>,
    #[kafka(versions = "6+")]
    pub topic_id: Uuid,
    pub error_code: ErrorCode,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub error_message: Option<Str<'a>>,
}
