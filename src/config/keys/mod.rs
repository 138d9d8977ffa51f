//! The tables of keys: what Kafka 4.4 calls them, their types, ranges and defaults, and what Quipu does with them.
//!
//! Names, types, ranges and defaults are Kafka's (`LogConfig`, `AbstractKafkaConfig`, `GroupConfig`,
//! `ClientMetricsConfigs`; a test holds the tables against what a real broker answered). Where Quipu's default
//! differs, the row carries ours; the same test lists those rows with the reason.

pub mod broker;
pub mod client_metrics;
pub mod group;
pub mod topic;

use super::value::{Allowed, Domain, Value, ValueType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Whether, and how, a broker key can be changed while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// For one broker by its id.
    PerBroker,
    /// For one broker, or for all of them at once (the resource with the empty name).
    ClusterWide,
}

/// What a value of this key changes in Quipu. Said in the documentation that DescribeConfigs returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The broker acts on it.
    Acts,
    /// Read, checked, kept and reported; nothing acts on it yet, for this reason.
    NotYet(&'static str),
    /// Read, checked, kept and reported; one broker without a Java machine has no use for it.
    Never,
}

// Why rows that have it in common do nothing yet.
const SHARE: &str = "share groups are not served yet";
const STREAMS: &str = "groups of the streams protocol are not served yet";
const LOGIN: &str = "nobody has to log in yet";
const TLS: &str = "there is no TLS yet";
const QUOTAS: &str = "quotas are kept, and nobody is held to them yet";
const TELEMETRY: &str = "clients are not asked for their metrics yet";

/// One row of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigKey {
    /// Kafka's name of the key.
    pub name: &'static str,
    /// Type and range.
    pub domain: Domain,
    /// The default as text; `None` is Kafka's null, "not set".
    pub default: Option<&'static str>,
    /// Whether it can change while the broker runs. Topic and group keys always can.
    pub update: Update,
    /// Kafka neither documents nor lists it unless it is set.
    pub internal: bool,
    /// What it does here.
    pub effect: Effect,
    /// For topic and group keys: the broker key that gives the default (see [`topic`] for the chains behind it).
    pub broker_key: Option<&'static str>,
    text: &'static str,
}

/// A row: name, type, default, range.
const fn key(
    name: &'static str,
    value_type: ValueType,
    default: Option<&'static str>,
    allowed: Allowed,
) -> ConfigKey {
    ConfigKey {
        name,
        domain: Domain { value_type, allowed },
        default,
        update: Update::ReadOnly,
        internal: false,
        effect: Effect::Never,
        broker_key: None,
        text: "",
    }
}

impl ConfigKey {
    const fn per_broker(mut self) -> Self {
        self.update = Update::PerBroker;
        self
    }

    const fn cluster_wide(mut self) -> Self {
        self.update = Update::ClusterWide;
        self
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    const fn acts(mut self) -> Self {
        self.effect = Effect::Acts;
        self
    }

    const fn not_yet(mut self, why: &'static str) -> Self {
        self.effect = Effect::NotYet(why);
        self
    }

    const fn from(mut self, broker_key: &'static str) -> Self {
        self.broker_key = Some(broker_key);
        self
    }

    const fn doc(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    /// What the key does, in a sentence or two, and whether Quipu acts on it.
    pub fn documentation(&self) -> Cow<'static, str> {
        match self.effect {
            Effect::Acts => self.text.into(),
            Effect::NotYet(why) => {
                format!("{} Kept and reported; Quipu does not act on it yet: {why}.", self.text).into()
            }
            Effect::Never => {
                format!("{} Kept and reported; in Quipu nothing depends on it.", self.text).into()
            }
        }
    }

    /// A secret, whose value no answer and no message shows.
    pub fn is_sensitive(&self) -> bool {
        self.domain.value_type == ValueType::Password
    }

    /// Reads a value for this key.
    pub fn parse(&self, text: &str) -> Result<Value, super::InvalidValue> {
        self.domain.parse(text).map_err(|expected| super::InvalidValue {
            key: self.name.to_owned(),
            value: (!self.is_sensitive()).then(|| text.to_owned()),
            expected,
        })
    }

    /// The default as a value; `None` when the key is not set by default.
    ///
    /// # Panics
    /// If the table's default does not fit the table's own type, which a test excludes.
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| self.domain.parse(text).expect("the default of a row fits its type"))
    }
}

/// A table with an index by name.
#[derive(Debug)]
pub struct Table {
    by_name: BTreeMap<&'static str, &'static ConfigKey>,
}

impl Table {
    fn new(parts: &[&'static [ConfigKey]]) -> Self {
        let mut by_name = BTreeMap::new();
        for row in parts.iter().flat_map(|part| part.iter()) {
            let before = by_name.insert(row.name, row);
            assert!(before.is_none(), "{} is twice in a table", row.name);
        }
        Self { by_name }
    }

    /// The row of this name.
    pub fn get(&self, name: &str) -> Option<&'static ConfigKey> {
        self.by_name.get(name).copied()
    }

    /// All rows in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &'static ConfigKey> {
        self.by_name.values().copied()
    }
}

/// Keys of a topic.
pub static TOPIC: LazyLock<Table> = LazyLock::new(|| Table::new(&[topic::KEYS]));
/// Keys of a broker.
pub static BROKER: LazyLock<Table> = LazyLock::new(|| Table::new(broker::PARTS));
/// Keys of a group (KIP-848, 932, 1071).
pub static GROUP: LazyLock<Table> = LazyLock::new(|| Table::new(&[group::KEYS]));
/// Keys of a client metrics subscription (KIP-714).
pub static CLIENT_METRICS: LazyLock<Table> = LazyLock::new(|| Table::new(&[client_metrics::KEYS]));

/// The broker keys that may speak for `name`, strongest first: some times can be given in several units, and
/// `listener.name.<listener>.<key>` stands before `<key>`.
pub fn broker_chain(name: &str) -> Vec<&str> {
    match name {
        "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => vec!["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => vec!["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => match listener_key(name) {
            Some((_, base)) => vec![name, base],
            None => vec![name],
        },
    }
}

/// Splits `listener.name.<listener>.<key>` into listener and key.
pub fn listener_key(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("listener.name.")?
        .split_once('.')
        .filter(|(listener, key)| !listener.is_empty() && !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_type_and_every_row_is_documented() {
        for table in [&TOPIC, &BROKER, &GROUP, &CLIENT_METRICS] {
            for row in table.iter() {
                if let Some(value) = row.default_value() {
                    assert_eq!(
                        value.to_string(),
                        row.default.unwrap(),
                        "{} prints its default otherwise",
                        row.name
                    );
                }
                assert!(row.text.ends_with('.') && row.text.len() > 10, "{} lacks documentation", row.name);
            }
        }
    }

    #[test]
    fn topic_and_group_keys_point_at_broker_keys() {
        for row in TOPIC.iter().chain(GROUP.iter()) {
            if let Some(broker_key) = row.broker_key {
                let broker = BROKER.get(broker_key).unwrap_or_else(|| panic!("{broker_key} of {}", row.name));
                assert!(
                    broker.default.is_none() || broker.default == row.default,
                    "{} and {broker_key} have different defaults",
                    row.name
                );
            }
        }
    }

    /// Where our default is not Kafka's, and why.
    const OTHER_DEFAULTS: &[(&str, &str)] = &[
        ("broker.id", "one node needs no number given; clients' tests expect 0"),
        ("node.id", "one node needs no number given; clients' tests expect 0"),
        ("process.roles", "what is required in Kafka is always the same here"),
        ("controller.listener.names", "there is no controller to listen for"),
        ("listeners", "nobody logs in, so only this machine is served"),
        ("log.dir", "data does not belong into a directory that is emptied at a restart"),
        ("num.network.threads", "a thread for each core"),
        ("group.consumer.assignment.interval.ms", "few members come at a time, and each should read at once"),
        ("consumer.assignment.interval.ms", "few members come at a time, and each should read at once"),
        ("group.initial.rebalance.delay.ms", "a lone consumer should not wait"),
        ("offsets.topic.num.partitions", "there are no brokers to spread over"),
        ("offsets.topic.replication.factor", "there is one broker"),
        ("share.coordinator.state.topic.min.isr", "there is one broker"),
        ("share.coordinator.state.topic.num.partitions", "there are no brokers to spread over"),
        ("share.coordinator.state.topic.replication.factor", "there is one broker"),
        ("transaction.state.log.min.isr", "there is one broker"),
        ("transaction.state.log.num.partitions", "there are no brokers to spread over"),
        ("transaction.state.log.replication.factor", "there is one broker"),
    ];

    /// Keys that are in no definition of Kafka's: read by plugins, retired, or our own.
    const FURTHER_KEYS: &[&str] = &[
        "allow.everyone.if.no.acl.found",
        "cluster.id",
        "follower.replication.throttled.rate",
        "leader.replication.throttled.rate",
        "message.downconversion.enable",
        "quipu.durability",
        "quipu.durability.interval.ms",
        "quipu.open.segments.max",
        "quipu.replication.factor",
        "quipu.request.metrics",
        "quipu.scrub.bytes.per.second",
        "quipu.sync.method",
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "super.users",
    ];

    #[test]
    fn tables_agree_with_a_real_broker() {
        let layers = crate::config::Layers::default();
        let topic = crate::config::describe_topic(&BTreeMap::new(), &layers);
        let group = crate::config::describe_group(&BTreeMap::new(), &layers);
        let mut seen: Vec<(&str, &str)> = Vec::new();
        let facts = include_str!("../../../tests/data/kafka-configs.tsv");
        for line in facts.lines().filter(|line| !line.starts_with('#')) {
            let [resource, name, value_type, default, update, visibility, _version, synonyms] =
                line.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("malformed: {line}");
            };
            let table = match resource {
                "topic" => &TOPIC,
                "broker" => &BROKER,
                "group" => &GROUP,
                _ => &CLIENT_METRICS,
            };
            let row = table.get(name).unwrap_or_else(|| panic!("{resource} key {name} is missing"));
            assert_eq!(row.domain.value_type.name(), value_type, "type of {name}");
            assert_eq!(row.internal, visibility == "internal", "visibility of {name}");
            if resource == "broker" {
                let ours = match row.update {
                    Update::ReadOnly => "read-only",
                    Update::PerBroker => "per-broker",
                    Update::ClusterWide => "cluster-wide",
                };
                assert_eq!(ours, update, "update mode of {name}");
            }
            let same = row.default.unwrap_or("\\N") == default;
            let known = OTHER_DEFAULTS.iter().any(|(key, _)| resource != "topic" && *key == name);
            assert!(
                same != known,
                "default of {resource} key {name}: {:?}, Kafka's is {default}",
                row.default
            );
            let described = match resource {
                "topic" => topic.iter().find(|entry| entry.name == name),
                "group" => group.iter().find(|entry| entry.name == name),
                _ => None,
            };
            if let (Some(entry), false) = (described, synonyms == "-") {
                let ours: Vec<&str> = entry.synonyms.iter().map(|synonym| synonym.name.as_str()).collect();
                assert_eq!(ours.join(" "), synonyms, "synonyms of {name}");
            }
            seen.push((resource, name));
        }
        for (resource, table) in
            [("topic", &TOPIC), ("broker", &BROKER), ("group", &GROUP), ("metrics", &CLIENT_METRICS)]
        {
            for row in table.iter().filter(|row| !FURTHER_KEYS.contains(&row.name)) {
                assert!(
                    seen.contains(&(resource, row.name)),
                    "{resource} key {} is not one of Kafka's",
                    row.name
                );
            }
        }
    }
}
