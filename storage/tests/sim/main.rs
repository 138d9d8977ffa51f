//! The real engine on a disk that forgets, tears, fails and fills up: random operations, the power cut at every sync in
//! turn and again while the log recovers, and every record, offset, producer and transaction held against a model.
//!
//! `QUIPU_SIM_SEEDS=n` runs n seeds from `QUIPU_SIM_FROM` or 0 on, `QUIPU_SIM_SEED=n` that one alone, and
//! `QUIPU_SIM_CUTS=n` as many seeds as it takes to cut the power n times. A failure names its seed; the same seed runs the
//! same way again.
#![allow(unreachable_pub)]

mod disk;
mod model;
mod rot;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;

use quipu_storage::compact::Policy;
use quipu_storage::{AppendError, Appender, CheckedBatch, LogConfig, Marker, Origin, Reader, open, retain};

use disk::{Call, Freeze, Rng, SimDisk};
use model::{Batch, Model, Source, TOMBSTONE_MS};

const DIR: &str = "/log";
const SEEDS: u64 = 12;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2_600, index_interval_bytes: 300, ..LogConfig::default() }
}

struct Run {
    disk: SimDisk,
    rng: Rng,
    now: i64,
    model: Model,
    log: Option<(Appender, Reader)>,
    values: u64,
    /// Syncs of the disks before this one, and when the power is to go.
    syncs: u64,
    freeze: Option<Freeze>,
    /// How often the power went and the log was opened on what that left.
    cuts: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            disk,
            rng: Rng(seed),
            now: 1_000,
            model: Model::default(),
            log: None,
            values: 0,
            syncs: 0,
            freeze: None,
            cuts: 0,
        }
    }

    fn try_open(disk: &SimDisk, now: i64) -> Result<(Appender, Reader), quipu_storage::OpenError> {
        open(Arc::new(disk.clone()), Path::new(DIR), config(), now)
    }

    fn appender(&mut self) -> &mut Appender {
        &mut self.log.as_mut().unwrap().0
    }

    fn reader(&self) -> Reader {
        self.log.as_ref().unwrap().1.clone()
    }

    /// Goes on with what a crash left of the disk.
    fn power_up(&mut self, disk: SimDisk) {
        self.cuts += 1;
        self.syncs += self.disk.syncs();
        self.disk = disk;
        if let Some(Freeze::Sync { nth, done }) = self.freeze
            && nth > self.syncs
        {
            self.disk.freeze(Freeze::Sync { nth: nth - self.syncs, done });
        }
    }

    /// Opens after a stop or crash, and checks everything.
    fn open(&mut self, crashed: bool) {
        self.log = match Self::try_open(&self.disk, self.now) {
            Ok(log) => Some(log),
            Err(_) if self.disk.is_frozen() => return,
            Err(error) => panic!("the log does not open: {error}"),
        };
        let reader = self.reader();
        self.model.settle(&reader, crashed);
        self.model.note(&reader);
        self.check();
        if !crashed {
            assert_eq!(self.appender().recovery().scanned_bytes, 0, "a clean stop leaves nothing to scan");
        }
    }

    fn check(&mut self) {
        let (now, (appender, reader)) = (self.now, self.log.as_mut().unwrap());
        self.model.check(appender, reader, now);
    }

    /// The power goes, comes back, goes again while the log recovers, and comes back for good.
    fn crash(&mut self) {
        self.log = None;
        let seed = self.rng.next();
        // How it ends without the second cut. All that is on this disk is durable, so it must end the same with it.
        let calm = self.disk.crash(seed);
        let (appender, reader) =
            Self::try_open(&calm, self.now).unwrap_or_else(|error| panic!("the log does not open: {error}"));
        let ends = (reader.log_start_offset(), reader.end_offset());
        drop((appender, reader));
        let calls = calm.calls();
        let torn = self.disk.crash(seed);
        if calls > 0 {
            torn.freeze(Freeze::Call(1 + self.rng.below(calls)));
            self.cuts += 1;
        }
        drop(Self::try_open(&torn, self.now));
        let disk = torn.crash(self.rng.next());
        self.power_up(disk);
        self.open(true);
        if self.log.is_none() {
            return;
        }
        let reader = self.reader();
        let again = (reader.log_start_offset(), reader.end_offset());
        assert_eq!(again, ends, "recovery that was cut short ends otherwise");
        // And what came out of it is not opened to something else.
        if self.rng.one_in(3) {
            self.log = None;
            if self.rng.one_in(2) {
                let disk = self.disk.crash(self.rng.next());
                self.power_up(disk);
            }
            self.open(true);
            if self.log.is_none() {
                return;
            }
            let reader = self.reader();
            assert_eq!((reader.log_start_offset(), reader.end_offset()), ends, "a second opening");
        }
    }

    fn close(&mut self) {
        let Some((appender, reader)) = self.log.take() else { return };
        drop(reader);
        if appender.close().is_ok() && !self.disk.is_frozen() {
            // A clean stop lets nothing go with the power either.
            self.model.acked = self.model.end;
            if self.rng.one_in(2) {
                let disk = self.disk.crash(self.rng.next());
                self.power_up(disk);
            }
            self.rot();
            self.open(false);
        }
    }

    /// Turns a bit of an index, which is only a hint.
    fn rot(&mut self) {
        let files = self.disk.files();
        let indexes: Vec<_> = files
            .iter()
            .filter(|(path, size)| path.extension().is_some_and(|is| is == "idx") && *size > 0)
            .collect();
        if !indexes.is_empty() && self.rng.one_in(2) {
            let (path, size) = indexes[self.rng.below(indexes.len() as u64) as usize];
            let bit = self.rng.below(*size as u64 * 8) as usize;
            self.disk.flip(path, bit);
        }
    }

    /// Operations until the disk freezes, or `count` of them.
    fn operate(&mut self, count: u64) {
        for _ in 0..count {
            if self.disk.is_frozen() || self.log.is_none() {
                return;
            }
            self.now += 1 + self.rng.below(40) as i64;
            self.step();
            if self.disk.is_frozen() || self.log.is_none() {
                return;
            }
            let reader = self.reader();
            self.model.note(&reader);
            if self.rng.one_in(8) {
                self.check();
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(42) {
            0..=19 => self.append(),
            20..=26 => self.flush(),
            27 | 28 => drop(self.appender().roll()),
            29 | 30 => self.chores(),
            31 => {
                let start = self.model.start.0;
                let to = start + self.rng.below((self.model.acked - start).max(0) as u64 + 1) as i64;
                self.model.start.1 = self.model.start.1.max(to);
                let done = self.appender().delete_prefix(to);
                self.started(done);
            }
            32 => {
                self.model.start.1 = self.model.acked;
                let policy =
                    retain::Policy { keep_ms: None, keep_bytes: Some(2_000 + self.rng.below(6_000)) };
                let (upto, now) = (self.model.acked, self.now);
                let done = self.appender().retain(&policy, upto, now);
                self.started(done);
            }
            33..=35 => self.compact(),
            36 => self.close(),
            37 => {
                // As kill -9 does it: what was written is in the page cache, but nobody synced it.
                self.log = None;
                self.open(true);
            }
            38 => self.fail(),
            39 => self.fill_up(),
            _ => self.checkpoint(),
        }
    }

    fn started(&mut self, done: Result<i64, quipu_storage::DeleteError>) {
        match done {
            Ok(start) => self.model.start = (start, start),
            Err(_) => assert!(
                self.disk.is_frozen() || self.appender().fenced().is_some() || self.disk.take_failed() > 0
            ),
        }
    }

    fn chores(&mut self) {
        for chore in self.appender().take_chores() {
            // What fails here is made up for by the next one, or fences the log.
            let _ = chore.run();
        }
    }

    /// What is durable is noted without a sync, so a cut may leave the note or the one before it.
    fn checkpoint(&mut self) {
        let done = self.reader().checkpoint();
        let excused = self.disk.is_frozen() || self.disk.take_failed() > 0;
        assert!(done.is_ok() || excused, "no checkpoint: {done:?}");
    }

    fn flush(&mut self) {
        let before = self.reader().durable_offset();
        match self.appender().flush().run() {
            Ok(durable) => {
                assert!(durable >= self.model.end, "a flush of all made {durable} durable");
                self.model.acked = durable;
            }
            Err(_) => {
                assert!(self.appender().fenced().is_some(), "a sync failed and the log goes on");
                assert_eq!(self.reader().durable_offset(), before);
                assert!(self.appender().flush().run().is_err(), "a sync was tried again");
            }
        }
    }

    /// A batch that follows the model.
    fn draw(&mut self) -> Batch {
        let source = match self.rng.below(4) {
            0 => Source::Plain,
            1 | 2 => {
                let producer_id = 1 + self.rng.below(3) as i64;
                Source::Idempotent { producer_id, sequence: self.model.next_sequence(producer_id) }
            }
            _ => {
                let producer_id = 11 + self.rng.below(2) as i64;
                Source::Transaction { producer_id, sequence: self.model.next_sequence(producer_id) }
            }
        };
        let mut records = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            self.values += 1;
            let key = format!("k{}", self.rng.below(12));
            let size = self.rng.below(260) as usize;
            let value = (!self.rng.one_in(4)).then(|| format!("{}{}", self.values, "x".repeat(size)));
            records.push((key, value));
        }
        Batch { base: self.model.end, records, at: self.now, source }
    }

    fn append(&mut self) {
        let ending = 11 + self.rng.below(2) as i64;
        if self.rng.one_in(4) && self.model.open_transaction(ending).is_some() {
            return self.end_transaction(ending);
        }
        let batch = self.draw();
        if let Err(error) = self.send(&batch) {
            let excused = self.disk.is_frozen() || self.appender().fenced().is_some();
            assert!(excused, "{batch:?} was refused: {error:?}");
        }
    }

    fn send(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let bytes = batch.bytes();
        let origin = match batch.source {
            Source::Transaction { .. } => Origin::Transaction,
            _ => Origin::Producer,
        };
        let now = self.now;
        let done = match self.appender().append(&CheckedBatch::check(&bytes).unwrap(), origin, now) {
            // I4, as in Kafka: where only a marker is left of a producer, its sequence is not known any more.
            Err(AppendError::OutOfOrderSequence { producer_id, expected: 0, .. })
                if self.model.batches_of(producer_id).all(|batch| batch.base < self.model.start.0) =>
            {
                return Ok(());
            }
            Err(error @ AppendError::Fenced(_)) => {
                self.model.maybe.get_or_insert_with(|| batch.clone());
                return Err(error);
            }
            other => other?,
        };
        assert_eq!((done.base_offset, done.duplicate), (batch.base, false), "{batch:?}");
        self.model.push(batch.clone());
        Ok(())
    }

    fn end_transaction(&mut self, producer_id: i64) {
        let is_commit = self.rng.one_in(2);
        let marker =
            Marker { producer_id, producer_epoch: 0, is_commit, coordinator_epoch: 0, has_own_epoch: false };
        let (now, base) = (self.now, self.model.end);
        let source = Source::Marker { producer_id, is_commit };
        let batch = Batch { base, records: vec![Default::default()], at: now, source };
        match self.appender().end_transaction(&marker, true, now) {
            Ok(done) => {
                assert_eq!(done.base_offset, base);
                self.model.push(batch);
            }
            Err(error) => {
                let fenced = self.appender().fenced().is_some();
                assert!(self.disk.is_frozen() || fenced, "a marker was refused: {error:?}");
                self.model.maybe.get_or_insert(batch);
            }
        }
    }

    fn compact(&mut self) {
        self.chores();
        self.flush();
        let policy = Policy {
            min_lag_ms: 0,
            max_lag_ms: i64::MAX,
            min_dirty_ratio: 0.0,
            delete_retention_ms: TOMBSTONE_MS,
            map_bytes: 1 << 20,
        };
        let reader = self.reader();
        let upto = reader.last_stable_offset(reader.durable_offset());
        let now = self.now;
        let Ok(Some(round)) = self.appender().plan_clean(&policy, upto, now) else { return };
        self.model.compacted = self.model.compacted.max(upto);
        let appender = self.appender();
        let done = round.run(|new| appender.replace(new));
        if let Err(error) = done {
            assert!(self.disk.is_frozen() || self.disk.take_failed() > 0, "compaction: {error}");
        }
        if !self.disk.is_frozen() {
            self.check();
        }
    }

    /// One call fails a bit later. Then the process is gone, whatever came of it.
    fn fail(&mut self) {
        let calls = [
            Call::Write,
            Call::Sync,
            Call::Sync,
            Call::SyncDir,
            Call::Rename,
            Call::Open,
            Call::Remove,
            Call::SetLen,
        ];
        let call = calls[self.rng.below(calls.len() as u64) as usize];
        self.disk.fail(call, 1 + self.rng.below(3));
        for _ in 0..6 {
            self.now += 1;
            match self.rng.below(8) {
                0..=2 => {
                    let batch = self.draw();
                    let done = self.send(&batch);
                    let half_known = call == Call::Write && matches!(done, Err(AppendError::Io(_)));
                    assert!(!half_known, "a write failed and the log goes on");
                }
                3..=5 => {
                    if self.appender().flush().run().is_ok() {
                        self.model.acked = self.model.end;
                    }
                }
                6 => drop(self.appender().roll()),
                _ => self.chores(),
            }
            let reader = self.reader();
            self.model.note(&reader);
            if self.disk.is_frozen() {
                return;
            }
            if self.appender().fenced().is_some() {
                let before = self.reader().durable_offset();
                let batch = self.draw();
                assert!(
                    matches!(self.send(&batch), Err(AppendError::Fenced(_))),
                    "a fenced log took a batch"
                );
                assert!(self.appender().flush().run().is_err() && self.reader().durable_offset() == before);
            }
        }
        self.disk.take_failed();
        self.check();
        self.crash();
    }

    /// No space left: refused without a trace, and taken once there is space.
    fn fill_up(&mut self) {
        self.disk.set_full(true);
        for _ in 0..12 {
            let batch = self.draw();
            let before = self.reader().end_offset();
            match self.send(&batch) {
                Ok(()) => {}
                Err(AppendError::Full(_)) => {
                    assert_eq!(self.reader().end_offset(), before);
                    self.check();
                    self.disk.set_full(false);
                    let again = self.send(&batch);
                    assert!(again.is_ok() || self.disk.is_frozen(), "there is space again: {again:?}");
                    return;
                }
                Err(error) => {
                    assert!(self.disk.is_frozen() || self.appender().fenced().is_some(), "{error:?}");
                    break;
                }
            }
        }
        self.disk.set_full(false);
    }
}

/// One life of a log: operations up to the freeze, if any, a crash, more of them, a crash, a clean stop. Gives the number
/// of syncs of the first part, the trace, and how often the power went.
fn live(seed: u64, freeze: Option<Freeze>) -> (u64, u64, u64) {
    let mut run = Run::new(seed);
    if let Some(freeze) = freeze {
        run.disk.freeze(freeze);
    }
    run.freeze = freeze;
    run.open(true);
    run.operate(45);
    run.freeze = None;
    let (syncs, mut trace) = (run.syncs + run.disk.syncs(), run.disk.trace());
    for _ in 0..2 {
        run.crash();
        run.operate(12);
        trace = trace.rotate_left(9) ^ run.disk.trace();
    }
    run.crash();
    run.close();
    (syncs, trace, run.cuts)
}

fn named<T>(seed: u64, freeze: Option<Freeze>, live: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(live)).unwrap_or_else(|panic| {
        eprintln!("seed {seed}, {freeze:?}: run it alone with QUIPU_SIM_SEED={seed}");
        resume_unwind(panic)
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> std::ops::Range<u64> {
    let from = number("QUIPU_SIM_FROM").unwrap_or(0);
    match (number("QUIPU_SIM_SEED"), number("QUIPU_SIM_CUTS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => from..u64::MAX,
        (None, None) => from..from + number("QUIPU_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    let (mut lives, mut cuts, mut last, began) = (0, 0, 0, std::time::Instant::now());
    for seed in seeds() {
        let (syncs, _, gone) = named(seed, None, || live(seed, None));
        cuts += gone;
        for nth in 1..=syncs {
            let freeze = Some(Freeze::Sync { nth, done: (seed + nth) % 3 == 0 });
            cuts += named(seed, freeze, || live(seed, freeze)).2;
        }
        (lives, last) = (lives + syncs + 1, seed);
        if number("QUIPU_SIM_CUTS").is_some_and(|wanted| cuts >= wanted) {
            break;
        }
    }
    let (first, time) = (seeds().start, began.elapsed());
    println!("{cuts} simulated power cuts in {lives} lives of seeds {first} to {last}, {time:.1?}");
}

#[test]
fn the_same_seed_runs_the_same_way() {
    for seed in seeds().take(3) {
        assert_eq!(live(seed, None), live(seed, None));
        let freeze = Some(Freeze::Call(40));
        assert_eq!(live(seed, freeze), live(seed, freeze));
    }
}
