//! RenewDelegationToken (key 39).

use crate::error_code::ErrorCode;
use crate::primitives::Blob;
use quipu_protocol_derive::Message;

/// Request body `RenewDelegationTokenRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 39, kind = "request", versions = "1-2", flexible = "2+")]
pub struct RenewDelegationTokenRequest<'a> {
    pub hmac: Blob<'a>,
    pub renew_period_ms: i64,
}

/// Response body `RenewDelegationTokenResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 39, kind = "response", versions = "1-2", flexible = "2+")]
pub struct RenewDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
