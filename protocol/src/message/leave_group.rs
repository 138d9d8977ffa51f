//! LeaveGroup (key 13).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `LeaveGroupRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 13, kind = "request", versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest<'a> {
    pub group_id: Str<'a>,
    #[kafka(versions = "0-2")]
    pub member_id: Str<'a>,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberIdentity<'a>>,
}

/// Part `MemberIdentity` of [`LeaveGroupRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MemberIdentity<'a> {
    #[kafka(versions = "3+")]
    pub member_id: Str<'a>,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub reason: Option<Str<'a>>,
}

/// Response body `LeaveGroupResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 13, kind = "response", versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberResponse<'a>>,
}

/// Part `MemberResponse` of [`LeaveGroupResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MemberResponse<'a> {
    #[kafka(versions = "3+")]
    pub member_id: Str<'a>,
    #[kafka(versions = "3+", nullable = "3+")]
    pub group_instance_id: Option<Str<'a>>,
    #[kafka(versions = "3+")]
    pub error_code: ErrorCode,
}
