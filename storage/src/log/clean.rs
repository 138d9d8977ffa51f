//! Compaction of a log: one sealed segment after the other is written anew without what is superseded, and put in the
//! old one's place by a rename. A crash leaves the old file or the new one, never both and never neither (C5).
//!
//! All that is sealed and below the newest recovery point is touched, so only the active segment waits, as in Kafka. Not
//! touched is a segment in whose middle a recovery point lies, which counts its bytes. Should the newest point rot, the one
//! before it makes the next start read some compacted segments again: they are as whole as any, offsets without a gap, and
//! still hold the last batch of each producer. (Of the four before it, a retry would then be refused, not taken twice.)
//! The work is done away from the appender; its lock is held for each rename alone.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use quipu_protocol::record::BatchHeader;

use super::{Appender, Shared};
use crate::compact::{KeyMap, Left, Policy, Transactions, emptied, filler, filter, with_delete_horizon};
use crate::compress::expansion_limit;
use crate::disk::{DiskFile, OpenMode, state};
use crate::error::ReadError;
use crate::index::Index;
use crate::record::{OpenBatch, RecordsError};
use crate::segment::{Met, Segment};
use crate::snapshot::{self, Cleaned};
use crate::types::{Millis, Offset, ProducerId};

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Why a round of compaction ended early. What was put in place until then stays and is right.
#[derive(Debug)]
pub enum CleanError {
    /// A segment cannot be read.
    Read(ReadError),
    /// A batch cannot be taken apart.
    Records(PathBuf, u64, RecordsError),
    /// A file cannot be written or put in place.
    Io(io::Error),
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Records(path, position, error) => {
                write!(f, "{} at position {position}: {error}", path.display())
            }
            Self::Io(error) => write!(f, "cannot write a compacted segment: {error}"),
        }
    }
}

impl std::error::Error for CleanError {}

impl From<ReadError> for CleanError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for CleanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Bytes of the segments that were looked at, before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Records below this offset were held against each other.
    pub covered_upto: Offset,
}

/// Told how many bytes were just read or written, by whoever must not take all that the disk can do: it may take its time,
/// and with an error ends the round.
type Pace = Box<dyn FnMut(u64) -> io::Result<()> + Send>;

/// A round of compaction that is worth it, see [`Appender::plan_clean`].
#[must_use = "nothing is compacted until it is run"]
pub struct Clean {
    shared: Arc<Shared>,
    /// What may be rewritten, in order.
    segments: Vec<Arc<Segment>>,
    policy: Policy,
    index_interval: u64,
    leader_epoch: i32,
    now: Millis,
    rounds: Vec<Cleaned>,
    /// Last offsets of the batches by which producers are known.
    last_batches: HashSet<Offset>,
    pace: RefCell<Pace>,
}

impl fmt::Debug for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clean")
            .field("dir", &self.shared.dir)
            .field("segments", &self.segments.len())
            .finish()
    }
}

/// A segment that is ready to take the place of another, see [`Appender::replace`].
#[derive(Debug)]
pub struct Replacement {
    old: Arc<Segment>,
    path: PathBuf,
    size_bytes: u64,
    index: Index,
    /// Offsets of the markers that went.
    markers_gone: Vec<Offset>,
}

impl Appender {
    /// A round of compaction, if there is enough to gain by it: of sealed segments that end at `upto` or below; pass the
    /// last stable offset. Run the chores first.
    pub fn plan_clean(&self, policy: &Policy, upto: Offset, now: Millis) -> io::Result<Option<Clean>> {
        let shared = &self.shared;
        let points = snapshot::points(&*shared.disk, &shared.dir)?;
        let Some(point) = points.iter().map(|point| point.0).max() else { return Ok(None) };
        let upto = upto.min(point).min(shared.durable());
        let is_counted =
            |segment: &Segment| points.iter().any(|point| point.0 == segment.base_offset() && point.1 > 0);
        let old_enough = |segment: &Arc<Segment>| {
            // One whose times cannot be read is left to the read path to complain about.
            let newest = segment.max_timestamp().unwrap_or(Millis::MAX);
            policy.min_lag_ms == 0 || newest.saturating_add(policy.min_lag_ms) <= now
        };
        let sealed = shared.segments();
        let segments: Vec<_> = sealed
            .iter()
            .take_while(|segment| segment.end_offset() <= upto && segment.base_offset() < point)
            .take_while(|segment| !is_counted(segment))
            .filter(|segment| segment.size_bytes() > 0)
            .take_while(|segment| old_enough(segment))
            .cloned()
            .collect();
        let rounds = snapshot::read_cleaned(&*shared.disk, &shared.dir)?;
        let cleaned = rounds.last().map_or(0, |round| round.0);
        let dirty: Vec<_> = segments.iter().filter(|segment| segment.end_offset() > cleaned).collect();
        let bytes = |list: &mut dyn Iterator<Item = &Arc<Segment>>| -> u64 {
            list.map(|segment| segment.size_bytes()).sum()
        };
        let (dirty_bytes, all_bytes) = (bytes(&mut dirty.iter().copied()), bytes(&mut segments.iter()));
        if dirty_bytes == 0 {
            return Ok(None);
        }
        let overdue = dirty.iter().filter_map(|segment| first_timestamp(segment)).any(|oldest| {
            // Whatever waits longest decides, which is near the start of its segment.
            oldest.saturating_add(policy.max_lag_ms) < now
        });
        if !overdue && (dirty_bytes as f64) <= policy.min_dirty_ratio * all_bytes as f64 {
            return Ok(None);
        }
        let last_batches = self
            .producers()
            .filter_map(|(_, producer)| producer.batches().last())
            .map(|mark| mark.last_offset);
        Ok(Some(Clean {
            shared: Arc::clone(shared),
            segments,
            policy: *policy,
            index_interval: self.config().index_interval_bytes,
            leader_epoch: self.config().leader_epoch,
            now,
            rounds,
            last_batches: last_batches.collect(),
            pace: RefCell::new(Box::new(|_| Ok(()))),
        }))
    }

    /// Puts a rewritten segment in the old one's place. Nothing happens when the old one has been deleted meanwhile.
    pub fn replace(&mut self, new: Replacement) -> io::Result<()> {
        let shared = &self.shared;
        let Replacement { old, path, size_bytes, index, markers_gone } = new;
        let segments = shared.segments();
        let Some(at) = segments.iter().position(|segment| Arc::ptr_eq(segment, &old)) else {
            return shared.disk.remove_file(&path);
        };
        let other = |error: ReadError| io::Error::other(error.to_string());
        // Readers that hold the old segment go on with the old file, which they must not open by its name from now on.
        old.keep_open().map_err(other)?;
        let mut aborted = old.aborted().map_err(other)?.clone();
        // On disk they stay listed: of no harm, as there is nothing left that they concern.
        aborted.retain(|aborted| markers_gone.binary_search(&aborted.last_offset).is_err());
        match shared.disk.remove_file(old.index_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let stored = Segment::stored(
            &shared.disk,
            &shared.dir,
            old.base_offset(),
            old.end_offset(),
            size_bytes,
            size_bytes,
            self.config().index_interval_bytes,
        )
        .among(&self.config().open_segments);
        shared.disk.rename(&path, old.path())?;
        let mut segments = Vec::clone(&segments);
        let encoded = index.encode();
        stored.set_index(index);
        stored.set_aborted(aborted);
        segments[at] = Arc::new(stored);
        shared.set_segments(segments);
        // From here on the old file is gone for everyone; that its new name survives a crash can wait for an error.
        shared.disk.sync_dir(&shared.dir)?;
        // Not synced: its sum tells whether it is whole, and it can be built anew.
        state::replace(&*shared.disk, old.index_path(), &encoded, false)
    }
}

impl Clean {
    /// Has `pace` decide how fast the round is; it is told of every batch that is read and of every write.
    pub fn paced(self, pace: impl FnMut(u64) -> io::Result<()> + Send + 'static) -> Self {
        Self { pace: RefCell::new(Box::new(pace)), ..self }
    }

    fn pace(&self, bytes: u64) -> io::Result<()> {
        (self.pace.borrow_mut())(bytes)
    }

    /// Does the round; `replace` is called with each segment that got smaller, and hands it to [`Appender::replace`].
    pub fn run(
        mut self,
        mut replace: impl FnMut(Replacement) -> io::Result<()>,
    ) -> Result<CleanReport, CleanError> {
        let aborted = self.aborted()?;
        let (map, covered_upto) = self.build_map(&aborted)?;
        let tombstones_upto = self
            .rounds
            .iter()
            .filter(|(_, at)| at.saturating_add(self.policy.delete_retention_ms) <= self.now)
            .map(|(end, _)| *end)
            .max()
            .unwrap_or(0);
        let mut report = CleanReport { covered_upto, ..CleanReport::default() };
        let mut transactions = Transactions::default();
        // One after the other is let go: what was replaced takes room and a descriptor for as long as it is held.
        for segment in std::mem::take(&mut self.segments) {
            let before = segment.size_bytes();
            report.bytes_before += before;
            let bounds = Bounds { covered_upto, tombstones_upto };
            let rewritten = self.rewrite(&segment, &map, &aborted, &mut transactions, bounds)?;
            report.bytes_after += rewritten.as_ref().map_or(before, |new| new.size_bytes);
            if let Some(new) = rewritten {
                replace(new)?;
            }
        }
        let mut rounds = self.rounds;
        // Rounds whose tombstones may go already say nothing more than the newest of them.
        let newest_over = rounds.iter().rposition(|(end, _)| *end <= tombstones_upto).unwrap_or(0);
        rounds.drain(..newest_over);
        rounds.push((covered_upto, self.now));
        snapshot::write_cleaned(&*self.shared.disk, &self.shared.dir, &rounds)?;
        Ok(report)
    }

    /// The ranges of the transactions that were aborted, by producer.
    fn aborted(&self) -> Result<Aborted, CleanError> {
        let mut ranges: Aborted = HashMap::new();
        let segments = self.shared.segments();
        for at in 0..segments.len() {
            for aborted in self.shared.aborted(&segments, at)?.iter() {
                let range = (aborted.first_offset, aborted.last_offset);
                ranges.entry(aborted.producer_id).or_default().push(range);
            }
        }
        Ok(ranges)
    }

    /// The newest offset of each key in what was not compacted before, and up to where there was room for keys.
    fn build_map(&self, aborted: &Aborted) -> Result<(KeyMap, Offset), CleanError> {
        let mut map = KeyMap::new(self.policy.map_bytes);
        let before = self.rounds.last().map_or(0, |round| round.0);
        let mut covered = before;
        for segment in self.segments.iter().filter(|segment| segment.end_offset() > before) {
            let mut walk = segment.walk(segment.start(), segment.size_bytes())?;
            while let Some(met) = walk.next()? {
                // Of a segment that had more keys than there was room for: the round before has come that far.
                if met.header.last_offset() < before {
                    continue;
                }
                if !has_data(&met.header)
                    || is_aborted(aborted, &met.header) && !crate::planted::planted("aborted-supersede")
                {
                    covered = covered.max(met.header.last_offset() + 1);
                    continue;
                }
                let failed = |error| CleanError::Records(segment.path().to_owned(), met.position, error);
                self.pace(met.header.size_bytes() as u64)?;
                let batch = walk.batch(&met)?;
                let open = OpenBatch::new(&batch, expansion_limit(batch.payload().len())).map_err(failed)?;
                for record in open.records() {
                    let record = record.map_err(|error| failed(error.into()))?;
                    // A batch at least, or no round would ever get on.
                    let must = covered == before;
                    if let Some(key) = record.key
                        && !map.insert(key, open.offset(&record), must)
                    {
                        // What the map holds of this batch is true, but the batch is not covered.
                        return Ok((map, covered));
                    }
                }
                covered = covered.max(met.header.last_offset() + 1);
            }
        }
        Ok((map, covered))
    }

    /// Writes a segment anew, unless nothing of it goes.
    fn rewrite(
        &self,
        segment: &Arc<Segment>,
        map: &KeyMap,
        aborted: &Aborted,
        transactions: &mut Transactions,
        bounds: Bounds,
    ) -> Result<Option<Replacement>, CleanError> {
        let mut path = segment.path().as_os_str().to_owned();
        path.push(state::TEMPORARY);
        let path = PathBuf::from(path);
        let rewritten = self.rewrite_to(path.clone(), segment, map, aborted, transactions, bounds);
        if rewritten.is_err() {
            // Perhaps for want of room, of which it takes the last.
            let _ = self.shared.disk.remove_file(&path);
        }
        rewritten
    }

    fn rewrite_to(
        &self,
        path: PathBuf,
        segment: &Arc<Segment>,
        map: &KeyMap,
        aborted: &Aborted,
        transactions: &mut Transactions,
        Bounds { covered_upto, tombstones_upto }: Bounds,
    ) -> Result<Option<Replacement>, CleanError> {
        let mut out = Output::new(self, path, segment.base_offset())?;
        let mut walk = segment.walk(segment.start(), segment.size_bytes())?;
        while let Some(met) = walk.next()? {
            self.pace(met.header.size_bytes() as u64)?;
            let batch = walk.batch(&met)?;
            let ends_nothing = transactions.ends_nothing(&met.header)
                || crate::planted::planted("markers-without-looking") && met.header.attributes.is_control();
            let failed = |error| CleanError::Records(segment.path().to_owned(), met.position, error);
            let left = if ends_nothing && met.header.base_offset < covered_upto {
                match met.header {
                    header
                        if (!header.attributes.has_delete_horizon()
                            || crate::planted::planted("marker-horizon-starts-anew"))
                            && !crate::planted::planted("markers-at-once") =>
                    {
                        out.must_replace = true;
                        let horizon = self.now.saturating_add(self.policy.delete_retention_ms);
                        Left::Some(with_delete_horizon(&batch, horizon).map_err(failed)?)
                    }
                    header if header.base_timestamp <= self.now => {
                        out.markers_gone.push(header.base_offset);
                        Left::Nothing
                    }
                    _ => Left::Whole,
                }
            } else if met.header.attributes.is_control() || met.header.base_offset >= covered_upto {
                Left::Whole
            } else if met.header.records_count == 0 || is_aborted(aborted, &met.header) {
                Left::Nothing
            } else {
                let keep = |record: &quipu_protocol::record::RecordView<'_>, offset| match record.key {
                    // A compacted topic refuses records without a key; what it holds is from before it was one.
                    None => false,
                    Some(key) if map.has_newer(key, offset) => false,
                    Some(_) => {
                        record.value.is_some()
                            || offset >= tombstones_upto && !crate::planted::planted("tombstones-at-once")
                            || crate::planted::planted("tombstones-for-ever")
                    }
                };
                filter(&batch, keep).map_err(failed)?
            };
            // What has gone must be gone even where the rest, packed anew, takes more room than before: later rounds do not
            // look at it again, and drop the tombstones that speak of it.
            out.must_replace |= match left {
                Left::Whole => false,
                Left::Some(_) => true,
                Left::Nothing => met.header.records_count > 0,
            } && !crate::planted::planted("compaction-only-if-smaller");
            match left {
                Left::Whole => out.push(&met.header, batch.bytes())?,
                Left::Some(bytes) => out.push_encoded(&bytes)?,
                // A producer is known by its last batch (I9).
                Left::Nothing if self.last_batches.contains(&met.header.last_offset()) => {
                    out.push_encoded(&emptied(&met.header))?;
                }
                Left::Nothing => out.skip(&met),
            }
        }
        out.finish(segment)
    }
}

/// How far a round reaches.
#[derive(Clone, Copy)]
struct Bounds {
    /// Records below were held against each other.
    covered_upto: Offset,
    /// Tombstones below have been there for long enough.
    tombstones_upto: Offset,
}

/// The time of a segment's first batch, if it has one.
fn first_timestamp(segment: &Segment) -> Option<Millis> {
    let first = segment.walk(segment.start(), segment.size_bytes()).ok()?.next().ok()??;
    Some(first.header.max_timestamp).filter(|timestamp| *timestamp > 0)
}

/// First and last offset of each aborted transaction, by producer.
type Aborted = HashMap<ProducerId, Vec<(Offset, Offset)>>;

/// Whether a batch has records that say something about keys.
fn has_data(header: &BatchHeader) -> bool {
    header.records_count > 0 && !header.attributes.is_control()
}

fn is_aborted(aborted: &Aborted, header: &BatchHeader) -> bool {
    header.attributes.is_transactional()
        && aborted.get(&header.producer_id).is_some_and(|ranges| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&header.base_offset))
        })
}

/// The file of a segment that is being written anew.
struct Output<'a> {
    clean: &'a Clean,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
    index: Index,
    /// Offsets that nothing stands for yet.
    skipped: Option<(Offset, Offset)>,
    /// What changed must be kept although it is no smaller.
    must_replace: bool,
    markers_gone: Vec<Offset>,
}

impl<'a> Output<'a> {
    fn new(clean: &'a Clean, path: PathBuf, base_offset: Offset) -> io::Result<Self> {
        let file = clean.shared.disk.open(&path, OpenMode::Truncate)?;
        let index = Index::new(base_offset);
        Ok(Self {
            clean,
            path,
            file,
            buffer: Vec::new(),
            written: 0,
            index,
            skipped: None,
            must_replace: false,
            markers_gone: Vec::new(),
        })
    }

    fn skip(&mut self, met: &Met) {
        let first = self.skipped.map_or(met.header.base_offset, |skipped| skipped.0);
        self.skipped = Some((first, met.header.last_offset()));
    }

    fn push_encoded(&mut self, bytes: &[u8]) -> io::Result<()> {
        let header = BatchHeader::parse(bytes).map_err(|error| io::Error::other(error.to_string()))?;
        self.push(&header, bytes)
    }

    fn push(&mut self, header: &BatchHeader, bytes: &[u8]) -> io::Result<()> {
        self.fill_gap()?;
        self.append(header, bytes)
    }

    fn fill_gap(&mut self) -> io::Result<()> {
        let Some((first, last)) = self.skipped.take() else { return Ok(()) };
        if crate::planted::planted("compaction-forgets-fillers") {
            return Ok(());
        }
        let bytes = filler(first, last, self.clean.leader_epoch);
        let header = BatchHeader::parse(&bytes).map_err(|error| io::Error::other(error.to_string()))?;
        self.append(&header, &bytes)
    }

    fn append(&mut self, header: &BatchHeader, bytes: &[u8]) -> io::Result<()> {
        self.index.push(header, self.clean.index_interval);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(&self.buffer)], self.written)?;
        self.written += self.buffer.len() as u64;
        self.clean.pace(self.buffer.len() as u64)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, old: &Arc<Segment>) -> Result<Option<Replacement>, CleanError> {
        self.fill_gap()?;
        self.flush()?;
        if self.written >= old.size_bytes() && !self.must_replace {
            self.clean.shared.disk.remove_file(&self.path)?;
            return Ok(None);
        }
        // On disk before it gets the name by which it will be believed.
        if !crate::planted::planted("compaction-without-sync") {
            self.file.sync_data()?;
        }
        Ok(Some(Replacement {
            old: Arc::clone(old),
            path: self.path,
            size_bytes: self.written,
            index: self.index,
            markers_gone: self.markers_gone,
        }))
    }
}
