//! Finds the broker that a request must go to, and keeps one connection to each.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use quipu_protocol::ErrorCode;

use super::{ClientError, Connection, Options, TopicPartition};

/// How long to ask again while a leader or a coordinator is being found.
const SETTLE: Duration = Duration::from_secs(15);
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// A broker as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Host name or address that it advertises.
    pub host: String,
    /// Port that it advertises.
    pub port: i32,
    /// Rack, if it has one.
    pub rack: Option<String>,
}

/// A partition as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// Id of the leading broker, −1 when there is none.
    pub leader: i32,
    /// Leader epoch, −1 when not told.
    pub leader_epoch: i32,
    /// Brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
    /// Those of them that take no records, because their disk failed or is damaged.
    pub offline: Vec<i32>,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id in Kafka's base64 form, if it has one.
    pub id: Option<String>,
    /// Whether it is one of the broker's own.
    pub internal: bool,
    /// Its partitions in order.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// Id of the broker that leads a partition, −1 when there is none. The error is that there is no such partition.
    pub(crate) fn leader(&self, partition: i32) -> Result<i32, ClientError> {
        let found = self.partitions.iter().find(|p| p.partition == partition);
        found.map(|p| p.leader).ok_or_else(|| {
            ClientError::Other(format!(
                "topic \"{}\" has no partition {partition}: they go from 0 to {}",
                self.name,
                self.partitions.len().saturating_sub(1)
            ))
        })
    }
}

/// What has a coordinator, by Kafka's number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Coordinated {
    Group = 0,
    Transaction = 1,
}

/// A cluster that we are connected to.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    bootstrap: Vec<String>,
    first: Option<Connection>,
    connections: HashMap<i32, Connection>,
    nodes: BTreeMap<i32, Node>,
    controller: i32,
    cluster_id: Option<String>,
    leaders: HashMap<TopicPartition, i32>,
    coordinators: HashMap<(Coordinated, String), i32>,
}

impl Cluster {
    /// Connects to the first of `bootstrap` (`HOST:PORT` each) that answers.
    pub fn connect(bootstrap: &[String], options: Options) -> Result<Self, ClientError> {
        let mut cluster = Self {
            options,
            bootstrap: bootstrap.to_vec(),
            first: None,
            connections: HashMap::new(),
            nodes: BTreeMap::new(),
            controller: -1,
            cluster_id: None,
            leaders: HashMap::new(),
            coordinators: HashMap::new(),
        };
        cluster.any()?;
        Ok(cluster)
    }

    /// Longest wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// A connection to some broker.
    pub fn any(&mut self) -> Result<&mut Connection, ClientError> {
        if self.first.is_none() {
            let mut last =
                ClientError::Other("no address was given. Name a broker with --bootstrap HOST:PORT".into());
            for address in &self.bootstrap {
                match Connection::open(address, &self.options) {
                    Ok(connection) => {
                        self.first = Some(connection);
                        break;
                    }
                    Err(error) => last = error,
                }
            }
            if self.first.is_none() {
                return Err(last);
            }
        }
        self.first.as_mut().ok_or_else(|| ClientError::Other("not connected".into()))
    }

    /// A connection to the broker `id`.
    pub fn node(&mut self, id: i32) -> Result<&mut Connection, ClientError> {
        if !self.connections.contains_key(&id) {
            if !self.nodes.contains_key(&id) {
                self.describe(Some(&[]), false)?;
            }
            let node = self.nodes.get(&id).ok_or_else(|| {
                ClientError::Other(format!("the cluster does not know broker {id} any more. Try again"))
            })?;
            let address = format!("{}:{}", bracketed(&node.host), node.port);
            let connection = Connection::open(&address, &self.options).map_err(|source| {
                if self.bootstrap.contains(&address) {
                    source
                } else {
                    ClientError::BadAdvertised { node: id, source: Box::new(source) }
                }
            })?;
            self.connections.insert(id, connection);
        }
        self.connections.get_mut(&id).ok_or_else(|| ClientError::Other("not connected".into()))
    }

    /// Forgets the connection to a broker, and what it was leader of, after it failed.
    pub fn forget(&mut self, id: i32) {
        self.connections.remove(&id);
        self.leaders.retain(|_, leader| *leader != id);
        self.coordinators.retain(|_, node| *node != id);
        self.first = None;
    }

    /// Forgets who leads a partition, after the broker said that it does not.
    pub fn forget_leader(&mut self, partition: &TopicPartition) {
        self.leaders.remove(partition);
    }

    /// Sends a request to any broker. A connection that turns out to be dead is opened once more.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        match self.any()?.call(request) {
            Err(ClientError::Closed { .. }) => {
                self.first = None;
                self.any()?.call(request)
            }
            Err(error) => {
                if error.is_transport() {
                    self.first = None;
                }
                Err(error)
            }
            answer => answer,
        }
    }

    /// Sends a request to the broker that the cluster names as its controller, for changes.
    pub fn call_controller<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        if self.controller < 0 {
            self.describe(Some(&[]), false)?;
        }
        match self.controller {
            id if id >= 0 && self.nodes.contains_key(&id) => self.call_node(id, request, Duration::ZERO),
            _ => self.call(request),
        }
    }

    /// Sends a request to one broker. `patience` is how long the request lets it wait.
    pub fn call_node<R: Request>(
        &mut self,
        id: i32,
        request: &R,
        patience: Duration,
    ) -> Result<R::Response, ClientError> {
        let connection = self.node(id)?;
        let version = connection.version::<R>(i16::MAX)?;
        let answer = connection.call_at(request, version, patience);
        if answer.as_ref().is_err_and(ClientError::is_transport) {
            self.forget(id);
        }
        answer
    }

    /// The brokers, as of the last look.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The controller's id, −1 when unknown.
    pub fn controller(&self) -> i32 {
        self.controller
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Describes topics: those named, or all with `None`. A topic that is missing is an error in its place.
    /// With `create` the broker may create what is missing, if it is configured so.
    pub fn describe(
        &mut self,
        topics: Option<&[String]>,
        create: bool,
    ) -> Result<Vec<Result<TopicInfo, ClientError>>, ClientError> {
        let wanted = topics.map(|names| {
            names
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        });
        let mut request =
            MetadataRequest::default().with_topics(wanted).with_allow_auto_topic_creation(create);
        let version = self.any()?.version::<MetadataRequest>(i16::MAX)?;
        if version < 4 {
            request.allow_auto_topic_creation = true;
        }
        let response = self.call(&request)?;
        self.nodes = response
            .brokers
            .iter()
            .map(|broker| {
                let node = Node {
                    id: broker.node_id.0,
                    host: broker.host.to_string(),
                    port: broker.port,
                    rack: broker.rack.as_ref().map(ToString::to_string),
                };
                (node.id, node)
            })
            .collect();
        self.controller = response.controller_id.0;
        self.cluster_id = response.cluster_id.as_ref().map(ToString::to_string);
        let mut described = Vec::with_capacity(response.topics.len());
        for topic in response.topics {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            if topic.error_code != 0 {
                described.push(Err(ClientError::broker(format!("topic \"{name}\""), topic.error_code, None)));
                continue;
            }
            let mut partitions: Vec<PartitionInfo> = topic
                .partitions
                .iter()
                .map(|p| PartitionInfo {
                    partition: p.partition_index,
                    leader: p.leader_id.0,
                    leader_epoch: p.leader_epoch,
                    replicas: p.replica_nodes.iter().map(|id| id.0).collect(),
                    in_sync: p.isr_nodes.iter().map(|id| id.0).collect(),
                    offline: p.offline_replicas.iter().map(|id| id.0).collect(),
                })
                .collect();
            partitions.sort_by_key(|p| p.partition);
            for p in &partitions {
                self.leaders.insert(TopicPartition::new(&name, p.partition), p.leader);
            }
            let id = quipu_protocol::primitives::Uuid(topic.topic_id.into_bytes());
            let id = (!id.is_zero()).then(|| id.to_string());
            described.push(Ok(TopicInfo { name, id, internal: topic.is_internal, partitions }));
        }
        described.sort_by(|a, b| match (a, b) {
            (Ok(a), Ok(b)) => a.name.cmp(&b.name),
            _ => std::cmp::Ordering::Equal,
        });
        Ok(described)
    }

    /// Describes one topic as it is now. The inner error is what is wrong with that topic.
    pub(crate) fn look_at(
        &mut self,
        name: &str,
        create: bool,
    ) -> Result<Result<TopicInfo, ClientError>, ClientError> {
        let found = self.describe(Some(&[name.to_owned()]), create)?.into_iter().next();
        let missing = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
        Ok(found.unwrap_or_else(|| Err(ClientError::broker(format!("topic \"{name}\""), missing, None))))
    }

    /// Describes one topic that must be there. With `create` it may come into being, and is waited for.
    pub fn topic(&mut self, name: &str, create: bool) -> Result<TopicInfo, ClientError> {
        let deadline = Instant::now() + SETTLE;
        loop {
            match self.look_at(name, create)? {
                Ok(topic) if topic.partitions.iter().all(|p| p.leader >= 0) => return Ok(topic),
                Ok(topic) if Instant::now() >= deadline => {
                    return Err(ClientError::Other(format!(
                        "topic \"{}\" has partitions without a leader",
                        topic.name
                    )));
                }
                Ok(_) => {}
                Err(error)
                    if error.code() == Some(ErrorCode::LEADER_NOT_AVAILABLE) && Instant::now() < deadline => {
                }
                Err(error)
                    if create
                        && error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                        && Instant::now() + SETTLE / 2 < deadline => {}
                Err(error) => return Err(error),
            }
            std::thread::sleep(SETTLE_STEP);
        }
    }

    /// The broker that leads a partition; waits while it is being found.
    pub fn leader(&mut self, partition: &TopicPartition) -> Result<i32, ClientError> {
        match self.known_leader(partition) {
            Some(leader) => Ok(leader),
            None => self.topic(&partition.topic, false)?.leader(partition.partition),
        }
    }

    /// The broker that leads a partition, as of the last look.
    pub(crate) fn known_leader(&self, partition: &TopicPartition) -> Option<i32> {
        self.leaders.get(partition).copied().filter(|leader| *leader >= 0)
    }

    /// The broker that coordinates a group; waits while it is being found.
    pub fn coordinator(&mut self, group: &str) -> Result<i32, ClientError> {
        self.coordinator_of(Coordinated::Group, group)
    }

    /// The broker that coordinates a transactional id.
    pub fn transaction_coordinator(&mut self, transactional_id: &str) -> Result<i32, ClientError> {
        self.coordinator_of(Coordinated::Transaction, transactional_id)
    }

    fn coordinator_of(&mut self, kind: Coordinated, name: &str) -> Result<i32, ClientError> {
        let cached = (kind, name.to_owned());
        if let Some(&id) = self.coordinators.get(&cached) {
            return Ok(id);
        }
        let deadline = Instant::now() + SETTLE;
        loop {
            let key = StrBytes::from_string(name.to_owned());
            let batched = self.any()?.version::<FindCoordinatorRequest>(i16::MAX)? >= 4;
            let request = FindCoordinatorRequest::default().with_key_type(kind as i8);
            let request =
                if batched { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
            let response = self.call(&request)?;
            let (code, id, host, port, message) = match response.coordinators.first() {
                Some(found) => (
                    found.error_code,
                    found.node_id.0,
                    found.host.to_string(),
                    found.port,
                    found.error_message.clone(),
                ),
                None => (
                    response.error_code,
                    response.node_id.0,
                    response.host.to_string(),
                    response.port,
                    response.error_message.clone(),
                ),
            };
            if code == 0 {
                self.nodes.insert(id, Node { id, host, port, rack: None });
                self.coordinators.insert(cached, id);
                return Ok(id);
            }
            let what = match kind {
                Coordinated::Group => "group",
                Coordinated::Transaction => "transactional id",
            };
            let error = ClientError::broker(format!("{what} \"{name}\""), code, message.as_deref());
            if !error.is_retriable() || Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(SETTLE_STEP);
        }
    }

    /// Sends a request to a group's coordinator; asks again while `code_of` finds the coordinator loading or moved.
    pub fn call_coordinator<R: Request>(
        &mut self,
        group: &str,
        request: &R,
        patience: Duration,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        self.call_coordinator_of(Coordinated::Group, group, request, patience, code_of)
    }

    /// The same for the coordinator of a transactional id.
    pub fn call_transaction_coordinator<R: Request>(
        &mut self,
        transactional_id: &str,
        request: &R,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let kind = Coordinated::Transaction;
        self.call_coordinator_of(kind, transactional_id, request, Duration::ZERO, code_of)
    }

    fn call_coordinator_of<R: Request>(
        &mut self,
        kind: Coordinated,
        name: &str,
        request: &R,
        patience: Duration,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let id = self.coordinator_of(kind, name)?;
            let response = self.call_node(id, request, patience)?;
            let code = ErrorCode(code_of(&response));
            let moved = matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE);
            if moved {
                self.coordinators.remove(&(kind, name.to_owned()));
            }
            if !(moved || code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) || Instant::now() >= deadline {
                return Ok(response);
            }
            std::thread::sleep(SETTLE_STEP);
        }
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// An IPv6 address needs brackets before its port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}
