//! The broker: owns everything below, starts and stops it, and is the one thing a handler is given.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use quipu_protocol::ErrorCode;
use quipu_storage::disk::{Disk, OpenMode};
use quipu_storage::{Millis, ProducerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::api::FetchSessions;
use crate::catalog::features::Features;
use crate::catalog::{Catalog, Event, Resource, State};
use crate::clock::Clock;
use crate::config::{
    AuthorizerSettings, BrokerOverrides, Changes, Config, Layers, Overrides, ReplicationFactorPolicy,
    Settings, TopicConfig, validate_topic,
};
use crate::coordinator::GroupCoordinator;
use crate::coordinator::assign::Assignor;
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::settings::{ConsumerTimes, GroupSettings, Migration};
use crate::coordinator::txn::{TransactionCoordinator, TransactionsSettings};
use crate::error::StartError;
use crate::identity::Identity;
use crate::internal::offsets::OffsetsLog;
use crate::internal::transactions::TransactionsLog;
use crate::metrics::Metrics;
use crate::security::authorizer::Authorizer;
use crate::topic::{Topic, Topics, check_name, is_internal};

/// Producer ids are reserved in the catalog this many at a time; a restart skips what was left of a block.
const PRODUCER_ID_BLOCK: i64 = 1_000;
/// More are reserved when fewer are left, so that those who cannot wait for the disk find one.
const PRODUCER_IDS_AT_HAND: i64 = 100;
/// Most partitions of all topics together: what one node can be expected to open and map.
const PARTITIONS_MAX: usize = 200_000;

/// A running broker, or one that is about to run or has stopped; network and upkeep are beside it.
pub struct Broker {
    config: Config,
    identity: Identity,
    data_dir: PathBuf,
    catalog: Mutex<Option<Catalog>>,
    /// The catalog's, to look at while its lock is held by somebody who waits for the disk.
    state: Arc<RwLock<State>>,
    /// Those of the catalog, whose lock may be held while the disk syncs: every client that connects asks for them.
    features: RwLock<Arc<Features>>,
    /// Comes after the catalog's lock.
    producer_ids: Mutex<ProducerIds>,
    /// Held by whoever has more of them reserved ahead.
    reserving: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
    /// Decides who may do what; without one everyone may do everything.
    pub authorizer: Option<Authorizer>,
    /// Time and randomness.
    pub clock: Clock,
    /// The topics and their logs.
    pub topics: Arc<Topics>,
    /// Consumer groups.
    pub groups: GroupCoordinator,
    /// Transactions.
    pub transactions: TransactionCoordinator,
    /// Fetch sessions.
    pub fetch_sessions: FetchSessions,
    /// Counters.
    pub metrics: Metrics,
    /// Room for large requests while they are being read.
    pub request_memory: RequestMemory,
}

/// Memory that requests larger than a connection's first buffer take while they are being read
/// (`queued.max.request.bytes`): a thousand clients that each begin a large request must not take it all.
#[derive(Debug)]
pub struct RequestMemory {
    kibibytes: Arc<Semaphore>,
    limit: u32,
}

impl RequestMemory {
    /// In force unless `queued.max.request.bytes` says otherwise. Kafka has no limit.
    const DEFAULT_BYTES: i64 = 512 << 20;

    fn new(limit_bytes: i64) -> Self {
        let bytes = if limit_bytes > 0 { limit_bytes } else { Self::DEFAULT_BYTES };
        let limit = u32::try_from(bytes >> 10)
            .unwrap_or(u32::MAX)
            .clamp(1, (Semaphore::MAX_PERMITS as u64).min(1 << 30) as u32);
        Self { kibibytes: Arc::new(Semaphore::new(limit as usize)), limit }
    }

    /// Waits for room for a request of `bytes`. One that is larger than all there is waits for all there is.
    pub async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let wanted = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, self.limit);
        let permit = Arc::clone(&self.kibibytes).acquire_many_owned(wanted).await;
        permit.expect("the semaphore is never closed")
    }

    #[cfg(test)]
    pub(crate) fn free_kibibytes(&self) -> usize {
        self.kibibytes.available_permits()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("identity", &self.identity)
            .field("topics", &self.topics.count())
            .finish_non_exhaustive()
    }
}

/// The producer ids that are left of what is reserved.
#[derive(Debug)]
struct ProducerIds {
    next: ProducerId,
    until: ProducerId,
}

impl ProducerIds {
    fn left(&self) -> i64 {
        self.until - self.next
    }

    fn take(&mut self) -> Option<ProducerId> {
        (self.left() > 0).then(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// A host and a port, as clients are told them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why the broker did not do what an administrator asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Kafka's code for it.
    pub code: ErrorCode,
    /// What was wrong and what to do.
    pub message: String,
}

impl Refused {
    /// A refusal with `code`, explained by `message`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What a new topic should be.
#[derive(Clone, Debug)]
pub struct CreateTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None`: `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas; `None`: `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// Brokers named in an explicit assignment.
    pub assigned_brokers: Vec<i32>,
    /// What to set on it.
    pub configs: BTreeMap<String, String>,
}

impl CreateTopic {
    /// A topic with the broker's defaults.
    pub fn with_defaults(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            partitions: None,
            replication_factor: None,
            assigned_brokers: Vec::new(),
            configs: BTreeMap::new(),
        }
    }
}

/// A topic that could be created.
#[derive(Clone, Debug)]
pub struct CheckedTopic {
    /// How many partitions it gets.
    pub partitions: i32,
    /// What would be set on it, in the form in which it is kept.
    pub configs: BTreeMap<String, String>,
    /// The settings it would have.
    pub config: TopicConfig,
}

impl Broker {
    /// Opens the data directory and everything in it. Nothing is served yet.
    pub fn open(
        config: Config,
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        clock: Clock,
    ) -> Result<Arc<Self>, StartError> {
        let now = clock.now_ms();
        disk.create_dir_all(data_dir).map_err(|error| StartError::io(data_dir, error))?;
        let identity = Identity::load_or_create(&*disk, data_dir, &config.settings(), &clock)?;
        let catalog = Catalog::open(Arc::clone(&disk), &data_dir.join("catalog"), now)?;
        config.set_dynamic(dynamic(&catalog.state(), identity.node_id));
        let settings = config.settings();
        let topics = Arc::new(Topics::new(
            Arc::clone(&disk),
            data_dir.join("topics"),
            config.settings().log.open_segments_max,
        ));
        for (name, entry) in &catalog.state().topics {
            topics.insert(name, entry.id, entry.partitions, config.topic(&entry.configs));
        }
        if disk.list(topics.root()).is_err() {
            make_durably(&*disk, topics.root(), data_dir)?;
        }
        remove_leftovers(&topics, &*disk)?;
        if settings.log.sync_together && !disk.is_volatile() {
            topics.sync_together().map_err(|error| StartError::io(topics.root(), error))?;
        }
        let was_killed = !take_clean_mark(&*disk, data_dir)?;
        if was_killed {
            // Else each log is opened when it is first asked for.
            topics.recover(now);
        }
        let next = catalog.state().next_producer_id;
        let authorizer = authorizer(&settings, &catalog.state());
        let features = RwLock::new(Arc::new(catalog.state().features.clone()));
        let broker = Arc::new_cyclic(|weak| Self {
            groups: GroupCoordinator::new(
                group_settings(&settings),
                Arc::new(OffsetsLog::new(weak.clone())),
                Arc::clone(&topics) as Arc<dyn TopicLookup>,
                Arc::new(clock.clone()),
            ),
            transactions: TransactionCoordinator::new(
                transactions_settings(&settings),
                Arc::new(TransactionsLog::new(weak.clone())),
                Arc::new(clock.clone()),
            ),
            fetch_sessions: FetchSessions::new(settings.network.fetch_session_slots),
            config,
            identity,
            authorizer,
            data_dir: data_dir.to_owned(),
            state: catalog.shared_state(),
            catalog: Mutex::new(Some(catalog)),
            features,
            producer_ids: Mutex::new(ProducerIds { next, until: next }),
            reserving: tokio::sync::Mutex::default(),
            stop: watch::Sender::new(false),
            clock,
            topics,
            metrics: Metrics::default(),
            request_memory: RequestMemory::new(settings.network.queued_max_request_bytes),
        });
        broker.groups.set_consumer_times(consumer_times(&broker.state.read(), &settings));
        broker.metrics.by_api.switch(settings.request_metrics);
        crate::internal::offsets::replay(&broker);
        crate::internal::transactions::replay(&broker, was_killed);
        Ok(broker)
    }

    /// The configuration with its origins.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.config.settings()
    }

    /// The cluster's id, made at the first start.
    pub fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    /// This node's id (`node.id`).
    pub fn node_id(&self) -> i32 {
        self.identity.node_id
    }

    /// The address to tell a client that reached us at `local`: that same one, unless `advertised.listeners`
    /// says otherwise for the listener it came through.
    pub fn address_for(&self, local: SocketAddr) -> Address {
        let settings = self.settings();
        // The listener that owns the port the client came to; with one listener there is no question.
        let reached = match settings.listeners.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|listener| listener.port == local.port()),
        };
        reached
            .and_then(|reached| settings.advertised_listeners.iter().find(|told| told.name == reached.name))
            .map(|told| Address { host: told.host.clone(), port: told.port })
            .unwrap_or_else(|| Address { host: local.ip().to_canonical().to_string(), port: local.port() })
    }

    /// Becomes true when the broker is told to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Tells the network, the waiters and the upkeep to end. Safe to call twice.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.groups.stop();
        self.transactions.stop();
    }

    /// Closes every log cleanly. Call when the network has stopped.
    ///
    /// # Errors
    /// Why something that was written since the start may not be on disk.
    pub fn close(&self) -> Result<(), String> {
        self.topics.close();
        if let Some(catalog) = self.catalog.lock().take()
            && let Err(error) = catalog.close()
        {
            tracing::error!("cannot close the catalog cleanly: {error}");
            self.topics.faults.unclean.increment();
        }
        let faults = &self.topics.faults;
        // Without the mark the next start looks at open transactions again.
        if !faults.lost_writes() && !self.transactions.has_reopened() {
            leave_clean_mark(self.topics.disk(), &self.data_dir);
        }
        if faults.lost_writes() {
            return Err(format!(
                "stopped, but not cleanly: writing or syncing failed for {} logs, {} could not be closed; \
                 the log lines before this say which and why, the next start reads what is on disk",
                faults.failed.get(),
                faults.unclean.get()
            ));
        }
        Ok(())
    }

    /// Checks whether a topic could be created as asked.
    pub fn check_topic(&self, asked: &CreateTopic) -> Result<CheckedTopic, Refused> {
        let settings = self.settings();
        check_name(&asked.name).map_err(|why| Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, why))?;
        if self.topics.by_name(&asked.name).is_some() {
            return Err(Refused::new(
                ErrorCode::TOPIC_ALREADY_EXISTS,
                format!("topic '{}' already exists", asked.name),
            ));
        }
        // Metrics and tools turn dots into underscores: two names must not become one.
        if let Some(other) = self.topics.colliding(&asked.name) {
            return Err(Refused::new(
                ErrorCode::INVALID_TOPIC_EXCEPTION,
                format!("topic '{}' collides with '{other}': '.' and '_' count as one", asked.name),
            ));
        }
        let partitions = asked.partitions.unwrap_or(settings.topics.partitions);
        if partitions < 1 {
            return Err(Refused::new(
                ErrorCode::INVALID_PARTITIONS,
                format!("a topic has at least one partition, not {partitions}"),
            ));
        }
        self.check_partition_count(0, partitions)?;
        self.check_replication(asked)?;
        let configs = validate_topic(&asked.configs, &self.config.layers())
            .map_err(|error| Refused::new(ErrorCode::INVALID_CONFIG, error.to_string()))?;
        Ok(CheckedTopic { partitions, config: self.config.topic(&configs), configs })
    }

    fn check_partition_count(&self, have: i32, want: i32) -> Result<(), Refused> {
        let used = self.topics.partition_count();
        let more = (want - have).max(0) as usize;
        if used + more > PARTITIONS_MAX {
            return Err(Refused::new(
                ErrorCode::POLICY_VIOLATION,
                format!(
                    "{more} more partitions would make {}, above the {PARTITIONS_MAX} that one broker holds",
                    used + more
                ),
            ));
        }
        Ok(())
    }

    fn check_replication(&self, asked: &CreateTopic) -> Result<(), Refused> {
        let node = self.node_id();
        let settings = self.settings();
        if let Some(other) = asked.assigned_brokers.iter().find(|id| **id != node) {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("there is no broker {other}; the only one is {node}"),
            ));
        }
        let refused = |message| Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        let clamps = settings.topics.replication_factor_policy == ReplicationFactorPolicy::Clamp;
        match asked.replication_factor.map_or(settings.topics.replication_factor, i32::from) {
            1 => Ok(()),
            factor if factor < 1 => refused(format!("a replication factor is at least 1, not {factor}")),
            factor if clamps => {
                let topic = &asked.name;
                tracing::warn!(topic, factor, "one node holds one replica; the factor is taken as 1");
                Ok(())
            }
            factor => refused(format!(
                "replication factor {factor} is larger than the one broker there is; ask for 1, or set quipu.replication.factor=clamp"
            )),
        }
    }

    /// Does what waits for the disk on a thread that may wait: the one that calls has other connections to serve.
    ///
    /// # Errors
    /// Those of `work`; `UNKNOWN_SERVER_ERROR` if it ended without an answer.
    pub async fn aside<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<R, Refused> + Send + 'static,
    ) -> Result<R, Refused> {
        let broker = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&broker)).await;
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "work on the disk ended without an answer");
            Err(Refused::new(ErrorCode::UNKNOWN_SERVER_ERROR, "the work ended without an answer"))
        })
    }

    /// Creates a topic; it can be written and read when this returns. Waits for the disk.
    pub fn create_topic(&self, asked: CreateTopic) -> Result<Arc<Topic>, Refused> {
        let mut catalog = self.catalog.lock();
        let catalog = catalog.as_mut().ok_or_else(stopped)?;
        // Checked under the lock: of two that ask for one name, the second is told that it exists.
        let CheckedTopic { partitions, configs, config } = self.check_topic(&asked)?;
        let id = self.clock.random_uuid();
        self.topics.prepare(id).map_err(|error| {
            Refused::new(
                ErrorCode::KAFKA_STORAGE_ERROR,
                format!("cannot make the topic's directory: {error}"),
            )
        })?;
        let event = Event::TopicCreated { name: asked.name.clone(), id, partitions, configs };
        catalog.record(vec![event], self.clock.now_ms()).map_err(storage_failed)?;
        Ok(self.topics.insert(&asked.name, id, partitions, config))
    }

    /// Deletes a topic, its records and the offsets that groups committed for it.
    pub fn delete_topic(&self, topic: &Topic) -> Result<Arc<Topic>, Refused> {
        let gone = || {
            Refused::new(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                format!("topic {} is already gone", topic.name()),
            )
        };
        let removed = {
            let mut catalog = self.catalog.lock();
            let catalog = catalog.as_mut().ok_or_else(stopped)?;
            if self.topics.by_id(topic.id()).is_none() {
                return Err(gone());
            }
            let event = Event::TopicDeleted { name: topic.name().to_string() };
            catalog.record(vec![event], self.clock.now_ms()).map_err(storage_failed)?;
            self.topics.remove(topic.name()).ok_or_else(gone)?
        };
        self.groups.on_topic_deleted(topic.name(), removed.id());
        // Nobody waits with the catalog's lock for what is under way in the topic's logs.
        removed.end();
        // Nobody waits for that with the catalog's lock; a start that finds files of no topic removes them.
        self.topics.remove_files(removed.id());
        Ok(removed)
    }

    /// Grows a topic to `count` partitions, or only checks whether it could.
    pub fn add_partitions(&self, topic: &Topic, count: i32, validate_only: bool) -> Result<(), Refused> {
        let mut catalog = self.catalog.lock();
        let catalog = catalog.as_mut().ok_or_else(stopped)?;
        let have = topic.partitions().len() as i32;
        if count <= have {
            return Err(Refused::new(
                ErrorCode::INVALID_PARTITIONS,
                format!("topic {} has {have} partitions; it can grow, but not to {count}", topic.name()),
            ));
        }
        if is_internal(topic.name()) {
            return Err(Refused::new(
                ErrorCode::INVALID_REQUEST,
                "this topic is the broker's own and stays as it is",
            ));
        }
        self.check_partition_count(have, count)?;
        if validate_only {
            return Ok(());
        }
        let event = Event::PartitionsAdded { name: topic.name().to_string(), partitions: count };
        catalog.record(vec![event], self.clock.now_ms()).map_err(storage_failed)?;
        self.topics.grow(topic, count);
        Ok(())
    }

    /// What was set on a resource; `None` when a topic of that name does not exist.
    pub fn overrides(&self, resource: &Resource) -> Option<BTreeMap<String, String>> {
        let state = self.state.read();
        match (state.configs_of(resource), resource) {
            (Some(configs), _) => Some(configs.clone()),
            (None, Resource::Topic(_)) => None,
            (None, _) => Some(BTreeMap::new()),
        }
    }

    /// Changes the configs of one resource, all or none, and puts them in force. `plan` is told what is set now and
    /// says what to set or, with `None`, to unset; nobody else changes anything in between. With `validate_only` it
    /// is only asked.
    pub fn alter_configs(
        &self,
        resource: &Resource,
        validate_only: bool,
        plan: impl FnOnce(&Overrides, &Layers) -> Result<Changes, Refused>,
    ) -> Result<(), Refused> {
        let mut catalog = self.catalog.lock();
        let catalog = catalog.as_mut().ok_or_else(stopped)?;
        let changes = match (catalog.state().configs_of(resource), resource) {
            (Some(now), _) => plan(now, &self.config.layers())?,
            (None, Resource::Topic(name)) => {
                return Err(Refused::new(
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    format!("there is no topic {name}"),
                ));
            }
            (None, _) => plan(&Overrides::new(), &self.config.layers())?,
        };
        if validate_only || changes.is_empty() {
            return Ok(());
        }
        let set = |(key, value)| Event::ConfigSet { resource: resource.clone(), key, value };
        catalog
            .record(changes.into_iter().map(set).collect(), self.clock.now_ms())
            .map_err(storage_failed)?;
        self.put_in_force(catalog, resource);
        Ok(())
    }

    /// Levels of the features in force.
    pub fn features(&self) -> Arc<Features> {
        Arc::clone(&self.features.read())
    }

    /// Looks at what the cluster remembers: all of it is on disk. Waits for no change that is under way.
    pub fn read_catalog<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.read())
    }

    /// Changes what the cluster remembers: `plan` is told what there is and says what has to happen, all of it or
    /// nothing; nobody else changes anything in between. It is durable when this returns, and another thread has waited
    /// for the disk. For features, quotas, users and access control lists only: topics and configs have consequences, and
    /// functions of their own.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` and `BROKER_NOT_AVAILABLE`: nothing was changed.
    pub async fn change_catalog<R: Send + 'static>(
        self: &Arc<Self>,
        plan: impl FnOnce(&State) -> (Vec<Event>, R) + Send + 'static,
    ) -> Result<R, Refused> {
        self.aside(|broker| broker.record_plan(plan)).await
    }

    fn record_plan<R>(&self, plan: impl FnOnce(&State) -> (Vec<Event>, R)) -> Result<R, Refused> {
        let mut catalog = self.catalog.lock();
        let catalog = catalog.as_mut().ok_or_else(stopped)?;
        let (events, outcome) = plan(&catalog.state());
        let changes_acls =
            events.iter().any(|event| matches!(event, Event::AclAdded { .. } | Event::AclRemoved { .. }));
        catalog.record(events, self.clock.now_ms()).map_err(storage_failed)?;
        if let Some(authorizer) = self.authorizer.as_ref().filter(|_| changes_acls) {
            authorizer.set(&catalog.state().acls);
        }
        let features = catalog.state().features.clone();
        if **self.features.read() != features {
            *self.features.write() = Arc::new(features);
        }
        Ok(outcome)
    }

    /// The groups on which something was set.
    pub fn configured_groups(&self) -> Vec<String> {
        self.read_catalog(State::configured_groups)
    }

    /// The subscriptions to the metrics of clients. They are kept; nobody reports to them yet.
    pub fn client_metrics(&self) -> Vec<String> {
        self.read_catalog(State::client_metrics)
    }

    fn put_in_force(&self, catalog: &Catalog, resource: &Resource) {
        let state = &*catalog.state();
        if let Resource::Broker(_) = resource {
            self.config.set_dynamic(dynamic(state, self.node_id()));
            self.groups.set_settings(group_settings(&self.settings()));
            self.transactions.set_settings(transactions_settings(&self.settings()));
            self.metrics.by_api.switch(self.settings().request_metrics);
        }
        if let Resource::Broker(_) | Resource::Group(_) = resource {
            self.groups.set_consumer_times(consumer_times(state, &self.settings()));
        }
        for topic in self.topics.all() {
            let concerns = match resource {
                Resource::Topic(name) => **name == **topic.name(),
                // A topic without a value of its own follows the broker's.
                Resource::Broker(_) => true,
                Resource::Group(_) | Resource::ClientMetrics(_) => false,
            };
            if let Some(entry) = state.topics.get(&**topic.name()).filter(|_| concerns) {
                self.topics.reconfigure(&topic, self.config.topic(&entry.configs));
            }
        }
    }

    /// Sees to it that [`Self::next_producer_id`] has one at hand: whoever is going to need it and can wait, waits here,
    /// once in [`PRODUCER_ID_BLOCK`] times, and holds up nobody else. If none can be reserved, that is for those to tell who
    /// find none; the reason is logged.
    pub async fn have_producer_ids(self: &Arc<Self>) {
        let are_at_hand = || self.producer_ids.lock().left() >= PRODUCER_IDS_AT_HAND;
        if are_at_hand() {
            return;
        }
        // Of many that come at once, one has the thread.
        let _one_at_a_time = self.reserving.lock().await;
        if !are_at_hand() {
            let _ = self.aside(|broker| Ok(broker.reserve_producer_ids(PRODUCER_IDS_AT_HAND))).await;
        }
    }

    /// A producer id that no producer ever had, restarts included. Waits for the disk if none is at hand.
    pub fn next_producer_id(&self) -> Result<ProducerId, ErrorCode> {
        loop {
            if let Some(id) = self.producer_ids.lock().take() {
                return Ok(id);
            }
            self.reserve_producer_ids(1)?;
        }
    }

    fn reserve_producer_ids(&self, at_hand: i64) -> Result<(), ErrorCode> {
        let mut catalog = self.catalog.lock();
        let catalog = catalog.as_mut().ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        if self.producer_ids.lock().left() >= at_hand {
            // Somebody else was here first.
            return Ok(());
        }
        let until = catalog.state().next_producer_id + PRODUCER_ID_BLOCK;
        let event = Event::ProducerIdsReserved { until };
        catalog.record(vec![event], self.clock.now_ms()).map_err(|error| {
            tracing::error!("cannot reserve producer ids: {error}");
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        })?;
        self.producer_ids.lock().until = until;
        Ok(())
    }

    /// Where the catalog's log ends; 0 once stopped.
    pub fn catalog_end_offset(&self) -> i64 {
        self.catalog.lock().as_ref().map_or(0, Catalog::end_offset)
    }

    /// The directory that holds everything.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Size of the volume that holds the data, and what of it this broker could still use. `None` in memory.
    pub fn volume_bytes(&self) -> Option<(i64, i64)> {
        let volume = rustix::fs::statvfs(&*self.data_dir).ok()?;
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(volume.f_frsize)).unwrap_or(i64::MAX);
        Some((bytes(volume.f_blocks), bytes(volume.f_bavail)))
    }

    /// Wall-clock time, for records.
    pub fn now_ms(&self) -> Millis {
        self.clock.now_ms()
    }
}

/// What was set on the running broker, for the configuration's layers.
fn dynamic(state: &State, node_id: i32) -> BrokerOverrides {
    let of = |name: String| state.configs_of(&Resource::Broker(name)).cloned().unwrap_or_default();
    BrokerOverrides { default: of(String::new()), node: of(node_id.to_string()) }
}

/// What the coordinator is told of the settings.
fn group_settings(settings: &Settings) -> GroupSettings {
    GroupSettings {
        session_timeout_ms_min: settings.groups.min_session_timeout_ms,
        session_timeout_ms_max: settings.groups.max_session_timeout_ms,
        initial_rebalance_delay_ms: settings.groups.initial_rebalance_delay_ms,
        members_max: settings.groups.max_size.min(GroupSettings::MEMBERS_MAX),
        offset_metadata_bytes_max: settings.offsets.metadata_max_bytes,
        offsets_retention_ms: settings.offsets.retention_ms,
        offsets_check_interval_ms: settings.offsets.retention_check_interval_ms,
        consumer: ConsumerTimes {
            session_timeout_ms: settings.groups.consumer.session_timeout_ms,
            heartbeat_interval_ms: settings.groups.consumer.heartbeat_interval_ms,
            assignment_interval_ms: settings.groups.consumer.assignment_interval_ms,
        },
        migration: Migration::named(&settings.groups.consumer_migration_policy).unwrap_or_default(),
        consumer_members_max: settings.groups.consumer.max_size,
        assignors: assignors(&settings.groups.consumer_assignors),
        ..GroupSettings::default()
    }
}

/// Likewise of transactions.
fn transactions_settings(settings: &Settings) -> TransactionsSettings {
    let transactions = &settings.transactions;
    TransactionsSettings {
        timeout_ms_max: transactions.max_timeout_ms,
        id_expiration_ms: transactions.id_expiration_ms.into(),
        abort_interval_ms: transactions.abort_interval_ms.into(),
        expire_interval_ms: transactions.expire_interval_ms.into(),
        ..TransactionsSettings::default()
    }
}

/// The assignors of the configuration; those that Kafka would load as a class are not here.
fn assignors(names: &[String]) -> [Assignor; 2] {
    let mut known = names.iter().filter_map(|name| Assignor::named(name));
    let first = known.next().unwrap_or_default();
    [first, known.next().unwrap_or(first)]
}

/// The times of the consumer groups that have set some, within the broker's bounds.
fn consumer_times(state: &State, settings: &Settings) -> HashMap<String, ConsumerTimes> {
    let bounds = &settings.groups.consumer;
    let of = |name: String| {
        let overrides = state.configs_of(&Resource::Group(name.clone()))?;
        let own = |key: &str, otherwise: i32, low: i32, high: i32| {
            let value = overrides.get(key).and_then(|value| value.trim().parse::<i32>().ok());
            value.map_or(otherwise, |value| value.max(low).min(high))
        };
        let times = ConsumerTimes {
            session_timeout_ms: own(
                "consumer.session.timeout.ms",
                bounds.session_timeout_ms,
                bounds.min_session_timeout_ms,
                bounds.max_session_timeout_ms,
            ),
            heartbeat_interval_ms: own(
                "consumer.heartbeat.interval.ms",
                bounds.heartbeat_interval_ms,
                bounds.min_heartbeat_interval_ms,
                bounds.max_heartbeat_interval_ms,
            ),
            assignment_interval_ms: own(
                "consumer.assignment.interval.ms",
                bounds.assignment_interval_ms,
                bounds.min_assignment_interval_ms,
                bounds.max_assignment_interval_ms,
            ),
        };
        Some((name, times))
    };
    state.configured_groups().into_iter().filter_map(of).collect()
}

/// What the settings and the access control lists say of who may do what.
fn authorizer(settings: &Settings, state: &State) -> Option<Authorizer> {
    let AuthorizerSettings { super_users, allow_everyone } = settings.authorizer.as_ref()?;
    let authorizer = Authorizer::new(super_users.iter().cloned(), *allow_everyone);
    authorizer.set(&state.acls);
    if authorizer.refuses_everyone() {
        tracing::warn!(
            "authorizer.class.name is set, but there are neither ACLs nor super users: every client is refused everything; set super.users, for example to User:ANONYMOUS, and create ACLs"
        );
    }
    Some(authorizer)
}

fn stopped() -> Refused {
    Refused::new(ErrorCode::BROKER_NOT_AVAILABLE, "the broker is stopping")
}

fn storage_failed(error: crate::catalog::CatalogError) -> Refused {
    tracing::error!("{error}");
    Refused::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
}

/// Says that the last stop was clean, so that no log needs looking after before it is asked for, and none holds a
/// transaction open that its coordinator does not know. How far a log is to be believed, its own files say.
const CLEAN_MARK: &str = "clean-stop";

/// Whether the last stop was clean; from here on, it is not known of the next one.
fn take_clean_mark(disk: &dyn Disk, data_dir: &Path) -> Result<bool, StartError> {
    let path = data_dir.join(CLEAN_MARK);
    match disk.remove_file(&path) {
        // Or a power cut could bring it back, for a stop that was none.
        Ok(()) => disk.sync_dir(data_dir).map(|()| true).map_err(|error| StartError::io(data_dir, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StartError::io(&path, error)),
    }
}

fn leave_clean_mark(disk: &dyn Disk, data_dir: &Path) {
    // Without it, the next start looks after each log and finds nothing to do.
    let _ = disk.open(&data_dir.join(CLEAN_MARK), OpenMode::OpenOrCreate);
}

/// Makes a directory of a new data directory so that its name, and those above it, survive a power cut.
fn make_durably(disk: &dyn Disk, dir: &Path, data_dir: &Path) -> Result<(), StartError> {
    disk.create_dir_all(dir).map_err(|error| StartError::io(dir, error))?;
    for above in [Some(data_dir), data_dir.parent()].into_iter().flatten() {
        disk.sync_dir(above).map_err(|error| StartError::io(above, error))?;
    }
    Ok(())
}

/// A crash between a topic's deletion and the removal of its files leaves them behind: removes what no topic owns.
fn remove_leftovers(topics: &Topics, disk: &dyn Disk) -> Result<(), StartError> {
    let entries = match disk.list(topics.root()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StartError::io(topics.root(), error)),
    };
    for entry in entries {
        // What is not named by an id was not made by us and is left alone.
        if let Some(id) = entry.name.parse().ok().filter(|id| topics.by_id(*id).is_none()) {
            topics.remove_files(id);
        }
    }
    Ok(())
}
