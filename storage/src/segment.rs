//! One segment file and what readers need to know about it.
//!
//! The file is opened and mapped by the first one who needs it, so that a partition that nobody touches costs neither a
//! descriptor nor a map. It may be closed again when others are needed more, see [`OpenSegments`].

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchHeader, BatchView};

use crate::aborted;
use crate::disk::{Disk, DiskFile, Map, OpenMode, state};
use crate::error::ReadError;
use crate::index::{Index, Place};
use crate::indexes::IndexSlot;
use crate::marker::Aborted;
use crate::open::{LOCK_PATIENCE, Open, OpenSegments, Slot};
use crate::scan::next_valid;
use crate::types::{Millis, Offset};

/// Suffixes of a segment's files; the stem is the base offset in 20 digits, as in Kafka.
pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const INDEX_SUFFIX: &str = ".idx";
pub(crate) const ABORTED_SUFFIX: &str = ".txn";
/// Appended to the name of a segment that is about to be removed.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// How much at the end of a segment that is being appended to is taken to be in memory.
const HOT_BYTES: u64 = 1024 * 1024;
/// A position behind all others: nothing of a segment is taken to be in memory.
const COLD: u64 = u64::MAX;
/// How much a walk has loaded at once.
const LOAD_BYTES: u64 = 256 * 1024;
/// What lies between the place that an index names and the batch that is looked for, more or less.
const SEARCH_BYTES: u64 = 16 * 1024;

/// `<20 digits><suffix>`.
pub(crate) fn file_name(offset: Offset, suffix: &str) -> String {
    format!("{offset:020}{suffix}")
}

/// The offset of a name of that form.
pub(crate) fn parse_file_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: Offset,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    index_path: PathBuf,
    aborted_path: PathBuf,
    index_interval: u64,
    /// How far to map at first: the segment size, so that a growing segment is mapped once.
    map_bytes: u64,
    /// Bytes that readers may see. Stored after they were written.
    published: AtomicU64,
    end_offset: AtomicI64,
    /// Its newest bytes are in memory if they come after this position, behind which all was written lately.
    hot_from: AtomicU64,
    /// Its size at the last look whether it is still being written to.
    seen_bytes: AtomicU64,
    removed: AtomicBool,
    slot: Arc<Slot>,
    open_segments: OpenSegments,
    index: Arc<IndexSlot>,
    /// Size at which somebody has asked for the greatest timestamp, and that.
    max_timestamp: Mutex<Option<(u64, Millis)>>,
    /// Where the index had to stop, and why, if the bytes are not what was written.
    rotten: OnceLock<(u64, String)>,
    /// None until the first one asks.
    aborted: RwLock<Option<Vec<Aborted>>>,
}

impl Segment {
    /// A segment that is not on disk yet: its file is made by the first append.
    pub(crate) fn empty(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        base_offset: Offset,
        map_bytes: u64,
        interval: u64,
    ) -> Self {
        let mut this = Self::stored(disk, dir, base_offset, base_offset, 0, map_bytes, interval);
        this.index = Arc::new(IndexSlot::new(Index::new(base_offset)));
        *this.aborted.get_mut() = Some(Vec::new());
        this
    }

    /// A segment as recovery found it.
    pub(crate) fn stored(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        base_offset: Offset,
        end_offset: Offset,
        size_bytes: u64,
        map_bytes: u64,
        index_interval: u64,
    ) -> Self {
        Self {
            base_offset,
            disk: Arc::clone(disk),
            path: dir.join(file_name(base_offset, LOG_SUFFIX)),
            index_path: dir.join(file_name(base_offset, INDEX_SUFFIX)),
            aborted_path: dir.join(file_name(base_offset, ABORTED_SUFFIX)),
            index_interval,
            map_bytes: map_bytes.max(size_bytes),
            published: AtomicU64::new(size_bytes),
            end_offset: AtomicI64::new(end_offset),
            hot_from: AtomicU64::new(COLD),
            seen_bytes: AtomicU64::new(size_bytes),
            removed: AtomicBool::new(false),
            slot: Arc::default(),
            open_segments: OpenSegments::default(),
            index: Arc::default(),
            max_timestamp: Mutex::default(),
            rotten: OnceLock::new(),
            aborted: RwLock::new(None),
        }
    }

    /// Counts it among the segments that are open, once it is.
    pub(crate) fn among(self, open_segments: &OpenSegments) -> Self {
        Self { open_segments: open_segments.clone(), ..self }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Offset behind the last record that readers may see.
    pub(crate) fn end_offset(&self) -> Offset {
        self.end_offset.load(Ordering::Acquire)
    }

    /// Bytes that readers may see.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn index_path(&self) -> &Path {
        &self.index_path
    }

    pub(crate) fn aborted_path(&self) -> &Path {
        &self.aborted_path
    }

    /// Shows readers the batch that was written behind the published bytes, then takes it into the index.
    pub(crate) fn publish(&self, header: &BatchHeader) {
        let position = self.published.load(Ordering::Relaxed);
        if self.hot_from.load(Ordering::Relaxed) == COLD {
            self.hot_from.store(position, Ordering::Relaxed);
        }
        self.published.store(position + header.size_bytes() as u64, Ordering::Release);
        self.end_offset.store(header.last_offset() + 1, Ordering::Release);
        // Whoever loads the index walks to the published end, and may have met this batch already.
        match &mut *self.index.write() {
            Some(index) if index.covered() == position => index.push(header, self.index_interval),
            _ => {}
        }
    }

    /// The open file; it is made when there is none yet.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.slot.lock();
        self.file_in(&mut open)
    }

    fn file_in(&self, open: &mut Open) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = &open.file {
            return Ok(Arc::clone(file));
        }
        // A segment that holds something must exist; making it anew would hide the loss.
        let is_new = self.size_bytes() == 0 && self.end_offset() == self.base_offset();
        let mode = if is_new { OpenMode::OpenOrCreate } else { OpenMode::Existing };
        let file = self.disk.open(&self.path, mode)?;
        open.file = Some(Arc::clone(&file));
        self.slot.opened(&self.open_segments);
        Ok(file)
    }

    /// A map that reaches to `end` at least.
    pub(crate) fn map(&self, end: u64) -> Result<Arc<Map>, ReadError> {
        let mut open = self.slot.lock();
        if let Some(map) = open.map.as_ref().filter(|map| map.len() >= end) {
            return Ok(Arc::clone(map));
        }
        let file = self.file_in(&mut open).map_err(|source| self.io_error(source))?;
        let map = Arc::new(file.map(self.map_bytes.max(end)).map_err(|source| self.io_error(source))?);
        open.map = Some(Arc::clone(&map));
        Ok(map)
    }

    /// The same where nobody waits for the disk: of a file that is open.
    fn map_at_once(&self, end: u64) -> Result<Arc<Map>, ReadError> {
        let mut open = self.slot.try_lock().ok_or(ReadError::NotInMemory)?;
        if let Some(map) = open.map.as_ref().filter(|map| map.len() >= end) {
            return Ok(Arc::clone(map));
        }
        let file = open.file.as_ref().ok_or(ReadError::NotInMemory)?;
        let map = Arc::new(file.map(self.map_bytes.max(end)).map_err(|source| self.io_error(source))?);
        open.map = Some(Arc::clone(&map));
        Ok(map)
    }

    /// Closes file and map here; slices that are still held elsewhere keep theirs.
    pub(crate) fn let_go(&self) {
        self.slot.let_go();
    }

    /// Keeps file and map open for those who go on reading it when its name stands for another file.
    pub(crate) fn keep_open(&self) -> Result<(), ReadError> {
        self.slot.keep();
        self.map(self.size_bytes()).map(drop)
    }

    /// To be called before a write: its file stays open until [`Self::confirm`].
    pub(crate) fn begin_write(&self) {
        self.slot.begin_write();
    }

    /// What to confirm after a sync that begins now; ask while nobody writes.
    pub(crate) fn writes(&self) -> u64 {
        self.slot.writes()
    }

    /// A sync that began after so many writes has gone well.
    pub(crate) fn confirm(&self, writes: u64) {
        self.slot.confirm(writes);
        self.open_segments.trim();
    }

    /// Puts an index in place that was built while scanning.
    pub(crate) fn set_index(&self, index: Index) {
        let bytes = index.memory_bytes();
        *self.index.write() = Some(index);
        self.open_segments.index_loaded(&self.index, bytes);
    }

    /// Puts the list of aborted transactions in place that was built while scanning.
    pub(crate) fn set_aborted(&self, list: Vec<Aborted>) {
        *self.aborted.write() = Some(list);
    }

    /// Adds a transaction whose marker is about to be written. The list must have been loaded.
    pub(crate) fn push_aborted(&self, aborted: Aborted) {
        self.aborted.write().get_or_insert_default().push(aborted);
    }

    /// The transactions whose markers are in this segment and abort them, in order; loaded if need be. Corrupt if the
    /// stored list is damaged, see [`Shared::aborted`](crate::log::Shared::aborted).
    pub(crate) fn aborted(&self) -> Result<MappedRwLockReadGuard<'_, Vec<Aborted>>, ReadError> {
        loop {
            if let Ok(list) = RwLockReadGuard::try_map(self.aborted.read(), Option::as_ref) {
                return Ok(list);
            }
            let mut list = self.aborted.write();
            if list.is_none() {
                *list = Some(self.load_aborted()?);
            }
        }
    }

    /// The same, if the list is loaded and nobody changes it.
    pub(crate) fn aborted_at_once(&self) -> Option<MappedRwLockReadGuard<'_, Vec<Aborted>>> {
        RwLockReadGuard::try_map(self.aborted.try_read_for(LOCK_PATIENCE)?, Option::as_ref).ok()
    }

    fn load_aborted(&self) -> Result<Vec<Aborted>, ReadError> {
        let path = || self.aborted_path.clone();
        let stored = aborted::read(&*self.disk, &self.aborted_path)
            .map_err(|source| ReadError::Io { path: path(), source })?;
        let reason = "the list of aborted transactions is damaged";
        let mut list = stored.ok_or_else(|| ReadError::Corrupt {
            path: path(),
            position: 0,
            reason: reason.to_owned(),
        })?;
        // Stored before the recovery point; what was cut behind that is not true.
        list.retain(|aborted| aborted.last_offset < self.end_offset());
        Ok(list)
    }

    /// The index, loaded or rebuilt if need be. An error if it does not cover all of the segment, because its bytes are
    /// damaged.
    pub(crate) fn index(&self) -> Result<MappedRwLockReadGuard<'_, Index>, ReadError> {
        let index = self.index_as_far_as_possible()?;
        self.unless_rotten(index)
    }

    /// The index, which may end before damage.
    pub(crate) fn index_as_far_as_possible(&self) -> Result<MappedRwLockReadGuard<'_, Index>, ReadError> {
        loop {
            if let Some(index) = self.index.get() {
                return Ok(index);
            }
            let mut index = self.index.write();
            if index.is_none() {
                *index = Some(self.load_index()?);
                // Held while it is counted, so that it does not go before it was of use.
                let index = RwLockWriteGuard::downgrade(index);
                let Ok(index) = RwLockReadGuard::try_map(index, Option::as_ref) else { continue };
                self.open_segments.index_loaded(&self.index, index.memory_bytes());
                return Ok(index);
            }
        }
    }

    /// The same, if it is loaded and nobody changes it.
    pub(crate) fn index_at_once(&self) -> Option<MappedRwLockReadGuard<'_, Index>> {
        self.index.try_get()
    }

    /// Greatest timestamp of the segment. Of an index that is not in memory no more than that is kept: it is asked for of all
    /// segments, again and again.
    pub(crate) fn max_timestamp(&self) -> Result<Millis, ReadError> {
        self.unless_rotten(())?;
        if let Some(index) = self.index.get() {
            let found = index.max_timestamp();
            drop(index);
            return self.unless_rotten(found);
        }
        // Asked for before the index: what comes after that makes it another size.
        let size = self.size_bytes();
        let known = *self.max_timestamp.lock();
        if let Some((_, found)) = known.filter(|known| known.0 == size) {
            return Ok(found);
        }
        let found = self.load_index()?.max_timestamp();
        let found = self.unless_rotten(found)?;
        *self.max_timestamp.lock() = Some((size, found));
        Ok(found)
    }

    fn unless_rotten<T>(&self, found: T) -> Result<T, ReadError> {
        match self.rotten.get() {
            Some((position, reason)) => Err(self.corrupt(*position, reason)),
            None => Ok(found),
        }
    }

    fn load_index(&self) -> Result<Index, ReadError> {
        // In this order: the bytes up to any end that was seen are there.
        let end_offset = self.end_offset();
        let size = self.size_bytes();
        let stored = state::read(&*self.disk, &self.index_path)
            .map_err(|source| ReadError::Io { path: self.index_path.clone(), source })?
            // The name may stand for the index of the segment that has replaced this one.
            .filter(|_| !self.slot.is_kept());
        let mut index = match stored {
            None => Index::new(self.base_offset),
            Some(bytes) => match Index::decode(&bytes, self.base_offset) {
                Some(index) if index.covered() <= size => index,
                _ => {
                    tracing::warn!(file = %self.index_path.display(), "index is damaged, building it anew");
                    Index::new(self.base_offset)
                }
            },
        };
        let mut walk = self.walk(index.end(), size)?;
        let rotten = loop {
            match walk.next() {
                Ok(Some(batch)) => index.push(&batch.header, self.index_interval),
                Ok(None) if index.end_offset() < end_offset => {
                    break Some((size, self.ends_early(index.end_offset(), end_offset)));
                }
                Ok(None) => break None,
                Err(ReadError::Corrupt { position, reason, .. }) => break Some((position, reason)),
                Err(error) => return Err(error),
            }
        };
        if let Some(rotten) = rotten {
            // What comes before can still be found; whoever needs the rest is told.
            let _ = self.rotten.set(rotten);
        }
        Ok(index)
    }

    fn ends_early(&self, found: Offset, expected: Offset) -> String {
        format!("the file ends before offset {found}, records up to {expected} are missing")
    }

    /// That the segment has no batch for `offset`, although it should.
    pub(crate) fn lost(&self, offset: Offset) -> ReadError {
        self.corrupt(self.size_bytes(), self.ends_early(offset, self.end_offset()))
    }

    /// Where its first batch starts.
    pub(crate) fn start(&self) -> Place {
        Place { position: 0, offset: self.base_offset }
    }

    /// Walks over the headers of the batches from `place`, which must be the start of one, to position `end`.
    pub(crate) fn walk(&self, place: Place, end: u64) -> Result<Walk<'_>, ReadError> {
        let map = if place.position < end { Some(self.map(end)?) } else { None };
        Ok(self.walk_over(map, place, end))
    }

    /// The same, but [`ReadError::NotInMemory`] where it would wait for the disk, and where the bytes are not as they should be.
    pub(crate) fn walk_at_once(&self, place: Place, end: u64) -> Result<Walk<'_>, ReadError> {
        let map = if place.position < end { Some(self.map_at_once(end)?) } else { None };
        Ok(Walk { at_once: true, ..self.walk_over(map, place, end) })
    }

    fn walk_over(&self, map: Option<Arc<Map>>, place: Place, end: u64) -> Walk<'_> {
        let Place { position, offset } = place;
        Walk {
            segment: self,
            map,
            at_once: false,
            position,
            loaded_from: position,
            loaded: self.in_memory(position, end),
            ahead: LOAD_BYTES,
            previous: place,
            end,
            expected: offset,
        }
    }

    /// Nothing is appended to it any more: its newest bytes leave memory like others.
    pub(crate) fn cool(&self) {
        self.hot_from.store(COLD, Ordering::Relaxed);
    }

    /// To be called now and then: what nobody has appended to since the last time may have left memory.
    pub(crate) fn cool_if_idle(&self) {
        let size = self.size_bytes();
        if self.seen_bytes.swap(size, Ordering::Relaxed) == size {
            self.cool();
        }
    }

    /// It is going to be appended to: its index stays in memory, where alone it is, and grows.
    pub(crate) fn index_grows(&self) {
        self.index.set_growing(true);
    }

    /// Its index is on disk: the one in memory may go.
    pub(crate) fn index_stored(&self) {
        self.index.set_growing(false);
        let bytes = self.index.get().map_or(0, |index| index.memory_bytes());
        self.open_segments.index_loaded(&self.index, bytes);
    }

    /// Up to where a walk from `position` need not ask the disk for anything.
    fn in_memory(&self, position: u64, end: u64) -> u64 {
        let is_recent =
            position >= self.hot_from.load(Ordering::Relaxed) && position + HOT_BYTES >= self.size_bytes();
        if is_recent { end } else { position }
    }

    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn io_error(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }

    pub(crate) fn corrupt(&self, position: u64, reason: impl std::fmt::Display) -> ReadError {
        ReadError::Corrupt { path: self.path.clone(), position, reason: reason.to_string() }
    }
}

/// A batch met on a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Met {
    /// Position behind the batch.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_bytes() as u64
    }
}

/// See [`Segment::walk`].
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    map: Option<Arc<Map>>,
    /// Nobody waits for the disk.
    at_once: bool,
    position: u64,
    /// What lies between these is in memory: the last stretch that was loaded, with what came right before it.
    loaded_from: u64,
    loaded: u64,
    /// How much is loaded together.
    ahead: u64,
    /// The batch before it, which may be the one that led astray.
    previous: Place,
    end: u64,
    /// Offset that the next batch has if it is the one that was written here.
    expected: Offset,
}

impl Walk<'_> {
    /// Looks for no more than so many bytes: whoever reads a little has not to pay for a lot that may never be read.
    pub(crate) fn for_bytes(self, bytes: u64) -> Self {
        let ahead = bytes.saturating_add(SEARCH_BYTES).min(LOAD_BYTES);
        Self { ahead, ..self }
    }

    /// The next batch. Its header was good when it was written; if it is no longer, the file has rotted, or something
    /// else was read than what lies there.
    pub(crate) fn next(&mut self) -> Result<Option<Met>, ReadError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.load(self.position + BATCH_HEADER_BYTES as u64)?;
        let Some(map) = &self.map else { return Ok(None) };
        let position = self.position;
        let corrupt = |reason: &dyn std::fmt::Display| self.segment.corrupt(position, reason);
        let head = (position + BATCH_HEADER_BYTES as u64).min(self.end);
        let bytes = map.bytes(position..head).ok_or_else(|| corrupt(&"the file ends here"))?;
        let header = BatchHeader::parse(bytes).map_err(|error| corrupt(&error))?;
        let met = Met { position, header };
        if header.base_offset != self.expected && !crate::planted::planted("offsets-unchecked") {
            let Self { expected, .. } = self;
            return Err(corrupt(&format_args!(
                "a batch of offset {} where {expected} should be",
                header.base_offset
            )));
        }
        if met.end() > self.end || header.last_offset_delta < 0 {
            return Err(corrupt(&"the batch reaches beyond the segment"));
        }
        self.previous = Place { position, offset: header.base_offset };
        self.position = met.end();
        self.expected = header.last_offset() + 1;
        Ok(Some(met))
    }

    /// Has everything below `upto` in memory, and some of what comes next.
    fn load(&mut self, upto: u64) -> Result<(), ReadError> {
        let upto = upto.min(self.end);
        if upto <= self.loaded {
            return Ok(());
        }
        let Some(map) = &self.map else { return Ok(()) };
        let from = self.loaded.max(self.position);
        let ahead = upto.max(from.saturating_add(self.ahead)).min(self.end);
        let loaded = match self.load_into(map, from..ahead) {
            // What is wanted now may be good although something behind it is not.
            Err(ReadError::Io { .. }) if upto < ahead => {
                self.load_into(map, from..upto)?;
                upto
            }
            outcome => outcome.map(|()| ahead)?,
        };
        if from > self.loaded {
            self.loaded_from = from;
        }
        self.loaded = loaded;
        Ok(())
    }

    /// The bytes of `range`, which the walk has passed, for others to keep. It needs no more of a batch than its header itself:
    /// the rest of a large one may not have been loaded, and whoever is given it must be able to touch it.
    pub(crate) fn shared(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.load_all(range.clone())?;
        let start = range.start;
        let slice = self.map.as_ref().and_then(|map| map.shared(range));
        slice.ok_or_else(|| self.segment.corrupt(start, "the file ends before its batches"))
    }

    /// Has all of `range` in memory.
    fn load_all(&self, range: Range<u64>) -> Result<(), ReadError> {
        let Some(map) = &self.map else { return Ok(()) };
        let missing =
            if range.start < self.loaded_from { range } else { range.start.max(self.loaded)..range.end };
        self.load_into(map, missing)
    }

    fn load_into(&self, map: &Map, range: Range<u64>) -> Result<(), ReadError> {
        if !self.at_once {
            return map.load(range).map_err(|source| self.segment.io_error(source));
        }
        // The system may take a page away between this and the touch, as it may after a load: that is a matter of
        // microseconds, and of harm only where the disk does not give back what it gave before.
        if map.is_resident(range) { Ok(()) } else { Err(ReadError::NotInMemory) }
    }

    /// Passes batches as [`Walk::next`] would, with the same checks but without telling of each: those that end in front
    /// of `limit`, hold no offset from `upto` on and are as they should be. The last two are left to `next`.
    pub(crate) fn pass_good(&mut self, limit: u64, upto: Offset) {
        let end = self.end.min(limit);
        if self.load(end).is_err() {
            // Found again, and told, by `next` or where the bytes are handed out.
            return;
        }
        let bytes = self.map.as_ref().filter(|_| self.position < end);
        let Some(mut rest) = bytes.and_then(|map| map.bytes(self.position..end)) else { return };
        let (mut passed, mut offset) = ([None; 3], self.expected);
        while let Ok(header) = BatchHeader::parse(rest) {
            let good = header.base_offset == offset
                && header.last_offset_delta >= 0
                && header.last_offset() < upto
                && header.last_offset() < Offset::MAX;
            let Some(behind) = rest.get(header.size_bytes()..).filter(|_| good) else { break };
            passed = [passed[1], passed[2], Some(Place { position: end - rest.len() as u64, offset })];
            offset = header.last_offset() + 1;
            rest = behind;
        }
        if let [before, Some(Place { position, offset }), Some(_)] = passed {
            self.previous = before.unwrap_or(self.previous);
            (self.position, self.expected) = (position, offset);
        }
    }

    /// Goes on behind damage: at the next batch that is whole, unless that begins behind `offset`. False if it does, or if
    /// that would take long and nobody waits.
    pub(crate) fn pass_damage(&mut self, offset: Offset) -> bool {
        let Some(map) = self.map.as_ref().filter(|_| !self.at_once) else { return false };
        if map.load(self.previous.position..self.end).is_err() {
            return false;
        }
        let rest = map.bytes(self.previous.position..self.end).unwrap_or_default();
        let offsets = self.previous.offset..self.segment.end_offset();
        // If the one before is as it was written, the one that does not follow it is not; else who knows.
        let before = BatchView::parse(rest).ok();
        let is_sure = before.is_some_and(|before| before.computed_crc() == before.header().crc);
        let except = is_sure.then(|| (self.position - self.previous.position) as usize);
        match next_valid(rest, offsets, except) {
            Some((skipped, found)) if found <= offset => {
                self.position = self.previous.position + skipped as u64;
                self.previous = Place { position: self.position, offset: found };
                self.expected = found;
                true
            }
            _ => false,
        }
    }

    /// Whether the sum of a batch is right: asked where what comes after it is not.
    pub(crate) fn is_whole(&self, met: &Met) -> bool {
        self.batch(met).is_ok_and(|batch| batch.computed_crc() == batch.header().crc)
    }

    /// The whole batch that was met.
    pub(crate) fn batch(&self, met: &Met) -> Result<BatchView<'_>, ReadError> {
        self.load_all(met.position..met.end())?;
        let bytes = self.map.as_ref().and_then(|map| map.bytes(met.position..met.end())).unwrap_or_default();
        BatchView::parse(bytes).map_err(|error| self.segment.corrupt(met.position, error))
    }
}

#[cfg(test)]
mod tests {
    use quipu_protocol::record::BatchBuilder;

    use super::*;
    use crate::disk::MemoryDisk;

    #[test]
    fn a_replaced_segment_is_not_taken_by_the_index_of_its_successor() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        disk.create_dir_all(Path::new("/log")).unwrap();
        let mut batch = BatchBuilder::new();
        batch.push(7, None, Some(b"value"), &[]);
        let bytes = batch.finish();
        let segment = || Segment::stored(&disk, Path::new("/log"), 0, 1, bytes.len() as u64, 4096, 1);
        let file = disk.open(segment().path(), OpenMode::OpenOrCreate).unwrap();
        file.write_at(&mut [io::IoSlice::new(&bytes)], 0).unwrap();
        let old = segment();
        old.keep_open().unwrap();
        // What replaces it is as long as the first half of its batch.
        let mut shorter = *BatchView::parse(&bytes).unwrap().header();
        shorter.batch_length /= 2;
        let mut index = Index::new(0);
        index.push(&shorter, 1);
        state::replace(&*disk, old.index_path(), &index.encode(), false).unwrap();
        assert_eq!(old.max_timestamp().unwrap(), 7);
        assert_eq!(old.index().unwrap().covered(), bytes.len() as u64);
        // Whoever does not stand for another one takes what is stored.
        assert!(segment().index().is_err());
    }
}
