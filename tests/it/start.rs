//! Starts that cannot succeed: each ends with exit code 1 and a message that names what is wrong and what to do,
//! and leaves everything as it was.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Broker, QUIPU, quipu, signal};

/// Runs `quipu serve` over `data_dir`, which must fail, and returns what it said.
fn refused(data_dir: &Path, arguments: &[&str]) -> String {
    let data_dir = data_dir.to_str().expect("a path of text");
    let mut all = vec!["serve", "--data-dir", data_dir];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all.extend(arguments);
    let (code, out, err) = quipu(&all);
    assert_eq!(code, Some(1), "{all:?}: {err}");
    assert_eq!(out, "", "a broker that does not start says nothing on standard output");
    for word in ["panicked", "backtrace", "RUST_BACKTRACE"] {
        assert!(!err.contains(word), "{err}");
    }
    err
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A properties file beside a data directory that is not there yet.
fn with_properties(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (dir, file)
}

#[test]
fn a_port_in_use() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let said = refused(&dir.path().join("data"), &["--listen", &address]);
    assert_says(&said, &["cannot listen on", &address, "another program listens there", "--listen"]);
}

#[test]
fn a_directory_that_is_someone_elses() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let said = refused(dir.path(), &[]);
    assert_says(&said, &["thesis.txt", dir.path().to_str().unwrap(), "--data-dir"]);
    assert_eq!(names(dir.path()), ["thesis.txt"]);
    assert_eq!(fs::read_to_string(dir.path().join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn a_directory_of_another_node() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Broker::serve(dir.path(), &[]).stop(), Some(0));
    let said = refused(dir.path(), &["--override", "node.id=3"]);
    assert_says(&said, &["belongs to node 0", "node.id"]);
    assert_eq!(Broker::serve(dir.path(), &[]).stop(), Some(0), "it still works for its own node");
}

#[test]
fn a_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // To the superuser permissions mean nothing; the kernel's own file system says no even to that one.
    let own = fs::write(dir.path().join("probe"), "").is_ok();
    let data = if own { Path::new("/sys/kernel/quipu") } else { dir.path() };
    let said = refused(data, &[]);
    assert_says(&said, &["cannot use", data.to_str().unwrap()]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, "a file").unwrap();
    let said = refused(&file, &[]);
    assert_says(&said, &[file.to_str().unwrap(), "--data-dir"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
}

#[test]
fn a_directory_that_is_already_open() {
    let dir = tempfile::tempdir().unwrap();
    let first = Broker::serve(dir.path(), &[]);
    let said = refused(dir.path(), &[]);
    assert_says(&said, &["in use", &first.pid().to_string(), "--data-dir"]);
    let listed = first.run(&["topic", "list"]);
    assert!(
        listed.status.success(),
        "the first one still serves: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    assert_eq!(first.stop(), Some(0));
}

#[test]
fn a_wrongly_typed_value() {
    let (dir, file) = with_properties("# one\nnum.partitions=many\nlog.retention.hours=a day\n");
    let data = dir.path().join("data");
    let said = refused(&data, &["--config", &file, "--override", "auto.create.topics.enable=1"]);
    assert_says(
        &said,
        &[
            &format!("{file}:2: num.partitions = \"many\": expected a whole number of at least 1"),
            &format!("{file}:3: log.retention.hours = \"a day\": expected a whole number"),
            "--override: auto.create.topics.enable = \"1\": expected true or false, for example auto.create.topics.enable=true",
        ],
    );
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_wrong_value_in_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = Command::new(QUIPU)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("KAFKA_NUM_PARTITIONS", "many")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_says(
        &said,
        &["environment variable KAFKA_NUM_PARTITIONS: num.partitions = \"many\": expected a whole number"],
    );
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_mistyped_security_key() {
    let (dir, file) = with_properties("sasl.enabled.mechanism=PLAIN\n");
    let data = dir.path().join("data");
    let said = refused(&data, &["--config", &file]);
    assert_says(
        &said,
        &[
            &format!("{file}:1: sasl.enabled.mechanism is not a known security key"),
            "did you mean sasl.enabled.mechanisms?",
        ],
    );
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_listener_that_asks_for_more_than_there_is() {
    let (dir, file) = with_properties("listeners=SASL_SSL://127.0.0.1:0\n");
    let said = quipu(&["serve", "--config", &file, "--data-dir", dir.path().join("data").to_str().unwrap()]);
    assert_eq!(said.0, Some(1));
    assert_says(&said.2, &[&format!("{file}:1: listeners:"), "SASL_SSL", "PLAINTEXT"]);
}

#[test]
fn files_and_arguments_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_says(
        &refused(&data, &["--config", "/nowhere/server.properties"]),
        &["/nowhere/server.properties", "No such file"],
    );
    assert_says(
        &refused(&data, &["--override", "num.partitions"]),
        &["--override num.partitions", "key=value"],
    );
    assert_says(&refused(&data, &["--listen", "localhost"]), &["localhost", "NAME://host:port"]);
    let (code, _, err) = quipu(&["serve", "--no-such-flag"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn an_unknown_key_is_told_and_does_no_harm() {
    let (dir, file) = with_properties("num.partition=3\nmy.own.key=1\nnum.partitions=2\n");
    let mut child = Command::new(QUIPU)
        .args(["serve", "--listen", "127.0.0.1:0", "--config", &file, "--data-dir"])
        .arg(dir.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    assert!(ready.contains("ready"), "{ready}");
    signal(child.id(), "TERM");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_says(
        &said,
        &[
            &format!("{file}:1: unknown key num.partition has no effect; did you mean num.partitions?"),
            &format!("{file}:2: unknown key my.own.key has no effect"),
        ],
    );
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let (dir, file) = with_properties("my.own.key=1\n");
    let mut child = Command::new(QUIPU)
        .args(["serve", "--listen", "127.0.0.1:0", "--config", &file, "--data-dir"])
        .arg(dir.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // As if the disk that the log goes to were full; there is a line about the key that nobody knows.
        .stderr(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("ready"), "{ready}");
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
