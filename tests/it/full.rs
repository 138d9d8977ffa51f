//! A broker whose disk is full: a real file system, small, in memory. Where nobody may mount one, the test says so.

use std::path::Path;
use std::process::Command;

use crate::process::{Broker, quipu};

/// A small file system, until dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(dir: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self(dir))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn succeeds(broker: &Broker, arguments: &[&str], input: &[u8]) -> String {
    let done = broker.run_with_input(arguments, input);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_full_disk_refuses_records_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(dir.path(), "24m") else {
        println!("not tried: this machine lets nobody mount a small file system");
        return;
    };
    let data = dir.path().join("data");
    let broker = Broker::serve(&data, &["--override", "log.segment.bytes=1048576"]);
    succeeds(&broker, &["topic", "create", "t", "-p", "1"], b"");
    succeeds(&broker, &["produce", "t"], b"first\n");
    succeeds(&broker, &["consume", "t", "--group", "g", "-o", "start", "-n", "1"], b"");
    let line = "x".repeat(100_000) + "\n";
    let refused = broker.run_with_input(
        &["produce", "t", "--delivery-timeout", "3", "--compression", "none"],
        line.repeat(300).as_bytes(),
    );
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("KAFKA_STORAGE_ERROR"), "{told}");
    // What is there can be read, and groups commit how far they got.
    let read = succeeds(&broker, &["consume", "t", "-o", "start", "-e", "-f", "%o\n"], b"");
    let end: usize = read.lines().last().unwrap().parse::<usize>().unwrap() + 1;
    assert!(end > 100, "{end} records fit");
    assert_eq!(read.lines().count(), end);
    let some = (end / 2).to_string();
    succeeds(&broker, &["consume", "t", "--group", "g", "-n", &some, "-f", "%o\n"], b"");
    // A clean stop, and a start on the full disk.
    assert_eq!(broker.stop(), Some(0));
    let (code, shown, error) = quipu(&["verify", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{shown}{error}");
    let broker = Broker::serve(&data, &[]);
    let next = succeeds(&broker, &["consume", "t", "--group", "g", "-n", "1", "-f", "%o"], b"");
    assert_eq!(next, (end / 2 + 1).to_string());
    // Old records go, new ones are taken.
    let upto = format!("{}", end - 10);
    succeeds(&broker, &["topic", "trim-prefix", "t", "--to", &upto], b"");
    succeeds(&broker, &["produce", "t"], line.as_bytes());
    assert_eq!(succeeds(&broker, &["consume", "t", "-o", &end.to_string(), "-e", "-f", "%V"], b""), "100000");
    assert_eq!(broker.stop(), Some(0));
    drop(mounted);
}
