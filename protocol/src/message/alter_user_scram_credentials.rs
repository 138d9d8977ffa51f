//! AlterUserScramCredentials (key 51).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Request body `AlterUserScramCredentialsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 51, kind = "request", versions = "0", flexible = "0+")]
pub struct AlterUserScramCredentialsRequest<'a> {
    pub deletions: Vec<ScramCredentialDeletion<'a>>,
    pub upsertions: Vec<ScramCredentialUpsertion<'a>>,
}

/// Part `ScramCredentialDeletion` of [`AlterUserScramCredentialsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ScramCredentialDeletion<'a> {
    pub name: Str<'a>,
    pub mechanism: i8,
}

/// Part `ScramCredentialUpsertion` of [`AlterUserScramCredentialsRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ScramCredentialUpsertion<'a> {
    pub name: Str<'a>,
    pub mechanism: i8,
    pub iterations: i32,
    pub salt: Blob<'a>,
    pub salted_password: Blob<'a>,
}

/// Response body `AlterUserScramCredentialsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 51, kind = "response", versions = "0", flexible = "0+")]
pub struct AlterUserScramCredentialsResponse<'a> {
    pub throttle_time_ms: i32,
    pub results: Vec<AlterUserScramCredentialsResult<'a>>,
}

/// Part `AlterUserScramCredentialsResult` of [`AlterUserScramCredentialsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterUserScramCredentialsResult<'a> {
    pub user: Str<'a>,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
