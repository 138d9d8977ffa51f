//! Record batches from a client or a file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_protocol::record::{Batches, Records};

fuzz_target!(|bytes: &[u8]| {
    let mut position = 0;
    for batch in Batches::new(bytes) {
        assert_eq!(batch.bytes(), &bytes[position..position + batch.header().size_bytes()]);
        position += batch.bytes().len();
        assert_eq!(batch.header().to_bytes(), batch.bytes()[..batch.bytes().len() - batch.payload().len()]);
        batch.header().last_sequence();
        batch.computed_crc();
        // As if they were not compressed, whatever the header says.
        for record in Records::new(batch.payload(), batch.header().records_count) {
            let Ok(record) = record else { break };
            assert_eq!(record.headers().count(), record.headers().len());
        }
    }
});
