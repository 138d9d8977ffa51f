//! DescribeTransactions (key 65).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeTransactionsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 65, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeTransactionsRequest<'a> {
    pub transactional_ids: Vec<Str<'a>>,
}

/// Response body `DescribeTransactionsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 65, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeTransactionsResponse<'a> {
    pub throttle_time_ms: i32,
    pub transaction_states: Vec<TransactionState<'a>>,
}

/// Part `TransactionState` of [`DescribeTransactionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TransactionState<'a> {
    pub error_code: ErrorCode,
    pub transactional_id: Str<'a>,
    pub transaction_state: Str<'a>,
    pub transaction_timeout_ms: i32,
    pub transaction_start_time_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub topics: Vec<TopicData<'a>>,
}

/// Part `TopicData` of [`DescribeTransactionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicData<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<i32>,
}
