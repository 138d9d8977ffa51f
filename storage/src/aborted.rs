//! Which transactions were aborted, so that a reader of committed records can pass over theirs: one list per segment,
//! by where the markers are, in order.
//!
//! ```text
//! <base offset>.txn   "QTXN" u16 version; per transaction i64 producer id, i64 first offset, i64 last offset,
//!                     i64 last stable offset; u32 CRC-32
//! ```
//!
//! Only segments in which something was aborted have the file. From a segment alone it cannot be told where a
//! transaction began, so the file is durable before the recovery point that relies on it. One that is damaged is
//! replaced by what the whole log says, which takes as long as reading its headers does.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::disk::state::{self, StateReader, StateWriter};
use crate::error::{ReadError, is_unreadable};
use crate::marker::{Aborted, Marker};
use crate::producers::Producers;
use crate::segment::Segment;
use crate::types::Offset;

const MAGIC: &[u8; 4] = b"QTXN";
const VERSION: u16 = 1;

/// Makes the list of a segment durable, but for its name. An empty one is no file.
pub(crate) fn write(disk: &dyn Disk, path: &Path, list: &[Aborted]) -> io::Result<()> {
    if list.is_empty() { Ok(()) } else { replace(disk, path, list) }
}

/// The same, in the place of a file that says something else.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, list: &[Aborted]) -> io::Result<()> {
    let mut out = StateWriter::new(MAGIC, VERSION);
    for aborted in list {
        out.put(aborted.producer_id.to_be_bytes());
        out.put(aborted.first_offset.to_be_bytes());
        out.put(aborted.last_offset.to_be_bytes());
        out.put(aborted.last_stable_offset.to_be_bytes());
    }
    state::replace(disk, path, &out.finish(), true)
}

/// The list of the last of `segments`, which are all of the log up to it, as their batches say: of its first `size`
/// bytes. A transaction that began in what was deleted or lost counts from the first of its records that is left.
pub(crate) fn rebuild(segments: &[Arc<Segment>], size: u64) -> Result<Vec<Aborted>, ReadError> {
    let mut producers = Producers::default();
    let mut list = Vec::new();
    let Some((last, _)) = segments.split_last() else { return Ok(list) };
    tracing::warn!(file = %last.aborted_path().display(), "the list of aborted transactions is damaged, building it anew");
    for segment in segments {
        let is_last = Arc::ptr_eq(segment, last);
        let end = if is_last { size } else { segment.size_bytes() };
        let mut walk = segment.walk(segment.start(), end)?;
        loop {
            let met = match walk.next() {
                Ok(Some(met)) => met,
                Ok(None) => break,
                Err(ReadError::Corrupt { .. }) if walk.pass_damage(Offset::MAX) => continue,
                Err(ReadError::Corrupt { .. }) => break,
                Err(error) => return Err(error),
            };
            producers.record(&met.header, 0, usize::MAX);
            if let Some(marker) = Marker::read(&walk.batch(&met)?) {
                let (_, aborted) = producers.end(&marker, met.header.base_offset, 0, usize::MAX);
                list.extend(aborted.filter(|_| is_last));
            }
        }
    }
    Ok(list)
}

/// The list of a segment; `None` when the file is damaged.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<Aborted>>> {
    match state::read(disk, path) {
        Ok(None) => Ok(Some(Vec::new())),
        Ok(Some(bytes)) => Ok(decode(&bytes)),
        Err(error) if is_unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn decode(bytes: &[u8]) -> Option<Vec<Aborted>> {
    let mut state = StateReader::open(bytes, MAGIC, VERSION)?;
    let mut list = Vec::with_capacity(state.rest_bytes() / 32);
    while !state.is_empty() {
        list.push(Aborted {
            producer_id: i64::from_be_bytes(state.take()?),
            first_offset: i64::from_be_bytes(state.take()?),
            last_offset: i64::from_be_bytes(state.take()?),
            last_stable_offset: i64::from_be_bytes(state.take()?),
        });
    }
    Some(list)
}
