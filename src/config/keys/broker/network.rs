//! Connections, requests, threads, quotas, topics and metrics.

use crate::config::keys::{ConfigKey, QUOTAS, TELEMETRY, key};
use crate::config::value::Allowed::{Any, AtLeast};
use crate::config::value::ValueType::{Boolean, Class, Int, List, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("advertised.listeners", List, None, Any).acts()
        .doc("Addresses that clients are told, as NAME://host:port. Not set, a client is told the address that it connected to."),
    key("alter.config.policy.class.name", Class, None, Any)
        .doc("Java class that may refuse changes to configuration."),
    key("auto.create.topics.enable", Boolean, Some("true"), Any).acts()
        .doc("Whether a topic is created when a client that allows it asks for one that does not exist."),
    key("background.threads", Int, Some("10"), AtLeast(1)).cluster_wide()
        .doc("Threads of Kafka for work in the background."),
    key("client.quota.callback.class", Class, None, Any)
        .doc("Java class that decides on quotas."),
    key("config.providers", List, Some(""), Any).cluster_wide()
        .doc("Java classes that fill in placeholders in configuration. Quipu does not fill in any."),
    key("connections.max.idle.ms", Long, Some("600000"), Any).acts()
        .doc("How long a connection may be silent before it is closed; negative is for ever."),
    key("controlled.shutdown.enable", Boolean, Some("true"), Any)
        .doc("Whether a broker hands over its leaderships before it stops."),
    key("create.topic.policy.class.name", Class, None, Any)
        .doc("Java class that may refuse topics."),
    key("delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any)
        .doc("Requests after which Kafka clears finished deletions of records out of its waiting list."),
    key("delete.topic.enable", Boolean, Some("true"), Any).acts()
        .doc("Whether topics can be deleted."),
    key("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024)).acts()
        .doc("Most bytes that one fetch answers, whatever the client asks for; a first batch that is larger is still sent."),
    key("fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any)
        .doc("Requests after which Kafka clears finished fetches out of its waiting list."),
    key("kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1))
        .doc("How often Kafka's reporters read metrics."),
    key("kafka.metrics.reporters", List, Some(""), Any)
        .doc("Java classes that report metrics of Kafka's old kind."),
    key("listeners", List, Some("PLAINTEXT://127.0.0.1:9092"), Any).per_broker().acts()
        .doc("Addresses to listen on, as NAME://host:port; an empty host is every interface, port 0 a free one. Here only this machine by default, since there is no login."),
    key("max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0)).cluster_wide().not_yet("connections are accepted as they come, up to max.connections")
        .doc("Connections accepted in a second at most."),
    key("max.connections", Int, Some("2147483647"), AtLeast(0)).cluster_wide().acts()
        .doc("Connections at a time at most."),
    key("max.connections.per.ip", Int, Some("2147483647"), AtLeast(0)).cluster_wide().acts()
        .doc("Connections from one address at a time at most."),
    key("max.connections.per.ip.overrides", String, Some(""), Any).cluster_wide().acts()
        .doc("Limits for single addresses, as address:count items."),
    key("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0)).acts()
        .doc("Fetch sessions kept at a time (KIP-227)."),
    key("max.request.partition.size.limit", Int, Some("2000"), AtLeast(1)).acts()
        .doc("Partitions in one answer to DescribeTopicPartitions at most."),
    key("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), Any).cluster_wide()
        .doc("Java classes that report metrics."),
    key("metrics.num.samples", Int, Some("2"), AtLeast(1))
        .doc("Samples that Kafka keeps for a metric."),
    key("metrics.recording.level", String, Some("INFO"), Any)
        .doc("How detailed Kafka's metrics are."),
    key("metrics.sample.window.ms", Long, Some("30000"), AtLeast(1))
        .doc("Length of a sample of Kafka's metrics."),
    key("num.io.threads", Int, Some("8"), AtLeast(1)).cluster_wide()
        .doc("Threads of Kafka that work on requests. Here network threads do."),
    key("num.network.threads", Int, None, AtLeast(1)).cluster_wide().acts()
        .doc("Threads that serve connections; as many as the machine has cores unless given. A change needs a restart."),
    key("num.partitions", Int, Some("1"), AtLeast(1)).acts()
        .doc("Partitions of a topic that is created without saying how many."),
    key("producer.purgatory.purge.interval.requests", Int, Some("1000"), Any)
        .doc("Requests after which Kafka clears finished produces out of its waiting list."),
    key("queued.max.request.bytes", Long, Some("-1"), Any).acts()
        .doc("Bytes of requests larger than 64 KiB in memory above which no more are read; negative is 512 MiB."),
    key("queued.max.requests", Int, Some("500"), AtLeast(1))
        .doc("Requests of Kafka between network and working threads."),
    key("quota.window.num", Int, Some("11"), AtLeast(1)).not_yet(QUOTAS)
        .doc("Samples kept for client quotas."),
    key("quota.window.size.seconds", Int, Some("1"), AtLeast(1)).not_yet(QUOTAS)
        .doc("Length of a sample for client quotas."),
    key("request.timeout.ms", Int, Some("30000"), Any)
        .doc("How long the broker's own requests to others may take."),
    key("socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any)
        .doc("Longest that the broker's own connections to others may take to be set up."),
    key("socket.connection.setup.timeout.ms", Long, Some("10000"), Any)
        .doc("How long the broker's own connections to others may take to be set up."),
    key("socket.listen.backlog.size", Int, Some("50"), AtLeast(1)).not_yet("the system's own number holds")
        .doc("Connections that may wait to be accepted."),
    key("socket.receive.buffer.bytes", Int, Some("102400"), Any).not_yet("the system's own size holds")
        .doc("Receive buffer of a connection; -1 leaves it to the system."),
    key("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1)).acts()
        .doc("Largest Produce request; a larger one closes the connection. Other requests have at most 4 MiB."),
    key("socket.send.buffer.bytes", Int, Some("102400"), Any).not_yet("the system's own size holds")
        .doc("Send buffer of a connection; -1 leaves it to the system."),
    key("telemetry.max.bytes", Int, Some("1048576"), AtLeast(1)).not_yet(TELEMETRY)
        .doc("Most bytes of metrics that a client may send at a time."),
    key("follower.replication.throttled.rate", Long, None, AtLeast(0)).cluster_wide().internal()
        .doc("Most bytes in a second that throttled replicas may fetch from their leaders."),
    key("leader.replication.throttled.rate", Long, None, AtLeast(0)).cluster_wide().internal()
        .doc("Most bytes in a second that leaders send to throttled replicas."),
    key("replica.alter.log.dirs.io.max.bytes.per.second", Long, None, AtLeast(0)).cluster_wide().internal()
        .doc("Most bytes in a second when replicas move between directories of one broker."),
];
