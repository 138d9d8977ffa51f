//! A log in use: one appender, any number of readers, and what they share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::disk::Disk;
use crate::error::Fence;
use crate::segment::Segment;
use crate::types::Offset;

mod appender;
mod chore;
mod clean;
mod flush;
mod reader;
mod stamp;

pub(crate) use appender::start;
pub use appender::{Appended, Appender, Origin};
pub use chore::Chore;
pub use clean::{Clean, CleanError, CleanReport, Replacement};
pub use flush::Flush;
pub use reader::{ReadSlices, Reader};

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
    /// A segment could not be sealed, so no recovery point may lie behind it.
    unsealed: AtomicBool,
    /// Held while syncing. One at a time: the system reports a failed write-back once, and whoever syncs next to the one
    /// who is told would take lost bytes for safe ones.
    syncing: Mutex<()>,
    fence: OnceLock<Fence>,
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
    ) -> Self {
        Self {
            disk,
            dir,
            segments: RwLock::new(Arc::new(segments)),
            log_start: AtomicI64::new(log_start),
            end: AtomicI64::new(end),
            durable: AtomicI64::new(durable),
            dir_unsynced: AtomicBool::new(end > durable),
            unsealed: AtomicBool::new(false),
            syncing: Mutex::new(()),
            fence: OnceLock::new(),
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

    fn fenced(&self) -> Option<&Fence> {
        self.fence.get()
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
            Fence(format!("{}: {doing}: {error}", self.dir.display()).into())
        });
        fence.clone()
    }
}
