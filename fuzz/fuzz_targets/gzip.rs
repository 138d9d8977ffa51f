//! Gzip from a stranger: nothing comes out beyond the limit, nor is more memory taken on the way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_storage::compress::{Codec, compress, decompress, expansion_limit};

fuzz_target!(|input: &[u8]| {
    for limit in [1_000, expansion_limit(input.len())] {
        if let Ok(out) = decompress(Codec::Gzip, input, limit) {
            assert!(out.len() <= limit);
        }
    }
    // And there and back.
    if let Ok(small) = compress(Codec::Gzip, None, input) {
        assert_eq!(decompress(Codec::Gzip, &small, input.len()).ok().as_deref(), Some(input));
    }
});
