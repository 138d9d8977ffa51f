//! A frame from a client: the header, then the request that it names.

#![no_main]

#[path = "../../protocol/tests/it/codec.rs"]
#[allow(dead_code)]
mod codec;

use codec::Codec;
use libfuzzer_sys::fuzz_target;
use quipu_protocol::header::decode_request_header;
use quipu_protocol::schema::MessageKind;
use std::collections::HashMap;
use std::sync::LazyLock;

static REQUESTS: LazyLock<HashMap<i16, Codec>> = LazyLock::new(|| {
    let requests = codec::all().into_iter().filter(|codec| codec.kind == MessageKind::Request);
    requests.filter_map(|codec| Some((codec.key?, codec))).collect()
});

fuzz_target!(|frame: &[u8]| {
    let Ok((header, r)) = decode_request_header(frame) else { return };
    let request = &REQUESTS[&header.api_key];
    if let Ok(bytes) = (request.recode)(r.rest(), header.api_version) {
        // What we write we read, and it is the same.
        assert_eq!((request.recode)(&bytes, header.api_version), Ok(bytes));
    }
});
