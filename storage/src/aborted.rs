//! Which transactions were aborted, so that a reader of committed records can pass over theirs: one list per segment,
//! by where the markers are, in order.
//!
//! ```text
//! <base offset>.txn   "QTXN" u16 version; per transaction i64 producer id, i64 first offset, i64 last offset,
//!                     i64 last stable offset; u32 CRC-32
//! ```
//!
//! Only segments in which something was aborted have the file. Unlike an index it is no hint: from a segment alone it
//! cannot be told where a transaction began. So it is durable before the recovery point that relies on it, and a file
//! that is damaged is an error.

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::disk::state::{self, StateReader, StateWriter};
use crate::marker::Aborted;

const MAGIC: &[u8; 4] = b"QTXN";
const VERSION: u16 = 1;

/// Makes the list of a segment durable, but for its name. An empty one is no file.
pub(crate) fn write(disk: &dyn Disk, path: &Path, list: &[Aborted]) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let mut out = StateWriter::new(MAGIC, VERSION);
    for aborted in list {
        out.put(aborted.producer_id.to_be_bytes());
        out.put(aborted.first_offset.to_be_bytes());
        out.put(aborted.last_offset.to_be_bytes());
        out.put(aborted.last_stable_offset.to_be_bytes());
    }
    state::replace(disk, path, &out.finish(), true)
}

/// The list of a segment; `None` when the file is damaged.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<Aborted>>> {
    Ok(match state::read(disk, path)? {
        None => Some(Vec::new()),
        Some(bytes) => decode(&bytes),
    })
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
