//! Identity, replication and Kafka's metadata quorum.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, OneOf};
use crate::config::value::ValueType::{Boolean, Int, List, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("alter.log.dirs.replication.quota.window.num", Int, Some("11"), AtLeast(1))
        .doc("Samples kept for the limit on moving replicas between directories."),
    key("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1))
        .doc("Length of a sample for the limit on moving replicas between directories."),
    key("auto.leader.rebalance.enable", Boolean, Some("true"), Any)
        .doc("Whether leadership goes back to the preferred replica by itself."),
    key("broker.heartbeat.interval.ms", Int, Some("2000"), Any)
        .doc("How often a broker reports to the controller."),
    key("broker.id", Int, Some("0"), Any).acts()
        .doc("Id of the broker; the old name of node.id."),
    key("broker.rack", String, None, Any).acts()
        .doc("Rack or zone of the broker, told to clients."),
    key("broker.session.timeout.ms", Int, Some("9000"), Any)
        .doc("After how long without a report the controller takes a broker for dead."),
    key("controller.listener.names", List, Some(""), Any).acts()
        .doc("Listeners of Kafka's controllers. Quipu has none and does not open listeners of these names."),
    key("controller.performance.always.log.threshold.ms", Long, Some("2000"), AtLeast(0)).internal()
        .doc("Time of a controller event from which on it is always logged."),
    key("controller.performance.sample.period.ms", Long, Some("60000"), AtLeast(100)).internal()
        .doc("How often Kafka's controller logs its event times."),
    key("controller.quorum.append.linger.ms", Int, Some("25"), AtLeast(0))
        .doc("How long the metadata leader collects records before it writes them."),
    key("controller.quorum.auto.join.enable", Boolean, Some("false"), Any)
        .doc("Whether a new controller joins the voters by itself."),
    key("controller.quorum.bootstrap.servers", List, Some(""), Any)
        .doc("Controllers through which the metadata quorum is found."),
    key("controller.quorum.election.backoff.max.ms", Int, Some("1000"), AtLeast(0))
        .doc("Longest wait before another election of the metadata leader."),
    key("controller.quorum.election.timeout.ms", Int, Some("1000"), AtLeast(0))
        .doc("How long an election of the metadata leader may take."),
    key("controller.quorum.fetch.max.bytes", Int, Some("1048576"), AtLeast(1))
        .doc("Most metadata bytes that one fetch between controllers answers."),
    key("controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576"), AtLeast(1))
        .doc("Most snapshot bytes that one fetch between controllers answers."),
    key("controller.quorum.fetch.timeout.ms", Int, Some("2000"), AtLeast(0))
        .doc("How long the metadata leader may be out of reach before an election."),
    key("controller.quorum.request.timeout.ms", Int, Some("2000"), AtLeast(0))
        .doc("How long a request between controllers may take."),
    key("controller.quorum.retry.backoff.ms", Int, Some("20"), AtLeast(0))
        .doc("Wait before a request between controllers is tried again."),
    key("controller.quorum.voters", List, Some(""), Any)
        .doc("Controllers that elect the metadata leader, as id@host:port items."),
    key("controller.quota.window.num", Int, Some("11"), AtLeast(1))
        .doc("Samples kept for the limit on changes to topics."),
    key("controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1))
        .doc("Length of a sample for the limit on changes to topics."),
    key("controller.socket.timeout.ms", Int, Some("30000"), Any)
        .doc("How long a request to the controller may take."),
    key("default.replication.factor", Int, Some("1"), Any).acts()
        .doc("Replicas of a topic that is created without saying how many."),
    key("initial.broker.registration.timeout.ms", Int, Some("60000"), Any)
        .doc("How long a starting broker may take to register with the controller."),
    key("inter.broker.listener.name", String, None, Any)
        .doc("Listener over which brokers talk to each other."),
    key("internal.metadata.delete.delay.millis", Long, Some("60000"), Any).internal()
        .doc("How long dropped files of the metadata log stay."),
    key("internal.metadata.log.segment.bytes", Int, None, Any).internal()
        .doc("Size of a segment of the metadata log without its lower limit."),
    key("internal.metadata.max.batch.size.in.bytes", Int, Some("8388608"), Any).internal()
        .doc("Largest batch of the metadata log."),
    key("leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1))
        .doc("How often Kafka looks whether leadership should go back to preferred replicas."),
    key("metadata.log.dir", String, None, Any)
        .doc("Directory of Kafka's metadata log, if not the first of log.dirs."),
    key("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1))
        .doc("Bytes of the metadata log after which a snapshot is taken."),
    key("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0))
        .doc("Time after which a snapshot of the metadata log is taken."),
    key("metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(8_388_608))
        .doc("Size of a segment of the metadata log."),
    key("metadata.log.segment.ms", Long, Some("604800000"), Any)
        .doc("Age at which the metadata log goes on in a new segment file."),
    key("metadata.max.idle.interval.ms", Int, Some("500"), AtLeast(0))
        .doc("How often the metadata leader writes a sign of life."),
    key("metadata.max.retention.bytes", Long, Some("104857600"), Any)
        .doc("Size of metadata log and snapshots above which old ones are dropped."),
    key("metadata.max.retention.ms", Long, Some("604800000"), Any)
        .doc("Age of metadata log and snapshots above which old ones are dropped."),
    key("min.insync.replicas", Int, Some("1"), AtLeast(1)).cluster_wide()
        .doc("Replicas that must have a record before an acks=all answer. There is one replica, which has every record, so that nobody is refused whatever the number."),
    key("node.id", Int, Some("0"), AtLeast(0)).acts()
        .doc("Id of the broker, told to clients."),
    key("num.replica.alter.log.dirs.threads", Int, None, Any)
        .doc("Threads that move replicas between directories."),
    key("num.replica.fetchers", Int, Some("1"), AtLeast(1)).cluster_wide()
        .doc("Threads that fetch from each other broker."),
    key("process.roles", List, Some("broker,controller"), OneOf(&["broker", "controller"])).acts()
        .doc("What the process is: broker, controller or both. Quipu is always both in one; a process without the role broker is refused."),
    key("replica.fetch.backoff.ms", Int, Some("1000"), AtLeast(0))
        .doc("Wait after a failed fetch from another broker."),
    key("replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0))
        .doc("Bytes of a partition that a follower asks for."),
    key("replica.fetch.min.bytes", Int, Some("1"), Any)
        .doc("Bytes for which a follower waits."),
    key("replica.fetch.response.max.bytes", Int, Some("10485760"), AtLeast(0))
        .doc("Bytes that a follower takes in one answer."),
    key("replica.fetch.wait.max.ms", Int, Some("500"), Any)
        .doc("How long a follower waits for new data."),
    key("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any)
        .doc("How often Kafka writes down the high watermarks."),
    key("replica.lag.time.max.ms", Long, Some("30000"), Any)
        .doc("How long a follower may stay behind before it counts as out of sync."),
    key("replica.selector.class", String, None, Any)
        .doc("Java class that chooses the replica from which a consumer reads."),
    key("replica.socket.receive.buffer.bytes", Int, Some("65536"), Any)
        .doc("Receive buffer of connections to other brokers."),
    key("replica.socket.timeout.ms", Int, Some("30000"), Any)
        .doc("How long a request to another broker may take."),
    key("replication.quota.window.num", Int, Some("11"), AtLeast(1))
        .doc("Samples kept for the limit on replication."),
    key("replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1))
        .doc("Length of a sample for the limit on replication."),
    key("server.max.startup.time.ms", Long, Some("9223372036854775807"), AtLeast(0)).internal()
        .doc("How long Kafka's start may take."),
    key("unclean.leader.election.enable", Boolean, Some("false"), Any).cluster_wide()
        .doc("Whether a replica that lacks records may become leader when no other is left."),
    key("unclean.leader.election.interval.ms", Long, Some("300000"), AtLeast(1)).internal()
        .doc("How often Kafka looks for partitions that need an unclean election."),
    key("unstable.api.versions.enable", Boolean, Some("false"), Any).internal().acts()
        .doc("Whether API versions are offered that Kafka calls unstable: InitProducerId 6, with which producers commit in two phases."),
    key("unstable.feature.versions.enable", Boolean, Some("false"), Any).internal()
        .doc("Whether feature levels are offered that Kafka calls unstable. Quipu offers none."),
];
