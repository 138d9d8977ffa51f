//! Logs: segments, retention, compaction, timestamps, compression.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, GzipLevel, OneOf, Real};
use crate::config::value::ValueType::{Boolean, Double, Int, List, Long, String};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("compression.gzip.level", Int, Some("-1"), GzipLevel).cluster_wide().doc(""),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17)).cluster_wide().doc(""),
    key(
        "compression.type",
        String,
        Some("producer"),
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    )
    .cluster_wide()
    .doc(""),
    key("compression.zstd.level", Int, Some("3"), Between(-131_072, 22)).cluster_wide().doc(""),
    key("cordoned.log.dirs", List, Some(""), Any).per_broker().doc(""),
    key("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0)).cluster_wide().doc(""),
    key("log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any).cluster_wide().doc(""),
    key("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0)).cluster_wide().doc(""),
    key("log.cleaner.enable", Boolean, Some("true"), Any).doc(""),
    key("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any).cluster_wide().doc(""),
    key("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0)).cluster_wide().doc(""),
    key("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any)
        .cluster_wide()
        .doc(""),
    key("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1))
        .cluster_wide()
        .doc(""),
    key("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Real(0.0, 1.0)).cluster_wide().doc(""),
    key("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0)).cluster_wide().doc(""),
    key("log.cleaner.threads", Int, Some("1"), AtLeast(0)).cluster_wide().doc(""),
    key("log.cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"])).cluster_wide().doc(""),
    key("log.dir", List, Some("./quipu-data"), Any).doc(""),
    key("log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1)).doc(""),
    key("log.dirs", List, None, Any).doc(""),
    key("log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1)).cluster_wide().doc(""),
    key("log.flush.interval.ms", Long, None, Any).cluster_wide().doc(""),
    key("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0)).doc(""),
    key("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any).doc(""),
    key("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0)).doc(""),
    key("log.index.interval.bytes", Int, Some("4096"), AtLeast(0)).cluster_wide().doc(""),
    key("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4)).cluster_wide().doc(""),
    key("log.initial.task.delay.ms", Long, Some("30000"), AtLeast(0)).internal().doc(""),
    key("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0)).cluster_wide().doc(""),
    key("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0))
        .cluster_wide()
        .doc(""),
    key("log.message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]))
        .cluster_wide()
        .doc(""),
    key("log.preallocate", Boolean, Some("false"), Any).cluster_wide().doc(""),
    key("log.retention.bytes", Long, Some("-1"), Any).cluster_wide().doc(""),
    key("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1)).doc(""),
    key("log.retention.hours", Int, Some("168"), Any).doc(""),
    key("log.retention.minutes", Int, None, Any).doc(""),
    key("log.retention.ms", Long, None, Any).cluster_wide().doc(""),
    key("log.roll.hours", Int, Some("168"), AtLeast(1)).doc(""),
    key("log.roll.jitter.hours", Int, Some("0"), AtLeast(0)).doc(""),
    key("log.roll.jitter.ms", Long, None, Any).cluster_wide().doc(""),
    key("log.roll.ms", Long, None, Any).cluster_wide().doc(""),
    key("log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576)).cluster_wide().doc(""),
    key("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0)).cluster_wide().doc(""),
    key("max.decompressed.message.bytes", Int, Some("2147483639"), Between(1, 2_147_483_639)).doc(""),
    key("message.max.bytes", Int, Some("1048588"), AtLeast(0)).cluster_wide().doc(""),
    key("num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1)).cluster_wide().doc(""),
];
