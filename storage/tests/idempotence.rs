//! The invariants of idempotent produce, by name (I1 to I8), and what of them must survive a restart.

mod support;

use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::{AppendError, Appender, CheckedBatch, InvalidRecord, LogConfig, Origin, TimestampType};
use support::*;

fn expect_gap(result: Result<quipu_storage::Appended, AppendError>, wanted: i32) {
    match result {
        Err(AppendError::OutOfOrderSequence { expected, .. }) => assert_eq!(expected, wanted),
        other => panic!("{other:?}"),
    }
}

fn expect_old_epoch(result: Result<quipu_storage::Appended, AppendError>, newest: i16) {
    match result {
        Err(AppendError::InvalidProducerEpoch { current, .. }) => assert_eq!(current, newest),
        other => panic!("{other:?}"),
    }
}

/// Appends as another producer or epoch would: sequences 0.. in batches of two.
fn append_run(appender: &mut Appender, producer_id: i64, batches: i32) {
    for i in 0..batches {
        append(appender, &sequenced(producer_id, 0, i * 2, 2)).unwrap();
    }
}

#[test]
fn i1_the_last_five_batches_are_recognised_and_the_sixth_is_not() {
    let (mut appender, reader) = open_at(&memory(), small());
    append(&mut appender, &batch(7, 0)).unwrap();
    append_run(&mut appender, 9, 6);
    let end = reader.end_offset();
    for i in 1..6 {
        let again = append(&mut appender, &sequenced(9, 0, i * 2, 2)).unwrap();
        assert!(again.duplicate);
        assert_eq!((again.base_offset, again.last_offset), (7 + i64::from(i) * 2, 8 + i64::from(i) * 2));
    }
    expect_gap(append(&mut appender, &sequenced(9, 0, 0, 2)), 12);
    // First and last sequence must agree, not one of them.
    expect_gap(append(&mut appender, &sequenced(9, 0, 10, 1)), 12);
    assert_eq!(reader.end_offset(), end);
}

#[test]
fn i1_a_duplicate_is_answered_with_the_first_answers_time() {
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..small() };
    let (mut appender, _reader) = open_at(&memory(), config);
    let bytes = sequenced(1, 0, 0, 1);
    let checked = CheckedBatch::check(&bytes).unwrap();
    assert_eq!(appender.append(&checked, Origin::Producer, 50).unwrap().log_append_time_ms, 50);
    assert_eq!(appender.append(&checked, Origin::Producer, 99).unwrap().log_append_time_ms, 50);
}

#[test]
fn i2_the_next_sequence_follows_the_last_one() {
    let (mut appender, _reader) = open_at(&memory(), small());
    append(&mut appender, &sequenced(1, 0, 0, 3)).unwrap();
    expect_gap(append(&mut appender, &sequenced(1, 0, 4, 1)), 3);
    expect_gap(append(&mut appender, &sequenced(1, 0, 2, 1)), 3);
    append(&mut appender, &sequenced(1, 0, 3, 1)).unwrap();
}

#[test]
fn i2_sequences_wrap_to_zero() {
    let (mut appender, _reader) = open_at(&memory(), small());
    append(&mut appender, &sequenced(1, 0, i32::MAX - 1, 3)).unwrap();
    assert!(append(&mut appender, &sequenced(1, 0, i32::MAX - 1, 3)).unwrap().duplicate);
    append(&mut appender, &sequenced(1, 0, 1, 1)).unwrap();
    let (mut appender, _reader) = open_at(&memory(), small());
    append(&mut appender, &sequenced(1, 0, i32::MAX, 1)).unwrap();
    append(&mut appender, &sequenced(1, 0, 0, 1)).unwrap();
}

#[test]
fn i3_a_new_epoch_starts_at_zero_and_an_old_one_is_refused() {
    let (mut appender, _reader) = open_at(&memory(), small());
    append(&mut appender, &sequenced(1, 3, 0, 2)).unwrap();
    expect_gap(append(&mut appender, &sequenced(1, 4, 2, 1)), 0);
    append(&mut appender, &sequenced(1, 4, 0, 2)).unwrap();
    expect_old_epoch(append(&mut appender, &sequenced(1, 3, 2, 1)), 4);
    // Not even a batch that was appended under the old epoch.
    expect_old_epoch(append(&mut appender, &sequenced(1, 3, 0, 2)), 4);
}

#[test]
fn i4_a_producer_that_is_not_known_may_start_anywhere() {
    let (mut appender, _reader) = open_at(&memory(), small());
    append(&mut appender, &sequenced(1, 5, 77, 1)).unwrap();
    expect_gap(append(&mut appender, &sequenced(1, 5, 77 + 2, 1)), 78);
    assert_eq!(appender.expire_producers(i64::MAX), 1);
    append(&mut appender, &sequenced(1, 0, 500, 1)).unwrap();
}

#[test]
fn i5_all_five_batches_survive_a_clean_stop_and_a_crash() {
    for clean in [true, false] {
        let disk = memory();
        let (mut appender, _reader) = open_at(&disk, small());
        for producer_id in 0..10 {
            append_run(&mut appender, producer_id, 7);
        }
        appender.roll().unwrap();
        append_run(&mut appender, 100, 6);
        append(&mut appender, &sequenced(100, 1, 0, 1)).unwrap();
        let mut before: Vec<_> = appender.producers().map(|(id, state)| (id, state.clone())).collect();
        before.sort_unstable_by_key(|(id, _)| *id);
        if clean {
            appender.close().unwrap();
        } else {
            drop(appender);
        }
        let (mut appender, _reader) = open_at(&disk, small());
        let mut after: Vec<_> = appender.producers().map(|(id, state)| (id, state.clone())).collect();
        after.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(before, after, "clean: {clean}");
        assert_eq!(after[0].1.batches().len(), 5);
        assert!(append(&mut appender, &sequenced(5, 0, 4, 2)).unwrap().duplicate);
        expect_gap(append(&mut appender, &sequenced(5, 0, 2, 2)), 14);
        expect_old_epoch(append(&mut appender, &sequenced(100, 0, 12, 2)), 1);
    }
}

#[test]
fn i6_silence_is_forgotten_by_the_brokers_clock() {
    let (mut appender, _reader) = open_at(&memory(), small());
    let (early, late) = (sequenced(1, 0, 0, 1), sequenced(2, 0, 0, 1));
    appender.append(&CheckedBatch::check(&early).unwrap(), Origin::Producer, 100).unwrap();
    appender.append(&CheckedBatch::check(&late).unwrap(), Origin::Producer, 200).unwrap();
    assert_eq!(appender.expire_producers(100), 0);
    assert_eq!(appender.expire_producers(101), 1);
    assert_eq!(appender.producers().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
}

#[test]
fn i7_flushing_after_a_duplicate_covers_the_original() {
    let (mut appender, reader) = open_at(&memory(), small());
    let first = append(&mut appender, &sequenced(1, 0, 0, 4)).unwrap();
    let again = append(&mut appender, &sequenced(1, 0, 0, 4)).unwrap();
    assert!(again.duplicate && reader.durable_offset() == 0);
    let flush = appender.flush();
    assert!(flush.upto() > first.last_offset);
    assert_eq!(flush.run().unwrap(), 4);
    assert_eq!(reader.durable_offset(), 4);
}

#[test]
fn i8_the_number_of_producers_is_bounded_and_the_oldest_go_first() {
    let config = LogConfig { max_producers: 32, ..LogConfig::default() };
    let (mut appender, _reader) = open_at(&memory(), config);
    for id in 0..100 {
        let bytes = sequenced(id, 0, 0, 1);
        appender.append(&CheckedBatch::check(&bytes).unwrap(), Origin::Producer, id).unwrap();
        assert!(appender.producer_count() <= 32);
    }
    let mut known: Vec<_> = appender.producers().map(|(id, _)| id).collect();
    known.sort_unstable();
    assert!(known.len() >= 30);
    assert_eq!(known, (100 - known.len() as i64..100).collect::<Vec<_>>());
}

#[test]
fn p1_what_a_producer_may_not_send() {
    let (mut appender, reader) = open_at(&memory(), small());
    let with = |attributes: Attributes| fill(BatchBuilder::new().attributes(attributes), 1, 0);
    let none = Attributes::default();
    let cases = [
        (with(none.with_control(true)), InvalidRecord::ControlBatch),
        (with(none.with_log_append_time(true)), InvalidRecord::LogAppendTime),
        (fill(BatchBuilder::new().base_offset(5), 1, 0), InvalidRecord::BaseOffset(5)),
    ];
    for (bytes, expected) in cases {
        match append(&mut appender, &bytes) {
            Err(AppendError::InvalidRecord(reason)) => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        }
    }
    let transactional =
        fill(BatchBuilder::new().producer(3, 0, 0).attributes(none.with_transactional(true)), 1, 0);
    assert!(matches!(
        append(&mut appender, &transactional),
        Err(AppendError::NoTransaction { producer_id: 3 })
    ));
    let large = batch(100, 0);
    assert!(matches!(append(&mut appender, &large), Err(AppendError::TooLarge { limit_bytes: 2_000, .. })));
    assert_eq!(reader.end_offset(), 0);
    // The broker itself may write markers.
    let marker = with(none.with_control(true));
    appender.append(&CheckedBatch::check(&marker).unwrap(), Origin::Internal, 0).unwrap();
}
