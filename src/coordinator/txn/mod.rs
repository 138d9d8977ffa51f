//! The transaction coordinator: drives one pure machine per transactional id.
//!
//! A call locks one id, asks its machine for the next state, appends that and takes it over; only then does it wait
//! until the record is durable, if it has to. Locks are never held across an await. An identity or an outcome that is
//! told to anybody is durable, also when it was another call that changed it.
//!
//! Ending a transaction takes three steps, each of which may be repeated after a crash: the outcome and the markers in
//! all partitions, both durable, and that all of them are there. Whoever prepared an outcome sees it through; when its
//! connection goes away, [`TransactionCoordinator::run_due`] does, as it does after a restart.
//!
//! That a transaction of version 2 has begun, and that one has ended, nobody waits for: with an epoch for every
//! transaction the partitions tell what was lost of it, and [`TransactionCoordinator::found_open`] learns it again. In
//! version 1, and from there to version 2, a late marker could be taken for one of the next transaction, which therefore
//! begins durably.

pub mod machine;
pub mod records;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use parking_lot::{Mutex, RwLock};
use quipu_protocol::error_code::ErrorCode;
use quipu_storage::Marker;
use tokio::sync::Notify;

use self::machine::{End, Found, Identity, Init, Status, Transaction, Version};
use super::doors::{CoordinatorClock, Durability};
use super::lost::Lost;
use super::records::{CoordinatorRecord, RecordError};
use super::step::log_error;
use super::{Millis, Now};

/// Epoch of this coordinator. There is no other one that could take over.
const COORDINATOR_EPOCH: i32 = 0;
/// Transactions that a scan ends side by side.
const COMPLETING_AT_ONCE: usize = 64;

/// What the coordinator needs from the broker around it.
pub trait TransactionDoors: Send + Sync {
    /// Appends a record to the partition of `__transaction_state` that keeps `transactional_id`. Called under the id's
    /// lock: it must not wait for the disk. The record becomes durable some time soon, and after all before it.
    ///
    /// # Errors
    /// Nothing was appended. The code is the log's.
    fn append(
        &self,
        transactional_id: &str,
        record: CoordinatorRecord,
        now_ms: Millis,
    ) -> Result<(), ErrorCode>;

    /// Makes everything durable, at once, that was appended for `transactional_id`.
    fn durable(&self, transactional_id: &str) -> Durability;

    /// A producer id that no producer ever had.
    ///
    /// # Errors
    /// No id could be reserved.
    fn fresh_producer_id(&self) -> Result<i64, ErrorCode>;

    /// Ends a transaction on one partition. A partition that is gone needs no marker.
    ///
    /// # Errors
    /// The log's: the marker is not there.
    fn write_marker(&self, topic: &str, partition: i32, marker: &Marker) -> Result<Durability, ErrorCode>;
}

/// What has to happen before records are appended to a partition that was made part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "records may have to wait"]
pub enum Begun {
    /// It has to be durable.
    Durably,
    /// Nothing.
    Unhurried,
}

/// A transaction that a partition holds open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Whose it is, as its newest batch says.
    pub producer: Identity,
    /// Topic of the partition.
    pub topic: Arc<str>,
    /// Number of the partition.
    pub partition: i32,
}

/// What an operator may set about transactions, and a limit on what a peer can make them grow to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionsSettings {
    /// `transaction.max.timeout.ms` (15 min).
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms` (7 days).
    pub id_expiration_ms: Millis,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms` (10 s).
    pub abort_interval_ms: Millis,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms` (1 h).
    pub expire_interval_ms: Millis,
    /// Most transactional ids; one more gets `POLICY_VIOLATION`.
    pub ids_max: usize,
}

impl Default for TransactionsSettings {
    fn default() -> Self {
        Self {
            timeout_ms_max: 15 * 60 * 1000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1000,
            abort_interval_ms: 10_000,
            expire_interval_ms: 60 * 60 * 1000,
            ids_max: 100_000,
        }
    }
}

/// The coordinator of all transactional ids.
pub struct TransactionCoordinator {
    settings: RwLock<TransactionsSettings>,
    doors: Arc<dyn TransactionDoors>,
    clock: Arc<dyn CoordinatorClock>,
    /// See [`Slot`] for the order of locks.
    slots: RwLock<HashMap<Arc<str>, Arc<Mutex<Slot>>>>,
    /// When what is due is looked for next, by the monotonic clock.
    next: Mutex<Due>,
    /// Somebody left an outcome without its markers.
    stranded: Notify,
    is_loaded: AtomicBool,
    is_stopped: AtomicBool,
    /// Ids of which nothing is known.
    lost: Lost,
}

#[derive(Debug)]
struct Due {
    abort: Millis,
    expire: Millis,
}

/// What is known of one id.
///
/// Lock order: a slot before the map that it is in, as when it is removed; never two slots. Whoever comes from the map
/// takes the slot out as an `Arc` and lets the map go first. [`TransactionCoordinator::replay`] locks the other way
/// round: nobody else has a slot before the coordinator is loaded. A slot also comes before a group and before a log.
struct Slot {
    id: Arc<str>,
    /// `None` until the first InitProducerId is appended, and after the id was forgotten.
    state: Option<Transaction>,
    /// Somebody is writing the markers.
    is_completing: bool,
    /// The partitions that have the marker of the outcome that is being told: none is written twice because another
    /// partition refused its own.
    marked: HashSet<(Arc<str>, i32)>,
    /// What a crash left open of the transaction after the one whose markers are being written.
    reopened: Vec<(Arc<str>, i32)>,
    /// The slot is no longer in the map: whoever got hold of it has to look again.
    is_removed: bool,
}

impl TransactionCoordinator {
    /// A coordinator without transactions, which answers `COORDINATOR_LOAD_IN_PROGRESS` until it is
    /// [loaded](Self::finish_loading).
    pub fn new(
        settings: TransactionsSettings,
        doors: Arc<dyn TransactionDoors>,
        clock: Arc<dyn CoordinatorClock>,
    ) -> Self {
        Self {
            settings: RwLock::new(settings),
            doors,
            clock,
            slots: RwLock::default(),
            next: Mutex::new(Due { abort: Millis::MAX, expire: Millis::MAX }),
            stranded: Notify::new(),
            is_loaded: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            lost: Lost::default(),
        }
    }

    /// Settings in force.
    pub fn settings(&self) -> TransactionsSettings {
        *self.settings.read()
    }

    /// Changes the settings for what comes from now on.
    pub fn set_settings(&self, settings: TransactionsSettings) {
        *self.settings.write() = settings;
    }

    // ---- Loading, time, stop: called by the broker ----

    /// Takes one record of the log, in order; before [`Self::finish_loading`] only.
    ///
    /// # Errors
    /// The record is damaged or of a later version; the rest can still be loaded.
    pub fn replay(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), RecordError> {
        let Some((id, state)) = records::decode(key, value)? else { return Ok(()) };
        let mut slots = self.slots.write();
        match state {
            None => drop(slots.remove(&id)),
            Some(state) => {
                let slot = slots.entry(Arc::clone(&id)).or_insert_with(|| Slot::new(id));
                slot.lock().state = Some(state);
            }
        }
        Ok(())
    }

    /// The ids for which `is_lost` holds could not be read as a whole: what was replayed of them is dropped, and they are
    /// answered with `NOT_COORDINATOR`. Once, after the last [`Self::replay`].
    pub fn lose(&self, is_lost: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.slots.write().retain(|id, _| !is_lost(id));
        self.lost.set(is_lost);
    }

    /// All records have been replayed: requests are served, and outcomes without all their markers are seen through.
    pub fn finish_loading(&self, now: Now) {
        let settings = self.settings();
        *self.next.lock() = Due {
            abort: now.tick.saturating_add(settings.abort_interval_ms),
            expire: now.tick.saturating_add(settings.expire_interval_ms),
        };
        self.is_loaded.store(true, Ordering::Release);
        self.stranded.notify_one();
    }

    /// When [`Self::run_due`] has to be called next, by the monotonic clock.
    pub fn next_deadline(&self) -> Millis {
        let next = self.next.lock();
        next.abort.min(next.expire)
    }

    /// Returns when [`Self::run_due`] has to be called before that.
    pub async fn has_stranded(&self) {
        self.stranded.notified().await;
    }

    /// Aborts what has been open for too long (T7), writes markers that nobody else is writing, and forgets ids that
    /// were not used for long (T12).
    pub async fn run_due(&self) {
        let now = self.clock.now();
        let settings = self.settings();
        let (aborts, expires) = {
            let mut next = self.next.lock();
            let due = (now.tick >= next.abort, now.tick >= next.expire);
            if due.0 {
                next.abort = now.tick.saturating_add(settings.abort_interval_ms.max(1));
            }
            if due.1 {
                next.expire = now.tick.saturating_add(settings.expire_interval_ms.max(1));
            }
            due
        };
        let all: Vec<_> = self.slots.read().values().cloned().collect();
        // Side by side, because each waits for the disk twice, but not all of a million.
        for some in all.chunks(COMPLETING_AT_ONCE) {
            let mut completing: Vec<_> = some
                .iter()
                .filter_map(|shared| {
                    let mut slot = shared.lock();
                    if aborts {
                        self.time_out(&mut slot, now);
                    }
                    if expires {
                        self.expire(&mut slot, now, settings.id_expiration_ms);
                    }
                    let is_left = slot.state.as_ref().is_some_and(|state| state.status.is_prepared());
                    let is_ours = is_left && !slot.is_completing;
                    is_ours.then(|| Box::pin(self.begin_completing(shared, &mut slot).run()))
                })
                .collect();
            // What fails now is tried again at the next scan.
            poll_fn(|cx| {
                completing.retain_mut(|one| one.as_mut().poll(cx).is_pending());
                if completing.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    fn time_out(&self, slot: &mut Slot, now: Now) {
        let fresh = &mut || self.doors.fresh_producer_id();
        let late = slot.state.as_ref().map_or(Ok(None), |state| state.time_out(now.wall, fresh));
        if let Ok(Some(aborted)) = late {
            tracing::info!(transactional_id = %slot.id, "a transaction took too long and is aborted");
            // A failed append is logged; the next scan tries again.
            let _ = self.advance(slot, Some(aborted), now);
        }
    }

    fn expire(&self, slot: &mut Slot, now: Now, retention_ms: Millis) {
        let is_expired = slot.state.as_ref().is_some_and(|state| state.is_expired(now.wall, retention_ms));
        if is_expired && !slot.is_removed && self.advance(slot, None, now).is_ok() {
            self.remove(slot);
        }
    }

    fn remove(&self, slot: &mut Slot) {
        slot.is_removed = true;
        self.slots.write().remove(&slot.id);
    }

    /// Answers everything that still comes with `COORDINATOR_NOT_AVAILABLE`. What is under way is seen through, or is
    /// after the restart.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    /// Looks at what partitions hold open after a crash; once, between the last [`Self::replay`] and
    /// [`Self::finish_loading`].
    ///
    /// Of a power cut, some partitions may have kept more than the coordinator's log has, and some less. What belongs to
    /// a transaction under way is made part of it again; what has ended is ended there, too. Otherwise it would hold up
    /// readers of committed records for good. A producer id that no transactional id has is nobody's to end but the
    /// operator's.
    pub fn found_open(&self, open: &[OpenTransaction]) {
        let now = self.clock.now();
        let all: Vec<_> = self.slots.read().values().cloned().collect();
        let mut by_producer = HashMap::new();
        for slot in &all {
            if let Some(state) = &slot.lock().state {
                by_producer.insert(state.producer_id, slot);
                for other in [state.previous_producer_id, state.next_producer_id] {
                    by_producer.entry(other).or_insert(slot);
                }
            }
        }
        for found in open {
            let settled = match by_producer.get(&found.producer.0) {
                Some(slot) => self.settle_open(&mut slot.lock(), found, now),
                None => Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING),
            };
            if let Err(error) = settled {
                let OpenTransaction { producer, topic, partition } = found;
                tracing::warn!(
                    %topic, partition, producer_id = producer.0, %error,
                    "a transaction stays open; quipu txn abort ends it"
                );
            }
        }
    }

    /// Whether something that [`Self::found_open`] has found is still to be made part of its transaction.
    pub fn has_reopened(&self) -> bool {
        let all: Vec<_> = self.slots.read().values().cloned().collect();
        all.iter().any(|slot| !slot.lock().reopened.is_empty())
    }

    fn settle_open(&self, slot: &mut Slot, found: &OpenTransaction, now: Now) -> Result<(), ErrorCode> {
        let OpenTransaction { producer, topic, partition } = found;
        let state = slot.state.as_ref().ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        if producer.0 == state.producer_id && producer.1 > state.producer_epoch {
            // More is lost of the coordinator's log than a power cut takes.
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        match state.found_open(now.wall, *producer, topic, *partition) {
            Found::Known => Ok(()),
            Found::Joins(next) => self.advance(slot, Some(next), now),
            Found::JoinsNext => {
                slot.reopened.push((Arc::clone(topic), *partition));
                Ok(())
            }
            Found::Ended { is_commit, epoch } => {
                tracing::warn!(
                    transactional_id = %slot.id, %topic, partition, is_commit,
                    "the end of a transaction was lost here and is written again"
                );
                let marker = Marker {
                    producer_id: producer.0,
                    producer_epoch: epoch,
                    is_commit,
                    coordinator_epoch: COORDINATOR_EPOCH,
                    has_own_epoch: epoch > producer.1,
                };
                self.doors.write_marker(topic, *partition, &marker).map(drop)
            }
        }
    }

    // ---- Requests ----

    /// InitProducerId of a transactional producer (T2). Without a timeout its transactions stay open until it ends them
    /// (KIP-939).
    ///
    /// # Errors
    /// Kafka's codes for it.
    pub async fn init(
        &self,
        id: &str,
        timeout_ms: Option<i32>,
        expected: Option<Identity>,
    ) -> Result<Identity, ErrorCode> {
        self.admit(id)?;
        let settings = self.settings();
        if timeout_ms.is_some_and(|timeout_ms| !(1..=settings.timeout_ms_max).contains(&timeout_ms)) {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let timeout_ms = timeout_ms.unwrap_or(machine::NEVER_MS);
        if id.len() > records::ID_BYTES_MAX {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let now = self.clock.now();
        let fresh = &mut || self.doors.fresh_producer_id();
        let (ready, completing) = loop {
            let shared = self.slot_or_new(id, settings.ids_max)?;
            let mut slot = shared.lock();
            if slot.is_removed {
                continue;
            }
            let init = Transaction::init(now.wall, slot.state.as_ref(), timeout_ms, expected, fresh);
            let advanced = init.and_then(|init| {
                let (next, is_ready) = match init {
                    Init::Ready(next) => (next, true),
                    Init::Fence(next) => (next, false),
                };
                let identity = next.identity();
                self.advance(&mut slot, Some(next), now).map(|()| (identity, is_ready))
            });
            let (identity, is_ready) = advanced.inspect_err(|_| {
                // An id that never came to be does not count.
                if slot.state.is_none() {
                    self.remove(&mut slot);
                }
            })?;
            let completing = (!is_ready).then(|| self.begin_completing(&shared, &mut slot));
            break (is_ready.then_some(identity), completing);
        };
        self.durable(id).await?;
        if let Some(completing) = completing {
            completing.run().await?;
        }
        ready.ok_or(ErrorCode::CONCURRENT_TRANSACTIONS)
    }

    /// Adds partitions to the producer's transaction. Says whether that has to be [durable](Self::durable) before
    /// anything is appended to them: not if the producer's last transaction was of version 2.
    ///
    /// # Errors
    /// Kafka's codes for it.
    pub fn add_partitions(
        &self,
        id: &str,
        producer: Identity,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<Begun, ErrorCode> {
        self.admit(id)?;
        let now = self.clock.now();
        self.with(id, |_, slot| {
            let state = slot.state.as_ref().ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
            let is_first = state.version == Version::One;
            if let Some(next) = state.add(now.wall, producer, partitions)? {
                self.advance(slot, Some(next), now)?;
            }
            Ok(if is_first { Begun::Durably } else { Begun::Unhurried })
        })
    }

    /// Waits until all that is known of the id is durable.
    ///
    /// # Errors
    /// The log could not be synced.
    pub async fn durable(&self, id: &str) -> Result<(), ErrorCode> {
        self.durability(id).wait().await.map_err(log_error)
    }

    /// Has all that is known of the id made durable, for whoever waits for more than that.
    pub fn durability(&self, id: &str) -> Durability {
        self.doors.durable(id)
    }

    /// Whether the partition is part of the producer's transaction.
    ///
    /// # Errors
    /// Kafka's codes for it: `TRANSACTION_ABORTABLE` when it is not.
    pub fn verify(&self, id: &str, producer: Identity, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.within(id, producer, topic, partition, || ())
    }

    /// T5: does `work` while the partition is part of the producer's transaction. That cannot be ended in between.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn within<R>(
        &self,
        id: &str,
        producer: Identity,
        topic: &str,
        partition: i32,
        work: impl FnOnce() -> R,
    ) -> Result<R, ErrorCode> {
        self.admit(id)?;
        self.with(id, |_, slot| {
            let state = slot.state.as_ref().ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
            state.verify(producer, topic, partition)?;
            Ok(work())
        })
    }

    /// EndTxn: the outcome is durable, and all readers see it, when this returns. Gives the producer's identity from
    /// here on.
    ///
    /// # Errors
    /// Kafka's codes for it.
    pub async fn end(
        &self,
        id: &str,
        producer: Identity,
        is_commit: bool,
        version: Version,
    ) -> Result<Identity, ErrorCode> {
        self.admit(id)?;
        let now = self.clock.now();
        let fresh = &mut || self.doors.fresh_producer_id();
        let (told, completing) = self.with(id, |shared, slot| {
            let state = slot.state.as_ref().ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
            match state.end(now.wall, producer, is_commit, version, fresh)? {
                End::Done => Ok((state.identity(), None)),
                End::Prepared(next) => {
                    let after = next.complete(now.wall).map_or(next.identity(), |done| done.identity());
                    self.advance(slot, Some(next), now)?;
                    Ok((after, Some(self.begin_completing(shared, slot))))
                }
            }
        })?;
        match completing {
            // The outcome stands: if a marker cannot be written now, it is later.
            Some(completing) => completing.run().await?,
            None => self.durable(id).await?,
        }
        Ok(told)
    }

    /// DescribeTransactions, for one id.
    ///
    /// # Errors
    /// `TRANSACTIONAL_ID_NOT_FOUND`, or the coordinator is loading or stopped.
    pub fn describe(&self, id: &str) -> Result<Transaction, ErrorCode> {
        self.admit(id)?;
        let found = self.with(id, |_, slot| Ok(slot.state.clone()));
        found.ok().flatten().ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)
    }

    /// All transactional ids, in order.
    ///
    /// # Errors
    /// The coordinator is loading or stopped.
    pub fn list(&self) -> Result<Vec<(Arc<str>, Transaction)>, ErrorCode> {
        self.admit_any()?;
        let all: Vec<_> = self.slots.read().values().cloned().collect();
        let mut listed: Vec<_> = all
            .iter()
            .filter_map(|slot| {
                let slot = slot.lock();
                slot.state.clone().map(|state| (Arc::clone(&slot.id), state))
            })
            .collect();
        listed.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(listed)
    }

    // ---- The common way of a step ----

    fn admit(&self, id: &str) -> Result<(), ErrorCode> {
        self.admit_any()?;
        self.lost.check(id)?;
        if id.is_empty() { Err(ErrorCode::INVALID_REQUEST) } else { Ok(()) }
    }

    fn admit_any(&self) -> Result<(), ErrorCode> {
        if self.is_stopped.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        } else if !self.is_loaded.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
        } else {
            Ok(())
        }
    }

    fn slot_or_new(&self, id: &str, limit: usize) -> Result<Arc<Mutex<Slot>>, ErrorCode> {
        if let Some(slot) = self.slots.read().get(id) {
            return Ok(Arc::clone(slot));
        }
        let mut slots = self.slots.write();
        if !slots.contains_key(id) && slots.len() >= limit {
            tracing::warn!(limit, "too many transactional ids: let producers use theirs again");
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        let id: Arc<str> = id.into();
        Ok(Arc::clone(slots.entry(Arc::clone(&id)).or_insert_with(|| Slot::new(id))))
    }

    /// Works on an id that is known.
    fn with<R>(
        &self,
        id: &str,
        work: impl FnOnce(&Arc<Mutex<Slot>>, &mut Slot) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        loop {
            let found = self.slots.read().get(id).cloned();
            let shared = found.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
            let mut slot = shared.lock();
            if !slot.is_removed {
                return work(&shared, &mut slot);
            }
        }
    }

    /// Appends the next state and takes it over. Without one the id is forgotten.
    fn advance(&self, slot: &mut Slot, next: Option<Transaction>, now: Now) -> Result<(), ErrorCode> {
        let record = records::encode(&slot.id, next.as_ref()).map_err(|_| ErrorCode::INVALID_REQUEST)?;
        self.doors.append(&slot.id, record, now.wall).map_err(|error| {
            tracing::warn!(transactional_id = %slot.id, %error, "transaction state not kept");
            log_error(error)
        })?;
        slot.state = next;
        Ok(())
    }

    fn begin_completing(&self, shared: &Arc<Mutex<Slot>>, slot: &mut Slot) -> Completing<'_> {
        slot.is_completing = true;
        Completing {
            coordinator: self,
            slot: Arc::clone(shared),
            of: None,
            marked: Vec::new(),
            is_released: false,
            is_done: false,
        }
    }
}

impl std::fmt::Debug for TransactionCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionCoordinator")
            .field("ids", &self.slots.read().len())
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn new(id: Arc<str>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            id,
            state: None,
            is_completing: false,
            marked: HashSet::new(),
            reopened: Vec::new(),
            is_removed: false,
        }))
    }
}

/// The writing of markers for an outcome. When it is given up half-way, somebody else is called to it.
struct Completing<'a> {
    coordinator: &'a TransactionCoordinator,
    slot: Arc<Mutex<Slot>>,
    /// The state whose markers are written.
    of: Option<Transaction>,
    /// The partitions that have their marker, while the outcome is not told to be complete.
    marked: Vec<(Arc<str>, i32)>,
    /// The slot is no longer ours: somebody else may be completing in it.
    is_released: bool,
    /// Nobody else has to be called.
    is_done: bool,
}

impl Completing<'_> {
    /// Waits for the outcome to be durable, writes all markers, waits for these, and says that they are there.
    async fn run(mut self) -> Result<(), ErrorCode> {
        self.see_through().await
    }

    async fn see_through(&mut self) -> Result<(), ErrorCode> {
        let coordinator = self.coordinator;
        let shared = Arc::clone(&self.slot);
        let (state, outcome) = {
            let mut slot = shared.lock();
            let Some(state) = slot.state.clone().filter(|state| state.status.is_prepared()) else {
                self.release(&mut slot);
                return Ok(());
            };
            (state, coordinator.doors.durable(&slot.id))
        };
        self.of = Some(state.clone());
        // SAFETY of the data: a marker may never outlive its outcome.
        let written = match outcome.wait().await {
            Ok(()) => self.write_markers(&state).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // Not handed on at once, which would be a busy loop: the next scan takes it up.
            self.is_done = true;
            return Err(log_error(error));
        }
        let now = coordinator.clock.now();
        let mut slot = shared.lock();
        if slot.state.as_ref() != Some(&state) {
            // Somebody else has seen it through.
            self.release(&mut slot);
            return Ok(());
        }
        self.is_done = true;
        let Some(done) = state.complete(now.wall) else { return Ok(()) };
        let next = if slot.reopened.is_empty() {
            None
        } else {
            done.add(now.wall, done.identity(), &slot.reopened)?
        };
        coordinator.advance(&mut slot, Some(done), now)?;
        slot.marked.clear();
        // From here on the next transaction may begin, and end.
        self.release(&mut slot);
        if let Some(next) = next {
            coordinator.advance(&mut slot, Some(next), now)?;
            slot.reopened.clear();
        }
        Ok(())
    }

    /// Lets go of the slot under the guard that has published its state. Later would be too late: by then it may be
    /// somebody else's.
    fn release(&mut self, slot: &mut Slot) {
        slot.is_completing = false;
        self.is_released = true;
        self.is_done = true;
    }

    async fn write_markers(&mut self, state: &Transaction) -> Result<(), ErrorCode> {
        let marker = Marker {
            producer_id: state.producer_id,
            producer_epoch: state.producer_epoch,
            is_commit: state.status == Status::PrepareCommit,
            coordinator_epoch: COORDINATOR_EPOCH,
            has_own_epoch: state.version == Version::Two,
        };
        let marked = {
            let slot = self.slot.lock();
            // A marker of an outcome that has been told could end a part of the next transaction.
            if slot.state.as_ref() != Some(state) {
                return Ok(());
            }
            slot.marked.clone()
        };
        let mut written = Vec::new();
        for (topic, partitions) in &state.partitions {
            let places = partitions.iter().map(|partition| (Arc::clone(topic), *partition));
            for place in places.filter(|place| !marked.contains(place)) {
                let durability = self.coordinator.doors.write_marker(&place.0, place.1, &marker);
                written.push((place, durability));
            }
        }
        // One that cannot be written must not keep the others from being read.
        let mut outcome = Ok(());
        for (place, durability) in written {
            let one = match durability {
                Ok(durability) => durability.wait().await,
                Err(error) => Err(error),
            };
            match one {
                Ok(()) => self.marked.push(place),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}

impl Drop for Completing<'_> {
    fn drop(&mut self) {
        if self.is_released {
            return;
        }
        let mut slot = self.slot.lock();
        slot.is_completing = false;
        if self.of.is_some() && slot.state == self.of {
            slot.marked.extend(self.marked.drain(..));
        }
        drop(slot);
        if !self.is_done {
            self.coordinator.stranded.notify_one();
        }
    }
}
