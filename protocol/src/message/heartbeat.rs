//! Heartbeat (key 12).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `HeartbeatRequest`, versions 0-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 12, kind = "request", versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest<'a> {
    pub group_id: Str<'a>,
    pub generation_id: i32,
    pub member_id: Str<'a>,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
}

/// Response body `HeartbeatResponse`, versions 0-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 12, kind = "response", versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
}
