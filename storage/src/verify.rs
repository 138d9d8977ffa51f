//! Looks at all of a log without opening it, and changes nothing: every byte is read, every sum computed, and what the
//! files say about each other is compared.
//!
//! Nobody may have the log open meanwhile; claim the data directory with [`Disk::lock`] first.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use quipu_protocol::record::BatchView;

use crate::aborted;
use crate::disk::{Disk, Entry, OpenMode, state};
use crate::error::{OpenError, is_unreadable};
use crate::index::{Index, Place};
use crate::marker::{Aborted, Marker};
use crate::producers::Producers;
use crate::recover::Found;
use crate::scan::{Scanner, last_non_zero};
use crate::segment::{ABORTED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, file_name};
use crate::snapshot::{self, Snapshot};
use crate::types::Offset;

/// What a log holds, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// First offset that may be read.
    pub log_start_offset: Offset,
    /// Offset that the next record gets.
    pub end_offset: Offset,
    /// Bytes of its segments, space that is reserved ahead included.
    pub size_bytes: u64,
    /// Whole batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// What is wrong, in the order of the log.
    pub findings: Vec<Finding>,
    /// The segments, in order.
    pub segments: Vec<SegmentReport>,
    /// Records that should come before the first segment.
    pub(crate) missing_front: Option<Range<Offset>>,
    /// Everything below was on disk once.
    pub(crate) vouched: Offset,
    /// Where the newest recovery point is, readable or not.
    pub(crate) newest_point: Offset,
    pub(crate) point: Option<Snapshot>,
    /// State files that say nothing any more.
    pub(crate) broken_files: Vec<PathBuf>,
}

impl Report {
    /// Offsets whose records are lost.
    pub fn lost(&self) -> impl Iterator<Item = Range<Offset>> + '_ {
        self.findings.iter().filter_map(|finding| match &finding.what {
            What::Lost(range) => Some(range.clone()),
            _ => None,
        })
    }

    /// Whether there is anything but what a crash leaves.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| !matches!(finding.what, What::Unfinished | What::Hint))
    }

    fn found(&mut self, path: PathBuf, position: u64, what: What, text: impl Into<String>) {
        self.findings.push(Finding { path, position, what, text: text.into() });
    }
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: u64,
    /// What it means.
    pub what: What,
    /// What was expected and what was found.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, position {}: {}", self.path.display(), self.position, self.text)
    }
}

/// What a [`Finding`] means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The records at these offsets are lost.
    Lost(Range<Offset>),
    /// Bytes behind the last batch that the next start cuts off: a write that a crash interrupted.
    Unfinished,
    /// The same, but whole batches lie behind, which the next start cuts off as well.
    CutOff,
    /// An index that the broker builds anew. It is not synced, so a loss of power may leave one that is torn.
    Hint,
    /// A file that the broker builds anew, or has another generation of.
    Replaceable,
}

/// A segment as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Length of its file.
    pub size_bytes: u64,
    pub(crate) pieces: Vec<Piece>,
}

impl SegmentReport {
    pub(crate) fn has_lost(&self) -> bool {
        self.pieces.iter().any(|piece| !piece.is_whole)
    }
}

/// A stretch of a segment that is whole, or lost as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) is_whole: bool,
    pub(crate) bytes: Range<u64>,
    pub(crate) offsets: Range<Offset>,
}

/// Checks the log in `dir`, and shows `visit` every whole batch in order.
pub fn verify(
    disk: &dyn Disk,
    dir: &Path,
    mut visit: impl FnMut(&BatchView<'_>),
) -> Result<Report, OpenError> {
    let entries = disk.list(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let mut found = Found::sort(&entries);
    let mut report = Report::default();
    report.check_states(disk, dir, &entries)?;
    let start = report.log_start_offset;
    // What a crash kept from being removed is no part of the log.
    let below = found.logs.windows(2).take_while(|pair| pair[1].0 <= start).count();
    found.logs.drain(..below);
    let first = found.first().unwrap_or(if report.vouched > start { report.vouched } else { start });
    if first > start {
        report.missing_front = Some(start..first);
        let text = format!("the log should start at offset {start}, there is nothing below {first}");
        report.found(dir.join(file_name(start, LOG_SUFFIX)), 0, What::Lost(start..first), text);
    }
    report.end_offset = first;
    let mut check = Check { disk, dir, visit: &mut visit, producers: Producers::default(), gap_end: 0 };
    for (i, &(base, size)) in found.logs.iter().enumerate() {
        report.size_bytes += size;
        let next = found.logs.get(i + 1).map(|next| next.0);
        let goes_on = check.segment(&mut report, base, size, next)?;
        if !goes_on {
            for &(base, _) in &found.logs[i + 1..] {
                let path = dir.join(file_name(base, LOG_SUFFIX));
                report.found(
                    path,
                    0,
                    What::CutOff,
                    "the log breaks off before this segment, the next start drops it",
                );
            }
            break;
        }
    }
    Ok(report)
}

impl Report {
    /// The small files: which of them can be read, and what they say.
    fn check_states(&mut self, disk: &dyn Disk, dir: &Path, entries: &[Entry]) -> Result<(), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        self.log_start_offset = snapshot::read_start(disk, dir, entries).map_err(at(dir))?.unwrap_or(0);
        self.vouched = snapshot::vouched(entries).unwrap_or(0).max(self.log_start_offset);
        self.newest_point = snapshot::newest_point(entries).unwrap_or(0).max(self.log_start_offset);
        for checked in snapshot::check_all(disk, dir, entries) {
            let (path, is_good) = checked.map_err(at(dir))?;
            if !is_good {
                self.found(path.clone(), 0, What::Replaceable, "the sum of this file is wrong");
                self.broken_files.push(path);
            }
        }
        self.point = snapshot::snapshots(disk, dir, entries).next().transpose().map_err(at(dir))?;
        Ok(())
    }
}

struct Check<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    visit: &'a mut dyn FnMut(&BatchView<'_>),
    producers: Producers,
    /// Behind the last offsets that nothing is known of, because they were lost, given up or compacted: the end of a
    /// transaction may have been there.
    gap_end: Offset,
}

impl Check<'_> {
    /// Reads a segment. False if the log ends in it, although there are more.
    fn segment(
        &mut self,
        report: &mut Report,
        base: Offset,
        size: u64,
        next: Option<Offset>,
    ) -> Result<bool, OpenError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let file = self.disk.open(&path, OpenMode::Existing).map_err(failed)?;
        let mut scanner = Scanner::new(&*file, 0, size);
        let mut pieces = Pieces::new(base);
        let mut marks = self.marks(report, base)?;
        let mut aborted = Vec::new();
        // What comes before the next segment, or what was on disk once, has to be there.
        let owed = next.unwrap_or(report.vouched).max(base);
        let limit = next.unwrap_or(Offset::MAX);
        let goes_on = loop {
            if pieces.ends_lost() {
                self.gap_end = pieces.end();
            }
            let stop = match scanner.next(pieces.end()) {
                Ok(Ok(batch)) => {
                    let header = batch.header();
                    let (offsets, bytes) =
                        (header.base_offset..header.last_offset() + 1, batch.bytes().len());
                    if offsets.end <= limit {
                        report.batches += 1;
                        report.records += header.records_count.max(0) as u64;
                        self.producers.record(header, 0, usize::MAX);
                        if let Some(marker) = Marker::read(&batch) {
                            let ended = self.producers.end(&marker, offsets.start, 0, usize::MAX).1;
                            aborted.extend(ended.filter(|ended| ended.first_offset >= self.gap_end));
                        }
                        if header.records_count == 0 && !header.has_producer_id() {
                            self.gap_end = offsets.end;
                        }
                        (self.visit)(&batch);
                        let end = scanner.position;
                        marks.met(Place { position: end - bytes as u64, offset: offsets.start });
                        pieces.whole(end - bytes as u64..end, offsets);
                        continue;
                    }
                    scanner.position -= bytes as u64;
                    "the batch reaches into the next segment".to_owned()
                }
                Ok(Err(stop)) => stop.to_owned(),
                Err(error) if is_unreadable(&error) => {
                    // Where the device does not answer, nothing more of this file is asked for.
                    let at = scanner.position;
                    let lost = pieces.end()..owed;
                    pieces.lost(at..size, lost.clone());
                    report.found(path.clone(), at, What::Lost(lost), format!("it cannot be read: {error}"));
                    break true;
                }
                Err(error) => return Err(failed(error)),
            };
            let (at, expected) = (scanner.position, pieces.end());
            let garbage = match last_non_zero(&*file, at, size) {
                Err(error) if is_unreadable(&error) => Some(size - 1),
                other => other.map_err(failed)?,
            };
            let resumes = match garbage.map(|_| scanner.resync(expected..limit)) {
                None => None,
                Some(Err(error)) if is_unreadable(&error) => None,
                Some(other) => other.map_err(failed)?,
            };
            if expected >= report.vouched && next != Some(expected) {
                // Behind what was on disk once, a crash may have left anything; the next start ends the log here.
                if let Some(last) = garbage {
                    let (what, more) = match (resumes, next) {
                        (None, None) => (What::Unfinished, ""),
                        _ => (What::CutOff, " and whole batches behind it"),
                    };
                    let text = format!(
                        "{} bytes of an unfinished write{more}, which the next start cuts off: {stop}",
                        last + 1 - at
                    );
                    report.found(path.clone(), at, what, text);
                }
                break next.is_none();
            }
            let text = |lost: &Range<Offset>| {
                if lost.is_empty() {
                    return format!("something else lies before the batch of offset {}: {stop}", lost.end);
                }
                format!("the records from offset {} to {} should be here: {stop}", lost.start, lost.end - 1)
            };
            if let Some(resumes) = resumes {
                let lost = expected..resumes;
                report.found(path.clone(), at, What::Lost(lost.clone()), text(&lost));
                pieces.lost(at..scanner.position, lost);
                continue;
            }
            if expected < owed {
                let lost = expected..owed;
                report.found(path.clone(), at, What::Lost(lost.clone()), text(&lost));
                pieces.lost(at..garbage.map_or(at, |last| last + 1), lost);
            }
            break true;
        };
        if pieces.ends_lost() {
            self.gap_end = pieces.end();
        }
        report.end_offset = pieces.end();
        marks.met(pieces.end_place());
        if !pieces.has_lost() {
            marks.tell(report);
        }
        self.compare_aborted(report, base, &aborted)?;
        report.segments.push(SegmentReport { base_offset: base, size_bytes: size, pieces: pieces.list });
        Ok(goes_on)
    }

    /// Where batches of the segment start, as its index and the recovery points say.
    fn marks(&self, report: &mut Report, base: Offset) -> Result<Marks, OpenError> {
        let path = self.dir.join(file_name(base, INDEX_SUFFIX));
        let stored = match state::read(self.disk, &path) {
            Err(error) if is_unreadable(&error) => Some(Vec::new()),
            other => other.map_err(|source| OpenError::Io { path: path.clone(), source })?,
        };
        let mut marks = Marks::default();
        if let Some(bytes) = stored {
            match Index::decode(&bytes, base) {
                Some(index) => marks.add(&path, index.places().chain([index.end()])),
                None => {
                    let text = "the sum of this index is wrong, the broker builds it anew";
                    report.found(path.clone(), 0, What::Hint, text);
                    report.broken_files.push(path);
                }
            }
        }
        if let Some(point) = report.point.as_ref().filter(|point| point.segment == base) {
            let path = self.dir.join(file_name(point.offset, snapshot::SNAPSHOT_SUFFIX));
            marks.add(&path, [Place { position: point.position, offset: point.offset }]);
        }
        Ok(marks)
    }

    /// Holds the stored list of aborted transactions against what the log says, up to the recovery point.
    fn compare_aborted(&self, report: &mut Report, base: Offset, seen: &[Aborted]) -> Result<(), OpenError> {
        let path = self.dir.join(file_name(base, ABORTED_SUFFIX));
        let stored =
            aborted::read(self.disk, &path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let Some(stored) = stored else {
            let text = "the sum of this list of aborted transactions is wrong, the broker builds it anew";
            report.found(path, 0, What::Replaceable, text);
            return Ok(());
        };
        let point = report.point.as_ref().map_or(0, |point| point.offset);
        // A transaction may have begun in what was deleted or compacted since.
        let is_listed = |seen: &&Aborted| {
            stored.iter().any(|stored| {
                (stored.producer_id, stored.last_offset) == (seen.producer_id, seen.last_offset)
                    && stored.first_offset <= seen.first_offset
            })
        };
        let missing = seen.iter().filter(|seen| seen.last_offset < point).find(|seen| !is_listed(seen));
        if let Some(missing) = missing {
            let text = format!(
                "the transaction of producer {} that was aborted at offset {} is not listed",
                missing.producer_id, missing.last_offset
            );
            report.found(path.clone(), 0, What::Replaceable, text);
            report.broken_files.push(path);
        }
        Ok(())
    }
}

/// The pieces of a segment so far.
struct Pieces {
    list: Vec<Piece>,
    end: Offset,
}

impl Pieces {
    fn new(base: Offset) -> Self {
        Self { list: Vec::new(), end: base }
    }

    fn end(&self) -> Offset {
        self.end
    }

    fn ends_lost(&self) -> bool {
        self.list.last().is_some_and(|piece| !piece.is_whole)
    }

    fn end_place(&self) -> Place {
        Place { position: self.list.last().map_or(0, |piece| piece.bytes.end), offset: self.end }
    }

    fn has_lost(&self) -> bool {
        self.list.iter().any(|piece| !piece.is_whole)
    }

    fn whole(&mut self, bytes: Range<u64>, offsets: Range<Offset>) {
        self.end = offsets.end;
        match self.list.last_mut() {
            Some(last) if last.is_whole && last.bytes.end == bytes.start => {
                (last.bytes.end, last.offsets.end) = (bytes.end, offsets.end);
            }
            _ => self.list.push(Piece { is_whole: true, bytes, offsets }),
        }
    }

    fn lost(&mut self, bytes: Range<u64>, offsets: Range<Offset>) {
        self.end = offsets.end;
        self.list.push(Piece { is_whole: false, bytes, offsets });
    }
}

/// Starts of batches that some file names, to be met on the way through the segment.
#[derive(Default)]
struct Marks {
    open: Vec<(PathBuf, Place)>,
    next: usize,
    wrong: Vec<(PathBuf, Place)>,
}

impl Marks {
    fn add(&mut self, path: &Path, places: impl IntoIterator<Item = Place>) {
        self.open.extend(places.into_iter().map(|place| (path.to_owned(), place)));
        self.open.sort_by_key(|(_, place)| place.position);
    }

    fn met(&mut self, met: Place) {
        while let Some((path, place)) =
            self.open.get(self.next).filter(|mark| mark.1.position <= met.position)
        {
            if *place != met {
                self.wrong.push((path.clone(), *place));
            }
            self.next += 1;
        }
    }

    fn tell(self, report: &mut Report) {
        let rest = self.open.into_iter().skip(self.next);
        let mut told: Vec<PathBuf> = Vec::new();
        for (path, place) in self.wrong.into_iter().chain(rest) {
            if told.contains(&path) {
                continue;
            }
            let text = format!("no batch of offset {} starts at position {}", place.offset, place.position);
            report.found(path.clone(), 0, What::Replaceable, text);
            report.broken_files.push(path.clone());
            told.push(path);
        }
    }
}

/// What [`verify`] could not do because the directory is not there.
pub fn is_absent(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
