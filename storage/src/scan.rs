//! Reading a segment file that nobody vouches for.

use std::io;
use std::ops::Range;

use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchHeader, BatchView, RecordError, position};

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

    /// Goes on behind something that is not the batch that should be there: at the next valid one whose offsets lie in
    /// `offsets`. Gives its base offset, or `None` when nothing like it follows.
    pub(crate) fn resync(&mut self, offsets: Range<Offset>) -> io::Result<Option<Offset>> {
        let came_from = self.position;
        let mut choice = Choice::default();
        // Where the search starts is where the other batch is.
        self.position += 1;
        while let Some(header) = self.next_whole(&offsets)? {
            if choice.offer(self.position, &header) {
                break;
            }
            self.position += header.size_bytes() as u64;
        }
        let chosen = choice.best;
        self.position = chosen.map_or(came_from, |(position, _)| position);
        if self.position < self.buffer_start {
            self.buffer.clear();
            self.buffer_start = self.position;
        }
        Ok(chosen.map(|(_, offset)| offset))
    }

    /// Moves to the next whole batch with offsets in `offsets`, be it where one should be or not.
    fn next_whole(&mut self, offsets: &Range<Offset>) -> io::Result<Option<BatchHeader>> {
        while self.size - self.position.min(self.size) >= BATCH_HEADER_BYTES as u64 {
            self.fill(BATCH_HEADER_BYTES)?;
            let Some(skipped) = next_candidate(self.at_hand(), offsets) else {
                // The last bytes may be the start of a header.
                let passed = self.at_hand().len().saturating_sub(BATCH_HEADER_BYTES - 1);
                if passed == 0 {
                    // The file is shorter than it was said to be.
                    return Ok(None);
                }
                self.position += passed as u64;
                continue;
            };
            self.position += skipped as u64;
            let header = BatchHeader::parse(self.at_hand()).ok();
            let size = header.map_or(usize::MAX, |header| header.size_bytes());
            if size as u64 <= self.size - self.position {
                self.fill(size)?;
                let batch = BatchView::parse(self.at_hand()).ok();
                if let Some(batch) = batch.filter(|batch| batch.computed_crc() == batch.header().crc) {
                    return Ok(Some(*batch.header()));
                }
            }
            self.position += 1;
        }
        Ok(None)
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

    /// Nothing where the position has moved beyond what was read.
    fn at_hand(&self) -> &[u8] {
        self.buffer.get((self.position - self.buffer_start) as usize..).unwrap_or_default()
    }

    /// Has `needed` bytes at hand, or all that are left.
    fn fill(&mut self, needed: usize) -> io::Result<()> {
        if self.at_hand().len() >= needed {
            return Ok(());
        }
        let left = self.size - self.position;
        let wanted = (needed.max(CHUNK_BYTES) as u64).min(left) as usize;
        let passed = (self.position - self.buffer_start).min(self.buffer.len() as u64);
        self.buffer.drain(..passed as usize);
        self.buffer_start = self.position;
        let kept = self.buffer.len();
        self.buffer.resize(wanted.max(kept), 0);
        let read = self.file.read_at(&mut self.buffer[kept..], self.position + kept as u64)?;
        self.buffer.truncate(kept + read);
        Ok(())
    }
}

/// Most bytes that are looked through behind damage while somebody waits for an answer.
const PASS_BYTES: usize = 4 << 20;

/// So many bytes of batches that lead on to each other are no stray copy.
const CONVINCING_BYTES: u64 = 64 << 10;

/// Which of the batches that lie behind damage to go on with. A sector that was written to the wrong place may hold
/// copies of some that come later, so it is the one with the lowest offset, as far as has to be looked.
#[derive(Default)]
struct Choice {
    /// Position and base offset.
    best: Option<(u64, Offset)>,
    /// Where the batches that lead on to each other begin, and where the last of them ends.
    chain: (u64, u64, Offset),
}

impl Choice {
    /// Takes a batch into account. True when no other has to be looked at.
    fn offer(&mut self, position: u64, header: &BatchHeader) -> bool {
        let (start, end, next) = self.chain;
        let start = if (end, next) == (position, header.base_offset) { start } else { position };
        self.chain = (start, position + header.size_bytes() as u64, header.last_offset() + 1);
        if self.best.is_none_or(|(_, best)| header.base_offset <= best) {
            self.best = Some((position, header.base_offset));
        }
        self.chain.1 - start >= CONVINCING_BYTES
    }
}

/// The next whole batch behind the start of `bytes` whose offsets lie in `offsets`: its place and base offset. Not the one
/// at `except`, if that was found to be wrong: no sum covers the base offset.
pub(crate) fn next_valid(
    bytes: &[u8],
    offsets: Range<Offset>,
    except: Option<usize>,
) -> Option<(usize, Offset)> {
    let bytes = &bytes[..bytes.len().min(PASS_BYTES)];
    let (mut at, mut choice) = (1, Choice::default());
    while let Some(skipped) = bytes.get(at..).and_then(|rest| next_candidate(rest, &offsets)) {
        at += skipped;
        match BatchView::parse(&bytes[at..]) {
            Ok(batch) if Some(at) != except && batch.computed_crc() == batch.header().crc => {
                if choice.offer(at as u64, batch.header()) {
                    break;
                }
                at += batch.bytes().len();
            }
            _ => at += 1,
        }
    }
    choice.best.map(|(position, offset)| (position as usize, offset))
}

/// The first place in `bytes` that may be the header of a batch with offsets in `offsets`.
fn next_candidate(bytes: &[u8], offsets: &Range<Offset>) -> Option<usize> {
    let magics = bytes.get(position::MAGIC..)?;
    let candidates = magics.iter().enumerate().filter(|(_, byte)| **byte == 2).map(|(at, _)| at);
    candidates.into_iter().find(|at| {
        BatchHeader::parse(&bytes[*at..]).is_ok_and(|header| {
            header.last_offset_delta >= 0
                && offsets.contains(&header.base_offset)
                && header
                    .base_offset
                    .checked_add(header.last_offset_delta.into())
                    .is_some_and(|last| last < offsets.end)
        })
    })
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
