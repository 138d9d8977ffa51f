//! Compaction, the pure part: which record of a key is the newest, and what is left of a batch.
//!
//! Offsets never change, and the offsets of a segment stay without a gap: where whole batches go, an empty batch without
//! a producer (a *filler*) stands for their range. So a log that was compacted is checked after a crash like any other.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use quipu_protocol::record::{
    Attributes, BATCH_HEADER_BYTES, BATCH_OVERHEAD_BYTES, BatchHeader, BatchView, RecordView, Records,
    crc32c, position, read_varint, write_varint, write_varlong,
};

use crate::compress::{Codec, compress, expansion_limit};
use crate::record::{OpenBatch, RecordsError};
use crate::types::{Millis, NO_TIMESTAMP, Offset, ProducerId};

/// What a compacted topic keeps. Kafka's topic keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Records younger than this are left alone (`min.compaction.lag.ms`); 0 leaves none alone, not even those with a
    /// time that is yet to come.
    pub min_lag_ms: Millis,
    /// Records older than this are compacted however little there is to gain (`max.compaction.lag.ms`).
    pub max_lag_ms: Millis,
    /// A round is worth it if more than this share of bytes was never compacted (`min.cleanable.dirty.ratio`, 0 to 1).
    pub min_dirty_ratio: f64,
    /// How long a tombstone stays after the first round that could have dropped it, and a transaction's marker after the
    /// first round that met nothing else of it (`delete.retention.ms`).
    pub delete_retention_ms: Millis,
    /// Memory for the newest offset of each key (`log.cleaner.dedupe.buffer.size`). With more keys than fit, a round
    /// covers less of the log.
    pub map_bytes: usize,
}

/// The newest offset of each key of a stretch of log. Keys are known by 128 bits of keyed hash, as Kafka knows them by
/// their MD5: nobody can choose two that collide, and none do by chance.
#[derive(Debug)]
pub(crate) struct KeyMap {
    newest: HashMap<u128, Offset>,
    hashers: (RandomState, RandomState),
    limit: usize,
}

/// What a map entry takes, room for growth included.
const ENTRY_BYTES: usize = 64;

impl KeyMap {
    pub(crate) fn new(map_bytes: usize) -> Self {
        let limit = (map_bytes / ENTRY_BYTES).max(1_024);
        Self { newest: HashMap::new(), hashers: Default::default(), limit }
    }

    fn hash(&self, key: &[u8]) -> u128 {
        u128::from(self.hashers.0.hash_one(key)) << 64 | u128::from(self.hashers.1.hash_one(key))
    }

    /// Notes that `key` stands at `offset`, which is above all offsets before. False when there is no room, unless it
    /// `must` be noted.
    pub(crate) fn insert(&mut self, key: &[u8], offset: Offset, must: bool) -> bool {
        let hash = self.hash(key);
        if !must && self.newest.len() >= self.limit && !self.newest.contains_key(&hash) {
            return false;
        }
        self.newest.insert(hash, offset);
        true
    }

    /// Whether a newer record of `key` is known than the one at `offset`.
    pub(crate) fn has_newer(&self, key: &[u8], offset: Offset) -> bool {
        self.newest.get(&self.hash(key)).is_some_and(|newest| {
            if crate::planted::planted("compaction-drops-newest") {
                *newest >= offset
            } else {
                *newest > offset
            }
        })
    }
}

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of it.
    Whole,
    /// Some records, in a batch of the same offsets.
    Some(Vec<u8>),
    /// No record.
    Nothing,
}

/// Keeps the records for which `keep` holds, byte for byte.
pub(crate) fn filter(
    batch: &BatchView<'_>,
    mut keep: impl FnMut(&RecordView<'_>, Offset) -> bool,
) -> Result<Left, RecordsError> {
    let header = *batch.header();
    let open = OpenBatch::new(batch, expansion_limit(batch.payload().len()))?;
    let mut left = Vec::new();
    let (mut count, mut max_timestamp) = (0, NO_TIMESTAMP);
    let mut rest = open.bytes();
    for record in open.records() {
        let record = record?;
        // The walk has just found it well-formed: its length, then as many bytes.
        let start = rest;
        let length = read_varint(&mut rest)? as usize;
        rest = rest.get(length..).unwrap_or_default();
        if keep(&record, open.offset(&record)) {
            left.extend_from_slice(&start[..start.len() - rest.len()]);
            max_timestamp = max_timestamp.max(open.timestamp(&record));
            count += 1;
        }
    }
    if count == header.records_count {
        return Ok(Left::Whole);
    }
    if count == 0 {
        return Ok(Left::Nothing);
    }
    let codec = Codec::from_number(header.attributes.codec()).unwrap_or_default();
    let level = None;
    let payload = match codec {
        Codec::None => left,
        codec => compress(codec, level, &left).map_err(|error| RecordsError::Decompress(error.into()))?,
    };
    Ok(Left::Some(encode(BatchHeader { records_count: count, max_timestamp, ..header }, &payload)))
}

/// The batch without its records: its offsets, its producer and its sequences stay known (I9).
pub(crate) fn emptied(header: &BatchHeader) -> Vec<u8> {
    let attributes = header.attributes.with_codec(Codec::None.number());
    encode(BatchHeader { records_count: 0, max_timestamp: NO_TIMESTAMP, attributes, ..*header }, &[])
}

/// Attribute bit of a batch whose base timestamp is the time from which on it may go (KIP-534).
const DELETE_HORIZON: i16 = 0x40;

/// A transaction marker that has nothing to end any more, with the time from which on it may go. As in Kafka, that time
/// takes the place of the base timestamp, and the record's own is told relative to it.
pub(crate) fn with_delete_horizon(batch: &BatchView<'_>, horizon: Millis) -> Result<Vec<u8>, RecordsError> {
    let header = *batch.header();
    let mut payload = Vec::new();
    for record in Records::new(batch.payload(), header.records_count) {
        let record = record?;
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        let mut body = vec![0];
        write_varlong(&mut body, timestamp.wrapping_sub(horizon));
        write_varint(&mut body, record.offset_delta);
        for part in [record.key, record.value] {
            write_varint(&mut body, part.map_or(-1, |part| part.len() as i32));
            body.extend_from_slice(part.unwrap_or_default());
        }
        // Markers have no headers.
        write_varint(&mut body, 0);
        write_varint(&mut payload, body.len() as i32);
        payload.extend_from_slice(&body);
    }
    let attributes = Attributes(header.attributes.0 | DELETE_HORIZON);
    Ok(encode(BatchHeader { attributes, base_timestamp: horizon, ..header }, &payload))
}

/// Which markers still end something: what a pass over the log, from its start, has met of each producer's transaction
/// under way.
#[derive(Debug, Default)]
pub(crate) struct Transactions(HashSet<ProducerId>);

impl Transactions {
    /// Whether the batch is a marker of whose transaction no batch is left. Call it for every batch, in order.
    pub(crate) fn ends_nothing(&mut self, header: &BatchHeader) -> bool {
        if !header.attributes.is_transactional() {
            return false;
        }
        if header.attributes.is_control() {
            return !self.0.remove(&header.producer_id);
        }
        // A batch without records counts: it is what its producer is known by, and a restart replays it.
        self.0.insert(header.producer_id);
        false
    }
}

/// An empty batch that stands for the offsets from `first` to `last`.
pub(crate) fn filler(first: Offset, last: Offset, leader_epoch: i32) -> Vec<u8> {
    let header = BatchHeader {
        base_offset: first,
        batch_length: 0,
        partition_leader_epoch: leader_epoch,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: (last - first) as i32,
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: NO_TIMESTAMP,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: 0,
    };
    encode(header, &[])
}

fn encode(mut header: BatchHeader, payload: &[u8]) -> Vec<u8> {
    // Not larger than what it comes from, which had a length.
    header.batch_length = (BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES + payload.len()) as i32;
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&header.to_bytes());
    bytes.extend_from_slice(payload);
    let sum = crc32c(&bytes[position::ATTRIBUTES..]);
    bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use quipu_protocol::record::{BatchBuilder, Header};

    fn batch(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new().base_offset(100).producer(7, 1, 40);
        for n in 0..10i64 {
            let headers = [Header { key: b"h", value: Some(b"a") }, Header { key: b"h", value: Some(b"b") }];
            builder.push(1_000 + n, Some(format!("k{n}").as_bytes()), Some(&[b'v'; 50]), &headers);
        }
        let bytes = builder.finish();
        match codec {
            Codec::None => bytes,
            codec => {
                let mut bytes = bytes;
                bytes[..8].copy_from_slice(&0i64.to_be_bytes());
                let mut bytes = crate::CheckedBatch::check(&bytes).unwrap().recompress(codec, None).unwrap();
                bytes[..8].copy_from_slice(&100i64.to_be_bytes());
                bytes
            }
        }
    }

    #[test]
    fn what_stays_stays_as_it_was_in_every_codec() {
        for codec in Codec::ALL {
            let bytes = batch(codec);
            let view = BatchView::parse(&bytes).unwrap();
            let Left::Some(left) = filter(&view, |_, offset| offset % 3 == 0).unwrap() else {
                panic!("{codec:?}")
            };
            let view = BatchView::parse(&left).unwrap();
            let header = view.header();
            assert_eq!(view.computed_crc(), header.crc);
            assert_eq!((header.base_offset, header.last_offset(), header.records_count), (100, 109, 3));
            assert_eq!((header.producer_id, header.base_sequence, header.max_timestamp), (7, 40, 1_008));
            let open = OpenBatch::new(&view, 1 << 20).unwrap();
            let offsets: Vec<_> = open.records().map(|record| open.offset(&record.unwrap())).collect();
            assert_eq!(offsets, [102, 105, 108]);
            let first = open.records().next().unwrap().unwrap();
            assert_eq!(
                (first.key, first.headers().count()),
                (Some(&b"k2"[..]), 2),
                "duplicate headers are kept"
            );
            assert_eq!(open.timestamp(&first), 1_002);
        }
    }

    #[test]
    fn all_or_nothing_is_told() {
        let bytes = batch(Codec::None);
        let view = BatchView::parse(&bytes).unwrap();
        assert_eq!(filter(&view, |_, _| true).unwrap(), Left::Whole);
        assert_eq!(filter(&view, |_, _| false).unwrap(), Left::Nothing);
    }

    #[test]
    fn empty_batches_are_valid_batches() {
        let bytes = batch(Codec::Zstd);
        let header = *BatchView::parse(&bytes).unwrap().header();
        for empty in [emptied(&header), filler(100, 109, 0)] {
            let view = BatchView::parse(&empty).unwrap();
            assert_eq!(view.computed_crc(), view.header().crc);
            assert_eq!((view.header().base_offset, view.header().last_offset()), (100, 109));
            assert_eq!(Records::new(view.payload(), 0).count(), 0);
        }
        assert_eq!(
            BatchView::parse(&emptied(&header)).unwrap().header().last_sequence(),
            header.last_sequence()
        );
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = KeyMap::new(0);
        for n in 0..1_024i64 {
            assert!(map.insert(&n.to_be_bytes(), n, false));
        }
        assert!(!map.insert(b"new", 2_000, false));
        assert!(map.insert(&5i64.to_be_bytes(), 2_000, false));
        assert!(map.has_newer(&5i64.to_be_bytes(), 5));
        assert!(!map.has_newer(b"new", 0));
        assert!(map.insert(b"new", 2_000, true));
        assert!(map.has_newer(b"new", 0));
    }
}
