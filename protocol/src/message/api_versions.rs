//! ApiVersions (key 18).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `ApiVersionsRequest`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 18, kind = "request", versions = "0-5", flexible = "3+")]
pub struct ApiVersionsRequest<'a> {
    #[kafka(versions = "3+")]
    pub client_software_name: Str<'a>,
    #[kafka(versions = "3+")]
    pub client_software_version: Str<'a>,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub cluster_id: Option<Str<'a>>,
    #[kafka(versions = "5+", default = -1)]
    pub node_id: i32,
}

/// Response body `ApiVersionsResponse`, versions 0-5.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 18, kind = "response", versions = "0-5", flexible = "3+")]
pub struct ApiVersionsResponse<'a> {
    pub error_code: ErrorCode,
    pub api_keys: Vec<ApiVersion>,
    #[kafka(versions = "1+")]
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+", tag = 0, tagged = "3+")]
    pub supported_features: Vec<SupportedFeatureKey<'a>>,
    #[kafka(versions = "3+", tag = 1, tagged = "3+", default = -1)]
    pub finalized_features_epoch: i64,
    #[kafka(versions = "3+", tag = 2, tagged = "3+")]
    pub finalized_features: Vec<FinalizedFeatureKey<'a>>,
    #[kafka(versions = "3+", tag = 3, tagged = "3+")]
    pub zk_migration_ready: bool,
}

/// Part `ApiVersion` of [`ApiVersionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

/// Part `SupportedFeatureKey` of [`ApiVersionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct SupportedFeatureKey<'a> {
    #[kafka(versions = "3+")]
    pub name: Str<'a>,
    #[kafka(versions = "3+")]
    pub min_version: i16,
    #[kafka(versions = "3+")]
    pub max_version: i16,
}

/// Part `FinalizedFeatureKey` of [`ApiVersionsResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FinalizedFeatureKey<'a> {
    #[kafka(versions = "3+")]
    pub name: Str<'a>,
    #[kafka(versions = "3+")]
    pub max_version_level: i16,
    #[kafka(versions = "3+")]
    pub min_version_level: i16,
}
