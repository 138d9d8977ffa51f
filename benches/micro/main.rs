//! Small costs beside their floors: `cargo bench --bench micro [NAME]`.
//!
//! - `codec`: decode and encode of the messages that matter, ours and the kafka-protocol crate's, from the same bytes;
//! - `log`: checksum, append, find, read, recovery scan, group commit;
//! - `floor`: what this machine's kernel asks for the same without any broker: socket round trips, writes, syncs, and
//!   the two loops that any broker must run (receive, check, write, answer; and send from the map);
//! - `broker`: the same two loops through a real server, in processor time per million 100-byte records, to be held
//!   against the floors of the same run.
//!
//! `floor/cpu/…` and `broker/cpu/…` are processor time of the serving thread or process; everything else is wall time.

use criterion::{criterion_group, criterion_main};

mod codec;
mod floor;
mod log;
mod serve;

criterion_group!(benches, codec::benches, log::benches, floor::benches, serve::benches);
criterion_main!(benches);

/// A batch of `count` records of 100 bytes; 147 of them are about 16 KiB.
fn batch(count: usize) -> Vec<u8> {
    let mut builder = quipu_protocol::record::BatchBuilder::new();
    for _ in 0..count {
        builder.push(1_700_000_000_000, None, Some(&[b'x'; 100]), &[]);
    }
    builder.finish()
}

/// Records in a batch of about 16 KiB.
const RECORDS: usize = 147;
