//! Tiered storage (KIP-405).

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, NotEmpty, Real};
use crate::config::value::ValueType::{Boolean, Double, Int, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Any).cluster_wide()
        .doc("Whether a new follower begins where tiered storage ends."),
    key("log.local.retention.bytes", Long, Some("-2"), AtLeast(-2)).cluster_wide()
        .doc("With tiered storage, bytes of a partition to keep on this machine; -2 takes log.retention.bytes."),
    key("log.local.retention.ms", Long, Some("-2"), AtLeast(-2)).cluster_wide()
        .doc("With tiered storage, how long to keep data on this machine; -2 takes log.retention.ms."),
    key("log.remote.copy.lag.bytes", Long, Some("-1"), AtLeast(-1))
        .doc("With tiered storage, bytes of newer data after which a segment is copied away."),
    key("log.remote.copy.lag.ms", Long, Some("0"), AtLeast(-1))
        .doc("With tiered storage, age after which a segment is copied away."),
    key("remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1)).cluster_wide()
        .doc("How long a fetch waits for tiered storage."),
    key("remote.list.offsets.request.timeout.ms", Long, Some("30000"), AtLeast(1)).cluster_wide()
        .doc("How long a look-up of offsets waits for tiered storage."),
    key("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1)).cluster_wide()
        .doc("Disk space for index files fetched from tiered storage."),
    key("remote.log.index.file.cache.ttl.ms", Long, Some("900000"), AtLeast(-1)).internal()
        .doc("How long an unused index file from tiered storage is kept."),
    key("remote.log.manager.copier.thread.pool.size", Int, Some("10"), AtLeast(1)).cluster_wide()
        .doc("Threads that copy segments to tiered storage."),
    key("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1)).cluster_wide()
        .doc("Most bytes in a second that go to tiered storage."),
    key("remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1))
        .doc("Samples kept for the limit on copying to tiered storage."),
    key("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1))
        .doc("Length of a sample for the limit on copying to tiered storage."),
    key("remote.log.manager.expiration.thread.pool.size", Int, Some("10"), AtLeast(1)).cluster_wide()
        .doc("Threads that drop old segments from tiered storage."),
    key("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1)).cluster_wide()
        .doc("Most bytes in a second that come from tiered storage."),
    key("remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1))
        .doc("Samples kept for the limit on fetching from tiered storage."),
    key("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1))
        .doc("Length of a sample for the limit on fetching from tiered storage."),
    key("remote.log.manager.follower.thread.pool.size", Int, Some("2"), AtLeast(1)).cluster_wide()
        .doc("Threads that follow tiered storage for partitions led elsewhere."),
    key("remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1))
        .doc("How often segments are considered for copying and dropping."),
    key("remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000"), AtLeast(1)).internal()
        .doc("Longest wait before a failed copy is tried again."),
    key("remote.log.manager.task.retry.backoff.ms", Long, Some("500"), AtLeast(1)).internal()
        .doc("First wait before a failed copy is tried again."),
    key("remote.log.manager.task.retry.jitter", Double, Some("0.2"), Real(0.0, 0.5)).internal()
        .doc("Random share of the wait before a failed copy is tried again."),
    key("remote.log.manager.thread.pool.size", Int, Some("2"), AtLeast(1))
        .doc("Threads that schedule work for tiered storage."),
    key("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0))
        .doc("Most bytes that a storage plugin may keep with a segment."),
    key("remote.log.metadata.manager.class.name", String, Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"), NotEmpty)
        .doc("Java class that keeps the metadata of tiered storage."),
    key("remote.log.metadata.manager.class.path", String, None, Any)
        .doc("Class path of the class that keeps the metadata of tiered storage."),
    key("remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), NotEmpty)
        .doc("Prefix of the keys handed to the class that keeps the metadata of tiered storage."),
    key("remote.log.metadata.manager.listener.name", String, None, Any)
        .doc("Listener over which the metadata of tiered storage is read and written."),
    key("remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1))
        .doc("Reads that may wait for tiered storage at a time."),
    key("remote.log.reader.threads", Int, Some("10"), AtLeast(1)).cluster_wide()
        .doc("Threads that read from tiered storage."),
    key("remote.log.storage.manager.class.name", String, None, Any)
        .doc("Java class that copies segments to tiered storage."),
    key("remote.log.storage.manager.class.path", String, None, Any)
        .doc("Class path of the class that copies segments to tiered storage."),
    key("remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), NotEmpty)
        .doc("Prefix of the keys handed to the class that copies segments to tiered storage."),
    key("remote.log.storage.system.enable", Boolean, Some("false"), Any)
        .doc("Whether tiered storage is there for topics that ask for it."),
];
