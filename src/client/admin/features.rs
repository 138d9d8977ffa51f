//! Features: which of the ways in which a cluster can work is in force.

use kafka_protocol::messages::UpdateFeaturesRequest;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::protocol::StrBytes;

use super::{outcome, timeout_ms};
use crate::client::{ClientError, Cluster};

/// What may be done to a feature's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// It may only rise.
    Upgrade = 1,
    /// It may fall, as long as nothing is lost.
    SafeDowngrade = 2,
    /// It may fall, whatever is lost.
    UnsafeDowngrade = 3,
}

/// Sets levels of features (UpdateFeatures), all or none.
pub fn update_features(
    cluster: &mut Cluster,
    levels: &[(String, i16)],
    upgrade_type: UpgradeType,
    validate_only: bool,
) -> Result<(), ClientError> {
    let version = cluster.any()?.version::<UpdateFeaturesRequest>(i16::MAX)?;
    let update = |(name, level): &(String, i16)| {
        let update = FeatureUpdateKey::default()
            .with_feature(StrBytes::from_string(name.clone()))
            .with_max_version_level(*level);
        match version {
            0 => update.with_allow_downgrade(upgrade_type != UpgradeType::Upgrade),
            _ => update.with_upgrade_type(upgrade_type as i8),
        }
    };
    if version == 0 && validate_only {
        return Err(ClientError::Other("this broker is too old to only check a change of features".into()));
    }
    let request = UpdateFeaturesRequest::default()
        .with_timeout_ms(timeout_ms(cluster))
        .with_feature_updates(levels.iter().map(update).collect())
        .with_validate_only(validate_only);
    let response = cluster.call_controller(&request)?;
    outcome("the features".into(), response.error_code, response.error_message.as_deref())?;
    for result in &response.results {
        let subject = format!("feature {}", result.feature);
        outcome(subject, result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}
