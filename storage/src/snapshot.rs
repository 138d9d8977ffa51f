//! The recovery point of a log, its start, and how far it was compacted: three kinds of state file, each named by the
//! offset it is about.
//!
//! A snapshot says that everything below its offset was whole and synced when it was written, where the log went on,
//! and what was known about producers there. It stays true for ever, because bytes below it never change, so it needs
//! no mark of a clean stop: a clean stop leaves nothing behind the newest snapshot, and there is nothing to scan.
//!
//! ```text
//! <offset>.snap    "QSNP" u16 version; i64 offset; i64 base offset of its segment, u64 position in it,
//!                  i64 time of that segment's first append or -1; producers; u32 CRC-32
//! <offset>.start   "QSTR" u16 version; i64 log start offset; u32 CRC-32
//! <offset>.clean   "QCLN" u16 version; (i64 end offset, i64 time) per round of compaction; u32 CRC-32
//! <offset>.durable empty: the name says it
//! ```
//!
//! The newest valid one counts. One generation before it is kept, in case the newest rots.
//!
//! A checkpoint, `.durable`, says of the segment that is being written to what a snapshot says of sealed ones: below this
//! offset everything was on disk once, so bytes that are not a batch there are damage and no torn write. The file is
//! renamed from time to time, after a sync and without one of its own: whichever name a crash leaves was true.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::state::{self, StateReader, StateWriter};
use crate::disk::{Disk, Entry, OpenMode};
use crate::error::is_unreadable;
use crate::producers::Producers;
use crate::segment::{file_name, parse_file_name};
use crate::types::{Millis, NO_TIMESTAMP, Offset};

pub(crate) const SNAPSHOT_SUFFIX: &str = ".snap";
pub(crate) const START_SUFFIX: &str = ".start";
pub(crate) const CLEANED_SUFFIX: &str = ".clean";
pub(crate) const DURABLE_SUFFIX: &str = ".durable";

const SNAPSHOT_MAGIC: &[u8; 4] = b"QSNP";
const START_MAGIC: &[u8; 4] = b"QSTR";
const CLEANED_MAGIC: &[u8; 4] = b"QCLN";
const VERSION: u16 = 1;

/// Generations of a state file that are kept.
const KEPT: usize = 2;

/// A recovery point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) offset: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    /// When the segment got its first batch.
    pub(crate) started_ms: Option<Millis>,
    pub(crate) producers: Producers,
}

impl Snapshot {
    /// The file's bytes. `producers` are borrowed, so that no copy is made at every roll.
    pub(crate) fn encode(
        offset: Offset,
        segment: Offset,
        position: u64,
        started_ms: Option<Millis>,
        producers: &Producers,
    ) -> Vec<u8> {
        let mut out = StateWriter::new(SNAPSHOT_MAGIC, VERSION);
        out.put(offset.to_be_bytes());
        out.put(segment.to_be_bytes());
        out.put(position.to_be_bytes());
        out.put(started_ms.unwrap_or(NO_TIMESTAMP).to_be_bytes());
        producers.encode(&mut out);
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut state = StateReader::open(bytes, SNAPSHOT_MAGIC, VERSION)?;
        let this = Self {
            offset: i64::from_be_bytes(state.take()?),
            segment: i64::from_be_bytes(state.take()?),
            position: u64::from_be_bytes(state.take()?),
            started_ms: Some(i64::from_be_bytes(state.take()?)).filter(|started| *started >= 0),
            producers: Producers::decode(&mut state)?,
        };
        state.is_empty().then_some(this)
    }
}

/// Makes a snapshot durable, then drops generations that are too old.
pub(crate) fn write_snapshot(disk: &dyn Disk, dir: &Path, offset: Offset, bytes: &[u8]) -> io::Result<()> {
    write(disk, dir, offset, SNAPSHOT_SUFFIX, bytes)
}

/// Makes the log start durable, then drops generations that are too old.
pub(crate) fn write_start(disk: &dyn Disk, dir: &Path, offset: Offset) -> io::Result<()> {
    let mut out = StateWriter::new(START_MAGIC, VERSION);
    out.put(offset.to_be_bytes());
    write(disk, dir, offset, START_SUFFIX, &out.finish())
}

/// A round of compaction: everything below the offset was covered, at that time.
pub(crate) type Cleaned = (Offset, Millis);

/// Makes durable which rounds of compaction there were, the newest last; then drops generations that are too old.
pub(crate) fn write_cleaned(disk: &dyn Disk, dir: &Path, rounds: &[Cleaned]) -> io::Result<()> {
    let mut out = StateWriter::new(CLEANED_MAGIC, VERSION);
    for (end, at) in rounds {
        out.put(end.to_be_bytes());
        out.put(at.to_be_bytes());
    }
    write(disk, dir, rounds.last().map_or(0, |round| round.0), CLEANED_SUFFIX, &out.finish())
}

/// The rounds of compaction that were recorded, oldest first. A damaged record only means that work is done again.
pub(crate) fn read_cleaned(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Cleaned>> {
    let entries = disk.list(dir)?;
    for offset in offsets(&entries, CLEANED_SUFFIX) {
        let Some(bytes) = state::read(disk, &dir.join(file_name(offset, CLEANED_SUFFIX)))? else { continue };
        let Some(mut state) = StateReader::open(&bytes, CLEANED_MAGIC, VERSION) else { continue };
        let mut rounds = Vec::new();
        while let (Some(end), Some(at)) = (state.take(), state.take()) {
            rounds.push((i64::from_be_bytes(end), i64::from_be_bytes(at)));
        }
        return Ok(rounds);
    }
    Ok(Vec::new())
}

/// Where the valid recovery points lie: the base offset of the segment, and the position in it.
pub(crate) fn points(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(Offset, u64)>> {
    let entries = disk.list(dir)?;
    let points = snapshots(disk, dir, &entries);
    points.map(|snapshot| snapshot.map(|snapshot| (snapshot.segment, snapshot.position))).collect()
}

fn write(disk: &dyn Disk, dir: &Path, offset: Offset, suffix: &str, bytes: &[u8]) -> io::Result<()> {
    state::replace(
        disk,
        &dir.join(file_name(offset, suffix)),
        bytes,
        !crate::planted::planted("state-without-sync"),
    )?;
    if !crate::planted::planted("state-without-directory") {
        disk.sync_dir(dir)?;
    }
    let entries = disk.list(dir)?;
    for old in offsets(&entries, suffix).skip(KEPT) {
        // Only tidying: what cannot be removed now is removed next time.
        let _ = disk.remove_file(&dir.join(file_name(old, suffix)));
    }
    Ok(())
}

/// The offsets of all files with a suffix, newest first.
fn offsets(entries: &[Entry], suffix: &str) -> impl Iterator<Item = Offset> + use<> {
    let mut offsets: Vec<_> =
        entries.iter().filter_map(|entry| parse_file_name(&entry.name, suffix)).collect();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    offsets.into_iter()
}

/// The offset of the newest recovery point, be its file still readable or not.
pub(crate) fn newest_point(entries: &[Entry]) -> Option<Offset> {
    offsets(entries, SNAPSHOT_SUFFIX).next()
}

/// The offset of the newest checkpoint.
pub(crate) fn newest_checkpoint(entries: &[Entry]) -> Option<Offset> {
    offsets(entries, DURABLE_SUFFIX).next()
}

/// The offset below which a recovery point or a checkpoint vouched for everything.
pub(crate) fn vouched(entries: &[Entry]) -> Option<Offset> {
    let checkpoint = newest_checkpoint(entries).filter(|_| !crate::planted::planted("checkpoint-ignored"));
    newest_point(entries).max(checkpoint)
}

/// Has the checkpoint say `offset`, below which everything is on disk. `before` is what it says now, if there is one.
pub(crate) fn write_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    before: Option<Offset>,
    offset: Offset,
) -> io::Result<()> {
    let path = dir.join(file_name(offset, DURABLE_SUFFIX));
    match before {
        Some(before) => disk.rename(&dir.join(file_name(before, DURABLE_SUFFIX)), &path),
        None => disk.open(&path, OpenMode::OpenOrCreate).map(drop),
    }
}

/// All valid snapshots, newest first, read one by one.
pub(crate) fn snapshots<'a>(
    disk: &'a dyn Disk,
    dir: &'a Path,
    entries: &[Entry],
) -> impl Iterator<Item = io::Result<Snapshot>> + 'a {
    offsets(entries, SNAPSHOT_SUFFIX).filter_map(move |offset| {
        let path = dir.join(file_name(offset, SNAPSHOT_SUFFIX));
        let bytes = match state::read(disk, &path) {
            Ok(bytes) => bytes?,
            Err(error) if is_unreadable(&error) => Vec::new(),
            Err(error) => return Some(Err(error)),
        };
        let snapshot = Snapshot::decode(&bytes).filter(|snapshot| snapshot.offset == offset);
        if snapshot.is_none() {
            tracing::warn!(file = %path.display(), "snapshot is damaged, trying the one before it");
        }
        snapshot.map(Ok)
    })
}

/// The log start that was recorded last, if any was. Its name says it, and was given once the file was on disk; a
/// damaged file therefore changes nothing.
pub(crate) fn read_start(disk: &dyn Disk, dir: &Path, entries: &[Entry]) -> io::Result<Option<Offset>> {
    let Some(offset) = offsets(entries, START_SUFFIX).next() else { return Ok(None) };
    let path = dir.join(file_name(offset, START_SUFFIX));
    let bytes = match state::read(disk, &path) {
        Err(error) if is_unreadable(&error) => None,
        other => other?,
    };
    if bytes.is_none_or(|bytes| !is_start(&bytes, offset)) {
        tracing::warn!(file = %path.display(), "the record of the log start is damaged, its name is believed");
    }
    Ok(Some(offset))
}

/// Whether these are the bytes of a record of this log start.
fn is_start(bytes: &[u8], offset: Offset) -> bool {
    let recorded = StateReader::open(bytes, START_MAGIC, VERSION).and_then(|mut state| state.take());
    recorded.map(i64::from_be_bytes) == Some(offset)
}

/// Every state file of a log, and whether it is whole.
pub(crate) fn check_all<'a>(
    disk: &'a dyn Disk,
    dir: &'a Path,
    entries: &'a [Entry],
) -> impl Iterator<Item = io::Result<(PathBuf, bool)>> + 'a {
    let files = [SNAPSHOT_SUFFIX, START_SUFFIX, CLEANED_SUFFIX]
        .into_iter()
        .flat_map(|suffix| offsets(entries, suffix).map(move |offset| (offset, suffix)));
    files.map(move |(offset, suffix)| {
        let path = dir.join(file_name(offset, suffix));
        let bytes = match state::read(disk, &path) {
            Err(error) if is_unreadable(&error) => Vec::new(),
            other => other?.unwrap_or_default(),
        };
        let is_good = match suffix {
            SNAPSHOT_SUFFIX => Snapshot::decode(&bytes).is_some_and(|snapshot| snapshot.offset == offset),
            START_SUFFIX => is_start(&bytes, offset),
            _ => StateReader::open(&bytes, CLEANED_MAGIC, VERSION).is_some(),
        };
        Ok((path, is_good))
    })
}
