//! DescribeDelegationToken (key 41).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `DescribeDelegationTokenRequest`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 41, kind = "request", versions = "1-3", flexible = "2+")]
pub struct DescribeDelegationTokenRequest<'a> {
    #[kafka(nullable = "0+")]
    pub owners: Option<Vec<DescribeDelegationTokenOwner<'a>>>,
}

/// Part `DescribeDelegationTokenOwner` of [`DescribeDelegationTokenRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeDelegationTokenOwner<'a> {
    pub principal_type: Str<'a>,
    pub principal_name: Str<'a>,
}

/// Response body `DescribeDelegationTokenResponse`, versions 1-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 41, kind = "response", versions = "1-3", flexible = "2+")]
pub struct DescribeDelegationTokenResponse<'a> {
    pub error_code: ErrorCode,
    pub tokens: Vec<DescribedDelegationToken<'a>>,
    pub throttle_time_ms: i32,
}

/// Part `DescribedDelegationToken` of [`DescribeDelegationTokenResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedDelegationToken<'a> {
    pub principal_type: Str<'a>,
    pub principal_name: Str<'a>,
    #[kafka(versions = "3+")]
    pub token_requester_principal_type: Str<'a>,
    #[kafka(versions = "3+")]
    pub token_requester_principal_name: Str<'a>,
    pub issue_timestamp: i64,
    pub expiry_timestamp: i64,
    pub max_timestamp: i64,
    pub token_id: Str<'a>,
    pub hmac: Blob<'a>,
    pub renewers: Vec<DescribedDelegationTokenRenewer<'a>>,
}

/// Part `DescribedDelegationTokenRenewer` of [`DescribeDelegationTokenResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedDelegationTokenRenewer<'a> {
    pub principal_type: Str<'a>,
    pub principal_name: Str<'a>,
}
