//! Keys of a group (Kafka's `GroupConfig`): what one group may set for itself.

use crate::config::keys::{ConfigKey, SHARE, STREAMS, key};
use crate::config::value::Allowed::{Any, AtLeast, OffsetReset, OneOf};
use crate::config::value::ValueType::{Boolean, Int, List, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub const KEYS: &[ConfigKey] = &[
    key("consumer.assignment.interval.ms", Int, Some("0"), AtLeast(0)).acts().from("group.consumer.assignment.interval.ms")
        .doc("Least time between two assignments of a consumer group."),
    key("consumer.assignor.offload.enable", Boolean, Some("true"), Any).internal().from("group.consumer.assignor.offload.enable")
        .doc("Whether Kafka computes the assignment of a consumer group off its request threads."),
    key("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).acts().from("group.consumer.heartbeat.interval.ms")
        .doc("How often members of this consumer group report."),
    key("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1)).acts().from("group.consumer.session.timeout.ms")
        .doc("After how long without a report a member of this consumer group is removed."),
    key("errors.deadletterqueue.copy.record.enable", Boolean, Some("false"), Any).not_yet(SHARE)
        .doc("Whether the dead-letter queue gets the record itself and not only where it was."),
    key("errors.deadletterqueue.topic.name", String, Some(""), Any).not_yet(SHARE)
        .doc("Topic to which this share group writes records that it gives up on; empty for none."),
    key("share.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).not_yet(SHARE).from("group.share.assignment.interval.ms")
        .doc("Least time between two assignments of a share group."),
    key("share.assignor.offload.enable", Boolean, Some("true"), Any).internal().from("group.share.assignor.offload.enable")
        .doc("Whether Kafka computes the assignment of a share group off its request threads."),
    key("share.auto.offset.reset", String, Some("latest"), OffsetReset).not_yet(SHARE)
        .doc("Where a share group begins on a partition that is new to it: earliest, latest, or by_duration: and a time back from now."),
    key("share.delivery.count.limit", Int, Some("5"), AtLeast(2)).not_yet(SHARE).from("group.share.delivery.count.limit")
        .doc("How many times a record is handed out before the share group gives it up."),
    key("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(SHARE).from("group.share.heartbeat.interval.ms")
        .doc("How often members of this share group report."),
    key("share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"])).not_yet(SHARE)
        .doc("Whether a share group sees records of transactions that are open or aborted."),
    key("share.partition.max.record.locks", Int, Some("2000"), AtLeast(100)).not_yet(SHARE).from("group.share.partition.max.record.locks")
        .doc("Records of one partition that a share group may have handed out at a time."),
    key("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000)).not_yet(SHARE).from("group.share.record.lock.duration.ms")
        .doc("How long a member may work on a record before it is handed to another."),
    key("share.renew.acknowledge.enable", Boolean, Some("true"), Any).not_yet(SHARE)
        .doc("Whether members may ask for more time for a record that they work on."),
    key("share.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(SHARE).from("group.share.session.timeout.ms")
        .doc("After how long without a report a member of this share group is removed."),
    key("streams.acceptable.recovery.lag", Long, Some("10000"), AtLeast(0)).internal().not_yet(STREAMS).from("group.streams.acceptable.recovery.lag")
        .doc("Records that a standby may lack and still take over a task."),
    key("streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).not_yet(STREAMS).from("group.streams.assignment.interval.ms")
        .doc("Least time between two assignments of a streams group."),
    key("streams.assignor.name", String, None, Any).not_yet(STREAMS)
        .doc("Assignor of this streams group; not set takes the broker's first."),
    key("streams.assignor.offload.enable", Boolean, Some("true"), Any).internal().from("group.streams.assignor.offload.enable")
        .doc("Whether Kafka computes the assignment of a streams group off its request threads."),
    key("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(STREAMS).from("group.streams.heartbeat.interval.ms")
        .doc("How often members of this streams group report."),
    key("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0)).not_yet(STREAMS).from("group.streams.initial.rebalance.delay.ms")
        .doc("How long the first assignment of a streams group waits for more members."),
    key("streams.num.standby.replicas", Int, Some("0"), AtLeast(0)).not_yet(STREAMS).from("group.streams.num.standby.replicas")
        .doc("Standby copies of each stateful task of this streams group."),
    key("streams.num.warmup.replicas", Int, Some("2"), AtLeast(0)).internal().not_yet(STREAMS).from("group.streams.num.warmup.replicas")
        .doc("Tasks that may warm up on another member at a time."),
    key("streams.rack.aware.assignment.tags", List, Some(""), Any).not_yet(STREAMS).from("group.streams.rack.aware.assignment.tags")
        .doc("Client tags over which standby copies are spread."),
    key("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(STREAMS).from("group.streams.session.timeout.ms")
        .doc("After how long without a report a member of this streams group is removed."),
    key("streams.task.offset.interval.ms", Int, Some("60000"), AtLeast(1)).internal().not_yet(STREAMS).from("group.streams.task.offset.interval.ms")
        .doc("How often members of this streams group report how far their tasks are."),
];
