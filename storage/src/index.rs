//! The sparse index of a segment: where a batch starts, by offset and by time.
//!
//! It is a hint. For the segment that is written it lives in memory; at seal it goes to `<base offset>.idx`, and whoever
//! opens it again believes it only if its sum is right and it does not claim more bytes than there are. What it does
//! not cover is found by walking over batch headers.
//!
//! ```text
//! "QIDX" u16 version
//! i64 base offset   u64 covered bytes   i64 end offset   i64 max timestamp   u64 bytes since the last entry
//! entries: u32 offset delta, u32 position, i64 greatest timestamp before it
//! u32 CRC-32
//! ```

use quipu_protocol::record::BatchHeader;

use crate::disk::state::{StateReader, StateWriter};
use crate::types::{Millis, NO_TIMESTAMP, Offset};

const MAGIC: &[u8; 4] = b"QIDX";
const VERSION: u16 = 1;
const ENTRY_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset_delta: u32,
    position: u32,
    /// Greatest timestamp of all batches of the segment before this one: rises with the position, whatever the order of
    /// timestamps, so that it can be searched.
    max_before: Millis,
}

/// Where a batch starts, and its first offset: whoever reads there can tell another batch from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) offset: Offset,
}

/// What is known about the first `covered` bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    base_offset: Offset,
    entries: Vec<Entry>,
    covered: u64,
    end_offset: Offset,
    max_timestamp: Millis,
    since_last: u64,
}

impl Index {
    pub(crate) fn new(base_offset: Offset) -> Self {
        Self {
            base_offset,
            entries: Vec::new(),
            covered: 0,
            end_offset: base_offset,
            max_timestamp: NO_TIMESTAMP,
            since_last: 0,
        }
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    /// Bytes of the segment that have been looked at.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// Offset behind the last batch that has been looked at.
    pub(crate) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Greatest timestamp so far.
    pub(crate) fn max_timestamp(&self) -> Millis {
        self.max_timestamp
    }

    /// Takes in the batch at the end of what is covered.
    pub(crate) fn push(&mut self, header: &BatchHeader, interval: u64) {
        if self.entries.is_empty() || self.since_last >= interval {
            // Segments roll before either number outgrows 31 bits.
            self.entries.push(Entry {
                offset_delta: (header.base_offset - self.base_offset) as u32,
                position: self.covered as u32,
                max_before: self.max_timestamp,
            });
            self.since_last = 0;
        }
        let size = header.size_bytes() as u64;
        self.covered += size;
        self.since_last += size;
        self.end_offset = header.last_offset() + 1;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// A batch at or before the one that holds `offset`.
    pub(crate) fn before_offset(&self, offset: Offset) -> Place {
        let delta = offset - self.base_offset;
        let after = self.entries.partition_point(|entry| i64::from(entry.offset_delta) <= delta);
        self.before(after)
    }

    /// A batch at or before the first one with a timestamp of `timestamp` or later.
    pub(crate) fn before_time(&self, timestamp: Millis) -> Place {
        let after = self.entries.partition_point(|entry| entry.max_before < timestamp);
        self.before(after)
    }

    /// Greatest timestamp before the last indexed batch that starts below `upto`, and that batch's position.
    pub(crate) fn max_timestamp_before(&self, upto: Offset) -> (Millis, Place) {
        let delta = upto - self.base_offset;
        let after = self.entries.partition_point(|entry| i64::from(entry.offset_delta) < delta);
        let entry = after.checked_sub(1).and_then(|i| self.entries.get(i));
        (entry.map_or(NO_TIMESTAMP, |entry| entry.max_before), self.before(after))
    }

    /// The last of the first `after` entries, or the start of the segment.
    fn before(&self, after: usize) -> Place {
        let entry = after.checked_sub(1).and_then(|i| self.entries.get(i));
        let start = Place { position: 0, offset: self.base_offset };
        entry.map_or(start, |entry| self.place(entry))
    }

    fn place(&self, entry: &Entry) -> Place {
        Place { position: entry.position.into(), offset: self.base_offset + i64::from(entry.offset_delta) }
    }

    /// Every batch that is indexed, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.entries.iter().map(|entry| self.place(entry))
    }

    /// Behind the last batch that has been looked at.
    pub(crate) fn end(&self) -> Place {
        Place { position: self.covered, offset: self.end_offset }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = StateWriter::new(MAGIC, VERSION);
        out.put(self.base_offset.to_be_bytes());
        out.put(self.covered.to_be_bytes());
        out.put(self.end_offset.to_be_bytes());
        out.put(self.max_timestamp.to_be_bytes());
        out.put(self.since_last.to_be_bytes());
        for entry in &self.entries {
            out.put(entry.offset_delta.to_be_bytes());
            out.put(entry.position.to_be_bytes());
            out.put(entry.max_before.to_be_bytes());
        }
        out.finish()
    }

    /// The index of the segment at `base_offset`, or none if the bytes are damaged or of another segment.
    pub(crate) fn decode(bytes: &[u8], base_offset: Offset) -> Option<Self> {
        let mut state = StateReader::open(bytes, MAGIC, VERSION)?;
        let mut this = Self::new(i64::from_be_bytes(state.take()?));
        this.covered = u64::from_be_bytes(state.take()?);
        this.end_offset = i64::from_be_bytes(state.take()?);
        this.max_timestamp = i64::from_be_bytes(state.take()?);
        this.since_last = u64::from_be_bytes(state.take()?);
        this.entries.reserve_exact(state.rest_bytes() / ENTRY_BYTES);
        while !state.is_empty() {
            this.entries.push(Entry {
                offset_delta: u32::from_be_bytes(state.take()?),
                position: u32::from_be_bytes(state.take()?),
                max_before: i64::from_be_bytes(state.take()?),
            });
        }
        (this.base_offset == base_offset).then_some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quipu_protocol::record::{BatchBuilder, BatchHeader};

    fn header(base_offset: Offset, timestamp: Millis) -> BatchHeader {
        let mut builder = BatchBuilder::new().base_offset(base_offset);
        builder.push(timestamp, None, Some(&[7; 100]), &[]);
        BatchHeader::parse(&builder.finish()).unwrap()
    }

    fn sample() -> Index {
        let mut index = Index::new(50);
        for (offset, timestamp) in (50..).zip([10, 30, 20, 40, 5]) {
            index.push(&header(offset, timestamp), 200);
        }
        index
    }

    #[test]
    fn searches_never_overshoot() {
        let index = sample();
        let size = header(50, 10).size_bytes() as u64;
        assert_eq!(index.covered(), 5 * size);
        let [first, third, fifth] =
            [0, 2, 4].map(|n: u64| Place { position: n * size, offset: 50 + n as i64 });
        assert_eq!(index.before_offset(50), first);
        assert_eq!(index.before_offset(51), first);
        assert_eq!(index.before_offset(52), third);
        assert_eq!(index.before_time(30), first);
        assert_eq!(index.before_time(31), third);
        assert_eq!(index.before_time(99), fifth);
        assert_eq!(index.max_timestamp_before(54), (30, third));
        assert_eq!(index.places().collect::<Vec<_>>(), [first, third, fifth]);
    }

    #[test]
    fn a_stored_index_is_equal_and_any_flipped_bit_is_noticed() {
        let index = sample();
        let bytes = index.encode();
        assert_eq!(Index::decode(&bytes, 50), Some(index));
        assert_eq!(Index::decode(&bytes, 51), None);
        for place in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[place] ^= 1;
            assert_eq!(Index::decode(&bad, 50), None);
            assert_eq!(Index::decode(&bytes[..place], 50), None);
        }
    }
}
