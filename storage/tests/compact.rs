//! Compaction held against a model: what a reader of a compacted log must still find (C1–C6).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::compact::Policy;
use quipu_storage::compress::Codec;
use quipu_storage::disk::{Disk, MemoryDisk};
use quipu_storage::record::OpenBatch;
use quipu_storage::retain;
use quipu_storage::{Appender, CheckedBatch, LogConfig, Marker, Origin, Reader, open};

const EAGER: Policy = Policy {
    min_lag_ms: 0,
    max_lag_ms: i64::MAX,
    min_dirty_ratio: 0.0,
    delete_retention_ms: 100,
    map_bytes: 1 << 20,
};

/// Offset, key, value.
type Seen = (i64, String, Option<String>);

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2_000, ..LogConfig::default() }
}

fn append(
    appender: &mut Appender,
    records: &[(u8, bool)],
    codec: Codec,
    next: &mut u32,
    now: i64,
) -> Vec<Seen> {
    let mut batch = BatchBuilder::new();
    let mut wrote = Vec::new();
    for (key, is_tombstone) in records {
        let key = format!("k{key}");
        let value = (!is_tombstone).then(|| format!("value {next} {}", "x".repeat(40)));
        *next += 1;
        batch.push(now, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[]);
        wrote.push((0, key, value));
    }
    let mut bytes = batch.finish();
    if codec != Codec::None {
        bytes = CheckedBatch::check(&bytes).unwrap().recompress(codec, None).unwrap();
    }
    let appended = appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, now).unwrap();
    for (offset, seen) in (appended.base_offset..).zip(&mut wrote) {
        seen.0 = offset;
    }
    wrote
}

fn chores(appender: &mut Appender) {
    for chore in appender.take_chores() {
        chore.run().unwrap();
    }
}

fn clean(appender: &mut Appender, reader: &Reader, policy: &Policy, now: i64) {
    chores(appender);
    appender.sync().unwrap();
    let upto = reader.end_offset();
    if let Some(round) = appender.plan_clean(policy, upto, now).unwrap() {
        round.run(|new| appender.replace(new)).unwrap();
    }
}

/// Everything that can be read, and that offsets have no gap.
fn read_all(reader: &Reader) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut next = reader.log_start_offset();
    while next < reader.end_offset() {
        let read = reader.read(next, 4_096, reader.end_offset(), true).unwrap();
        assert!(read.next_offset > next, "nothing at {next}");
        for batch in read.batches() {
            assert_eq!(batch.computed_crc(), batch.header().crc);
            assert!(batch.header().base_offset <= next, "a gap before {}", batch.header().base_offset);
            let open = OpenBatch::new(&batch, 1 << 20).unwrap();
            for record in open.records() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                seen.push((open.offset(&record), text(record.key.unwrap()), record.value.map(text)));
            }
            next = batch.header().last_offset() + 1;
        }
    }
    seen
}

fn newest(records: &[Seen]) -> BTreeMap<String, (i64, Option<String>)> {
    records.iter().map(|(offset, key, value)| (key.clone(), (*offset, value.clone()))).collect()
}

/// What must hold of a compacted log, whatever was dropped.
fn check(written: &[Seen], found: &[Seen]) {
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "order");
    for record in found {
        assert_eq!(written.get(record.0 as usize), Some(record), "a record changed");
    }
    let (wanted, got) = (newest(written), newest(found));
    for (key, (offset, value)) in wanted {
        match got.get(&key) {
            Some(newest) => assert_eq!(*newest, (offset, value), "{key}"),
            None => assert_eq!(value, None, "the newest value of {key} is gone"),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, bool)>, usize),
    Clean,
    /// Close and open again, or drop and open again.
    Reopen(bool),
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (0u8..8, prop::bool::weighted(0.2));
    let step = prop_oneof![
        8 => (prop::collection::vec(record, 1..6), 0usize..5).prop_map(|(records, codec)| Step::Append(records, codec)),
        2 => Just(Step::Clean),
        1 => any::<bool>().prop_map(Step::Reopen),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_compacted_log_has_the_newest_of_every_key(steps in steps(), small_map in any::<bool>()) {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let dir = Path::new("/log");
        // A map that is full after 1,024 keys never fills here; it is the floor that is tried, not the size.
        let policy = Policy { map_bytes: if small_map { 0 } else { EAGER.map_bytes }, ..EAGER };
        let (mut appender, mut reader) = open(Arc::clone(&disk), dir, config(), 0).unwrap();
        let (mut written, mut next, mut now) = (Vec::new(), 0, 1_000);
        for step in steps {
            match step {
                Step::Append(records, codec) => {
                    written.extend(append(&mut appender, &records, Codec::ALL[codec], &mut next, now));
                }
                Step::Clean => clean(&mut appender, &reader, &policy, now),
                Step::Reopen(is_clean) => {
                    if is_clean {
                        appender.close().unwrap();
                    } else {
                        drop(appender);
                    }
                    (appender, reader) = open(Arc::clone(&disk), dir, config(), now).unwrap();
                }
                Step::Wait => now += 70,
            }
            check(&written, &read_all(&reader));
            prop_assert_eq!(reader.end_offset(), written.len() as i64);
        }
        // Without any snapshot everything is scanned: a compacted log is whole then, too.
        drop(appender);
        for entry in disk.list(dir).unwrap().iter().filter(|entry| entry.name.ends_with(".snap")) {
            disk.remove_file(&dir.join(&entry.name)).unwrap();
        }
        let before = read_all(&reader);
        let (_appender, reader) = open(Arc::clone(&disk), dir, config(), now).unwrap();
        prop_assert_eq!(read_all(&reader), before);
    }
}

fn fill(appender: &mut Appender, rounds: u32, keys: u8, now: i64) -> Vec<Seen> {
    let mut next = 0;
    (0..rounds)
        .flat_map(|n| append(appender, &[((n % u32::from(keys)) as u8, false)], Codec::None, &mut next, now))
        .collect()
}

#[test]
fn c1_superseded_records_go_and_the_log_gets_small() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config(), 0).unwrap();
    let written = fill(&mut appender, 2_000, 5, 1_000);
    let before = reader.size_bytes();
    clean(&mut appender, &reader, &EAGER, 2_000);
    let found = read_all(&reader);
    check(&written, &found);
    assert!(found.len() < 100, "{} records are left", found.len());
    assert!(reader.size_bytes() < before / 10, "{before} bytes became {}", reader.size_bytes());
    // Readers that begin anywhere find what follows.
    for from in (0..2_000).step_by(37) {
        let read = reader.read(from, 1 << 20, reader.end_offset(), true).unwrap();
        assert!(read.next_offset > from);
    }
}

/// Words that repeat, but not in a row: of these, slow compression makes more than fast compression.
fn prose(seed: u64) -> String {
    let mut state = seed;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    (0..12).map(|_| format!("{:x} ", 0x1000_0000u64.wrapping_mul(below(300) + 7) % 0xffff_fffb)).collect()
}

/// What a producer has packed tighter than we do may take more room without one of its records.
#[test]
fn c1_what_was_superseded_goes_though_the_rest_takes_more_room() {
    let mut batch = BatchBuilder::new();
    for n in 0..400 {
        let key = if n == 200 { "gone".to_owned() } else { format!("stays {n}") };
        batch.push(1_000, Some(key.as_bytes()), Some(prose(n).as_bytes()), &[]);
    }
    let bytes = batch.finish();
    let tight = CheckedBatch::check(&bytes).unwrap().recompress(Codec::Zstd, Some(19)).unwrap();
    let ours = CheckedBatch::check(&bytes).unwrap().recompress(Codec::Zstd, None).unwrap();
    assert!(tight.len() + 100 < ours.len(), "{} and {} bytes: this shows nothing", tight.len(), ours.len());
    // A segment of its own.
    let config = LogConfig { segment_bytes: tight.len() as u64 + 10, ..LogConfig::default() };
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config, 0).unwrap();
    appender.append(&CheckedBatch::check(&tight).unwrap(), Origin::Producer, 1_000).unwrap();
    let mut tombstone = BatchBuilder::new();
    tombstone.push(1_000, Some(b"gone"), None, &[]);
    let tombstone = tombstone.finish();
    appender.append(&CheckedBatch::check(&tombstone).unwrap(), Origin::Producer, 1_000).unwrap();
    for now in [5_000, 5_200, 5_400] {
        fill(&mut appender, 300, 3, now);
        clean(&mut appender, &reader, &EAGER, now);
    }
    let found = read_all(&reader);
    assert!(!found.iter().any(|(_, key, _)| key == "gone"), "what was deleted is back");
    assert_eq!(found.iter().filter(|(_, key, _)| key.starts_with("stays")).count(), 399);
}

#[test]
fn c2_a_tombstone_stays_for_its_time_after_the_first_round_that_met_it() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config(), 0).unwrap();
    let mut next = 0;
    append(&mut appender, &[(0, false)], Codec::None, &mut next, 1_000);
    append(&mut appender, &[(0, true)], Codec::None, &mut next, 1_000);
    fill(&mut appender, 60, 3, 1_000);
    let has_tombstone = |reader: &Reader| read_all(reader).iter().any(|(_, _, value)| value.is_none());
    // The key 0 lives again in `fill`: take one that does not.
    append(&mut appender, &[(200, false), (200, true)], Codec::None, &mut next, 1_000);
    fill(&mut appender, 60, 3, 1_000);
    clean(&mut appender, &reader, &EAGER, 5_000);
    assert!(has_tombstone(&reader), "met for the first time");
    fill(&mut appender, 60, 3, 5_050);
    clean(&mut appender, &reader, &EAGER, 5_050);
    assert!(has_tombstone(&reader), "50 ms later");
    fill(&mut appender, 60, 3, 5_150);
    clean(&mut appender, &reader, &EAGER, 5_150);
    assert!(!has_tombstone(&reader), "150 ms later");
}

#[test]
fn c3_young_records_and_the_active_segment_are_left_alone() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config(), 0).unwrap();
    let written = fill(&mut appender, 200, 2, 1_000);
    let young = Policy { min_lag_ms: 10_000, ..EAGER };
    clean(&mut appender, &reader, &young, 2_000);
    assert_eq!(read_all(&reader), written);
    let lazy = Policy { min_dirty_ratio: 0.5, ..EAGER };
    clean(&mut appender, &reader, &lazy, 2_000);
    let after = read_all(&reader);
    assert!(after.len() < written.len());
    // Nothing new: not worth a round.
    chores(&mut appender);
    assert!(appender.plan_clean(&lazy, reader.end_offset(), 2_000).unwrap().is_none());
    // What is in the active segment is all there.
    assert_eq!(after.last(), written.last());
}

#[test]
fn c5_a_round_that_stops_anywhere_leaves_old_or_new() {
    for stop_after in 0..12 {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let dir = Path::new("/log");
        let (mut appender, reader) = open(Arc::clone(&disk), dir, config(), 0).unwrap();
        let written = fill(&mut appender, 400, 4, 1_000);
        chores(&mut appender);
        appender.sync().unwrap();
        let round = appender.plan_clean(&EAGER, reader.end_offset(), 2_000).unwrap().unwrap();
        let mut replaced = 0;
        let stopped = round.run(|new| {
            if replaced == stop_after {
                return Err(std::io::Error::other("stopped here"));
            }
            replaced += 1;
            appender.replace(new)
        });
        assert_eq!(stopped.is_err(), replaced == stop_after && stopped.is_err());
        check(&written, &read_all(&reader));
        drop(appender);
        let (mut appender, reader) = open(disk, dir, config(), 2_000).unwrap();
        check(&written, &read_all(&reader));
        clean(&mut appender, &reader, &EAGER, 2_000);
        check(&written, &read_all(&reader));
    }
}

#[test]
fn i9_a_producer_is_still_known_by_its_last_batch() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let dir = Path::new("/log");
    let (mut appender, reader) = open(Arc::clone(&disk), dir, config(), 0).unwrap();
    let idempotent = |sequence: i32| {
        let mut batch = BatchBuilder::new().producer(77, 0, sequence);
        batch.push(1_000, Some(b"k0"), Some(b"old"), &[]);
        batch.finish()
    };
    for sequence in 0..3 {
        let bytes = idempotent(sequence);
        appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, 1_000).unwrap();
    }
    fill(&mut appender, 200, 3, 1_000);
    clean(&mut appender, &reader, &EAGER, 2_000);
    drop(appender);
    for entry in disk.list(dir).unwrap().iter().filter(|entry| entry.name.ends_with(".snap")) {
        disk.remove_file(&dir.join(&entry.name)).unwrap();
    }
    let (mut appender, _) = open(disk, dir, config(), 2_000).unwrap();
    let skipped = idempotent(9);
    assert!(
        appender.append(&CheckedBatch::check(&skipped).unwrap(), Origin::Producer, 2_000).is_err(),
        "a gap in the sequence is still seen"
    );
    let next = idempotent(3);
    appender.append(&CheckedBatch::check(&next).unwrap(), Origin::Producer, 2_000).unwrap();
}

/// A transaction of one record with each of `keys`, and its end.
fn transact(appender: &mut Appender, producer_id: i64, sequence: i32, keys: &[&str], is_commit: bool) {
    for (sequence, key) in (sequence..).zip(keys) {
        let mut batch = BatchBuilder::new()
            .producer(producer_id, 0, sequence)
            .attributes(Attributes::default().with_transactional(true));
        batch.push(1_000, Some(key.as_bytes()), Some(b"of a transaction"), &[]);
        let batch = batch.finish();
        let checked = CheckedBatch::check(&batch).unwrap();
        appender.append(&checked, Origin::Transaction, 1_000).unwrap();
    }
    let marker =
        Marker { producer_id, producer_epoch: 0, is_commit, coordinator_epoch: 3, has_own_epoch: false };
    appender.end_transaction(&marker, true, 1_000).unwrap();
}

/// Offsets of the markers that are there, and of those that have a time to go.
fn markers(reader: &Reader) -> (Vec<i64>, Vec<i64>) {
    let (mut all, mut leaving, mut next) = (Vec::new(), Vec::new(), 0);
    while next < reader.end_offset() {
        let read = reader.read(next, 4_096, reader.end_offset(), true).unwrap();
        for batch in read.batches().filter(|batch| batch.header().attributes.is_control()) {
            let header = batch.header();
            assert_eq!(batch.computed_crc(), header.crc);
            let marker = Marker::read(&batch).expect("still a marker");
            assert_eq!((marker.coordinator_epoch, header.max_timestamp), (3, 1_000));
            let open = OpenBatch::new(&batch, 1 << 20).unwrap();
            let record = open.records().next().unwrap().unwrap();
            assert_eq!(open.timestamp(&record), 1_000, "the record's own time stays");
            all.push(header.base_offset);
            if header.attributes.has_delete_horizon() {
                leaving.push(header.base_offset);
            }
        }
        next = read.next_offset;
    }
    (all, leaving)
}

#[test]
fn c4_a_marker_goes_once_nothing_of_its_transaction_was_left_for_the_delay() {
    for is_commit in [true, false] {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let dir = Path::new("/log");
        let (mut appender, reader) = open(Arc::clone(&disk), dir, config(), 0).unwrap();
        // Offsets 0 to 2, superseded below; its producer goes on, or its last batch would be kept.
        transact(&mut appender, 7, 0, &["k0", "k1"], is_commit);
        // Offsets 3 and 4: what is committed of it stays for ever.
        transact(&mut appender, 8, 0, &["stays"], true);
        transact(&mut appender, 8, 1, &["last"], true);
        fill(&mut appender, 60, 3, 1_000);
        transact(&mut appender, 7, 2, &["last of 7"], true);
        fill(&mut appender, 60, 3, 1_000);
        let (written, _) = markers(&reader);
        assert_eq!((written.len(), &written[..3]), (4, &[2, 4, 6][..]));
        // The first round takes the records away, the second meets a marker without them, and the third may drop it.
        clean(&mut appender, &reader, &EAGER, 5_000);
        assert_eq!(markers(&reader), (written.clone(), vec![]), "commit {is_commit}");
        fill(&mut appender, 60, 3, 1_000);
        clean(&mut appender, &reader, &EAGER, 5_010);
        assert_eq!(markers(&reader), (written.clone(), vec![2]));
        fill(&mut appender, 60, 3, 1_000);
        clean(&mut appender, &reader, &EAGER, 5_109);
        assert_eq!(markers(&reader), (written.clone(), vec![2]), "a millisecond too early");
        assert_eq!(reader.aborted(0, 3).unwrap().len(), usize::from(!is_commit));
        fill(&mut appender, 60, 3, 1_000);
        clean(&mut appender, &reader, &EAGER, 5_110);
        assert_eq!(markers(&reader), (written[1..].to_vec(), vec![]));
        assert_eq!(reader.aborted(0, 3).unwrap(), []);
        // A restart that has to read all of it again opens no transaction that nobody ends.
        drop(appender);
        for entry in disk.list(dir).unwrap().iter().filter(|entry| entry.name.ends_with(".snap")) {
            disk.remove_file(&dir.join(&entry.name)).unwrap();
        }
        let (_appender, reopened) = open(disk, dir, config(), 6_000).unwrap();
        assert_eq!(reopened.last_stable_offset(reopened.end_offset()), reopened.end_offset());
        assert_eq!(markers(&reopened), markers(&reader));
    }
}

#[test]
fn c3_only_the_active_segment_waits() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config(), 0).unwrap();
    fill(&mut appender, 200, 1, 1_000);
    appender.roll().unwrap();
    let sealed_upto = reader.end_offset();
    let written = fill(&mut appender, 3, 2, 1_000);
    clean(&mut appender, &reader, &EAGER, 2_000);
    let found = read_all(&reader);
    let sealed: Vec<_> = found.iter().filter(|record| record.0 < sealed_upto).collect();
    assert_eq!(sealed.len(), 1, "{sealed:?}");
    assert_eq!(found.len(), 1 + written.len());
}

#[test]
fn c3_a_record_is_compacted_when_the_oldest_has_waited_long_enough() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(disk, Path::new("/log"), config(), 0).unwrap();
    // One segment whose first record is old and whose others are young.
    let mut next = 0;
    append(&mut appender, &[(0, false)], Codec::None, &mut next, 1_000);
    append(&mut appender, &[(0, false), (0, false)], Codec::None, &mut next, 9_000);
    appender.roll().unwrap();
    append(&mut appender, &[(1, false)], Codec::None, &mut next, 9_000);
    chores(&mut appender);
    appender.sync().unwrap();
    let plan = |appender: &mut Appender, policy: Policy, now| {
        appender.plan_clean(&policy, reader.end_offset(), now).unwrap().is_some()
    };
    let never = Policy { min_dirty_ratio: 1.0, ..EAGER };
    assert!(!plan(&mut appender, never, 9_000), "a share of one is more than all of it");
    let within = Policy { max_lag_ms: 8_000, ..never };
    assert!(!plan(&mut appender, within, 9_000), "not longer than allowed");
    assert!(plan(&mut appender, within, 9_001));
    let young = Policy { min_lag_ms: 1, ..EAGER };
    assert!(!plan(&mut appender, young, 9_000), "its youngest record is too young");
    assert!(plan(&mut appender, young, 9_001));
    assert!(plan(&mut appender, EAGER, 0), "without a lag a time to come is no reason to wait");
}

#[test]
fn c6_more_keys_than_memory_take_more_rounds() {
    const KEYS: usize = 5_000;
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let log = LogConfig { segment_bytes: 20_000, ..LogConfig::default() };
    let (mut appender, reader) = open(disk, Path::new("/log"), log, 0).unwrap();
    for round in 0..2 {
        for keys in (0..KEYS).collect::<Vec<_>>().chunks(50) {
            let mut batch = BatchBuilder::new();
            for key in keys {
                batch.push(1_000, Some(&key.to_be_bytes()), Some(format!("{round}").as_bytes()), &[]);
            }
            let batch = batch.finish();
            appender.append(&CheckedBatch::check(&batch).unwrap(), Origin::Producer, 1_000).unwrap();
        }
    }
    appender.roll().unwrap();
    chores(&mut appender);
    appender.sync().unwrap();
    // Room for 1,024 keys, which is the floor.
    let small = Policy { map_bytes: 1, ..EAGER };
    let (mut rounds, mut covered) = (0, 0);
    while let Some(round) = appender.plan_clean(&small, reader.end_offset(), 2_000).unwrap() {
        let report = round.run(|new| appender.replace(new)).unwrap();
        assert!(report.covered_upto > covered, "stuck at {covered}");
        assert!(report.covered_upto - covered <= 1_024, "more keys than there is room for");
        covered = report.covered_upto;
        rounds += 1;
    }
    assert!(rounds >= 2 * KEYS / 1_024 && covered == 2 * KEYS as i64, "{rounds} rounds, up to {covered}");
    let mut records = 0;
    let mut next = 0;
    while next < reader.end_offset() {
        let read = reader.read(next, 1 << 20, reader.end_offset(), true).unwrap();
        records += read.batches().map(|batch| batch.header().records_count).sum::<i32>();
        next = read.next_offset;
    }
    assert_eq!(records, KEYS as i32, "each key once");
}

#[test]
fn r1_what_has_no_time_expires_by_that_of_its_file() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut appender, reader) = open(Arc::clone(&disk), Path::new("/log"), config(), 0).unwrap();
    for _ in 0..100 {
        let mut batch = BatchBuilder::new();
        batch.push(-1, None, Some(&[7; 100]), &[]);
        let batch = batch.finish();
        appender.append(&CheckedBatch::check(&batch).unwrap(), Origin::Producer, 0).unwrap();
    }
    let first = Path::new("/log").join(format!("{:020}.log", 0));
    let written_ms = disk.modified_ms(&first).unwrap().unwrap();
    let week = retain::Policy { keep_ms: Some(7 * 86_400_000), keep_bytes: None };
    let end = reader.end_offset();
    assert_eq!(appender.retain(&week, end, written_ms + 7 * 86_400_000).unwrap(), 0, "as old as allowed");
    assert_eq!(appender.retain(&week, end, written_ms + 8 * 86_400_000).unwrap(), end);
}
