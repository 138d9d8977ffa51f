//! What a log is after a restart: read, check, cut, and only then is there an appender.
//!
//! 1. List the directory; throw away what was being written or removed.
//! 2. Log start: the newest valid `.start`, else the first segment.
//! 3. Recovery point: the newest valid snapshot. Below it nothing is read: it was whole and synced.
//! 4. From there on every batch is checked (offset follows, CRC-32C) and its producer replayed, segment by segment.
//! 5. The first byte that is not a valid batch is the end: what follows is cut, so that it reads as zero from then on,
//!    and segments behind it are dropped. Zeros there are space that was reserved; anything else is worth a warning.
//!
//! Every step may be repeated after a crash in its middle: nothing is removed that a second run would need.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchView};

use crate::config::{LogConfig, OnDamage};
use crate::disk::{Disk, DiskFile, Entry, OpenMode, state};
use crate::error::OpenError;
use crate::index::Index;
use crate::producers::Producers;
use crate::segment::{DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name, parse_file_name};
use crate::snapshot::{self, Snapshot};
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
    let mut found = Found::sort(disk, dir, &entries).map_err(at(dir))?;
    let recorded_start = snapshot::read_start(&**disk, dir, &entries).map_err(at(dir))?;
    if let Some(start) = recorded_start {
        found.drop_below(&**disk, dir, start).map_err(at(dir))?;
    }
    let point = recovery_point(&**disk, dir, &entries, &found, recorded_start, config)?;
    let mut recovery = Run {
        disk,
        dir,
        config,
        now,
        next: point
            .as_ref()
            .map_or_else(|| found.first().unwrap_or(recorded_start.unwrap_or(0)), |p| p.offset),
        producers: Producers::default(),
        report: Recovery::default(),
        segments: Vec::with_capacity(found.logs.len() + 1),
    };
    let durable = recovery.next;
    let mut open_from = Offset::MIN;
    if let Some(point) = point {
        open_from = point.segment;
        recovery.producers = point.producers;
        recovery.trust_below(&found, point.segment);
        recovery.scan(&found, point.segment, point.position)?;
    } else if let Some(first) = found.first() {
        recovery.scan(&found, first, 0)?;
    }
    let log_start = recorded_start.or(found.first()).unwrap_or(recovery.next);
    if log_start > recovery.next {
        // Records below the start were lost, which nobody could have read any more.
        recovery.restart_at(log_start).map_err(at(dir))?;
    }
    recovery.open_active(open_from);
    Ok(Recovered {
        log_start,
        durable: durable.max(log_start),
        segments: recovery.segments,
        producers: recovery.producers,
        report: recovery.report,
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
        for base in entries.iter().filter_map(|entry| parse_file_name(&entry.name, INDEX_SUFFIX)) {
            if logs.binary_search_by_key(&base, |log| log.0).is_err() {
                remove(&**disk, &dir.join(file_name(base, INDEX_SUFFIX)))?;
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
    log_start: Option<Offset>,
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
        if size.is_none() && log_start.is_some_and(|start| snapshot.offset < start) {
            // Its segment was deleted since. What it knows about producers went with their records (I4).
            continue;
        }
        let path = dir.join(file_name(snapshot.segment, LOG_SUFFIX));
        let expected = format!("{} bytes up to offset {}", snapshot.position, snapshot.offset);
        let found = size.map_or("no such file".to_owned(), |size| format!("{size} bytes"));
        match config.on_damage {
            OnDamage::Refuse => {
                return Err(OpenError::Damaged { path, position: size.unwrap_or(0), expected, found });
            }
            OnDamage::Cut => tracing::error!(file = %path.display(), %expected, %found, "damage is cut off"),
        }
    }
    Ok(None)
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
        let mut todo = found.logs.iter().skip_while(|log| log.0 < from).peekable();
        let mut position = position;
        while let Some(&(base, size)) = todo.next() {
            let path = self.path(base, LOG_SUFFIX);
            self.scan_segment(base, position, size)?;
            position = 0;
            // Without a cut the next segment goes on where this one ended.
            if todo.peek().is_none_or(|log| log.0 == self.next) {
                continue;
            }
            let rest: Vec<Offset> = todo.map(|log| log.0).collect();
            self.report.dropped_segments = rest.len();
            tracing::error!(
                file = %path.display(), end_offset = self.next, segments = rest.len(),
                "the log breaks off here; the segments behind it are dropped"
            );
            for base in rest {
                self.remove_segment(base).map_err(|source| OpenError::Io { path: path.clone(), source })?;
            }
            break;
        }
        Ok(())
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
        let stop = loop {
            match scanner.next(self.next).map_err(failed)? {
                Ok(batch) => {
                    let header = batch.header();
                    self.next = header.last_offset() + 1;
                    self.producers.record(header, self.now, self.config.max_producers);
                    if let Some(index) = &mut index {
                        index.push(header, self.config.index_interval_bytes);
                    }
                }
                Err(stop) => break stop,
            }
        };
        let end = scanner.position;
        self.report.scanned_bytes += end - start;
        if end < size {
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
        if let Some(index) = index {
            segment.set_index(index);
        }
        Ok(())
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
        Ok(())
    }

    /// Makes sure that the last segment is one that the next record can go to: not one that was sealed, which is what
    /// all segments before the recovery point are.
    fn open_active(&mut self, open_from: Offset) {
        if self.segments.last().is_none_or(|last| last.base_offset() < open_from) {
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
        remove(&**self.disk, &self.path(base, INDEX_SUFFIX))
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

/// Reads batches from a file, front to back, as far as they are valid. Uses reads, not a map: a broken sector is then an
/// error and not the end of the process.
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    /// Behind the last valid batch.
    pub(crate) position: u64,
    size: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
}

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, position: u64, size: u64) -> Self {
        Self { file, position, size, buffer: Vec::new(), buffer_start: position }
    }

    /// The next batch, or why there is none. A batch is valid if it starts at `expected` and its sum is right.
    pub(crate) fn next(&mut self, expected: Offset) -> io::Result<Result<BatchView<'_>, &'static str>> {
        if self.position == self.size {
            return Ok(Err("end of file"));
        }
        self.fill(BATCH_HEADER_BYTES)?;
        let needed = match BatchView::parse(self.at_hand()) {
            Ok(batch) => batch.bytes().len(),
            Err(quipu_protocol::record::RecordError::Truncated { needed, .. }) => needed,
            Err(_) => return Ok(Err("not a batch header")),
        };
        if needed as u64 > self.size - self.position {
            return Ok(Err("batch is longer than the file"));
        }
        self.fill(needed)?;
        let start = (self.position - self.buffer_start) as usize;
        let Ok(batch) = BatchView::parse(&self.buffer[start..]) else {
            return Ok(Err("batch is cut short"));
        };
        let header = batch.header();
        if header.base_offset != expected {
            return Ok(Err("offset does not follow"));
        }
        if header.last_offset_delta < 0
            || header.base_offset.checked_add(header.last_offset_delta.into()).is_none()
        {
            return Ok(Err("offset range is empty"));
        }
        if batch.computed_crc() != header.crc {
            return Ok(Err("sum does not match"));
        }
        self.position += batch.bytes().len() as u64;
        Ok(Ok(batch))
    }

    fn at_hand(&self) -> &[u8] {
        &self.buffer[(self.position - self.buffer_start) as usize..]
    }

    /// Has `needed` bytes at hand, or all that are left.
    fn fill(&mut self, needed: usize) -> io::Result<()> {
        if self.at_hand().len() >= needed {
            return Ok(());
        }
        let left = self.size - self.position;
        let wanted = (needed.max(CHUNK_BYTES) as u64).min(left) as usize;
        self.buffer.drain(..(self.position - self.buffer_start) as usize);
        self.buffer_start = self.position;
        let kept = self.buffer.len();
        self.buffer.resize(wanted.max(kept), 0);
        let read = self.file.read_at(&mut self.buffer[kept..], self.position + kept as u64)?;
        self.buffer.truncate(kept + read);
        Ok(())
    }
}

/// Position of the last byte of a range that is not zero.
fn last_non_zero(file: &dyn DiskFile, start: u64, end: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; CHUNK_BYTES.min((end - start) as usize)];
    let mut last = None;
    let mut position = start;
    while position < end {
        let want = chunk.len().min((end - position) as usize);
        let read = file.read_at(&mut chunk[..want], position)?;
        if read == 0 {
            break;
        }
        if let Some(place) = chunk[..read].iter().rposition(|byte| *byte != 0) {
            last = Some(position + place as u64);
        }
        position += read as u64;
    }
    Ok(last)
}
