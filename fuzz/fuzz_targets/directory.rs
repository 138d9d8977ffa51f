//! A log's directory made of what a fuzzer says, and what must hold of whatever is opened from it. Shared by the targets
//! that go through the engine's own door.
#![allow(dead_code)]

use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::{Disk, MemoryDisk, OpenMode};
use quipu_storage::{AppendError, Appender, CheckedBatch, LogConfig, Marker, Origin, Reader, open};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

pub const DIR: &str = "/log";

/// The files that a log may have, by number, with magic and version of those that carry a sum.
pub const KINDS: [(&str, &[u8]); 6] = [
    ("log", b""),
    ("idx", b"QIDX\0\x01"),
    ("snap", b"QSNP\0\x01"),
    ("start", b"QSTR\0\x01"),
    ("txn", b"QTXN\0\x01"),
    ("clean", b"QCLN\0\x01"),
];

pub fn config() -> LogConfig {
    LogConfig { segment_bytes: 4_096, index_interval_bytes: 100, max_producers: 50, ..LogConfig::default() }
}

/// A payload as a state file whose sum is right, so that its reader is reached.
pub fn with_sum(kind: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = KINDS[kind].1.to_vec();
    bytes.extend_from_slice(payload);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

/// Puts right the sums of the batches, as far as their lengths lead from one to the next.
pub fn put_sums_right(log: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = log.get(at + 8..at + 12) {
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let end = at + 12 + usize::try_from(length).unwrap_or(usize::MAX / 2);
        if length < 49 || end > log.len() {
            break;
        }
        let sum = quipu_protocol::record::crc32c(&log[at + 21..end]);
        log[at + 17..at + 21].copy_from_slice(&sum.to_be_bytes());
        at = end;
    }
}

pub fn put(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    let file = disk.open(&Path::new(DIR).join(name), OpenMode::Truncate).expect("memory is writable");
    file.write_at(&mut [IoSlice::new(bytes)], 0).expect("memory is writable");
}

pub fn empty() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new(DIR)).expect("memory is writable");
    disk
}

pub fn try_open(disk: &MemoryDisk) -> Option<(Appender, Reader)> {
    open(Arc::new(disk.clone()), Path::new(DIR), config(), 1_000).ok()
}

/// Reads everything there is, in every way there is; gives the number of batches. Errors are fine, and offsets that were
/// not asked for only where a file lied.
pub fn read_all(reader: &Reader, is_lied_to: bool) -> usize {
    let (start, end) = (reader.log_start_offset(), reader.end_offset());
    assert!(
        is_lied_to || start <= end && reader.durable_offset() <= end,
        "{start} {} {end}",
        reader.durable_offset()
    );
    let (mut next, mut batches) = (start, 0);
    while next < end {
        let Ok(read) = reader.read(next, 600, end, true) else { break };
        for batch in read.batches() {
            let header = batch.header();
            assert!(is_lied_to || header.last_offset() >= next && header.last_offset() < end);
            batches += 1;
        }
        assert!(is_lied_to || read.next_offset > next, "{} follows {next}", read.next_offset);
        if read.next_offset <= next {
            break;
        }
        next = read.next_offset;
    }
    for timestamp in [i64::MIN, 0, 1_000, 2_000, i64::MAX] {
        let _ = reader.offset_for_timestamp(timestamp, end);
    }
    let _ = reader.max_timestamp(end);
    let stable = reader.last_stable_offset(end);
    assert!(is_lied_to || stable <= end);
    let _ = reader.aborted(start, end);
    batches
}

/// Opens, reads, appends, closes and opens again.
pub fn live(disk: &MemoryDisk) {
    let Some((mut appender, reader)) = try_open(disk) else { return };
    let ends = (reader.log_start_offset(), reader.end_offset());
    let batches = read_all(&reader, false);
    // What a crash right after recovery would find is what recovery found.
    let found = appender.recovery().clone();
    let was_fenced = reader.fenced().is_some();
    drop((appender, reader));
    let Some((again, reader)) = try_open(disk) else { panic!("it opens once, and not again") };
    assert_eq!((reader.log_start_offset(), reader.end_offset()), ends, "after {found:?}");
    assert_eq!(reader.fenced().is_some(), was_fenced);
    if !was_fenced {
        assert_eq!(again.recovery().cut_bytes, 0, "what was cut is still there, after {found:?}");
    }
    appender = again;
    let mut batch = BatchBuilder::new();
    batch.push(1_500, Some(b"key"), Some(b"value"), &[]);
    let batch = batch.finish();
    let batch = CheckedBatch::check(&batch).expect("a good batch");
    match appender.append(&batch, Origin::Producer, 1_000) {
        Ok(done) => {
            assert!(!was_fenced);
            assert_eq!(done.base_offset, ends.1);
            let read = reader.read(ends.1, 1, ends.1 + 1, true).expect("what was just appended");
            assert_eq!(read.batches().map(|batch| batch.header().base_offset).collect::<Vec<_>>(), [ends.1]);
        }
        Err(AppendError::Fenced(_)) => assert!(was_fenced, "a sound log takes nothing"),
        Err(_) => {}
    }
    for chore in appender.take_chores() {
        let _ = chore.run();
    }
    let end = appender.end_offset();
    drop(reader);
    if appender.close().is_ok() && !was_fenced {
        let (appender, reader) = try_open(disk).expect("it was closed in good order");
        assert_eq!((reader.log_start_offset(), reader.end_offset()), (ends.0, end));
        assert_eq!(appender.recovery().scanned_bytes, 0, "a clean stop leaves nothing to scan");
        assert!(read_all(&reader, false) <= batches + 1);
    }
}

/// A sound log of a few segments, with producers, an aborted transaction and an open one: its files.
pub fn sound(close: bool) -> Vec<(String, Vec<u8>)> {
    let disk = empty();
    let (mut appender, reader) = try_open(&disk).expect("an empty directory opens");
    drop(reader);
    for round in 0..12i32 {
        let transactional = round % 3 == 2;
        let mut batch = BatchBuilder::new().producer(
            if transactional { 9 } else { 7 },
            0,
            round / 3 * if transactional { 2 } else { 4 },
        );
        if transactional {
            batch = batch.attributes(quipu_protocol::record::Attributes(0).with_transactional(true));
        } else {
            batch = BatchBuilder::new();
        }
        for record in 0..2 {
            batch.push(1_000 + i64::from(round * 10 + record), Some(b"key"), Some(&[b'v'; 200]), &[]);
        }
        let batch = batch.finish();
        let origin = if transactional { Origin::Transaction } else { Origin::Producer };
        appender.append(&CheckedBatch::check(&batch).expect("a good batch"), origin, 1_000).expect("it fits");
        if round == 5 || round == 8 {
            let marker = Marker {
                producer_id: 9,
                producer_epoch: 0,
                is_commit: round == 8,
                coordinator_epoch: 0,
                has_own_epoch: false,
            };
            appender.end_transaction(&marker, true, 1_000).expect("a marker");
        }
        if round % 4 == 3 {
            appender.roll().expect("a roll");
        }
        for chore in appender.take_chores() {
            chore.run().expect("a chore");
        }
    }
    appender.sync().expect("memory can be synced");
    if close {
        appender.close().expect("a clean stop");
    }
    let mut files = Vec::new();
    for entry in disk.list(Path::new(DIR)).expect("the directory") {
        let bytes = quipu_storage::disk::read_file(&disk, &Path::new(DIR).join(&entry.name)).expect("a file");
        files.push((entry.name, bytes));
    }
    files.sort();
    files
}

/// Opens a sound log in which one file of a kind was replaced: `input` is which, whether its sum is to be put right, and
/// what it holds.
pub fn replace_one(kind: usize, files: &[(String, Vec<u8>)], input: &[u8]) {
    let [which, sum, payload @ ..] = input else { return };
    let of_kind: Vec<_> =
        files.iter().filter(|file| file.0.ends_with(&format!(".{}", KINDS[kind].0))).collect();
    let name = &of_kind[usize::from(*which) % of_kind.len()].0;
    let disk = empty();
    for (other, bytes) in files {
        put(&disk, other, bytes);
    }
    let bytes = if *sum % 2 == 0 { with_sum(kind, payload) } else { payload.to_vec() };
    put(&disk, name, &bytes);
    live_lied_to(&disk);
}

/// A file whose sum is right and whose contents are not may make the log claim anything; it may not make it misbehave.
pub fn live_lied_to(disk: &MemoryDisk) {
    let Some((mut appender, reader)) = try_open(disk) else { return };
    read_all(&reader, true);
    let mut batch = BatchBuilder::new();
    batch.push(1_500, Some(b"key"), Some(b"value"), &[]);
    let batch = batch.finish();
    let _ = appender.append(&CheckedBatch::check(&batch).expect("a good batch"), Origin::Producer, 1_000);
    for chore in appender.take_chores() {
        let _ = chore.run();
    }
    read_all(&reader, true);
    let _ = appender.close();
}
