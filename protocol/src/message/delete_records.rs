//! DeleteRecords (key 21).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DeleteRecordsRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 21, kind = "request", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest<'a> {
    pub topics: Vec<DeleteRecordsTopic<'a>>,
    pub timeout_ms: i32,
}

/// Part `DeleteRecordsTopic` of [`DeleteRecordsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteRecordsTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// Part `DeleteRecordsPartition` of [`DeleteRecordsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteRecordsPartition {
    pub partition_index: i32,
    pub offset: i64,
}

/// Response body `DeleteRecordsResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 21, kind = "response", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse<'a> {
    pub throttle_time_ms: i32,
    pub topics: Vec<DeleteRecordsTopicResult<'a>>,
}

/// Part `DeleteRecordsTopicResult` of [`DeleteRecordsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteRecordsTopicResult<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// Part `DeleteRecordsPartitionResult` of [`DeleteRecordsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteRecordsPartitionResult {
    pub partition_index: i32,
    pub low_watermark: i64,
    pub error_code: ErrorCode,
}
