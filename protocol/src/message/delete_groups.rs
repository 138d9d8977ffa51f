//! DeleteGroups (key 42).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DeleteGroupsRequest`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 42, kind = "request", versions = "0-3", flexible = "2+")]
pub struct DeleteGroupsRequest<'a> {
    pub groups_names: Vec<Str<'a>>,
}

/// Response body `DeleteGroupsResponse`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 42, kind = "response", versions = "0-3", flexible = "2+")]
pub struct DeleteGroupsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult<'a>>,
}

/// Part `DeletableGroupResult` of [`DeleteGroupsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeletableGroupResult<'a> {
    pub group_id: Str<'a>,
    pub error_code: ErrorCode,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub error_message: Option<Str<'a>>,
}
