//! Work that follows from an append or a deletion but need not hold anybody up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use crate::aborted;
use crate::disk::state;
use crate::error::ReadError;
use crate::segment::{DELETED_SUFFIX, Segment};
use crate::snapshot;
use crate::types::Offset;

/// Something that is left to do on disk. Run the chores of a log one at a time and in the order they were handed out, on
/// a thread that may wait; none takes the appender's lock.
#[derive(Debug)]
#[must_use = "nothing is done until it is run"]
pub struct Chore(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    /// A segment is full.
    Seal(Seal),
    /// Segments lie below the log start.
    Remove { shared: Arc<Shared>, segments: Vec<Arc<Segment>> },
}

#[derive(Debug)]
pub(super) struct Seal {
    pub(super) shared: Arc<Shared>,
    pub(super) segment: Arc<Segment>,
    /// The recovery point that holds once the segment is on disk.
    pub(super) offset: Offset,
    pub(super) snapshot: Vec<u8>,
}

impl Chore {
    /// Does it. Only a failed sync of records closes the log for writing. Other errors leave an older recovery point in
    /// force, or files behind that the next opening removes.
    pub fn run(self) -> io::Result<()> {
        match self.0 {
            Kind::Seal(seal) => seal.run(),
            Kind::Remove { shared, segments } => remove(&shared, &segments),
        }
    }
}

impl Seal {
    /// Trims the reserved space, syncs, writes the index, and only then the recovery point that relies on all of it.
    pub(super) fn run(&self) -> io::Result<()> {
        let Self { shared, segment, .. } = self;
        if !segment.is_removed() && segment.size_bytes() > 0 {
            let finished = self.finish_segment();
            // One that was deleted meanwhile needs no seal.
            if finished.is_err() && !segment.is_removed() {
                shared.unsealed.store(true, Ordering::Release);
                shared.sealing.lock().remove(&self.offset);
                return finished;
            }
        }
        let is_first = {
            let mut sealing = shared.sealing.lock();
            sealing.remove(&self.offset);
            sealing.first().is_none_or(|first| *first > self.offset)
        };
        if shared.unsealed.load(Ordering::Acquire) && !crate::planted::planted("snapshot-past-failed-seal") {
            // A recovery point vouches for all segments below it. The last one stays in force until the next start.
            return Err(io::Error::other("an earlier segment could not be sealed"));
        }
        if !is_first && !crate::planted::planted("snapshot-past-running-seal") {
            // For the same reason: another thread is at an earlier one. The recovery point after this will do.
            return Ok(());
        }
        shared.sync_name()?;
        snapshot::write_snapshot(&*shared.disk, &shared.dir, self.offset, &self.snapshot)?;
        shared.vouched_by_point(self.offset);
        Ok(())
    }

    fn finish_segment(&self) -> io::Result<()> {
        let Self { shared, segment, .. } = self;
        // Nobody writes to it any more.
        let writes = segment.writes();
        let file = segment.file()?;
        {
            let _syncing = shared.syncing.lock();
            if let Some(fence) = shared.failed() {
                return Err(io::Error::other(fence.to_string()));
            }
            file.set_len(segment.size_bytes())?;
            let synced = if crate::planted::planted("seal-without-sync") { Ok(()) } else { file.sync_data() };
            synced.inspect_err(|error| {
                shared.set_fence("sync of a full segment", error);
            })?;
            segment.confirm(writes);
        }
        let other = |error: ReadError| io::Error::other(error.to_string());
        shared.load_aborted(segment).map_err(other)?;
        let list = segment.aborted().map_err(other)?.clone();
        if !crate::planted::planted("seal-without-aborted") {
            aborted::write(&*shared.disk, segment.aborted_path(), &list)?;
        }
        segment.cool();
        // Not synced: its sum tells whether it is whole, and it can be built anew. Of a damaged segment there is none.
        let index = segment.index().map(|index| index.encode());
        index.map_or(Ok(()), |index| state::replace(&*shared.disk, segment.index_path(), &index, false))?;
        segment.index_stored();
        Ok(())
    }
}

fn remove(shared: &Shared, segments: &[Arc<Segment>]) -> io::Result<()> {
    let mut renamed = Vec::with_capacity(segments.len());
    for segment in segments {
        segment.let_go();
        let mut tombstone = segment.path().as_os_str().to_owned();
        tombstone.push(DELETED_SUFFIX);
        // A segment that never got a record has no file.
        if absent_is_fine(shared.disk.rename(segment.path(), tombstone.as_ref()))? {
            renamed.push(tombstone);
        }
        absent_is_fine(shared.disk.remove_file(segment.index_path()))?;
        absent_is_fine(shared.disk.remove_file(segment.aborted_path()))?;
    }
    shared.disk.sync_dir(&shared.dir)?;
    for tombstone in renamed {
        absent_is_fine(shared.disk.remove_file(tombstone.as_ref()))?;
    }
    Ok(())
}

/// Whether it was there.
fn absent_is_fine(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
