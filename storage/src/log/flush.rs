//! Making appended records durable, away from the appender's lock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Shared;
use crate::error::Fence;
use crate::segment::Segment;
use crate::types::Offset;

/// The work of making everything durable that was appended before it was handed out. It takes no lock of the appender:
/// run it on a thread that may wait. A failed sync closes the log for writing and is not tried again, because a second
/// one may report success for bytes that are gone.
#[derive(Debug)]
#[must_use = "nothing is durable until it is run"]
pub struct Flush {
    pub(super) shared: Arc<Shared>,
    /// What was written to, and how often.
    pub(super) segments: Vec<(Arc<Segment>, u64)>,
    pub(super) upto: Offset,
}

impl Flush {
    /// Waits for the disk. Gives the offset below which everything is durable.
    pub fn run(self) -> Result<Offset, Fence> {
        let shared = &*self.shared;
        let _syncing = shared.syncing.lock();
        if let Some(fence) = shared.failed() {
            return Err(fence.clone());
        }
        if crate::planted::planted("durable-before-sync") {
            shared.set_durable(self.upto);
        }
        for (segment, writes) in self.segments.iter().filter(|(segment, _)| !segment.is_removed()) {
            if let Err(error) = segment.file().and_then(|file| {
                if crate::planted::planted("flush-without-sync") { Ok(()) } else { file.sync_data() }
            }) {
                if is_shortage(&error) || crate::planted::planted("no-fence-after-sync-error") {
                    return Err(Fence::Failed(error.to_string().into()));
                }
                return Err(shared.set_fence("sync", &error));
            }
            segment.confirm(*writes);
        }
        if shared.dir_unsynced.swap(false, Ordering::AcqRel)
            && !crate::planted::planted("flush-without-directory")
            && let Err(error) = shared.disk.sync_dir(&shared.dir).and_then(|()| shared.sync_name())
        {
            if is_shortage(&error) {
                shared.dir_unsynced.store(true, Ordering::Release);
                return Err(Fence::Failed(error.to_string().into()));
            }
            return Err(shared.set_fence("sync of the directory", &error));
        }
        shared.set_durable(self.upto);
        Ok(shared.durable())
    }

    /// Makes several logs durable by one call of `sync`, which makes all of their file system durable and reports every
    /// failed write to it since it was opened, once. An error concerns all of them, and perhaps others: do not call it for
    /// the same file system after that. The outcomes come in the order of `flushes`.
    ///
    /// One thread at a time: each log is locked until the end.
    pub fn run_together(
        flushes: Vec<Self>,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> Vec<Result<Offset, Fence>> {
        let locked: Vec<_> = flushes.iter().map(|flush| (flush, flush.shared.syncing.lock())).collect();
        // Names that are made from here on are for the next one.
        for (flush, _) in &locked {
            flush.shared.dir_unsynced.store(false, Ordering::Release);
            flush.shared.name_unsynced.store(false, Ordering::Release);
        }
        let synced = if locked.is_empty() { Ok(()) } else { sync() };
        let settle = |flush: &Self| {
            let shared = &*flush.shared;
            if let Some(fence) = shared.failed() {
                return Err(fence.clone());
            }
            if let Err(error) = &synced {
                return Err(shared.set_fence("sync of the file system", error));
            }
            flush.segments.iter().for_each(|(segment, writes)| segment.confirm(*writes));
            shared.set_durable(flush.upto);
            Ok(shared.durable())
        };
        locked.iter().map(|(flush, _)| settle(flush)).collect()
    }

    /// Everything below this offset will be durable.
    pub fn upto(&self) -> Offset {
        self.upto
    }
}

/// Whether nothing was tried because the process has too many files open: then nothing is lost, and the next flush may
/// go well.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
