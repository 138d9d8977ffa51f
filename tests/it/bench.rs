//! `quipu bench`: measures, says what is the limit, leaves nothing behind.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quipu_protocol::ApiKey;
use serde_json::Value;

use crate::between::{Fate, dev_behind};
use crate::cli::{done, done_with, failed};
use crate::process::{Broker, QUIPU, quipu, signal};

/// Runs it without a broker to measure.
fn alone(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(QUIPU);
    command.arg("bench").args(arguments).current_dir(dir).env_remove("QUIPU_BOOTSTRAP").stdin(Stdio::null());
    command.output().expect("the binary starts")
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn topics(broker: &Broker) -> Vec<String> {
    let listed: Value =
        serde_json::from_str(&done(broker, &["topic", "list", "--format", "json"])).expect("JSON");
    let names =
        listed.as_array().expect("rows").iter().map(|row| row["topic"].as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn a_running_broker_is_measured_through_a_topic_of_its_own() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::serve(data.path(), &[]);
    done_with(&broker, &["produce", "mine"], "a\nb\n");
    let arguments = [
        "bench",
        "--json",
        "--seconds",
        "1",
        "--records",
        "3000",
        "--partitions",
        "2",
        "-z",
        "lz4",
        "--batch-size",
        "2000",
    ];
    let found: Value = serde_json::from_str(&done(&broker, &arguments)).expect("JSON");
    for phase in ["produce", "consume"] {
        assert_eq!(found[phase]["records"], 3000, "{found}");
        assert!(found[phase]["records_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{found}");
    }
    assert!(found["produce"]["requests"].as_u64().is_some_and(|requests| requests >= 3000 / 20), "{found}");
    for times in [
        "/round_trip",
        "/produce/ack",
        "/one_by_one",
        "/end_to_end",
        "/disk/sync_record",
        "/disk/sync_4k",
        "/disk/sync_64k",
    ] {
        let times = found.pointer(times).unwrap_or_else(|| panic!("{times}: {found}"));
        let at = |key: &str| times[key].as_f64().unwrap_or_else(|| panic!("{key}: {times}"));
        assert!(at("count") > 0.0 && at("p50_us") > 0.0, "{times}");
        assert!(
            at("p50_us") <= at("p99_us") && at("p99_us") <= at("p999_us") && at("p999_us") <= at("max_us"),
            "{times}"
        );
    }
    assert_eq!(found["disk"]["dir"].as_str(), data.path().to_str(), "the broker says where its disk is");
    assert_eq!((&found["durability"], &found["started_for_this"]), (&"sync".into(), &false.into()));
    for limit in ["latency", "produce", "consume"] {
        assert!(found["limit"][limit].is_string(), "{found}");
    }
    assert_eq!(topics(&broker), ["mine"], "its topic is gone");
    assert_eq!(done(&broker, &["consume", "mine", "-e"]), "a\nb\n");
    assert!(!entries(data.path()).iter().any(|name| name.contains("bench")), "{:?}", entries(data.path()));
}

#[test]
fn without_a_broker_it_starts_one_and_says_in_words_what_it_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = alone(dir.path(), &["--seconds", "1", "--override", "quipu.durability=os"]);
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(out.contains("a broker of its own") && out.contains("durability os"), "{out}");
    for word in
        ["Disk: ", "Latency: an acknowledgement takes ", "Produce: ", "Consume: ", "round trip", "P99.9"]
    {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(!out.contains("to sync such a record"), "nobody waited for it: {out}");
    assert_eq!(entries(dir.path()), [""; 0]);
}

#[test]
fn without_acknowledgements_there_is_none_to_measure_and_a_rate_is_kept() {
    let broker = Broker::dev(&[]);
    let arguments = ["bench", "--format", "json", "--seconds", "1", "--acks", "0", "--throughput", "2000"];
    let found: Value = serde_json::from_str(&done(&broker, &arguments)).expect("JSON");
    assert!(found["one_by_one"].is_null() && found["produce"]["ack"].is_null(), "{found}");
    assert!(found["limit"]["latency"].is_null(), "{found}");
    assert!(found["disk"].is_null(), "what is in memory has no disk: {found}");
    let rate = found["produce"]["records_per_second"].as_f64().expect("a rate");
    assert!(rate <= 2100.0, "{rate}");
    assert_eq!(found["produce"]["records"], found["consume"]["records"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let wrong: [&[&str]; 5] = [
        &["--record-size", "3"],
        &["--acks", "most"],
        &["--throughput", "0"],
        &["--json", "--format", "table"],
        &["--override", "quipu.durability=never"],
    ];
    for arguments in wrong {
        let output = alone(dir.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let (code, _, said) = quipu(&["bench", "-b", "127.0.0.1:1", "--override", "quipu.durability=os"]);
    assert_eq!(code, Some(2), "that broker is not ours to set up: {said}");
    let (code, _, said) = quipu(&["bench", "--bootstrap-server", "127.0.0.1:1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing listens on 127.0.0.1:1") && said.contains("`quipu`"), "{said}");
    let output = alone(dir.path(), &["--data-dir", "missing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing: there is no such directory"));
    assert_eq!(entries(dir.path()), [""; 0]);
}

/// Waits for what a command does; it must not end before.
fn until(child: &mut Child, is_so: impl Fn() -> bool) {
    while !is_so() {
        assert!(child.try_wait().expect("a status").is_none(), "it ended by itself");
        // Looking without a pause would take the processor from the command that is waited for.
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interrupt_takes_its_topic_away() {
    let broker = Broker::dev(&[]);
    for name in ["INT", "TERM"] {
        let mut command = broker.command(&["bench", "--seconds", "1", "--records", "1000000000"]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        until(&mut child, || topics(&broker).iter().any(|topic| topic.starts_with("quipu-bench-")));
        signal(child.id(), name);
        let output = child.wait_with_output().expect("output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert_eq!(topics(&broker), [""; 0]);
    }
    assert!(failed(&broker, &["topic", "describe", "nothing"]).contains("quipu topic list"));
}

#[test]
fn an_interrupt_takes_its_broker_away() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["INT", "TERM"] {
        let mut child = Command::new(QUIPU)
            .args(["bench", "--seconds", "1", "--records", "1000000000"])
            .current_dir(dir.path())
            .env_remove("QUIPU_BOOTSTRAP")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let has_topic = || {
            let own = entries(dir.path()).into_iter().find(|name| name.starts_with("quipu-bench-"));
            let topics = own.map(|own| dir.path().join(own).join("topics"));
            topics.is_some_and(|topics| topics.is_dir() && !entries(&topics).is_empty())
        };
        until(&mut child, has_topic);
        signal(child.id(), name);
        let output = child.wait_with_output().expect("output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("nothing was left behind") && !said.contains("could not"), "{said}");
        assert_eq!(entries(dir.path()), [""; 0]);
    }
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_no_longer_than_the_timeout() {
    let produced = AtomicUsize::new(0);
    let broker = dev_behind(move |_, api| match api {
        ApiKey::Produce if produced.fetch_add(1, Ordering::Relaxed) >= 100 => Fate::Ignored,
        _ => Fate::Answered,
    });
    let said = failed(&broker, &["bench", "--seconds", "1", "--records", "1000000000", "--timeout", "1"]);
    assert!(said.contains("did not answer Produce within 1 s"), "{said}");
    assert_eq!(topics(&broker), [""; 0]);
}
