//! ListTransactions (key 66).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ListTransactionsRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 66, kind = "request", versions = "0-2", flexible = "0+")]
pub struct ListTransactionsRequest<'a> {
    pub state_filters: Vec<Str<'a>>,
    pub producer_id_filters: Vec<i64>,
    #[kafka(versions = "1+", default = -1)]
    pub duration_filter: i64,
    #[kafka(versions = "2+", nullable = "2+", default = null)]
    pub transactional_id_pattern: Option<Str<'a>>,
}

/// Response body `ListTransactionsResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 66, kind = "response", versions = "0-2", flexible = "0+")]
pub struct ListTransactionsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub unknown_state_filters: Vec<Str<'a>>,
    pub transaction_states: Vec<TransactionState<'a>>,
}

/// Part `TransactionState` of [`ListTransactionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TransactionState<'a> {
    pub transactional_id: Str<'a>,
    pub producer_id: i64,
    pub transaction_state: Str<'a>,
}
