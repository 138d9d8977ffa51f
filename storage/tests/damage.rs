//! What a crash or a bad disk leaves behind, and what opening makes of it.

mod support;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quipu_protocol::record::{Attributes, BatchBuilder, position};
use quipu_storage::disk::{DirectoryDisk, Disk, LockError, MemoryDisk, OpenMode, read_file};
use quipu_storage::repair::accept_loss;
use quipu_storage::verify::{Report, verify};
use quipu_storage::{AppendError, CheckedBatch, Fence, LogConfig, Marker, Origin, ReadError, Reader};
use support::*;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn names(disk: &Arc<dyn Disk>, suffix: &str) -> Vec<String> {
    let mut names: Vec<_> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

/// A copy of all files, to break in another way each time.
fn copy(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    let copy = MemoryDisk::new();
    copy.create_dir_all(Path::new(DIR)).unwrap();
    for name in names(disk, "") {
        let bytes = read_file(&**disk, &path(&name)).unwrap();
        let file = copy.open(&path(&name), OpenMode::Truncate).unwrap();
        file.write_at(&mut [IoSlice::new(&bytes)], 0).unwrap();
    }
    Arc::new(copy)
}

fn flip(disk: &Arc<dyn Disk>, name: &str, place: u64) {
    let file = disk.open(&path(name), OpenMode::Existing).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, place).unwrap(), 1);
    file.write_at(&mut [IoSlice::new(&[byte[0] ^ 0x40])], place).unwrap();
}

fn truncate(disk: &Arc<dyn Disk>, name: &str, size: u64) {
    disk.open(&path(name), OpenMode::Existing).unwrap().set_len(size).unwrap();
}

type Contents = Vec<(i64, String)>;

const FIRST: &str = "00000000000000000000.log";

/// Three batches, the writer gone without a word. Gives the disk, the contents, and where the last batch lies.
fn crashed() -> (Arc<dyn Disk>, Contents, u64, u64) {
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &batch(2, 10)).unwrap();
    append(&mut appender, &sequenced(7, 0, 0, 2)).unwrap();
    let start = reader.size_bytes();
    append(&mut appender, &sequenced(7, 0, 2, 2)).unwrap();
    let all = contents(&reader);
    (disk, all, start, reader.size_bytes())
}

#[test]
fn a_last_batch_cut_at_any_byte_is_gone_and_the_log_goes_on() {
    let (disk, all, start, end) = crashed();
    for cut in start..end {
        let disk = copy(&disk);
        truncate(&disk, FIRST, cut);
        let (mut appender, reader) = open_at(&disk, LogConfig::default());
        assert_eq!(contents(&reader), all[..4], "cut at {cut}");
        assert_eq!(read_file(&*disk, &path(FIRST)).unwrap().len() as u64, start);
        // Its sequence is the next one again: state is what the log says.
        assert_eq!(append(&mut appender, &sequenced(7, 0, 2, 2)).unwrap().base_offset, 4);
        assert_eq!(contents(&reader), all);
    }
}

#[test]
fn a_last_batch_with_any_broken_byte_is_gone_and_what_lies_behind_reads_as_zero() {
    let (disk, all, start, end) = crashed();
    for place in start..end {
        let disk = copy(&disk);
        flip(&disk, FIRST, place);
        let (mut appender, reader) = open_at(&disk, LogConfig::default());
        // The sum covers neither offset nor leader epoch; the offset must follow, the epoch may be any.
        let within = place - start;
        if (position::LEADER_EPOCH as u64..position::MAGIC as u64).contains(&within) {
            assert_eq!(contents(&reader), all);
            continue;
        }
        assert_eq!(contents(&reader), all[..4], "flipped at {place}");
        assert!(appender.recovery().cut_bytes > 0);
        // A short batch in place of a long one: nothing of the old may show behind it, now or after the next crash.
        append(&mut appender, &batch(1, 5)).unwrap();
        let bytes = read_file(&*disk, &path(FIRST)).unwrap();
        assert!(bytes[reader.size_bytes() as usize..].iter().all(|byte| *byte == 0));
        drop((appender, reader));
        let (appender, reader) = open_at(&disk, LogConfig::default());
        assert_eq!((reader.end_offset(), appender.recovery().cut_bytes), (5, 0));
    }
}

#[test]
fn reserved_space_is_not_damage() {
    let (disk, all, _, end) = crashed();
    let before = read_file(&*disk, &path(FIRST)).unwrap().len() as u64;
    assert!(before > end, "space is reserved ahead");
    let (appender, reader) = open_at(&disk, LogConfig::default());
    assert_eq!((contents(&reader), appender.recovery().cut_bytes), (all, 0));
    assert_eq!(appender.recovery().scanned_bytes, end);
    assert_eq!(reader.durable_offset(), 0, "what was only read back need not be on disk");
    appender.close().unwrap();
    assert_eq!(read_file(&*disk, &path(FIRST)).unwrap().len() as u64, end, "a closed segment has no tail");
}

/// Many small segments, all sealed, cleanly closed.
fn closed() -> (Arc<dyn Disk>, Contents) {
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, small());
    for i in 0..40 {
        append(&mut appender, &sequenced(7, 0, i * 3, 3)).unwrap();
    }
    let all = contents(&reader);
    appender.close().unwrap();
    (disk, all)
}

#[test]
fn an_index_that_is_broken_cut_or_missing_is_built_anew() {
    let (disk, all) = closed();
    let indexes = names(&disk, ".idx");
    assert!(indexes.len() > 3);
    let (_, reader) = open_at(&copy(&disk), small());
    let times: Vec<_> = (0..1_200).map(|t| reader.offset_for_timestamp(t, i64::MAX).unwrap()).collect();
    for damage in 0..3 {
        let disk = copy(&disk);
        for (i, name) in indexes.iter().enumerate() {
            let size = read_file(&*disk, &path(name)).unwrap().len() as u64;
            match damage {
                0 => flip(&disk, name, i as u64 * 7 % size),
                1 => truncate(&disk, name, i as u64 * 5 % size),
                _ => disk.remove_file(&path(name)).unwrap(),
            }
        }
        let (appender, reader) = open_at(&disk, small());
        assert_eq!(appender.recovery().scanned_bytes, 0);
        assert_eq!(contents(&reader), all);
        let found: Vec<_> = (0..1_200).map(|t| reader.offset_for_timestamp(t, i64::MAX).unwrap()).collect();
        assert_eq!(found, times);
    }
}

#[test]
fn a_snapshot_that_is_broken_or_missing_costs_a_scan_and_nothing_else() {
    let (disk, all) = closed();
    let snapshots = names(&disk, ".snap");
    assert_eq!(snapshots.len(), 2, "two generations are kept");
    for broken in [1, 2] {
        for missing in [false, true] {
            let disk = copy(&disk);
            for name in snapshots.iter().rev().take(broken) {
                if missing {
                    disk.remove_file(&path(name)).unwrap();
                } else {
                    flip(&disk, name, 20);
                }
            }
            let (mut appender, reader) = open_at(&disk, small());
            let total = reader.size_bytes();
            let scanned = appender.recovery().scanned_bytes;
            assert!(if broken == 2 { scanned == total } else { scanned > 0 && scanned < total });
            assert_eq!(contents(&reader), all);
            for i in 35..40 {
                assert!(append(&mut appender, &sequenced(7, 0, i * 3, 3)).unwrap().duplicate);
            }
            append(&mut appender, &sequenced(7, 0, 120, 1)).unwrap();
        }
    }
}

/// Everything that can be read from each offset on, and the offsets from which nothing can.
fn readable(reader: &Reader) -> (Contents, Vec<i64>) {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let mut from = reader.log_start_offset();
    while from < reader.end_offset() {
        match reader.read(from, 512, i64::MAX, true) {
            Ok(read) => {
                let before = from;
                for batch in read.batches() {
                    // Headers are looked at by whoever reads, sums by whoever gets the records.
                    if batch.computed_crc() != batch.header().crc {
                        break;
                    }
                    let open = quipu_storage::record::OpenBatch::new(&batch, 1 << 20).unwrap();
                    for record in open.records().map(Result::unwrap) {
                        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                        found.push((open.offset(&record), value));
                    }
                    from = batch.header().last_offset() + 1;
                }
                assert!(!read.is_empty(), "nothing and no error at {from}");
                if from == before {
                    lost.push(from);
                    from += 1;
                }
            }
            Err(ReadError::Corrupt { .. }) => {
                lost.push(from);
                from += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (found, lost)
}

/// Opens a log that is damaged below its recovery point: it says so, takes nothing, changes nothing, and gives all that
/// is left.
fn read_only(disk: &Arc<dyn Disk>, file: &str, all: &Contents) -> Vec<i64> {
    let bytes = |disk: &Arc<dyn Disk>| -> Vec<_> {
        names(disk, "").into_iter().map(|name| (read_file(&**disk, &path(&name)).unwrap(), name)).collect()
    };
    let before = bytes(disk);
    let (mut appender, reader) = open_at(disk, small());
    match reader.fenced() {
        Some(Fence::Damaged(damage)) => assert_eq!(damage.path, path(file), "{damage}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(append(&mut appender, &batch(1, 0)), Err(AppendError::Fenced(Fence::Damaged(_)))));
    assert!(appender.delete_prefix(1).is_err() && appender.roll().is_err());
    assert_eq!(reader.end_offset(), all.len() as i64, "an offset that was given is not given again");
    let (found, lost) = readable(&reader);
    let kept: Contents = all.iter().filter(|(offset, _)| !lost.contains(offset)).cloned().collect();
    assert!(found == kept, "lost {lost:?}");
    appender.close().unwrap();
    assert_eq!(bytes(disk), before);
    lost
}

#[test]
fn a_log_cut_below_the_recovery_point_is_read_only_and_gives_what_is_left() {
    let (disk, all) = closed();
    let last = names(&disk, ".log").pop().unwrap();
    let size = read_file(&*disk, &path(&last)).unwrap().len() as u64;
    for cut in [1, 70, size / 2, size] {
        let disk = copy(&disk);
        truncate(&disk, &last, size - cut);
        let lost = read_only(&disk, &last, &all);
        assert!(lost.len() >= 3 && lost.last() == Some(&119), "{lost:?}");
    }
    disk.remove_file(&path(&last)).unwrap();
    read_only(&disk, &last, &all);
}

#[test]
fn a_broken_byte_below_the_recovery_point_costs_one_batch_and_is_never_passed_over() {
    let (disk, all) = closed();
    let logs = names(&disk, ".log");
    for (name, spot) in [(&logs[0], 0.0), (&logs[1], 0.3), (&logs[2], 0.6), (&logs[logs.len() - 1], 0.9)] {
        let size = read_file(&*disk, &path(name)).unwrap().len() as f64;
        for field in [
            position::BASE_OFFSET + 7,
            position::LENGTH + 3,
            position::MAGIC,
            position::LAST_OFFSET_DELTA + 3,
        ] {
            let disk = copy(&disk);
            // Whichever batch is there: one in the middle of the file, found by its header.
            let start = (0..)
                .map(|n| batch_start(&disk, name, n))
                .take_while(|at| (*at as f64) <= size * spot)
                .last();
            flip(&disk, name, start.unwrap() + field as u64);
            let (appender, reader) = open_at(&disk, small());
            let (found, lost) = readable(&reader);
            assert_eq!(lost.len(), 3, "{name} {field} {lost:?}");
            let kept: Contents = all.iter().filter(|(offset, _)| !lost.contains(offset)).cloned().collect();
            assert!(found == kept, "lost {lost:?}");
            drop((appender, reader));
        }
    }
}

/// Where the n-th batch of a whole segment starts.
fn batch_start(disk: &Arc<dyn Disk>, name: &str, n: usize) -> u64 {
    let bytes = read_file(&**disk, &path(name)).unwrap();
    let batches = quipu_protocol::record::Batches::new(&bytes);
    batches.take(n).map(|batch| batch.bytes().len() as u64).sum()
}

#[test]
fn a_segment_that_lost_whole_batches_or_is_gone_is_not_passed_over() {
    let (disk, all) = closed();
    let logs = names(&disk, ".log");
    for keep_index in [true, false] {
        for keep in [0, 2] {
            let disk = copy(&disk);
            if keep == 0 {
                disk.remove_file(&path(&logs[1])).unwrap();
            } else {
                truncate(&disk, &logs[1], batch_start(&disk, &logs[1], keep));
            }
            if !keep_index {
                disk.remove_file(&path(&logs[1].replace(".log", ".idx"))).unwrap();
            }
            let (_appender, reader) = open_at(&disk, small());
            let (found, lost) = readable(&reader);
            assert!(!lost.is_empty());
            let kept: Contents = all.iter().filter(|(offset, _)| !lost.contains(offset)).cloned().collect();
            assert!(found == kept, "lost {lost:?}");
            assert!(reader.offset_for_timestamp(5_000, i64::MAX).is_err(), "an inexact answer");
        }
    }
    disk.remove_file(&path(&logs[0])).unwrap();
    read_only(&disk, &logs[0], &all);
}

#[test]
fn without_a_valid_snapshot_its_name_still_says_what_was_durable() {
    let (disk, all) = closed();
    let log = names(&disk, ".log").remove(1);
    for name in names(&disk, ".snap") {
        flip(&disk, &name, 20);
    }
    // Whole: a scan, and nothing else.
    let (appender, reader) = open_at(&copy(&disk), small());
    assert!(contents(&reader) == all && appender.fenced().is_none());
    let start = batch_start(&disk, &log, 1);
    flip(&disk, &log, start + 100);
    let lost = read_only(&disk, &log, &all);
    assert_eq!(lost.len(), 3);
}

#[test]
fn a_damaged_list_of_aborted_transactions_is_built_anew() {
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, small());
    for i in 0..12 {
        let producer = 1 + i % 3;
        for _ in 0..3 {
            let sequence =
                appender.producers().find(|(id, _)| *id == producer).map_or(0, |p| p.1.last_sequence() + 1);
            let attributes = Attributes::default().with_transactional(true);
            let bytes =
                fill(BatchBuilder::new().producer(producer, 0, sequence).attributes(attributes), 2, 1_000);
            appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Transaction, 1_000).unwrap();
        }
        let marker = Marker {
            producer_id: producer,
            producer_epoch: 0,
            is_commit: i % 4 == 0,
            coordinator_epoch: 0,
            has_own_epoch: false,
        };
        appender.end_transaction(&marker, true, 1_000).unwrap();
    }
    let all = reader.aborted(0, i64::MAX).unwrap();
    appender.close().unwrap();
    let lists = names(&disk, ".txn");
    assert!(lists.len() > 2 && all.len() == 9);
    let crashed = copy(&disk);
    for name in &lists {
        flip(&disk, name, 12);
        flip(&crashed, name, 12);
    }
    let (_, reader) = open_at(&disk, small());
    assert_eq!(reader.aborted(0, i64::MAX).unwrap(), all);
    for name in &lists {
        flip(&disk, name, 12);
    }
    // And once more, after the first rebuilding was stored, at a start that scans the last segment.
    let (_, reader) = open_at(&disk, small());
    assert_eq!(reader.aborted(0, i64::MAX).unwrap(), all);
    let (mut appender, reader) = open_at(&crashed, small());
    append(&mut appender, &batch(1, 0)).unwrap();
    drop((appender, reader));
    let (_, reader) = open_at(&crashed, small());
    assert_eq!(reader.aborted(0, i64::MAX).unwrap(), all);
}

#[test]
fn a_hole_between_segments_ends_the_log() {
    // Never sealed, so nothing vouches for any of it.
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, small());
    for i in 0..40 {
        append(&mut appender, &batch(3, i)).unwrap();
    }
    let all = contents(&reader);
    drop((appender, reader));
    let logs = names(&disk, ".log");
    assert!(logs.len() >= 3 && names(&disk, ".snap").is_empty());
    let size = read_file(&*disk, &path(&logs[1])).unwrap();
    let last_byte = size.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    flip(&disk, &logs[1], last_byte);
    let (mut appender, reader) = open_at(&disk, small());
    let end = reader.end_offset();
    assert_eq!(contents(&reader), all[..end as usize]);
    assert_eq!(appender.recovery().dropped_segments, logs.len() - 2);
    append(&mut appender, &batch(3, 0)).unwrap();
    assert_eq!(names(&disk, ".log").len(), 2);
}

#[test]
fn leftovers_of_an_interrupted_write_or_removal_are_thrown_away() {
    let (disk, all) = closed();
    for name in
        ["00000000000000000120.snap.tmp", "00000000000000000000.log.deleted", "00000000000000009999.idx"]
    {
        disk.open(&path(name), OpenMode::Truncate).unwrap().set_len(10).unwrap();
    }
    let (_appender, reader) = open_at(&disk, small());
    assert_eq!(contents(&reader), all);
    assert!(names(&disk, ".tmp").is_empty() && names(&disk, ".deleted").is_empty());
    assert!(!names(&disk, ".idx").contains(&"00000000000000009999.idx".to_owned()));
}

#[test]
fn l7_the_log_start_is_durable_before_segments_go_and_readers_keep_what_they_hold() {
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, small());
    for i in 0..20 {
        append(&mut appender, &batch(3, i)).unwrap();
    }
    let held = reader.read(0, 4_000, i64::MAX, true).unwrap();
    let copied: Vec<_> = held.slices.iter().map(|slice| slice.to_vec()).collect();
    let files = names(&disk, ".log").len();
    assert_eq!(appender.delete_prefix(40).unwrap(), 40);
    assert_eq!(names(&disk, ".log").len(), files, "removal waits for the chores");
    // A crash here: the segments come back to life on no account.
    let crashed = copy(&disk);
    let (after, crashed_reader) = open_at(&crashed, small());
    assert_eq!((crashed_reader.log_start_offset(), crashed_reader.end_offset()), (40, 60));
    assert_eq!(contents(&crashed_reader).first().map(|record| record.0), Some(39), "whole batches");
    assert!(names(&crashed, ".log").len() < files);
    drop(after);

    appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
    assert!(names(&disk, ".log").len() < files && names(&disk, ".deleted").is_empty());
    assert_eq!(held.slices.iter().map(|slice| slice.to_vec()).collect::<Vec<_>>(), copied);
    assert!(reader.read(39, 100, i64::MAX, true).is_err());
    assert_eq!(appender.delete_prefix(5).unwrap(), 40, "it only moves up");
    appender.close().unwrap();
    let (_, reader) = open_at(&disk, small());
    assert_eq!(reader.log_start_offset(), 40);
}

#[test]
fn everything_deleted_and_reopened_goes_on_at_its_offset() {
    for clean in [true, false] {
        let disk = memory();
        let (mut appender, _reader) = open_at(&disk, small());
        for i in 0..10 {
            append(&mut appender, &batch(3, i)).unwrap();
        }
        appender.roll().unwrap();
        appender.delete_prefix(30).unwrap();
        if clean {
            appender.close().unwrap();
        } else {
            appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
            drop(appender);
        }
        assert!(names(&disk, ".log").is_empty());
        let (mut appender, reader) = open_at(&disk, small());
        assert_eq!((reader.log_start_offset(), reader.end_offset(), reader.size_bytes()), (30, 30, 0));
        assert_eq!(append(&mut appender, &batch(1, 0)).unwrap().base_offset, 30);
    }
}

#[test]
fn a_directory_is_claimed_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let disks: [(Arc<dyn Disk>, &Path); 2] =
        [(Arc::new(DirectoryDisk::new()), dir.path()), (Arc::new(MemoryDisk::new()), Path::new(DIR))];
    for (disk, dir) in disks {
        let claim = disk.lock(dir).unwrap();
        match disk.lock(dir) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(claim);
        let _claim = disk.lock(dir).unwrap();
    }
}

#[test]
fn a_recovery_point_at_the_log_start_needs_no_segment() {
    let disk = memory();
    let (mut appender, _) = open_at(&disk, small());
    append(&mut appender, &batch(3, 0)).unwrap();
    appender.close().unwrap();
    let (mut appender, _) = open_at(&disk, small());
    appender.roll().unwrap();
    append(&mut appender, &batch(2, 0)).unwrap();
    assert_eq!(appender.delete_prefix(3).unwrap(), 3);
    // Gone before the chores were run: the next start removes the segment that the only snapshot is about.
    drop(appender);
    for _ in 0..2 {
        let (_, reader) = open_at(&disk, small());
        assert_eq!((reader.log_start_offset(), reader.end_offset()), (3, 5));
    }
}

fn check(disk: &Arc<dyn Disk>) -> Report {
    verify(&**disk, Path::new(DIR), |_| {}).unwrap()
}

/// Gives up what is lost. All the rest is there, no offset is given again, and the lost bytes are kept.
fn give_up(disk: &Arc<dyn Disk>, all: &Contents) {
    let report = check(disk);
    assert!(report.is_damaged(), "{report:?}");
    let lost: Vec<i64> = report.lost().flatten().collect();
    assert!(!lost.is_empty(), "{report:?}");
    let before = all.iter().filter(|(offset, _)| !lost.contains(offset)).cloned().collect::<Contents>();
    accept_loss(&**disk, Path::new(DIR), &report, 0).unwrap();
    let after = check(disk);
    assert!(after.findings.is_empty(), "{:?}", after.findings);
    let (mut appender, reader) = open_at(disk, small());
    assert!(appender.fenced().is_none(), "{:?}", appender.fenced());
    let (found, unreadable) = readable(&reader);
    assert!(found == before && unreadable.is_empty(), "lost {lost:?}, unreadable {unreadable:?}");
    assert_eq!(append(&mut appender, &batch(1, 0)).unwrap().base_offset, all.len() as i64);
    for name in names(disk, ".lost") {
        assert!(!read_file(&**disk, &path(&name)).unwrap().is_empty());
    }
    appender.close().unwrap();
    assert!(check(disk).findings.is_empty());
}

#[test]
fn verify_finds_any_broken_byte_of_a_closed_log_and_its_loss_can_be_accepted() {
    let (disk, all) = closed();
    assert!(check(&disk).findings.is_empty());
    assert_eq!((check(&disk).records, check(&disk).end_offset), (120, 120));
    for name in names(&disk, "") {
        let size = read_file(&*disk, &path(&name)).unwrap().len();
        for place in (0..size as u64).step_by(37) {
            let disk = copy(&disk);
            flip(&disk, &name, place);
            let report = check(&disk);
            let within = batch_at(&disk, &name, place);
            if (position::LEADER_EPOCH..position::MAGIC).contains(&within) {
                // Covered by no sum; consumers only compare it.
                continue;
            }
            assert!(
                report.findings.iter().any(|finding| finding.path == path(&name)),
                "{name} {place}: {report:?}"
            );
            if name.ends_with(".log") {
                give_up(&disk, &all);
            } else {
                accept_loss(&*disk, Path::new(DIR), &report, 0).unwrap();
                let (_, reader) = open_at(&disk, small());
                assert!(contents(&reader) == all);
            }
        }
    }
}

/// How far a place in a segment is from the start of its batch.
fn batch_at(disk: &Arc<dyn Disk>, name: &str, place: u64) -> usize {
    let starts = (0..).map(|n| batch_start(disk, name, n));
    let mut last = 0;
    for (n, start) in starts.enumerate() {
        if start > place || n > 20 {
            break;
        }
        last = start;
    }
    if name.ends_with(".log") { (place - last) as usize } else { usize::MAX }
}

#[test]
fn segments_that_are_cut_or_gone_are_made_up_for() {
    let (disk, all) = closed();
    let logs = names(&disk, ".log");
    for (i, name) in logs.iter().enumerate() {
        let size = read_file(&*disk, &path(name)).unwrap().len() as u64;
        for keep in
            [Some(0), Some(1), Some(size / 2), Some(batch_start(&disk, name, 2)), Some(size - 1), None]
        {
            for without_snapshots in [false, true] {
                let disk = copy(&disk);
                match keep {
                    Some(keep) => truncate(&disk, name, keep),
                    None => disk.remove_file(&path(name)).unwrap(),
                }
                if without_snapshots {
                    names(&disk, ".snap").iter().for_each(|name| flip(&disk, name, 30));
                }
                if i == 0 && keep.is_none() {
                    // The log begins later, that is all.
                    let report = check(&disk);
                    accept_loss(&*disk, Path::new(DIR), &report, 0).unwrap();
                    let (appender, reader) = open_at(&disk, small());
                    assert!(contents(&reader) == all[30..] && appender.fenced().is_none());
                } else {
                    give_up(&disk, &all);
                }
            }
        }
    }
    logs.iter().for_each(|name| disk.remove_file(&path(name)).unwrap());
    accept_loss(&*disk, Path::new(DIR), &check(&disk), 0).unwrap();
    let (mut appender, reader) = open_at(&disk, small());
    assert_eq!((reader.log_start_offset(), reader.end_offset()), (120, 120));
    assert_eq!(append(&mut appender, &sequenced(7, 0, 120, 1)).unwrap().base_offset, 120);
}

/// Three batches of which the first two are said to be on disk, the writer gone without a word. Gives the disk, the
/// contents, and where the last batch lies.
fn noted() -> (Arc<dyn Disk>, Contents, u64, u64) {
    let disk = memory();
    let (mut appender, reader) = open_at(&disk, small());
    append(&mut appender, &batch(2, 10)).unwrap();
    assert!(!reader.checkpoint().unwrap(), "nothing is durable yet");
    appender.sync().unwrap();
    assert!(reader.checkpoint().unwrap());
    append(&mut appender, &sequenced(7, 0, 0, 2)).unwrap();
    appender.sync().unwrap();
    assert!(reader.checkpoint().unwrap() && !reader.checkpoint().unwrap());
    let start = reader.size_bytes();
    append(&mut appender, &sequenced(7, 0, 2, 2)).unwrap();
    assert_eq!(names(&disk, ".durable"), ["00000000000000000004.durable"]);
    let all = contents(&reader);
    (disk, all, start, reader.size_bytes())
}

#[test]
fn below_a_checkpoint_a_broken_byte_is_damage_and_above_it_a_torn_write() {
    let (disk, all, start, end) = noted();
    for place in 0..end {
        if (position::LEADER_EPOCH..position::MAGIC).contains(&batch_at(&disk, FIRST, place)) {
            continue;
        }
        let disk = copy(&disk);
        flip(&disk, FIRST, place);
        if place < start {
            // What is behind the damage and was not vouched for is still there: nothing is cut.
            let lost = read_only(&disk, FIRST, &all);
            assert!(!lost.is_empty() && lost.iter().all(|offset| *offset < 4), "{place}: {lost:?}");
            give_up(&disk, &all);
        } else {
            let (appender, reader) = open_at(&disk, small());
            assert!(appender.fenced().is_none() && appender.recovery().cut_bytes > 0);
            assert_eq!(contents(&reader), all[..4], "flipped at {place}");
        }
    }
    // A file that ends too early, and one that is gone.
    for cut in [0, 1, start - 1] {
        let disk = copy(&disk);
        truncate(&disk, FIRST, cut);
        read_only(&disk, FIRST, &all[..4].to_vec());
        give_up(&disk, &all[..4].to_vec());
    }
    disk.remove_file(&path(FIRST)).unwrap();
    read_only(&disk, FIRST, &all[..4].to_vec());
}

#[test]
fn a_checkpoint_moves_with_the_log_and_is_not_written_where_a_recovery_point_says_as_much() {
    let (disk, all, ..) = noted();
    let (appender, reader) = open_at(&disk, small());
    assert!(!reader.checkpoint().unwrap(), "what was found is not known to be on disk");
    appender.close().unwrap();
    assert_eq!(names(&disk, ".snap"), ["00000000000000000006.snap"]);
    let (mut appender, reader) = open_at(&disk, small());
    appender.sync().unwrap();
    assert!(!reader.checkpoint().unwrap());
    assert_eq!(names(&disk, ".durable"), ["00000000000000000004.durable"]);
    for i in 1..40 {
        append(&mut appender, &sequenced(7, 0, 1 + i * 3, 3)).unwrap();
        appender.sync().unwrap();
        assert!(reader.checkpoint().unwrap());
        let newest = format!("{:020}.durable", reader.end_offset());
        assert_eq!(names(&disk, ".durable"), [newest]);
    }
    drop((appender, reader));
    let (appender, reader) = open_at(&disk, small());
    assert!(appender.fenced().is_none() && contents(&reader).starts_with(&all));
}
