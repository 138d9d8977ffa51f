//! The cost of a record is the cost of a part of a batch: appending allocates nothing per record, and per batch only
//! where the index grows.

mod support;

use quipu_storage::{CheckedBatch, LogConfig, Origin};
use support::*;

#[test]
fn an_append_allocates_nothing() {
    for count in [1, 10_000] {
        let (mut appender, _reader) = open_at(&memory(), LogConfig::default());
        let bytes = batch(count, 0);
        // The first append opens the file.
        append(&mut appender, &bytes).unwrap();
        let batches = 200;
        let info = allocation_counter::measure(|| {
            for _ in 0..batches {
                let checked = CheckedBatch::check(&bytes).unwrap();
                appender.append(&checked, Origin::Producer, 0).unwrap();
            }
        });
        // Doubling an index of at most one entry per batch.
        assert!(info.count_total <= 10, "{} allocations for {batches} batches of {count}", info.count_total);
    }
}

#[test]
fn a_read_allocates_the_same_for_one_record_and_for_many() {
    let counts = [1, 10_000].map(|count| {
        let (mut appender, reader) = open_at(&memory(), LogConfig::default());
        append(&mut appender, &batch(count, 0)).unwrap();
        let read = || reader.read(0, 1 << 20, i64::MAX, true).unwrap().size_bytes;
        assert!(read() > 0);
        allocation_counter::measure(|| assert!(read() > 0)).count_total
    });
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0] <= 4, "{counts:?}");
}
