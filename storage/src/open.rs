//! How many segments may be open at once: each takes a descriptor and a map, of which a process has only so many.
//!
//! The table knows which segments are open, over all logs that share it. When one too many is opened, those that were not
//! used since the last look are closed: a clock, not a list in exact order, so that a use costs one store at most. Not
//! closed is a file with writes that no sync has confirmed: the system might forget that one of them failed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::disk::{DiskFile, Map};
use crate::indexes::{IndexSlot, Indexes};

/// Looks per opened segment at most, so that a table full of what may not be closed does not make each opening long.
const LOOKS_MAX: usize = 64;
/// How long a lock is waited for by those who do not wait for the disk. Who has it for longer does.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_micros(100);

/// A limit on open segments, and on the memory that indexes take. Clones share it; the default is none.
#[derive(Clone, Debug, Default)]
pub struct OpenSegments(Option<Arc<Table>>);

#[derive(Debug)]
struct Table {
    limit: usize,
    open: AtomicUsize,
    list: Mutex<VecDeque<Weak<Slot>>>,
    indexes: Indexes,
}

impl PartialEq for OpenSegments {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for OpenSegments {}

impl OpenSegments {
    /// At most `limit` segments are open, not counting those that cannot be closed before their next sync.
    pub fn limited(limit: usize) -> Self {
        let (open, list, indexes) = (AtomicUsize::new(0), Mutex::default(), Indexes::default());
        Self(Some(Arc::new(Table { limit, open, list, indexes })))
    }

    /// How many are open. 0 without a limit: then nobody counts.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.open.load(Ordering::Relaxed))
    }

    /// Whether more are open than should be, because they wait for a sync.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|table| table.open.load(Ordering::Relaxed) > table.limit)
    }

    /// Closes what is open beyond the limit, as far as it may be closed.
    pub fn trim(&self) {
        if let Some(table) = self.0.as_ref().filter(|_| self.is_over()) {
            table.trim(table.list.lock());
        }
    }

    /// Counts the index of a full segment that is in memory, and lets go of others if that is too much. Without a limit all of
    /// them stay.
    pub(crate) fn index_loaded(&self, index: &Arc<IndexSlot>, bytes: usize) {
        if let Some(table) = &self.0 {
            table.indexes.loaded(index, bytes);
        }
    }

    /// Counts a segment that was just opened. Called with its slot locked.
    fn opened(&self, slot: &Arc<Slot>) {
        let Some(table) = &self.0 else { return };
        if slot.is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = table.list.lock();
        list.push_back(Arc::downgrade(slot));
        table.trim(list);
    }
}

impl Table {
    fn trim(&self, mut list: MutexGuard<'_, VecDeque<Weak<Slot>>>) {
        let mut closed = Vec::new();
        let mut looks = LOOKS_MAX.min(2 * list.len());
        let is_unlimited = crate::planted::planted("segments-never-closed");
        while list.len() > self.limit && looks > 0 && !is_unlimited {
            looks -= 1;
            let Some(next) = list.pop_front() else { break };
            let Some(slot) = next.upgrade() else { continue };
            match slot.close_if_unused() {
                Some(open) => closed.push(open),
                None => list.push_back(next),
            }
        }
        self.open.store(list.len(), Ordering::Relaxed);
        drop(list);
        // Closing and unmapping takes time, which nobody else has to wait for.
        drop(closed);
    }
}

/// What a segment has open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) file: Option<Arc<dyn DiskFile>>,
    pub(crate) map: Option<Arc<Map>>,
}

/// The place of a segment's file and map.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    open: Mutex<Open>,
    /// Since the last look.
    is_used: AtomicBool,
    is_listed: AtomicBool,
    /// Its name stands for another file now.
    is_kept: AtomicBool,
    /// Writes that were begun, and how many of them a sync has confirmed.
    begun: AtomicU64,
    confirmed: AtomicU64,
}

impl Slot {
    /// For whoever needs the file or the map.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Open> {
        self.used();
        self.open.lock()
    }

    /// The same, unless somebody has it for so long that it must be the disk that is waited for.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Open>> {
        self.used();
        self.open.try_lock_for(LOCK_PATIENCE)
    }

    fn used(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// To be called with the slot locked, when a file was put into it.
    pub(crate) fn opened(self: &Arc<Self>, segments: &OpenSegments) {
        segments.opened(self);
    }

    /// Closes both; whoever holds one still has it.
    pub(crate) fn let_go(&self) {
        *self.open.lock() = Open::default();
    }

    /// From here on it is never closed before the segment is dropped.
    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Whether the names of its files stand, or are about to stand, for others.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// To be called before the file is asked for to be written to.
    pub(crate) fn begin_write(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Writes that were begun; when none is under way, a sync from here on confirms them all.
    pub(crate) fn writes(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// A sync that was begun after so many writes has gone well.
    pub(crate) fn confirm(&self, writes: u64) {
        self.confirmed.fetch_max(writes, Ordering::AcqRel);
    }

    /// What was open, unless it is in use, was used since the last look, or must not be closed.
    fn close_if_unused(&self) -> Option<Open> {
        // Somebody is at it, perhaps waiting for the table: never wait here.
        let mut open = self.open.try_lock()?;
        let is_synced = || {
            self.confirmed.load(Ordering::Acquire) == self.begun.load(Ordering::Acquire)
                || crate::planted::planted("closed-before-sync")
        };
        if open.file.is_some()
            && (self.is_kept.load(Ordering::Acquire)
                || self.is_used.swap(false, Ordering::Relaxed)
                || !is_synced())
        {
            return None;
        }
        self.is_listed.store(false, Ordering::Release);
        Some(std::mem::take(&mut *open))
    }
}
