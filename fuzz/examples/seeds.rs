//! Writes what the targets start from: messages of every version, and batches. The argument is the
//! directory; each target has one of its name inside.

#[path = "../../protocol/tests/it/codec.rs"]
#[allow(dead_code)]
mod codec;
#[path = "../fuzz_targets/directory.rs"]
mod directory;
#[path = "../../protocol/tests/it/value.rs"]
#[allow(dead_code)]
mod value;

use quipu_protocol::ApiKey;
use quipu_protocol::header::RequestHeader;
use quipu_protocol::primitives::Writer;
use quipu_protocol::record::{BatchBuilder, Header};
use quipu_protocol::schema::MessageKind;
use quipu_storage::compress::{Codec, compress};
use std::path::{Path, PathBuf};
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
    std::fs::write(root.join("batch").join("log"), log)?;
    log_files(&root)?;
    compressed(&root)
}

/// The files of a sound log: alone for the targets that replace one, together for recovery.
fn log_files(root: &Path) -> std::io::Result<()> {
    for close in [false, true] {
        let files = directory::sound(close);
        let mut rows: Vec<Vec<u8>> = vec![Vec::new(); 3];
        for (name, bytes) in &files {
            let (offset, suffix) = name.split_once('.').expect("a suffix");
            let offset = offset.parse::<u64>().expect("an offset") as u8;
            let kind = directory::KINDS.iter().position(|kind| kind.0 == suffix).expect("a known kind");
            let magic = directory::KINDS[kind].1.len();
            let payload = if kind == 0 { &bytes[..] } else { &bytes[magic..bytes.len() - 4] };
            let mut row = |number: usize, is_right: u8, bytes: &[u8]| {
                rows[number].extend([kind as u8 | is_right, offset]);
                rows[number].extend((bytes.len() as u16).to_be_bytes());
                rows[number].extend(bytes);
            };
            row(0, 0, bytes);
            if kind == 0 {
                row(1, 0x80, payload);
            } else {
                row(2, 0x80, payload);
            }
            let target = match suffix {
                "idx" => "index",
                "snap" => "snapshot",
                "txn" => "aborted",
                _ => continue,
            };
            std::fs::create_dir_all(root.join(target))?;
            std::fs::write(root.join(target).join(format!("{name}-{close}")), [&[0, 0], payload].concat())?;
        }
        std::fs::create_dir_all(root.join("recovery"))?;
        for (number, row) in rows.iter().enumerate() {
            std::fs::write(root.join("recovery").join(format!("sound-{close}-{number}")), row)?;
        }
    }
    Ok(())
}

/// Something small from each codec, and a small thing that expands to much.
fn compressed(root: &Path) -> std::io::Result<()> {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let dir = root.join(codec.name());
        std::fs::create_dir_all(&dir)?;
        for (name, bytes) in
            [("text", b"knots in a cord, knots in a cord".to_vec()), ("zeros", vec![0; 200_000])]
        {
            std::fs::write(dir.join(name), compress(codec, None, &bytes)?)?;
        }
    }
    Ok(())
}
