//! DescribeLogDirs (key 35).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeLogDirsRequest`, versions 1-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 35, kind = "request", versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest<'a> {
    #[kafka(nullable = "0+")]
    pub topics: Option<Vec<DescribableLogDirTopic<'a>>>,
}

/// Part `DescribableLogDirTopic` of [`DescribeLogDirsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribableLogDirTopic<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Response body `DescribeLogDirsResponse`, versions 1-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 35, kind = "response", versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse<'a> {
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+")]
    pub error_code: ErrorCode,
    pub results: Vec<DescribeLogDirsResult<'a>>,
}

/// Part `DescribeLogDirsResult` of [`DescribeLogDirsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsResult<'a> {
    pub error_code: ErrorCode,
    pub log_dir: Str<'a>,
    pub topics: Vec<DescribeLogDirsTopic<'a>>,
    #[kafka(versions = "4+", default = -1)]
    pub total_bytes: i64,
    #[kafka(versions = "4+", default = -1)]
    pub usable_bytes: i64,
    #[kafka(versions = "5+")]
    pub is_cordoned: bool,
}

/// Part `DescribeLogDirsTopic` of [`DescribeLogDirsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsTopic<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// Part `DescribeLogDirsPartition` of [`DescribeLogDirsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    pub partition_size: i64,
    pub offset_lag: i64,
    pub is_future_key: bool,
}
