//! DeleteAcls (key 31).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DeleteAclsRequest`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 31, kind = "request", versions = "1-3", flexible = "2+")]
pub struct DeleteAclsRequest<'a> {
    pub filters: Vec<DeleteAclsFilter<'a>>,
}

/// Part `DeleteAclsFilter` of [`DeleteAclsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsFilter<'a> {
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

/// Response body `DeleteAclsResponse`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 31, kind = "response", versions = "1-3", flexible = "2+")]
pub struct DeleteAclsResponse<'a> {
    pub throttle_time_ms: i32,
    pub filter_results: Vec<DeleteAclsFilterResult<'a>>,
}

/// Part `DeleteAclsFilterResult` of [`DeleteAclsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsFilterResult<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub matching_acls: Vec<DeleteAclsMatchingAcl<'a>>,
}

/// Part `DeleteAclsMatchingAcl` of [`DeleteAclsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsMatchingAcl<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub resource_type: i8,
    pub resource_name: Str<'a>,
    #[kafka(versions = "1+", default = 3)]
    pub pattern_type: i8,
    pub principal: Str<'a>,
    pub host: Str<'a>,
    pub operation: i8,
    pub permission_type: i8,
}
