//! AddOffsetsToTxn (key 25).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AddOffsetsToTxnRequest`, versions 0-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 25, kind = "request", versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnRequest<'a> {
    pub transactional_id: Str<'a>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub group_id: Str<'a>,
}

/// Response body `AddOffsetsToTxnResponse`, versions 0-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 25, kind = "response", versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
}
