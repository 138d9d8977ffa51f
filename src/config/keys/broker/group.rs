//! Groups of every type, their offsets and their state topics.

use crate::config::keys::{ConfigKey, SHARE, STREAMS, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::config::value::ValueType::{Boolean, Class, Int, List, Long, Short, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("errors.deadletterqueue.auto.create.topics.enable", Boolean, Some("false"), Any).not_yet(SHARE)
        .doc("Whether the dead-letter topic of a share group is created when it is missing."),
    key("errors.deadletterqueue.topic.name.prefix", String, Some("dlq."), Any).not_yet(SHARE)
        .doc("What the name of a dead-letter topic must begin with."),
    key("group.consumer.assignment.interval.ms", Int, Some("0"), AtLeast(0)).cluster_wide().acts()
        .doc("Least time between two assignments of a consumer group."),
    key("group.consumer.assignor.offload.enable", Boolean, Some("true"), Any).internal()
        .doc("Whether Kafka computes the assignment of consumer groups off its request threads."),
    key("group.consumer.assignors", List, Some("uniform,range"), Any).acts()
        .doc("Assignors of consumer groups, the default one first."),
    key("group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).acts()
        .doc("How often members of a consumer group report."),
    key("group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).acts()
        .doc("Most that a consumer group may set as its least time between assignments."),
    key("group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).acts()
        .doc("Most that a consumer group may set as its heartbeat interval."),
    key("group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).acts()
        .doc("Most that a consumer group may set as its session timeout."),
    key("group.consumer.max.size", Int, Some("2147483647"), AtLeast(1)).acts()
        .doc("Members of a consumer group at most."),
    key("group.consumer.migration.policy", String, Some("bidirectional"), OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])).acts()
        .doc("Which way a group may change between the classic and the consumer protocol while it has members."),
    key("group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).acts()
        .doc("Least that a consumer group may set as its least time between assignments."),
    key("group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).acts()
        .doc("Least that a consumer group may set as its heartbeat interval."),
    key("group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).acts()
        .doc("Least that a consumer group may set as its session timeout."),
    key("group.consumer.regex.refresh.interval.ms", Int, Some("600000"), AtLeast(10_000)).internal()
        .doc("How often subscriptions by regular expression are compared with the topics again. Quipu compares them whenever a topic comes or goes."),
    key("group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1)).acts()
        .doc("After how long without a report a member of a consumer group is removed."),
    key("group.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1))
        .doc("How long Kafka's coordinator collects records before it appends them."),
    key("group.coordinator.background.threads", Int, Some("2"), AtLeast(1))
        .doc("Threads of Kafka's coordinator for work off its request threads."),
    key("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288)).cluster_wide()
        .doc("Largest write buffer that Kafka's coordinator keeps for reuse."),
    key("group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams"), OneOf(&["consumer", "classic", "share", "streams"])).acts()
        .doc("Kinds of groups that are served. Classic groups always are; without consumer, members of consumer groups (KIP-848) are refused."),
    key("group.coordinator.threads", Int, Some("4"), AtLeast(1))
        .doc("Threads of Kafka's group coordinator."),
    key("group.initial.rebalance.delay.ms", Int, Some("0"), Any).acts()
        .doc("How long the first rebalance of an empty classic group waits for more members. Kafka waits 3000 ms; here it is 0, so that a lone consumer starts at once."),
    key("group.max.session.timeout.ms", Int, Some("1800000"), Any).acts()
        .doc("Longest session timeout that a member of a classic group may ask for."),
    key("group.max.size", Int, Some("2147483647"), AtLeast(1)).acts()
        .doc("Members of a classic group at most."),
    key("group.min.session.timeout.ms", Int, Some("6000"), Any).acts()
        .doc("Shortest session timeout that a member of a classic group may ask for."),
    key("group.share.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).cluster_wide().not_yet(SHARE)
        .doc("Least time between two assignments of a share group."),
    key("group.share.assignor.offload.enable", Boolean, Some("true"), Any).internal()
        .doc("Whether Kafka computes the assignment of share groups off its request threads."),
    key("group.share.assignors", List, Some("simple"), Any).not_yet(SHARE)
        .doc("Assignors of share groups."),
    key("group.share.delivery.count.limit", Int, Some("5"), Between(2, 10)).not_yet(SHARE)
        .doc("How many times a record is handed out before a share group gives it up."),
    key("group.share.dlq.manager.class.name", String, Some("org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager"), Any).internal()
        .doc("Java class that writes dead-letter records."),
    key("group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(SHARE)
        .doc("How often members of a share group report."),
    key("group.share.initialize.retry.interval.ms", Int, Some("30000"), AtLeast(1)).internal().not_yet(SHARE)
        .doc("How often setting up a share group's state on a partition is tried again."),
    key("group.share.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).not_yet(SHARE)
        .doc("Most that a share group may set as its least time between assignments."),
    key("group.share.max.delivery.count.limit", Int, Some("10"), Between(5, 25)).not_yet(SHARE)
        .doc("Most that a share group may set as its delivery count limit."),
    key("group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).not_yet(SHARE)
        .doc("Most that a share group may set as its heartbeat interval."),
    key("group.share.max.partition.max.record.locks", Int, Some("4000"), Between(2000, 10_000)).not_yet(SHARE)
        .doc("Most that a share group may set as its number of records handed out."),
    key("group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30_000, 3_600_000)).not_yet(SHARE)
        .doc("Most that a share group may set as its record lock duration."),
    key("group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).not_yet(SHARE)
        .doc("Most that a share group may set as its session timeout."),
    key("group.share.max.share.sessions", Int, Some("2000"), AtLeast(1)).not_yet(SHARE)
        .doc("Share sessions at a time."),
    key("group.share.max.size", Int, Some("200"), Between(1, 1000)).not_yet(SHARE)
        .doc("Members of a share group at most."),
    key("group.share.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).not_yet(SHARE)
        .doc("Least that a share group may set as its least time between assignments."),
    key("group.share.min.delivery.count.limit", Int, Some("2"), Between(2, 5)).not_yet(SHARE)
        .doc("Least that a share group may set as its delivery count limit."),
    key("group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(SHARE)
        .doc("Least that a share group may set as its heartbeat interval."),
    key("group.share.min.partition.max.record.locks", Int, Some("100"), Between(100, 2000)).not_yet(SHARE)
        .doc("Least that a share group may set as its number of records handed out."),
    key("group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30_000)).not_yet(SHARE)
        .doc("Least that a share group may set as its record lock duration."),
    key("group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(SHARE)
        .doc("Least that a share group may set as its session timeout."),
    key("group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10_000)).not_yet(SHARE)
        .doc("Records of one partition that a share group may have handed out at a time."),
    key("group.share.persister.class.name", String, Some("org.apache.kafka.server.share.persister.DefaultStatePersister"), Any).internal()
        .doc("Java class that keeps the state of share groups."),
    key("group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3_600_000)).not_yet(SHARE)
        .doc("How long a member of a share group may work on a record before it is handed to another."),
    key("group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(SHARE)
        .doc("After how long without a report a member of a share group is removed."),
    key("group.streams.acceptable.recovery.lag", Long, Some("10000"), AtLeast(0)).internal().not_yet(STREAMS)
        .doc("Records that a standby may lack and still take over a task."),
    key("group.streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).cluster_wide().not_yet(STREAMS)
        .doc("Least time between two assignments of a streams group."),
    key("group.streams.assignor.offload.enable", Boolean, Some("true"), Any).internal()
        .doc("Whether Kafka computes the assignment of streams groups off its request threads."),
    key("group.streams.assignors", List, Some("sticky"), Any).not_yet(STREAMS)
        .doc("Assignors of streams groups, the default one first."),
    key("group.streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(STREAMS)
        .doc("How often members of a streams group report."),
    key("group.streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0)).not_yet(STREAMS)
        .doc("How long the first assignment of a streams group waits for more members."),
    key("group.streams.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0)).not_yet(STREAMS)
        .doc("Most that a streams group may set as its least time between assignments."),
    key("group.streams.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1)).not_yet(STREAMS)
        .doc("Most that a streams group may set as its heartbeat interval."),
    key("group.streams.max.session.timeout.ms", Int, Some("60000"), AtLeast(1)).not_yet(STREAMS)
        .doc("Most that a streams group may set as its session timeout."),
    key("group.streams.max.size", Int, Some("2147483647"), AtLeast(1)).not_yet(STREAMS)
        .doc("Members of a streams group at most."),
    key("group.streams.max.standby.replicas", Int, Some("2"), AtLeast(0)).not_yet(STREAMS)
        .doc("Most standby copies that a streams group may set."),
    key("group.streams.max.warmup.replicas", Int, Some("20"), AtLeast(0)).internal().not_yet(STREAMS)
        .doc("Most warm-up tasks that a streams group may set."),
    key("group.streams.min.assignment.interval.ms", Int, Some("0"), AtLeast(0)).not_yet(STREAMS)
        .doc("Least that a streams group may set as its least time between assignments."),
    key("group.streams.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).not_yet(STREAMS)
        .doc("Least that a streams group may set as its heartbeat interval."),
    key("group.streams.min.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(STREAMS)
        .doc("Least that a streams group may set as its session timeout."),
    key("group.streams.min.task.offset.interval.ms", Int, Some("15000"), AtLeast(1)).internal().not_yet(STREAMS)
        .doc("Least that a streams group may set as its interval of task reports."),
    key("group.streams.num.standby.replicas", Int, Some("0"), AtLeast(0)).not_yet(STREAMS)
        .doc("Standby copies of each stateful task."),
    key("group.streams.num.warmup.replicas", Int, Some("2"), AtLeast(0)).internal().not_yet(STREAMS)
        .doc("Tasks that may warm up on another member at a time."),
    key("group.streams.rack.aware.assignment.tags", List, Some(""), Any).not_yet(STREAMS)
        .doc("Client tags over which standby copies are spread."),
    key("group.streams.session.timeout.ms", Int, Some("45000"), AtLeast(1)).not_yet(STREAMS)
        .doc("After how long without a report a member of a streams group is removed."),
    key("group.streams.task.offset.interval.ms", Int, Some("60000"), AtLeast(1)).internal().not_yet(STREAMS)
        .doc("How often members of a streams group report how far their tasks are."),
    key("group.streams.topology.description.plugin.class", Class, None, Any)
        .doc("Java class that receives descriptions of topologies."),
    key("offset.metadata.max.bytes", Int, Some("4096"), Any).acts()
        .doc("Most bytes of metadata that may come with a committed offset."),
    key("offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1)).not_yet("a commit waits for the disk as long as that takes")
        .doc("How long a commit may wait until it is durable."),
    key("offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1))
        .doc("Bytes that Kafka reads at a time when it loads committed offsets."),
    key("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1)).acts()
        .doc("How often committed offsets that ran out are looked for."),
    key("offsets.retention.minutes", Int, Some("10080"), AtLeast(1)).acts()
        .doc("How long committed offsets are kept after their group lost its last member."),
    key("offsets.topic.compression.codec", Int, Some("0"), Any)
        .doc("Codec of the offsets topic, as a number."),
    key("offsets.topic.num.partitions", Int, Some("1"), AtLeast(1)).acts()
        .doc("Partitions of the offsets topic, fixed when it is created. One broker needs no more than 1; Kafka makes 50."),
    key("offsets.topic.replication.factor", Short, Some("1"), AtLeast(1))
        .doc("Replicas of the offsets topic; always 1 here."),
    key("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1)).acts()
        .doc("Size at which the offsets topic goes on in a new segment file."),
    key("share.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1))
        .doc("How long Kafka's share coordinator collects records before it appends them."),
    key("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288)).cluster_wide()
        .doc("Largest write buffer that Kafka's share coordinator keeps for reuse."),
    key("share.coordinator.cold.partition.snapshot.interval.ms", Int, Some("300000"), AtLeast(1)).internal().not_yet(SHARE)
        .doc("How often the state of partitions without traffic is written anew."),
    key("share.coordinator.load.buffer.size", Int, Some("5242880"), AtLeast(1))
        .doc("Bytes that Kafka reads at a time when it loads the state of share groups."),
    key("share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), Between(0, 500)).not_yet(SHARE)
        .doc("Changes of a share group's state that are written before a full copy."),
    key("share.coordinator.state.topic.compression.codec", Int, Some("0"), Any)
        .doc("Codec of the share state topic, as a number."),
    key("share.coordinator.state.topic.min.isr", Short, Some("1"), AtLeast(1))
        .doc("Replicas of the share state topic that must be in sync; always 1 here."),
    key("share.coordinator.state.topic.num.partitions", Int, Some("1"), AtLeast(1)).not_yet(SHARE)
        .doc("Partitions of the share state topic, fixed when it is created. Kafka makes 50."),
    key("share.coordinator.state.topic.prune.interval.ms", Int, Some("300000"), AtLeast(1)).internal().not_yet(SHARE)
        .doc("How often the share state topic is cut back to what is still needed."),
    key("share.coordinator.state.topic.replication.factor", Short, Some("1"), AtLeast(1))
        .doc("Replicas of the share state topic; always 1 here."),
    key("share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), AtLeast(1)).not_yet(SHARE)
        .doc("Size at which the share state topic goes on in a new segment file."),
    key("share.coordinator.threads", Int, Some("1"), AtLeast(1))
        .doc("Threads of Kafka's share coordinator."),
    key("share.coordinator.write.timeout.ms", Int, Some("5000"), AtLeast(1)).not_yet(SHARE)
        .doc("How long a change of a share group's state may wait until it is durable."),
    key("share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any)
        .doc("Requests after which Kafka clears finished share fetches out of its waiting list."),
];
