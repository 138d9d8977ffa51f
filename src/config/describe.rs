//! What DescribeConfigs says: every key of a resource with its value, where that comes from, and what stands behind it.
//!
//! The answers are those of Kafka's `ConfigHelper`, quirks included, because consoles and tools that apply a wanted
//! state compare them: the source is that of the first synonym; a key that is in no table counts as a secret.

use super::keys::{BROKER, CLIENT_METRICS, ConfigKey, GROUP, TOPIC, listener_key};
use super::layers::{Layers, Source};
use super::settings::Settings;
use super::topic_config::TopicOverrides;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// One key of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub name: Cow<'static, str>,
    /// The value in force; `None` when not set, and for a secret.
    pub value: Option<String>,
    /// Whether it can only be changed by a restart.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: Source,
    /// Whether the value is kept back.
    pub is_sensitive: bool,
    /// The values behind it, the one in force first.
    pub synonyms: Vec<Synonym>,
    /// The code of the type (KIP-569); 0 for a key that is in no table.
    pub config_type: i8,
    /// What the key does; `None` for a key that is in no table.
    pub documentation: Option<Cow<'static, str>>,
}

/// A value that stands behind another, or is it.
#[derive(Debug, Clone, PartialEq)]
pub struct Synonym {
    /// The key.
    pub name: String,
    /// Its value; `None` for a secret.
    pub value: Option<String>,
    /// Where it was set.
    pub source: Source,
}

/// The keys of a topic that says `overrides` itself, in the order of their names.
pub fn describe_topic(overrides: &TopicOverrides, layers: &Layers) -> Vec<Entry> {
    let shown = TOPIC.iter().filter(|row| !row.internal || overrides.contains_key(row.name));
    shown
        .map(|row| {
            let behind = row.broker_key.map(|key| synonyms(layers, key)).unwrap_or_default();
            own_entry(row, overrides, Source::Topic, behind, layers)
        })
        .collect()
}

/// The keys of a group that says `overrides` itself.
pub fn describe_group(overrides: &BTreeMap<String, String>, layers: &Layers) -> Vec<Entry> {
    let shown = GROUP.iter().filter(|row| !row.internal || overrides.contains_key(row.name));
    shown
        .map(|row| {
            let behind = match row.broker_key {
                Some(key) => synonyms(layers, key),
                None => row
                    .default
                    .map(|value| Synonym {
                        name: row.name.to_owned(),
                        value: Some(value.to_owned()),
                        source: Source::Default,
                    })
                    .into_iter()
                    .collect(),
            };
            own_entry(row, overrides, Source::Group, behind, layers)
        })
        .collect()
}

/// The keys of a client metrics subscription.
pub fn describe_client_metrics(overrides: &BTreeMap<String, String>, layers: &Layers) -> Vec<Entry> {
    CLIENT_METRICS
        .iter()
        .map(|row| own_entry(row, overrides, Source::ClientMetrics, Vec::new(), layers))
        .collect()
}

/// The keys of this broker.
pub fn describe_broker(layers: &Layers, settings: &Settings) -> Vec<Entry> {
    let set = layers.given.keys().chain(layers.dynamic.default.keys()).chain(layers.dynamic.node.keys());
    let mut names: BTreeSet<&str> = set.map(String::as_str).collect();
    names.extend(BROKER.iter().filter(|row| !row.internal).map(|row| row.name));
    names.into_iter().map(|name| broker_entry(name, layers, Some(settings))).collect()
}

/// What was set for all brokers at once: the resource with the empty name. Shows only what was set there.
pub fn describe_all_brokers(layers: &Layers) -> Vec<Entry> {
    let names = layers.dynamic.default.keys();
    names
        .map(|name| {
            let mut entry = broker_entry(name, layers, None);
            entry.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
            entry.source = entry.synonyms.first().map_or(Source::Default, |first| first.source);
            if !entry.is_sensitive {
                let text = &layers.dynamic.default[name];
                entry.value = Some(canonical(row_of(name), text));
            }
            entry
        })
        .collect()
}

/// A key that a resource may set itself.
fn own_entry(
    row: &'static ConfigKey,
    overrides: &BTreeMap<String, String>,
    source: Source,
    mut synonyms: Vec<Synonym>,
    layers: &Layers,
) -> Entry {
    let own = overrides.get(row.name).and_then(|text| row.domain.parse(text).ok());
    if let Some(own) = &own {
        synonyms.insert(0, Synonym { name: row.name.to_owned(), value: Some(own.to_string()), source });
    }
    let value = own.or_else(|| layers.behind(row)).or_else(|| row.default_value());
    Entry {
        name: row.name.into(),
        value: value.map(|value| value.to_string()),
        read_only: false,
        source: synonyms.first().map_or(Source::Default, |first| first.source),
        is_sensitive: false,
        synonyms,
        config_type: row.domain.value_type.wire_code(),
        documentation: Some(row.documentation()),
    }
}

fn broker_entry(name: &str, layers: &Layers, settings: Option<&Settings>) -> Entry {
    let row = row_of(name);
    let is_sensitive = row.is_none_or(ConfigKey::is_sensitive);
    let mut synonyms = synonyms(layers, name);
    let mut value = layers.values(name).next().map(|(text, _)| canonical(row, text));
    if let (None, "num.network.threads", Some(settings)) = (&value, name, settings) {
        // The default depends on the machine.
        value = Some(settings.network.threads.to_string());
        synonyms.push(Synonym { name: name.to_owned(), value: value.clone(), source: Source::Default });
    }
    if is_sensitive {
        value = None;
    }
    Entry {
        name: row
            .filter(|row| row.name == name)
            .map_or_else(|| name.to_owned().into(), |row| row.name.into()),
        value,
        read_only: BROKER.get(name).is_none_or(|row| row.update == super::keys::Update::ReadOnly),
        source: synonyms.first().map_or(Source::Default, |first| first.source),
        is_sensitive,
        synonyms,
        config_type: row.map_or(0, |row| row.domain.value_type.wire_code()),
        documentation: row.map(ConfigKey::documentation),
    }
}

/// The row of a broker key, also of one for a single listener.
pub(super) fn row_of(name: &str) -> Option<&'static ConfigKey> {
    BROKER.get(name).or_else(|| {
        let (_, base) = listener_key(name)?;
        BROKER.get(base).or_else(|| BROKER.get(super::mechanism_key(base)?))
    })
}

/// A value in the form in which Kafka prints it.
fn canonical(row: Option<&ConfigKey>, text: &str) -> String {
    row.and_then(|row| row.domain.parse(text).ok()).map_or_else(|| text.to_owned(), |value| value.to_string())
}

fn synonyms(layers: &Layers, broker_key: &str) -> Vec<Synonym> {
    let secret = row_of(broker_key).is_none_or(ConfigKey::is_sensitive);
    layers
        .synonyms(broker_key)
        .into_iter()
        .map(|(name, value, source)| Synonym { name, value: (!secret).then_some(value), source })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, Origin};

    fn layers(given: &[(&str, &str)], default: &[(&str, &str)], node: &[(&str, &str)]) -> Layers {
        let text = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let given = text(given)
            .into_iter()
            .map(|(key, value)| (key, Given { value, origin: Origin::Override }))
            .collect();
        Layers { given, dynamic: crate::config::BrokerOverrides { default: text(default), node: text(node) } }
    }

    fn find<'a>(entries: &'a [Entry], name: &str) -> &'a Entry {
        entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn behind(entry: &Entry) -> String {
        let text: Vec<String> = entry
            .synonyms
            .iter()
            .map(|s| format!("{}={}@{}", s.name, s.value.as_deref().unwrap_or("null"), s.source as i8))
            .collect();
        text.join(" ")
    }

    // Each expectation below was seen in the answers of Kafka 4.3.1.

    #[test]
    fn topic_values_and_what_stands_behind_them() {
        let own = TopicOverrides::from([
            ("cleanup.policy".into(), "compact,delete".into()),
            ("retention.ms".into(), "7000".into()),
        ]);
        let layers = layers(
            &[("log.retention.hours", "24"), ("log.segment.bytes", "3000000"), ("log.roll.hours", "2")],
            &[("log.retention.ms", "12345")],
            &[("log.segment.bytes", "2000000"), ("log.cleanup.policy", "delete,compact")],
        );
        let entries = describe_topic(&own, &layers);
        let retention = find(&entries, "retention.ms");
        assert_eq!(
            behind(retention),
            "retention.ms=7000@1 log.retention.ms=12345@3 log.retention.hours=24@4 log.retention.hours=168@5"
        );
        assert_eq!((retention.value.as_deref(), retention.source), (Some("7000"), Source::Topic));
        let segment = find(&entries, "segment.bytes");
        assert_eq!(
            behind(segment),
            "log.segment.bytes=2000000@2 log.segment.bytes=3000000@4 log.segment.bytes=1073741824@5"
        );
        assert_eq!((segment.value.as_deref(), segment.source), (Some("2000000"), Source::DynamicBroker));
        assert_eq!(
            behind(find(&entries, "cleanup.policy")),
            "cleanup.policy=compact,delete@1 log.cleanup.policy=delete,compact@2 log.cleanup.policy=delete@5"
        );
        // Given in hours only: the value is right, though nothing is shown behind it.
        let roll = find(&entries, "segment.ms");
        assert_eq!(
            (roll.value.as_deref(), roll.source, behind(roll).as_str()),
            (Some("7200000"), Source::Default, "")
        );
        assert!(entries.iter().all(|entry| !entry.read_only && !entry.is_sensitive));
        assert!(entries.iter().all(|entry| entry.name != "internal.segment.bytes"));
    }

    #[test]
    fn broker_values_secrets_and_unknown_keys() {
        let layers = layers(
            &[
                ("foo.bar", "1"),
                ("delegation.token.secret.key", "abc"),
                ("listener.name.plaintext.max.connections", "55"),
            ],
            &[("log.retention.ms", "12345")],
            &[("max.connections", "100")],
        );
        let entries = describe_broker(&layers, &Settings::default());
        let unknown = find(&entries, "foo.bar");
        assert_eq!((unknown.value.as_deref(), unknown.config_type), (None, 0));
        assert!(unknown.is_sensitive && unknown.read_only);
        assert_eq!(behind(unknown), "foo.bar=null@4");
        let secret = find(&entries, "delegation.token.secret.key");
        assert_eq!(
            (secret.value.as_deref(), behind(secret).as_str()),
            (None, "delegation.token.secret.key=null@4")
        );
        let listener = find(&entries, "listener.name.plaintext.max.connections");
        assert_eq!(listener.value.as_deref(), Some("55"));
        // What is dynamic would come first and has another name, so it is left out.
        assert_eq!(
            behind(listener),
            "listener.name.plaintext.max.connections=55@4 max.connections=2147483647@5"
        );
        assert_eq!(
            behind(find(&entries, "max.connections")),
            "max.connections=100@2 max.connections=2147483647@5"
        );
        assert_eq!(
            behind(find(&entries, "log.retention.ms")),
            "log.retention.ms=12345@3 log.retention.hours=168@5"
        );
        let threads = find(&entries, "num.network.threads");
        assert!(
            threads.value.as_deref().is_some_and(|threads| threads != "0")
                && threads.source == Source::Default
        );
        assert!(!find(&entries, "log.segment.bytes").read_only && find(&entries, "num.partitions").read_only);
    }

    #[test]
    fn all_brokers_show_only_what_was_set_for_all() {
        let layers = layers(
            &[("log.retention.ms", "1")],
            &[("log.retention.ms", "12345"), ("foo", "x")],
            &[("log.retention.ms", "2")],
        );
        let entries = describe_all_brokers(&layers);
        assert_eq!(entries.len(), 2);
        let retention = find(&entries, "log.retention.ms");
        assert_eq!(
            (retention.value.as_deref(), behind(retention).as_str()),
            (Some("12345"), "log.retention.ms=12345@3")
        );
        assert!(find(&entries, "foo").is_sensitive);
    }

    #[test]
    fn group_values_fall_back_to_the_brokers() {
        let own = BTreeMap::from([("consumer.session.timeout.ms".to_owned(), "50000".to_owned())]);
        let entries = describe_group(&own, &Layers::default());
        assert_eq!(
            behind(find(&entries, "consumer.session.timeout.ms")),
            "consumer.session.timeout.ms=50000@8 group.consumer.session.timeout.ms=45000@5"
        );
        assert_eq!(behind(find(&entries, "share.auto.offset.reset")), "share.auto.offset.reset=latest@5");
    }
}
