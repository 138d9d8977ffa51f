//! Reading a segment file that nobody vouches for.

use std::io;

use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchView, RecordError};

use crate::disk::DiskFile;
use crate::types::Offset;

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
            Err(RecordError::Truncated { needed, .. }) => needed,
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
        if batch.computed_crc() != header.crc && !crate::planted::planted("no-crc-on-recovery") {
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
pub(crate) fn last_non_zero(file: &dyn DiskFile, start: u64, end: u64) -> io::Result<Option<u64>> {
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
