//! A log in use: one appender, any number of readers, and what they share.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock};

use crate::aborted;
use crate::disk::{Disk, OpenMode};
use crate::error::{Damage, Fence, ReadError};
use crate::marker::Aborted;
use crate::recover::{Checkpoint, SYNC_FAILED};
use crate::segment::Segment;
use crate::types::{Millis, NO_TIMESTAMP, Offset};

mod appender;
mod checkpoint;
mod chore;
mod clean;
mod flush;
mod reader;
mod scrub;
mod staged;
mod stamp;

pub(crate) use appender::start;
pub use appender::{Appended, Appender, Origin};
pub use chore::Chore;
pub use clean::{Clean, CleanError, CleanReport, Replacement};
pub use flush::Flush;
pub use reader::{ReadSlices, Reader};
pub use scrub::{ScrubPlace, Scrubbed};

/// What appender and readers share. Only the appender, and the chores and flushes it hands out, change any of it.
///
/// Order of a publication: bytes are written, then the segment's length and end offset, then the log's end offset. A
/// reader loads them the other way round, so whatever end offset it saw, the bytes below it are there.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    /// In order of offsets; never empty. Locked only to take a reference or to put a new list in place.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    log_start: AtomicI64,
    end: AtomicI64,
    /// Everything below is on disk.
    durable: AtomicI64,
    /// A file was made since the directory was last synced.
    dir_unsynced: AtomicBool,
    /// Nothing vouches for the name of the directory itself yet.
    name_unsynced: AtomicBool,
    /// A segment could not be sealed, so no recovery point may lie behind it.
    unsealed: AtomicBool,
    /// Seals that were handed out and have not ended, by the offset that their recovery points have.
    sealing: Mutex<BTreeSet<Offset>>,
    /// Held while syncing. One at a time: the system reports a failed write-back once, and whoever syncs next to the one
    /// who is told would take lost bytes for safe ones.
    syncing: Mutex<()>,
    /// The first write or sync that failed.
    fence: OnceLock<Fence>,
    /// What the files vouch for.
    checkpoint: Mutex<Checkpoint>,
    /// The first damage that was met. What was appended is still made durable.
    damage: OnceLock<Fence>,
    /// First offset of the oldest open transaction, `Offset::MAX` when none is open. Set before the end offset is moved
    /// past a first batch, and after it was moved past a marker.
    first_open: AtomicI64,
    /// Transactions that have ended, but whose markers are not yet shown: offsets of their first records and markers.
    unshown: Mutex<VecDeque<(Offset, Offset)>>,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        segments: Vec<Arc<Segment>>,
        log_start: Offset,
        end: Offset,
        durable: Offset,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            disk,
            dir,
            segments: RwLock::new(Arc::new(segments)),
            log_start: AtomicI64::new(log_start),
            end: AtomicI64::new(end),
            durable: AtomicI64::new(durable),
            dir_unsynced: AtomicBool::new(end > durable),
            name_unsynced: AtomicBool::new(durable == 0),
            unsealed: AtomicBool::new(false),
            sealing: Mutex::default(),
            syncing: Mutex::new(()),
            fence: OnceLock::new(),
            checkpoint: Mutex::new(checkpoint),
            damage: OnceLock::new(),
            first_open: AtomicI64::new(Offset::MAX),
            unshown: Mutex::default(),
        }
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&self.segments.read())
    }

    fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        let segments = Arc::new(segments);
        // The old list is dropped after the lock is let go.
        let _old = std::mem::replace(&mut *self.segments.write(), segments);
    }

    /// Has the list of aborted transactions of a segment in memory.
    pub(crate) fn load_aborted(&self, segment: &Arc<Segment>) -> Result<(), ReadError> {
        let segments = self.segments();
        match segments.iter().position(|other| Arc::ptr_eq(other, segment)) {
            Some(at) => self.aborted(&segments, at).map(drop),
            None => segment.aborted().map(drop),
        }
    }

    /// The aborted transactions of one of `segments`, a list of all. A stored list that is damaged is built anew.
    pub(crate) fn aborted<'a>(
        &self,
        segments: &'a [Arc<Segment>],
        at: usize,
    ) -> Result<MappedRwLockReadGuard<'a, Vec<Aborted>>, ReadError> {
        let segment = &segments[at];
        match segment.aborted() {
            Err(ReadError::Corrupt { .. }) => {}
            other => return other,
        }
        let mut list = aborted::rebuild(&segments[..=at], segment.size_bytes())?;
        list.retain(|aborted| aborted.last_offset < segment.end_offset());
        // Found by the next start if it can be stored, else built again by that.
        let stored = aborted::replace(&*self.disk, segment.aborted_path(), &list);
        if let Err(error) = stored.and_then(|()| self.disk.sync_dir(&self.dir)) {
            tracing::warn!(file = %segment.aborted_path().display(), %error, "the rebuilt list cannot be stored");
        }
        segment.set_aborted(list);
        segment.aborted()
    }

    /// Makes the directory's own name durable before anything in it is said to be: once per log, and not when it is
    /// opened, so that the first record for each of a thousand partitions does not wait for the disk a thousand times.
    fn sync_name(&self) -> std::io::Result<()> {
        if self.name_unsynced.load(Ordering::Acquire)
            && !crate::planted::planted("new-directory-without-sync")
            && let Some(parent) = self.dir.parent()
        {
            self.disk.sync_dir(parent)?;
            self.name_unsynced.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// When a segment was last written to, as far as the disk knows.
    fn written_ms(&self, segment: &Segment) -> Millis {
        self.disk.modified_ms(segment.path()).ok().flatten().unwrap_or(NO_TIMESTAMP)
    }

    fn log_start(&self) -> Offset {
        self.log_start.load(Ordering::Acquire)
    }

    fn end(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }

    fn durable(&self) -> Offset {
        self.durable.load(Ordering::Acquire)
    }

    fn set_durable(&self, offset: Offset) {
        self.durable.fetch_max(offset, Ordering::AcqRel);
    }

    /// Why nothing more is appended.
    fn fenced(&self) -> Option<&Fence> {
        self.failed().or_else(|| self.damage.get())
    }

    /// Why nothing more is synced.
    fn failed(&self) -> Option<&Fence> {
        self.fence.get()
    }

    /// Makes the log read-only; the first reason stays. True if it was not before.
    fn set_damaged(&self, damage: Damage) -> bool {
        self.damage.set(Fence::Damaged(Arc::new(damage))).is_ok()
    }

    fn set_first_open(&self, first: Option<Offset>) {
        self.first_open.store(first.unwrap_or(Offset::MAX), Ordering::Release);
    }

    /// T8: nothing below may still be aborted, as seen by who is shown what lies below `high_watermark`.
    fn last_stable(&self, high_watermark: Offset) -> Offset {
        let open = self.first_open.load(Ordering::Acquire);
        let unshown = self.unshown.lock();
        let ended = unshown.iter().filter(|(_, marker)| *marker >= high_watermark).map(|(first, _)| *first);
        let stable = ended.fold(open.min(high_watermark), Offset::min);
        stable.max(self.log_start().min(high_watermark))
    }

    /// Closes the log for writing; the first reason stays.
    fn set_fence(&self, doing: &str, error: &std::io::Error) -> Fence {
        let fence = self.fence.get_or_init(|| {
            tracing::error!(dir = %self.dir.display(), %error, "{doing} failed, the log takes no more records");
            // Where not even that can be written, the file system is no longer one that the next start can use.
            let _ = self.disk.open(&self.dir.join(SYNC_FAILED), OpenMode::OpenOrCreate);
            Fence::Failed(format!("{}: {doing}: {error}", self.dir.display()).into())
        });
        fence.clone()
    }
}
