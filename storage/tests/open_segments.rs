//! Many logs with few descriptors: what is not used is closed, whatever waits for a sync is not.

use std::path::Path;
use std::sync::Arc;

use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::{DirectoryDisk, Disk};
use quipu_storage::{Appender, CheckedBatch, LogConfig, OpenSegments, Origin, Reader, open};

const LIMIT: usize = 4;
const LOGS: usize = 30;
const BATCHES: i64 = 12;

fn append(appender: &mut Appender, n: i64) {
    let mut batch = BatchBuilder::new();
    batch.push(n, None, Some(&[n as u8; 400]), &[]);
    let batch = batch.finish();
    appender.append(&CheckedBatch::check(&batch).unwrap(), Origin::Producer, n).unwrap();
}

/// Descriptors of files below `dir` that this process has open.
fn descriptors(dir: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|fd| {
        let path = std::fs::read_link(fd.path()).unwrap_or_default();
        path.starts_with(dir) && path.to_string_lossy().contains(".log")
    })
    .count()
}

/// Maps of such files.
fn maps(dir: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(&*dir.to_string_lossy()) && line.contains(".log")).count()
}

fn logs(dir: &Path, open_segments: &OpenSegments) -> Vec<(Appender, Reader)> {
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::new());
    let open_one = |n: usize| {
        let config = LogConfig {
            // Three batches per segment.
            segment_bytes: 1_500,
            open_segments: open_segments.clone(),
            ..LogConfig::default()
        };
        open(Arc::clone(&disk), &dir.join(n.to_string()), config, 0).unwrap()
    };
    (0..LOGS).map(open_one).collect()
}

fn read_all(reader: &Reader) {
    let mut next = 0;
    while next < BATCHES {
        let read = reader.read(next, 1, reader.end_offset(), true).unwrap();
        let batch = read.batches().next().unwrap();
        assert_eq!(batch.header().base_offset, next);
        assert_eq!(batch.payload()[batch.payload().len() - 2], next as u8, "another segment's bytes");
        next = read.next_offset;
    }
}

#[test]
fn segments_beyond_the_limit_are_closed_and_opened_again_when_they_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let open_segments = OpenSegments::limited(LIMIT);
    let mut logs = logs(dir.path(), &open_segments);
    for n in 0..BATCHES {
        for (appender, _) in &mut logs {
            append(appender, n);
            appender.sync().unwrap();
            for chore in appender.take_chores() {
                chore.run().unwrap();
            }
            // The one that is being opened cannot be told to close.
            assert!(open_segments.count() <= LIMIT + 1, "{}", open_segments.count());
        }
    }
    assert!(logs.iter().all(|(_, reader)| reader.segment_count() >= 4));
    for _ in 0..2 {
        for (_, reader) in &logs {
            read_all(reader);
            assert!(descriptors(dir.path()) <= 2 * (LIMIT + 1), "a file and its map's");
            assert!(maps(dir.path()) <= LIMIT + 1);
        }
    }
    // What was given out stays readable, however many are opened after it.
    let (_, first) = &logs[0];
    let held = first.read(0, 1, BATCHES, true).unwrap();
    logs[1..].iter().for_each(|(_, reader)| read_all(reader));
    assert_eq!(held.batches().next().unwrap().computed_crc(), held.batches().next().unwrap().header().crc);
    for (appender, _) in logs {
        appender.close().unwrap();
    }
}

#[test]
fn what_waits_for_a_sync_is_not_closed_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let open_segments = OpenSegments::limited(LIMIT);
    let mut logs = logs(dir.path(), &open_segments);
    for (appender, _) in &mut logs {
        append(appender, 0);
    }
    assert_eq!(open_segments.count(), LOGS, "each holds a write that no sync has confirmed");
    assert!(open_segments.is_over());
    for (appender, _) in &mut logs {
        appender.sync().unwrap();
    }
    open_segments.trim();
    assert!(open_segments.count() <= LIMIT, "{}", open_segments.count());
    assert!(descriptors(dir.path()) <= LIMIT);
    for (appender, reader) in &mut logs {
        for n in 1..BATCHES {
            append(appender, n);
        }
        appender.sync().unwrap();
        read_all(reader);
    }
}
