//! What the broker reads: the values in force, typed.

use super::error::{ConfigError, Warning};
use super::layers::{Given, Layers};
use super::listener::Listener;
use super::origin::Origin;
use super::topic_config::{TopicConfig, TopicOverrides};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Kafka's own authorizer, which keeps access control lists in the cluster's metadata.
const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// What CreateTopics does when asked for more replicas than the one broker there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationFactorPolicy {
    /// Refuse, as Kafka does.
    Reject,
    /// Create the topic with one replica.
    Clamp,
}

/// The values in force for the whole broker. Times in milliseconds, sizes in bytes, as the name of a field ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `node.id` or `broker.id`.
    pub node_id: i32,
    /// `cluster.id`; `None` is drawn at the first start.
    pub cluster_id: Option<String>,
    /// `broker.rack`
    pub rack: Option<String>,
    /// `log.dirs` or `log.dir`: the one data directory.
    pub data_dir: PathBuf,
    /// `listeners`, without those of the controller.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`, without those of the controller; empty means the address that the client used.
    pub advertised_listeners: Vec<Listener>,
    /// Threads, connections and requests.
    pub network: NetworkSettings,
    /// Making and deleting topics.
    pub topics: TopicSettings,
    /// What a topic that says nothing itself gets.
    pub topic_defaults: TopicConfig,
    /// Retention and compaction at large.
    pub log: LogSettings,
    /// Classic, consumer, share and streams groups.
    pub groups: GroupSettings,
    /// Committed offsets.
    pub offsets: OffsetSettings,
    /// Transactions and idempotent producers.
    pub transactions: TransactionSettings,
    /// `authorizer.class.name` is Kafka's own: access control lists are kept, and hold.
    pub authorizer: Option<AuthorizerSettings>,
    /// `unstable.api.versions.enable`
    pub unstable_versions: bool,
    /// `quipu.request.metrics`
    pub request_metrics: bool,
}

/// Who may do what beside the access control lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizerSettings {
    /// `super.users`, each as `User:name`: may do everything.
    pub super_users: Vec<String>,
    /// `allow.everyone.if.no.acl.found`
    pub allow_everyone: bool,
}

/// Threads, connections and requests.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSettings {
    /// `num.network.threads`; as many as cores unless given.
    pub threads: usize,
    /// `socket.request.max.bytes`: the largest frame.
    pub request_max_bytes: usize,
    /// `max.connections`
    pub max_connections: usize,
    /// `max.connections.per.ip`
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`; host names in it were resolved when it was read.
    pub max_connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`: connections in a second.
    pub max_connection_creation_rate: usize,
    /// `connections.max.idle.ms`; negative is no limit.
    pub connections_max_idle_ms: i64,
    /// `socket.listen.backlog.size`
    pub listen_backlog: i32,
    /// `socket.send.buffer.bytes`; −1 leaves it to the system.
    pub send_buffer_bytes: i32,
    /// `socket.receive.buffer.bytes`; −1 leaves it to the system.
    pub receive_buffer_bytes: i32,
    /// `queued.max.request.bytes`: request bytes in memory; negative is no limit.
    pub queued_max_request_bytes: i64,
    /// `queued.max.requests`
    pub queued_max_requests: usize,
    /// `request.timeout.ms`
    pub request_timeout_ms: i32,
    /// `fetch.max.bytes`: the most that one fetch answers.
    pub fetch_max_bytes: i32,
    /// `max.incremental.fetch.session.cache.slots`
    pub fetch_session_slots: usize,
    /// `max.request.partition.size.limit`: partitions in one DescribeTopicPartitions answer.
    pub max_request_partitions: usize,
}

/// Making and deleting topics.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    /// `auto.create.topics.enable`
    pub auto_create: bool,
    /// `delete.topic.enable`
    pub delete: bool,
    /// `num.partitions`
    pub partitions: i32,
    /// `default.replication.factor`
    pub replication_factor: i32,
    /// `quipu.replication.factor`
    pub replication_factor_policy: ReplicationFactorPolicy,
}

/// Retention and compaction at large.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettings {
    /// `log.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
    /// `log.cleaner.enable`
    pub cleaner: bool,
    /// `log.cleaner.backoff.ms`
    pub cleaner_backoff_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of a compaction.
    pub cleaner_dedupe_bytes: i64,
    /// `log.cleaner.io.max.bytes.per.second`
    pub cleaner_io_bytes_per_second: f64,
    /// `quipu.scrub.bytes.per.second`; 0 is never.
    pub scrub_bytes_per_second: u64,
    /// `quipu.sync.method` is `syncfs`.
    pub sync_together: bool,
    /// `quipu.open.segments.max`; 0 goes by the limit of the process.
    pub open_segments_max: usize,
    /// `log.flush.offset.checkpoint.interval.ms`
    pub checkpoint_interval_ms: i32,
}

/// The times of one kind of group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupTimes {
    /// Session timeout that members get.
    pub session_timeout_ms: i32,
    /// The least that a group may set for itself.
    pub min_session_timeout_ms: i32,
    /// The most that a group may set for itself.
    pub max_session_timeout_ms: i32,
    /// Heartbeat interval that members get.
    pub heartbeat_interval_ms: i32,
    /// The least that a group may set for itself.
    pub min_heartbeat_interval_ms: i32,
    /// The most that a group may set for itself.
    pub max_heartbeat_interval_ms: i32,
    /// Least time between two assignments: 0 for consumer groups here, 1,000 in Kafka.
    pub assignment_interval_ms: i32,
    /// The least that a group may set for itself.
    pub min_assignment_interval_ms: i32,
    /// The most that a group may set for itself.
    pub max_assignment_interval_ms: i32,
    /// Members at most.
    pub max_size: usize,
}

/// Groups.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSettings {
    /// `group.coordinator.rebalance.protocols`
    pub protocols: Vec<String>,
    /// `group.min.session.timeout.ms` of classic groups.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms` of classic groups.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: 0 here, 3,000 in Kafka.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size` of classic groups.
    pub max_size: usize,
    /// `group.consumer.*` (KIP-848).
    pub consumer: GroupTimes,
    /// `group.consumer.assignors`
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`, in small letters.
    pub consumer_migration_policy: String,
    /// `group.share.*` (KIP-932).
    pub share: GroupTimes,
    /// `group.streams.*` (KIP-1071).
    pub streams: GroupTimes,
    /// `group.streams.num.standby.replicas`
    pub streams_standby_replicas: i32,
    /// `group.streams.initial.rebalance.delay.ms`
    pub streams_initial_rebalance_delay_ms: i32,
}

/// Committed offsets.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetSettings {
    /// `offset.metadata.max.bytes`
    pub metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
    /// `offsets.topic.num.partitions`: 1 here, 50 in Kafka.
    pub topic_partitions: i32,
    /// `offsets.topic.segment.bytes`
    pub topic_segment_bytes: i32,
    /// `offsets.commit.timeout.ms`
    pub commit_timeout_ms: i32,
}

/// Transactions and idempotent producers.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionSettings {
    /// `producer.id.expiration.ms`
    pub producer_id_expiration_ms: i32,
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval_ms: i32,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expire_interval_ms: i32,
    /// `transaction.state.log.num.partitions`: 1 here, 50 in Kafka.
    pub topic_partitions: i32,
    /// `transaction.state.log.segment.bytes`
    pub topic_segment_bytes: i32,
    /// `transaction.partition.verification.enable`
    pub partition_verification: bool,
    /// `transaction.two.phase.commit.enable`
    pub two_phase_commit: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&Layers::default(), &mut Vec::new(), &mut Vec::new())
    }
}

impl Settings {
    /// Reads the values in force. What cannot be used is told in `errors`; the settings are then not to be used.
    pub(super) fn read(layers: &Layers, errors: &mut Vec<ConfigError>, warnings: &mut Vec<Warning>) -> Self {
        let mut check = Check { layers, errors, warnings };
        let addresses = check.addresses();
        check.roles();
        let authorizer = check.authorizer();
        let settings = Self {
            node_id: check.node_id(),
            cluster_id: check.cluster_id(),
            rack: layers.text("broker.rack"),
            data_dir: check.data_dir(),
            listeners: addresses.0,
            advertised_listeners: addresses.1,
            network: check.network(),
            topics: TopicSettings {
                auto_create: layers.boolean("auto.create.topics.enable"),
                delete: layers.boolean("delete.topic.enable"),
                partitions: layers.int("num.partitions"),
                replication_factor: layers.int("default.replication.factor"),
                replication_factor_policy: match layers.text("quipu.replication.factor").as_deref() {
                    Some("clamp") => ReplicationFactorPolicy::Clamp,
                    _ => ReplicationFactorPolicy::Reject,
                },
            },
            topic_defaults: TopicConfig::new(&TopicOverrides::new(), layers),
            log: LogSettings {
                retention_check_interval_ms: layers.long("log.retention.check.interval.ms"),
                cleaner: layers.boolean("log.cleaner.enable"),
                cleaner_backoff_ms: layers.long("log.cleaner.backoff.ms"),
                cleaner_dedupe_bytes: layers.long("log.cleaner.dedupe.buffer.size"),
                cleaner_io_bytes_per_second: layers.real("log.cleaner.io.max.bytes.per.second"),
                scrub_bytes_per_second: layers.long("quipu.scrub.bytes.per.second").max(0) as u64,
                sync_together: layers.text("quipu.sync.method").as_deref() == Some("syncfs"),
                open_segments_max: layers.size("quipu.open.segments.max"),
                checkpoint_interval_ms: layers.int("log.flush.offset.checkpoint.interval.ms"),
            },
            groups: groups(layers),
            offsets: OffsetSettings {
                metadata_max_bytes: layers.size("offset.metadata.max.bytes"),
                retention_ms: layers.long("offsets.retention.minutes").saturating_mul(60_000),
                retention_check_interval_ms: layers.long("offsets.retention.check.interval.ms"),
                topic_partitions: layers.int("offsets.topic.num.partitions"),
                topic_segment_bytes: layers.int("offsets.topic.segment.bytes"),
                commit_timeout_ms: layers.int("offsets.commit.timeout.ms"),
            },
            transactions: TransactionSettings {
                producer_id_expiration_ms: layers.int("producer.id.expiration.ms"),
                max_timeout_ms: layers.int("transaction.max.timeout.ms"),
                id_expiration_ms: layers.int("transactional.id.expiration.ms"),
                abort_interval_ms: layers.int("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
                expire_interval_ms: layers.int("transaction.remove.expired.transaction.cleanup.interval.ms"),
                topic_partitions: layers.int("transaction.state.log.num.partitions"),
                topic_segment_bytes: layers.int("transaction.state.log.segment.bytes"),
                partition_verification: layers.boolean("transaction.partition.verification.enable"),
                two_phase_commit: layers.boolean("transaction.two.phase.commit.enable"),
            },
            authorizer,
            unstable_versions: layers.boolean("unstable.api.versions.enable"),
            request_metrics: layers.boolean("quipu.request.metrics"),
        };
        check.ordered("group.min.session.timeout.ms", "group.max.session.timeout.ms");
        for kind in ["consumer", "share", "streams"] {
            for time in ["session.timeout.ms", "heartbeat.interval.ms"] {
                let row = |name: String| super::keys::BROKER.get(&name).expect("a group key").name;
                let low = row(format!("group.{kind}.min.{time}"));
                let middle = row(format!("group.{kind}.{time}"));
                check.ordered(low, middle);
                check.ordered(middle, row(format!("group.{kind}.max.{time}")));
            }
        }
        settings
    }
}

fn groups(layers: &Layers) -> GroupSettings {
    macro_rules! times {
        ($kind:literal) => {
            GroupTimes {
                session_timeout_ms: layers.int(concat!("group.", $kind, ".session.timeout.ms")),
                min_session_timeout_ms: layers.int(concat!("group.", $kind, ".min.session.timeout.ms")),
                max_session_timeout_ms: layers.int(concat!("group.", $kind, ".max.session.timeout.ms")),
                heartbeat_interval_ms: layers.int(concat!("group.", $kind, ".heartbeat.interval.ms")),
                min_heartbeat_interval_ms: layers.int(concat!("group.", $kind, ".min.heartbeat.interval.ms")),
                max_heartbeat_interval_ms: layers.int(concat!("group.", $kind, ".max.heartbeat.interval.ms")),
                assignment_interval_ms: layers.int(concat!("group.", $kind, ".assignment.interval.ms")),
                min_assignment_interval_ms: layers.int(concat!(
                    "group.",
                    $kind,
                    ".min.assignment.interval.ms"
                )),
                max_assignment_interval_ms: layers.int(concat!(
                    "group.",
                    $kind,
                    ".max.assignment.interval.ms"
                )),
                max_size: layers.size(concat!("group.", $kind, ".max.size")),
            }
        };
    }
    GroupSettings {
        protocols: layers.list("group.coordinator.rebalance.protocols"),
        min_session_timeout_ms: layers.int("group.min.session.timeout.ms"),
        max_session_timeout_ms: layers.int("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms: layers.int("group.initial.rebalance.delay.ms"),
        max_size: layers.size("group.max.size"),
        consumer: times!("consumer"),
        consumer_assignors: layers.list("group.consumer.assignors"),
        consumer_migration_policy: layers
            .text("group.consumer.migration.policy")
            .unwrap_or_default()
            .to_ascii_lowercase(),
        share: times!("share"),
        streams: times!("streams"),
        streams_standby_replicas: layers.int("group.streams.num.standby.replicas"),
        streams_initial_rebalance_delay_ms: layers.int("group.streams.initial.rebalance.delay.ms"),
    }
}

/// Reads what has to be taken apart or compared, and collects what is wrong.
pub(super) struct Check<'a> {
    pub(super) layers: &'a Layers,
    pub(super) errors: &'a mut Vec<ConfigError>,
    warnings: &'a mut Vec<Warning>,
}

impl Check<'_> {
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.layers.given.get(key).map_or(Origin::Default, |given| given.origin.clone())
    }

    pub(super) fn unusable(&mut self, key: &'static str, problem: impl Into<String>) {
        let origin = self.origin(key);
        self.errors.push(ConfigError::Unusable { key, origin, problem: problem.into() });
    }

    fn note(&mut self, key: &'static str, note: impl Into<String>) {
        let origin = self.origin(key);
        self.warnings.push(Warning::Adjusted { key, origin, note: note.into() });
    }

    fn ordered(&mut self, low: &'static str, high: &'static str) {
        let (below, above) = (self.layers.long(low), self.layers.long(high));
        if below > above {
            // Blame the one that was given; a default cannot be corrected.
            let (key, problem) = if self.layers.is_set(high) {
                (high, format!("{above} must not be below {low}, which is {below}"))
            } else {
                (low, format!("{below} must not be above {high}, which is {above}"))
            };
            self.unusable(key, problem);
        }
    }

    fn node_id(&mut self) -> i32 {
        let node = self.layers.int("node.id");
        let broker = self.layers.int("broker.id");
        match (self.layers.is_set("node.id"), self.layers.is_set("broker.id")) {
            (true, true) if node != broker && broker >= 0 => {
                self.unusable(
                    "broker.id",
                    format!("{broker} and node.id, which is {node}, must be the same; keep one of them"),
                );
                node
            }
            (false, true) if broker >= 0 => broker,
            _ => node,
        }
    }

    fn cluster_id(&mut self) -> Option<String> {
        let id = self.layers.text("cluster.id").filter(|id| !id.is_empty())?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.len() > 64 || !id.chars().all(fits) {
            self.unusable(
                "cluster.id",
                "expected up to 64 letters, digits, - and _, for example 5L6g3nShT-eMCtK--X86sw",
            );
        }
        Some(id)
    }

    fn data_dir(&mut self) -> PathBuf {
        let key = if self.layers.list("log.dirs").is_empty() { "log.dir" } else { "log.dirs" };
        let dirs = match self.layers.given.get(key) {
            // A flag names one directory, commas and all.
            Some(Given { value, origin: Origin::Flag(_) }) => vec![value.clone()],
            _ => self.layers.list(key),
        };
        if dirs.len() > 1 {
            self.note(key, format!("all data goes to the first of {} directories, {}", dirs.len(), dirs[0]));
        }
        match dirs.into_iter().next() {
            Some(dir) => PathBuf::from(dir),
            None => {
                self.unusable(key, "expected a directory, for example ./quipu-data");
                PathBuf::new()
            }
        }
    }

    fn roles(&mut self) {
        if !self.layers.list("process.roles").iter().any(|role| role == "broker") {
            self.unusable("process.roles", "a process that is no broker has nothing to do here; add broker");
        }
    }

    /// Who brings an authorizer expects it to hold.
    fn authorizer(&mut self) -> Option<AuthorizerSettings> {
        match self.layers.text("authorizer.class.name").unwrap_or_default().as_str() {
            "" => return None,
            STANDARD_AUTHORIZER => {}
            _ => {
                self.unusable(
                    "authorizer.class.name",
                    format!("this class cannot be loaded here; use {STANDARD_AUTHORIZER}, or leave it empty if every client may do everything"),
                );
                return None;
            }
        }
        let users = self.layers.text("super.users").unwrap_or_default();
        let super_users: Vec<String> =
            users.split(';').map(str::trim).filter(|user| !user.is_empty()).map(str::to_owned).collect();
        if let Some(wrong) = super_users.iter().find(|user| !user.contains(':')) {
            let problem =
                format!("{wrong:?} is no principal; write User:{wrong}, and separate several by semicolons");
            self.unusable("super.users", problem);
        }
        let allow_everyone = self.layers.boolean("allow.everyone.if.no.acl.found");
        Some(AuthorizerSettings { super_users, allow_everyone })
    }

    fn network(&mut self) -> NetworkSettings {
        let layers = self.layers;
        let overrides = match per_ip(&layers.text("max.connections.per.ip.overrides").unwrap_or_default()) {
            Ok(overrides) => overrides,
            Err(problem) => {
                self.unusable("max.connections.per.ip.overrides", problem);
                BTreeMap::new()
            }
        };
        NetworkSettings {
            threads: match layers.number("num.network.threads") {
                Some(threads) => usize::try_from(threads).unwrap_or(1),
                None => std::thread::available_parallelism().map_or(1, usize::from),
            },
            request_max_bytes: layers.size("socket.request.max.bytes"),
            max_connections: layers.size("max.connections"),
            max_connections_per_ip: layers.size("max.connections.per.ip"),
            max_connections_per_ip_overrides: overrides,
            max_connection_creation_rate: layers.size("max.connection.creation.rate"),
            connections_max_idle_ms: layers.long("connections.max.idle.ms"),
            listen_backlog: layers.int("socket.listen.backlog.size"),
            send_buffer_bytes: layers.int("socket.send.buffer.bytes"),
            receive_buffer_bytes: layers.int("socket.receive.buffer.bytes"),
            queued_max_request_bytes: layers.long("queued.max.request.bytes"),
            queued_max_requests: layers.size("queued.max.requests"),
            request_timeout_ms: layers.int("request.timeout.ms"),
            fetch_max_bytes: layers.int("fetch.max.bytes"),
            fetch_session_slots: layers.size("max.incremental.fetch.session.cache.slots"),
            max_request_partitions: layers.size("max.request.partition.size.limit"),
        }
    }
}

/// Reads `max.connections.per.ip.overrides`: `host:count` items.
fn per_ip(text: &str) -> Result<BTreeMap<IpAddr, usize>, String> {
    let mut overrides = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let problem = || format!("{item:?} is not address:count, for example 127.0.0.1:200");
        let (host, count) = item.rsplit_once(':').ok_or_else(problem)?;
        let count = count.trim().parse().map_err(|_| problem())?;
        let host = host.trim().trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) => {
                overrides.insert(address, count);
            }
            Err(_) => {
                let found = std::net::ToSocketAddrs::to_socket_addrs(&(host, 0)).map_err(|_| {
                    format!("{host} in {item:?} is neither an address nor a host name that resolves")
                })?;
                overrides.extend(found.map(|address| (address.ip(), count)));
            }
        }
    }
    Ok(overrides)
}
