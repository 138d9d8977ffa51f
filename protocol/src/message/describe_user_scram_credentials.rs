//! DescribeUserScramCredentials (key 50).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeUserScramCredentialsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 50, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeUserScramCredentialsRequest<'a> {
    #[kafka(nullable = "0+")]
    pub users: Option<Vec<UserName<'a>>>,
}

/// Part `UserName` of [`DescribeUserScramCredentialsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct UserName<'a> {
    pub name: Str<'a>,
}

/// Response body `DescribeUserScramCredentialsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 50, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeUserScramCredentialsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub results: Vec<DescribeUserScramCredentialsResult<'a>>,
}

/// Part `DescribeUserScramCredentialsResult` of [`DescribeUserScramCredentialsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeUserScramCredentialsResult<'a> {
    pub user: Str<'a>,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub credential_infos: Vec<CredentialInfo>,
}

/// Part `CredentialInfo` of [`DescribeUserScramCredentialsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CredentialInfo {
    pub mechanism: i8,
    pub iterations: i32,
}
