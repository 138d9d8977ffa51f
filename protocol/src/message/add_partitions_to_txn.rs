//! AddPartitionsToTxn (key 24).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AddPartitionsToTxnRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 24, kind = "request", versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnRequest<'a> {
    #[kafka(versions = "4+")]
    pub transactions: Vec<AddPartitionsToTxnTransaction<'a>>,
    #[kafka(versions = "0-3")]
    pub v3_and_below_transactional_id: Str<'a>,
    #[kafka(versions = "0-3")]
    pub v3_and_below_producer_id: i64,
    #[kafka(versions = "0-3")]
    pub v3_and_below_producer_epoch: i16,
    #[kafka(versions = "0-3")]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic<'a>>,
}

/// Part `AddPartitionsToTxnTransaction` of [`AddPartitionsToTxnRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTransaction<'a> {
    #[kafka(versions = "4+")]
    pub transactional_id: Str<'a>,
    #[kafka(versions = "4+")]
    pub producer_id: i64,
    #[kafka(versions = "4+")]
    pub producer_epoch: i16,
    #[kafka(versions = "4+")]
    pub verify_only: bool,
    #[kafka(versions = "4+")]
    pub topics: Vec<AddPartitionsToTxnTopic<'a>>,
}

/// Part `AddPartitionsToTxnTopic` of [`AddPartitionsToTxnRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Response body `AddPartitionsToTxnResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 24, kind = "response", versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnResponse<'a> {
    pub throttle_time_ms: i32,
    #[kafka(versions = "4+")]
    pub error_code: ErrorCode,
    #[kafka(versions = "4+")]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult<'a>>,
    #[kafka(versions = "0-3")]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult<'a>>,
}

/// Part `AddPartitionsToTxnResult` of [`AddPartitionsToTxnResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnResult<'a> {
    #[kafka(versions = "4+")]
    pub transactional_id: Str<'a>,
    #[kafka(versions = "4+")]
    pub topic_results: Vec<AddPartitionsToTxnTopicResult<'a>>,
}

/// Part `AddPartitionsToTxnTopicResult` of [`AddPartitionsToTxnResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTopicResult<'a> {
    pub name: Str<'a>,
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

/// Part `AddPartitionsToTxnPartitionResult` of [`AddPartitionsToTxnResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnPartitionResult {
    pub partition_index: i32,
    pub partition_error_code: ErrorCode,
}
