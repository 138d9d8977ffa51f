//! Configuration under Kafka's names, with the origin of every value.
//!
//! A value comes from, weakest first:
//!
//! 1. the default of the [table](keys),
//! 2. a properties file (`--config`; of several the last one, and in a file the last line, wins),
//! 3. the environment, by the [rule of the official image](environment),
//! 4. `--override key=value`, the last one wins,
//! 5. a flag of its own such as `--listen`,
//! 6. what was set for every broker while running, and 7. for this one (KIP-226), both kept by the catalog.
//!
//! A topic or group may say its own over all of these. A key that no table knows is kept and reported with a warning
//! that names the nearest known key, as far as that is harmless: if it looks like a security key, the start stops.

mod addresses;
mod alter;
mod describe;
pub mod environment;
mod error;
pub mod keys;
mod layers;
pub mod listener;
mod nearest;
mod origin;
pub mod properties;
mod settings;
mod topic_config;
pub mod value;

pub use alter::{
    AlterError, Alteration, Changes, Operation, Overrides, Target, plan_changes, plan_replacement,
};
pub use describe::{
    Entry, Synonym, describe_all_brokers, describe_broker, describe_client_metrics, describe_group,
    describe_topic,
};
pub use error::{ConfigError, ConfigErrors, InvalidValue, Warning};
pub use layers::{BrokerOverrides, Given, Layers, Source};
pub use listener::{Listener, SecurityProtocol};
pub use origin::Origin;
pub use settings::{
    AuthorizerSettings, GroupSettings, GroupTimes, LogSettings, NetworkSettings, OffsetSettings,
    ReplicationFactorPolicy, Settings, TopicSettings, TransactionSettings,
};
pub use topic_config::{
    CleanupPolicy, Compression, Durability, TimestampType, TopicConfig, TopicConfigError, TopicOverrides,
    validate_topic, validate_topic_value,
};

use keys::{BROKER, TOPIC};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where to read the static configuration from.
#[derive(Debug, Default)]
pub struct Sources {
    /// Properties files, weakest first.
    pub files: Vec<PathBuf>,
    /// Environment variables, usually all of [`std::env::vars`].
    pub environment: Vec<(String, String)>,
    /// Arguments of `--override`, `key=value`.
    pub overrides: Vec<String>,
    /// Flags of their own: flag, key, value; such as `("--data-dir", "log.dirs", "/var/lib/quipu")`.
    pub flags: Vec<(&'static str, String, String)>,
}

/// The configuration of one broker: what it was started with, and what was changed since.
#[derive(Debug)]
pub struct Config {
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    layers: Arc<Layers>,
    settings: Arc<Settings>,
}

impl Default for Config {
    /// The defaults alone.
    fn default() -> Self {
        Self {
            current: RwLock::new(Current { layers: Arc::default(), settings: Arc::new(Settings::default()) }),
        }
    }
}

impl Config {
    /// Reads and checks the static configuration. All that is wrong is told at once.
    pub fn load(sources: Sources) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let mut given = gather(sources, &mut errors);
        for (key, entry) in &given {
            check_given(key, entry, &mut errors, &mut warnings);
        }
        one_id(&mut given);
        let mut layers = Layers { given, dynamic: BrokerOverrides::default() };
        if !errors.is_empty() {
            // Look for more to say, but not about values that are known to be wrong.
            layers
                .given
                .retain(|key, entry| BROKER.get(key).is_none_or(|row| row.parse(&entry.value).is_ok()));
        }
        let settings = Settings::read(&layers, &mut errors, &mut warnings);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let current = Current { layers: Arc::new(layers), settings: Arc::new(settings) };
        Ok((Self { current: RwLock::new(current) }, warnings))
    }

    /// The values in force. Cheap; hold it for one request, not longer.
    pub fn settings(&self) -> Arc<Settings> {
        self.current.read().settings.clone()
    }

    /// The layers beneath the values in force.
    pub fn layers(&self) -> Arc<Layers> {
        self.current.read().layers.clone()
    }

    /// The configuration in force for a topic with these own values.
    pub fn topic(&self, overrides: &TopicOverrides) -> TopicConfig {
        TopicConfig::new(overrides, &self.layers())
    }

    /// Where the static value of a key was given; the default if it was not.
    pub fn origin(&self, key: &str) -> Origin {
        self.layers().given.get(key).map_or(Origin::Default, |given| given.origin.clone())
    }

    /// Puts what was changed while running over the static values, as read from the catalog at the start and after
    /// each change.
    pub fn set_dynamic(&self, dynamic: BrokerOverrides) {
        let mut current = self.current.write();
        let layers = Layers { given: current.layers.given.clone(), dynamic };
        let mut ignored = Vec::new();
        let mut settings = Settings::read(&layers, &mut ignored, &mut Vec::new());
        for error in &ignored {
            tracing::warn!(%error, "a changed value cannot be used together with the others");
        }
        // The listeners are open and the directory is in use; they change by a restart only.
        let before = &current.settings;
        settings.listeners.clone_from(&before.listeners);
        settings.advertised_listeners.clone_from(&before.advertised_listeners);
        settings.data_dir.clone_from(&before.data_dir);
        *current = Current { layers: Arc::new(layers), settings: Arc::new(settings) };
    }
}

/// Collects what was given, the stronger source over the weaker.
fn gather(sources: Sources, errors: &mut Vec<ConfigError>) -> BTreeMap<String, Given> {
    let mut given = BTreeMap::new();
    for path in &sources.files {
        match properties::read(path) {
            Ok(entries) => {
                for entry in entries {
                    let origin = Origin::File { path: path.clone(), line: entry.line };
                    given.insert(entry.key, Given { value: entry.value, origin });
                }
            }
            Err(error) => errors.push(error),
        }
    }
    for (variable, key, value) in environment::entries(sources.environment) {
        given.insert(key, Given { value, origin: Origin::Environment(variable) });
    }
    for argument in sources.overrides {
        match argument.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                given.insert(
                    key.trim().to_owned(),
                    Given { value: value.to_owned(), origin: Origin::Override },
                );
            }
            _ => errors.push(ConfigError::Override { argument }),
        }
    }
    for (flag, key, value) in sources.flags {
        given.insert(key, Given { value, origin: Origin::Flag(flag) });
    }
    given
}

/// `broker.id` and `node.id` are one; who gives one has given both, and both are reported so.
fn one_id(given: &mut BTreeMap<String, Given>) {
    for (one, other) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if let (Some(id), false) = (given.get(one).cloned(), given.contains_key(other))
            && !id.value.trim().starts_with('-')
            && BROKER.get(one).is_some_and(|row| row.parse(&id.value).is_ok())
        {
            given.insert(other.to_owned(), id);
        }
    }
}

/// Checks one given value by itself.
fn check_given(key: &str, given: &Given, errors: &mut Vec<ConfigError>, warnings: &mut Vec<Warning>) {
    let base = keys::listener_key(key).map_or(key, |(_, base)| base);
    let row = BROKER.get(key).or_else(|| BROKER.get(base)).or_else(|| BROKER.get(mechanism_key(base)?));
    if let Some(row) = row {
        if let Err(mut invalid) = row.parse(&given.value) {
            key.clone_into(&mut invalid.key);
            let example = row.domain.example(row.default).into_owned();
            errors.push(ConfigError::Value {
                invalid: Box::new(invalid),
                origin: given.origin.clone(),
                example,
            });
        }
        return;
    }
    if let Some((_, instead)) = RETIRED.iter().find(|(name, _)| *name == key) {
        warnings.push(Warning::Retired { key: key.to_owned(), origin: given.origin.clone(), instead });
        return;
    }
    let nearest = nearest::nearest(
        key,
        BROKER.iter().filter(|row| !row.internal || is_security(row.name)).map(|row| row.name),
    );
    let (key, origin) = (key.to_owned(), given.origin.clone());
    let nearest = nearest.or_else(|| TOPIC.get(&key).and_then(|row| row.broker_key));
    if is_security(&key) || nearest.is_some_and(is_security) {
        errors.push(ConfigError::UnknownSecurityKey { key, origin, nearest: nearest.map(str::to_owned) });
    } else {
        warnings.push(Warning::UnknownKey { key, origin, nearest: nearest.map(str::to_owned) });
    }
}

/// For `<mechanism>.<key>` as it may stand after a listener's name, the key.
fn mechanism_key(name: &str) -> Option<&str> {
    let (_, key) = name.split_once('.')?;
    matches!(
        key,
        "sasl.jaas.config"
            | "sasl.login.class"
            | "sasl.login.callback.handler.class"
            | "sasl.server.callback.handler.class"
            | "connections.max.reauth.ms"
    )
    .then_some(key)
}

/// Whether a key, known or not, decides who may connect or do what.
fn is_security(key: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "sasl.",
        "ssl.",
        "security.",
        "listener.name.",
        "listener.security",
        "super.user",
        "authorizer",
        "allow.everyone",
        "principal.",
        "delegation.token",
        "connections.max.reauth",
        "early.start.listeners",
    ];
    BEGINNINGS.iter().any(|beginning| key.starts_with(beginning))
}

/// Keys of Kafka 3 that old files still carry, and what to do instead.
const RETIRED: &[(&str, &str)] = &[
    ("zookeeper.connect", "there is no ZooKeeper any more; remove it"),
    ("zookeeper.connection.timeout.ms", "there is no ZooKeeper any more; remove it"),
    ("zookeeper.session.timeout.ms", "there is no ZooKeeper any more; remove it"),
    ("zookeeper.set.acl", "there is no ZooKeeper any more; remove it"),
    ("zookeeper.max.in.flight.requests", "there is no ZooKeeper any more; remove it"),
    ("broker.id.generation.enable", "set node.id"),
    ("reserved.broker.max.id", "set node.id"),
    ("control.plane.listener.name", "remove it"),
    ("inter.broker.protocol.version", "the version is negotiated; remove it"),
    ("log.message.format.version", "the format is always the newest; remove it"),
    ("log.message.downconversion.enable", "old formats are not served; remove it"),
    ("log.message.timestamp.difference.max.ms", "set log.message.timestamp.before.max.ms and after.max.ms"),
    ("offsets.commit.required.acks", "commits are acknowledged as the log's durability says; remove it"),
    ("host.name", "set listeners"),
    ("port", "set listeners"),
    ("advertised.host.name", "set advertised.listeners"),
    ("advertised.port", "set advertised.listeners"),
];

#[cfg(test)]
mod tests;
