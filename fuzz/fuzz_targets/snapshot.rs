//! A recovery point, whatever it says, in a log that is sound but for it.

#![no_main]

mod directory;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| directory::sound(true));

fuzz_target!(|input: &[u8]| directory::replace_one(2, &FILES, input));
