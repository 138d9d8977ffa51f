//! ListGroups (key 16).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ListGroupsRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 16, kind = "request", versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest<'a> {
    #[kafka(versions = "4+")]
    pub states_filter: Vec<Str<'a>>,
    #[kafka(versions = "5+")]
    pub types_filter: Vec<Str<'a>>,
}

/// Response body `ListGroupsResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 16, kind = "response", versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub groups: Vec<ListedGroup<'a>>,
}

/// Part `ListedGroup` of [`ListGroupsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListedGroup<'a> {
    pub group_id: Str<'a>,
    pub protocol_type: Str<'a>,
    #[kafka(versions = "4+")]
    pub group_state: Str<'a>,
    #[kafka(versions = "5+")]
    pub group_type: Str<'a>,
}
