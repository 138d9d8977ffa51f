//! DescribeGroups (key 15).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `DescribeGroupsRequest`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 15, kind = "request", versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest<'a> {
    pub groups: Vec<Str<'a>>,
    #[kafka(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// Response body `DescribeGroupsResponse`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 15, kind = "response", versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup<'a>>,
}

/// Part `DescribedGroup` of [`DescribeGroupsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroup<'a> {
    pub error_code: ErrorCode,
    #[kafka(versions = "6+", nullable = "6+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub group_id: Str<'a>,
    pub group_state: Str<'a>,
    pub protocol_type: Str<'a>,
    pub protocol_data: Str<'a>,
    pub members: Vec<DescribedGroupMember<'a>>,
    #[kafka(versions = "3+", default = -2147483648)]
    pub authorized_operations: i32,
}

/// Part `DescribedGroupMember` of [`DescribeGroupsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroupMember<'a> {
    pub member_id: Str<'a>,
    #[kafka(versions = "4+", nullable = "4+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    pub client_id: Str<'a>,
    pub client_host: Str<'a>,
    pub member_metadata: Blob<'a>,
    pub member_assignment: Blob<'a>,
}
