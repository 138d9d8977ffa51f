//! The log engine on a real directory.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use quipu_protocol::record::crc32c;
use quipu_storage::disk::{DirectoryDisk, Disk, MemoryDisk};
use quipu_storage::{Appender, CheckedBatch, LogConfig, Origin, Reader, open};

const NOW: i64 = 1_700_000_000_000;
/// Bytes of log that reads and finds look into.
const READ_FROM: usize = 256 << 20;
/// Bytes behind the recovery point that a start scans.
const SCANNED: usize = 64 << 20;

fn opened(disk: Arc<dyn Disk>, dir: &Path) -> (Appender, Reader) {
    open(disk, dir, LogConfig::default(), NOW).expect("a log")
}

fn append(appender: &mut Appender, bytes: &[u8]) {
    let batch = CheckedBatch::check(bytes).expect("a good batch");
    black_box(appender.append(&batch, Origin::Producer, NOW).expect("appended"));
}

pub(super) fn benches(c: &mut Criterion) {
    checksums(c);
    appends(c);
    reads(c);
    recovery(c);
    group_commit(c);
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/crc32c");
    for bytes in [200, 1 << 10, 16 << 10, 1 << 20] {
        let data = vec![7_u8; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{bytes} B"), |b| b.iter(|| crc32c(black_box(&data))));
    }
    group.finish();
    let mut group = c.benchmark_group("log/check");
    for records in [1, super::RECORDS, 9_000] {
        let data = super::batch(records);
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(format!("{records} records"), |b| {
            b.iter(|| CheckedBatch::check(black_box(&data)).expect("good").header().records_count)
        });
    }
    group.finish();
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/append");
    for records in [1, super::RECORDS, 9_000] {
        let data = super::batch(records);
        group.throughput(Throughput::Bytes(data.len() as u64));
        let disks: [(&str, Arc<dyn Disk>); 2] =
            [("disk", Arc::new(DirectoryDisk::new())), ("memory", Arc::new(MemoryDisk::new()))];
        for (name, disk) in disks {
            let dir = tempfile::tempdir().expect("a directory");
            let (mut appender, _reader) = opened(disk, &dir.path().join("log"));
            let mut written = 0;
            group.bench_function(format!("{records} records, {name}"), |b| {
                b.iter(|| {
                    append(&mut appender, &data);
                    written += data.len();
                    // What a long run leaves behind is removed, so that no disk and no memory fills.
                    if written > 1 << 30 {
                        written = 0;
                        appender.roll().expect("rolled");
                        appender.delete_prefix(appender.end_offset()).expect("deleted");
                        for chore in appender.take_chores() {
                            chore.run().expect("done");
                        }
                    }
                })
            });
        }
    }
    group.finish();
}

/// A log with [`READ_FROM`] bytes of 16 KiB batches.
fn filled(dir: &Path, bytes: usize) -> (Appender, Reader) {
    let (mut appender, reader) = opened(Arc::new(DirectoryDisk::new()), dir);
    let data = super::batch(super::RECORDS);
    for _ in 0..bytes / data.len() {
        append(&mut appender, &data);
    }
    (appender, reader)
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let (_appender, reader) = filled(&dir.path().join("log"), READ_FROM);
    let end = reader.end_offset();
    // Offsets in no order, the same in every run.
    let mut at = 0_i64;
    let mut next = move || {
        at = (at + 7_919 * 131) % end;
        at
    };
    let mut group = c.benchmark_group("log/read");
    group.bench_function("find, one batch", |b| {
        b.iter(|| reader.read(next(), 1, end, true).expect("read").size_bytes)
    });
    for bytes in [16 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{bytes} B"), |b| {
            b.iter(|| reader.read(next(), bytes, end, true).expect("read").slices.len())
        });
    }
    group.finish();
    c.bench_function("log/offset for timestamp", |b| {
        b.iter(|| reader.offset_for_timestamp(black_box(NOW), end).expect("found"))
    });
}

fn recovery(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/recovery scan");
    group.throughput(Throughput::Bytes(SCANNED as u64)).sample_size(10);
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("log");
    // Dropped, not closed: as a crash leaves it, with the whole log behind its recovery point.
    drop(filled(&from, SCANNED));
    let mut number = 0;
    group.bench_function(format!("{} MiB, page cache", SCANNED >> 20), |b| {
        b.iter_batched(
            || {
                number += 1;
                let to = dir.path().join(format!("copy-{number}"));
                std::fs::create_dir(&to).expect("made");
                for entry in std::fs::read_dir(&from).expect("listed") {
                    let entry = entry.expect("an entry");
                    std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
                }
                to
            },
            |to| {
                let log = opened(Arc::new(DirectoryDisk::new()), &to);
                (log, RemoveLater(to))
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

/// Removes a directory once the clock has stopped.
struct RemoveLater(std::path::PathBuf);

impl Drop for RemoveLater {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Durable appends of 1 KiB: so many between two syncs.
fn group_commit(c: &mut Criterion) {
    let data = super::batch(8);
    let mut group = c.benchmark_group("log/group commit");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for writers in [1, 4, 16, 64] {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut appender, _reader) = opened(Arc::new(DirectoryDisk::new()), &dir.path().join("log"));
        group.throughput(Throughput::Elements(writers));
        group.bench_function(format!("{writers} appends and a sync"), |b| {
            b.iter_custom(|rounds| {
                let began = Instant::now();
                for _ in 0..rounds {
                    for _ in 0..writers {
                        append(&mut appender, &data);
                    }
                    appender.flush().run().expect("synced");
                }
                began.elapsed()
            })
        });
    }
    group.finish();
}
