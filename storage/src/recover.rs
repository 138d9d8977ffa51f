//! What a log is after a restart: read, check, cut, and only then is there an appender.
//!
//! 1. List the directory; throw away what was being written or removed.
//! 2. Log start: the newest valid `.start`, else 0.
//! 3. Recovery point: the newest valid snapshot. Below it nothing is read: it was whole and synced.
//! 4. From there on every batch is checked (offset follows, CRC-32C) and its producer replayed, segment by segment.
//! 5. The first byte that is not a valid batch is the end: what follows is cut, so that it reads as zero from then on,
//!    and segments behind it are dropped. Zeros there are space that was reserved; anything else is worth a warning.
//!
//! 6. Zeros or not: a log that ends below an offset that a recovery point or a checkpoint vouched for was not left so by a
//!    crash. It is damaged, nothing of it is changed, and it is opened for reading alone (see `damaged`).
//!
//! Every step may be repeated after a crash in its middle: nothing is removed that a second run would need.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aborted;
use crate::config::LogConfig;
use crate::damaged;
use crate::disk::{Disk, Entry, OpenMode, state};
use crate::error::{Damage, OpenError, is_unreadable};
use crate::index::Index;
use crate::marker::{Aborted, Marker};
use crate::producers::Producers;
use crate::scan::{Scanner, last_non_zero};
use crate::segment::{
    ABORTED_SUFFIX, DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name, parse_file_name,
};
use crate::snapshot::{self, DURABLE_SUFFIX, Snapshot};
use crate::types::{Millis, Offset};

/// What was done to open a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of log that were read and checked. 0 after a clean stop.
    pub scanned_bytes: u64,
    /// Bytes that were not zero and not a valid batch either, and were cut off.
    pub cut_bytes: u64,
    /// Segments behind the cut that were dropped.
    pub dropped_segments: usize,
}

/// A log as it was found.
pub(crate) struct Recovered {
    pub(crate) log_start: Offset,
    /// At least one; the last is the one to append to.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) producers: Producers,
    /// When the last segment got its first batch, where that is known.
    pub(crate) started_ms: Option<Millis>,
    /// Offset below which everything is known to be on disk.
    pub(crate) durable: Offset,
    pub(crate) report: Recovery,
    /// Why it may only be read.
    pub(crate) damage: Option<Damage>,
    /// What the files vouch for.
    pub(crate) checkpoint: Checkpoint,
}

/// The file that a log leaves behind which was closed for writing because a write or sync had failed. The system may have
/// bytes in its cache then that it could not write, and takes them for clean: what is scanned must come from the disk.
/// It is not synced; a start of the machine empties the cache.
pub(crate) const SYNC_FAILED: &str = "sync-failed";

/// How far the files say that a log is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoint {
    /// Below this a recovery point or a checkpoint vouches for everything.
    pub(crate) vouched: Offset,
    /// What the checkpoint's name says, if there is one.
    pub(crate) file: Option<Offset>,
}

/// Why a log cannot be opened for writing.
enum Stop {
    Failed(OpenError),
    Damaged(Damage),
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Self::Failed(error)
    }
}

pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: &LogConfig,
    now: Millis,
) -> Result<Recovered, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    disk.create_dir_all(dir).map_err(at(dir))?;
    let entries = disk.list(dir).map_err(at(dir))?;
    let mut found = Found::sort(&entries);
    let recorded_start = snapshot::read_start(&**disk, dir, &entries).map_err(at(dir))?;
    let mut log_start = recorded_start.unwrap_or(0);
    if crate::planted::planted("start-ignored") {
        log_start = found.first().unwrap_or(0);
    }
    found.drop_below(&**disk, dir, log_start).map_err(at(dir))?;
    let mut run = Run {
        disk,
        dir,
        config,
        now,
        log_start,
        vouched: snapshot::vouched(&entries).unwrap_or(0),
        is_unsure: entries.iter().any(|entry| entry.name == SYNC_FAILED),
        next: 0,
        producers: Producers::default(),
        report: Recovery::default(),
        segments: Vec::with_capacity(found.logs.len() + 1),
    };
    match run.recover(&entries, &found) {
        Ok((durable, started_ms)) => {
            remove_leftovers(&**disk, dir, &entries, &found).map_err(at(dir))?;
            if run.is_unsure {
                remove(&**disk, &dir.join(SYNC_FAILED)).map_err(at(dir))?;
            }
            let (segments, producers, report) = (run.segments, run.producers, run.report);
            let checkpoint = Checkpoint { vouched: run.vouched, file: snapshot::newest_checkpoint(&entries) };
            let damage = None;
            Ok(Recovered { log_start, durable, started_ms, segments, producers, report, damage, checkpoint })
        }
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Damaged(damage)) => {
            damaged::open(disk, dir, config, now, &entries, &found, log_start, damage)
        }
    }
}

/// The segment files of a directory.
pub(crate) struct Found {
    /// Base offset and length, in order.
    pub(crate) logs: Vec<(Offset, u64)>,
}

/// Throws away what was being written or removed when the log was left.
fn remove_leftovers(disk: &dyn Disk, dir: &Path, entries: &[Entry], found: &Found) -> io::Result<()> {
    let is_orphan = |name: &str| {
        [INDEX_SUFFIX, ABORTED_SUFFIX]
            .iter()
            .filter_map(|suffix| parse_file_name(name, suffix))
            .any(|base| found.logs.binary_search_by_key(&base, |log| log.0).is_err())
    };
    let checkpoint = snapshot::newest_checkpoint(entries);
    let is_old = |name: &str| parse_file_name(name, DURABLE_SUFFIX).is_some_and(|at| Some(at) < checkpoint);
    for name in entries.iter().filter(|entry| !entry.is_dir).map(|entry| &entry.name) {
        if is_old(name)
            || name.ends_with(state::TEMPORARY)
            || name.ends_with(DELETED_SUFFIX)
            || is_orphan(name)
        {
            remove(disk, &dir.join(name))?;
        }
    }
    Ok(())
}

impl Found {
    pub(crate) fn sort(entries: &[Entry]) -> Self {
        let files = entries.iter().filter(|entry| !entry.is_dir);
        let mut logs: Vec<_> = files
            .filter_map(|entry| Some((parse_file_name(&entry.name, LOG_SUFFIX)?, entry.size_bytes)))
            .collect();
        logs.sort_unstable();
        Self { logs }
    }

    pub(crate) fn first(&self) -> Option<Offset> {
        self.logs.first().map(|log| log.0)
    }

    pub(crate) fn size_of(&self, base: Offset) -> Option<u64> {
        self.logs.iter().find(|log| log.0 == base).map(|log| log.1)
    }

    /// Finishes a removal that a crash interrupted: segments that end at the log start or before it.
    fn drop_below(&mut self, disk: &dyn Disk, dir: &Path, start: Offset) -> io::Result<()> {
        let below = self.logs.windows(2).take_while(|pair| pair[1].0 <= start).count();
        for (base, _) in self.logs.drain(..below) {
            remove(disk, &dir.join(file_name(base, LOG_SUFFIX)))?;
            remove(disk, &dir.join(file_name(base, INDEX_SUFFIX)))?;
            remove(disk, &dir.join(file_name(base, ABORTED_SUFFIX)))?;
        }
        Ok(())
    }
}

/// The newest valid snapshot that still means something. That the bytes below it are missing is damage, not a crash.
fn recovery_point(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[Entry],
    found: &Found,
    log_start: Offset,
) -> Result<Option<Snapshot>, Stop> {
    for snapshot in snapshot::snapshots(disk, dir, entries) {
        let snapshot = snapshot.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let size = found.size_of(snapshot.segment);
        // The file of a segment is made by its first append, so a segment that begins here may have none.
        let begins = snapshot.position == 0 && found.logs.iter().all(|log| log.0 < snapshot.segment);
        if begins || size.is_some_and(|size| size >= snapshot.position) {
            return Ok(Some(snapshot));
        }
        if snapshot.offset <= log_start {
            // Its segment was deleted since. What it knows about producers went with their records (I4).
            continue;
        }
        let found = size.map_or("there is no such file".to_owned(), |size| format!("the file has {size}"));
        return Err(Stop::Damaged(Damage {
            path: dir.join(file_name(snapshot.segment, LOG_SUFFIX)),
            position: size.unwrap_or(0),
            reason: format!(
                "{} bytes up to offset {} should be here, {found}",
                snapshot.position, snapshot.offset
            ),
        }));
    }
    Ok(None)
}

struct Run<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    config: &'a LogConfig,
    now: Millis,
    log_start: Offset,
    /// Everything below was on disk once.
    vouched: Offset,
    /// The last process could not sync it: see [`SYNC_FAILED`].
    is_unsure: bool,
    /// Offset that the next valid batch must have.
    next: Offset,
    producers: Producers,
    report: Recovery,
    segments: Vec<Arc<Segment>>,
}

impl Run<'_> {
    /// Finds the segments. Gives the offset below which everything is durable, and when the last segment was begun.
    fn recover(&mut self, entries: &[Entry], found: &Found) -> Result<(Offset, Option<Millis>), Stop> {
        let log_start = self.log_start;
        let point = recovery_point(&**self.disk, self.dir, entries, found, log_start)?;
        let first = found.first().or(point.as_ref().map(|point| point.segment)).unwrap_or(log_start);
        if first > log_start {
            return Err(Stop::Damaged(Damage {
                path: self.path(log_start, LOG_SUFFIX),
                position: 0,
                reason: format!("the log should start here, there is nothing below offset {first}"),
            }));
        }
        self.next = point.as_ref().map_or(first, |point| point.offset);
        let durable = self.next.max(log_start);
        let (mut from, mut position, mut started_ms) = (first, 0, None);
        if let Some(point) = point {
            (from, position, started_ms) = (point.segment, point.position, point.started_ms);
            if !crate::planted::planted("snapshot-without-producers") {
                self.producers = point.producers;
            }
            self.trust_below(found, from);
        }
        self.scan(found, from, position)?;
        if found.logs.last().is_none_or(|last| last.0 < from) {
            self.check_vouched(from, 0, "there is no such file")?;
        }
        if log_start > self.next {
            // Records below the start were lost, which nobody could have read any more.
            let dir = self.dir.to_owned();
            self.restart_at(log_start).map_err(|source| OpenError::Io { path: dir, source })?;
        }
        self.open_active(from);
        let goes_on = self.segments.last().is_some_and(|last| last.base_offset() == from);
        Ok((durable, started_ms.filter(|_| goes_on)))
    }

    /// Nothing valid follows at a position, for this reason. Below what was vouched for that is damage.
    fn check_vouched(&self, base: Offset, position: u64, reason: &str) -> Result<(), Stop> {
        if self.next.max(self.log_start) >= self.vouched
            || crate::planted::planted("cut-below-recovery-point")
        {
            return Ok(());
        }
        Err(Stop::Damaged(Damage {
            path: self.path(base, LOG_SUFFIX),
            position,
            reason: format!(
                "offset {} should be here, and everything up to {} was on disk once: {reason}",
                self.next, self.vouched
            ),
        }))
    }

    /// Takes over the segments before the recovery point as they are.
    fn trust_below(&mut self, found: &Found, point: Offset) {
        let below = found.logs.iter().take_while(|log| log.0 < point);
        let ends = found.logs.iter().skip(1).map(|log| log.0.min(point)).chain([point]);
        for (&(base, size), end) in below.zip(ends) {
            self.add(base, end, size);
        }
    }

    /// Checks everything from `position` in the segment at `from` on.
    fn scan(&mut self, found: &Found, from: Offset, position: u64) -> Result<(), Stop> {
        let todo: Vec<_> = found.logs.iter().filter(|log| log.0 >= from).collect();
        for (i, &&(base, size)) in todo.iter().enumerate() {
            let rest = &todo[i + 1..];
            let next = rest.first().map(|next| next.0);
            self.scan_segment(base, if base == from { position } else { 0 }, size, next)?;
            // Without a cut the next segment goes on where this one ended.
            match rest.first() {
                Some(next) if next.0 != self.next => return Ok(self.drop_segments(base, rest)?),
                Some(_) => {
                    if !crate::planted::planted("recovery-trusts-page-cache") {
                        self.sync_segment(base)?;
                    }
                    if !crate::planted::planted("recovery-forgets-aborted") {
                        self.write_aborted(base)?;
                    }
                    self.write_index(base);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn drop_segments(&mut self, broken: Offset, rest: &[&(Offset, u64)]) -> Result<(), OpenError> {
        let path = self.path(broken, LOG_SUFFIX);
        tracing::error!(
            file = %path.display(), end_offset = self.next, segments = rest.len(),
            "the log breaks off here; the segments behind it are dropped"
        );
        self.report.dropped_segments = rest.len();
        let removed = rest.iter().try_for_each(|log| self.remove_segment(log.0));
        // Or one of them might come back just when the log has grown to its offset.
        removed.map_err(|source| OpenError::Io { path, source })?;
        self.sync_dir()
    }

    /// What it makes durable is believed from then on, so a failure is for good.
    fn sync_dir(&self) -> Result<(), OpenError> {
        self.disk.sync_dir(self.dir).map_err(|source| OpenError::Sync { path: self.dir.to_owned(), source })
    }

    /// Makes a segment durable that was full but not sealed: the next recovery point will rely on it, and all that is
    /// known is that it is in the page cache.
    fn sync_segment(&self, base: Offset) -> Result<(), OpenError> {
        let path = self.path(base, LOG_SUFFIX);
        let file = self.disk.open(&path, OpenMode::Existing);
        file.and_then(|file| file.sync_data()).map_err(|source| OpenError::Sync { path, source })
    }

    /// Stores the index of a segment that was full but not sealed when the log was left.
    fn write_index(&self, base: Offset) {
        let path = self.path(base, INDEX_SUFFIX);
        let Some(Ok(index)) = self.segments.last().map(|segment| segment.index()) else { return };
        if let Err(error) = state::replace(&**self.disk, &path, &index.encode(), false) {
            tracing::warn!(file = %path.display(), %error, "the index cannot be stored, it will be built anew");
        }
    }

    /// Stores the list of aborted transactions of such a segment. It is not read from the log again, so it must be there.
    fn write_aborted(&self, base: Offset) -> Result<(), OpenError> {
        let path = self.path(base, ABORTED_SUFFIX);
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let Some(segment) = self.segments.last() else { return Ok(()) };
        let list = segment.aborted().map_err(|error| failed(io::Error::other(error.to_string())))?;
        aborted::write(&**self.disk, &path, &list).map_err(failed)?;
        self.sync_dir()
    }

    /// Checks one segment and cuts it behind its last valid batch. The one behind it, if there is one, begins at `next`.
    fn scan_segment(
        &mut self,
        base: Offset,
        start: u64,
        size: u64,
        next: Option<Offset>,
    ) -> Result<(), Stop> {
        let path = self.path(base, LOG_SUFFIX);
        if start == size {
            if next != Some(self.next) {
                self.check_vouched(base, size, "the file ends here")?;
            }
            self.add(base, self.next, size);
            return Ok(());
        }
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let file = self.disk.open(&path, OpenMode::Existing).map_err(failed)?;
        if self.is_unsure && !crate::planted::planted("recovery-believes-failed-sync") {
            file.forget_cached().map_err(failed)?;
        }
        let mut scanner = Scanner::new(&*file, start, size);
        let mut index = (start == 0).then(|| Index::new(base));
        let mut aborted = self.aborted_before(base, start)?;
        let stop = loop {
            if crate::planted::planted("tail-dropped-at-recovery") {
                break "planted";
            }
            let batch = match scanner.next(self.next) {
                Ok(Ok(batch)) => batch,
                Ok(Err(stop)) => break stop,
                Err(error) => return Err(unreadable(&path, scanner.position, error)),
            };
            let header = batch.header();
            self.next = header.last_offset() + 1;
            self.producers.record(header, self.now, self.config.max_producers);
            if let Some(marker) = Marker::read(&batch) {
                let offset = header.base_offset;
                aborted.extend(self.producers.end(&marker, offset, self.now, self.config.max_producers).1);
            }
            if let Some(index) = &mut index {
                index.push(header, self.config.index_interval_bytes);
            }
        };
        let end = scanner.position;
        self.report.scanned_bytes += end - start;
        if next != Some(self.next) {
            self.check_vouched(base, end, stop)?;
        }
        if end < size && !crate::planted::planted("no-tail-erase") {
            let last = last_non_zero(&*file, end, size).map_err(|error| unreadable(&path, end, error))?;
            let torn = last.map_or(0, |last| last + 1 - end);
            if torn > 0 {
                self.report.cut_bytes += torn;
                tracing::warn!(
                    file = %path.display(), position = end, bytes = torn, reason = stop,
                    "an unfinished write is cut off"
                );
                // The index may cover what is cut now and overwritten later.
                remove(&**self.disk, &self.path(base, INDEX_SUFFIX)).map_err(failed)?;
            }
            file.set_len(end).map_err(failed)?;
            if torn > 0 {
                // Before anything is written behind the cut: what was there must not come back.
                file.sync_data().map_err(|source| OpenError::Sync { path: path.clone(), source })?;
                self.sync_dir()?;
            }
        }
        if start == 0 {
            // What is there was stored by a start that did not get to a recovery point of its own.
            remove(&**self.disk, &self.path(base, ABORTED_SUFFIX)).map_err(failed)?;
        }
        let segment = self.add(base, self.next, end);
        segment.set_aborted(aborted);
        if let Some(index) = index {
            segment.set_index(index);
        }
        Ok(())
    }

    /// The aborted transactions of a segment up to the recovery point, which lies at `position` in it.
    fn aborted_before(&self, base: Offset, position: u64) -> Result<Vec<Aborted>, OpenError> {
        let path = self.path(base, ABORTED_SUFFIX);
        if position == 0 {
            return Ok(Vec::new());
        }
        let stored = aborted::read(&**self.disk, &path)
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut list = match stored {
            Some(list) => list,
            None => self.rebuild_aborted(base, position)?,
        };
        // What lies behind is read again.
        list.retain(|aborted| aborted.last_offset < self.next);
        Ok(list)
    }

    fn rebuild_aborted(&self, base: Offset, position: u64) -> Result<Vec<Aborted>, OpenError> {
        let (limit, interval) = (self.config.segment_limit(), self.config.index_interval_bytes);
        let segment = Segment::stored(self.disk, self.dir, base, self.next, position, limit, interval)
            .among(&self.config.open_segments);
        let segments: Vec<_> = self.segments.iter().cloned().chain([Arc::new(segment)]).collect();
        let path = self.path(base, ABORTED_SUFFIX);
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let list = aborted::rebuild(&segments, position)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        aborted::replace(&**self.disk, &path, &list).map_err(failed)?;
        self.sync_dir()?;
        Ok(list)
    }

    fn restart_at(&mut self, log_start: Offset) -> io::Result<()> {
        tracing::error!(
            end_offset = self.next,
            log_start,
            "the log ends below its start; what is left of it is dropped"
        );
        for segment in std::mem::take(&mut self.segments) {
            self.report.dropped_segments += 1;
            self.remove_segment(segment.base_offset())?;
        }
        self.next = log_start;
        self.disk.sync_dir(self.dir)
    }

    /// Makes sure that the last segment is one that the next record can go to: not one that was sealed, which is what
    /// all segments before that of the recovery point are.
    fn open_active(&mut self, from: Offset) {
        if self.segments.last().is_none_or(|last| last.base_offset() < from) {
            let limit = self.config.segment_limit();
            let interval = self.config.index_interval_bytes;
            let segment = Segment::empty(self.disk, self.dir, self.next, limit, interval);
            self.segments.push(Arc::new(segment.among(&self.config.open_segments)));
        }
    }

    fn add(&mut self, base: Offset, end: Offset, size: u64) -> &Segment {
        let (limit, interval) = (self.config.segment_limit(), self.config.index_interval_bytes);
        let segment = Segment::stored(self.disk, self.dir, base, end, size, limit, interval)
            .among(&self.config.open_segments);
        self.segments.push(Arc::new(segment));
        &self.segments[self.segments.len() - 1]
    }

    fn remove_segment(&self, base: Offset) -> io::Result<()> {
        remove(&**self.disk, &self.path(base, LOG_SUFFIX))?;
        remove(&**self.disk, &self.path(base, INDEX_SUFFIX))?;
        remove(&**self.disk, &self.path(base, ABORTED_SUFFIX))
    }

    fn path(&self, base: Offset, suffix: &str) -> PathBuf {
        self.dir.join(file_name(base, suffix))
    }
}

/// A segment that cannot be read: damage where the device says so.
fn unreadable(path: &Path, position: u64, error: io::Error) -> Stop {
    if is_unreadable(&error) {
        Stop::Damaged(Damage {
            path: path.to_owned(),
            position,
            reason: format!("it cannot be read: {error}"),
        })
    } else {
        Stop::Failed(OpenError::Io { path: path.to_owned(), source: error })
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
