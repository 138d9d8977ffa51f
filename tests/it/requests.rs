//! The figures of requests: switched on while the broker runs, written to the log on SIGUSR1 and at the end.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

use crate::process::{QUIPU, signal};

struct Logged {
    child: Child,
    bootstrap: String,
    log: Lines<BufReader<ChildStderr>>,
}

impl Logged {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(QUIPU)
            .args(["dev", "--port", "0", "--print-json"])
            .args(arguments)
            .env_remove("QUIPU_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { bootstrap: ready["bootstrap"].as_str().expect("an address").to_owned(), child, log }
    }

    fn quipu(&self, arguments: &[&str], input: &str) -> bool {
        let mut child = Command::new(QUIPU)
            .args(arguments)
            .env("QUIPU_BOOTSTRAP", &self.bootstrap)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        // A command that fails early reads nothing.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait().expect("a status").success()
    }

    /// The next lines of the log, up to one with `word` in it.
    fn until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in &mut self.log {
            lines.push(line.expect("a line"));
            if lines.last().is_some_and(|line| line.contains(word)) {
                return lines;
            }
        }
        panic!("the log ended without {word:?}: {lines:?}");
    }

    fn ask(&mut self, word: &str) -> Vec<String> {
        signal(self.child.id(), "USR1");
        self.until(word)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Count and errors of an API in a table.
fn row(table: &[String], api: &str) -> Option<(u64, u64)> {
    let line = table.iter().find(|line| line.split_whitespace().any(|word| word == api))?;
    let mut numbers = line.split_whitespace().skip_while(|word| *word != api).skip(1);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[test]
fn a_signal_writes_where_the_time_of_requests_went() {
    let mut broker = Logged::start(&["--override", "auto.create.topics.enable=false"]);
    let off = broker.ask("not measured");
    assert!(off.iter().any(|line| line.contains("quipu.request.metrics=true")), "it says how: {off:?}");
    assert!(broker.quipu(&["topic", "create", "t"], ""));
    assert!(broker.quipu(&["config", "set", "broker", "0", "quipu.request.metrics=true"], ""));
    assert!(broker.quipu(&["produce", "t", "--batch-bytes", "1"], "a\nb\nc\n"));
    assert!(broker.quipu(&["consume", "t", "-e"], ""));
    assert!(!broker.quipu(&["consume", "missing", "-e"], ""));
    let table = broker.ask("processor time");
    assert_eq!(row(&table, "Produce"), Some((3, 0)), "{table:?}");
    assert!(row(&table, "Fetch").is_some_and(|(count, errors)| count >= 1 && errors == 0), "{table:?}");
    assert!(
        row(&table, "Metadata").is_some_and(|(count, errors)| count > errors && errors >= 1),
        "{table:?}"
    );
    assert!(table.iter().any(|line| line.contains("UNKNOWN_TOPIC_OR_PARTITION: ")), "{table:?}");
    assert_eq!(row(&table, "CreateTopics"), None, "it came before: {table:?}");
    // Off and on again is a new beginning.
    for value in ["false", "true"] {
        let setting = format!("quipu.request.metrics={value}");
        assert!(broker.quipu(&["config", "set", "broker", "0", &setting], ""));
    }
    assert!(broker.quipu(&["produce", "t"], "d\n"));
    signal(broker.child.id(), "TERM");
    let last = broker.until("processor time");
    assert_eq!(row(&last, "Produce"), Some((1, 0)), "a clean stop tells them, too: {last:?}");
    assert!(broker.child.wait().expect("a status").success());
}
