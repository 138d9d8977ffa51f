//! Connections, requests, threads, quotas, topics and metrics.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast};
use crate::config::value::ValueType::{Boolean, Class, Int, List, Long, String};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("advertised.listeners", List, None, Any).doc(""),
    key("alter.config.policy.class.name", Class, None, Any).doc(""),
    key("auto.create.topics.enable", Boolean, Some("true"), Any).doc(""),
    key("background.threads", Int, Some("10"), AtLeast(1)).cluster_wide().doc(""),
    key("client.quota.callback.class", Class, None, Any).doc(""),
    key("config.providers", List, Some(""), Any).cluster_wide().doc(""),
    key("connections.max.idle.ms", Long, Some("600000"), Any).doc(""),
    key("controlled.shutdown.enable", Boolean, Some("true"), Any).doc(""),
    key("create.topic.policy.class.name", Class, None, Any).doc(""),
    key("delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any).doc(""),
    key("delete.topic.enable", Boolean, Some("true"), Any).doc(""),
    key("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024)).doc(""),
    key("fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any).doc(""),
    key("kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1)).doc(""),
    key("kafka.metrics.reporters", List, Some(""), Any).doc(""),
    key("listeners", List, Some("PLAINTEXT://127.0.0.1:9092"), Any).per_broker().doc(""),
    key("max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0)).cluster_wide().doc(""),
    key("max.connections", Int, Some("2147483647"), AtLeast(0)).cluster_wide().doc(""),
    key("max.connections.per.ip", Int, Some("2147483647"), AtLeast(0)).cluster_wide().doc(""),
    key("max.connections.per.ip.overrides", String, Some(""), Any).cluster_wide().doc(""),
    key("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0)).doc(""),
    key("max.request.partition.size.limit", Int, Some("2000"), AtLeast(1)).doc(""),
    key("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), Any)
        .cluster_wide()
        .doc(""),
    key("metrics.num.samples", Int, Some("2"), AtLeast(1)).doc(""),
    key("metrics.recording.level", String, Some("INFO"), Any).doc(""),
    key("metrics.sample.window.ms", Long, Some("30000"), AtLeast(1)).doc(""),
    key("num.io.threads", Int, Some("8"), AtLeast(1)).cluster_wide().doc(""),
    key("num.network.threads", Int, None, AtLeast(1)).cluster_wide().doc(""),
    key("num.partitions", Int, Some("1"), AtLeast(1)).doc(""),
    key("producer.purgatory.purge.interval.requests", Int, Some("1000"), Any).doc(""),
    key("queued.max.request.bytes", Long, Some("-1"), Any).doc(""),
    key("queued.max.requests", Int, Some("500"), AtLeast(1)).doc(""),
    key("quota.window.num", Int, Some("11"), AtLeast(1)).doc(""),
    key("quota.window.size.seconds", Int, Some("1"), AtLeast(1)).doc(""),
    key("request.timeout.ms", Int, Some("30000"), Any).doc(""),
    key("socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any).doc(""),
    key("socket.connection.setup.timeout.ms", Long, Some("10000"), Any).doc(""),
    key("socket.listen.backlog.size", Int, Some("50"), AtLeast(1)).doc(""),
    key("socket.receive.buffer.bytes", Int, Some("102400"), Any).doc(""),
    key("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1)).doc(""),
    key("socket.send.buffer.bytes", Int, Some("102400"), Any).doc(""),
    key("telemetry.max.bytes", Int, Some("1048576"), AtLeast(1)).doc(""),
    key("follower.replication.throttled.rate", Long, None, AtLeast(0))
        .cluster_wide()
        .internal()
        .doc("Most bytes in a second that throttled replicas may fetch from their leaders."),
    key("leader.replication.throttled.rate", Long, None, AtLeast(0))
        .cluster_wide()
        .internal()
        .doc("Most bytes in a second that leaders send to throttled replicas."),
    key("replica.alter.log.dirs.io.max.bytes.per.second", Long, None, AtLeast(0))
        .cluster_wide()
        .internal()
        .doc("Most bytes in a second when replicas move between directories of one broker."),
];
