//! SyncGroup (key 14).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `SyncGroupRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 14, kind = "request", versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest<'a> {
    pub group_id: Str<'a>,
    pub generation_id: i32,
    pub member_id: Str<'a>,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<Str<'a>>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub protocol_type: Option<Str<'a>>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub protocol_name: Option<Str<'a>>,
    pub assignments: Vec<SyncGroupRequestAssignment<'a>>,
}

/// Part `SyncGroupRequestAssignment` of [`SyncGroupRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct SyncGroupRequestAssignment<'a> {
    pub member_id: Str<'a>,
    pub assignment: Blob<'a>,
}

/// Response body `SyncGroupResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 14, kind = "response", versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub protocol_type: Option<Str<'a>>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub protocol_name: Option<Str<'a>>,
    pub assignment: Blob<'a>,
}
