//! What a log is after a restart: read, check, cut, and only then is there an appender.
//!
//! 1. List the directory; throw away what was being written or removed.
//! 2. Log start: the newest valid `.start`, else 0.
//! 3. Recovery point: the newest valid snapshot. Below it nothing is read: it was whole and synced.
//! 4. From there on every batch is checked (offset follows, CRC-32C) and its producer replayed, segment by segment.
//! 5. The first byte that is not a valid batch is the end: what follows is cut, so that it reads as zero from then on,
//!    and segments behind it are dropped. Zeros there are space that was reserved; anything else is worth a warning.
//!
//! Every step may be repeated after a crash in its middle: nothing is removed that a second run would need.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aborted;
use crate::config::{LogConfig, OnDamage};
use crate::disk::{Disk, Entry, OpenMode, state};
use crate::error::OpenError;
use crate::index::Index;
use crate::marker::{Aborted, Marker};
use crate::producers::Producers;
use crate::scan::{Scanner, last_non_zero};
use crate::segment::{
    ABORTED_SUFFIX, DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name, parse_file_name,
};
use crate::snapshot::{self, SNAPSHOT_SUFFIX, Snapshot};
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
    if entries.is_empty()
        && !crate::planted::planted("new-directory-without-sync")
        && let Some(parent) = dir.parent()
    {
        // Nothing in a directory is durable before its own name is, and a restart would take it for old.
        disk.sync_dir(parent).map_err(at(parent))?;
    }
    let mut found = Found::sort(disk, dir, &entries).map_err(at(dir))?;
    let recorded_start = snapshot::read_start(&**disk, dir, &entries).map_err(at(dir))?;
    let mut log_start = recorded_start.unwrap_or(0);
    if crate::planted::planted("start-ignored") {
        log_start = found.first().unwrap_or(0);
    }
    found.drop_below(&**disk, dir, log_start).map_err(at(dir))?;
    let point = recovery_point(&**disk, dir, &entries, &found, log_start, config)?;
    let first = found.first().or(point.as_ref().map(|point| point.segment)).unwrap_or(log_start);
    if first > log_start {
        let missing = Missing {
            path: dir.join(file_name(log_start, LOG_SUFFIX)),
            position: 0,
            expected: format!("records from offset {log_start} on"),
            found: format!("nothing below offset {first}"),
        };
        missing.settle(config)?;
        log_start = first;
        snapshot::write_start(&**disk, dir, log_start).map_err(at(dir))?;
    }
    let mut run = Run {
        disk,
        dir,
        config,
        now,
        next: point.as_ref().map_or(first, |point| point.offset),
        producers: Producers::default(),
        report: Recovery::default(),
        segments: Vec::with_capacity(found.logs.len() + 1),
    };
    let durable = run.next.max(log_start);
    let (mut from, mut position, mut started_ms) = (first, 0, None);
    if let Some(point) = point {
        (from, position, started_ms) = (point.segment, point.position, point.started_ms);
        if !crate::planted::planted("snapshot-without-producers") {
            run.producers = point.producers;
        }
        run.trust_below(&found, from);
    }
    run.scan(&found, from, position)?;
    if log_start > run.next {
        // Records below the start were lost, which nobody could have read any more.
        run.restart_at(log_start).map_err(at(dir))?;
    }
    run.open_active(from);
    let goes_on = run.segments.last().is_some_and(|last| last.base_offset() == from);
    Ok(Recovered {
        log_start,
        durable,
        started_ms: started_ms.filter(|_| goes_on),
        segments: run.segments,
        producers: run.producers,
        report: run.report,
    })
}

/// The segment files of a directory.
struct Found {
    /// Base offset and length, in order.
    logs: Vec<(Offset, u64)>,
}

impl Found {
    fn sort(disk: &Arc<dyn Disk>, dir: &Path, entries: &[Entry]) -> io::Result<Self> {
        let mut logs = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            if entry.name.ends_with(state::TEMPORARY) || entry.name.ends_with(DELETED_SUFFIX) {
                remove(&**disk, &dir.join(&entry.name))?;
            } else if let Some(base) = parse_file_name(&entry.name, LOG_SUFFIX) {
                logs.push((base, entry.size_bytes));
            }
        }
        logs.sort_unstable();
        for suffix in [INDEX_SUFFIX, ABORTED_SUFFIX] {
            for base in entries.iter().filter_map(|entry| parse_file_name(&entry.name, suffix)) {
                if logs.binary_search_by_key(&base, |log| log.0).is_err() {
                    remove(&**disk, &dir.join(file_name(base, suffix)))?;
                }
            }
        }
        Ok(Self { logs })
    }

    fn first(&self) -> Option<Offset> {
        self.logs.first().map(|log| log.0)
    }

    fn size_of(&self, base: Offset) -> Option<u64> {
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

/// The newest valid snapshot. That the bytes below it are missing is damage, not a crash.
fn recovery_point(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[Entry],
    found: &Found,
    log_start: Offset,
    config: &LogConfig,
) -> Result<Option<Snapshot>, OpenError> {
    for snapshot in snapshot::snapshots(disk, dir, entries) {
        let snapshot = snapshot.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let size = found.size_of(snapshot.segment);
        // The file of a segment is made by its first append, so a segment that begins here may have none.
        let begins = snapshot.position == 0 && found.logs.iter().all(|log| log.0 < snapshot.segment);
        if begins || size.is_some_and(|size| size >= snapshot.position) {
            return Ok(Some(snapshot));
        }
        if size.is_none() && snapshot.offset <= log_start {
            // Its segment was deleted since. What it knows about producers went with their records (I4).
            continue;
        }
        let missing = Missing {
            path: dir.join(file_name(snapshot.segment, LOG_SUFFIX)),
            position: size.unwrap_or(0),
            expected: format!("{} bytes up to offset {}", snapshot.position, snapshot.offset),
            found: size.map_or("no such file".to_owned(), |size| format!("{size} bytes")),
        };
        missing.settle(config)?;
        // It must not come to look true again when the log has grown back to its size.
        let path = dir.join(file_name(snapshot.offset, SNAPSHOT_SUFFIX));
        remove(disk, &path)
            .and_then(|()| disk.sync_dir(dir))
            .map_err(|source| OpenError::Io { path, source })?;
    }
    Ok(None)
}

/// Bytes below the recovery point that are not there.
struct Missing {
    path: PathBuf,
    position: u64,
    expected: String,
    found: String,
}

impl Missing {
    /// Refuses, or goes on without them if the operator said so.
    fn settle(self, config: &LogConfig) -> Result<(), OpenError> {
        let Self { path, position, expected, found } = self;
        match config.on_damage {
            OnDamage::Refuse => Err(OpenError::Damaged { path, position, expected, found }),
            OnDamage::Cut => {
                tracing::error!(file = %path.display(), %expected, %found, "going on without lost records");
                Ok(())
            }
        }
    }
}

struct Run<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    config: &'a LogConfig,
    now: Millis,
    /// Offset that the next valid batch must have.
    next: Offset,
    producers: Producers,
    report: Recovery,
    segments: Vec<Arc<Segment>>,
}

impl Run<'_> {
    /// Takes over the segments before the recovery point as they are.
    fn trust_below(&mut self, found: &Found, point: Offset) {
        let below = found.logs.iter().take_while(|log| log.0 < point);
        let ends = found.logs.iter().skip(1).map(|log| log.0.min(point)).chain([point]);
        for (&(base, size), end) in below.zip(ends) {
            self.add(base, end, size);
        }
    }

    /// Checks everything from `position` in the segment at `from` on.
    fn scan(&mut self, found: &Found, from: Offset, position: u64) -> Result<(), OpenError> {
        let todo: Vec<_> = found.logs.iter().filter(|log| log.0 >= from).collect();
        for (i, &&(base, size)) in todo.iter().enumerate() {
            self.scan_segment(base, if base == from { position } else { 0 }, size)?;
            let rest = &todo[i + 1..];
            // Without a cut the next segment goes on where this one ended.
            match rest.first() {
                Some(next) if next.0 != self.next => return self.drop_segments(base, rest),
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
        removed.and_then(|()| self.disk.sync_dir(self.dir)).map_err(|source| OpenError::Io { path, source })
    }

    /// Makes a segment durable that was full but not sealed: the next recovery point will rely on it, and all that is
    /// known is that it is in the page cache.
    fn sync_segment(&self, base: Offset) -> Result<(), OpenError> {
        let path = self.path(base, LOG_SUFFIX);
        let file = self.disk.open(&path, OpenMode::Existing);
        file.and_then(|file| file.sync_data()).map_err(|source| OpenError::Io { path, source })
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
        aborted::write(&**self.disk, &path, &list).and_then(|()| self.disk.sync_dir(self.dir)).map_err(failed)
    }

    /// Checks one segment and cuts it behind its last valid batch.
    fn scan_segment(&mut self, base: Offset, start: u64, size: u64) -> Result<(), OpenError> {
        let path = self.path(base, LOG_SUFFIX);
        if start == size {
            self.add(base, self.next, size);
            return Ok(());
        }
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let file = self.disk.open(&path, OpenMode::Existing).map_err(failed)?;
        let mut scanner = Scanner::new(&*file, start, size);
        let mut index = (start == 0).then(|| Index::new(base));
        let mut aborted = self.aborted_before(base, start)?;
        let stop = loop {
            match scanner.next(self.next).map_err(failed)? {
                Ok(batch) => {
                    let header = batch.header();
                    self.next = header.last_offset() + 1;
                    self.producers.record(header, self.now, self.config.max_producers);
                    if let Some(marker) = Marker::read(&batch) {
                        let offset = header.base_offset;
                        aborted.extend(
                            self.producers.end(&marker, offset, self.now, self.config.max_producers).1,
                        );
                    }
                    if let Some(index) = &mut index {
                        index.push(header, self.config.index_interval_bytes);
                    }
                }
                Err(stop) => break stop,
            }
        };
        let end = scanner.position;
        self.report.scanned_bytes += end - start;
        if end < size && !crate::planted::planted("no-tail-erase") {
            let torn = last_non_zero(&*file, end, size).map_err(failed)?.map_or(0, |last| last + 1 - end);
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
                file.sync_data().and_then(|()| self.disk.sync_dir(self.dir)).map_err(failed)?;
            }
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
            // What is there was stored by a start that did not get to a recovery point of its own.
            remove(&**self.disk, &path).map_err(|source| OpenError::Io { path, source })?;
            return Ok(Vec::new());
        }
        let stored = aborted::read(&**self.disk, &path)
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut list = stored.ok_or_else(|| OpenError::Damaged {
            path,
            position: 0,
            expected: "a list of aborted transactions".to_owned(),
            found: "other bytes".to_owned(),
        })?;
        list.retain(|aborted| aborted.last_offset < self.next);
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
            self.segments.push(Arc::new(Segment::empty(self.disk, self.dir, self.next, limit, interval)));
        }
    }

    fn add(&mut self, base: Offset, end: Offset, size: u64) -> &Segment {
        let (limit, interval) = (self.config.segment_limit(), self.config.index_interval_bytes);
        let segment = Segment::stored(self.disk, self.dir, base, end, size, limit, interval);
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

/// Removes a file that may be gone already.
fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
