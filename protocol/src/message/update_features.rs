//! UpdateFeatures (key 57).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `UpdateFeaturesRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 57, kind = "request", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest<'a> {
    #[kafka(default = 60000, name = "timeoutMs")]
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey<'a>>,
    #[kafka(versions = "1+")]
    pub validate_only: bool,
}

/// Part `FeatureUpdateKey` of [`UpdateFeaturesRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FeatureUpdateKey<'a> {
    pub feature: Str<'a>,
    pub max_version_level: i16,
    #[kafka(versions = "0")]
    pub allow_downgrade: bool,
    #[kafka(versions = "1+", default = 1)]
    pub upgrade_type: i8,
}

/// Response body `UpdateFeaturesResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 57, kind = "response", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "0-1")]
    pub results: Vec<UpdatableFeatureResult<'a>>,
}

/// Part `UpdatableFeatureResult` of [`UpdateFeaturesResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct UpdatableFeatureResult<'a> {
    pub feature: Str<'a>,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
}
