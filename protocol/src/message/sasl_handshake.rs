//! SaslHandshake (key 17).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `SaslHandshakeRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 17, kind = "request", versions = "0-1", flexible = "none")]
pub struct SaslHandshakeRequest<'a> {
    pub mechanism: Str<'a>,
}

/// Response body `SaslHandshakeResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 17, kind = "response", versions = "0-1", flexible = "none")]
pub struct SaslHandshakeResponse<'a> {
    pub error_code: ErrorCode,
    pub mechanisms: Vec<Str<'a>>,
}
