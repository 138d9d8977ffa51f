//! One partition: its log, and whoever waits for it.
//!
//! The appender sits behind a short lock; readers take none. The log is opened on first use, so that a start with
//! ten thousand partitions opens none of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use quipu_protocol::ErrorCode;
use quipu_storage::compact;
use quipu_storage::disk::Disk;
use quipu_storage::retain::Policy;
use quipu_storage::{
    AppendError, Appended, Appender, CheckedBatch, CleanError, Fence, Flush, LogConfig, Marker, Millis,
    Offset, OpenError, OpenSegments, Origin, ReadError, Reader, ScrubPlace, Scrubbed,
};

use super::durable::{Flushers, Mode, Rules, Told, Waiting};
use super::fault::{Fault, Faults};
use super::turn::Turn;
use super::wait::Waiters;
use crate::error;

/// Every leader epoch here: one node leads from the first start on.
pub const LEADER_EPOCH: i32 = 0;

/// One partition of a topic.
#[derive(Debug)]
pub struct Partition {
    index: i32,
    /// `<topic>-<index>`, for log lines.
    name: Arc<str>,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    faults: Arc<Faults>,
    /// The operator has been told why this log takes no records.
    is_told: AtomicBool,
    /// Opening it again could take what is in the page cache alone for safe.
    must_restart: OnceLock<Fault>,
    config: Mutex<LogConfig>,
    mode: AtomicU8,
    rules: Mutex<Rules>,
    /// [`Rules::records`], for every append.
    flush_records: AtomicI64,
    /// What readers were shown before the mode became [`Mode::Sync`]: the high watermark never goes back.
    shown: AtomicI64,
    log: OnceLock<OpenLog>,
    opening: Mutex<()>,
    deleted: AtomicBool,
    pub(super) flushers: Flushers,
    pub(super) waiting: Waiting,
    /// Fetches that sleep until something is appended.
    pub waiters: Waiters,
}

/// How long what nobody waits for may stay unsynced.
const UNHURRIED: Duration = Duration::from_millis(100);

/// How long after a flush that could not be tried the next one is.
const FLUSH_AGAIN: Duration = Duration::from_secs(1);

/// When what is appended has to be synced, in [`Mode::Sync`].
#[derive(Clone, Copy, Debug)]
enum Hurry {
    Now,
    /// Within [`UNHURRIED`].
    Soon,
}

#[derive(Debug)]
struct OpenLog {
    /// Empty once closed.
    appender: Mutex<Option<Appender>>,
    /// Held while chores are taken and run, so that they are in order. Comes before the appender's.
    chores: Mutex<()>,
    reader: Reader,
    open_segments: OpenSegments,
}

impl Partition {
    pub(super) fn new(
        (index, name): (i32, Arc<str>),
        dir: PathBuf,
        disk: Arc<dyn Disk>,
        flushers: Flushers,
        faults: Arc<Faults>,
        (config, rules): (LogConfig, Rules),
    ) -> Self {
        Self {
            index,
            name,
            faults,
            is_told: AtomicBool::new(false),
            must_restart: OnceLock::new(),
            dir,
            disk,
            flushers,
            waiting: Waiting::default(),
            config: Mutex::new(config),
            mode: AtomicU8::new(rules.mode as u8),
            rules: Mutex::new(rules),
            flush_records: AtomicI64::new(rules.records),
            shown: AtomicI64::new(0),
            log: OnceLock::new(),
            opening: Mutex::new(()),
            deleted: AtomicBool::new(false),
            waiters: Waiters::default(),
        }
    }

    /// The partition's number within its topic.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// Where its files are.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    fn log(&self, now: Millis) -> Result<&OpenLog, ErrorCode> {
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        if self.deleted.load(Ordering::Acquire) {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        let config = self.config.lock().clone();
        if self.must_restart.get().is_some() {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
        let open_segments = config.open_segments.clone();
        let opened = quipu_storage::open(Arc::clone(&self.disk), &self.dir, config, now);
        let (mut appender, reader) = opened.map_err(|error| {
            self.faults.unopened.increment();
            tracing::error!("cannot open {}: {error}", self.name);
            if matches!(error, OpenError::Sync { .. }) {
                let fault = self.must_restart.get_or_init(|| Fault::Failed(error.to_string()));
                fault.tell(&self.name, &self.dir);
                self.faults.count(fault);
            }
            ErrorCode::KAFKA_STORAGE_ERROR
        })?;
        if self.mode() == Mode::Sync && reader.durable_offset() < reader.end_offset() {
            // What a crash left behind is whole, but perhaps only in the page cache; it is shown once it is on disk. If
            // that fails, the log is fenced.
            let _ = appender.sync();
        }
        let (appender, chores) = (Mutex::new(Some(appender)), Mutex::default());
        let log = self.log.get_or_init(|| OpenLog { appender, chores, reader, open_segments });
        self.tell_fault(&log.reader);
        Ok(log)
    }

    /// Why it takes no records, if that is known.
    pub fn fault(&self) -> Option<Fault> {
        match self.log.get() {
            Some(log) => log.reader.fenced().map(Fault::of),
            None => self.must_restart.get().cloned(),
        }
    }

    /// Tells the operator, the first time, that the log takes no more records.
    fn tell_fault(&self, reader: &Reader) {
        // Files that go with their topic cannot be synced: no fault of the disk.
        if let Some(fence) = reader.fenced()
            && !self.deleted.load(Ordering::Acquire)
            && !self.is_told.swap(true, Ordering::AcqRel)
        {
            let fault = Fault::of(fence);
            fault.tell(&self.name, &self.dir);
            self.faults.count(&fault);
        }
    }

    /// What somebody who reads is told about an error. One that shows damage makes the log read-only.
    pub fn read_failed(&self, error: &ReadError) -> ErrorCode {
        if let Some(log) = self.log.get()
            && error.damage().is_some()
        {
            log.reader.report(error);
            self.tell_fault(&log.reader);
        } else if !matches!(error, ReadError::OutOfRange { .. }) {
            tracing::error!("cannot read {}: {error}", self.name);
        }
        error::read_code(error)
    }

    /// Bytes of its segments. A log that nobody has used yet is not opened for the question.
    pub fn size_bytes(&self) -> u64 {
        if let Some(log) = self.log.get() {
            return log.reader.size_bytes();
        }
        let entries = self.disk.list(&self.dir).unwrap_or_default();
        entries.iter().filter(|entry| entry.name.ends_with(".log")).map(|entry| entry.size_bytes).sum()
    }

    fn mode(&self) -> Mode {
        Mode::from_number(self.mode.load(Ordering::Acquire))
    }

    /// Appends one checked batch, and wakes the fetches it completes or asks for the flush that will.
    pub fn append(
        self: &Arc<Self>,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
    ) -> Result<Appended, AppendFailure> {
        self.append_within(Hurry::Now, batch, origin, now)
    }

    /// The same for what nobody waits for: in `sync`, it is synced within [`UNHURRIED`], or with what somebody does wait
    /// for.
    pub fn append_unhurried(
        self: &Arc<Self>,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
    ) -> Result<Appended, AppendFailure> {
        self.append_within(Hurry::Soon, batch, origin, now)
    }

    fn append_within(
        self: &Arc<Self>,
        hurry: Hurry,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
    ) -> Result<Appended, AppendFailure> {
        let write = |appender: &mut Appender| appender.append(batch, origin, now);
        self.write(batch.bytes().len(), hurry, write, now)
    }

    /// After a flush that failed for a reason that may pass, has another one follow: whoever came to wait for it after
    /// that would wait for ever.
    pub(super) fn flush_again(self: &Arc<Self>) {
        if self.fault().is_none() && self.with_open_appender(|_| ()).is_some() {
            self.flushers.request_within(self, FLUSH_AGAIN);
        }
    }

    /// Has everything synced that was appended so far.
    pub fn request_flush(self: &Arc<Self>) {
        self.flushers.request(self);
    }

    /// Whether an answer to acks=all waits until what it acknowledges is on disk.
    pub fn tells_what_is_durable(&self) -> bool {
        self.mode() == Mode::Sync
    }

    /// End of what was appended; 0 if nobody has used the log yet.
    pub fn end_offset(&self) -> Offset {
        self.log.get().map_or(0, |log| log.reader.end_offset())
    }

    /// Appends as [`Self::append`] does, but the batch may be written only at the end of `turn`, together with what comes next.
    pub fn append_in_turn(
        self: &Arc<Self>,
        batch: &CheckedBatch<'_>,
        origin: Origin,
        now: Millis,
        turn: Option<&Turn>,
    ) -> Result<Appended, AppendFailure> {
        let Some(turn) = turn else { return self.append(batch, origin, now) };
        let bytes = batch.bytes().len();
        if turn.gathers(self) {
            let log = self.log(now).map_err(AppendFailure::Code)?;
            let (appended, _) = self.locked(log, |appender| appender.stage(batch, origin, now))?;
            turn.gathered(self, bytes);
            return Ok(appended);
        }
        let write = |appender: &mut Appender| appender.append(batch, origin, now);
        let appended = self.write(turn.gathered_at(self) + bytes, Hurry::Now, write, now)?;
        if !appended.duplicate {
            turn.written(self);
        }
        Ok(appended)
    }

    /// Writes what was staged, and tells of `bytes` of it.
    pub(super) fn write_staged(self: &Arc<Self>, bytes: usize) -> Result<(), AppendFailure> {
        let log = self.log.get().ok_or(AppendFailure::Code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
        let ((), has_chores) = self.locked(log, Appender::write_staged)?;
        self.appended(log, bytes, log.reader.end_offset(), Hurry::Now, has_chores);
        Ok(())
    }

    /// Ends a producer's transaction here, and wakes the fetches that waited for it.
    pub fn end_transaction(
        self: &Arc<Self>,
        marker: &Marker,
        now: Millis,
    ) -> Result<Appended, AppendFailure> {
        let shown = self.mode() != Mode::Sync;
        let write = |appender: &mut Appender| {
            let ended = appender.end_transaction(marker, shown, now);
            // Said under the appender's lock, so that the flush that shows the marker finds it, and none before.
            self.waiting.stable_moves();
            ended
        };
        let ended = self.write(0, Hurry::Now, write, now)?;
        if shown {
            self.waiters.disturb_all();
        }
        Ok(ended)
    }

    fn write(
        self: &Arc<Self>,
        bytes: usize,
        hurry: Hurry,
        write: impl FnOnce(&mut Appender) -> Result<Appended, AppendError>,
        now: Millis,
    ) -> Result<Appended, AppendFailure> {
        let log = self.log(now).map_err(AppendFailure::Code)?;
        let (appended, has_chores) = self.locked(log, write)?;
        let bytes = if appended.duplicate { 0 } else { bytes };
        self.appended(log, bytes, appended.last_offset + 1, hurry, has_chores);
        Ok(appended)
    }

    /// Does something to the log that may fail; says as well whether chores are left to do.
    fn locked<T>(
        &self,
        log: &OpenLog,
        work: impl FnOnce(&mut Appender) -> Result<T, AppendError>,
    ) -> Result<(T, bool), AppendFailure> {
        let mut appender = log.appender.lock();
        let appender = appender.as_mut().ok_or(AppendFailure::Code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
        match work(appender) {
            Ok(done) => Ok((done, appender.has_chores())),
            Err(error) => {
                match &error {
                    AppendError::Full(_) => self.faults.refused_full.increment(),
                    AppendError::Fenced(_) => self.tell_fault(&log.reader),
                    _ => {}
                }
                Err(AppendFailure::Log(error))
            }
        }
    }

    /// The log ends at `end` now, `bytes` of which are new: wakes the fetches that this completes, or asks for the flush
    /// that will.
    fn appended(self: &Arc<Self>, log: &OpenLog, bytes: usize, end: Offset, hurry: Hurry, has_chores: bool) {
        match self.mode() {
            Mode::Sync => {
                self.waiting.appended(bytes);
                match hurry {
                    Hurry::Soon if !has_chores => self.flushers.request_within(self, UNHURRIED),
                    _ => self.flushers.request(self),
                }
            }
            mode => {
                if bytes > 0 {
                    self.waiters.appended(bytes);
                }
                let unflushed = || end - log.reader.durable_offset();
                let records_max = self.flush_records.load(Ordering::Relaxed);
                // Open files wait for a sync before they may be closed in favour of others.
                let too_many_open = log.open_segments.is_over();
                if has_chores || too_many_open || records_max != i64::MAX && unflushed() >= records_max {
                    self.flushers.request(self);
                } else if mode == Mode::Interval {
                    let interval = self.rules.lock().interval;
                    self.flushers.request_within(self, interval);
                }
            }
        }
    }

    /// Whether an answer to acks=all has to wait, and if so, tells `told` when `end` is durable.
    pub fn when_durable(&self, end: Offset, told: impl FnOnce() -> Told) {
        if self.mode() == Mode::Sync
            && let Some(log) = self.log.get()
            && log.reader.durable_offset() < end
        {
            let known = || {
                if log.reader.durable_offset() >= end {
                    Some(Ok(()))
                } else if self.deleted.load(Ordering::Acquire) {
                    Some(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
                } else {
                    log.reader.fenced().map(|_| Err(ErrorCode::KAFKA_STORAGE_ERROR))
                }
            };
            self.waiting.wait(end, known, told());
        }
    }

    /// Makes everything durable that was appended before; on the caller's thread, which may wait.
    pub(super) fn flush(&self) -> Result<Offset, ErrorCode> {
        // The appender's lock is free again: what arrives during the sync piles up for the next.
        self.flushed(self.begin_flush().ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.run())
    }

    /// The work of making everything durable that was appended before, unless the log is closed.
    pub(super) fn begin_flush(&self) -> Option<Flush> {
        self.with_open_appender(Appender::flush)
    }

    /// Looks at how that went.
    pub(super) fn flushed(&self, outcome: Result<Offset, Fence>) -> Result<Offset, ErrorCode> {
        outcome.map_err(|_| {
            if let Some(log) = self.log.get() {
                self.tell_fault(&log.reader);
            }
            ErrorCode::KAFKA_STORAGE_ERROR
        })
    }

    /// Does what rolls and deletions left to do on disk; on the caller's thread, which may wait.
    pub fn do_chores(&self) {
        let Some(log) = self.log.get() else { return };
        let _one_at_a_time = log.chores.lock();
        for chore in self.with_open_appender(Appender::take_chores).unwrap_or_default() {
            if let Err(error) = chore.run() {
                if self.deleted.load(Ordering::Acquire) {
                    return;
                }
                tracing::error!("upkeep of {} failed: {error}", self.name);
                self.tell_fault(&log.reader);
            }
        }
    }

    /// What can be read, without a lock.
    pub fn reader(&self, now: Millis) -> Result<&Reader, ErrorCode> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        Ok(&self.log(now)?.reader)
    }

    /// First offset that no consumer may read yet: the log's end, or in `sync` what is durable.
    pub fn high_watermark(&self, now: Millis) -> Result<Offset, ErrorCode> {
        let reader = self.reader(now)?;
        if self.mode() != Mode::Sync {
            let end = reader.end_offset();
            // Still not: so the end was looked at before the mode changed, and what is shown counts it in.
            if self.mode() != Mode::Sync {
                return Ok(end);
            }
        }
        Ok(reader.durable_offset().max(self.shown.load(Ordering::Acquire)).min(reader.end_offset()))
    }

    /// First offset that a consumer of committed records may not read yet (T8).
    pub fn last_stable_offset(&self, now: Millis) -> Result<Offset, ErrorCode> {
        let high_watermark = self.high_watermark(now)?;
        Ok(self.reader(now)?.last_stable_offset(high_watermark))
    }

    /// Runs `work` on the appender, if the log is open or can be opened.
    pub fn with_appender<T>(
        &self,
        now: Millis,
        work: impl FnOnce(&mut Appender) -> T,
    ) -> Result<T, ErrorCode> {
        let log = self.log(now)?;
        let mut appender = log.appender.lock();
        appender.as_mut().map(work).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// Runs `work` on the appender of a log that is already open; what is not open needs no upkeep.
    pub fn with_open_appender<T>(&self, work: impl FnOnce(&mut Appender) -> T) -> Option<T> {
        self.log.get()?.appender.lock().as_mut().map(work)
    }

    /// Moves the log start up to `to` (exclusive end of what goes); durable when this returns.
    pub fn delete_prefix(&self, to: Offset, now: Millis) -> Result<Offset, ErrorCode> {
        let moved = self.with_appender(now, |appender| appender.delete_prefix(to))?;
        self.do_chores();
        self.waiters.disturb_all();
        moved.map_err(|error| error::delete_code(&error))
    }

    /// Whether the topic is deleted, or about to be.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether somebody has used the log since the start.
    pub fn is_open(&self) -> bool {
        self.log.get().is_some()
    }

    /// Deletes whole segments that `policy` no longer keeps; opens the log for it. May wait for the disk.
    pub fn retain(&self, policy: &Policy, now: Millis) -> Result<(), ErrorCode> {
        if *policy == Policy::default() || self.reader(now)?.fenced().is_some() {
            return Ok(());
        }
        let upto = self.high_watermark(now)?;
        let before = self.reader(now)?.log_start_offset();
        let after = self
            .with_appender(now, |appender| appender.retain(policy, upto, now))?
            .map_err(|error| error::delete_code(&error))?;
        if after > before {
            tracing::info!(dir = %self.dir.display(), before, after, "retention moved the log start");
            self.waiters.disturb_all();
        }
        self.do_chores();
        Ok(())
    }

    /// Does a round of compaction if it is worth one. May take long and wait for the disk; appends and reads go on. `pace`
    /// is told of all that is read and written, and may take its time; an error of kind `Interrupted` ends the round.
    pub fn compact(
        &self,
        policy: &compact::Policy,
        pace: impl FnMut(u64) -> std::io::Result<()> + Send + 'static,
        now: Millis,
    ) -> Result<(), ErrorCode> {
        self.do_chores();
        if self.reader(now)?.fenced().is_some() {
            return Ok(());
        }
        let upto = self.reader(now)?.last_stable_offset(self.high_watermark(now)?);
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(dir = %self.dir.display(), "cannot compact: {error}");
            ErrorCode::KAFKA_STORAGE_ERROR
        };
        let planned = self.with_appender(now, |appender| appender.plan_clean(policy, upto, now))?;
        let Some(round) = planned.map_err(|error| failed(&error))? else { return Ok(()) };
        let gone = || std::io::Error::other("the log was closed");
        let replace =
            |new| self.with_open_appender(|appender| appender.replace(new)).unwrap_or_else(|| Err(gone()));
        let report = round.paced(pace).run(replace).map_err(|error| match error {
            CleanError::Read(error) => self.read_failed(&error),
            CleanError::Io(error) if error.kind() == std::io::ErrorKind::Interrupted => ErrorCode::NONE,
            error => failed(&error),
        })?;
        tracing::info!(
            dir = %self.dir.display(), before = report.bytes_before, after = report.bytes_after,
            upto = report.covered_upto, "compacted"
        );
        Ok(())
    }

    /// Checks sealed segments for what has rotted, from `place` on, about `max_bytes` of them; waits for the disk. Damage
    /// is told, and makes the log read-only; what is whole can still be read.
    pub fn scrub(&self, place: &mut ScrubPlace, max_bytes: u64, now: Millis) -> Result<Scrubbed, ErrorCode> {
        if !self.is_open() && !self.may_have_sealed() {
            return Ok(Scrubbed { is_finished: true, ..Scrubbed::default() });
        }
        let scrubbed = self.reader(now)?.scrub(place, max_bytes);
        for error in &scrubbed.damage {
            tracing::error!(partition = &*self.name, "a check of old segments found damage: {error}");
            self.read_failed(error);
        }
        Ok(scrubbed)
    }

    /// Notes on disk how far the log is durable, see [`Reader::checkpoint`]. Waits for the disk.
    pub fn checkpoint(&self) {
        if let Some(log) = self.log.get()
            && !self.deleted.load(Ordering::Acquire)
            && let Err(error) = log.reader.checkpoint()
            && !self.deleted.load(Ordering::Acquire)
        {
            tracing::warn!("cannot note how far {} is on disk: {error}", self.name);
        }
    }

    /// Whether there is more than an active segment, as far as the names of the files tell.
    fn may_have_sealed(&self) -> bool {
        let entries = self.disk.list(&self.dir).unwrap_or_default();
        entries.iter().filter(|entry| entry.name.ends_with(".log")).count() > 1
    }

    /// Takes over changed settings.
    pub(super) fn set_config(self: &Arc<Self>, (config, rules): (LogConfig, Rules)) {
        *self.config.lock() = config.clone();
        self.with_open_appender(|appender| appender.set_config(config));
        let mut in_force = self.rules.lock();
        let before = std::mem::replace(&mut *in_force, rules);
        self.flush_records.store(rules.records, Ordering::Relaxed);
        if before.mode == rules.mode {
            return;
        }
        // The high watermark must not go back. Until it is known what was shown, all of it counts as shown.
        let becomes_sync = rules.mode == Mode::Sync;
        if becomes_sync {
            self.shown.store(Offset::MAX, Ordering::Release);
        }
        self.mode.store(rules.mode as u8, Ordering::Release);
        if let Some(log) = self.log.get() {
            if becomes_sync {
                self.shown.store(log.reader.end_offset(), Ordering::Release);
            }
            // Whoever appended before asked for the old mode's flush, which may be none, and is waited for from now on.
            self.flushers.request(self);
        } else if becomes_sync {
            self.shown.store(0, Ordering::Release);
        }
    }

    /// Closes the log cleanly: what was appended is on disk, and the next start need not scan.
    pub fn close(&self) {
        let Some(log) = self.log.get() else { return };
        let _not_beside_a_chore = log.chores.lock();
        if let Some(appender) = log.appender.lock().take()
            && let Err(error) = appender.close()
        {
            tracing::error!("cannot close {} cleanly: {error}", self.name);
            self.faults.unclean.increment();
        }
        self.waiters.disturb_all();
    }

    /// Ends the partition's service before its files go. Readers that hold slices keep them.
    pub(super) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        let _not_while_opening = self.opening.lock();
        if let Some(log) = self.log.get() {
            let _not_beside_a_chore = log.chores.lock();
            // Dropped, not closed: nothing of it is needed again.
            drop(log.appender.lock().take());
        }
        self.flushers.forget(self);
        // Whoever waits for a flush that this has taken out of its queue, or that failed before. Who comes from here on
        // finds the partition deleted.
        self.waiting.release(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        self.waiters.disturb_all();
    }
}

/// Why an append did not happen.
#[derive(Debug)]
pub enum AppendFailure {
    /// The partition could not take part at all.
    Code(ErrorCode),
    /// The log refused or failed.
    Log(AppendError),
}

impl AppendFailure {
    /// What the producer is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Code(code) => *code,
            Self::Log(error) => error::append_code(error),
        }
    }
}
