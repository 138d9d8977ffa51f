//! The one who writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quipu_protocol::record::BatchHeader;

use super::chore::{Chore, Kind, Seal};
use super::staged::Staged;
use super::stamp::Stamped;
use super::{Flush, Reader, Shared};
use crate::batch::CheckedBatch;
use crate::config::{LogConfig, TimestampType};
use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, DeleteError, Fence, InvalidRecord, ReadError, is_full};
use crate::marker::Marker;
use crate::producers::{Admission, BatchMark, Ending, ProducerState, Producers};
use crate::recover::{Recovered, Recovery};
use crate::retain::{self, Policy, SegmentFacts};
use crate::segment::Segment;
use crate::snapshot::{self, Snapshot};
use crate::types::{Millis, NO_TIMESTAMP, Offset, ProducerId};

/// Space is taken in chunks that double from the first to the second.
const RESERVE_BYTES_FIRST: u64 = 64 << 10;
const RESERVE_BYTES_MAX: u64 = 16 << 20;
const RESERVE_GRAIN: u64 = 4 << 10;

/// Chores that may wait for [`Appender::take_chores`]; beyond that they are done on the spot.
const CHORES_MAX: usize = 4;

/// Who sent a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: every rule of the produce path holds.
    Producer,
    /// A client, in a transaction of which the coordinator says that this partition is part: the batch may be its first.
    Transaction,
    /// The broker itself: control batches are fine, and sequences are taken as they come.
    Internal,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The broker's time if that is what its records carry, else -1.
    pub log_append_time_ms: Millis,
    /// It had been here before, and nothing was written now.
    pub duplicate: bool,
    /// The log start, as every answer to a producer tells it.
    pub log_start_offset: Offset,
}

/// The single writer of a log. It exists only after recovery has gone through; it is not cloneable, so whoever holds it
/// is the one who writes.
///
/// Dropping it is what a crash does. [`Appender::close`] leaves a log that opens without a scan.
#[derive(Debug)]
pub struct Appender {
    pub(super) shared: Arc<Shared>,
    config: LogConfig,
    producers: Producers,
    active: Active,
    /// Behind the end of the active segment.
    staged: Staged,
    chores: VecDeque<Chore>,
    /// Segments with records above the durable offset, in order.
    unsynced: Vec<Arc<Segment>>,
    /// The state on disk is not what a clean stop leaves.
    dirty: bool,
    report: Recovery,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    /// It has been written to since it became the active one: its index is loaded, its file is there.
    is_begun: bool,
    /// Bytes that are taken on disk, and how many to take next.
    reserved: u64,
    chunk: u64,
    /// When the first batch came.
    started_ms: Option<Millis>,
}

impl Active {
    fn new(segment: Arc<Segment>) -> Self {
        let reserved = segment.size_bytes();
        Self { segment, is_begun: false, reserved, chunk: RESERVE_BYTES_FIRST, started_ms: None }
    }
}

/// Makes an appender and a reader of what recovery found.
pub(crate) fn start(
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: LogConfig,
    found: Recovered,
) -> (Appender, Reader) {
    let Recovered { log_start, segments, producers, started_ms, durable, report, damage, checkpoint } = found;
    // Recovery leaves at least one.
    let active = Arc::clone(&segments[segments.len() - 1]);
    let end = active.end_offset();
    let unsynced: Vec<_> =
        segments.iter().filter(|segment| segment.end_offset() > durable).map(Arc::clone).collect();
    for segment in &unsynced {
        // Written before a crash, for all that is known.
        segment.begin_write();
    }
    let dirty = report != Recovery::default() && damage.is_none();
    let shared = Arc::new(Shared::new(disk, dir.to_owned(), segments, log_start, end, durable, checkpoint));
    shared.set_first_open(producers.first_open());
    if let Some(damage) = damage {
        shared.set_damaged(damage);
    }
    let reader = Reader::new(Arc::clone(&shared));
    let appender = Appender {
        shared,
        config,
        producers,
        active: Active { started_ms, ..Active::new(active) },
        staged: Staged::default(),
        chores: VecDeque::new(),
        unsynced,
        dirty,
        report,
    };
    (appender, reader)
}

impl Appender {
    /// Appends a batch: duplicates and gaps of idempotent producers are found, the batch is stamped with its offset,
    /// written with one call, and shown to readers. `now` is the broker's wall clock. What was staged before goes first.
    ///
    /// After any error nothing of the batch is visible, and only [`AppendError::Fenced`] is final.
    pub fn append(
        &mut self,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
    ) -> Result<Appended, AppendError> {
        self.admit(batch, origin, now, false)
    }

    /// Does all of [`Appender::append`] but, perhaps, the write, so that batches that came together are written together.
    /// Until [`Appender::write_staged`], or whatever else is done next, has gone well no reader sees the batch, and nobody
    /// may be told where it is. Errors concern this batch alone.
    pub fn stage(
        &mut self,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
    ) -> Result<Appended, AppendError> {
        self.admit(batch, origin, now, true)
    }

    /// Writes what was staged, with one call, and shows it to readers. An error is final, and nothing of it is visible;
    /// it is given as well to those who ask after somebody else's attempt has failed. The next start may find the first
    /// of the batches on disk: what became of them is not known, and has to be told like that.
    pub fn write_staged(&mut self) -> Result<(), AppendError> {
        if let Some(fence) = self.shared.failed() {
            self.staged.clear();
            return Err(AppendError::Fenced(fence.clone()));
        }
        if self.staged.is_empty() {
            return Ok(());
        }
        self.write_out(self.active.segment.file(), None)
    }

    fn admit(
        &mut self,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
        may_wait: bool,
    ) -> Result<Appended, AppendError> {
        self.check_fence().map_err(AppendError::Fenced)?;
        let header = batch.header();
        if origin != Origin::Internal {
            check_produced(header)?;
            if header.has_producer_id() {
                if let Admission::Duplicate(mark) = self.producers.admit(header)? {
                    if !may_wait {
                        // It may be a duplicate of what is not written yet.
                        self.write_staged()?;
                    }
                    return Ok(self.duplicate(mark));
                }
                self.producers.check_transaction(header, origin == Origin::Transaction)?;
            }
        }
        self.write(batch, now, may_wait)
    }

    /// Ends a transaction: appends its marker, and lets readers of committed records pass. `shown` says that whatever is
    /// appended is shown to them at once; else they wait until the marker is below the high watermark. Nothing is
    /// appended for a marker that was sent again.
    pub fn end_transaction(
        &mut self,
        marker: &Marker,
        shown: bool,
        now: Millis,
    ) -> Result<Appended, AppendError> {
        self.check_fence().map_err(AppendError::Fenced)?;
        self.write_staged()?;
        if self.producers.check_marker(marker)? == Ending::Repeated {
            let offset = self.end_offset() - 1;
            return Ok(Appended {
                base_offset: offset,
                last_offset: offset,
                log_append_time_ms: NO_TIMESTAMP,
                duplicate: true,
                log_start_offset: self.shared.log_start(),
            });
        }
        let bytes = marker.to_batch(now);
        let batch = CheckedBatch::check(&bytes).map_err(|error| AppendError::Io(io::Error::other(error)))?;
        // The lists of both segments that it may go to are there once it is written.
        if let Err(error) = self.shared.load_aborted(&self.active.segment) {
            return Err(self.unreadable(error));
        }
        let appended = self.write(&batch, now, false)?;
        Ok(Appended { log_append_time_ms: NO_TIMESTAMP, ..self.settle(marker, appended, shown, now) })
    }

    /// The marker has been written; now its transaction is over.
    fn settle(&mut self, marker: &Marker, appended: Appended, shown: bool, now: Millis) -> Appended {
        let offset = appended.base_offset;
        let (first, aborted) = self.producers.end(marker, offset, now, self.config.max_producers);
        if let Some(aborted) = aborted {
            self.active.segment.push_aborted(aborted);
        }
        if let Some(first) = first {
            let mut unshown = self.shared.unshown.lock();
            let durable = self.shared.durable();
            while unshown.front().is_some_and(|(_, marker)| *marker < durable) {
                unshown.pop_front();
            }
            if !shown {
                unshown.push_back((first, offset));
            }
        }
        self.shared.set_first_open(self.producers.first_open());
        appended
    }

    /// Stamps a batch that has been found good, and writes and shows it, or leaves that for later if it `may_wait`.
    fn write(
        &mut self,
        batch: &CheckedBatch<'_>,
        now: Millis,
        may_wait: bool,
    ) -> Result<Appended, AppendError> {
        let header = batch.header();
        let size = header.size_bytes() as u64;
        let limit = self.config.segment_limit();
        if size > limit {
            return Err(AppendError::TooLarge { size_bytes: size, limit_bytes: limit });
        }
        let file = self.make_room(header, size, now)?;
        let stamped = Stamped::new(batch, self.next_offset(), &self.config, now);
        self.dirty = true;
        if may_wait && self.staged.has_room(size) {
            self.staged.push(&stamped);
        } else {
            self.write_out(Ok(file), Some(&stamped))?;
        }
        self.active.started_ms.get_or_insert(now);
        self.producers.record(&stamped.header, now, self.config.max_producers);
        Ok(Appended {
            base_offset: stamped.header.base_offset,
            last_offset: stamped.header.last_offset(),
            log_append_time_ms: self.log_append_time(now),
            duplicate: false,
            log_start_offset: self.shared.log_start(),
        })
    }

    /// Writes what is staged and one batch more, for which room was made, and shows all of it.
    fn write_out(
        &mut self,
        file: io::Result<Arc<dyn DiskFile>>,
        last: Option<&Stamped<'_>>,
    ) -> Result<(), AppendError> {
        let segment = &self.active.segment;
        let [head, records] = last.map_or([IoSlice::new(&[]); 2], Stamped::parts);
        let mut parts = [self.staged.part(), head, records];
        if let Err(error) = file.and_then(|file| file.write_at(&mut parts, segment.size_bytes())) {
            self.staged.clear();
            if crate::planted::planted("no-fence-after-write-error") {
                return Err(AppendError::Io(error));
            }
            return Err(AppendError::Fenced(self.shared.set_fence("write", &error)));
        }
        let last = last.map(|stamped| &stamped.header);
        let mut headers = self.staged.headers().iter().chain(last);
        if headers.clone().any(BatchHeader::has_producer_id) {
            // Those that were staged have been recorded; the last has not.
            let open = self.producers.first_open();
            let open = open.or_else(|| last.and_then(|last| self.producers.first_open_with(last)));
            self.shared.set_first_open(open);
        }
        headers.by_ref().for_each(|header| segment.publish(header));
        drop(headers);
        self.shared.end.store(segment.end_offset(), Ordering::Release);
        if !self.staged.is_empty() {
            self.staged.clear();
        }
        Ok(())
    }

    fn duplicate(&self, mark: BatchMark) -> Appended {
        Appended {
            base_offset: mark.base_offset,
            last_offset: mark.last_offset,
            log_append_time_ms: self.log_append_time(mark.timestamp),
            duplicate: true,
            log_start_offset: self.shared.log_start(),
        }
    }

    fn log_append_time(&self, time: Millis) -> Millis {
        match self.config.timestamp_type {
            TimestampType::CreateTime => NO_TIMESTAMP,
            TimestampType::LogAppendTime => time,
        }
    }

    /// Finds or makes the room for `size` bytes at the end of the active segment, and gives its file.
    fn make_room(
        &mut self,
        header: &BatchHeader,
        size: u64,
        now: Millis,
    ) -> Result<Arc<dyn DiskFile>, AppendError> {
        if self.must_roll(header, size, now) {
            self.write_staged()?;
            self.roll_now();
        }
        let segment = &self.active.segment;
        // Loaded before the first write: from here on every append keeps it up.
        if !self.active.is_begun {
            segment.index_grows();
            if let Err(error) = segment.index().map(drop) {
                return Err(self.unreadable(error));
            }
        }
        // Said before the file is asked for, so that it stays open until it is synced.
        segment.begin_write();
        let file = segment.file().map_err(full_or_io)?;
        if !self.active.is_begun {
            if segment.size_bytes() == 0 {
                self.shared.dir_unsynced.store(true, Ordering::Release);
            }
            self.active.is_begun = true;
        }
        if self.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, segment)) {
            let durable = self.shared.durable();
            self.unsynced.retain(|segment| segment.end_offset() > durable);
            self.unsynced.push(Arc::clone(segment));
        }
        let end = segment.size_bytes() + self.staged.size_bytes() + size;
        if end > self.active.reserved {
            self.reserve(&*file, end).map_err(full_or_io)?;
        }
        Ok(file)
    }

    /// Takes the next chunk ahead, or just what is needed where there is no room for more.
    fn reserve(&mut self, file: &dyn DiskFile, end: u64) -> io::Result<()> {
        let Active { reserved, chunk, .. } = &mut self.active;
        let needed = end.next_multiple_of(RESERVE_GRAIN);
        let ahead = (*reserved + *chunk).min(self.config.segment_limit().next_multiple_of(RESERVE_GRAIN));
        let target = needed.max(ahead);
        let from = *reserved;
        let attempts: [&dyn Fn() -> io::Result<u64>; 3] = [
            &|| file.reserve(from, target).map(|()| target),
            &|| file.reserve(from, needed).map(|()| needed),
            &|| file.reserve_urgently(from, needed).map(|()| needed),
        ];
        let attempts = &attempts[..if self.config.is_urgent { 3 } else { 2 }];
        let mut taken = Err(io::ErrorKind::StorageFull.into());
        for attempt in attempts {
            taken = attempt();
            if !matches!(&taken, Err(error) if is_full(error)) {
                break;
            }
        }
        *reserved = taken.inspect_err(|error| {
            if is_full(error) {
                self.shared.disk.refused();
            }
        })?;
        *chunk = (*chunk * 2).min(RESERVE_BYTES_MAX);
        Ok(())
    }

    fn must_roll(&mut self, header: &BatchHeader, size: u64, now: Millis) -> bool {
        let segment = &self.active.segment;
        let used = segment.size_bytes() + self.staged.size_bytes();
        if used == 0 {
            return false;
        }
        let last = self.next_offset().saturating_add(header.last_offset_delta.into());
        if used + size > self.config.segment_limit() || last - segment.base_offset() > i64::from(i32::MAX) {
            return true;
        }
        // After a crash it is not known when the segment was begun; it then counts from the first append.
        let started = *self.active.started_ms.get_or_insert(now);
        now.saturating_sub(started) >= self.config.segment_ms
    }

    /// Closes the active segment, if it holds anything, and begins a new one.
    pub fn roll(&mut self) -> Result<(), Fence> {
        self.check_fence()?;
        // If that fails, the fence is met next.
        let _ = self.write_staged();
        self.check_fence()?;
        if self.active.segment.size_bytes() > 0 {
            self.roll_now();
        }
        Ok(())
    }

    fn roll_now(&mut self) {
        let end = self.end_offset();
        let full = Arc::clone(&self.active.segment);
        let shared = &self.shared;
        let limit = self.config.segment_limit();
        let interval = self.config.index_interval_bytes;
        let next = Segment::empty(&shared.disk, &shared.dir, end, limit, interval);
        let next = Arc::new(next.among(&self.config.open_segments));
        let mut segments = Vec::clone(&shared.segments());
        segments.push(Arc::clone(&next));
        shared.set_segments(segments);
        self.active = Active::new(next);
        self.dirty = true;
        shared.sealing.lock().insert(end);
        self.add_chore(Kind::Seal(Seal {
            shared: Arc::clone(&self.shared),
            segment: full,
            offset: end,
            snapshot: Snapshot::encode(end, end, 0, None, &self.producers),
        }));
    }

    fn add_chore(&mut self, kind: Kind) {
        self.chores.push_back(Chore(kind));
        while self.chores.len() > CHORES_MAX
            && let Some(chore) = self.chores.pop_front()
        {
            // A seal that fails fences the log by itself; files that were not removed are removed at the next start.
            if let Err(error) = chore.run() {
                tracing::error!(dir = %self.shared.dir.display(), %error, "upkeep of the log failed");
            }
        }
    }

    /// Whether there is something for [`Appender::take_chores`] to take.
    pub fn has_chores(&self) -> bool {
        !self.chores.is_empty()
    }

    /// What is left to do on disk after rolls and deletions. The broker's upkeep takes it under the appender's lock and
    /// runs it, in order, after letting go of that. Whatever is not taken is done by a later roll or by `close`.
    pub fn take_chores(&mut self) -> Vec<Chore> {
        self.chores.drain(..).collect()
    }

    /// Moves the log start up to `to`, durably, and forgets the segments below it; readers that hold slices of them keep
    /// them. A start that is there already stays. Gives the log start.
    pub fn delete_prefix(&mut self, to: Offset) -> Result<Offset, DeleteError> {
        self.check_fence().map_err(DeleteError::Fenced)?;
        let end_offset = self.end_offset();
        if to > end_offset {
            return Err(DeleteError::OutOfRange { end_offset });
        }
        if to <= self.shared.log_start() {
            return Ok(self.shared.log_start());
        }
        // Segments are only removed once this is on disk, or a restart would find a log that begins with a hole.
        if !crate::planted::planted("delete-without-durable-start") {
            let named = self.shared.sync_name();
            let stored = named.and_then(|()| snapshot::write_start(&*self.shared.disk, &self.shared.dir, to));
            stored.map_err(DeleteError::Io)?;
        }
        self.dirty = true;
        self.shared.log_start.store(to, Ordering::Release);
        let segments = self.shared.segments();
        let below = segments
            .windows(2)
            .take_while(|pair| {
                pair[1].base_offset() <= to + i64::from(crate::planted::planted("delete-one-too-many"))
            })
            .count();
        if below > 0 {
            let (removed, kept) = segments.split_at(below);
            self.shared.set_segments(kept.to_vec());
            removed.iter().for_each(|segment| segment.mark_removed());
            self.add_chore(Kind::Remove { shared: Arc::clone(&self.shared), segments: removed.to_vec() });
        }
        Ok(to)
    }

    /// Deletes whole segments that `policy` no longer keeps (R1). Gives the log start. Only segments that end at `upto` or
    /// below are considered; pass the high watermark.
    pub fn retain(&mut self, policy: &Policy, upto: Offset, now: Millis) -> Result<Offset, DeleteError> {
        let segments = self.shared.segments();
        let total = segments.iter().map(|segment| segment.size_bytes()).sum();
        let facts = segments.iter().take_while(|segment| segment.end_offset() <= upto).map(|segment| {
            SegmentFacts {
                end_offset: segment.end_offset(),
                size_bytes: segment.size_bytes(),
                // One that cannot be read is not one to delete by guess.
                max_timestamp: match segment.max_timestamp().unwrap_or(Millis::MAX) {
                    NO_TIMESTAMP => self.shared.written_ms(segment),
                    timestamp => timestamp,
                },
            }
        });
        let Some(start) = retain::plan(facts, total, policy, now) else { return Ok(self.shared.log_start()) };
        if start > self.active.segment.base_offset() {
            self.roll().map_err(DeleteError::Fenced)?;
        }
        self.delete_prefix(start)
    }

    /// Forgets producers that have been silent since before `deadline` and have no open transaction. Gives how many.
    pub fn expire_producers(&mut self, deadline: Millis) -> usize {
        let expired = self.producers.expire(deadline);
        self.dirty |= expired > 0;
        expired
    }

    /// To be called now and then: no longer takes the newest records to be in memory if none has come since the last time.
    pub fn cool_if_idle(&self) {
        self.active.segment.cool_if_idle();
    }

    /// What is remembered about producers, in no order.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter()
    }

    /// How many producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// The work of making everything durable that has been appended so far.
    pub fn flush(&mut self) -> Flush {
        // If that fails, the log is fenced, which the flush will find.
        let _ = self.write_staged();
        let durable = self.shared.durable();
        self.unsynced.retain(|segment| segment.end_offset() > durable);
        // Nobody writes while this has the appender: a sync from here on confirms what was written.
        let segments = self.unsynced.iter().map(|segment| (Arc::clone(segment), segment.writes())).collect();
        Flush { shared: Arc::clone(&self.shared), segments, upto: self.end_offset() }
    }

    /// Makes everything durable on the spot. Gives the durable offset.
    pub fn sync(&mut self) -> Result<Offset, Fence> {
        self.flush().run()
    }

    /// Puts other settings in force, from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Offset behind the last record that was written: the next one's, unless something is staged.
    pub fn end_offset(&self) -> Offset {
        self.active.segment.end_offset()
    }

    fn next_offset(&self) -> Offset {
        self.staged.end_offset().unwrap_or_else(|| self.end_offset())
    }

    /// Why the log takes no more, if it does not.
    pub fn fenced(&self) -> Option<&Fence> {
        self.shared.fenced()
    }

    /// What was done to open the log.
    pub fn recovery(&self) -> &Recovery {
        &self.report
    }

    /// Another reader. Readers can be cloned as well.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Finishes everything and records where the log ends, so that opening it again need not scan. Readers stay usable.
    /// A log that did not change since it was opened is not touched; one that is damaged is no worse afterwards.
    pub fn close(mut self) -> io::Result<()> {
        // If that fails, the fence is met next.
        let _ = self.write_staged();
        if let Some(fence) = self.shared.failed() {
            return Err(io::Error::other(fence.to_string()));
        }
        for chore in self.take_chores() {
            chore.run()?;
        }
        if !self.dirty {
            return Ok(());
        }
        let segment = Arc::clone(&self.active.segment);
        let (offset, position) = (segment.end_offset(), segment.size_bytes());
        let started_ms = self.active.started_ms;
        let snapshot = Snapshot::encode(offset, segment.base_offset(), position, started_ms, &self.producers);
        Seal { shared: self.shared, segment, offset, snapshot }.run()
    }

    /// The segment to append to cannot be read: nobody could read what was appended to it.
    fn unreadable(&self, error: ReadError) -> AppendError {
        let damaged = error.damage().map(|damage| self.shared.set_damaged(damage));
        match self.shared.fenced() {
            Some(fence) if damaged.is_some() => AppendError::Fenced(fence.clone()),
            _ => AppendError::Io(io::Error::other(error.to_string())),
        }
    }

    fn check_fence(&self) -> Result<(), Fence> {
        self.shared.fenced().map_or(Ok(()), |fence| Err(fence.clone()))
    }
}

/// What only the broker may do.
fn check_produced(header: &BatchHeader) -> Result<(), AppendError> {
    let invalid = |reason| Err(AppendError::InvalidRecord(reason));
    if header.attributes.is_control() {
        return invalid(InvalidRecord::ControlBatch);
    }
    if header.base_offset != 0 {
        return invalid(InvalidRecord::BaseOffset(header.base_offset));
    }
    if header.attributes.is_log_append_time() {
        return invalid(InvalidRecord::LogAppendTime);
    }
    if (header.has_producer_id() || header.attributes.is_transactional()) && header.base_sequence < 0 {
        return invalid(InvalidRecord::NoSequence);
    }
    Ok(())
}

fn full_or_io(error: io::Error) -> AppendError {
    if is_full(&error) { AppendError::Full(error) } else { AppendError::Io(error) }
}
