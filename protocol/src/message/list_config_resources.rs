//! ListConfigResources (key 74).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ListConfigResourcesRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 74, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    #[kafka(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// Response body `ListConfigResourcesResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 74, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub config_resources: Vec<ConfigResource<'a>>,
}

/// Part `ConfigResource` of [`ListConfigResourcesResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ConfigResource<'a> {
    pub resource_name: Str<'a>,
    #[kafka(versions = "1+", default = 16)]
    pub resource_type: i8,
}
