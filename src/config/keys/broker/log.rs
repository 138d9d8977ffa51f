//! Logs: segments, retention, compaction, timestamps, compression.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, GzipLevel, OneOf, Real};
use crate::config::value::ValueType::{Boolean, Double, Int, List, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("compression.gzip.level", Int, Some("-1"), GzipLevel).acts().cluster_wide()
        .doc("Level used when the broker itself compresses with gzip."),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17)).cluster_wide()
        .doc("Level used when Kafka itself compresses with lz4. Quipu's lz4 has one level, a fast one, whatever is set; each level can be read."),
    key("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).acts().cluster_wide()
        .doc("Codec in which batches are kept: one that comes in another is compressed anew. The value producer keeps each as it was sent."),
    key("compression.zstd.level", Int, Some("3"), Between(-131_072, 22)).acts().cluster_wide()
        .doc("Level used when the broker itself compresses with zstd."),
    key("cordoned.log.dirs", List, Some(""), Any).per_broker()
        .doc("Directories that take no new partitions; * stands for all."),
    key("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0)).cluster_wide().acts()
        .doc("How long compaction rests when there is nothing to do."),
    key("log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any).cluster_wide().acts()
        .doc("Memory for the keys that one compaction compares."),
    key("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0)).cluster_wide().acts()
        .doc("How long compaction keeps a tombstone, so that a reader from the start still learns of the deletion."),
    key("log.cleaner.enable", Boolean, Some("true"), Any).acts()
        .doc("Whether logs are compacted."),
    key("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any).cluster_wide()
        .doc("How full Kafka's table of keys may get in a compaction."),
    key("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0)).cluster_wide()
        .doc("Memory for reading and writing in Kafka's compaction."),
    key("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any).cluster_wide().acts()
        .doc("Most bytes in a second that compaction reads and writes."),
    key("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1)).cluster_wide().acts()
        .doc("The longest that a record may wait for compaction."),
    key("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Real(0.0, 1.0)).cluster_wide().acts()
        .doc("Share of not yet compacted data from which on a log is compacted."),
    key("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0)).cluster_wide().acts()
        .doc("How long a record is safe from compaction."),
    key("log.cleaner.threads", Int, Some("1"), AtLeast(0)).cluster_wide()
        .doc("Threads that compact in Kafka. In Quipu one does."),
    key("log.cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"])).cluster_wide().acts()
        .doc("What happens to old data of topics that say nothing themselves: delete, compact, both, or nothing when empty."),
    key("log.dir", List, Some("./quipu-data"), Any).acts()
        .doc("Data directory, if log.dirs does not name one."),
    key("log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1))
        .doc("How long Kafka waits for the controller to learn of a failed directory."),
    key("log.dirs", List, None, Any).acts()
        .doc("Data directory. Quipu keeps everything in one; of several it takes the first."),
    key("log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1)).cluster_wide().acts()
        .doc("Records after which a log is synced to the disk at the latest; the largest value leaves it to quipu.durability. The value 1 is the same as sync: an acks=all answer waits for the disk."),
    key("log.flush.interval.ms", Long, None, Any).cluster_wide().acts()
        .doc("The longest that a record waits for a sync, where durability is interval, or os, which it turns into interval. With sync every acknowledged record is on the disk already."),
    key("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0)).acts()
        .doc("How often the broker notes up to where its logs are known to be on the disk. Damage below that is told from a write that a crash interrupted."),
    key("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any).acts()
        .doc("The same as log.flush.interval.ms, if that is not set."),
    key("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0))
        .doc("How often Kafka writes down where its logs begin."),
    key("log.index.interval.bytes", Int, Some("4096"), AtLeast(0)).cluster_wide().acts()
        .doc("Bytes of log between two entries of the offset index."),
    key("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4)).cluster_wide()
        .doc("Largest size of a segment's index file in Kafka. Quipu's index grows with its segment."),
    key("log.initial.task.delay.ms", Long, Some("30000"), AtLeast(0)).internal()
        .doc("How long after the start Kafka begins with the upkeep of its logs."),
    key("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0)).cluster_wide().acts()
        .doc("How far a record's timestamp may lie ahead of the broker's clock."),
    key("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0)).cluster_wide().acts()
        .doc("How far a record's timestamp may lie behind the broker's clock."),
    key("log.message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"])).cluster_wide().acts()
        .doc("Whether records carry the time at which the producer made them or at which the broker appended them."),
    key("log.preallocate", Boolean, Some("false"), Any).cluster_wide()
        .doc("Whether to reserve the space of a new segment. Quipu always reserves ahead, in growing pieces."),
    key("log.retention.bytes", Long, Some("-1"), Any).cluster_wide().acts()
        .doc("Size of a partition above which its oldest segments are dropped; -1 is no limit."),
    key("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1)).acts()
        .doc("How often segments past the retention limits are looked for."),
    key("log.retention.hours", Int, Some("168"), Any).acts()
        .doc("Age in hours above which segments are dropped, if neither log.retention.minutes nor log.retention.ms is set; -1 is no limit."),
    key("log.retention.minutes", Int, None, Any).acts()
        .doc("Age in minutes above which segments are dropped, if log.retention.ms is not set; -1 is no limit."),
    key("log.retention.ms", Long, None, Any).cluster_wide().acts()
        .doc("Age above which segments are dropped; -1 is no limit."),
    key("log.roll.hours", Int, Some("168"), AtLeast(1)).acts()
        .doc("Age in hours at which a log goes on in a new segment file, if log.roll.ms is not set."),
    key("log.roll.jitter.hours", Int, Some("0"), AtLeast(0))
        .doc("Random time in hours taken off log.roll.hours, if log.roll.jitter.ms is not set. Quipu's segments begin with a write, and cost little: nothing is gained by spreading them."),
    key("log.roll.jitter.ms", Long, None, Any).cluster_wide()
        .doc("Random time taken off log.roll.ms. Quipu's segments begin with a write, and cost little: nothing is gained by spreading them."),
    key("log.roll.ms", Long, None, Any).cluster_wide().acts()
        .doc("Age at which a log goes on in a new segment file even if the old one is not full."),
    key("log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576)).cluster_wide().acts()
        .doc("Size at which a log goes on in a new segment file."),
    key("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0)).cluster_wide()
        .doc("How long the files of a dropped segment stay on the disk. Quipu removes them at once: who still reads them can go on."),
    key("max.decompressed.message.bytes", Int, Some("2147483639"), Between(1, 2_147_483_639)).not_yet("what a batch may expand to has a limit of Quipu's own, 100 times its size and 64 KiB, at most 64 MiB")
        .doc("Largest record after decompression that is accepted."),
    key("message.max.bytes", Int, Some("1048588"), AtLeast(0)).cluster_wide().acts()
        .doc("Largest batch, as it is on the wire, that a producer may send."),
    key("num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1)).cluster_wide()
        .doc("Threads that check logs at the start in Kafka. Quipu checks up to 32 logs side by side, because most of that time is spent waiting for the disk."),
];
