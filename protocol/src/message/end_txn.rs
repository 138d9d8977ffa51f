//! EndTxn (key 26).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `EndTxnRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 26, kind = "request", versions = "0-5", flexible = "3+")]
pub struct EndTxnRequest<'a> {
    pub transactional_id: Str<'a>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub committed: bool,
}

/// Response body `EndTxnResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 26, kind = "response", versions = "0-5", flexible = "3+")]
pub struct EndTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(versions = "5+", default = -1)]
    pub producer_id: i64,
    #[kafka(versions = "5+", default = -1)]
    pub producer_epoch: i16,
}
