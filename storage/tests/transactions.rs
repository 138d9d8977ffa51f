//! Transactions in a log: the last stable offset and the list of aborted transactions, compared with what a reader of
//! every batch would say (T5, T6, T8, T9, T11).

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::disk::Disk;
use quipu_storage::{
    Aborted, AppendError, Appended, Appender, CheckedBatch, InvalidRecord, Marker, Origin, Reader,
};
use support::*;

fn data(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let attributes = Attributes::default().with_transactional(true);
    fill(BatchBuilder::new().producer(producer_id, epoch, sequence).attributes(attributes), count, 1_000)
}

fn send(appender: &mut Appender, bytes: &[u8], origin: Origin) -> Result<Appended, AppendError> {
    appender.append(&CheckedBatch::check(bytes).unwrap(), origin, 1_000)
}

fn marker(producer_id: i64, producer_epoch: i16, is_commit: bool) -> Marker {
    Marker { producer_id, producer_epoch, is_commit, coordinator_epoch: 0, has_own_epoch: false }
}

fn own(producer_id: i64, producer_epoch: i16, is_commit: bool) -> Marker {
    Marker { has_own_epoch: true, ..marker(producer_id, producer_epoch, is_commit) }
}

fn end(appender: &mut Appender, marker: Marker) -> Appended {
    appender.end_transaction(&marker, true, 1_000).unwrap()
}

fn stable(reader: &Reader) -> i64 {
    reader.last_stable_offset(reader.end_offset())
}

#[test]
fn t8_the_last_stable_offset_is_that_of_the_oldest_open_transaction() {
    let (mut appender, reader) = open_at(&memory(), small());
    append(&mut appender, &batch(3, 0)).unwrap();
    assert_eq!(stable(&reader), 3);
    send(&mut appender, &data(1, 0, 0, 2), Origin::Transaction).unwrap();
    send(&mut appender, &data(2, 0, 0, 2), Origin::Transaction).unwrap();
    append(&mut appender, &batch(1, 0)).unwrap();
    assert_eq!(stable(&reader), 3);
    end(&mut appender, marker(1, 0, true));
    assert_eq!(stable(&reader), 5);
    end(&mut appender, marker(2, 0, false));
    assert_eq!(stable(&reader), reader.end_offset());
    let aborted = Aborted { producer_id: 2, first_offset: 5, last_offset: 9, last_stable_offset: 10 };
    assert_eq!(reader.aborted(0, 10).unwrap(), [aborted]);
    assert_eq!(reader.aborted(0, 5).unwrap(), []);
    assert_eq!(reader.aborted(9, 10).unwrap(), [aborted]);
    assert_eq!(reader.aborted(10, 10).unwrap(), []);
}

#[test]
fn t8_a_marker_that_is_not_shown_yet_releases_nothing() {
    let (mut appender, reader) = open_at(&memory(), small());
    send(&mut appender, &data(1, 0, 0, 2), Origin::Transaction).unwrap();
    appender.sync().unwrap();
    appender.end_transaction(&marker(1, 0, true), false, 0).unwrap();
    // As a broker sees it that shows what is durable.
    assert_eq!(reader.last_stable_offset(reader.durable_offset()), 0);
    appender.sync().unwrap();
    assert_eq!(reader.last_stable_offset(reader.durable_offset()), 3);
}

#[test]
fn t5_the_first_batch_of_a_transaction_needs_the_coordinators_word() {
    let (mut appender, reader) = open_at(&memory(), small());
    let refused = send(&mut appender, &data(1, 0, 0, 1), Origin::Producer);
    assert!(matches!(refused, Err(AppendError::NoTransaction { producer_id: 1 })));
    assert_eq!(reader.end_offset(), 0);
    send(&mut appender, &data(1, 0, 0, 1), Origin::Transaction).unwrap();
    send(&mut appender, &data(1, 0, 1, 1), Origin::Producer).unwrap();
    end(&mut appender, marker(1, 0, true));
    let refused = send(&mut appender, &data(1, 0, 2, 1), Origin::Producer);
    assert!(matches!(refused, Err(AppendError::NoTransaction { .. })));
    // A retry of what has been committed is a duplicate, not a transaction of its own.
    assert!(send(&mut appender, &data(1, 0, 1, 1), Origin::Producer).unwrap().duplicate);
    // Sequences go on across transactions of one epoch, and start anew with the next.
    send(&mut appender, &data(1, 0, 2, 1), Origin::Transaction).unwrap();
    end(&mut appender, own(1, 1, true));
    assert!(matches!(
        send(&mut appender, &data(1, 1, 3, 1), Origin::Transaction),
        Err(AppendError::OutOfOrderSequence { expected: 0, .. })
    ));
    send(&mut appender, &data(1, 1, 0, 1), Origin::Transaction).unwrap();
}

#[test]
fn t11_a_batch_outside_of_the_open_transaction_is_refused() {
    let (mut appender, _reader) = open_at(&memory(), small());
    send(&mut appender, &data(1, 0, 0, 1), Origin::Transaction).unwrap();
    let refused = append(&mut appender, &sequenced(1, 0, 1, 1));
    assert!(matches!(refused, Err(AppendError::OpenTransaction { producer_id: 1 })));
    let no_sequence = fill(
        BatchBuilder::new().producer(1, 0, -1).attributes(Attributes::default().with_transactional(true)),
        1,
        0,
    );
    assert!(matches!(
        send(&mut appender, &no_sequence, Origin::Transaction),
        Err(AppendError::InvalidRecord(InvalidRecord::NoSequence))
    ));
}

#[test]
fn t6_markers_of_the_past_are_refused_and_repeated_ones_are_not_appended() {
    let (mut appender, reader) = open_at(&memory(), small());
    send(&mut appender, &data(1, 0, 0, 1), Origin::Transaction).unwrap();
    // With an epoch per transaction a marker is newer than the data: this one ended the transaction before.
    assert!(matches!(
        appender.end_transaction(&own(1, 0, true), true, 0),
        Err(AppendError::InvalidProducerEpoch { current: 0, found: 0, .. })
    ));
    assert_eq!(end(&mut appender, own(1, 1, true)).last_offset, 1);
    assert!(end(&mut appender, own(1, 1, true)).duplicate);
    assert_eq!(reader.end_offset(), 2);
    assert!(matches!(
        appender.end_transaction(&own(1, 0, true), true, 0),
        Err(AppendError::InvalidProducerEpoch { current: 1, found: 0, .. })
    ));
    // The greatest epoch is never given to a producer, but a marker may carry it.
    send(&mut appender, &data(1, i16::MAX - 1, 0, 1), Origin::Transaction).unwrap();
    end(&mut appender, own(1, i16::MAX, false));
    assert_eq!(stable(&reader), reader.end_offset());

    let newer = Marker { coordinator_epoch: 4, ..marker(9, 0, true) };
    end(&mut appender, newer);
    assert!(matches!(
        appender.end_transaction(&marker(9, 0, false), true, 0),
        Err(AppendError::CoordinatorFenced { current: 4, found: 0, .. })
    ));
}

#[test]
fn i6_a_producer_with_an_open_transaction_is_not_forgotten() {
    let (mut appender, reader) = open_at(&memory(), small());
    send(&mut appender, &data(1, 0, 0, 1), Origin::Transaction).unwrap();
    append(&mut appender, &sequenced(2, 0, 0, 1)).unwrap();
    assert_eq!(appender.expire_producers(i64::MAX), 1);
    assert_eq!(stable(&reader), 0);
}

#[test]
fn t9_a_damaged_list_is_not_believed_but_built_anew() {
    let disk = memory();
    let (mut appender, _reader) = open_at(&disk, small());
    send(&mut appender, &data(1, 0, 0, 1), Origin::Transaction).unwrap();
    end(&mut appender, marker(1, 0, false));
    appender.close().unwrap();
    let aborted = Aborted { producer_id: 1, first_offset: 0, last_offset: 1, last_stable_offset: 2 };
    let path = std::path::Path::new(DIR).join(format!("{:020}.txn", 0));
    quipu_storage::disk::replace_file(&*disk, &path, b"QTXNnothing").unwrap();
    let (_appender, reader) = open_at(&disk, small());
    assert_eq!(reader.aborted(0, 2).unwrap(), [aborted]);
}

/// Producer id, offset of the first record, offset of the marker.
type Span = (i64, i64, i64);

/// What a reader of every batch would find: the open transactions, and all that were aborted.
fn brute_force(reader: &Reader) -> (BTreeMap<i64, i64>, Vec<Span>) {
    let (mut open, mut aborted) = (BTreeMap::new(), Vec::new());
    let (mut from, upto) = (0, reader.end_offset());
    while from < upto {
        let read = reader.read(from, 700, upto, true).unwrap();
        for batch in read.batches() {
            let header = batch.header();
            if let Some(marker) = Marker::read(&batch) {
                let first = open.remove(&marker.producer_id);
                if let Some(first) = first.filter(|_| !marker.is_commit) {
                    aborted.push((marker.producer_id, first, header.base_offset));
                }
            } else if header.attributes.is_transactional() {
                open.entry(header.producer_id).or_insert(header.base_offset);
            }
        }
        from = read.next_offset;
    }
    (open, aborted)
}

fn compare(reader: &Reader) {
    let upto = reader.end_offset();
    let (open, aborted) = brute_force(reader);
    assert_eq!(stable(reader), open.values().copied().min().unwrap_or(upto));
    for from in (0..=upto).step_by(3) {
        for to in (from..=upto).step_by(5) {
            let wanted: Vec<_> =
                aborted.iter().filter(|(_, first, last)| *last >= from && *first < to).copied().collect();
            let found: Vec<_> = reader
                .aborted(from, to)
                .unwrap()
                .iter()
                .map(|a| (a.producer_id, a.first_offset, a.last_offset))
                .collect();
            assert_eq!(found, wanted, "from {from} to {to}");
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Data(i64, usize),
    End(i64, bool),
    Plain(usize),
    Roll,
    Restart(bool),
    Chores,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4i64, 1..4usize).prop_map(|(id, count)| Op::Data(id, count)),
        4 => (0..4i64, any::<bool>()).prop_map(|(id, commit)| Op::End(id, commit)),
        2 => (1..3usize).prop_map(Op::Plain),
        1 => Just(Op::Roll),
        1 => any::<bool>().prop_map(Op::Restart),
        1 => Just(Op::Chores),
    ]
}

fn producers(appender: &Appender) -> Vec<(i64, quipu_storage::ProducerState)> {
    let mut all: Vec<_> = appender.producers().map(|(id, state)| (id, state.clone())).collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn t8_t9_equal_a_reading_of_every_batch_across_restarts(ops in prop::collection::vec(op(), 1..60)) {
        let disk: Arc<dyn Disk> = memory();
        let (mut appender, mut reader) = open_at(&disk, small());
        let mut next: BTreeMap<i64, (i16, i32)> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Data(id, count) => {
                    let (epoch, sequence) = next.entry(id).or_default();
                    send(&mut appender, &data(id, *epoch, *sequence, count), Origin::Transaction).unwrap();
                    *sequence += count as i32;
                }
                Op::End(id, commit) => {
                    let entry = next.entry(id).or_default();
                    *entry = (entry.0 + 1, 0);
                    end(&mut appender, own(id, entry.0, commit));
                }
                Op::Plain(count) => drop(append(&mut appender, &batch(count, 0)).unwrap()),
                Op::Roll => appender.roll().unwrap(),
                Op::Chores => appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap()),
                Op::Restart(clean) => {
                    let before = producers(&appender);
                    if clean { appender.close().unwrap() } else { drop(appender) }
                    (appender, reader) = open_at(&disk, small());
                    prop_assert_eq!(producers(&appender), before);
                }
            }
        }
        compare(&reader);
    }
}
