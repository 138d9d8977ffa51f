//! DescribeCluster (key 60).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeClusterRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 60, kind = "request", versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    pub include_cluster_authorized_operations: bool,
    #[kafka(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    #[kafka(versions = "2+")]
    pub include_fenced_brokers: bool,
}

/// Response body `DescribeClusterResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 60, kind = "response", versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    pub cluster_id: Str<'a>,
    #[kafka(default = -1)]
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker<'a>>,
    #[kafka(default = -2147483648)]
    pub cluster_authorized_operations: i32,
}

/// Part `DescribeClusterBroker` of [`DescribeClusterResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeClusterBroker<'a> {
    pub broker_id: i32,
    pub host: Str<'a>,
    pub port: i32,
    #[kafka(nullable = "0+", default = null)]
    pub rack: Option<Str<'a>>,
    #[kafka(versions = "2+")]
    pub is_fenced: bool,
}
