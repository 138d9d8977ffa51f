//! Keys of a group (Kafka's `GroupConfig`): what one group may set for itself.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, OffsetReset, OneOf};
use crate::config::value::ValueType::{Boolean, Int, List, Long, String};

/// The rows.
pub const KEYS: &[ConfigKey] = &[
    key("consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0))
        .from("group.consumer.assignment.interval.ms")
        .doc(""),
    key("consumer.assignor.offload.enable", Boolean, Some("true"), Any)
        .internal()
        .from("group.consumer.assignor.offload.enable")
        .doc(""),
    key("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1))
        .from("group.consumer.heartbeat.interval.ms")
        .doc(""),
    key("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1))
        .from("group.consumer.session.timeout.ms")
        .doc(""),
    key("errors.deadletterqueue.copy.record.enable", Boolean, Some("false"), Any).doc(""),
    key("errors.deadletterqueue.topic.name", String, Some(""), Any).doc(""),
    key("share.assignment.interval.ms", Int, Some("1000"), AtLeast(0))
        .from("group.share.assignment.interval.ms")
        .doc(""),
    key("share.assignor.offload.enable", Boolean, Some("true"), Any)
        .internal()
        .from("group.share.assignor.offload.enable")
        .doc(""),
    key("share.auto.offset.reset", String, Some("latest"), OffsetReset).doc(""),
    key("share.delivery.count.limit", Int, Some("5"), AtLeast(2))
        .from("group.share.delivery.count.limit")
        .doc(""),
    key("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1))
        .from("group.share.heartbeat.interval.ms")
        .doc(""),
    key(
        "share.isolation.level",
        String,
        Some("read_uncommitted"),
        OneOf(&["read_committed", "read_uncommitted"]),
    )
    .doc(""),
    key("share.partition.max.record.locks", Int, Some("2000"), AtLeast(100))
        .from("group.share.partition.max.record.locks")
        .doc(""),
    key("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000))
        .from("group.share.record.lock.duration.ms")
        .doc(""),
    key("share.renew.acknowledge.enable", Boolean, Some("true"), Any).doc(""),
    key("share.session.timeout.ms", Int, Some("45000"), AtLeast(1))
        .from("group.share.session.timeout.ms")
        .doc(""),
    key("streams.acceptable.recovery.lag", Long, Some("10000"), AtLeast(0))
        .internal()
        .from("group.streams.acceptable.recovery.lag")
        .doc(""),
    key("streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0))
        .from("group.streams.assignment.interval.ms")
        .doc(""),
    key("streams.assignor.name", String, None, Any).doc(""),
    key("streams.assignor.offload.enable", Boolean, Some("true"), Any)
        .internal()
        .from("group.streams.assignor.offload.enable")
        .doc(""),
    key("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1))
        .from("group.streams.heartbeat.interval.ms")
        .doc(""),
    key("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0))
        .from("group.streams.initial.rebalance.delay.ms")
        .doc(""),
    key("streams.num.standby.replicas", Int, Some("0"), AtLeast(0))
        .from("group.streams.num.standby.replicas")
        .doc(""),
    key("streams.num.warmup.replicas", Int, Some("2"), AtLeast(0))
        .internal()
        .from("group.streams.num.warmup.replicas")
        .doc(""),
    key("streams.rack.aware.assignment.tags", List, Some(""), Any)
        .from("group.streams.rack.aware.assignment.tags")
        .doc(""),
    key("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1))
        .from("group.streams.session.timeout.ms")
        .doc(""),
    key("streams.task.offset.interval.ms", Int, Some("60000"), AtLeast(1))
        .internal()
        .from("group.streams.task.offset.interval.ms")
        .doc(""),
];
