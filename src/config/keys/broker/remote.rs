//! Tiered storage (KIP-405).

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, NotEmpty, Real};
use crate::config::value::ValueType::{Boolean, Double, Int, Long, String};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Any).cluster_wide().doc(""),
    key("log.local.retention.bytes", Long, Some("-2"), AtLeast(-2)).cluster_wide().doc(""),
    key("log.local.retention.ms", Long, Some("-2"), AtLeast(-2)).cluster_wide().doc(""),
    key("log.remote.copy.lag.bytes", Long, Some("-1"), AtLeast(-1)).doc(""),
    key("log.remote.copy.lag.ms", Long, Some("0"), AtLeast(-1)).doc(""),
    key("remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.list.offsets.request.timeout.ms", Long, Some("30000"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1))
        .cluster_wide()
        .doc(""),
    key("remote.log.index.file.cache.ttl.ms", Long, Some("900000"), AtLeast(-1)).internal().doc(""),
    key("remote.log.manager.copier.thread.pool.size", Int, Some("10"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1))
        .cluster_wide()
        .doc(""),
    key("remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1)).doc(""),
    key("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1)).doc(""),
    key("remote.log.manager.expiration.thread.pool.size", Int, Some("10"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1))
        .cluster_wide()
        .doc(""),
    key("remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1)).doc(""),
    key("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1)).doc(""),
    key("remote.log.manager.follower.thread.pool.size", Int, Some("2"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1)).doc(""),
    key("remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000"), AtLeast(1)).internal().doc(""),
    key("remote.log.manager.task.retry.backoff.ms", Long, Some("500"), AtLeast(1)).internal().doc(""),
    key("remote.log.manager.task.retry.jitter", Double, Some("0.2"), Real(0.0, 0.5)).internal().doc(""),
    key("remote.log.manager.thread.pool.size", Int, Some("2"), AtLeast(1)).doc(""),
    key("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0)).doc(""),
    key(
        "remote.log.metadata.manager.class.name",
        String,
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
        NotEmpty,
    )
    .doc(""),
    key("remote.log.metadata.manager.class.path", String, None, Any).doc(""),
    key("remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), NotEmpty).doc(""),
    key("remote.log.metadata.manager.listener.name", String, None, Any).doc(""),
    key("remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1)).doc(""),
    key("remote.log.reader.threads", Int, Some("10"), AtLeast(1)).cluster_wide().doc(""),
    key("remote.log.storage.manager.class.name", String, None, Any).doc(""),
    key("remote.log.storage.manager.class.path", String, None, Any).doc(""),
    key("remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), NotEmpty).doc(""),
    key("remote.log.storage.system.enable", Boolean, Some("false"), Any).doc(""),
];
