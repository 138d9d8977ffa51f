//! Random operations on the real engine, next to a model that is a list of batches. After each of them, every question
//! that a reader can ask must have the model's answer, on a real directory as in memory.

mod support;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use quipu_protocol::record::BatchBuilder;
use quipu_storage::compress::{Codec, compress};
use quipu_storage::disk::{DirectoryDisk, Disk, MemoryDisk};
use quipu_storage::retain::Policy;
use quipu_storage::{
    Appender, CheckedBatch, DeleteError, LogConfig, Origin, ReadError, Reader, TimestampType, open,
};

#[derive(Clone, Debug)]
enum Operation {
    Append {
        stamps: Vec<i64>,
        value_bytes: usize,
        codec: u8,
    },
    Read {
        from: u16,
        max_bytes: usize,
        upto: u16,
        at_least_one: bool,
    },
    FindTime {
        timestamp: i64,
        upto: u16,
    },
    FindMax {
        upto: u16,
    },
    Roll,
    Chores,
    /// As after a clean stop.
    Close,
    /// As after `kill -9`.
    Crash,
    DeletePrefix {
        to: u16,
    },
    Retain {
        keep_bytes: u64,
    },
}

/// Offsets are drawn from a fixed range and brought into the log's, a bit beyond both of its ends.
fn offset(drawn: u16, model: &Model) -> i64 {
    let span = model.end - model.start + 5;
    model.start - 2 + i64::from(drawn) % span
}

fn operation() -> impl Strategy<Value = Operation> {
    let stamps = prop::collection::vec(0i64..1_000, 1..6);
    prop_oneof![
        8 => (stamps, 0usize..300, 0u8..5)
            .prop_map(|(stamps, value_bytes, codec)| Operation::Append { stamps, value_bytes, codec }),
        6 => (any::<u16>(), 0usize..3_000, any::<u16>(), any::<bool>()).prop_map(
            |(from, max_bytes, upto, at_least_one)| Operation::Read { from, max_bytes, upto, at_least_one }
        ),
        4 => (-1i64..1_010, any::<u16>()).prop_map(|(timestamp, upto)| Operation::FindTime { timestamp, upto }),
        2 => any::<u16>().prop_map(|upto| Operation::FindMax { upto }),
        1 => Just(Operation::Roll),
        1 => Just(Operation::Chores),
        1 => Just(Operation::Close),
        1 => Just(Operation::Crash),
        1 => any::<u16>().prop_map(|to| Operation::DeletePrefix { to }),
        1 => (0u64..6_000).prop_map(|keep_bytes| Operation::Retain { keep_bytes }),
    ]
}

#[derive(Clone, Debug)]
struct Batch {
    base: i64,
    stamps: Vec<i64>,
    /// As stored, from the CRC on: what lies before is the broker's.
    tail: Vec<u8>,
}

impl Batch {
    fn last(&self) -> i64 {
        self.base + self.stamps.len() as i64 - 1
    }

    fn size(&self) -> usize {
        self.tail.len() + 17
    }
}

#[derive(Default)]
struct Model {
    batches: Vec<Batch>,
    start: i64,
    end: i64,
}

impl Model {
    fn records(&self, upto: i64) -> impl Iterator<Item = (i64, i64)> {
        let all = self.batches.iter().flat_map(|batch| (batch.base..).zip(batch.stamps.iter().copied()));
        all.filter(move |(offset, _)| *offset >= self.start && *offset < upto)
    }

    fn read(&self, from: i64, max_bytes: usize, upto: i64, at_least_one: bool) -> Vec<&Batch> {
        let mut out: Vec<&Batch> = Vec::new();
        let mut size = 0;
        for batch in self.batches.iter().filter(|batch| from < upto && batch.last() >= from) {
            let forced = at_least_one && out.is_empty();
            if batch.last() >= upto || (size + batch.size() > max_bytes && !forced) {
                break;
            }
            size += batch.size();
            out.push(batch);
        }
        out
    }
}

struct Run {
    disk: Arc<dyn Disk>,
    dir: std::path::PathBuf,
    config: LogConfig,
    now: i64,
    model: Model,
    log: Option<(Appender, Reader)>,
}

impl Run {
    fn new(disk: Arc<dyn Disk>, dir: &Path, timestamp_type: TimestampType) -> Self {
        let config = LogConfig { timestamp_type, ..support::small() };
        let mut run =
            Self { disk, dir: dir.to_owned(), config, now: 100, model: Model::default(), log: None };
        run.open();
        run
    }

    fn open(&mut self) {
        let log = open(Arc::clone(&self.disk), &self.dir, self.config.clone(), self.now);
        self.log = Some(log.unwrap());
    }

    fn appender(&mut self) -> &mut Appender {
        &mut self.log.as_mut().unwrap().0
    }

    fn reader(&self) -> &Reader {
        &self.log.as_ref().unwrap().1
    }

    fn step(&mut self, operation: &Operation) {
        self.now += 3;
        let now = self.now;
        match operation {
            Operation::Append { stamps, value_bytes, codec } => {
                let mut builder = BatchBuilder::new();
                for stamp in stamps {
                    builder.push(*stamp, Some(b"k"), Some(&vec![*stamp as u8; *value_bytes]), &[]);
                }
                let codec = Codec::from_number(*codec).unwrap();
                let bytes = builder
                    .finish_compressed(codec.number(), |records| compress(codec, None, records))
                    .unwrap();
                let (base, log_append_time) = (self.model.end, self.config.timestamp_type);
                let done = self
                    .appender()
                    .append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, now)
                    .unwrap();
                let mut stamps = stamps.clone();
                let expected_time = match log_append_time {
                    TimestampType::CreateTime => -1,
                    TimestampType::LogAppendTime => {
                        stamps.fill(now);
                        now
                    }
                };
                assert_eq!((done.base_offset, done.log_append_time_ms), (base, expected_time));
                assert!(!done.duplicate);
                let batch = Batch { base, stamps, tail: bytes[17..].to_vec() };
                assert_eq!(done.last_offset, batch.last());
                self.model.end = batch.last() + 1;
                self.model.batches.push(batch);
            }
            Operation::Read { from, max_bytes, upto, at_least_one } => {
                let (from, upto) = (offset(*from, &self.model), offset(*upto, &self.model));
                self.check_read(from, *max_bytes, upto, *at_least_one);
            }
            Operation::FindTime { timestamp, upto } => {
                let upto = offset(*upto, &self.model);
                let expected = self.model.records(upto).find(|(_, stamp)| stamp >= timestamp);
                assert_eq!(self.reader().offset_for_timestamp(*timestamp, upto).unwrap(), expected);
            }
            Operation::FindMax { upto } => {
                let upto = offset(*upto, &self.model);
                // The first of the greatest: `max_by_key` would give the last.
                let expected = self
                    .model
                    .records(upto)
                    .reduce(|best, record| if record.1 > best.1 { record } else { best });
                assert_eq!(self.reader().max_timestamp(upto).unwrap(), expected);
            }
            Operation::Roll => self.appender().roll().unwrap(),
            Operation::Chores => {
                self.appender().take_chores().into_iter().for_each(|chore| chore.run().unwrap())
            }
            Operation::Close => {
                let (appender, reader) = self.log.take().unwrap();
                appender.close().unwrap();
                drop(reader);
                self.open();
                assert_eq!(
                    self.appender().recovery().scanned_bytes,
                    0,
                    "a clean stop leaves nothing to scan"
                );
            }
            Operation::Crash => {
                self.log = None;
                self.open();
                assert_eq!(self.appender().recovery().cut_bytes, 0);
            }
            Operation::DeletePrefix { to } => {
                let to = offset(*to, &self.model);
                let result = self.appender().delete_prefix(to);
                if to > self.model.end {
                    assert!(matches!(result, Err(DeleteError::OutOfRange { .. })));
                } else {
                    self.model.start = self.model.start.max(to);
                    assert_eq!(result.unwrap(), self.model.start);
                }
            }
            Operation::Retain { keep_bytes } => {
                let before = self.reader().size_bytes();
                let policy = Policy { keep_ms: None, keep_bytes: Some(*keep_bytes) };
                let end = self.model.end;
                let start = self.appender().retain(&policy, end, now).unwrap();
                assert!(start >= self.model.start && start <= end);
                assert!(self.reader().size_bytes() >= before.min(*keep_bytes));
                self.model.start = start;
            }
        }
        let (start, end) = (self.model.start, self.model.end);
        assert_eq!((self.reader().log_start_offset(), self.reader().end_offset()), (start, end));
        self.model.batches.retain(|batch| batch.last() >= start);
    }

    fn check_read(&self, from: i64, max_bytes: usize, upto: i64, at_least_one: bool) {
        let (start, end) = (self.model.start, self.model.end);
        let read = self.reader().read(from, max_bytes, upto, at_least_one);
        if from < start || from > end {
            let Err(ReadError::OutOfRange { log_start_offset, end_offset }) = read else {
                panic!("{read:?}")
            };
            assert_eq!((log_start_offset, end_offset), (start, end));
            return;
        }
        let read = read.unwrap();
        let expected = self.model.read(from, max_bytes, upto.min(end), at_least_one);
        assert_eq!(read.batches().count(), expected.len());
        for (found, expected) in read.batches().zip(&expected) {
            assert_eq!(found.header().base_offset, expected.base);
            assert_eq!(found.computed_crc(), found.header().crc);
            if self.config.timestamp_type == TimestampType::CreateTime {
                assert_eq!(found.bytes()[17..], expected.tail);
            } else {
                assert!(found.header().attributes.is_log_append_time());
                assert_eq!(found.header().max_timestamp, expected.stamps[0]);
                assert_eq!(found.payload(), &expected.tail[61 - 17..]);
            }
        }
        assert_eq!(read.size_bytes, expected.iter().map(|batch| batch.size()).sum::<usize>());
        assert_eq!(read.next_offset, expected.last().map_or(from, |batch| batch.last() + 1));
    }

    /// Everything, byte for byte, then all of it again after a clean stop.
    fn finish(mut self) {
        for round in 0..2 {
            let (start, end) = (self.model.start, self.model.end);
            self.check_read(start, usize::MAX, end, true);
            for from in start..=end {
                self.check_read(from, 700, end, true);
            }
            if round == 0 {
                self.step(&Operation::Close);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_log_answers_like_a_list(
        operations in prop::collection::vec(operation(), 1..80),
        log_append_time: bool,
    ) {
        let timestamp_type =
            if log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let dir = tempfile::tempdir().unwrap();
        let disks: [(Arc<dyn Disk>, &Path); 2] =
            [(Arc::new(MemoryDisk::new()), Path::new("/log")), (Arc::new(DirectoryDisk::new()), dir.path())];
        for (disk, dir) in disks {
            let mut run = Run::new(disk, dir, timestamp_type);
            for operation in &operations {
                run.step(operation);
            }
            run.finish();
        }
    }
}
