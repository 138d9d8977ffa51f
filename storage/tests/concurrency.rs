//! Readers next to a writer that rolls and deletes: what they see is whole, in order, and stays.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use quipu_protocol::record::BatchView;
use quipu_storage::{LogConfig, ReadError, Reader};
use support::*;

/// Follows the log from its start until `done` and everything was read. Gives the number of batches.
fn follow(reader: &Reader, done: &AtomicBool, max_bytes: usize) -> u64 {
    let (mut next, mut seen) = (0, 0);
    loop {
        let finished = done.load(Ordering::Acquire);
        let read = match reader.read(next, max_bytes, i64::MAX, true) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { log_start_offset, .. }) => {
                assert!(log_start_offset > next);
                next = log_start_offset;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(read.next_offset <= read.end_offset);
        for batch in read.batches() {
            check(&batch, &mut next);
            seen += 1;
        }
        assert_eq!(next, read.next_offset.max(next));
        if read.is_empty() && finished && next == reader.end_offset() {
            return seen;
        }
    }
}

fn check(batch: &BatchView<'_>, next: &mut i64) {
    let header = batch.header();
    assert_eq!(batch.computed_crc(), header.crc);
    assert!(header.base_offset <= *next && header.last_offset() >= *next, "no batch is left out");
    *next = header.last_offset() + 1;
}

#[test]
fn readers_see_whole_batches_in_order_while_the_log_rolls_and_shrinks() {
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 500, ..LogConfig::default() };
    let (mut appender, reader) = open_at(&memory(), config);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let followers: Vec<_> = [1, 700, 100_000]
            .map(|max_bytes| {
                let (reader, done) = (reader.clone(), &done);
                scope.spawn(move || follow(&reader, done, max_bytes))
            })
            .into_iter()
            .collect();
        let (reader, done_too) = (reader.clone(), &done);
        let lookups = scope.spawn(move || {
            while !done_too.load(Ordering::Acquire) {
                let (start, end) = (reader.log_start_offset(), reader.end_offset());
                if let Some((offset, stamp)) = reader.offset_for_timestamp(500, end).unwrap() {
                    assert!(offset >= start && offset < end && stamp >= 500);
                }
                reader.max_timestamp(end).unwrap();
            }
        });
        for i in 0..5_000i64 {
            append(&mut appender, &batch(1 + i as usize % 4, i % 1_000)).unwrap();
            if i % 100 == 99 {
                appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
            }
            if i % 1_000 == 999 {
                appender.delete_prefix(appender.end_offset() - 500).unwrap();
            }
        }
        done.store(true, Ordering::Release);
        lookups.join().unwrap();
        for follower in followers {
            assert!(follower.join().unwrap() > 0);
        }
    });
}
