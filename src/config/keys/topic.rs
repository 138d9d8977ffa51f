//! Keys of a topic (Kafka's `LogConfig` and `TopicConfig`), each with the broker key behind it.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, GzipLevel, OneOf, Real, Replicas};
use crate::config::value::ValueType::{Boolean, Double, Int, List, Long, String};

/// The rows.
pub const KEYS: &[ConfigKey] = &[
    key("cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"])).from("log.cleanup.policy").doc(""),
    key("compression.gzip.level", Int, Some("-1"), GzipLevel).from("compression.gzip.level").doc(""),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17)).from("compression.lz4.level").doc(""),
    key("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).from("compression.type").doc(""),
    key("compression.zstd.level", Int, Some("3"), Between(-131_072, 22)).from("compression.zstd.level").doc(""),
    key("delete.retention.ms", Long, Some("86400000"), AtLeast(0)).from("log.cleaner.delete.retention.ms").doc(""),
    key("errors.deadletterqueue.group.enable", Boolean, Some("false"), Any).doc(""),
    key("file.delete.delay.ms", Long, Some("60000"), AtLeast(0)).from("log.segment.delete.delay.ms").doc(""),
    key("flush.messages", Long, Some("9223372036854775807"), AtLeast(1)).from("log.flush.interval.messages").doc(""),
    key("flush.ms", Long, Some("9223372036854775807"), AtLeast(0)).from("log.flush.interval.ms").doc(""),
    key("follower.replication.throttled.replicas", List, Some(""), Replicas).doc(""),
    key("index.interval.bytes", Int, Some("4096"), AtLeast(0)).from("log.index.interval.bytes").doc(""),
    key("internal.segment.bytes", Int, None, Any).internal().doc(""),
    key("leader.replication.throttled.replicas", List, Some(""), Replicas).doc(""),
    key("local.retention.bytes", Long, Some("-2"), AtLeast(-2)).from("log.local.retention.bytes").doc(""),
    key("local.retention.ms", Long, Some("-2"), AtLeast(-2)).from("log.local.retention.ms").doc(""),
    key("max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1)).from("log.cleaner.max.compaction.lag.ms").doc(""),
    key("max.decompressed.message.bytes", Int, Some("2147483639"), Between(1, 2_147_483_639)).from("max.decompressed.message.bytes").doc(""),
    key("max.message.bytes", Int, Some("1048588"), AtLeast(0)).from("message.max.bytes").doc(""),
    key("message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0)).from("log.message.timestamp.after.max.ms").doc(""),
    key("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0)).from("log.message.timestamp.before.max.ms").doc(""),
    key("message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"])).from("log.message.timestamp.type").doc(""),
    key("min.cleanable.dirty.ratio", Double, Some("0.5"), Real(0.0, 1.0)).from("log.cleaner.min.cleanable.ratio").doc(""),
    key("min.compaction.lag.ms", Long, Some("0"), AtLeast(0)).from("log.cleaner.min.compaction.lag.ms").doc(""),
    key("min.insync.replicas", Int, Some("1"), AtLeast(1)).from("min.insync.replicas").doc(""),
    key("preallocate", Boolean, Some("false"), Any).from("log.preallocate").doc(""),
    key("remote.copy.lag.bytes", Long, Some("-1"), AtLeast(-1)).from("log.remote.copy.lag.bytes").doc(""),
    key("remote.copy.lag.ms", Long, Some("0"), AtLeast(-1)).from("log.remote.copy.lag.ms").doc(""),
    key("remote.log.copy.disable", Boolean, Some("false"), Any).doc(""),
    key("remote.log.delete.on.disable", Boolean, Some("false"), Any).doc(""),
    key("remote.storage.enable", Boolean, Some("false"), Any).doc(""),
    key("retention.bytes", Long, Some("-1"), Any).from("log.retention.bytes").doc(""),
    key("retention.ms", Long, Some("604800000"), AtLeast(-1)).from("log.retention.ms").doc(""),
    key("segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576)).from("log.segment.bytes").doc(""),
    key("segment.index.bytes", Int, Some("10485760"), AtLeast(4)).from("log.index.size.max.bytes").doc(""),
    key("segment.jitter.ms", Long, Some("0"), AtLeast(0)).from("log.roll.jitter.ms").doc(""),
    key("segment.ms", Long, Some("604800000"), AtLeast(1)).from("log.roll.ms").doc(""),
    key("unclean.leader.election.enable", Boolean, Some("false"), Any).from("unclean.leader.election.enable").doc(""),
    key("quipu.durability", String, Some("sync"), OneOf(&["sync", "interval", "os"])).acts().from("quipu.durability").doc("When an acks=all answer may leave: after the data was synced to the disk (sync), at once with a sync at intervals (interval), or at once with syncing left to the operating system (os)."),
    key("message.downconversion.enable", Boolean, Some("true"), Any).internal().doc("Gone from Kafka since 4.0, which no longer serves old record formats. Taken so that old definitions of topics can still be applied."),
];
