//! UpdateFeatures (key 57): switches features to other levels, for this cluster of one.
//!
//! Versions 0–2: 0 has a flag that allows a downgrade, 1 a type of it and "only check" (KIP-778), 2 answers for all
//! features at once. All succeed or none. ApiVersions tells of the new levels from then on; a client asks it once per
//! connection, so what is open goes on as before.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::broker::Refused;
use crate::catalog::Event;
use crate::catalog::features::{FeatureUpdate, Features, UpgradeType};
use crate::security::acl::Operation;

/// First version with a type of upgrade.
const TYPE_SINCE: i16 = 1;

/// Changes levels of features.
pub async fn update_features<'a>(
    cx: &Context<'_>,
    request: UpdateFeaturesRequest<'a>,
) -> UpdateFeaturesResponse<'a> {
    let updates: Vec<FeatureUpdate> =
        request.feature_updates.iter().map(|update| wish(cx.version, update)).collect();
    let (node_id, validate_only) = (cx.broker.node_id(), request.validate_only);
    if let Err(code) = cx.permit_on_cluster(Operation::Alter) {
        let error_message = Some(Str::Borrowed(permission::message(code)));
        return UpdateFeaturesResponse { error_code: code, error_message, ..Default::default() };
    }
    let planned = cx.broker.change_catalog(move |state| match state.features.updated(&updates, node_id) {
        Ok(Some(Features { epoch, levels })) if !validate_only => {
            (vec![Event::FeaturesSet { epoch, levels }], Ok(()))
        }
        Ok(_) => (Vec::new(), Ok(())),
        Err(refused) => (Vec::new(), Err(refused)),
    });
    match planned.await.and_then(|outcome| outcome) {
        Ok(()) => {
            // Kafka gives the name of its "no error" for a message here.
            let done = |update: FeatureUpdateKey<'a>| UpdatableFeatureResult {
                feature: update.feature,
                error_code: ErrorCode::NONE,
                error_message: Some(Str::Borrowed("NONE")),
            };
            UpdateFeaturesResponse {
                error_message: None,
                results: request.feature_updates.into_iter().map(done).collect(),
                ..Default::default()
            }
        }
        Err(Refused { code, message }) => UpdateFeaturesResponse {
            error_code: code,
            error_message: Some(Str::Owned(message)),
            ..Default::default()
        },
    }
}

fn wish(version: i16, update: &FeatureUpdateKey<'_>) -> FeatureUpdate {
    let upgrade_type = match (version >= TYPE_SINCE, update.allow_downgrade) {
        (true, _) => UpgradeType::of_code(update.upgrade_type),
        (false, true) => Some(UpgradeType::SafeDowngrade),
        (false, false) => Some(UpgradeType::Upgrade),
    };
    FeatureUpdate { name: update.feature.to_string(), level: update.max_version_level, upgrade_type }
}
