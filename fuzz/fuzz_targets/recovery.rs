//! Recovery of a log from a directory that holds anything: files of every kind under any offset, with right sums or not.
//!
//! The input is a row of files: kind (with 0x80 its sums are put right), offset, length as u16, bytes.

#![no_main]

mod directory;

use directory::{KINDS, empty, live, live_lied_to, put, put_sums_right, with_sum};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let disk = empty();
    let (mut rest, mut is_lied_to) = (input, false);
    for _ in 0..6 {
        let [kind, offset, high, low, tail @ ..] = rest else { break };
        let size = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (bytes, tail) = tail.split_at(size);
        rest = tail;
        let number = usize::from(kind & 0x7f) % KINDS.len();
        let is_right = kind & 0x80 != 0;
        let name = format!("{offset:020}.{}", KINDS[number].0);
        // No crash writes a wrong state with a right sum; there, all that is asked for is manners.
        is_lied_to |= number > 0 && is_right;
        let bytes = match (number, is_right) {
            (0, true) => {
                let mut log = bytes.to_vec();
                put_sums_right(&mut log);
                log
            }
            (_, true) => with_sum(number, bytes),
            (_, false) => bytes.to_vec(),
        };
        put(&disk, &name, &bytes);
    }
    if is_lied_to { live_lied_to(&disk) } else { live(&disk) }
});
