//! What must be true of a log, kept as a list of batches.

use std::collections::{BTreeMap, BTreeSet};

use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::record::OpenBatch;
use quipu_storage::{Appender, CheckedBatch, Origin, Reader};

/// How long a tombstone stays.
pub const TOMBSTONE_MS: i64 = 400;

/// Who wrote a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Plain,
    Idempotent { producer_id: i64, sequence: i32 },
    Transaction { producer_id: i64, sequence: i32 },
    Marker { producer_id: i64, is_commit: bool },
}

impl Source {
    pub fn data_of(self) -> Option<(i64, i32)> {
        match self {
            Self::Idempotent { producer_id, sequence } | Self::Transaction { producer_id, sequence } => {
                Some((producer_id, sequence))
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub base: i64,
    pub records: Vec<(String, Option<String>)>,
    pub at: i64,
    pub source: Source,
}

impl Batch {
    pub fn last(&self) -> i64 {
        self.base + self.records.len() as i64 - 1
    }

    /// As a producer sends it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        if let Some((producer_id, sequence)) = self.source.data_of() {
            builder = builder.producer(producer_id, 0, sequence);
        }
        if matches!(self.source, Source::Transaction { .. }) {
            builder = builder.attributes(Attributes::default().with_transactional(true));
        }
        for (key, value) in &self.records {
            builder.push(self.at, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[]);
        }
        builder.finish()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub batches: Vec<Batch>,
    pub end: i64,
    /// Below this everything was said to be durable.
    pub acked: i64,
    /// The log start is not below the first and not above the second.
    pub start: (i64, i64),
    /// Below this, compaction may have dropped what is superseded.
    pub compacted: i64,
    /// A batch whose write failed. All of it may have reached the disk: the end of a batch can be zeros.
    pub maybe: Option<Batch>,
}

struct Read {
    batches: Vec<(i64, i64)>,
    records: BTreeMap<i64, (String, Option<String>)>,
    /// Offsets of transactions' ends.
    markers: BTreeSet<i64>,
}

fn read_all(reader: &Reader) -> Read {
    let mut read = Read { batches: Vec::new(), records: BTreeMap::new(), markers: BTreeSet::new() };
    let (start, end) = (reader.log_start_offset(), reader.end_offset());
    let mut next = start;
    while next < end {
        let slices = reader.read(next, 700, end, true).expect("reads");
        assert!(slices.next_offset > next, "nothing at offset {next} of {end}");
        for batch in slices.batches() {
            let header = *batch.header();
            assert_eq!(batch.computed_crc(), header.crc, "sum of the batch at {}", header.base_offset);
            assert!(
                header.base_offset == next || read.batches.is_empty() && header.base_offset < next,
                "offset {next} is followed by {}",
                header.base_offset
            );
            read.batches.push((header.base_offset, header.last_offset()));
            if header.attributes.is_control() {
                read.markers.insert(header.base_offset);
            }
            let open = OpenBatch::new(&batch, 1 << 20).unwrap();
            for record in open.records().filter(|_| !header.attributes.is_control()) {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let seen = (text(record.key.unwrap()), record.value.map(text));
                read.records.insert(open.offset(&record), seen);
            }
            next = header.last_offset() + 1;
        }
    }
    read
}

impl Model {
    pub fn push(&mut self, batch: Batch) {
        assert_eq!(batch.base, self.end);
        self.end = batch.last() + 1;
        self.batches.push(batch);
    }

    pub fn batches_of(&self, producer: i64) -> impl DoubleEndedIterator<Item = &Batch> {
        let is_of = move |batch: &&Batch| batch.source.data_of().is_some_and(|(id, _)| id == producer);
        self.batches.iter().filter(is_of)
    }

    pub fn next_sequence(&self, producer: i64) -> i32 {
        let last = self.batches_of(producer).next_back();
        last.map_or(0, |batch| {
            batch.source.data_of().map_or(0, |(_, first)| first + batch.records.len() as i32)
        })
    }

    /// First offset of the producer's open transaction.
    pub fn open_transaction(&self, producer: i64) -> Option<i64> {
        let mut open = None;
        for batch in &self.batches {
            match batch.source {
                Source::Transaction { producer_id, .. } if producer_id == producer => {
                    open.get_or_insert(batch.base);
                }
                Source::Marker { producer_id, .. } if producer_id == producer => open = None,
                _ => {}
            }
        }
        open
    }

    /// First offset and marker of each aborted transaction.
    fn aborted(&self) -> Vec<(i64, i64, i64)> {
        let mut open = BTreeMap::new();
        let mut aborted = Vec::new();
        for batch in &self.batches {
            match batch.source {
                Source::Transaction { producer_id, .. } => {
                    open.entry(producer_id).or_insert(batch.base);
                }
                Source::Marker { producer_id, is_commit } => {
                    if let Some(first) = open.remove(&producer_id)
                        && !is_commit
                    {
                        aborted.push((producer_id, first, batch.base));
                    }
                }
                _ => {}
            }
        }
        aborted
    }

    /// What the log says of itself while it is in use.
    pub fn note(&mut self, reader: &Reader) {
        self.acked = self.acked.max(reader.durable_offset());
        assert!(self.acked <= self.end, "durable {} beyond the end {}", self.acked, self.end);
        assert!(reader.end_offset() == self.end, "end {} is not {}", reader.end_offset(), self.end);
    }

    /// Takes over how much survived a crash; `false` for `crashed` means that everything did.
    pub fn settle(&mut self, reader: &Reader, crashed: bool) {
        let (start, end) = (reader.log_start_offset(), reader.end_offset());
        assert!(end >= self.acked, "L1: the log ends at {end}, acknowledged was {}", self.acked);
        if let Some(batch) = self.maybe.take()
            && end > self.end
        {
            self.push(batch);
        }
        assert!(end <= self.end && (crashed || end == self.end), "end {end} of {}", self.end);
        assert!((self.start.0..=self.start.1).contains(&start), "L7: start {start}, not in {:?}", self.start);
        self.batches.retain(|batch| batch.base < end);
        assert!(self.batches.iter().all(|batch| batch.last() < end), "half a batch at {end}");
        (self.end, self.start) = (end, (start, start));
    }

    /// Holds everything that can be read against what was written.
    pub fn check(&self, appender: &mut Appender, reader: &Reader, now: i64) {
        let (start, end) = (reader.log_start_offset(), reader.end_offset());
        assert_eq!(end, self.end);
        let found = read_all(reader);
        let aborted = self.aborted();
        let is_aborted = |batch: &Batch, offset: i64| {
            let producer = match batch.source {
                Source::Transaction { producer_id, .. } => producer_id,
                _ => return false,
            };
            aborted.iter().any(|(id, first, last)| *id == producer && (*first..=*last).contains(&offset))
        };
        let mut newest: BTreeMap<&str, (i64, &Option<String>, i64)> = BTreeMap::new();
        let mut written = 0;
        for batch in self.batches.iter().filter(|batch| !matches!(batch.source, Source::Marker { .. })) {
            for (offset, (key, value)) in (batch.base..).zip(&batch.records) {
                match found.records.get(&offset) {
                    Some(seen) => {
                        assert_eq!(seen, &(key.clone(), value.clone()), "L2: another record at {offset}");
                        written += 1;
                    }
                    None => assert!(offset < start.max(self.compacted), "L1: the record at {offset} is gone"),
                }
                if offset >= start && !is_aborted(batch, offset) {
                    newest.insert(key, (offset, value, batch.at));
                }
            }
        }
        assert_eq!(written, found.records.len(), "records that nobody wrote");
        let mut last_seen: BTreeMap<&str, i64> = BTreeMap::new();
        for (offset, (key, _)) in found.records.range(start..) {
            let batch = &self.batches[self.batches.partition_point(|batch| batch.last() < *offset)];
            if !is_aborted(batch, *offset) {
                last_seen.insert(key, *offset);
            }
        }
        for (key, (offset, value, at)) in newest {
            match last_seen.get(key) {
                Some(seen) => assert_eq!(*seen, offset, "C1: the newest record of {key}"),
                None if value.is_some() => panic!("C1: {key} at {offset} is gone"),
                None => assert!(now - at >= TOMBSTONE_MS, "C1: the tombstone of {key} is gone too early"),
            }
        }
        // Every batch is found by its offset, and times as well as offsets lead there.
        for &(base, last) in found.batches.iter().filter(|batch| batch.0 >= start) {
            let read = reader.read(last, 1, end, true).unwrap();
            let first = read.batches().next().map(|batch| batch.header().base_offset);
            assert_eq!(first, Some(base), "the batch that holds {last}");
        }
        if self.compacted <= start {
            for at in self.batches.iter().map(|batch| batch.at) {
                let wanted = self.batches.iter().find(|batch| batch.last() >= start && batch.at >= at);
                let wanted = wanted.map(|batch| (batch.base.max(start), batch.at));
                assert_eq!(reader.offset_for_timestamp(at, end).unwrap(), wanted, "time {at}");
            }
        }
        self.check_transactions(reader, &aborted, start, &found);
        self.check_producers(appender, start);
    }

    fn check_transactions(&self, reader: &Reader, aborted: &[(i64, i64, i64)], start: i64, found: &Read) {
        // Compaction takes a marker away when nothing is left that it ends; nobody has to be told of it any more.
        let is_gone = |marker: i64| marker < self.compacted && !found.markers.contains(&marker);
        for (producer, first, marker) in aborted.iter().filter(|(.., marker)| is_gone(*marker)) {
            let is_of = |source| matches!(source, Source::Transaction { producer_id, .. } if producer_id == *producer);
            let left = self.batches.iter().filter(|batch| batch.base < *marker && is_of(batch.source)).any(
                |batch| {
                    batch.base >= *first && found.records.range(batch.base..=batch.last()).next().is_some()
                },
            );
            assert!(
                !left || *marker < start,
                "C4: aborted records are left without their marker at {marker}"
            );
        }
        // What lies below the log start may be forgotten in part (I4).
        let open: Vec<_> =
            [11, 12].into_iter().filter_map(|producer| self.open_transaction(producer)).collect();
        if open.iter().all(|first| *first >= start) {
            let stable = open.into_iter().min().unwrap_or(self.end);
            assert_eq!(reader.last_stable_offset(self.end), stable, "T8: last stable offset");
        }
        let listed = reader.aborted(start, self.end).unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|aborted| (aborted.producer_id, aborted.first_offset, aborted.last_offset))
            .filter(|(_, _, marker)| !aborted.iter().any(|(_, first, last)| last == marker && *first < start))
            .filter(|(_, _, marker)| !is_gone(*marker))
            .collect();
        let wanted: Vec<_> = aborted
            .iter()
            .filter(|(_, first, marker)| *first >= start && !is_gone(*marker))
            .copied()
            .collect();
        assert_eq!(listed, wanted, "T9: aborted transactions");
    }

    /// I1, I5: each of a producer's last five batches is known when it is sent again.
    fn check_producers(&self, appender: &mut Appender, start: i64) {
        if appender.fenced().is_some() {
            return;
        }
        for producer in [1, 2, 3, 11, 12] {
            if let Some(last) = self.batches_of(producer).next_back().filter(|batch| batch.base >= start) {
                let (_, first) = last.source.data_of().unwrap_or_default();
                let source = Source::Idempotent { producer_id: producer, sequence: first + 50 };
                let bytes = Batch { source, ..last.clone() }.bytes();
                let gap = appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, 0);
                assert!(gap.is_err(), "I2: a gap in the sequence of {producer} was taken");
            }

            for batch in self.batches_of(producer).rev().take(5).filter(|batch| batch.base >= start) {
                let bytes = batch.bytes();
                let again = appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, 0);
                let again = again.unwrap_or_else(|error| panic!("I1: retry of {batch:?}: {error:?}"));
                assert!(again.duplicate, "I1: {batch:?} was stored twice");
                assert_eq!((again.base_offset, again.last_offset), (batch.base, batch.last()), "I1: offsets");
            }
        }
    }
}
