//! A frame from a broker, or data inside a frame. The first two bytes choose the message and its version.

#![no_main]

#[path = "../../protocol/tests/it/codec.rs"]
#[allow(dead_code)]
mod codec;

use codec::Codec;
use libfuzzer_sys::fuzz_target;
use quipu_protocol::ApiKey;
use quipu_protocol::header::decode_response_header;
use quipu_protocol::schema::MessageKind;
use std::sync::LazyLock;

static RESPONSES: LazyLock<Vec<Codec>> =
    LazyLock::new(|| codec::all().into_iter().filter(|codec| codec.kind != MessageKind::Request).collect());

fuzz_target!(|input: &[u8]| {
    let [message, version, frame @ ..] = input else { return };
    let Some(response) = RESPONSES.get(usize::from(*message)) else { return };
    let version = i16::from(*version);
    let body = match response.key.map(ApiKey::try_from) {
        Some(Ok(api)) => match decode_response_header(frame, api, version) {
            Ok((_, r)) => r.rest(),
            Err(_) => return,
        },
        _ => frame,
    };
    if let Ok(bytes) = (response.recode)(body, version) {
        // What we write we read, and it is the same.
        assert_eq!((response.recode)(&bytes, version), Ok(bytes));
    }
});
