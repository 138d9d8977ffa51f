//! The configuration of one topic: what it says itself, over what the broker says.

use super::InvalidValue;
use super::keys::TOPIC;
use super::layers::Layers;
use super::value::Value;
use std::collections::BTreeMap;
use std::fmt;

/// What a topic says itself, by key. Kept by the catalog.
pub type TopicOverrides = BTreeMap<String, String>;

/// When an answer to acks=all may leave (`quipu.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the data was synced.
    Sync,
    /// At once; a sync follows within this many milliseconds.
    Interval {
        /// Time between syncs, at least 1.
        ms: i64,
    },
    /// At once; the operating system writes when it likes.
    Os,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync => f.write_str("sync"),
            Self::Interval { ms } => write!(f, "interval ({ms} ms)"),
            Self::Os => f.write_str("os"),
        }
    }
}

/// What happens to old records. Neither means that they are kept for ever (KIP-1161).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments go when they are too old or the log is too large.
    pub delete: bool,
    /// The last record of each key stays.
    pub compact: bool,
}

/// Whose clock stamps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// In which codec batches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip at this level; −1 leaves it to the codec.
    Gzip(i32),
    /// snappy.
    Snappy,
    /// lz4 at this level.
    Lz4(i32),
    /// zstd at this level.
    Zstd(i32),
}

/// The configuration in force for one topic. Times in milliseconds, sizes in bytes; −1 means no limit where said.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup: CleanupPolicy,
    /// `retention.ms`; −1 is no limit.
    pub retention_ms: i64,
    /// `retention.bytes` of a partition; negative is no limit.
    pub retention_bytes: i64,
    /// `segment.bytes`, or `internal.segment.bytes`, which may go below the megabyte.
    pub segment_bytes: i32,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`
    pub segment_index_bytes: i32,
    /// `index.interval.bytes`
    pub index_interval_bytes: i32,
    /// `preallocate`
    pub preallocate: bool,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`; [`i64::MAX`] is never.
    pub flush_messages: i64,
    /// `flush.ms`; [`i64::MAX`] is never.
    pub flush_ms: i64,
    /// `quipu.durability`
    pub durability: Durability,
    /// `max.message.bytes`: of a batch as it is on the wire.
    pub max_message_bytes: i32,
    /// `max.decompressed.message.bytes`: of one record.
    pub max_decompressed_message_bytes: i32,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// `compression.type` with the level of that codec.
    pub compression: Compression,
    /// `delete.retention.ms`: how long compaction keeps a tombstone.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
}

impl TopicConfig {
    /// Puts a topic's own values over the broker's. An own value that does not fit its key, as another version may
    /// have stored it, is passed over with a warning.
    pub fn new(overrides: &TopicOverrides, layers: &Layers) -> Self {
        let view = View { overrides, layers };
        let level = |key| view.int(key);
        let flush_messages = view.long("flush.messages");
        let flush_ms = view.long("flush.ms");
        let policy = view.list("cleanup.policy");
        let says = |word: &str| policy.iter().any(|item| item == word);
        Self {
            cleanup: CleanupPolicy { delete: says("delete"), compact: says("compact") },
            retention_ms: view.long("retention.ms"),
            retention_bytes: view.long("retention.bytes"),
            segment_bytes: match view.own("internal.segment.bytes") {
                Some(Value::Number(bytes)) => i32::try_from(bytes).unwrap_or(i32::MAX),
                _ => view.int("segment.bytes"),
            },
            segment_ms: view.long("segment.ms"),
            segment_jitter_ms: view.long("segment.jitter.ms"),
            segment_index_bytes: view.int("segment.index.bytes"),
            index_interval_bytes: view.int("index.interval.bytes"),
            preallocate: view.boolean("preallocate"),
            file_delete_delay_ms: view.long("file.delete.delay.ms"),
            flush_messages,
            flush_ms,
            durability: match view.text("quipu.durability").as_str() {
                // Kafka flushes such a log before it answers, whatever else is set.
                _ if flush_messages == 1 => Durability::Sync,
                "os" if flush_ms == i64::MAX => Durability::Os,
                "interval" if flush_ms == i64::MAX => {
                    Durability::Interval { ms: layers.long("quipu.durability.interval.ms") }
                }
                "os" | "interval" => Durability::Interval { ms: flush_ms.max(1) },
                _ => Durability::Sync,
            },
            max_message_bytes: view.int("max.message.bytes"),
            max_decompressed_message_bytes: view.int("max.decompressed.message.bytes"),
            timestamp_type: match view.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: view.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: view.long("message.timestamp.after.max.ms"),
            compression: match view.text("compression.type").as_str() {
                "uncompressed" => Compression::Uncompressed,
                "gzip" => Compression::Gzip(level("compression.gzip.level")),
                "snappy" => Compression::Snappy,
                "lz4" => Compression::Lz4(level("compression.lz4.level")),
                "zstd" => Compression::Zstd(level("compression.zstd.level")),
                _ => Compression::Producer,
            },
            delete_retention_ms: view.long("delete.retention.ms"),
            min_compaction_lag_ms: view.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: view.long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: view.real("min.cleanable.dirty.ratio"),
            min_insync_replicas: view.int("min.insync.replicas"),
        }
    }
}

/// Why a topic's configuration is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum TopicConfigError {
    /// No such key.
    UnknownKey {
        /// The key as asked for.
        key: String,
        /// The nearest key that exists.
        nearest: Option<&'static str>,
    },
    /// A value its key does not accept.
    Invalid(InvalidValue),
    /// Two values that contradict each other.
    Conflict {
        /// The lower bound.
        low: (&'static str, i64),
        /// The upper bound, which is below it.
        high: (&'static str, i64),
    },
    /// The key asks for something that this broker does not have.
    Unsupported {
        /// The key.
        key: &'static str,
        /// What is missing.
        why: &'static str,
    },
}

impl fmt::Display for TopicConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, nearest: Some(nearest) } => {
                write!(f, "Unknown topic config name: {key} (did you mean {nearest}?)")
            }
            Self::UnknownKey { key, nearest: None } => write!(f, "Unknown topic config name: {key}"),
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Conflict { low, high } => {
                write!(f, "{} ({}) must not be above {} ({})", low.0, low.1, high.0, high.1)
            }
            Self::Unsupported { key, why } => write!(f, "{key}: {why}"),
        }
    }
}

impl std::error::Error for TopicConfigError {}

/// Checks one value and returns it in the form in which it is kept and reported.
pub fn validate_topic_value(key: &str, text: &str) -> Result<String, TopicConfigError> {
    let Some(row) = TOPIC.get(key) else {
        let nearest = super::nearest::nearest(key, TOPIC.iter().map(|row| row.name));
        return Err(TopicConfigError::UnknownKey { key: key.to_owned(), nearest });
    };
    row.parse(text).map(|value| value.to_string()).map_err(TopicConfigError::Invalid)
}

/// Checks all that a topic says itself, alone and together, and returns it in the form in which it is kept.
pub fn validate_topic(
    overrides: &TopicOverrides,
    layers: &Layers,
) -> Result<TopicOverrides, TopicConfigError> {
    let checked = overrides
        .iter()
        .map(|(key, text)| Ok((key.clone(), validate_topic_value(key, text)?)))
        .collect::<Result<TopicOverrides, TopicConfigError>>()?;
    let config = TopicConfig::new(&checked, layers);
    if config.min_compaction_lag_ms > config.max_compaction_lag_ms {
        return Err(TopicConfigError::Conflict {
            low: ("min.compaction.lag.ms", config.min_compaction_lag_ms),
            high: ("max.compaction.lag.ms", config.max_compaction_lag_ms),
        });
    }
    if checked.get("remote.storage.enable").is_some_and(|value| value == "true") {
        return Err(TopicConfigError::Unsupported {
            key: "remote.storage.enable",
            why: "this broker has no tiered storage",
        });
    }
    Ok(checked)
}

/// A topic key's value in force.
struct View<'a> {
    overrides: &'a TopicOverrides,
    layers: &'a Layers,
}

impl View<'_> {
    /// What the topic says itself.
    fn own(&self, key: &str) -> Option<Value> {
        let text = self.overrides.get(key)?;
        let parsed = TOPIC.get(key)?.parse(text);
        if let Err(invalid) = &parsed {
            tracing::warn!(%invalid, "a stored topic config is passed over");
        }
        parsed.ok()
    }

    fn value(&self, key: &'static str) -> Value {
        let row = TOPIC.get(key).unwrap_or_else(|| panic!("{key} is not a topic key"));
        self.own(key)
            .or_else(|| self.layers.behind(row))
            .or_else(|| row.default_value())
            .unwrap_or_else(|| panic!("{key} has no default"))
    }

    fn long(&self, key: &'static str) -> i64 {
        match self.value(key) {
            Value::Number(value) => value,
            other => panic!("{key} is read as a number and is {other:?}"),
        }
    }

    fn int(&self, key: &'static str) -> i32 {
        i32::try_from(self.long(key)).unwrap_or(i32::MAX)
    }

    fn boolean(&self, key: &'static str) -> bool {
        matches!(self.value(key), Value::Boolean(true))
    }

    fn real(&self, key: &'static str) -> f64 {
        match self.value(key) {
            Value::Real(value) => value,
            other => panic!("{key} is read as a floating point number and is {other:?}"),
        }
    }

    fn text(&self, key: &'static str) -> String {
        self.value(key).to_string()
    }

    fn list(&self, key: &'static str) -> Vec<String> {
        match self.value(key) {
            Value::List(items) => items,
            other => panic!("{key} is read as a list and is {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(pairs: &[(&str, &str)]) -> TopicOverrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_kafkas_and_durable() {
        let config = TopicConfig::new(&topic(&[]), &Layers::default());
        assert_eq!(config.retention_ms, 604_800_000);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: false });
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.durability, Durability::Sync);
        assert_eq!(config.compression, Compression::Producer);
        assert_eq!(config.flush_ms, i64::MAX);
    }

    #[test]
    fn own_values_go_before_dynamic_ones_and_those_before_static_ones() {
        let mut layers = Layers::default();
        let origin = super::super::Origin::Override;
        layers.given.insert("log.retention.hours".into(), super::super::Given { value: "24".into(), origin });
        let retention =
            |overrides: &TopicOverrides, layers: &Layers| TopicConfig::new(overrides, layers).retention_ms;
        assert_eq!(retention(&topic(&[]), &layers), 86_400_000);
        layers.dynamic.default.insert("log.retention.ms".into(), "5000".into());
        assert_eq!(retention(&topic(&[]), &layers), 5000);
        layers.dynamic.node.insert("log.retention.ms".into(), "6000".into());
        assert_eq!(retention(&topic(&[]), &layers), 6000);
        assert_eq!(retention(&topic(&[("retention.ms", "7000")]), &layers), 7000);
        assert_eq!(retention(&topic(&[("retention.ms", "not a number")]), &layers), 6000);
    }

    #[test]
    fn minus_one_hours_is_no_limit() {
        let mut layers = Layers::default();
        layers.dynamic.node.insert("log.retention.hours".into(), "-1".into());
        assert_eq!(TopicConfig::new(&topic(&[]), &layers).retention_ms, -1);
    }

    #[test]
    fn empty_policy_keeps_everything() {
        let config = TopicConfig::new(&topic(&[("cleanup.policy", "")]), &Layers::default());
        assert_eq!(config.cleanup, CleanupPolicy { delete: false, compact: false });
    }

    #[test]
    fn durability_takes_its_interval_from_flush_ms() {
        let durability = |pairs| TopicConfig::new(&topic(pairs), &Layers::default()).durability;
        assert_eq!(durability(&[("quipu.durability", "os")]), Durability::Os);
        assert_eq!(durability(&[("quipu.durability", "interval")]), Durability::Interval { ms: 1000 });
        assert_eq!(
            durability(&[("quipu.durability", "interval"), ("flush.ms", "20")]),
            Durability::Interval { ms: 20 }
        );
        assert_eq!(
            durability(&[("quipu.durability", "os"), ("flush.ms", "0")]),
            Durability::Interval { ms: 1 }
        );
        // Kafka answers after the flush, too.
        assert_eq!(durability(&[("quipu.durability", "os"), ("flush.messages", "1")]), Durability::Sync);
        assert_eq!(
            durability(&[("quipu.durability", "interval"), ("flush.messages", "1")]),
            Durability::Sync
        );
        // What Kafka would flush now and then is never less durable than without that wish.
        assert_eq!(durability(&[("flush.ms", "60000"), ("flush.messages", "100")]), Durability::Sync);
    }

    #[test]
    fn levels_belong_to_their_codec() {
        let compression = |pairs| TopicConfig::new(&topic(pairs), &Layers::default()).compression;
        assert_eq!(compression(&[("compression.type", "zstd")]), Compression::Zstd(3));
        assert_eq!(
            compression(&[
                ("compression.type", "gzip"),
                ("compression.gzip.level", "9"),
                ("compression.zstd.level", "1")
            ]),
            Compression::Gzip(9)
        );
    }

    #[test]
    fn refusals_say_what_would_do() {
        let refuse = |pairs| validate_topic(&topic(pairs), &Layers::default()).unwrap_err().to_string();
        assert_eq!(
            refuse(&[("retention.mss", "1")]),
            "Unknown topic config name: retention.mss (did you mean retention.ms?)"
        );
        assert_eq!(
            refuse(&[("retention.ms", "-7")]),
            "Invalid value -7 for configuration retention.ms: expected a whole number of at least -1 (64 bits)"
        );
        assert_eq!(
            refuse(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]),
            "min.compaction.lag.ms (10) must not be above max.compaction.lag.ms (5)"
        );
        assert!(refuse(&[("remote.storage.enable", "true")]).contains("tiered storage"));
        assert!(refuse(&[("segment.bytes", "14")]).contains("1048576"));
    }

    #[test]
    fn accepted_values_are_kept_in_kafkas_form() {
        let kept = validate_topic(
            &topic(&[
                ("cleanup.policy", " compact , delete "),
                ("retention.ms", " 7000 "),
                ("preallocate", "TRUE"),
            ]),
            &Layers::default(),
        )
        .unwrap();
        assert_eq!(
            kept,
            topic(&[("cleanup.policy", "compact,delete"), ("retention.ms", "7000"), ("preallocate", "true")])
        );
    }

    #[test]
    fn internal_segment_size_goes_below_a_megabyte() {
        let config = TopicConfig::new(&topic(&[("internal.segment.bytes", "4096")]), &Layers::default());
        assert_eq!(config.segment_bytes, 4096);
    }
}
