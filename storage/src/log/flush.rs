//! Making appended records durable, away from the appender's lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
    pub(super) segments: Vec<Arc<Segment>>,
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
        for segment in self.segments.iter().filter(|segment| !segment.is_removed()) {
            if let Err(error) = segment.file().and_then(|file| {
                if crate::planted::planted("flush-without-sync") { Ok(()) } else { file.sync_data() }
            }) {
                if crate::planted::planted("no-fence-after-sync-error") {
                    return Err(Fence::Failed(error.to_string().into()));
                }
                return Err(shared.set_fence("sync", &error));
            }
        }
        if shared.dir_unsynced.swap(false, Ordering::AcqRel)
            && !crate::planted::planted("flush-without-directory")
            && let Err(error) = shared.disk.sync_dir(&shared.dir)
        {
            return Err(shared.set_fence("sync of the directory", &error));
        }
        shared.set_durable(self.upto);
        Ok(shared.durable())
    }

    /// Everything below this offset will be durable.
    pub fn upto(&self) -> Offset {
        self.upto
    }
}
