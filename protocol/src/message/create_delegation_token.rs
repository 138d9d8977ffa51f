//! CreateDelegationToken (key 38).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `CreateDelegationTokenRequest`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 38, kind = "request", versions = "1-3", flexible = "2+")]
pub struct CreateDelegationTokenRequest<'a> {
    #[kafka(versions = "3+", nullable = "3+")]
    pub owner_principal_type: Option<Str<'a>>,
    #[kafka(versions = "3+", nullable = "3+")]
    pub owner_principal_name: Option<Str<'a>>,
    pub renewers: Vec<CreatableRenewers<'a>>,
    pub max_lifetime_ms: i64,
}

/// Part `CreatableRenewers` of [`CreateDelegationTokenRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableRenewers<'a> {
    pub principal_type: Str<'a>,
    pub principal_name: Str<'a>,
}

/// Response body `CreateDelegationTokenResponse`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 38, kind = "response", versions = "1-3", flexible = "2+")]
pub struct CreateDelegationTokenResponse<'a> {
    pub error_code: ErrorCode,
    pub principal_type: Str<'a>,
    pub principal_name: Str<'a>,
    #[kafka(versions = "3+")]
    pub token_requester_principal_type: Str<'a>,
    #[kafka(versions = "3+")]
    pub token_requester_principal_name: Str<'a>,
    pub issue_timestamp_ms: i64,
    pub expiry_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub token_id: Str<'a>,
    pub hmac: Blob<'a>,
    pub throttle_time_ms: i32,
}
