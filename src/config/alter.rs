//! Plans changes of what a topic, group or broker says itself: reads the operations, applies them to what is there,
//! checks the outcome, and returns what to record. Nothing is changed here.

use super::error::ConfigError;
use super::keys::{BROKER, CLIENT_METRICS, ConfigKey, GROUP, TOPIC, Update};
use super::layers::{BrokerOverrides, Layers};
use super::nearest::nearest;
use super::settings::Settings;
use super::topic_config::{TopicConfigError, validate_topic};
use super::value::{Value, ValueType, list_items};
use std::collections::BTreeMap;
use std::fmt;

/// Longest value that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest key that is kept, in bytes; only brokers take keys that no table knows.
const KEY_BYTES_MAX: usize = 256;
/// Most keys that one resource keeps.
const KEYS_MAX: usize = 1_000;

/// What a resource says itself, by key.
pub type Overrides = BTreeMap<String, String>;

/// What is to be recorded: a new value, or `None` where the resource says nothing itself any more.
pub type Changes = BTreeMap<String, Option<String>>;

/// An operation of IncrementalAlterConfigs (KIP-339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Give it this value.
    Set,
    /// Go back to the default.
    Delete,
    /// Add items to a list.
    Append,
    /// Take items from a list.
    Subtract,
}

impl Operation {
    /// The operation of this code on the wire.
    pub fn of_code(code: i8) -> Option<Self> {
        [Self::Set, Self::Delete, Self::Append, Self::Subtract].get(usize::try_from(code).ok()?).copied()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

/// One asked change.
#[derive(Debug, Clone, Copy)]
pub struct Alteration<'a> {
    /// The key.
    pub key: &'a str,
    /// What to do.
    pub operation: Operation,
    /// The value; only [`Operation::Delete`] goes without.
    pub value: Option<&'a str>,
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A topic.
    Topic,
    /// A group.
    Group,
    /// A subscription to the metrics of clients.
    ClientMetrics,
    /// This broker.
    Broker,
    /// All brokers at once.
    AllBrokers,
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterError {
    /// The request makes no sense, or asks for what cannot change (`INVALID_REQUEST`). Kafka answers so for wrong
    /// values of a broker, too (KAFKA-13609).
    Request(String),
    /// The key or its value is wrong (`INVALID_CONFIG`).
    Config(String),
}

impl fmt::Display for AlterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(message) | Self::Config(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for AlterError {}

/// Plans IncrementalAlterConfigs: `asked` on top of what `target` says itself now.
pub fn plan_changes(
    target: Target,
    current: &Overrides,
    asked: &[Alteration<'_>],
    layers: &Layers,
) -> Result<Changes, AlterError> {
    no_duplicates(asked.iter().map(|change| change.key))?;
    let without: Vec<&str> = asked
        .iter()
        .filter(|change| change.operation != Operation::Delete && change.value.is_none())
        .map(|change| change.key)
        .collect();
    if !without.is_empty() {
        return Err(AlterError::Request(format!("Null value not supported for : {}", without.join(", "))));
    }
    let mut next = current.clone();
    let mut touched = Vec::new();
    for change in asked {
        let value = change.value.unwrap_or_default();
        match change.operation {
            Operation::Set => {
                next.insert(change.key.to_owned(), value.to_owned());
            }
            Operation::Delete => {
                next.remove(change.key);
                continue;
            }
            Operation::Append | Operation::Subtract => {
                let mut items = list_in_force(target, current, change, layers)?;
                let named = list_items(value);
                if change.operation == Operation::Append {
                    items.extend(named.into_iter().filter(|item| !items.contains(item)).collect::<Vec<_>>());
                } else {
                    items.retain(|item| !named.contains(item));
                }
                next.insert(change.key.to_owned(), items.join(","));
            }
        }
        touched.push(change.key);
    }
    let next = check(target, next, &touched, layers)?;
    Ok(difference(current, &next))
}

/// Plans AlterConfigs: `asked` instead of everything that `target` says itself now.
pub fn plan_replacement(
    target: Target,
    current: &Overrides,
    asked: &[(&str, Option<&str>)],
    layers: &Layers,
) -> Result<Changes, AlterError> {
    no_duplicates(asked.iter().map(|(key, _)| *key))?;
    let without: Vec<&str> = asked.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
    if !without.is_empty() {
        return Err(AlterError::Request(format!("Null value not supported for : {}", without.join(", "))));
    }
    let next =
        asked.iter().map(|(key, value)| ((*key).to_owned(), value.unwrap_or_default().to_owned())).collect();
    let touched: Vec<&str> = asked.iter().map(|(key, _)| *key).collect();
    let next = check(target, next, &touched, layers)?;
    Ok(difference(current, &next))
}

fn no_duplicates<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), AlterError> {
    let mut seen = std::collections::BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(AlterError::Request(format!("the key {key} stands in the request twice")));
        }
    }
    Ok(())
}

fn difference(current: &Overrides, next: &Overrides) -> Changes {
    let set = next
        .iter()
        .filter(|(key, value)| current.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    let gone = current.keys().filter(|key| !next.contains_key(*key)).map(|key| (key.clone(), None));
    set.chain(gone).collect()
}

/// The list to which items are added or from which they are taken: its own, or else the one in force.
fn list_in_force(
    target: Target,
    current: &Overrides,
    change: &Alteration<'_>,
    layers: &Layers,
) -> Result<Vec<String>, AlterError> {
    let row = match target {
        Target::Topic => TOPIC.get(change.key),
        Target::Group => GROUP.get(change.key),
        Target::ClientMetrics => CLIENT_METRICS.get(change.key),
        Target::Broker | Target::AllBrokers => BROKER.get(change.key),
    };
    let Some(row) = row.filter(|row| row.domain.value_type == ValueType::List) else {
        return Err(AlterError::Config(format!(
            "{} works on lists, and {} is not one; use SET",
            change.operation.name(),
            change.key
        )));
    };
    if let Some(own) = current.get(change.key) {
        return Ok(list_items(own));
    }
    let behind = match target {
        Target::Topic | Target::Group | Target::ClientMetrics => layers.behind(row),
        Target::Broker | Target::AllBrokers => layers.value(change.key),
    };
    match behind.or_else(|| row.default_value()) {
        Some(Value::List(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// Checks what `target` would say itself, and returns it in the form in which it is kept. Only what the request
/// touches is held against the rules of what may change.
fn check(
    target: Target,
    next: Overrides,
    touched: &[&str],
    layers: &Layers,
) -> Result<Overrides, AlterError> {
    if next.len() > KEYS_MAX {
        return Err(AlterError::Request(format!("{} keys are more than {KEYS_MAX}", next.len())));
    }
    for (key, value) in &next {
        if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let start: String = key.chars().take(50).collect();
            return Err(AlterError::Request(format!(
                "key or value of {start} is longer than {KEY_BYTES_MAX} or {VALUE_BYTES_MAX} bytes"
            )));
        }
    }
    match target {
        Target::Topic => validate_topic(&next, layers).map_err(|error| match error {
            TopicConfigError::Unsupported { .. }
            | TopicConfigError::UnknownKey { .. }
            | TopicConfigError::Invalid(_)
            | TopicConfigError::Conflict { .. } => AlterError::Config(error.to_string()),
        }),
        Target::Group => check_group(next, layers),
        Target::ClientMetrics => check_client_metrics(next),
        Target::Broker => check_broker(next, touched, layers, true),
        Target::AllBrokers => check_broker(next, touched, layers, false),
    }
}

fn check_group(next: Overrides, layers: &Layers) -> Result<Overrides, AlterError> {
    let mut kept = Overrides::new();
    for (key, text) in &next {
        let Some(row) = GROUP.get(key) else {
            return Err(AlterError::Config(unknown(
                "group",
                key,
                nearest(key, GROUP.iter().map(|row| row.name)),
            )));
        };
        let value = row.parse(text).map_err(|invalid| AlterError::Config(invalid.to_string()))?;
        if let Value::Number(number) = value {
            in_bounds(row, number, layers)?;
        }
        kept.insert(key.clone(), value.to_string());
    }
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) =
            (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        let number = |key: &str| -> Option<i64> {
            match kept.get(key) {
                Some(text) => text.parse().ok(),
                None => match layers.behind(GROUP.get(key)?) {
                    Some(Value::Number(number)) => Some(number),
                    _ => None,
                },
            }
        };
        if let (Some(timeout), Some(interval)) = (number(&session), number(&heartbeat))
            && timeout <= interval
            && (kept.contains_key(&session) || kept.contains_key(&heartbeat))
        {
            return Err(AlterError::Config(format!(
                "{session} ({timeout}) must be above {heartbeat} ({interval})"
            )));
        }
    }
    Ok(kept)
}

/// What a client tells of itself, by which a subscription can choose (KIP-714).
const CLIENT_SELECTORS: [&str; 6] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];
/// Least and greatest time between two reports of a client, in milliseconds.
const METRICS_INTERVAL_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// Kafka answers `INVALID_REQUEST` for a wrong key or interval, `INVALID_CONFIG` for a wrong selector.
fn check_client_metrics(next: Overrides) -> Result<Overrides, AlterError> {
    let mut kept = Overrides::new();
    for (key, text) in &next {
        let row = CLIENT_METRICS
            .get(key)
            .ok_or_else(|| AlterError::Request(format!("Unknown client metrics configuration: {key}")))?;
        let value = row.parse(text).map_err(|invalid| AlterError::Config(invalid.to_string()))?;
        match &value {
            Value::Number(number) if key == "interval.ms" && !METRICS_INTERVAL_MS.contains(number) => {
                return Err(AlterError::Request(format!(
                    "Invalid value {number} for interval.ms, interval must be between {} and {}",
                    METRICS_INTERVAL_MS.start(),
                    METRICS_INTERVAL_MS.end()
                )));
            }
            Value::List(items) if key == "match" => {
                for item in items {
                    let is_known = item.split_once('=').is_some_and(|(selector, pattern)| {
                        CLIENT_SELECTORS.contains(&selector.trim()) && !pattern.trim().is_empty()
                    });
                    if !is_known {
                        return Err(AlterError::Config(format!(
                            "Illegal client matching pattern: {item}; write SELECTOR=PATTERN with one of {}",
                            CLIENT_SELECTORS.join(", ")
                        )));
                    }
                }
            }
            _ => {}
        }
        kept.insert(key.clone(), value.to_string());
    }
    Ok(kept)
}

/// Holds a group's number against the bounds that the broker sets for it.
fn in_bounds(row: &ConfigKey, number: i64, layers: &Layers) -> Result<(), AlterError> {
    let Some((kind, what)) = row.name.split_once('.') else { return Ok(()) };
    let what = what.strip_prefix("num.").unwrap_or(what);
    for (bound, word) in [("min", "at least"), ("max", "at most")] {
        let key = format!("group.{kind}.{bound}.{what}");
        if let Some(Value::Number(limit)) = layers.value(&key)
            && ((bound == "min" && number < limit) || (bound == "max" && number > limit))
        {
            return Err(AlterError::Config(format!(
                "{} must be {word} {limit}, the value of {key}",
                row.name
            )));
        }
    }
    Ok(())
}

fn check_broker(
    next: Overrides,
    touched: &[&str],
    layers: &Layers,
    one_broker: bool,
) -> Result<Overrides, AlterError> {
    let mut kept = Overrides::new();
    for (key, text) in &next {
        let row = super::describe::row_of(key);
        if touched.contains(&key.as_str()) {
            may_change(key, one_broker)?;
        }
        let value = match row {
            // Kafka takes any key here and so do we; it is kept as a secret, for who knows what it is.
            None => text.clone(),
            Some(row) => match row.parse(text) {
                Ok(value) => value.to_string(),
                Err(invalid) => return Err(AlterError::Request(invalid.to_string())),
            },
        };
        kept.insert(key.clone(), value);
    }
    let dynamic = if one_broker {
        BrokerOverrides { node: kept.clone(), default: layers.dynamic.default.clone() }
    } else {
        BrokerOverrides { default: kept.clone(), node: layers.dynamic.node.clone() }
    };
    let mut errors = Vec::new();
    Settings::read(&Layers { given: layers.given.clone(), dynamic }, &mut errors, &mut Vec::new());
    match errors.into_iter().next() {
        None => Ok(kept),
        Some(ConfigError::Unusable { key, problem, .. }) => {
            Err(AlterError::Request(format!("{key}: {problem}")))
        }
        Some(error) => Err(AlterError::Request(error.to_string())),
    }
}

fn may_change(key: &str, one_broker: bool) -> Result<(), AlterError> {
    let refuse = |why: &str| Err(AlterError::Request(format!("{key} {why}")));
    if matches!(key, "listeners" | "listener.security.protocol.map") {
        return refuse("cannot change while the broker runs; give it at the start");
    }
    match BROKER.get(key).map(|row| row.update) {
        Some(Update::ReadOnly) => refuse("cannot change while the broker runs; give it at the start"),
        Some(Update::PerBroker) if !one_broker => refuse("can only be set for one broker, by its id"),
        Some(_) | None => Ok(()),
    }
}

fn unknown(what: &str, key: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("Unknown {what} config name: {key} (did you mean {nearest}?)"),
        None => format!("Unknown {what} config name: {key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{Append, Delete, Set, Subtract};

    fn own(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn plan(
        target: Target,
        current: &[(&str, &str)],
        asked: &[(Operation, &str, Option<&str>)],
    ) -> Result<Changes, AlterError> {
        let asked: Vec<Alteration<'_>> = asked
            .iter()
            .map(|(operation, key, value)| Alteration { key, operation: *operation, value: *value })
            .collect();
        plan_changes(target, &own(current), &asked, &Layers::default())
    }

    fn changes(pairs: &[(&str, Option<&str>)]) -> Changes {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
    }

    fn is_request<T: fmt::Debug>(result: Result<T, AlterError>) -> bool {
        matches!(result, Err(AlterError::Request(_)))
    }

    fn is_config<T: fmt::Debug>(result: Result<T, AlterError>) -> bool {
        matches!(result, Err(AlterError::Config(_)))
    }

    #[test]
    fn codes_of_operations() {
        assert_eq!(
            [0, 1, 2, 3].map(Operation::of_code),
            [Some(Set), Some(Delete), Some(Append), Some(Subtract)]
        );
        assert_eq!([-1, 4, i8::MIN].map(Operation::of_code), [None; 3]);
    }

    #[test]
    fn set_and_delete() {
        assert_eq!(
            plan(
                Target::Topic,
                &[("segment.ms", "5")],
                &[(Set, "retention.ms", Some(" 7000 ")), (Delete, "segment.ms", None)]
            ),
            Ok(changes(&[("retention.ms", Some("7000")), ("segment.ms", None)]))
        );
        // Neither what is not set nor what does not exist is worth an error.
        assert_eq!(
            plan(Target::Topic, &[], &[(Delete, "segment.ms", None), (Delete, "foo", None)]),
            Ok(Changes::new())
        );
        assert_eq!(
            plan(Target::Topic, &[("segment.ms", "5")], &[(Set, "segment.ms", Some("5"))]),
            Ok(Changes::new())
        );
    }

    #[test]
    fn lists_grow_and_shrink() {
        let policy = |current: &[(&str, &str)], operation, value| {
            plan(Target::Topic, current, &[(operation, "cleanup.policy", Some(value))])
        };
        assert_eq!(
            policy(&[], Append, "compact"),
            Ok(changes(&[("cleanup.policy", Some("delete,compact"))]))
        );
        let both = [("cleanup.policy", "delete,compact")];
        assert_eq!(policy(&both, Append, "compact"), Ok(Changes::new()));
        assert_eq!(policy(&both, Subtract, "delete"), Ok(changes(&[("cleanup.policy", Some("compact"))])));
        assert_eq!(policy(&both, Subtract, "delete,compact"), Ok(changes(&[("cleanup.policy", Some(""))])));
        assert!(is_config(policy(&both, Append, "never")));
        assert!(is_config(plan(Target::Topic, &[], &[(Append, "retention.ms", Some("5"))])));
        assert!(is_config(plan(Target::Topic, &[], &[(Append, "foo", Some("5"))])));
        assert_eq!(
            plan(Target::Broker, &[], &[(Append, "log.cleanup.policy", Some("compact"))]),
            Ok(changes(&[("log.cleanup.policy", Some("delete,compact"))]))
        );
    }

    #[test]
    fn refused_requests() {
        assert!(is_request(plan(Target::Topic, &[], &[(Set, "retention.ms", None)])));
        assert!(is_request(plan(
            Target::Topic,
            &[],
            &[(Set, "retention.ms", Some("1")), (Delete, "retention.ms", None)]
        )));
        assert!(is_config(plan(Target::Topic, &[], &[(Set, "", Some("1"))])));
        assert!(is_config(plan(Target::Topic, &[], &[(Set, "retention.ms", Some("abc"))])));
        assert!(is_config(plan(
            Target::Topic,
            &[("min.compaction.lag.ms", "10")],
            &[(Set, "max.compaction.lag.ms", Some("5"))]
        )));
    }

    #[test]
    fn brokers_change_only_what_can_change() {
        let one = |key, value| plan(Target::Broker, &[], &[(Set, key, Some(value))]);
        let all = |key, value| plan(Target::AllBrokers, &[], &[(Set, key, Some(value))]);
        assert!(one("log.segment.bytes", "2000000").is_ok() && all("log.retention.ms", "12345").is_ok());
        assert!(one("foo.bar.baz", "1").is_ok() && all("foo.bar.baz", "1").is_ok());
        assert!(one("ssl.keystore.type", "JKS").is_ok() && is_request(all("ssl.keystore.type", "JKS")));
        for (key, value) in [
            ("num.partitions", "3"),
            ("listeners", "PLAINTEXT://:1"),
            ("log.segment.bytes", "abc"),
            ("log.segment.bytes", "1"),
            ("max.connections.per.ip.overrides", "nonsense"),
        ] {
            assert!(is_request(one(key, value)), "{key}={value}");
        }
        assert!(one("listener.name.plaintext.max.connection.creation.rate", "10").is_ok());
        assert!(is_request(one("listener.name.plaintext.max.connection.creation.rate", "x")));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        assert!(is_request(plan(Target::Broker, &[], &[(Set, "foo", Some(&long))])));
        assert!(plan(Target::Broker, &[], &[(Set, "foo", Some(&long[1..]))]).is_ok());
        assert!(is_request(plan(Target::Broker, &[], &[(Set, &long[..KEY_BYTES_MAX + 1], Some("1"))])));
        let keys: Vec<String> = (0..=KEYS_MAX).map(|n| format!("key.{n}")).collect();
        let many: Vec<_> = keys.iter().map(|key| (Set, key.as_str(), Some("1"))).collect();
        assert!(is_request(plan(Target::AllBrokers, &[], &many)));
        assert!(plan(Target::AllBrokers, &[], &many[1..]).is_ok());
    }

    #[test]
    fn groups_keep_to_the_bounds_of_the_broker() {
        let set = |key, value| plan(Target::Group, &[], &[(Set, key, Some(value))]);
        assert_eq!(
            set("consumer.session.timeout.ms", "50000"),
            Ok(changes(&[("consumer.session.timeout.ms", Some("50000"))]))
        );
        assert!(set("share.auto.offset.reset", "by_duration:PT1H").is_ok());
        for (key, value) in [
            ("consumer.session.timeout.ms", "10"),
            ("consumer.session.timeout.ms", "100000"),
            ("consumer.session.timeout.ms", "abc"),
            ("consumer.heartbeat.interval.ms", "60000"),
            ("share.auto.offset.reset", "never"),
            ("streams.num.standby.replicas", "3"),
            ("share.delivery.count.limit", "11"),
            ("foo", "1"),
        ] {
            assert!(is_config(set(key, value)), "{key}={value}");
        }
        assert_eq!(
            set("consumer.session.timeout.ms", "10").unwrap_err().to_string(),
            "consumer.session.timeout.ms must be at least 45000, the value of group.consumer.min.session.timeout.ms"
        );
    }

    #[test]
    fn client_metrics_have_selectors_and_an_interval() {
        let set = |key, value| plan(Target::ClientMetrics, &[], &[(Set, key, Some(value))]);
        assert_eq!(
            set("match", "client_id=a.*, client_software_name=x"),
            Ok(changes(&[("match", Some("client_id=a.*,client_software_name=x"))]))
        );
        assert!(set("interval.ms", "100").is_ok() && set("metrics", "org.apache.kafka.producer.").is_ok());
        assert!(is_request(set("interval.ms", "99")) && is_request(set("interval.ms", "3600001")));
        assert!(is_request(set("push", "1")));
        assert!(is_config(set("match", "user=a")) && is_config(set("match", "client_id")));
        assert!(is_config(set("interval.ms", "soon")));
        let own = [("metrics", "a")];
        assert_eq!(
            plan(Target::ClientMetrics, &own, &[(Append, "metrics", Some("b"))]),
            Ok(changes(&[("metrics", Some("a,b"))]))
        );
    }

    #[test]
    fn replacement_forgets_the_rest() {
        let current = own(&[("retention.ms", "1"), ("segment.ms", "2")]);
        let replace = |asked: &[(&str, Option<&str>)]| {
            plan_replacement(Target::Topic, &current, asked, &Layers::default())
        };
        assert_eq!(
            replace(&[("retention.ms", Some("9"))]),
            Ok(changes(&[("retention.ms", Some("9")), ("segment.ms", None)]))
        );
        assert!(is_request(replace(&[("retention.ms", None)])));
        assert!(is_request(replace(&[("a", Some("1")), ("a", Some("2"))])));
        assert!(is_config(replace(&[("retention.msx", Some("2"))])));
    }
}
