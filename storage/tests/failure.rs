//! A disk that fails while the log is in use: nothing half-written shows, and what cannot be trusted ends.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quipu_storage::disk::Disk;
use quipu_storage::{AppendError, DeleteError, LogConfig};
use std::path::Path;
use support::*;

fn failing() -> (FailingDisk, Arc<dyn Disk>) {
    let disk = FailingDisk::default();
    (disk.clone(), Arc::new(disk))
}

#[test]
fn a_full_disk_is_a_state_that_passes() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    control.failures.set(&control.failures.full, true);
    assert!(matches!(append(&mut appender, &sequenced(1, 0, 0, 2)), Err(AppendError::Full(_))));
    assert_eq!((reader.end_offset(), appender.producer_count()), (0, 0));
    control.failures.set(&control.failures.full, false);
    append(&mut appender, &sequenced(1, 0, 0, 2)).unwrap();

    // Full again in the middle: what is reserved can still be used, then it is refused, then it goes on.
    control.failures.set(&control.failures.full, true);
    let mut sequence = 2;
    let refused = loop {
        match append(&mut appender, &sequenced(1, 0, sequence, 10)) {
            Ok(_) => sequence += 10,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(_)) && sequence > 100);
    assert_eq!(contents(&reader).len() as i32, sequence);
    control.failures.set(&control.failures.full, false);
    assert!(!append(&mut appender, &sequenced(1, 0, sequence, 10)).unwrap().duplicate);
}

#[test]
fn a_failed_write_fences_the_log_and_leaves_nothing_behind() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &sequenced(1, 0, 0, 2)).unwrap();
    let before = contents(&reader);
    control.failures.set(&control.failures.write, true);
    assert!(matches!(append(&mut appender, &sequenced(1, 0, 2, 2)), Err(AppendError::Fenced(_))));
    // Writes would work again by now, but nobody knows what is on the disk.
    assert!(matches!(append(&mut appender, &sequenced(1, 0, 2, 2)), Err(AppendError::Fenced(_))));
    assert!(matches!(appender.delete_prefix(1), Err(DeleteError::Fenced(_))));
    assert!(appender.roll().is_err() && appender.flush().run().is_err());
    assert!(reader.fenced().is_some_and(|fence| fence.to_string().contains("planted write error")));
    assert_eq!(contents(&reader), before, "reading goes on");
    assert!(appender.close().is_err());

    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    assert!(appender.recovery().cut_bytes > 0);
    assert_eq!(contents(&reader), before);
    append(&mut appender, &sequenced(1, 0, 2, 2)).unwrap();
}

#[test]
fn a_failed_sync_fences_the_log_and_is_not_tried_again() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &batch(2, 0)).unwrap();
    assert_eq!(appender.sync().unwrap(), 2);
    append(&mut appender, &batch(2, 0)).unwrap();
    let flush = appender.flush();
    control.failures.set(&control.failures.sync, true);
    assert!(flush.run().is_err());
    control.failures.set(&control.failures.sync, false);
    let syncs = control.failures.syncs.load(Ordering::Relaxed);
    assert!(appender.sync().is_err());
    assert_eq!(control.failures.syncs.load(Ordering::Relaxed), syncs);
    assert_eq!(reader.durable_offset(), 2);
    assert!(matches!(append(&mut appender, &batch(1, 0)), Err(AppendError::Fenced(_))));
}

/// What a failed sync has left in the cache reads well, is taken for clean, and is not on disk.
#[test]
fn the_start_after_a_failed_sync_reads_the_disk_and_not_the_cache() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &sequenced(1, 0, 0, 2)).unwrap();
    appender.sync().unwrap();
    let before = contents(&reader);
    control.failures.cached_from.store(reader.size_bytes(), Ordering::Relaxed);
    append(&mut appender, &sequenced(1, 0, 2, 2)).unwrap();
    control.failures.set(&control.failures.sync, true);
    assert!(appender.sync().is_err());
    drop(appender);
    control.failures.set(&control.failures.sync, false);

    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    assert_eq!(contents(&reader), before);
    assert!(!append(&mut appender, &sequenced(1, 0, 2, 2)).unwrap().duplicate, "the producer sends it again");
    appender.sync().unwrap();
    // From here on the cache is as good as the disk.
    let written = contents(&reader);
    drop(appender);
    let (_, reader) = open_at(&disk, LogConfig::default());
    assert_eq!(contents(&reader), written);
}

#[test]
fn a_flush_covers_every_segment_since_the_last() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, small());
    for i in 0..30 {
        append(&mut appender, &batch(3, i)).unwrap();
    }
    let segments = reader.segment_count();
    assert!(segments >= 3);
    let flush = appender.flush();
    append(&mut appender, &batch(1, 0)).unwrap();
    let before = control.failures.syncs.load(Ordering::Relaxed);
    assert_eq!(flush.run().unwrap(), 90);
    assert_eq!(control.failures.syncs.load(Ordering::Relaxed) - before, segments);
    let before = control.failures.syncs.load(Ordering::Relaxed);
    assert_eq!(appender.sync().unwrap(), 91);
    assert_eq!(control.failures.syncs.load(Ordering::Relaxed) - before, 1, "only the active one is left");
}

#[test]
fn a_log_start_that_cannot_be_stored_does_not_move() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, small());
    append(&mut appender, &batch(5, 0)).unwrap();
    control.failures.set(&control.failures.rename, true);
    assert!(matches!(appender.delete_prefix(3), Err(DeleteError::Io(_))));
    assert_eq!(reader.log_start_offset(), 0);
    control.failures.set(&control.failures.rename, false);
    assert_eq!(appender.delete_prefix(3).unwrap(), 3);
}

#[test]
fn an_append_is_one_write() {
    let (control, disk) = failing();
    let (mut appender, _reader) = open_at(&disk, LogConfig::default());
    for i in 1..100 {
        append(&mut appender, &batch(3, 0)).unwrap();
        assert_eq!(control.failures.writes.load(Ordering::Relaxed), i);
    }
}

#[test]
fn a_log_that_did_not_change_is_closed_without_a_write() {
    let (control, disk) = failing();
    let (mut appender, _reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &batch(3, 0)).unwrap();
    appender.close().unwrap();
    let before = control.failures.writes.load(Ordering::Relaxed);
    let (appender, _reader) = open_at(&disk, LogConfig::default());
    appender.close().unwrap();
    assert_eq!(control.failures.writes.load(Ordering::Relaxed), before);
}

/// The files of the recovery points in the log's directory.
fn points(disk: &Arc<dyn Disk>) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".snap")).collect()
}

#[test]
fn no_recovery_point_lies_behind_a_segment_that_could_not_be_sealed() {
    let (control, disk) = failing();
    let (mut appender, _reader) = open_at(&disk, small());
    let seal = |appender: &mut quipu_storage::Appender| {
        append(appender, &batch(3, 0)).unwrap();
        appender.roll().unwrap();
        appender.take_chores().into_iter().map(|chore| chore.run().is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(seal(&mut appender), [true]);
    let before = points(&disk);
    assert_eq!(before.len(), 1);
    control.failures.set(&control.failures.set_len, true);
    assert_eq!(seal(&mut appender), [false]);
    control.failures.set(&control.failures.set_len, false);
    // This segment is fine, but a point behind it would vouch for the one before.
    assert_eq!(seal(&mut appender), [false]);
    assert_eq!(points(&disk), before);
}

#[test]
fn no_recovery_point_lies_behind_a_seal_that_is_still_going_on() {
    let (_, disk) = failing();
    let (mut appender, _reader) = open_at(&disk, small());
    for _ in 0..3 {
        append(&mut appender, &batch(3, 0)).unwrap();
        appender.roll().unwrap();
    }
    let mut seals = appender.take_chores().into_iter();
    let [first, second, third] = std::array::from_fn(|_| seals.next().unwrap());
    // As when a seal is done on the spot while another thread is at those before it.
    second.run().unwrap();
    assert_eq!(points(&disk).len(), 0);
    first.run().unwrap();
    assert_eq!(points(&disk).len(), 1);
    third.run().unwrap();
    assert_eq!(points(&disk).len(), 2);
}

#[test]
fn a_log_on_a_file_system_that_became_read_only_can_be_opened_and_read() {
    let (control, disk) = failing();
    let (mut appender, _reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &batch(3, 0)).unwrap();
    appender.close().unwrap();
    control.failures.set(&control.failures.remove, true);
    let (_appender, reader) = open_at(&disk, LogConfig::default());
    assert_eq!(reader.end_offset(), 3);
}
