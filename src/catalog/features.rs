//! Features: what the cluster can do in several ways, and which of them is in force (KIP-584, KIP-1022).
//!
//! A client learns the levels from ApiVersions and chooses its protocol by them; UpdateFeatures changes them. The rules
//! are those of Kafka's `FeatureControlManager`, with one node that is broker and controller at once.

use std::collections::BTreeMap;

use quipu_protocol::ErrorCode;

use crate::broker::Refused;

/// A feature and its levels. Level 0 is "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Lowest level that can be in force.
    pub min: i16,
    /// Highest level, in force unless something else was chosen.
    pub max: i16,
}

/// With level 1 the coordinator assigns partitions (KIP-848).
pub const GROUP_VERSION: &str = "group.version";
/// What the metadata log can hold.
pub const METADATA_VERSION: &str = "metadata.version";
/// With level 2 clients change their epoch with every transaction (KIP-890); level 1 is about the form of records only.
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// The features that there are. `metadata.version` reaches from Kafka 3.3 (7), the first with KRaft, to 4.3 (30).
pub const FEATURES: &[Feature] = &[
    Feature { name: METADATA_VERSION, min: 7, max: 30 },
    Feature { name: GROUP_VERSION, min: 0, max: 1 },
    Feature { name: TRANSACTION_VERSION, min: 0, max: 2 },
];

/// What may be done to the level of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// It may rise only.
    Upgrade,
    /// It may fall, as long as nothing that is stored is lost.
    SafeDowngrade,
    /// It may fall whatever is lost.
    UnsafeDowngrade,
}

impl UpgradeType {
    /// The type of this code on the wire.
    pub fn of_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

/// A wish for one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Which feature.
    pub name: String,
    /// The level that it should have.
    pub level: i16,
    /// What may be done; `None` is a code that nobody knows.
    pub upgrade_type: Option<UpgradeType>,
}

/// The levels in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Rises with every change: of two answers, clients believe the one with the higher epoch.
    pub epoch: i64,
    /// What was chosen. A feature that is not here is at its highest level.
    pub levels: BTreeMap<String, i16>,
}

impl Features {
    /// The level in force, 0 for what is off or unknown.
    pub fn level(&self, name: &str) -> i16 {
        FEATURES.iter().find(|feature| feature.name == name).map_or(0, |feature| self.level_of(feature))
    }

    /// The level in force of a feature that there is. A level that a newer Quipu chose is as high as ours can be.
    pub fn level_of(&self, feature: &Feature) -> i16 {
        self.levels.get(feature.name).map_or(feature.max, |level| (*level).clamp(feature.min, feature.max))
    }

    /// The levels as they would be after `updates`, all or none; `None` when nothing changes. Of several wishes for one
    /// feature the last counts, as in Kafka.
    ///
    /// # Errors
    /// `INVALID_UPDATE_VERSION` with the reason for the first feature, by name, that cannot be as wished.
    pub fn updated(&self, updates: &[FeatureUpdate], node_id: i32) -> Result<Option<Self>, Refused> {
        let wishes: BTreeMap<&str, &FeatureUpdate> =
            updates.iter().map(|update| (update.name.as_str(), update)).collect();
        let mut next = self.clone();
        for update in wishes.values() {
            self.check(update, node_id).map_err(|reason| {
                let message = format!(
                    "The update failed for all features since the following feature had an error: {reason}"
                );
                Refused::new(ErrorCode::INVALID_UPDATE_VERSION, message)
            })?;
            if self.level(&update.name) != update.level {
                next.levels.insert(update.name.clone(), update.level);
            }
        }
        if next == *self {
            return Ok(None);
        }
        next.epoch += 1;
        Ok(Some(next))
    }

    fn check(&self, update: &FeatureUpdate, node_id: i32) -> Result<(), String> {
        let FeatureUpdate { name, level, .. } = update;
        let invalid = |why: String| Err(format!("Invalid update version {level} for feature {name}. {why}"));
        let Some(upgrade_type) = update.upgrade_type else {
            return invalid("The controller does not support the given upgrade type.".into());
        };
        if *level < 0 {
            return invalid("A feature version cannot be less than 0.".into());
        }
        match FEATURES.iter().find(|feature| feature.name == name) {
            Some(feature) if !(feature.min..=feature.max).contains(level) => {
                let (min, max) = (feature.min, feature.max);
                return invalid(format!("Local controller {node_id} only supports versions {min}-{max}"));
            }
            Some(_) => {}
            None if *level > 0 => {
                return invalid(format!("Local controller {node_id} does not support this feature."));
            }
            None => return invalid(format!("Feature {name} not found.")),
        }
        let current = self.level(name);
        if *level < current && upgrade_type == UpgradeType::Upgrade {
            return invalid(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
                    .into(),
            );
        }
        if *level > current && upgrade_type != UpgradeType::Upgrade {
            return invalid("Can't downgrade to a newer version.".into());
        }
        // The highest level changed the form of what is stored, so every way down leads over that.
        if name == METADATA_VERSION && *level < current {
            let why = match upgrade_type {
                UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
                _ => {
                    "Refusing to perform the requested downgrade because it might delete metadata information."
                }
            };
            return Err(format!("Unsupported metadata.version downgrade from {current} to {level}. {why}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UpgradeType::{SafeDowngrade, UnsafeDowngrade, Upgrade};

    fn wish(name: &str, level: i16, upgrade_type: UpgradeType) -> FeatureUpdate {
        FeatureUpdate { name: name.into(), level, upgrade_type: Some(upgrade_type) }
    }

    #[test]
    fn levels_fall_and_rise_and_the_epoch_rises_with_each_change() {
        let all = Features::default();
        assert_eq!((all.level(TRANSACTION_VERSION), all.level(GROUP_VERSION), all.level("x")), (2, 1, 0));
        let down = all.updated(&[wish(TRANSACTION_VERSION, 1, SafeDowngrade)], 0).unwrap().unwrap();
        assert_eq!((down.level(TRANSACTION_VERSION), down.epoch), (1, 1));
        let off = down
            .updated(
                &[wish(TRANSACTION_VERSION, 0, UnsafeDowngrade), wish(GROUP_VERSION, 0, SafeDowngrade)],
                0,
            )
            .unwrap()
            .unwrap();
        assert_eq!((off.level(TRANSACTION_VERSION), off.level(GROUP_VERSION), off.epoch), (0, 0, 2));
        let up = off.updated(&[wish(TRANSACTION_VERSION, 2, Upgrade)], 0).unwrap().unwrap();
        assert_eq!((up.level(TRANSACTION_VERSION), up.epoch), (2, 3));
        assert_eq!(up.updated(&[wish(TRANSACTION_VERSION, 2, Upgrade)], 0), Ok(None));
        assert_eq!(up.updated(&[], 0), Ok(None));
        // Of two wishes for one feature the last counts.
        let twice = [wish(GROUP_VERSION, 0, SafeDowngrade), wish(GROUP_VERSION, 1, Upgrade)];
        assert_eq!(all.updated(&twice, 0), Ok(None));
    }

    // The texts are those of Kafka 4.3.1.
    #[test]
    fn what_cannot_be_is_refused_as_a_whole() {
        let features = Features::default();
        let reason = |update: FeatureUpdate| {
            let fine = wish(GROUP_VERSION, 0, SafeDowngrade);
            let refused = features.updated(&[fine, update], 7).unwrap_err();
            assert_eq!(refused.code, ErrorCode::INVALID_UPDATE_VERSION);
            let start = "The update failed for all features since the following feature had an error: ";
            refused.message.strip_prefix(start).unwrap().to_owned()
        };
        assert_eq!(
            reason(wish(TRANSACTION_VERSION, 1, Upgrade)),
            "Invalid update version 1 for feature transaction.version. Can't downgrade the version of this feature \
             without setting the upgrade type to either safe or unsafe downgrade."
        );
        assert_eq!(
            reason(wish(TRANSACTION_VERSION, 3, Upgrade)),
            "Invalid update version 3 for feature transaction.version. Local controller 7 only supports versions 0-2"
        );
        assert_eq!(
            reason(wish("share.version", 1, Upgrade)),
            "Invalid update version 1 for feature share.version. Local controller 7 does not support this feature."
        );
        assert!(reason(wish("share.version", 0, Upgrade)).ends_with("Feature share.version not found."));
        assert!(reason(wish(TRANSACTION_VERSION, -1, Upgrade)).ends_with("cannot be less than 0."));
        assert!(
            reason(FeatureUpdate { name: TRANSACTION_VERSION.into(), level: 1, upgrade_type: None })
                .ends_with("does not support the given upgrade type.")
        );
        assert!(reason(wish(METADATA_VERSION, 6, SafeDowngrade)).ends_with("only supports versions 7-30"));
        assert!(reason(wish(METADATA_VERSION, 29, SafeDowngrade)).starts_with(
            "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade"
        ));
        assert!(reason(wish(METADATA_VERSION, 29, UnsafeDowngrade)).ends_with("in this version."));
        let off = Features { epoch: 1, levels: BTreeMap::from([(TRANSACTION_VERSION.to_owned(), 0)]) };
        let refused = off.updated(&[wish(TRANSACTION_VERSION, 1, SafeDowngrade)], 0).unwrap_err();
        assert!(refused.message.ends_with("Can't downgrade to a newer version."));
        assert_eq!(
            [0, 1, 2, 3, 4].map(UpgradeType::of_code).map(|kind| kind.is_some()),
            [false, true, true, true, false]
        );
    }
}
