//! Batches that are written together: nobody sees them before, and afterwards the log is what it would have been.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::disk::Disk;
use quipu_storage::{AppendError, Appended, Appender, CheckedBatch, DeleteError, LogConfig, Marker, Origin};
use support::*;

fn stage(appender: &mut Appender, bytes: &[u8]) -> Result<Appended, AppendError> {
    appender.stage(&CheckedBatch::check(bytes).unwrap(), Origin::Transaction, 1_000)
}

fn failing() -> (FailingDisk, Arc<dyn Disk>) {
    let disk = FailingDisk::default();
    (disk.clone(), Arc::new(disk))
}

fn in_transaction(producer_id: i64, sequence: i32, count: usize) -> Vec<u8> {
    fill(
        BatchBuilder::new()
            .producer(producer_id, 0, sequence)
            .attributes(Attributes::default().with_transactional(true)),
        count,
        1_000,
    )
}

#[test]
fn staged_batches_are_one_write_and_seen_only_then() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    for i in 0..5 {
        let appended = stage(&mut appender, &sequenced(1, 0, i * 2, 2)).unwrap();
        assert_eq!((appended.base_offset, appended.last_offset), (i64::from(i) * 2, i64::from(i) * 2 + 1));
    }
    assert!(stage(&mut appender, &sequenced(1, 0, 4, 2)).unwrap().duplicate, "known before it is written");
    assert!(matches!(
        stage(&mut appender, &sequenced(1, 0, 20, 2)),
        Err(AppendError::OutOfOrderSequence { expected: 10, .. })
    ));
    assert!(matches!(appender.delete_prefix(4), Err(DeleteError::OutOfRange { end_offset: 0 })));
    assert_eq!((reader.end_offset(), contents(&reader).len()), (0, 0));
    assert_eq!(control.failures.writes.load(Ordering::Relaxed), 0);
    appender.write_staged().unwrap();
    assert_eq!((reader.end_offset(), contents(&reader).len()), (10, 10));
    appender.write_staged().unwrap();
    assert_eq!(control.failures.writes.load(Ordering::Relaxed), 1);

    // What is appended next takes along what is staged.
    stage(&mut appender, &sequenced(1, 0, 10, 1)).unwrap();
    append(&mut appender, &sequenced(1, 0, 11, 1)).unwrap();
    assert_eq!((contents(&reader).len(), control.failures.writes.load(Ordering::Relaxed)), (12, 2));
    // And so does the answer that it is there already.
    stage(&mut appender, &sequenced(1, 0, 12, 1)).unwrap();
    assert!(append(&mut appender, &sequenced(1, 0, 12, 1)).unwrap().duplicate);
    assert_eq!(contents(&reader).len(), 13);
}

#[test]
fn a_failed_write_of_staged_batches_leaves_none_of_them() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    append(&mut appender, &sequenced(1, 0, 0, 2)).unwrap();
    let before = contents(&reader);
    stage(&mut appender, &sequenced(1, 0, 2, 2)).unwrap();
    stage(&mut appender, &in_transaction(2, 0, 2)).unwrap();
    control.failures.set(&control.failures.write, true);
    // Whoever it is that has them written: all who staged are told.
    assert!(appender.flush().run().is_err());
    assert!(matches!(appender.write_staged(), Err(AppendError::Fenced(_))));
    assert!(matches!(stage(&mut appender, &sequenced(1, 0, 4, 2)), Err(AppendError::Fenced(_))));
    assert_eq!((contents(&reader), reader.last_stable_offset(2)), (before.clone(), 2));
    assert!(appender.close().is_err());

    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    // The disk may have taken the first of them. Nobody was told so, and whoever sends it again finds that out.
    assert!(contents(&reader).starts_with(&before));
    append(&mut appender, &sequenced(1, 0, 2, 2)).unwrap();
    assert_eq!(contents(&reader).len(), 4);
}

#[test]
fn a_full_disk_refuses_one_batch_and_not_those_before_it() {
    let (control, disk) = failing();
    let (mut appender, reader) = open_at(&disk, LogConfig::default());
    stage(&mut appender, &sequenced(1, 0, 0, 2)).unwrap();
    control.failures.set(&control.failures.full, true);
    let mut sequence = 2;
    let refused = loop {
        match stage(&mut appender, &sequenced(1, 0, sequence, 10)) {
            Ok(_) => sequence += 10,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(_)) && sequence > 100);
    appender.write_staged().unwrap();
    assert_eq!(contents(&reader).len() as i32, sequence);
    control.failures.set(&control.failures.full, false);
    assert!(
        !stage(&mut appender, &sequenced(1, 0, sequence, 10)).unwrap().duplicate,
        "refused is not appended"
    );
    appender.close().unwrap();
    assert_eq!(contents(&open_at(&disk, LogConfig::default()).1).len() as i32, sequence + 10);
}

#[test]
fn a_transaction_that_is_staged_is_open_and_ends_like_any() {
    let (mut appender, reader) = open_at(&memory(), LogConfig::default());
    append(&mut appender, &batch(3, 0)).unwrap();
    stage(&mut appender, &in_transaction(7, 0, 2)).unwrap();
    stage(&mut appender, &in_transaction(7, 2, 2)).unwrap();
    stage(&mut appender, &batch(1, 0)).unwrap();
    assert_eq!(reader.last_stable_offset(reader.end_offset()), 3);
    appender.write_staged().unwrap();
    assert_eq!((reader.end_offset(), reader.last_stable_offset(8)), (8, 3));
    stage(&mut appender, &in_transaction(7, 4, 1)).unwrap();
    let marker = Marker {
        producer_id: 7,
        producer_epoch: 0,
        coordinator_epoch: 0,
        is_commit: false,
        has_own_epoch: false,
    };
    let ended = appender.end_transaction(&marker, true, 1_000).unwrap();
    assert_eq!((ended.base_offset, reader.last_stable_offset(10)), (9, 10));
    let aborted = reader.aborted(0, 10).unwrap();
    assert_eq!(
        aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect::<Vec<_>>(),
        [(7, 3)]
    );
}

/// The same batches, one log writing each at once, the other when it likes: the files are the same, whatever else is
/// done between.
#[test]
fn staging_leaves_the_log_that_appending_leaves() {
    let (plain_disk, staged_disk) = (memory(), memory());
    let (mut plain, plain_reader) = open_at(&plain_disk, small());
    let (mut staged, staged_reader) = open_at(&staged_disk, small());
    for i in 0..400i32 {
        let bytes = sequenced(1, 0, i * 3, 3);
        let expected = append(&mut plain, &bytes).unwrap();
        let found = if i % 7 == 6 { append(&mut staged, &bytes) } else { stage(&mut staged, &bytes) };
        assert_eq!(found.unwrap(), expected);
        match i % 23 {
            3 => assert_eq!(staged.sync().unwrap(), plain.sync().unwrap()),
            9 => {
                staged.roll().unwrap();
                plain.roll().unwrap();
            }
            14 => staged.write_staged().unwrap(),
            20 => {
                for appender in [&mut plain, &mut staged] {
                    appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
                }
            }
            _ => {}
        }
        assert!(staged_reader.end_offset() <= plain_reader.end_offset());
    }
    plain.close().unwrap();
    staged.close().unwrap();
    assert_eq!(contents(&staged_reader), contents(&plain_reader));
    let files = |disk: &Arc<dyn Disk>| {
        let mut files: Vec<_> = disk.list(support::DIR.as_ref()).unwrap();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.into_iter().map(|file| (file.name, file.size_bytes)).collect::<Vec<_>>()
    };
    assert_eq!(files(&staged_disk), files(&plain_disk));
    let (staged, _) = open_at(&staged_disk, small());
    assert_eq!(staged.recovery().scanned_bytes, 0);
}
