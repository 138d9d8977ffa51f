//! What a restart must not change, and how a broker stops.

use std::time::{Duration, Instant};

use crate::process::Broker;

fn output(broker: &Broker, arguments: &[&str]) -> String {
    let output = broker.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn produce(broker: &Broker, topic: &str, lines: std::ops::Range<u32>) {
    let input: String = lines.map(|n| format!("record {n}\n")).collect();
    let sent = broker.run_with_input(&["produce", topic], input.as_bytes());
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

fn expected(lines: std::ops::Range<u32>) -> String {
    lines.map(|n| format!("record {n}\n")).collect()
}

#[test]
fn topics_records_configs_and_offsets_survive_a_clean_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &[]);
    output(&broker, &["topic", "create", "kept", "-p", "1", "-c", "retention.ms=123456789"]);
    output(&broker, &["topic", "create", "gone"]);
    produce(&broker, "kept", 0..1_000);
    assert_eq!(
        output(&broker, &["consume", "kept", "--group", "g", "-o", "start", "-n", "400", "-f", "%v\n"]),
        expected(0..400)
    );
    output(&broker, &["topic", "delete", "gone"]);
    let cluster = output(&broker, &["cluster", "info", "--format", "json"]);
    assert_eq!(broker.stop(), Some(0));

    let broker = Broker::serve(dir.path(), &[]);
    let id = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        json["cluster_id"].as_str().expect("a cluster id").to_owned()
    };
    assert_eq!(id(&output(&broker, &["cluster", "info", "--format", "json"])), id(&cluster));
    let topics = output(&broker, &["topic", "list"]);
    assert!(topics.contains("kept") && !topics.contains("gone"), "{topics}");
    assert!(output(&broker, &["config", "describe", "topic", "kept"]).contains("123456789"));
    assert_eq!(output(&broker, &["consume", "kept", "-o", "start", "-e", "-f", "%v\n"]), expected(0..1_000));
    // The group goes on where it was.
    assert_eq!(
        output(&broker, &["consume", "kept", "--group", "g", "-n", "600", "-f", "%v\n"]),
        expected(400..1_000)
    );
}

#[test]
fn acknowledged_records_survive_a_kill_at_their_offsets() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let broker = Broker::serve(dir.path(), &[]);
        if round > 0 {
            let read = output(&broker, &["consume", "log", "-o", "start", "-e", "-f", "%o %v\n"]);
            let wanted: String = (0..round * 200).map(|n| format!("{n} record {n}\n")).collect();
            assert_eq!(read, wanted, "after {round} kills");
        }
        produce(&broker, "log", round * 200..(round + 1) * 200);
        broker.kill();
    }
}

#[test]
fn a_broker_told_to_stop_ends_soon_though_a_consumer_waits() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &[]);
    produce(&broker, "t", 0..1);
    let mut waiting = std::process::Command::new(crate::process::QUIPU)
        .args(["consume", "t", "--bootstrap", &broker.bootstrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // A second consumer that has read its record proves that the broker has served; the first is waiting by then.
    assert_eq!(output(&broker, &["consume", "t", "-o", "start", "-n", "1", "-f", "%v\n"]), expected(0..1));
    let asked = Instant::now();
    assert_eq!(broker.stop(), Some(0));
    let took = asked.elapsed();
    let _ = waiting.kill();
    let _ = waiting.wait();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn retention_deletes_what_is_too_old_even_in_a_log_that_nobody_uses() {
    let dir = tempfile::tempdir().unwrap();
    let quick = ["--override", "log.retention.check.interval.ms=50"];
    let broker = Broker::serve(dir.path(), &[]);
    output(&broker, &["topic", "create", "old", "-c", "retention.ms=1"]);
    produce(&broker, "old", 0..10);
    assert_eq!(broker.stop(), Some(0));
    let broker = Broker::serve(dir.path(), &quick);
    // Described by size, which opens nothing: only the upkeep can make it go.
    let deadline = Instant::now() + Duration::from_secs(20);
    while log_bytes(dir.path()) > 0 {
        assert!(Instant::now() < deadline, "still {} bytes", log_bytes(dir.path()));
        std::thread::yield_now();
    }
    assert_eq!(output(&broker, &["consume", "old", "-o", "start", "-e", "-f", "%v\n"]), "");
    // What comes after goes on behind what is gone.
    output(&broker, &["config", "set", "topic", "old", "retention.ms=-1"]);
    produce(&broker, "old", 0..1);
    assert_eq!(output(&broker, &["consume", "old", "-o", "start", "-e", "-f", "%o\n"]), "10\n");
}

/// Bytes in the segments of all topics.
fn log_bytes(data_dir: &std::path::Path) -> u64 {
    let mut dirs = vec![data_dir.join("topics")];
    let mut bytes = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) if entry.path().extension().is_some_and(|e| e == "log") => {
                    bytes += metadata.len()
                }
                _ => {}
            }
        }
    }
    bytes
}

#[test]
fn a_compacted_topic_shrinks_while_it_serves() {
    let dir = tempfile::tempdir().unwrap();
    let quick = ["--override", "log.cleaner.backoff.ms=20"];
    let broker = Broker::serve(dir.path(), &quick);
    let compacted = ["topic", "create", "t", "-c", "cleanup.policy=compact", "-c", "segment.bytes=1048576"];
    output(&broker, &compacted);
    let mut written = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    // Segments below two recovery points are compacted: write until that shows.
    loop {
        let input: String =
            (0..4_000).map(|n| format!("k{}\t{} {}\n", n % 10, written + n, "x".repeat(200))).collect();
        written += 4_000;
        let sent = broker.run_with_input(&["produce", "t", "-K", "\\t"], input.as_bytes());
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        let described = output(&broker, &["consume", "t", "-o", "start", "-e", "-f", "%o\n"]);
        if described.lines().count() < written / 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{} of {written} records are left", described.lines().count());
    }
    let newest = |broker: &Broker| -> std::collections::BTreeMap<String, String> {
        let read = output(broker, &["consume", "t", "-o", "start", "-e", "-f", "%k %v\n"]);
        read.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    let before = newest(&broker);
    assert_eq!(before.len(), 10);
    for (n, (key, value)) in before.iter().enumerate() {
        let number = value.split(' ').next().and_then(|text| text.parse::<usize>().ok());
        assert_eq!(number, Some(written - 10 + n), "{key} has its newest value");
    }
    broker.kill();
    let broker = Broker::serve(dir.path(), &quick);
    assert_eq!(newest(&broker), before);
    // What has no key is refused.
    let refused = broker.run_with_input(&["produce", "t"], b"no key\n");
    assert!(!refused.status.success());
}
