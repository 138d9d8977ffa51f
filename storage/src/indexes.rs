//! How much memory indexes may take: those of full segments are on disk as well and are loaded again when they are wanted.
//!
//! As with [open segments](crate::open) it is a clock over all logs that share it: when one is loaded and there are too many
//! bytes of them, those go that were not used since the last look. The index of a segment that is written to is the only
//! one there is; it counts from when the segment is full.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::index::Index;
use crate::open::LOCK_PATIENCE;

/// Bytes that indexes take at most, but for those in use: those of eight segments of 1 GiB. Kafka has the system map them.
const BYTES_MAX: usize = 32 << 20;
/// Looks per loaded index at most, and one more for each [`LISTED_BYTES`] of it.
const LOOKS_MAX: usize = 64;
/// What a segment in the list takes besides its entries.
const LISTED_BYTES: usize = 256;

/// The indexes that are in memory, of full segments.
#[derive(Debug)]
pub(crate) struct Indexes {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    list: VecDeque<(Weak<IndexSlot>, usize)>,
}

/// The place of a segment's index.
#[derive(Debug, Default)]
pub(crate) struct IndexSlot {
    /// None until the first one asks, or when it has gone.
    index: RwLock<Option<Index>>,
    /// Since the last look.
    is_used: AtomicBool,
    /// There is no other one.
    is_growing: AtomicBool,
}

impl IndexSlot {
    pub(crate) fn new(index: Index) -> Self {
        Self {
            index: RwLock::new(Some(index)),
            is_used: AtomicBool::new(true),
            is_growing: AtomicBool::new(false),
        }
    }

    /// The index, if it is in memory. Waits for whoever is loading it.
    pub(crate) fn get(&self) -> Option<MappedRwLockReadGuard<'_, Index>> {
        self.used();
        RwLockReadGuard::try_map(self.index.read(), Option::as_ref).ok()
    }

    /// The same, unless somebody has it for so long that it must be the disk that is waited for.
    pub(crate) fn try_get(&self) -> Option<MappedRwLockReadGuard<'_, Index>> {
        self.used();
        RwLockReadGuard::try_map(self.index.try_read_for(LOCK_PATIENCE)?, Option::as_ref).ok()
    }

    /// To put one in place, or to let it grow.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Option<Index>> {
        self.index.write()
    }

    /// Whether it is the only one there is.
    pub(crate) fn set_growing(&self, is_growing: bool) {
        self.is_growing.store(is_growing, Ordering::Release);
    }

    fn used(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }
}

impl Default for Indexes {
    fn default() -> Self {
        Self { bytes_max: BYTES_MAX, state: Mutex::default() }
    }
}

impl Indexes {
    /// Counts an index that takes `bytes` and can be loaded again. Call it with a hold on this index at most.
    pub(crate) fn loaded(&self, slot: &Arc<IndexSlot>, bytes: usize) {
        let bytes = bytes + LISTED_BYTES;
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        // What has gone with its segment is swept little by little, also when there is room.
        while state.list.front().is_some_and(|(front, _)| front.strong_count() == 0) {
            let dead = state.list.pop_front().map_or(0, |(_, bytes)| bytes);
            state.bytes -= dead;
        }
        if let Some(front) = state.list.pop_front() {
            state.list.push_back(front);
        }
        // If it is listed already it is counted twice until the next look at it, which finds it gone.
        state.list.push_back((Arc::downgrade(slot), bytes));
        state.bytes += bytes;
        // As much has to go as comes, of however many small ones.
        let mut looks = (LOOKS_MAX + bytes / LISTED_BYTES).min(2 * state.list.len());
        while state.bytes > self.bytes_max && looks > 0 {
            looks -= 1;
            let Some((next, bytes)) = state.list.pop_front() else { break };
            let Some(other) = next.upgrade() else {
                state.bytes -= bytes;
                continue;
            };
            // Nor the one that is wanted now.
            if Arc::ptr_eq(&other, slot) || other.is_used.swap(false, Ordering::Relaxed) {
                state.list.push_back((next, bytes));
                continue;
            }
            // Somebody is at it: never wait here.
            let Some(mut index) = other.index.try_write() else {
                state.list.push_back((next, bytes));
                continue;
            };
            state.bytes -= bytes;
            if !other.is_growing.load(Ordering::Acquire) {
                gone.push(index.take());
            }
        }
        drop(state);
        // Freeing takes time, which nobody else has to wait for.
        drop(gone);
    }

    /// What they take, as far as is known.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use quipu_protocol::record::{BatchBuilder, BatchView};

    use super::*;

    fn slot(entries: usize) -> Arc<IndexSlot> {
        let mut batch = BatchBuilder::new();
        batch.push(0, None, Some(b"value"), &[]);
        let bytes = batch.finish();
        let mut header = *BatchView::parse(&bytes).unwrap().header();
        let mut index = Index::new(0);
        for offset in 0..entries {
            header.base_offset = offset as i64;
            index.push(&header, 1);
        }
        Arc::new(IndexSlot::new(index))
    }

    #[test]
    fn indexes_that_are_not_used_go_when_there_are_too_many() {
        let each = slot(1_000).get().unwrap().memory_bytes() + LISTED_BYTES;
        let loaded = |indexes: &Indexes, slot: &Arc<IndexSlot>| {
            let bytes = slot.get().unwrap().memory_bytes();
            indexes.loaded(slot, bytes);
        };
        let indexes = Indexes { bytes_max: 10 * each, ..Indexes::default() };
        let slots: Vec<_> = (0..100).map(|_| slot(1_000)).collect();
        let fresh = || Index::clone(&slot(1_000).get().unwrap());
        let mut times = 0;
        for slot in &slots {
            loaded(&indexes, slot);
            // One is used all the time; it goes once, when all have been used since they came.
            if slots[0].get().is_none() {
                *slots[0].write() = Some(fresh());
                loaded(&indexes, &slots[0]);
                times += 1;
            }
            assert!(slot.get().is_some(), "the one that was just loaded");
            assert!(indexes.bytes() <= 12 * each, "{}", indexes.bytes());
        }
        let left = || slots.iter().filter(|slot| slot.index.read().is_some()).count();
        assert!((9..=12).contains(&left()) && times <= 1, "{} {times}", left());
        // What is in use stays, and what has gone with its segment no longer counts.
        let used = Arc::clone(&slots[0]);
        let held = used.get().unwrap();
        let growing = slot(1_000);
        growing.set_growing(true);
        loaded(&indexes, &growing);
        loaded(&indexes, &slot(20_000));
        assert!(growing.index.read().is_some(), "there is no other one");
        for _ in 0..3 {
            loaded(&indexes, &slot(20_000));
        }
        drop(held);
        assert!(used.index.read().is_some() && left() == 1, "{}", left());
        drop(used);
        drop(slots);
        for _ in 0..3 {
            loaded(&indexes, &slot(1_000));
        }
        assert!(indexes.bytes() <= 4 * each, "{}", indexes.bytes());
    }
}
