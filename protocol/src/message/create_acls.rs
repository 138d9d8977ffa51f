//! CreateAcls (key 30).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `CreateAclsRequest`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 30, kind = "request", versions = "1-3", flexible = "2+")]
pub struct CreateAclsRequest<'a> {
    pub creations: Vec<AclCreation<'a>>,
}

/// Part `AclCreation` of [`CreateAclsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclCreation<'a> {
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    #[kafka(versions = "1+", default = 3)]
    pub resource_pattern_type: i8,
    pub principal: Str<'a>,
    pub host: Str<'a>,
    pub operation: i8,
    pub permission_type: i8,
}

/// Response body `CreateAclsResponse`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 30, kind = "response", versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<AclCreationResult<'a>>,
}

/// Part `AclCreationResult` of [`CreateAclsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclCreationResult<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
