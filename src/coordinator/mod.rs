//! The group coordinator: drives one pure machine per group.
//!
//! Every call locks one group, lets its machine take a step, appends the step's records, settles the step and lets
//! go; only then does it wait, for the reply of a round of joins or syncs, and for the records to be durable. Locks are
//! never held across an await. What the machines need from outside enters through the doors of [`doors`].
//!
//! A parked JoinGroup or SyncGroup is a token in its group and a oneshot channel. When the connection goes away, its
//! future is dropped and takes both with it.

mod admin;
pub mod assign;
mod consumer;
pub mod doors;
pub mod group;
mod lost;
mod membership;
mod offsets;
mod pending;
pub mod records;
pub mod settings;
mod silence;
mod slots;
mod step;
pub mod txn;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::RwLock;
use quipu_protocol::primitives::Uuid;
use tokio::sync::Notify;

pub use self::admin::GroupListing;
use self::doors::{CoordinatorClock, CoordinatorLog, TopicLookup};
use self::lost::Lost;
use self::pending::PendingGroups;
use self::settings::{ConsumerTimes, GroupSettings};
pub use self::silence::Silence;
use self::silence::Watch;
use self::slots::{Deadlines, Slots};

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
    /// What single consumer groups have set for themselves.
    consumer_times: RwLock<HashMap<String, ConsumerTimes>>,
    log: Arc<dyn CoordinatorLog>,
    topics: Arc<dyn TopicLookup>,
    clock: Arc<dyn CoordinatorClock>,
    slots: Slots,
    deadlines: Deadlines,
    /// Groups with offsets in open transactions.
    pending: PendingGroups,
    /// When expired offsets are looked for next, by the monotonic clock.
    next_offsets_check: AtomicI64,
    /// Told when a deadline comes up that is earlier than all before.
    earlier: Notify,
    is_loaded: AtomicBool,
    is_stopped: AtomicBool,
    /// Groups of which nothing is known.
    lost: Lost,
    /// Members of before the start that have not been heard of yet.
    watch: Watch,
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
            consumer_times: RwLock::default(),
            log,
            topics,
            clock,
            slots: Slots::new(),
            deadlines: Deadlines::default(),
            pending: PendingGroups::default(),
            next_offsets_check: AtomicI64::new(Millis::MAX),
            earlier: Notify::new(),
            is_loaded: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            lost: Lost::default(),
            watch: Watch::default(),
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

    /// Sets the times of single consumer groups; all others have the common ones.
    pub fn set_consumer_times(&self, times: HashMap<String, ConsumerTimes>) {
        *self.consumer_times.write() = times;
    }

    fn consumer_times(&self, group_id: &str) -> ConsumerTimes {
        let own = self.consumer_times.read().get(group_id).copied();
        own.unwrap_or_else(|| self.settings().consumer)
    }

    /// Which topics there are, for handlers that translate between names and ids.
    pub fn topics(&self) -> &dyn TopicLookup {
        &*self.topics
    }

    /// Number of groups in memory.
    pub fn count(&self) -> usize {
        self.slots.count()
    }

    /// Takes one record of the log, in order; before [`Self::finish_loading`] only. `producer` wrote it as part of a
    /// transaction.
    ///
    /// # Errors
    /// The record is damaged or of a later version; the rest can still be loaded.
    pub fn replay(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        producer: Option<i64>,
    ) -> Result<(), records::RecordError> {
        let Some((group_id, record)) = records::decode(key, value)? else { return Ok(()) };
        let slot = self.slots.get_or_create(&group_id, usize::MAX);
        if let Some(slot) = slot {
            let mut slot = slot.lock();
            match producer {
                Some(producer) => self.pend(&mut slot, producer, &record),
                None => slot.group.replay(&record),
            }
        }
        Ok(())
    }

    /// The groups for which `is_lost` holds could not be read as a whole: what was replayed of them is dropped, and they are
    /// answered with `NOT_COORDINATOR`. Once, between the last [`Self::replay`] and [`Self::finish_loading`].
    pub fn lose(&self, is_lost: impl Fn(&str) -> bool + Send + Sync + 'static) {
        for slot in self.slots.all() {
            let mut slot = slot.lock();
            if is_lost(slot.group.id()) {
                self.slots.remove(&mut slot);
            }
        }
        self.lost.set(is_lost);
    }

    /// All records have been replayed and all topics are known: members get a session each, offsets of partitions that
    /// are gone are removed, and requests are served. `silences` are those of the broker's last life.
    pub fn finish_loading(&self, now: Now, silences: &[Silence]) {
        let silent = silence::by_group(silences);
        for slot in self.slots.all() {
            let mut slot = slot.lock();
            let times = self.consumer_times(slot.group.id());
            let silent = silent.get(&**slot.group.id());
            let silent_ms = |id: &str| silent.and_then(|members| members.get(id)).copied().unwrap_or(0);
            slot.group.restore(now, &times, silent_ms);
            self.watch.add(&slot.group);
            let step = slot.group.remove_missing(&*self.topics);
            // If this cannot be kept, the offsets are removed at the next start.
            let _ = self.advance(&mut slot, now, step);
            self.tidy(&mut slot);
        }
        let check = now.tick.saturating_add(self.settings().offsets_check_interval_ms);
        self.next_offsets_check.store(check, Ordering::Relaxed);
        self.watch.start(now);
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
            let step = slot.group.expire(now, &*self.topics, &settings);
            // A failed append is logged. A classic group has moved on as Kafka's would; one of consumers looks again.
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

    /// Forgets the offsets of a topic that has been deleted. There may be another one of that name by now; its offsets
    /// stay.
    pub fn on_topic_deleted(&self, name: &str, id: Uuid) {
        let now = self.clock.now();
        self.for_each(|slot| {
            // A failed append is logged; the next start removes what is left.
            let step = slot.group.remove_topic(name, id);
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
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCoordinator").field("groups", &self.count()).finish_non_exhaustive()
    }
}
