//! Noting on disk, from time to time, how far a log is durable: what a crash may tear is then only what came after.

use std::io;

use super::{Reader, Shared};
use crate::snapshot;
use crate::types::Offset;

impl Shared {
    /// A recovery point has been written.
    pub(super) fn vouched_by_point(&self, offset: Offset) {
        let mut checkpoint = self.checkpoint.lock();
        checkpoint.vouched = checkpoint.vouched.max(offset);
    }
}

impl Reader {
    /// Notes what is durable, if that is more than the files say. True if it was. After a crash, damage below it is told
    /// from a write that was torn: the log is then opened for reading alone, and not cut.
    ///
    /// It takes no lock of the appender and syncs nothing: a name is changed, which the system may write when it likes.
    pub fn checkpoint(&self) -> io::Result<bool> {
        let shared = &*self.shared;
        let mut checkpoint = shared.checkpoint.lock();
        let is_early = crate::planted::planted("checkpoint-of-the-end");
        let durable = if is_early { shared.end() } else { shared.durable() };
        // Of a damaged log nothing is changed, and what it calls durable is only what is there.
        if durable <= checkpoint.vouched || shared.fenced().is_some() {
            return Ok(false);
        }
        let before = checkpoint.file.take();
        snapshot::write_checkpoint(&*shared.disk, &shared.dir, before, durable)?;
        (checkpoint.vouched, checkpoint.file) = (durable, Some(durable));
        Ok(true)
    }
}
