//! What the command line does when something fails half way: nothing is lost, and nothing looks better than it is.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quipu_protocol::header::{decode_response_header, response_frame};
use quipu_protocol::message::fetch::FetchResponse;
use quipu_protocol::message::produce::ProduceResponse;
use quipu_protocol::{ApiKey, Decode, ErrorCode};
use serde_json::Value;

use crate::between::{Fate, dev_behind};
use crate::cli::{done, done_with};
use crate::process::{Broker, no_reader};
use crate::produce::{FETCH, PRODUCE};

#[test]
fn halves_of_a_batch_that_is_too_large_survive_a_broken_connection() {
    // The whole batch, its first half and the quarters of that, then the other half: each request in turn is lost, or its
    // answer.
    for (nth, fate) in (0..7).flat_map(|nth| [(nth, Fate::Lost), (nth, Fate::AnswerLost)]) {
        let produced = Arc::new(AtomicUsize::new(0));
        let sending = Arc::clone(&produced);
        let broker = dev_behind(move |_, api| match api {
            ApiKey::Produce if sending.fetch_add(1, Ordering::Relaxed) == nth => fate,
            _ => Fate::Answered,
        });
        done(&broker, &["topic", "create", "t", "-p", "1", "-c", "max.message.bytes=4000"]);
        let lines: String = (0..20).map(|n| format!("{n}{:500}\n", "")).collect();
        let sent = broker.run_with_input(&["produce", "t"], lines.as_bytes());
        assert!(sent.status.success(), "{nth} {fate:?}: {}", String::from_utf8_lossy(&sent.stderr));
        assert_eq!(done(&broker, &["consume", "t", "-e"]), lines, "{nth} {fate:?}");
        // Seven requests and the one that was sent again.
        assert_eq!(produced.load(Ordering::Relaxed), 8, "{nth} {fate:?}");
    }
}

/// Runs a command with this as its standard output; exit code and what it said.
fn into(stdout: Stdio, broker: &Broker, arguments: &[&str]) -> (Option<i32>, String) {
    let output = broker.command(arguments).stdout(stdout).output().expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What a group has committed for the first partition of its topic.
pub fn committed(broker: &Broker, group: &str) -> Option<i64> {
    let exported = done(broker, &["group", "export", group, "--format", "json"]);
    let exported: Value = serde_json::from_str(&exported).expect("JSON");
    exported.pointer("/0/offset").and_then(Value::as_i64)
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
    let (code, said) = into(no_reader(), &broker, &read);
    assert_eq!((code, said.as_str()), (Some(0), ""), "whoever has gone need not be told");
    assert_eq!(committed(&broker, "g").unwrap_or(0), 0, "nobody has got anything");
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-n", "3"]), "0\n1\n2\n");
    assert_eq!(committed(&broker, "g"), Some(3));
    let (code, _) = into(no_reader(), &broker, &read);
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

/// A command that runs beside the test; its output comes line by line.
pub struct Beside {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Beside {
    pub fn start(broker: &Broker, arguments: &[&str]) -> Self {
        let mut command = broker.command(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("UTF-8")
    }

    /// Waits for its end: what else it printed, its exit code and what it said.
    pub fn end(self) -> (Vec<String>, Option<i32>, String) {
        let printed = self.lines.map(|line| line.expect("UTF-8")).collect();
        let output = self.child.wait_with_output().expect("output");
        (printed, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_topic_that_is_deleted_while_it_is_read_ends_the_reading_of_it() {
    let broker = Broker::dev(&[]);
    let format = ["-f", "%t %v\n"];
    for arguments in [&["consume", "gone"][..], &["consume", "gone", "-g", "g"]] {
        done_with(&broker, &["produce", "gone"], "0\n");
        let mut reading = Beside::start(&broker, &[arguments, &format].concat());
        assert_eq!(reading.line(), "gone 0");
        done(&broker, &["topic", "delete", "gone"]);
        let (_, code, said) = reading.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("gone") && said.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{said}");
    }
    // Another topic is read to its end.
    for topic in ["gone", "kept"] {
        done(&broker, &["topic", "create", topic, "-p", "1"]);
        done_with(&broker, &["produce", topic], "0\n");
    }
    let mut reading = Beside::start(&broker, &["consume", "gone", "kept", "-o", "0:3", "-f", "%t %v\n"]);
    let mut first = [reading.line(), reading.line()];
    first.sort();
    assert_eq!(first, ["gone 0", "kept 0"]);
    done(&broker, &["topic", "delete", "gone"]);
    done_with(&broker, &["produce", "kept"], "1\n");
    assert_eq!(reading.line(), "kept 1");
    done_with(&broker, &["produce", "kept"], "2\n");
    let (rest, code, said) = reading.end();
    assert_eq!((rest, code), (vec!["kept 2".to_owned()], Some(1)), "{said}");
    assert!(said.contains("going on without gone-0"), "{said}");
}

/// An answer to a produce that says nothing about any partition.
fn nothing(answer: &[u8]) -> Vec<u8> {
    let (correlation_id, _) =
        decode_response_header(&answer[4..], ApiKey::Produce, PRODUCE).expect("a header");
    response_frame(ApiKey::Produce, PRODUCE, correlation_id, &ProduceResponse::default(), Vec::new()).to_vec()
}

#[test]
fn records_that_an_answer_leaves_out_do_not_count_as_sent() {
    let broker = dev_behind(|_, api| match api {
        ApiKey::Produce => Fate::Rewritten(nothing),
        _ => Fate::Answered,
    });
    done(&broker, &["topic", "create", "t", "-p", "1"]);
    let sent = broker.run_with_input(&["produce", "t"], b"0\n");
    let said = String::from_utf8_lossy(&sent.stderr);
    assert!(sent.status.code() == Some(1) && said.contains("leaves out partition 0 of \"t\""), "{said}");
}

/// The answer to a fetch in which the topic `bad` has an error that may pass.
fn bad_fails(answer: &[u8]) -> Vec<u8> {
    with_bad(answer, ErrorCode::KAFKA_STORAGE_ERROR)
}

/// The same with an error that does not pass.
fn bad_is_forbidden(answer: &[u8]) -> Vec<u8> {
    with_bad(answer, ErrorCode::TOPIC_AUTHORIZATION_FAILED)
}

fn with_bad(answer: &[u8], code: ErrorCode) -> Vec<u8> {
    let (correlation_id, mut body) =
        decode_response_header(&answer[4..], ApiKey::Fetch, FETCH).expect("a header");
    let mut response = FetchResponse::decode(&mut body, FETCH).expect("a fetch answer");
    let bad = response.responses.iter_mut().filter(|topic| &*topic.topic == "bad");
    for partition in bad.flat_map(|topic| &mut topic.partitions) {
        partition.error_code = code;
        partition.records = None;
    }
    response_frame(ApiKey::Fetch, FETCH, correlation_id, &response, Vec::new()).to_vec()
}

#[test]
fn a_partition_that_cannot_be_read_is_given_up_and_the_others_are_read() {
    let broker = dev_behind(|_, api| match api {
        ApiKey::Fetch => Fate::Rewritten(bad_fails),
        _ => Fate::Answered,
    });
    for topic in ["bad", "good"] {
        done(&broker, &["topic", "create", topic, "-p", "1"]);
        done_with(&broker, &["produce", topic], "0\n1\n");
    }
    let read = ["-f", "%t %v\n", "--timeout", "1"];
    for (arguments, printed) in [
        (&["consume", "bad", "good", "-e"][..], "good 0\ngood 1\n"),
        (&["consume", "bad", "good", "-o", "0:2"], "good 0\ngood 1\n"),
        (&["consume", "bad", "good"], "good 0\ngood 1\n"),
        (&["consume", "bad", "-g", "g"], ""),
    ] {
        let output = broker.run(&[arguments, &read].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), printed, "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said.contains("bad-0") && said.contains("KAFKA_STORAGE_ERROR"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_reader_that_is_gone_hides_no_partition_that_cannot_be_read() {
    let broker = dev_behind(|_, api| match api {
        ApiKey::Fetch => Fate::Rewritten(bad_is_forbidden),
        _ => Fate::Answered,
    });
    for topic in ["bad", "good"] {
        done(&broker, &["topic", "create", topic, "-p", "1"]);
        done_with(&broker, &["produce", topic], "0\n");
    }
    let (code, said) = into(no_reader(), &broker, &["consume", "bad", "good", "-e"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("TOPIC_AUTHORIZATION_FAILED") && !said.contains("output"), "{said}");
    let (code, said) = into(no_reader(), &broker, &["consume", "good", "-e"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_that_is_gone_hides_no_refusal() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t"]);
    done(&broker, &["group", "seek", "g", "--to", "0", "-t", "t:0"]);
    for arguments in [
        &["group", "delete", "g", "missing"][..],
        &["topic", "delete", "t", "missing"],
        &["topic", "create", "new", "__consumer_offsets", "a/b"],
    ] {
        let (code, said) = into(no_reader(), &broker, arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
    }
    assert_eq!(done(&broker, &["group", "list", "--format", "json"]), "[]\n");
    let (code, said) = into(no_reader(), &broker, &["topic", "delete", "new"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "it was deleted, whoever looks on");
    assert_eq!(done(&broker, &["topic", "list", "--format", "json"]), "[]\n");
}
