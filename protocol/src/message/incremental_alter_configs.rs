//! IncrementalAlterConfigs (key 44).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `IncrementalAlterConfigsRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 44, kind = "request", versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest<'a> {
    pub resources: Vec<AlterConfigsResource<'a>>,
    pub validate_only: bool,
}

/// Part `AlterConfigsResource` of [`IncrementalAlterConfigsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResource<'a> {
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    pub configs: Vec<AlterableConfig<'a>>,
}

/// Part `AlterableConfig` of [`IncrementalAlterConfigsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterableConfig<'a> {
    pub name: Str<'a>,
    pub config_operation: i8,
    #[kafka(nullable = "0+")]
    pub value: Option<Str<'a>>,
}

/// Response body `IncrementalAlterConfigsResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 44, kind = "response", versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse<'a> {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse<'a>>,
}

/// Part `AlterConfigsResourceResponse` of [`IncrementalAlterConfigsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResourceResponse<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub resource_type: i8,
    pub resource_name: Str<'a>,
}
