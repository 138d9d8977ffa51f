//! ExpireDelegationToken (key 40).

use crate::error_code::ErrorCode;
use crate::primitives::Blob;
use quipu_protocol_derive::Message;

/// Request body `ExpireDelegationTokenRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 40, kind = "request", versions = "1-2", flexible = "2+")]
pub struct ExpireDelegationTokenRequest<'a> {
    pub hmac: Blob<'a>,
    pub expiry_time_period_ms: i64,
}

/// Response body `ExpireDelegationTokenResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 40, kind = "response", versions = "1-2", flexible = "2+")]
pub struct ExpireDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
