//! AlterConfigs (key 33).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AlterConfigsRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 33, kind = "request", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest<'a> {
    pub resources: Vec<AlterConfigsResource<'a>>,
    pub validate_only: bool,
}

/// Part `AlterConfigsResource` of [`AlterConfigsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResource<'a> {
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    pub configs: Vec<AlterableConfig<'a>>,
}

/// Part `AlterableConfig` of [`AlterConfigsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterableConfig<'a> {
    pub name: Str<'a>,
    #[kafka(nullable = "0+")]
    pub value: Option<Str<'a>>,
}

/// Response body `AlterConfigsResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 33, kind = "response", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse<'a> {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse<'a>>,
}

/// Part `AlterConfigsResourceResponse` of [`AlterConfigsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResourceResponse<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub resource_type: i8,
    pub resource_name: Str<'a>,
}
