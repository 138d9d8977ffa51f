//! DeleteShareGroupOffsets (key 92).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `DeleteShareGroupOffsetsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 92, kind = "request", versions = "0", flexible = "0+")]
pub struct DeleteShareGroupOffsetsRequest<'a> {
    pub group_id: Str<'a>,
    pub topics: Vec<DeleteShareGroupOffsetsRequestTopic<'a>>,
}

/// Part `DeleteShareGroupOffsetsRequestTopic` of [`DeleteShareGroupOffsetsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteShareGroupOffsetsRequestTopic<'a> {
    pub topic_name: Str<'a>,
}

/// Response body `DeleteShareGroupOffsetsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 92, kind = "response", versions = "0", flexible = "0+")]
pub struct DeleteShareGroupOffsetsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub responses: Vec<DeleteShareGroupOffsetsResponseTopic<'a>>,
}

/// Part `DeleteShareGroupOffsetsResponseTopic` of [`DeleteShareGroupOffsetsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteShareGroupOffsetsResponseTopic<'a> {
    pub topic_name: Str<'a>,
    pub topic_id: Uuid,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
}
