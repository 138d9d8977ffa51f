//! What the command line does when something fails half way: nothing is lost, and nothing looks better than it is.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use quipu_protocol::ApiKey;

use crate::between::{Fate, dev_behind};
use crate::cli::{done, done_with};
use crate::process::{Broker, QUIPU};

#[test]
fn halves_of_a_batch_that_is_too_large_survive_a_broken_connection() {
    // The whole batch, then its halves: each request in turn is lost, or its answer.
    for (nth, fate) in (1..5).flat_map(|nth| [(nth, Fate::Lost), (nth, Fate::AnswerLost)]) {
        let produced = AtomicUsize::new(0);
        let broker = dev_behind(move |_, api| match api {
            ApiKey::Produce if produced.fetch_add(1, Ordering::Relaxed) == nth => fate,
            _ => Fate::Answered,
        });
        done(&broker, &["topic", "create", "t", "-p", "1", "-c", "max.message.bytes=4000"]);
        let lines: String = (0..20).map(|n| format!("{n}{:500}\n", "")).collect();
        let sent = broker.run_with_input(&["produce", "t"], lines.as_bytes());
        assert!(sent.status.success(), "{nth} {fate:?}: {}", String::from_utf8_lossy(&sent.stderr));
        assert_eq!(done(&broker, &["consume", "t", "-e"]), lines, "{nth} {fate:?}");
    }
}

/// The standard output of a command whose reader has gone.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs a command with this as its standard output; exit code and what it said.
fn into(stdout: Stdio, broker: &Broker, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(QUIPU)
        .args(arguments)
        .env("QUIPU_BOOTSTRAP", broker.bootstrap())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What a group has committed for the only partition of its topic.
fn committed(broker: &Broker, group: &str) -> Option<i64> {
    let exported = done(broker, &["group", "export", group, "--format", "json"]);
    let exported: serde_json::Value = serde_json::from_str(&exported).expect("JSON");
    exported.pointer("/0/offset").and_then(serde_json::Value::as_i64)
}

#[test]
fn a_group_commits_what_was_written_out_and_nothing_else() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "1"]);
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    done_with(&broker, &["produce", "t"], &lines);
    let read = ["consume", "t", "-g", "g", "-n", "50"];
    let full = std::fs::File::create("/dev/full").expect("a device that is always full");
    let (code, said) = into(full.into(), &broker, &read);
    assert!(code == Some(1) && said.contains("cannot write the output"), "{said}");
    assert_eq!(committed(&broker, "g").unwrap_or(0), 0, "nothing was printed");
    let (code, said) = into(unread(), &broker, &read);
    assert_eq!((code, said.as_str()), (Some(0), ""), "whoever has gone need not be told");
    assert_eq!(committed(&broker, "g").unwrap_or(0), 0, "nobody has got anything");
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-n", "3"]), "0\n1\n2\n");
    assert_eq!(committed(&broker, "g"), Some(3));
    let (code, _) = into(unread(), &broker, &read);
    assert_eq!((code, committed(&broker, "g")), (Some(0), Some(3)));
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-n", "1"]), "3\n");
}

#[test]
fn a_group_that_stops_at_the_end_commits_no_further() {
    let fetched = AtomicUsize::new(0);
    // More comes between the look at the end and the first fetch.
    let broker = dev_behind(move |broker, api| {
        if api == ApiKey::Fetch && fetched.fetch_add(1, Ordering::Relaxed) == 0 {
            done_with(broker, &["produce", "t"], "2\n3\n");
        }
        Fate::Answered
    });
    done(&broker, &["topic", "create", "t", "-p", "1"]);
    done_with(&broker, &["produce", "t"], "0\n1\n");
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-e"]), "0\n1\n");
    assert_eq!(committed(&broker, "g"), Some(2));
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-e"]), "2\n3\n");
}
