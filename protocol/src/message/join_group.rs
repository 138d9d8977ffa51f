//! JoinGroup (key 11).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `JoinGroupRequest`, versions 0-9.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 11, kind = "request", versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest<'a> {
    pub group_id: Str<'a>,
    pub session_timeout_ms: i32,
    #[kafka(versions = "1+", default = -1)]
    pub rebalance_timeout_ms: i32,
    pub member_id: Str<'a>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    pub protocol_type: Str<'a>,
    pub protocols: Vec<JoinGroupRequestProtocol<'a>>,
    #[kafka(versions = "8+", nullable = "8+", default = null)]
    pub reason: Option<Str<'a>>,
}

/// Part `JoinGroupRequestProtocol` of [`JoinGroupRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct JoinGroupRequestProtocol<'a> {
    pub name: Str<'a>,
    pub metadata: Blob<'a>,
}

/// Response body `JoinGroupResponse`, versions 0-9.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 11, kind = "response", versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse<'a> {
    #[kafka(versions = "2+")]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(default = -1)]
    pub generation_id: i32,
    #[kafka(versions = "7+", nullable = "7+", default = null)]
    pub protocol_type: Option<Str<'a>>,
    #[kafka(nullable = "7+")]
    pub protocol_name: Option<Str<'a>>,
    pub leader: Str<'a>,
    #[kafka(versions = "9+")]
    pub skip_assignment: bool,
    pub member_id: Str<'a>,
    pub members: Vec<JoinGroupResponseMember<'a>>,
}

/// Part `JoinGroupResponseMember` of [`JoinGroupResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct JoinGroupResponseMember<'a> {
    pub member_id: Str<'a>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    pub metadata: Blob<'a>,
}
