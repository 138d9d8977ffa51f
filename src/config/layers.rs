//! The layers of a broker's configuration and the look-up through them.

use super::keys::{self, BROKER, ConfigKey};
use super::origin::Origin;
use super::value::Value;
use std::collections::BTreeMap;

/// A value of the static configuration as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What was set on the running broker through AlterConfigs (KIP-226), by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerOverrides {
    /// For every broker: the resource with the empty name.
    pub default: BTreeMap<String, String>,
    /// For this broker by its id. Goes before `default`.
    pub node: BTreeMap<String, String>,
}

/// Where a value that DescribeConfigs reports comes from, numbered as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    Topic = 1,
    /// Set on this broker while it runs.
    DynamicBroker = 2,
    /// Set on every broker while they run.
    DynamicDefaultBroker = 3,
    /// Given when the broker started.
    StaticBroker = 4,
    /// The table's default.
    Default = 5,
    /// The level of a logger.
    BrokerLogger = 6,
    /// Set on the client metrics subscription.
    ClientMetrics = 7,
    /// Set on the group.
    Group = 8,
}

/// Static and dynamic values of one broker.
#[derive(Debug, Default)]
pub struct Layers {
    /// What was given at the start, by key.
    pub given: BTreeMap<String, Given>,
    /// What was set since.
    pub dynamic: BrokerOverrides,
}

impl Layers {
    /// The values of exactly this key, strongest first, the table's default last.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, Source)> + use<'a> {
        let node = self.dynamic.node.get(name).map(|value| (value.as_str(), Source::DynamicBroker));
        let default =
            self.dynamic.default.get(name).map(|value| (value.as_str(), Source::DynamicDefaultBroker));
        let given = self.given.get(name).map(|given| (given.value.as_str(), Source::StaticBroker));
        let table = BROKER.get(name).and_then(|row| row.default).map(|value| (value, Source::Default));
        [node, default, given, table].into_iter().flatten()
    }

    /// The value in force for exactly this key. A dynamic value that no longer fits its key, as an older version
    /// may have stored it, is passed over.
    pub fn value(&self, name: &str) -> Option<Value> {
        let row = BROKER.get(name)?;
        self.values(name).find_map(|(text, _)| row.domain.parse(text).ok())
    }

    /// Whether a value other than the default is in force for exactly this key.
    pub fn is_set(&self, name: &str) -> bool {
        self.values(name).any(|(_, source)| source != Source::Default)
    }

    /// A boolean in force.
    pub fn boolean(&self, name: &'static str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            other => panic!("{name} is read as a boolean and is {other:?}"),
        }
    }

    /// A whole number in force; `None` when it is not set and has no default.
    pub fn number(&self, name: &'static str) -> Option<i64> {
        match self.value(name) {
            None => None,
            Some(Value::Number(value)) => Some(value),
            Some(other) => panic!("{name} is read as a number and is {other:?}"),
        }
    }

    /// A 64-bit number that has a default.
    pub fn long(&self, name: &'static str) -> i64 {
        self.number(name).unwrap_or_else(|| panic!("{name} has no default"))
    }

    /// A 32-bit number that has a default.
    pub fn int(&self, name: &'static str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or_else(|_| panic!("{name} is wider than 32 bits"))
    }

    /// A number that has a default, as a size or count: what is negative is 0.
    pub fn size(&self, name: &'static str) -> usize {
        usize::try_from(self.long(name).max(0)).unwrap_or(usize::MAX)
    }

    /// A floating point number in force.
    pub fn real(&self, name: &'static str) -> f64 {
        match self.value(name) {
            Some(Value::Real(value)) => value,
            other => panic!("{name} is read as a floating point number and is {other:?}"),
        }
    }

    /// Text in force; `None` when not set and without a default.
    pub fn text(&self, name: &'static str) -> Option<String> {
        self.value(name).map(|value| value.to_string())
    }

    /// A list in force, empty when not set.
    pub fn list(&self, name: &'static str) -> Vec<String> {
        match self.value(name) {
            None => Vec::new(),
            Some(Value::List(items)) => items,
            Some(other) => panic!("{name} is read as a list and is {other:?}"),
        }
    }

    /// A time in milliseconds that may be given in several units, strongest key first; `(key, milliseconds in one)`.
    pub fn time_ms(&self, units: &[(&'static str, i64)]) -> i64 {
        units
            .iter()
            .find_map(|(name, factor)| {
                self.number(name).map(|value| if value < 0 { -1 } else { value.saturating_mul(*factor) })
            })
            .expect("the last key of a chain has a default")
    }

    /// The value in force behind a topic or group key, in the unit of that key.
    pub fn behind(&self, row: &ConfigKey) -> Option<Value> {
        const HOUR: i64 = 3_600_000;
        let broker_key = row.broker_key?;
        match broker_key {
            "log.retention.ms" => Some(Value::Number(self.time_ms(&[
                ("log.retention.ms", 1),
                ("log.retention.minutes", 60_000),
                ("log.retention.hours", HOUR),
            ]))),
            "log.roll.ms" => {
                Some(Value::Number(self.time_ms(&[("log.roll.ms", 1), ("log.roll.hours", HOUR)])))
            }
            "log.roll.jitter.ms" => Some(Value::Number(
                self.time_ms(&[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR)]),
            )),
            "log.flush.interval.ms" => Some(Value::Number(
                self.time_ms(&[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
            )),
            name => self.value(name),
        }
    }

    /// All values that stand behind a broker key, as DescribeConfigs reports them: by layer, and within a layer in
    /// the order of the chain. Kafka leaves out those before the first whose name is that of the key; so it shows
    /// none for `log.retention.ms` while only `log.retention.hours` is given, and so do we.
    pub fn synonyms(&self, name: &str) -> Vec<(String, String, Source)> {
        let chain = keys::broker_chain(name);
        let mut all: Vec<(String, String, Source)> = Vec::new();
        for layer in
            [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default]
        {
            for link in &chain {
                if let Some((value, _)) = self.values(link).find(|(_, source)| *source == layer) {
                    all.push(((*link).to_owned(), value.to_owned(), layer));
                }
            }
        }
        let first = all.iter().position(|(link, ..)| link == name).unwrap_or(all.len());
        all.split_off(first)
    }
}
