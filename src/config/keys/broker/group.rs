//! Groups of every type, their offsets and their state topics.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::config::value::ValueType::{Boolean, Class, Int, List, Long, Short, String};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("errors.deadletterqueue.auto.create.topics.enable", Boolean, Some("false"), Any).doc(""),
    key("errors.deadletterqueue.topic.name.prefix", String, Some("dlq."), Any).doc(""),
    key("group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).cluster_wide().doc(""),
    key("group.consumer.assignor.offload.enable", Boolean, Some("true"), Any).internal().doc(""),
    key("group.consumer.assignors", List, Some("uniform,range"), Any).doc(""),
    key("group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).doc(""),
    key("group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).doc(""),
    key("group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).doc(""),
    key("group.consumer.max.size", Int, Some("2147483647"), AtLeast(1)).doc(""),
    key(
        "group.consumer.migration.policy",
        String,
        Some("bidirectional"),
        OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]),
    )
    .doc(""),
    key("group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).doc(""),
    key("group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.consumer.regex.refresh.interval.ms", Int, Some("600000"), AtLeast(10_000)).internal().doc(""),
    key("group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1)).doc(""),
    key("group.coordinator.background.threads", Int, Some("2"), AtLeast(1)).doc(""),
    key("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288))
        .cluster_wide()
        .doc(""),
    key(
        "group.coordinator.rebalance.protocols",
        List,
        Some("classic,consumer,streams"),
        OneOf(&["consumer", "classic", "share", "streams"]),
    )
    .doc(""),
    key("group.coordinator.threads", Int, Some("4"), AtLeast(1)).doc(""),
    key("group.initial.rebalance.delay.ms", Int, Some("0"), Any).doc(""),
    key("group.max.session.timeout.ms", Int, Some("1800000"), Any).doc(""),
    key("group.max.size", Int, Some("2147483647"), AtLeast(1)).doc(""),
    key("group.min.session.timeout.ms", Int, Some("6000"), Any).doc(""),
    key("group.share.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).cluster_wide().doc(""),
    key("group.share.assignor.offload.enable", Boolean, Some("true"), Any).internal().doc(""),
    key("group.share.assignors", List, Some("simple"), Any).doc(""),
    key("group.share.delivery.count.limit", Int, Some("5"), Between(2, 10)).doc(""),
    key(
        "group.share.dlq.manager.class.name",
        String,
        Some("org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager"),
        Any,
    )
    .internal()
    .doc(""),
    key("group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.share.initialize.retry.interval.ms", Int, Some("30000"), AtLeast(1)).internal().doc(""),
    key("group.share.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).doc(""),
    key("group.share.max.delivery.count.limit", Int, Some("10"), Between(5, 25)).doc(""),
    key("group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).doc(""),
    key("group.share.max.partition.max.record.locks", Int, Some("4000"), Between(2000, 10_000)).doc(""),
    key("group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30_000, 3_600_000)).doc(""),
    key("group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).doc(""),
    key("group.share.max.share.sessions", Int, Some("2000"), AtLeast(1)).doc(""),
    key("group.share.max.size", Int, Some("200"), Between(1, 1000)).doc(""),
    key("group.share.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).doc(""),
    key("group.share.min.delivery.count.limit", Int, Some("2"), Between(2, 5)).doc(""),
    key("group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.share.min.partition.max.record.locks", Int, Some("100"), Between(100, 2000)).doc(""),
    key("group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30_000)).doc(""),
    key("group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10_000)).doc(""),
    key(
        "group.share.persister.class.name",
        String,
        Some("org.apache.kafka.server.share.persister.DefaultStatePersister"),
        Any,
    )
    .internal()
    .doc(""),
    key("group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3_600_000)).doc(""),
    key("group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.streams.acceptable.recovery.lag", Long, Some("10000"), AtLeast(0)).internal().doc(""),
    key("group.streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).cluster_wide().doc(""),
    key("group.streams.assignor.offload.enable", Boolean, Some("true"), Any).internal().doc(""),
    key("group.streams.assignors", List, Some("sticky"), Any).doc(""),
    key("group.streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0)).doc(""),
    key("group.streams.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).doc(""),
    key("group.streams.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).doc(""),
    key("group.streams.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).doc(""),
    key("group.streams.max.size", Int, Some("2147483647"), AtLeast(1)).doc(""),
    key("group.streams.max.standby.replicas", Int, Some("2"), AtLeast(0)).doc(""),
    key("group.streams.max.warmup.replicas", Int, Some("20"), AtLeast(0)).internal().doc(""),
    key("group.streams.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).doc(""),
    key("group.streams.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("group.streams.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.streams.min.task.offset.interval.ms", Int, Some("15000"), AtLeast(1)).internal().doc(""),
    key("group.streams.num.standby.replicas", Int, Some("0"), AtLeast(0)).doc(""),
    key("group.streams.num.warmup.replicas", Int, Some("2"), AtLeast(0)).internal().doc(""),
    key("group.streams.rack.aware.assignment.tags", List, Some(""), Any).doc(""),
    key("group.streams.session.timeout.ms", Int, Some("45000"), AtLeast(1)).doc(""),
    key("group.streams.task.offset.interval.ms", Int, Some("60000"), AtLeast(1)).internal().doc(""),
    key("group.streams.topology.description.plugin.class", Class, None, Any).doc(""),
    key("offset.metadata.max.bytes", Int, Some("4096"), Any).doc(""),
    key("offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1)).doc(""),
    key("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1)).doc(""),
    key("offsets.retention.minutes", Int, Some("10080"), AtLeast(1)).doc(""),
    key("offsets.topic.compression.codec", Int, Some("0"), Any).doc(""),
    key("offsets.topic.num.partitions", Int, Some("1"), AtLeast(1)).doc(""),
    key("offsets.topic.replication.factor", Short, Some("1"), AtLeast(1)).doc(""),
    key("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1)).doc(""),
    key("share.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1)).doc(""),
    key("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288))
        .cluster_wide()
        .doc(""),
    key("share.coordinator.cold.partition.snapshot.interval.ms", Int, Some("300000"), AtLeast(1))
        .internal()
        .doc(""),
    key("share.coordinator.load.buffer.size", Int, Some("5242880"), AtLeast(1)).doc(""),
    key("share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), Between(0, 500)).doc(""),
    key("share.coordinator.state.topic.compression.codec", Int, Some("0"), Any).doc(""),
    key("share.coordinator.state.topic.min.isr", Short, Some("1"), AtLeast(1)).doc(""),
    key("share.coordinator.state.topic.num.partitions", Int, Some("1"), AtLeast(1)).doc(""),
    key("share.coordinator.state.topic.prune.interval.ms", Int, Some("300000"), AtLeast(1))
        .internal()
        .doc(""),
    key("share.coordinator.state.topic.replication.factor", Short, Some("1"), AtLeast(1)).doc(""),
    key("share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), AtLeast(1)).doc(""),
    key("share.coordinator.threads", Int, Some("1"), AtLeast(1)).doc(""),
    key("share.coordinator.write.timeout.ms", Int, Some("5000"), AtLeast(1)).doc(""),
    key("share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any).doc(""),
];
