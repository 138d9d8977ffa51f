//! Going on without records that are lost: an explicit wish of the operator, never done by itself.
//!
//! Every segment with damage in it is written anew. What is whole is copied, and for lost offsets there is an empty batch
//! as after compaction: no offset is given twice, and consumers pass over the gap. The bytes that are cut out are kept
//! in a file beside it.
//!
//! ```text
//! 1. keep the lost bytes in <base offset>-<position>.lost, durably
//! 2. make the recovery points unreadable: their names go on to vouch for what is lost, their positions are about to be
//!    wrong
//! 3. for each segment: remove its index, write it anew beside, sync, rename
//! 4. write the newest recovery point again, with its new position; remove state files that are broken
//! ```
//! A crash in between leaves a log that is still damaged or already whole; doing it again finishes it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::compact::filler;
use crate::disk::{Disk, DiskFile, OpenMode, state};
use crate::recover::remove;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name};
use crate::snapshot::{self, SNAPSHOT_SUFFIX, Snapshot};
use crate::types::Offset;
use crate::verify::{Piece, Report, SegmentReport};

/// Suffix of files with bytes that were cut out. Nobody reads or removes them but the operator.
pub const LOST_SUFFIX: &str = ".lost";

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Gives up what `report`, of the log in `dir`, says is lost. Gives the files with what was cut out. Nobody may have the
/// log open meanwhile.
pub fn accept_loss(
    disk: &dyn Disk,
    dir: &Path,
    report: &Report,
    leader_epoch: i32,
) -> io::Result<Vec<PathBuf>> {
    let repair = Repair { disk, dir, report, leader_epoch };
    let broken = report.segments.iter().filter(|segment| segment.has_lost());
    let mut kept = Vec::new();
    for segment in broken.clone() {
        for piece in segment.pieces.iter().filter(|piece| !piece.is_whole && !piece.bytes.is_empty()) {
            kept.push(repair.keep(segment, piece)?);
        }
    }
    disk.sync_dir(dir)?;
    let front = report.missing_front.as_ref();
    let is_moved = broken.clone().next().is_some() || (front.is_some() && report.segments.is_empty());
    if is_moved && !crate::planted::planted("repair-believes-old-positions") {
        repair.void_points()?;
    }
    let mut place = None;
    for segment in broken {
        place = repair.rewrite(segment)?.map(|position| (segment.base_offset, position)).or(place);
    }
    if let Some(front) = front {
        snapshot::write_start(disk, dir, front.end)?;
    }
    if is_moved {
        repair.write_point(place)?;
    }
    repair.settle_broken_files()?;
    Ok(kept)
}

struct Repair<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    report: &'a Report,
    leader_epoch: i32,
}

impl Repair<'_> {
    /// Copies lost bytes into a file of their own.
    fn keep(&self, segment: &SegmentReport, piece: &Piece) -> io::Result<PathBuf> {
        let path = self.dir.join(format!("{:020}-{}{LOST_SUFFIX}", segment.base_offset, piece.bytes.start));
        let temporary = with_suffix(&path, state::TEMPORARY);
        let from = self.disk.open(&self.log_path(segment), OpenMode::Existing)?;
        let to = self.disk.open(&temporary, OpenMode::Truncate)?;
        copy(&*from, piece.bytes.clone(), &*to, 0, true)?;
        to.sync_data()?;
        self.disk.rename(&temporary, &path)?;
        Ok(path)
    }

    /// From here on a start scans all segments, and a log that ends too early is still found to be damaged.
    fn void_points(&self) -> io::Result<()> {
        let entries = self.disk.list(self.dir)?;
        for entry in entries.iter().filter(|entry| entry.name.ends_with(SNAPSHOT_SUFFIX)) {
            state::replace(self.disk, &self.dir.join(&entry.name), b"a repair began here", true)?;
        }
        self.disk.sync_dir(self.dir)
    }

    /// Writes a segment anew. Gives the position of the newest recovery point, if that is in or behind it.
    fn rewrite(&self, segment: &SegmentReport) -> io::Result<Option<u64>> {
        let path = self.log_path(segment);
        remove(self.disk, &self.dir.join(file_name(segment.base_offset, INDEX_SUFFIX)))?;
        self.disk.sync_dir(self.dir)?;
        let from = self.disk.open(&path, OpenMode::Existing)?;
        let temporary = with_suffix(&path, state::TEMPORARY);
        let to = self.disk.open(&temporary, OpenMode::Truncate)?;
        let newest = self.report.newest_point;
        let (mut end, mut place) = (0, None);
        for piece in &segment.pieces {
            if piece.is_whole {
                copy(&*from, piece.bytes.clone(), &*to, end, false)?;
                if piece.offsets.contains(&newest) && self.point_is_in(segment, piece) {
                    let before =
                        self.report.point.as_ref().map_or(0, |point| point.position - piece.bytes.start);
                    place = Some(end + before);
                }
                end += piece.bytes.end - piece.bytes.start;
            } else {
                for lost in split(&piece.offsets, newest) {
                    let bytes = filler(lost.start, lost.end - 1, self.leader_epoch);
                    to.write_at(&mut [IoSlice::new(&bytes)], end)?;
                    end += bytes.len() as u64;
                    if lost.end == newest {
                        place = Some(end);
                    }
                }
            }
            if piece.offsets.end == newest {
                place = Some(end);
            }
        }
        to.sync_data()?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(self.dir)?;
        Ok(place)
    }

    fn point_is_in(&self, segment: &SegmentReport, piece: &Piece) -> bool {
        self.report.point.as_ref().is_some_and(|point| {
            point.segment == segment.base_offset && piece.bytes.contains(&point.position)
        })
    }

    /// Puts the recovery point in force again, at `place` if its segment is not what it was; without one, the next start
    /// scans. The other ones are of no use any more.
    fn write_point(&self, place: Option<(Offset, u64)>) -> io::Result<()> {
        let Report { segments, newest_point, .. } = self.report;
        let point = self.report.point.as_ref().filter(|point| point.offset == *newest_point);
        if let Some(point) = point {
            let mut at = (point.segment, point.position);
            let holder = segments.iter().find(|segment| segment.base_offset == point.segment);
            if segments.is_empty() {
                // Nothing is left at all. The log goes on where it ended.
                at = (point.offset, 0);
            } else if let Some(place) = place.filter(|_| holder.is_none_or(SegmentReport::has_lost)) {
                at = place;
            }
            let bytes = Snapshot::encode(point.offset, at.0, at.1, point.started_ms, &point.producers);
            snapshot::write_snapshot(self.disk, self.dir, point.offset, &bytes)?;
        }
        let kept = point.map(|point| file_name(point.offset, SNAPSHOT_SUFFIX));
        for entry in self.disk.list(self.dir)? {
            if entry.name.ends_with(SNAPSHOT_SUFFIX) && Some(&entry.name) != kept.as_ref() {
                remove(self.disk, &self.dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// State files that are broken go, now that all that they vouched for is there.
    fn settle_broken_files(&self) -> io::Result<()> {
        for path in &self.report.broken_files {
            match path.extension().and_then(|extension| extension.to_str()) {
                // Its name counts.
                Some("start") => snapshot::write_start(self.disk, self.dir, self.report.log_start_offset)?,
                // One that is not there means that nothing was aborted; one that is broken is built anew.
                Some("txn") => state::replace(self.disk, path, b"to be built anew", true)?,
                _ => remove(self.disk, path)?,
            }
        }
        self.disk.sync_dir(self.dir)
    }

    fn log_path(&self, segment: &SegmentReport) -> PathBuf {
        self.dir.join(file_name(segment.base_offset, LOG_SUFFIX))
    }
}

/// A range of offsets in parts that one batch can stand for, with a border at `border`.
fn split(offsets: &std::ops::Range<Offset>, border: Offset) -> Vec<std::ops::Range<Offset>> {
    let mut parts = Vec::new();
    let mut start = offsets.start;
    while start < offsets.end {
        let mut end = offsets.end.min(start.saturating_add(i32::MAX.into()));
        if (start + 1..end).contains(&border) {
            end = border;
        }
        parts.push(start..end);
        start = end;
    }
    parts
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Copies bytes. With `as_far_as_possible`, what cannot be read becomes zeros.
fn copy(
    from: &dyn DiskFile,
    bytes: std::ops::Range<u64>,
    to: &dyn DiskFile,
    mut at: u64,
    as_far_as_possible: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min((bytes.end - bytes.start) as usize)];
    let mut position = bytes.start;
    while position < bytes.end {
        let want = buffer.len().min((bytes.end - position) as usize);
        let read = match from.read_at(&mut buffer[..want], position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if as_far_as_possible && crate::error::is_unreadable(&error) => {
                buffer[..want].fill(0);
                want
            }
            Err(error) => return Err(error),
        };
        to.write_at(&mut [IoSlice::new(&buffer[..read])], at)?;
        (position, at) = (position + read as u64, at + read as u64);
    }
    Ok(())
}
