//! The groups in memory, each under its own lock.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::Millis;
use super::doors::Durability;
use super::group::{Group, Reply, Token};

const SHARDS: usize = 16;

/// A reply and what has to be durable before it may be told.
pub(super) type Delivery = (Reply, Durability);

/// A group with the requests that wait for it.
pub(super) struct Slot {
    pub(super) group: Group,
    pub(super) waiters: HashMap<Token, oneshot::Sender<Delivery>>,
    /// The slot is no longer in the map: whoever got hold of it has to look again.
    pub(super) removed: bool,
    /// Something of the group was kept once and it has not been deleted since: it stays, empty as it may be, until
    /// expired offsets are looked for next.
    pub(super) is_known: bool,
    /// Of the last append: what the group says may rest on it.
    pub(super) latest: Durability,
    /// Under which time the group is among the deadlines; `Millis::MAX` when it is not.
    pub(super) scheduled: Millis,
    last_token: u64,
}

impl Slot {
    fn new(id: Arc<str>) -> Self {
        Self {
            group: Group::new(id),
            waiters: HashMap::new(),
            removed: false,
            is_known: false,
            latest: Durability::Done,
            scheduled: Millis::MAX,
            last_token: 0,
        }
    }

    /// A place in which a reply can be waited for.
    pub(super) fn park(&mut self) -> (Token, oneshot::Receiver<Delivery>) {
        self.last_token += 1;
        let token = Token(self.last_token);
        let (sender, receiver) = oneshot::channel();
        self.waiters.insert(token, sender);
        (token, receiver)
    }
}

type Shard = RwLock<HashMap<Arc<str>, Arc<Mutex<Slot>>>>;

/// All groups by name.
///
/// Lock order: a slot before the map, a slot before the deadlines; never two slots.
pub(super) struct Slots {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), count: AtomicUsize::new(0) }
    }

    fn shard(&self, id: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Mutex<Slot>>> {
        self.shard(id).read().get(id).cloned()
    }

    /// The slot of a group that may be new; `None` when it is and there are `limit` groups already.
    pub(super) fn get_or_create(&self, id: &str, limit: usize) -> Option<Arc<Mutex<Slot>>> {
        if let Some(slot) = self.get(id) {
            return Some(slot);
        }
        let mut shard = self.shard(id).write();
        if let Some(slot) = shard.get(id) {
            return Some(slot.clone());
        }
        if self.count.load(Ordering::Relaxed) >= limit {
            return None;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let id: Arc<str> = id.into();
        let slot = Arc::new(Mutex::new(Slot::new(id.clone())));
        shard.insert(id, slot.clone());
        Some(slot)
    }

    /// Takes the slot, whose lock the caller holds, out of the map.
    pub(super) fn remove(&self, slot: &mut Slot) {
        slot.removed = true;
        if self.shard(slot.group.id()).write().remove(slot.group.id()).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Every slot there is now.
    pub(super) fn all(&self) -> Vec<Arc<Mutex<Slot>>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }
}

/// When which group has to be looked at again. An entry may be early, never late.
#[derive(Default)]
pub(super) struct Deadlines(Mutex<BTreeSet<(Millis, Arc<str>)>>);

impl Deadlines {
    pub(super) fn next(&self) -> Option<Millis> {
        self.0.lock().first().map(|(at, _)| *at)
    }

    /// Takes out everything that is due at `now`.
    pub(super) fn take_due(&self, now: Millis) -> Vec<Arc<str>> {
        let mut entries = self.0.lock();
        let mut due = Vec::new();
        while entries.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(entries.pop_first().map(|(_, id)| id));
        }
        due
    }

    /// Enters the group under its next deadline, unless an earlier entry covers it. True when this is now the earliest
    /// of all.
    pub(super) fn schedule(&self, slot: &mut Slot) -> bool {
        let next = slot.group.next_deadline().unwrap_or(Millis::MAX);
        if next >= slot.scheduled {
            return false;
        }
        let mut entries = self.0.lock();
        if slot.scheduled != Millis::MAX {
            entries.remove(&(slot.scheduled, slot.group.id().clone()));
        }
        slot.scheduled = next;
        entries.insert((next, slot.group.id().clone()));
        entries.first().is_some_and(|(at, id)| *at == next && id == slot.group.id())
    }

    pub(super) fn forget(&self, slot: &mut Slot) {
        if slot.scheduled != Millis::MAX {
            self.0.lock().remove(&(slot.scheduled, slot.group.id().clone()));
            slot.scheduled = Millis::MAX;
        }
    }
}
