//! The codec against itself, against Kafka's own classes and against another implementation.

mod bounds;
mod codec;
mod java;
mod other;
mod schema;
mod value;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The directory with Kafka's Java client and its schemas, fetched if it is not there.
fn kafka_jars() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fetch-jars");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("fetch-jars starts");
        assert!(output.status.success(), "fetch-jars could not fetch Kafka's Java client");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end())
    })
}
