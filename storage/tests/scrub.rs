//! The scrubber: bits that rot in sealed segments are found and named, and nothing else is said.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::DirectoryDisk;
use quipu_storage::{Appender, CheckedBatch, LogConfig, Origin, ReadError, Reader, ScrubPlace, open};

const BATCHES: i64 = 40;
const PER_SEGMENT: i64 = 10;

/// Four sealed segments of ten batches, and an active one.
fn log(dir: &Path) -> (Appender, Reader) {
    let (mut appender, reader) = open(Arc::new(DirectoryDisk::new()), dir, LogConfig::default(), 0).unwrap();
    for n in 0..BATCHES {
        let mut batch = BatchBuilder::new();
        batch.push(n, None, Some(&[7; 40_000]), &[]);
        let batch = batch.finish();
        appender.append(&CheckedBatch::check(&batch).unwrap(), Origin::Producer, n).unwrap();
        if (n + 1) % PER_SEGMENT == 0 {
            appender.roll().unwrap();
            for chore in appender.take_chores() {
                chore.run().unwrap();
            }
        }
    }
    (appender, reader)
}

fn path(dir: &Path, base_offset: i64) -> std::path::PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

fn flip(dir: &Path, base_offset: i64, position: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path(dir, base_offset)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 1], position).unwrap();
}

/// A whole pass in steps of `max_bytes`: the bytes of each step, and all damage.
fn pass(reader: &Reader, max_bytes: u64) -> (Vec<u64>, Vec<ReadError>) {
    let (mut place, mut steps, mut damage) = (ScrubPlace::default(), Vec::new(), Vec::new());
    loop {
        let step = reader.scrub(&mut place, max_bytes);
        steps.push(step.checked_bytes);
        damage.extend(step.damage);
        if step.is_finished {
            return (steps, damage);
        }
    }
}

#[test]
fn a_pass_checks_each_sealed_byte_once_in_steps_of_the_asked_size() {
    let dir = tempfile::tempdir().unwrap();
    let (_appender, reader) = log(dir.path());
    let sealed = reader.size_bytes();
    let batch = sealed / BATCHES as u64;
    for max_bytes in [1, 3 * batch, u64::MAX] {
        let (steps, damage) = pass(&reader, max_bytes);
        assert!(damage.is_empty(), "{damage:?}");
        assert_eq!(steps.iter().sum::<u64>(), sealed);
        assert!(steps.iter().all(|bytes| *bytes < max_bytes.saturating_add(batch)), "{steps:?}");
    }
}

#[test]
fn each_rotten_batch_is_named_and_the_rest_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (_appender, reader) = log(dir.path());
    let batch = reader.size_bytes() / BATCHES as u64;
    // In a record, in a length, and in the last segment's last batch.
    flip(dir.path(), 10, 3 * batch + 1_000);
    flip(dir.path(), 10, 7 * batch + 8);
    flip(dir.path(), 30, 10 * batch - 1);
    let (steps, damage) = pass(&reader, 5 * batch);
    let found: Vec<_> = damage
        .iter()
        .map(|error| match error {
            ReadError::Corrupt { path, position, .. } => (path.clone(), *position),
            other => panic!("{other}"),
        })
        .collect();
    let (second, last) = (path(dir.path(), 10), path(dir.path(), 30));
    assert_eq!(found, [(second.clone(), 3 * batch), (second, 7 * batch), (last, 9 * batch)]);
    assert!(steps.iter().sum::<u64>() >= (BATCHES as u64 - 3) * batch);
    // The rest can be read.
    let read = reader.read(0, 1, BATCHES, true).unwrap();
    assert_eq!(read.batches().count(), 1);
}

#[test]
fn a_file_that_was_cut_is_damage_and_one_that_was_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut appender, reader) = log(dir.path());
    let batch = reader.size_bytes() / BATCHES as u64;
    let file = std::fs::File::options().write(true).open(path(dir.path(), 20)).unwrap();
    file.set_len(5 * batch + 10).unwrap();
    let mut place = ScrubPlace::default();
    let first = reader.scrub(&mut place, batch);
    assert!(first.damage.is_empty() && !first.is_finished);
    appender.delete_prefix(10).unwrap();
    for chore in appender.take_chores() {
        chore.run().unwrap();
    }
    let rest = reader.scrub(&mut place, u64::MAX);
    assert!(rest.is_finished);
    assert!(
        matches!(&rest.damage[..], [ReadError::Corrupt { path: at, position, .. }]
            if *at == path(dir.path(), 20) && *position == 5 * batch),
        "{:?}",
        rest.damage
    );
}
