//! DescribeConfigs (key 32).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeConfigsRequest`, versions 1-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 32, kind = "request", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest<'a> {
    pub resources: Vec<DescribeConfigsResource<'a>>,
    #[kafka(versions = "1+")]
    pub include_synonyms: bool,
    #[kafka(versions = "3+")]
    pub include_documentation: bool,
}

/// Part `DescribeConfigsResource` of [`DescribeConfigsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResource<'a> {
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    #[kafka(nullable = "0+")]
    pub configuration_keys: Option<Vec<Str<'a>>>,
}

/// Response body `DescribeConfigsResponse`, versions 1-4.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 32, kind = "response", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult<'a>>,
}

/// Part `DescribeConfigsResult` of [`DescribeConfigsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResult<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    pub configs: Vec<DescribeConfigsResourceResult<'a>>,
}

/// Part `DescribeConfigsResourceResult` of [`DescribeConfigsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResourceResult<'a> {
    pub name: Str<'a>,
    #[kafka(nullable = "0+")]
    pub value: Option<Str<'a>>,
    pub read_only: bool,
    #[kafka(versions = "1+", default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
    #[kafka(versions = "1+")]
    pub synonyms: Vec<DescribeConfigsSynonym<'a>>,
    #[kafka(versions = "3+")]
    pub config_type: i8,
    #[kafka(versions = "3+", nullable = "0+")]
    pub documentation: Option<Str<'a>>,
}

/// Part `DescribeConfigsSynonym` of [`DescribeConfigsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsSynonym<'a> {
    #[kafka(versions = "1+")]
    pub name: Str<'a>,
    #[kafka(versions = "1+", nullable = "0+")]
    pub value: Option<Str<'a>>,
    #[kafka(versions = "1+")]
    pub source: i8,
}
