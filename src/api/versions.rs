//! ApiVersions (key 18): what this broker answers.
//!
//! Versions 0–5, always answered: a newer version gets the oldest form with UNSUPPORTED_VERSION (KIP-511). The
//! list is computed from the API table. Version 5 lets a client say which cluster it expects (KIP-1242).

use quipu_protocol::ErrorCode;
use quipu_protocol::api_key::ApiKey;
use quipu_protocol::message::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use quipu_protocol::primitives::Str;

use super::{Context, Row, table};
use crate::catalog::features::{FEATURES, Feature, Features};

/// First version that may tell of a feature whose levels begin at zero.
const ZERO_SINCE: i16 = 4;
/// First version that names the client's software, whose form is checked (KIP-511).
const SOFTWARE_SINCE: i16 = 3;

/// Answers with the API table and the features.
pub async fn api_versions<'a>(
    cx: &Context<'_>,
    request: ApiVersionsRequest<'a>,
) -> ApiVersionsResponse<'static> {
    if cx.version >= SOFTWARE_SINCE
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
    }
    let wrong_cluster = request.cluster_id.as_deref().is_some_and(|id| id != cx.broker.cluster_id());
    let wrong_node = request.node_id >= 0 && request.node_id != cx.broker.node_id();
    if wrong_cluster || wrong_node {
        return ApiVersionsResponse { error_code: ErrorCode::REBOOTSTRAP_REQUIRED, ..Default::default() };
    }
    // A reader of version 3 cannot take a range that begins at zero (KAFKA-17011).
    let is_told = |feature: &&Feature| cx.version >= ZERO_SINCE || feature.min > 0;
    let features = cx.broker.features();
    ApiVersionsResponse {
        api_keys: keys(cx),
        supported_features: FEATURES.iter().filter(is_told).map(supported).collect(),
        finalized_features_epoch: features.epoch,
        finalized_features: FEATURES.iter().filter_map(|feature| finalized(&features, feature)).collect(),
        ..Default::default()
    }
}

fn supported(feature: &Feature) -> SupportedFeatureKey<'static> {
    SupportedFeatureKey {
        name: Str::Borrowed(feature.name),
        min_version: feature.min,
        max_version: feature.max,
    }
}

/// A feature at level 0 is off, and not told of.
fn finalized(features: &Features, feature: &Feature) -> Option<FinalizedFeatureKey<'static>> {
    let level = features.level_of(feature);
    (level > 0).then_some(FinalizedFeatureKey {
        name: Str::Borrowed(feature.name),
        max_version_level: level,
        min_version_level: level,
    })
}

/// The answer to a version that does not exist here, in the form every client can read: with which one to ask again.
pub fn unsupported(cx: &Context<'_>) -> ApiVersionsResponse<'static> {
    let mut api_keys = keys(cx);
    api_keys.retain(|api| api.api_key == ApiKey::ApiVersions as i16);
    ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, api_keys, ..Default::default() }
}

fn keys(cx: &Context<'_>) -> Vec<ApiVersion> {
    let has_unstable = cx.broker.settings().unstable_versions;
    let version = |row: &Row| ApiVersion {
        api_key: row.key as i16,
        min_version: *row.announced.start(),
        max_version: row.unstable.filter(|_| has_unstable).unwrap_or(*row.announced.end()),
    };
    table().iter().map(version).collect()
}

/// Kafka's form: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(name: &str) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let bytes = name.as_bytes();
    edge(bytes.first().copied())
        && edge(bytes.last().copied())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_have_kafkas_form() {
        for good in ["librdkafka", "2.16.0", "apache-kafka-java", "a"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "kgo/1", "ü"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
