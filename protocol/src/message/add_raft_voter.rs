//! AddRaftVoter (key 80).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `AddRaftVoterRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 80, kind = "request", versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterRequest<'a> {
    #[kafka(nullable = "0+")]
    pub cluster_id: Option<Str<'a>>,
    pub timeout_ms: i32,
    pub voter_id: i32,
    pub voter_directory_id: Uuid,
    pub listeners: Vec<Listener<'a>>,
    #[kafka(versions = "1+", default = true)]
    pub ack_when_committed: bool,
}

/// Part `Listener` of [`AddRaftVoterRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Listener<'a> {
    pub name: Str<'a>,
    pub host: Str<'a>,
    pub port: u16,
}

/// Response body `AddRaftVoterResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 80, kind = "response", versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
