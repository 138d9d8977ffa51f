//! The index of a segment, whatever it says, in a log that is sound but for it.

#![no_main]

mod directory;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| directory::sound(false));

fuzz_target!(|input: &[u8]| directory::replace_one(1, &FILES, input));
