//! DescribeAcls (key 29).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeAclsRequest`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 29, kind = "request", versions = "1-3", flexible = "2+")]
pub struct DescribeAclsRequest<'a> {
    pub resource_type_filter: i8,
    #[kafka(nullable = "0+")]
    pub resource_name_filter: Option<Str<'a>>,
    #[kafka(versions = "1+", default = 3)]
    pub pattern_type_filter: i8,
    #[kafka(nullable = "0+")]
    pub principal_filter: Option<Str<'a>>,
    #[kafka(nullable = "0+")]
    pub host_filter: Option<Str<'a>>,
    pub operation: i8,
    pub permission_type: i8,
}

/// Response body `DescribeAclsResponse`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 29, kind = "response", versions = "1-3", flexible = "2+")]
pub struct DescribeAclsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub resources: Vec<DescribeAclsResource<'a>>,
}

/// Part `DescribeAclsResource` of [`DescribeAclsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeAclsResource<'a> {
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    #[kafka(versions = "1+", default = 3)]
    pub pattern_type: i8,
    pub acls: Vec<AclDescription<'a>>,
}

/// Part `AclDescription` of [`DescribeAclsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclDescription<'a> {
    pub principal: Str<'a>,
    pub host: Str<'a>,
    pub operation: i8,
    pub permission_type: i8,
}
