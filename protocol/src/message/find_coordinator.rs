//! FindCoordinator (key 10).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `FindCoordinatorRequest`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 10, kind = "request", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest<'a> {
    #[kafka(versions = "0-3")]
    pub key: Str<'a>,
    #[kafka(versions = "1+")]
    pub key_type: i8,
    #[kafka(versions = "4+")]
    pub coordinator_keys: Vec<Str<'a>>,
}

/// Response body `FindCoordinatorResponse`, versions 0-6.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 10, kind = "response", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse<'a> {
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    #[kafka(versions = "0-3")]
    pub error_code: ErrorCode,
    #[kafka(versions = "1-3", nullable = "1-3")]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "0-3")]
    pub node_id: i32,
    #[kafka(versions = "0-3")]
    pub host: Str<'a>,
    #[kafka(versions = "0-3")]
    pub port: i32,
    #[kafka(versions = "4+")]
    pub coordinators: Vec<Coordinator<'a>>,
}

/// Part `Coordinator` of [`FindCoordinatorResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Coordinator<'a> {
    #[kafka(versions = "4+")]
    pub key: Str<'a>,
    #[kafka(versions = "4+")]
    pub node_id: i32,
    #[kafka(versions = "4+")]
    pub host: Str<'a>,
    #[kafka(versions = "4+")]
    pub port: i32,
    #[kafka(versions = "4+")]
    pub error_code: ErrorCode,
    #[kafka(versions = "4+", nullable = "4+")]
    pub error_message: Option<Str<'a>>,
}
