//! Writes what the targets start from: messages of every version, and batches. The argument is the
//! directory; each target has one of its name inside.

#[path = "../../protocol/tests/it/codec.rs"]
#[allow(dead_code)]
mod codec;
#[path = "../../protocol/tests/it/value.rs"]
#[allow(dead_code)]
mod value;

use quipu_protocol::ApiKey;
use quipu_protocol::header::RequestHeader;
use quipu_protocol::primitives::Writer;
use quipu_protocol::record::{BatchBuilder, Header};
use quipu_protocol::schema::MessageKind;
use std::path::PathBuf;
use value::{Random, random_struct, write_struct};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).expect("a directory"));
    for target in ["request", "response", "batch"] {
        std::fs::create_dir_all(root.join(target))?;
    }
    let mut responses = 0u8;
    for codec in codec::all() {
        let is_request = codec.kind == MessageKind::Request;
        for version in codec.versions.clone() {
            let mut random = Random(version as u64);
            let message = random_struct(codec.schema, version, &mut random);
            let mut body = Vec::new();
            write_struct(codec.schema, &message, version, codec.is_flexible(version), &mut body);
            let mut w = Writer::new();
            match codec.key.map(|key| ApiKey::try_from(key).expect("a declared API")) {
                Some(api) if is_request => RequestHeader {
                    api_key: api.key(),
                    api_version: version,
                    correlation_id: 1,
                    client_id: Some("fuzz".into()),
                }
                .encode(&mut w),
                Some(api) => {
                    w.put_bytes(&[responses, version as u8, 0, 0, 0, 1]);
                    w.put_bytes(if api.response_header_version(version) >= 1 { &[0] } else { &[] });
                }
                None => w.put_bytes(&[responses, version as u8]),
            }
            w.put_bytes(&body);
            let target = if is_request { "request" } else { "response" };
            let name = format!("{}-{version}", codec.name);
            std::fs::write(root.join(target).join(name), w.into_bytes())?;
        }
        responses += u8::from(!is_request);
    }

    let mut log = Vec::new();
    for count in 1..4 {
        let mut builder = BatchBuilder::new().base_offset(count).producer(7, 0, 0);
        for record in 0..count {
            let header = Header { key: b"name", value: Some(b"value") };
            builder.push(1_000 + record, Some(b"key"), Some(b"value"), &[header, header]);
            builder.push(1_000 + record, Some(b"gone"), None, &[]);
        }
        let batch = builder.finish();
        std::fs::write(root.join("batch").join(format!("batch-{count}")), &batch)?;
        log.extend(batch);
    }
    std::fs::write(root.join("batch").join("log"), log)
}
