//! SaslAuthenticate (key 36).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `SaslAuthenticateRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 36, kind = "request", versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateRequest<'a> {
    pub auth_bytes: Blob<'a>,
}

/// Response body `SaslAuthenticateResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 36, kind = "response", versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateResponse<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub auth_bytes: Blob<'a>,
    #[kafka(versions = "1+")]
    pub session_lifetime_ms: i64,
}
