//! InitProducerId (key 22).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `InitProducerIdRequest`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 22, kind = "request", versions = "0-6", flexible = "2+", latest_unstable)]
pub struct InitProducerIdRequest<'a> {
    #[kafka(nullable = "0+")]
    pub transactional_id: Option<Str<'a>>,
    pub transaction_timeout_ms: i32,
    #[kafka(versions = "3+", default = -1)]
    pub producer_id: i64,
    #[kafka(versions = "3+", default = -1)]
    pub producer_epoch: i16,
    #[kafka(versions = "6+")]
    pub enable2_pc: bool,
    #[kafka(versions = "6+")]
    pub keep_prepared_txn: bool,
}

/// Response body `InitProducerIdResponse`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 22, kind = "response", versions = "0-6", flexible = "2+")]
pub struct InitProducerIdResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
    #[kafka(versions = "6+", default = -1)]
    pub ongoing_txn_producer_id: i64,
    #[kafka(versions = "6+", default = -1)]
    pub ongoing_txn_producer_epoch: i16,
}
