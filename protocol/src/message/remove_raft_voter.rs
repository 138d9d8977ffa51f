//! RemoveRaftVoter (key 81).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `RemoveRaftVoterRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 81, kind = "request", versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterRequest<'a> {
    #[kafka(nullable = "0+")]
    pub cluster_id: Option<Str<'a>>,
    pub voter_id: i32,
    pub voter_directory_id: Uuid,
}

/// Response body `RemoveRaftVoterResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 81, kind = "response", versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
