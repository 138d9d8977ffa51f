//! Keys of a topic (Kafka's `LogConfig` and `TopicConfig`), each with the broker key behind it.

use crate::config::keys::{ConfigKey, SHARE, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, GzipLevel, OneOf, Real, Replicas};
use crate::config::value::ValueType::{Boolean, Double, Int, List, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub const KEYS: &[ConfigKey] = &[
    key("cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"])).acts().from("log.cleanup.policy")
        .doc("What happens to old data: delete drops whole segments past the retention limits, compact keeps the last record of each key, both do both, and an empty list keeps everything."),
    key("compression.gzip.level", Int, Some("-1"), GzipLevel).acts().from("compression.gzip.level")
        .doc("Level used when the broker itself compresses with gzip."),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17)).from("compression.lz4.level")
        .doc("Level used when Kafka itself compresses with lz4. Quipu's lz4 has one level, a fast one, whatever is set; each level can be read."),
    key("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).acts().from("compression.type")
        .doc("Codec in which batches are kept: one that comes in another is compressed anew. The value producer keeps each as it was sent."),
    key("compression.zstd.level", Int, Some("3"), Between(-131_072, 22)).acts().from("compression.zstd.level")
        .doc("Level used when the broker itself compresses with zstd."),
    key("delete.retention.ms", Long, Some("86400000"), AtLeast(0)).acts().from("log.cleaner.delete.retention.ms")
        .doc("How long compaction keeps a tombstone, so that a reader from the start still learns of the deletion."),
    key("errors.deadletterqueue.group.enable", Boolean, Some("false"), Any).not_yet(SHARE)
        .doc("Whether share groups may write records that they give up on to this topic."),
    key("file.delete.delay.ms", Long, Some("60000"), AtLeast(0)).from("log.segment.delete.delay.ms")
        .doc("How long the files of a dropped segment stay on the disk. Quipu removes them at once: who still reads them can go on."),
    key("flush.messages", Long, Some("9223372036854775807"), AtLeast(1)).acts().from("log.flush.interval.messages")
        .doc("Records after which the log is synced to the disk at the latest; the largest value leaves it to quipu.durability. The value 1 is the same as sync: an acks=all answer waits for the disk."),
    key("flush.ms", Long, Some("9223372036854775807"), AtLeast(0)).acts().from("log.flush.interval.ms")
        .doc("The longest that a record waits for a sync, where durability is interval, or os, which it turns into interval. With sync every acknowledged record is on the disk already."),
    key("follower.replication.throttled.replicas", List, Some(""), Replicas)
        .doc("Replicas that fetch at a limited rate while they catch up, as partition:broker pairs or *."),
    key("index.interval.bytes", Int, Some("4096"), AtLeast(0)).acts().from("log.index.interval.bytes")
        .doc("Bytes of log between two entries of the offset index. Fewer make finding an offset faster and the index larger."),
    key("internal.segment.bytes", Int, None, Any).internal().acts()
        .doc("Size of a segment without the lower limit of one megabyte. Meant for tests."),
    key("leader.replication.throttled.replicas", List, Some(""), Replicas)
        .doc("Replicas that are served at a limited rate while they catch up, as partition:broker pairs or *."),
    key("local.retention.bytes", Long, Some("-2"), AtLeast(-2)).from("log.local.retention.bytes")
        .doc("With tiered storage, bytes of a partition to keep on this machine; -2 takes retention.bytes."),
    key("local.retention.ms", Long, Some("-2"), AtLeast(-2)).from("log.local.retention.ms")
        .doc("With tiered storage, how long to keep data on this machine; -2 takes retention.ms."),
    key("max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1)).acts().from("log.cleaner.max.compaction.lag.ms")
        .doc("The longest that a record may wait for compaction."),
    key("max.decompressed.message.bytes", Int, Some("2147483639"), Between(1, 2_147_483_639)).not_yet("what a batch may expand to has a limit of Quipu's own, 100 times its size and 64 KiB, at most 64 MiB").from("max.decompressed.message.bytes")
        .doc("Largest record after decompression that is accepted."),
    key("max.message.bytes", Int, Some("1048588"), AtLeast(0)).acts().from("message.max.bytes")
        .doc("Largest batch, as it is on the wire, that a producer may send."),
    key("message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0)).acts().from("log.message.timestamp.after.max.ms")
        .doc("How far a record's timestamp may lie ahead of the broker's clock."),
    key("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0)).acts().from("log.message.timestamp.before.max.ms")
        .doc("How far a record's timestamp may lie behind the broker's clock."),
    key("message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"])).acts().from("log.message.timestamp.type")
        .doc("Whether records carry the time at which the producer made them or at which the broker appended them."),
    key("min.cleanable.dirty.ratio", Double, Some("0.5"), Real(0.0, 1.0)).acts().from("log.cleaner.min.cleanable.ratio")
        .doc("Share of not yet compacted data from which on a log is compacted."),
    key("min.compaction.lag.ms", Long, Some("0"), AtLeast(0)).acts().from("log.cleaner.min.compaction.lag.ms")
        .doc("How long a record is safe from compaction."),
    key("min.insync.replicas", Int, Some("1"), AtLeast(1)).from("min.insync.replicas")
        .doc("Replicas that must have a record before an acks=all answer. There is one replica, which has every record, so that nobody is refused whatever the number."),
    key("preallocate", Boolean, Some("false"), Any).from("log.preallocate")
        .doc("Whether to reserve the space of a new segment. Quipu always reserves ahead, in growing pieces."),
    key("remote.copy.lag.bytes", Long, Some("-1"), AtLeast(-1)).from("log.remote.copy.lag.bytes")
        .doc("With tiered storage, bytes of newer data after which a segment is copied away."),
    key("remote.copy.lag.ms", Long, Some("0"), AtLeast(-1)).from("log.remote.copy.lag.ms")
        .doc("With tiered storage, age after which a segment is copied away."),
    key("remote.log.copy.disable", Boolean, Some("false"), Any)
        .doc("With tiered storage, whether to stop copying segments away."),
    key("remote.log.delete.on.disable", Boolean, Some("false"), Any)
        .doc("With tiered storage, whether to delete what was copied away when it is switched off."),
    key("remote.storage.enable", Boolean, Some("false"), Any)
        .doc("Whether the topic uses tiered storage. There is none, so only false is accepted."),
    key("retention.bytes", Long, Some("-1"), Any).acts().from("log.retention.bytes")
        .doc("Size of a partition above which its oldest segments are dropped; -1 is no limit."),
    key("retention.ms", Long, Some("604800000"), AtLeast(-1)).acts().from("log.retention.ms")
        .doc("Age above which segments are dropped; -1 is no limit."),
    key("segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576)).acts().from("log.segment.bytes")
        .doc("Size at which a log goes on in a new segment file. Retention and compaction work on whole segments."),
    key("segment.index.bytes", Int, Some("10485760"), AtLeast(4)).from("log.index.size.max.bytes")
        .doc("Largest size of a segment's index file in Kafka. Quipu's index grows with its segment."),
    key("segment.jitter.ms", Long, Some("0"), AtLeast(0)).from("log.roll.jitter.ms")
        .doc("Random time taken off segment.ms, so that logs do not all begin a new segment together. Quipu's segments begin with a write, and cost little: nothing is gained by spreading them."),
    key("segment.ms", Long, Some("604800000"), AtLeast(1)).acts().from("log.roll.ms")
        .doc("Age at which a log goes on in a new segment file even if the old one is not full."),
    key("unclean.leader.election.enable", Boolean, Some("false"), Any).from("unclean.leader.election.enable")
        .doc("Whether a replica that lacks records may become leader when no other is left."),
    key("message.downconversion.enable", Boolean, Some("true"), Any).internal()
        .doc("Gone from Kafka since 4.0, which no longer serves old record formats. Taken so that old definitions of topics can still be applied."),
    key("quipu.durability", String, Some("sync"), OneOf(&["sync", "interval", "os"])).acts().from("quipu.durability")
        .doc("When an acks=all answer may leave: after the data was synced to the disk (sync), at once with a sync at intervals (interval), or at once with syncing left to the operating system (os)."),
];
