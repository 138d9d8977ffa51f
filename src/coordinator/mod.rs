//! The group coordinator: drives one pure machine per group.
//!
//! Every call locks one group, lets its machine take a step, appends the step's records, settles the step and lets
//! go; only then does it wait, for the reply of a round of joins or syncs, and for the records to be durable. Locks are
//! never held across an await. What the machines need from outside enters through the doors of [`doors`].
//!
//! A parked JoinGroup or SyncGroup is a token in its group and a oneshot channel. When the connection goes away, its
//! future is dropped and takes both with it.

pub mod doors;
pub mod group;
pub mod records;
pub mod settings;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::RwLock;
use quipu_protocol::error_code::ErrorCode;
use tokio::sync::Notify;

use self::doors::{CoordinatorClock, CoordinatorLog, Durability, TopicLookup};
use self::group::classic::{GroupView, JoinRequest, Leaving, State, SyncRequest};
use self::group::offsets::CommitRequest;
use self::group::{Committer, Group, JoinReply, MemberId, Record, Reply, Step, SyncReply, Token};
use self::settings::{GroupSettings, PROTOCOLS_PER_MEMBER_MAX};
use self::slots::{Deadlines, Slot, Slots};

/// Milliseconds, of whichever clock.
pub type Millis = i64;

/// A moment on both clocks: timeouts go by the one that only moves forward, what is kept goes by the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock.
    pub tick: Millis,
    /// Wall clock, since the epoch.
    pub wall: Millis,
}

/// The coordinator of all groups.
pub struct GroupCoordinator {
    settings: RwLock<GroupSettings>,
    log: Arc<dyn CoordinatorLog>,
    topics: Arc<dyn TopicLookup>,
    clock: Arc<dyn CoordinatorClock>,
    slots: Slots,
    deadlines: Deadlines,
    /// When expired offsets are looked for next, by the monotonic clock.
    next_offsets_check: AtomicI64,
    /// Told when a deadline comes up that is earlier than all before.
    earlier: Notify,
    is_loaded: AtomicBool,
    is_stopped: AtomicBool,
}

/// A line of ListGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Name.
    pub id: Arc<str>,
    /// State.
    pub state: State,
    /// Kind of protocol, empty when it never had members.
    pub protocol_type: Arc<str>,
}

impl GroupCoordinator {
    /// A coordinator without groups, which answers `COORDINATOR_LOAD_IN_PROGRESS` until it is
    /// [loaded](Self::finish_loading).
    pub fn new(
        settings: GroupSettings,
        log: Arc<dyn CoordinatorLog>,
        topics: Arc<dyn TopicLookup>,
        clock: Arc<dyn CoordinatorClock>,
    ) -> Self {
        Self {
            settings: RwLock::new(settings),
            log,
            topics,
            clock,
            slots: Slots::new(),
            deadlines: Deadlines::default(),
            next_offsets_check: AtomicI64::new(Millis::MAX),
            earlier: Notify::new(),
            is_loaded: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Settings in force.
    pub fn settings(&self) -> GroupSettings {
        *self.settings.read()
    }

    /// Changes the settings for what comes from now on.
    pub fn set_settings(&self, settings: GroupSettings) {
        *self.settings.write() = settings;
    }

    /// Which topics there are, for handlers that translate between names and ids.
    pub fn topics(&self) -> &dyn TopicLookup {
        &*self.topics
    }

    /// Number of groups in memory.
    pub fn count(&self) -> usize {
        self.slots.count()
    }

    // ---- Loading, time, stop: called by the broker ----

    /// Takes one record of the log, in order; before [`Self::finish_loading`] only.
    ///
    /// # Errors
    /// The record is damaged or of a later version; the rest can still be loaded.
    pub fn replay(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), records::RecordError> {
        let Some((group_id, record)) = records::decode(key, value)? else { return Ok(()) };
        let slot = self.slots.get_or_create(&group_id, usize::MAX);
        if let Some(slot) = slot {
            slot.lock().group.replay(&record);
        }
        Ok(())
    }

    /// All records have been replayed and all topics are known: members get a fresh session each, offsets of partitions
    /// that are gone are removed, and requests are served.
    pub fn finish_loading(&self, now: Now) {
        for slot in self.slots.all() {
            let mut slot = slot.lock();
            slot.group.restore(now);
            let exists = |topic: &str, partition| self.has_partition(topic, partition);
            let step = slot.group.remove_missing(exists);
            // If this cannot be kept, the offsets are removed at the next start.
            let _ = self.advance(&mut slot, now, step);
            self.tidy(&mut slot);
        }
        let check = now.tick.saturating_add(self.settings().offsets_check_interval_ms);
        self.next_offsets_check.store(check, Ordering::Relaxed);
        self.is_loaded.store(true, Ordering::Release);
        self.earlier.notify_one();
    }

    /// When [`Self::expire`] has to be called next, by the monotonic clock.
    pub fn next_deadline(&self) -> Millis {
        let check = self.next_offsets_check.load(Ordering::Relaxed);
        self.deadlines.next().map_or(check, |next| next.min(check))
    }

    /// Returns when [`Self::next_deadline`] has become earlier.
    pub async fn deadline_moved(&self) {
        self.earlier.notified().await;
    }

    /// Does everything that is due.
    pub fn expire(&self, now: Now) {
        let settings = self.settings();
        for group_id in self.deadlines.take_due(now.tick) {
            let Some(slot) = self.slots.get(&group_id) else { continue };
            let mut slot = slot.lock();
            if slot.removed {
                continue;
            }
            slot.scheduled = Millis::MAX;
            let step = slot.group.expire(now, &settings);
            // A failed append is logged; the machine has moved on as Kafka's would.
            let _ = self.advance(&mut slot, now, step);
            self.tidy(&mut slot);
        }
        if now.tick >= self.next_offsets_check.load(Ordering::Relaxed) {
            let next = now.tick.saturating_add(settings.offsets_check_interval_ms.max(1));
            self.next_offsets_check.store(next, Ordering::Relaxed);
            self.for_each(|slot| {
                // A failed append is logged; what could not be removed now is removed the next time.
                let step = slot.group.expire_offsets(now.wall, &settings);
                let _ = self.advance(slot, now, step);
                slot.is_known &= !slot.group.is_forgettable();
            });
        }
    }

    /// Forgets the offsets of a topic that has been deleted.
    pub fn on_topic_deleted(&self, name: &str) {
        let now = self.clock.now();
        self.for_each(|slot| {
            // A failed append is logged; the next start removes what is left.
            let step = slot.group.remove_topic(name);
            let _ = self.advance(slot, now, step);
        });
    }

    /// Answers everything that waits, and everything that still comes, with `COORDINATOR_NOT_AVAILABLE`. Groups stay
    /// as they are in the log: after the restart their members go on.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        for slot in self.slots.all() {
            // Dropping a sender wakes its waiter.
            slot.lock().waiters.clear();
        }
    }

    // ---- Membership ----

    /// JoinGroup. Waits until the round of joins ends.
    pub async fn join(&self, group_id: &str, mut request: JoinRequest) -> JoinReply {
        let member_id = request.member_id.clone();
        if let Err(error) = self.admit_join(group_id, &mut request) {
            return JoinReply::refuse(error, member_id);
        }
        let settings = self.settings();
        let create = member_id.is_empty();
        let parked = self.parked(group_id, create, |group, now, token| {
            let mut step = Step::default();
            group.classic.join(now, token, request, &settings, &mut step);
            step
        });
        match parked.await {
            Ok(Reply::Join(reply)) => reply,
            Ok(Reply::Sync(_)) => unreachable!("a join is answered as a join"),
            Err(error) => JoinReply::refuse(error, member_id),
        }
    }

    fn admit_join(&self, group_id: &str, request: &mut JoinRequest) -> Result<(), ErrorCode> {
        self.admit(group_id)?;
        let settings = self.settings();
        let bounds = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
        if !bounds.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if request.rebalance_timeout_ms < 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        // What does not fit a record's string could never be kept.
        let texts = [
            request.protocol_type.len(),
            request.client_id.len() + UUID_TEXT_BYTES,
            request.instance_id.as_ref().map_or(0, |id| id.len()) + UUID_TEXT_BYTES,
        ];
        if texts.into_iter().any(|length| length > TEXT_BYTES_MAX) || group_id.len() > TEXT_BYTES_MAX {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let mut seen = HashSet::new();
        request.protocols.retain(|protocol| seen.insert(protocol.name.clone()));
        let fits = |name: &Arc<str>| name.len() <= TEXT_BYTES_MAX;
        if request.protocols.len() > PROTOCOLS_PER_MEMBER_MAX || !seen.iter().all(fits) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let prefix = request.instance_id.as_ref().unwrap_or(&request.client_id);
        request.fresh_id = member_id(prefix, self.clock.random_bits());
        Ok(())
    }

    /// SyncGroup. Waits for the leader's assignment.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> SyncReply {
        if let Err(error) = self.admit(group_id) {
            return SyncReply::refuse(error);
        }
        let parked = self.parked(group_id, false, |group, now, token| {
            let mut step = Step::default();
            group.classic.sync(now, token, request, &mut step);
            step
        });
        match parked.await {
            Ok(Reply::Sync(reply)) => reply,
            Ok(Reply::Join(_)) => unreachable!("a sync is answered as a sync"),
            Err(error) => SyncReply::refuse(error),
        }
    }

    /// Heartbeat.
    pub fn heartbeat(
        &self,
        group_id: &str,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        match self.admit(group_id) {
            // While loading, nobody can be told that it is not a member.
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => return ErrorCode::NONE,
            Err(error) => return error,
            Ok(()) => {}
        }
        let now = self.clock.now();
        let beat = |slot: &mut Slot| slot.group.classic.heartbeat(now, member_id, instance_id, generation);
        self.with(group_id, beat).unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// LeaveGroup: one error code per member.
    ///
    /// # Errors
    /// The request as a whole is refused; `UNKNOWN_MEMBER_ID` when there is no such group.
    pub async fn leave(&self, group_id: &str, leaving: &[Leaving]) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit(group_id)?;
        let now = self.clock.now();
        let left = self.with(group_id, |slot| {
            let mut step = Step::default();
            let codes = slot.group.classic.leave(now, leaving, &mut step);
            (codes, self.advance(slot, now, step))
        });
        let (codes, appended) = left.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        // The members are gone from memory whether or not that was kept; a restart would have them time out.
        if let Ok(durability) = appended {
            let _ = durability.wait().await;
        }
        Ok(codes)
    }

    // ---- Offsets ----

    /// OffsetCommit: one error code per partition. `retention_ms` is the client's own (versions 2–4); `names_groups`
    /// says that the client knows `GROUP_ID_NOT_FOUND` (version 9).
    ///
    /// # Errors
    /// The request as a whole is refused.
    pub async fn commit(
        &self,
        group_id: &str,
        committer: &Committer,
        requests: Vec<CommitRequest>,
        retention_ms: Option<Millis>,
        names_groups: bool,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit_any_name()?;
        let now = self.clock.now();
        let mut settings = self.settings();
        settings.offset_metadata_bytes_max = settings.offset_metadata_bytes_max.min(TEXT_BYTES_MAX);
        let commit = |slot: &mut Slot| {
            let (codes, step) = slot.group.commit(now, committer, requests, retention_ms, &settings)?;
            Ok((codes, self.advance(slot, now, step)?))
        };
        // Without a generation the group need not exist: its offsets are all that it is (a "simple" group).
        let committed = if committer.generation < 0 {
            Some(self.with_new(group_id, commit)?)
        } else {
            self.with(group_id, commit)
        };
        let no_group =
            if names_groups { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION };
        let (codes, durability) = committed.ok_or(no_group)?.map_err(|error| match error {
            ErrorCode::UNKNOWN_SERVER_ERROR => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
            other => other,
        })?;
        durability.wait().await.map_err(log_error)?;
        Ok(codes)
    }

    /// Looks at a group's offsets; `look` gets `None` for a group that does not exist. What it saw is durable when this
    /// returns, so that nobody goes on from an offset that a power cut could take back.
    ///
    /// # Errors
    /// The coordinator is loading or stopped, or what was seen could not be made durable.
    pub async fn look<R>(
        &self,
        group_id: &str,
        look: impl FnOnce(Option<&Group>) -> R,
    ) -> Result<R, ErrorCode> {
        let (seen, durability) = self.peek(group_id, look)?;
        durability.wait().await.map_err(log_error)?;
        Ok(seen)
    }

    fn peek<R>(
        &self,
        group_id: &str,
        look: impl FnOnce(Option<&Group>) -> R,
    ) -> Result<(R, Durability), ErrorCode> {
        self.admit_any_name()?;
        let Some(slot) = self.slots.get(group_id) else { return Ok((look(None), Durability::Done)) };
        let slot = slot.lock();
        Ok((look(Some(&slot.group).filter(|_| !slot.removed)), slot.latest.clone()))
    }

    /// OffsetDelete: one error code per partition.
    ///
    /// # Errors
    /// The request as a whole is refused; `GROUP_ID_NOT_FOUND` when there is no such group.
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.admit(group_id)?;
        let now = self.clock.now();
        let deleted = self.with(group_id, |slot| {
            let (codes, step) = slot.group.delete_offsets(partitions)?;
            Ok((codes, self.advance(slot, now, step)?))
        });
        let (codes, durability) = deleted.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)??;
        durability.wait().await.map_err(log_error)?;
        Ok(codes)
    }

    // ---- Administration ----

    /// DeleteGroups, for one group.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`, or the log's.
    pub async fn delete(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.admit_any_name()?;
        let now = self.clock.now();
        let deleted = self.with(group_id, |slot| {
            let step = slot.group.delete()?;
            self.advance(slot, now, step)
        });
        deleted.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)??.wait().await.map_err(log_error)
    }

    /// DescribeGroups, for one group.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, or the coordinator is loading or stopped.
    pub fn describe(&self, group_id: &str) -> Result<GroupView, ErrorCode> {
        let (view, _) = self.peek(group_id, |group| group.map(|group| group.classic.view()))?;
        view.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)
    }

    /// ListGroups, in order of names.
    ///
    /// # Errors
    /// The coordinator is loading or stopped.
    pub fn list(&self) -> Result<Vec<GroupListing>, ErrorCode> {
        self.admit_any_name()?;
        let mut listings = Vec::with_capacity(self.slots.count());
        for slot in self.slots.all() {
            let slot = slot.lock();
            if !slot.removed {
                listings.push(GroupListing {
                    id: slot.group.id().clone(),
                    state: slot.group.classic.state(),
                    protocol_type: slot.group.classic.protocol_type(),
                });
            }
        }
        listings.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(listings)
    }

    // ---- The common way of a step ----

    fn admit(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.admit_any_name()?;
        if group_id.is_empty() { Err(ErrorCode::INVALID_GROUP_ID) } else { Ok(()) }
    }

    /// Offsets may be kept under the empty name, as they always could.
    fn admit_any_name(&self) -> Result<(), ErrorCode> {
        if self.is_stopped.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        } else if !self.is_loaded.load(Ordering::Acquire) {
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
        } else {
            Ok(())
        }
    }

    fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.topics.partitions(topic).is_some_and(|count| (0..count).contains(&partition))
    }

    /// Works on a group that exists.
    fn with<R>(&self, group_id: &str, work: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        loop {
            let slot = self.slots.get(group_id)?;
            let mut slot = slot.lock();
            if !slot.removed {
                let result = work(&mut slot);
                self.tidy(&mut slot);
                return Some(result);
            }
        }
    }

    /// Works on a group that may be new.
    fn with_new<R>(&self, group_id: &str, work: impl FnOnce(&mut Slot) -> R) -> Result<R, ErrorCode> {
        let limit = self.settings().groups_max;
        loop {
            let Some(slot) = self.slots.get_or_create(group_id, limit) else {
                tracing::warn!(group = group_id, limit, "too many groups: delete some that are not used");
                return Err(ErrorCode::POLICY_VIOLATION);
            };
            let mut slot = slot.lock();
            if !slot.removed {
                let result = work(&mut slot);
                self.tidy(&mut slot);
                return Ok(result);
            }
        }
    }

    fn for_each(&self, work: impl Fn(&mut Slot)) {
        for slot in self.slots.all() {
            let mut slot = slot.lock();
            if !slot.removed {
                work(&mut slot);
                self.tidy(&mut slot);
            }
        }
    }

    /// Drops the group if nothing is left of it, else sees to its next deadline.
    fn tidy(&self, slot: &mut Slot) {
        if slot.group.is_forgettable() && !slot.is_known {
            self.deadlines.forget(slot);
            self.slots.remove(slot);
        } else if self.deadlines.schedule(slot) {
            self.earlier.notify_one();
        }
    }

    /// Takes a step that parks a request, and waits for its reply.
    async fn parked(
        &self,
        group_id: &str,
        create: bool,
        plan: impl FnOnce(&mut Group, Now, Token) -> Step,
    ) -> Result<Reply, ErrorCode> {
        let now = self.clock.now();
        let work = |slot: &mut Slot| {
            let (token, reply) = slot.park();
            let step = plan(&mut slot.group, now, token);
            // Whatever becomes of the append, the reply says it.
            let _ = self.advance(slot, now, step);
            (token, reply)
        };
        let (token, reply) = if create {
            self.with_new(group_id, work)?
        } else {
            self.with(group_id, work).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
        };
        let parked = Parked { coordinator: self, group_id, token };
        let delivered = reply.await;
        std::mem::forget(parked);
        let (mut reply, durability) = delivered.map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        if let Err(error) = durability.wait().await.map_err(log_error) {
            reply = match reply {
                Reply::Join(join) => Reply::Join(JoinReply::refuse(error, join.member_id)),
                Reply::Sync(_) => Reply::Sync(SyncReply::refuse(error)),
            };
        }
        Ok(reply)
    }

    /// Appends and settles a step, and sends its replies.
    ///
    /// # Errors
    /// The step's own records could not be appended. The replies are sent all the same: they say so.
    fn advance(&self, slot: &mut Slot, now: Now, mut step: Step) -> Result<Durability, ErrorCode> {
        let mut outcome = None;
        loop {
            let appended = self.append(slot.group.id(), &step, now);
            let settled = appended.as_ref().map(|_| ()).map_err(|error| *error);
            if let (false, Ok(durability)) = (step.records.is_empty(), &appended) {
                slot.latest = durability.clone();
                slot.is_known = !matches!(step.records.last(), Some(Record::Generation(None)));
            }
            step = slot.group.settle(now, step, settled);
            outcome.get_or_insert(appended);
            if step.records.is_empty() {
                break;
            }
        }
        for (token, reply) in step.replies {
            // A waiter whose connection is gone has taken its place with it.
            if let Some(waiter) = slot.waiters.remove(&token) {
                // Also a reply without records of its own may tell what the last append made so.
                let _ = waiter.send((reply, slot.latest.clone()));
            }
        }
        outcome.unwrap_or(Ok(Durability::Done))
    }

    fn append(&self, group_id: &str, step: &Step, now: Now) -> Result<Durability, ErrorCode> {
        if step.records.is_empty() {
            return Ok(Durability::Done);
        }
        let encoded: Result<Vec<_>, _> =
            step.records.iter().map(|record| records::encode(group_id, record)).collect();
        let encoded = encoded.map_err(|error| {
            tracing::warn!(group = group_id, %error, "group state not kept");
            ErrorCode::INVALID_REQUEST
        })?;
        self.log.append(group_id, encoded, now.wall).map_err(|error| {
            tracing::warn!(group = group_id, %error, "group state not kept");
            log_error(error)
        })
    }
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCoordinator").field("groups", &self.count()).finish_non_exhaustive()
    }
}

/// A parked request: leaves its group when its future is dropped before the reply has come.
struct Parked<'a> {
    coordinator: &'a GroupCoordinator,
    group_id: &'a str,
    token: Token,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let coordinator = self.coordinator;
        let now = coordinator.clock.now();
        coordinator.with(self.group_id, |slot| {
            // Without the waiter the reply has been sent, and the member is one like any other.
            if slot.waiters.remove(&self.token).is_some() {
                let mut step = Step::default();
                slot.group.classic.abandon(now, self.token, &mut step);
                let _ = coordinator.advance(slot, now, step);
            }
        });
    }
}

/// Longest string of a record.
const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// Length of what [`member_id`] adds to its prefix.
const UUID_TEXT_BYTES: usize = 37;

/// A member id as Kafka makes them: the client id, or a static member's instance id, and a random UUID.
fn member_id(prefix: &str, bits: u128) -> MemberId {
    // Version 4, variant 1.
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let part = |shift: u32, bytes: u32| (bits >> shift) & ((1 << (8 * bytes)) - 1);
    format!(
        "{prefix}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 4),
        part(80, 2),
        part(64, 2),
        part(48, 2),
        part(0, 6)
    )
    .into()
}

/// What clients are told of an error of the log, as by Kafka's coordinator.
fn log_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}
