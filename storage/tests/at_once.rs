//! Who reads at once: everything that is in memory, and never a wait for the disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::{DirectoryDisk, Disk};
use quipu_storage::{Appender, CheckedBatch, LogConfig, Origin, ReadError, ReadSlices, Reader, open};
use rustix::fs::Advice;

/// Bytes of a record's value, one to a batch.
const LARGE: usize = 1 << 20;

fn append(appender: &mut Appender, bytes: usize) {
    let mut batch = BatchBuilder::new();
    batch.push(1_000, None, Some(&vec![7; bytes]), &[]);
    appender.append(&CheckedBatch::check(&batch.finish()).unwrap(), Origin::Producer, 1_000).unwrap();
}

fn start(dir: &Path) -> (Appender, Reader) {
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::new());
    let config = LogConfig { segment_bytes: 3 << 20, ..LogConfig::default() };
    open(disk, dir, config, 1_000).unwrap()
}

/// Has the system forget what it holds of the log's files.
fn forget(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let file = File::open(entry.path()).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}

/// A log of eight large batches in segments of two or three, of which nothing is in memory.
fn cold(dir: &Path) -> (Appender, Reader) {
    let (mut appender, _) = start(dir);
    for _ in 0..8 {
        append(&mut appender, LARGE);
    }
    appender.close().unwrap();
    forget(dir);
    start(dir)
}

fn offsets(read: Result<ReadSlices, ReadError>) -> Option<Vec<i64>> {
    match read {
        Ok(read) => Some(read.batches().map(|batch| batch.header().base_offset).collect()),
        Err(ReadError::NotInMemory) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_not_in_memory_is_left_to_those_who_wait() {
    // Not where files are in memory only.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (_appender, reader) = cold(dir.path());
    let at_once = |from, max_bytes, upto| offsets(reader.at_once().read(from, max_bytes, upto, true));
    assert_eq!(at_once(0, LARGE, 8), None, "not even its index");
    assert_eq!(at_once(3, LARGE, 3), Some(vec![]), "nothing is asked for");
    assert_eq!(offsets(reader.read(0, 1, 8, true)), Some(vec![0]));
    assert_eq!(at_once(0, 1, 8), Some(vec![0]));
    assert_eq!(at_once(1, 1, 8), None, "however little is asked for, a batch comes whole");
    assert_eq!(offsets(reader.read(0, 9 * LARGE, 8, true)), Some(Vec::from_iter(0..8)));
    assert_eq!(at_once(0, 9 * LARGE, 8), Some(Vec::from_iter(0..8)), "over several segments");
}

#[test]
fn what_a_process_before_has_written_does_not_count_as_new() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut appender, _) = start(dir.path());
    append(&mut appender, LARGE);
    append(&mut appender, LARGE - 1_000);
    appender.close().unwrap();
    forget(dir.path());
    let (mut appender, reader) = start(dir.path());
    append(&mut appender, 100);
    let at_once = |from| offsets(reader.at_once().read(from, 2 * LARGE, reader.end_offset(), true));
    assert_eq!(at_once(1), None);
    assert_eq!(at_once(2), Some(vec![2]));
    append(&mut appender, LARGE / 2);
    appender.sync().unwrap();
    appender.cool_if_idle();
    assert_eq!(at_once(3), Some(vec![3]));
    appender.cool_if_idle();
    forget(dir.path());
    assert_eq!(at_once(3), None, "nobody has appended for long");
    assert_eq!(offsets(reader.read(1, 4 * LARGE, 4, true)), Some(vec![1, 2, 3]));
    assert_eq!(at_once(1), Some(vec![1, 2, 3]));
}

#[test]
fn a_bad_sector_keeps_nothing_back_that_comes_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut appender, _) = start(dir.path());
    append(&mut appender, 100);
    append(&mut appender, 100);
    append(&mut appender, LARGE);
    appender.close().unwrap();
    let (_appender, reader) = start(dir.path());
    assert_eq!(offsets(reader.read(0, 2 * LARGE, 3, true)), Some(vec![0, 1, 2]));
    // Behind the end of a file a touch is what it is on a sector that cannot be read.
    let log = dir.path().join(format!("{:020}.log", 0));
    File::options().write(true).open(log).unwrap().set_len(512 << 10).unwrap();
    assert_eq!(offsets(reader.read(0, 2 * LARGE, 3, true)), Some(vec![0]));
    assert_eq!(offsets(reader.read(1, 2 * LARGE, 3, true)), Some(vec![1]));
    assert!(matches!(reader.read(2, 2 * LARGE, 3, true), Err(ReadError::Io { .. })));
    assert_eq!(offsets(reader.at_once().read(2, 2 * LARGE, 3, true)), None);
}
