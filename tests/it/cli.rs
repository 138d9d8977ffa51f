//! The command line, end to end against a broker.

use serde_json::Value;

use crate::process::{Broker, quipu};

/// Runs a command that must succeed; what it printed.
fn done(broker: &Broker, arguments: &[&str]) -> String {
    done_with(broker, arguments, "")
}

fn done_with(broker: &Broker, arguments: &[&str], input: &str) -> String {
    let output = broker.run_with_input(arguments, input.as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command that must fail with 1; what it said.
fn failed(broker: &Broker, arguments: &[&str]) -> String {
    let output = broker.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.starts_with("quipu: ") && !said.contains("panicked"), "{said}");
    said
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect()
}

#[test]
fn a_topic_from_its_creation_to_its_end() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "orders", "-p", "3", "-c", "retention.ms=60000"]);
    assert!(failed(&broker, &["topic", "create", "orders"]).contains("already exists"));
    let listed: Value =
        serde_json::from_str(&done(&broker, &["topic", "list", "--format", "json"])).expect("JSON");
    assert_eq!((&listed[0]["topic"], &listed[0]["partitions"]), (&"orders".into(), &3.into()));
    done(&broker, &["topic", "add-partitions", "orders", "--total", "5"]);
    let described = done(&broker, &["topic", "describe", "orders"]);
    assert!(described.contains("retention.ms") && described.contains("60000"), "{described}");
    assert_eq!(
        described.lines().filter(|line| line.trim_start().starts_with(['0', '1', '2', '3', '4'])).count(),
        5,
        "{described}"
    );
    done_with(&broker, &["produce", "orders", "-p", "2"], "a\nb\nc\n");
    done(&broker, &["topic", "trim-prefix", "orders", "-p", "2", "--to", "2"]);
    assert_eq!(done(&broker, &["consume", "orders", "-e", "-f", "%p:%o %v\n"]), "2:2 c\n");
    done(&broker, &["topic", "delete", "orders"]);
    assert!(failed(&broker, &["topic", "describe", "orders"]).contains("quipu topic list"));
}

#[test]
fn records_keep_keys_headers_partitions_and_time_in_every_codec() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "2"]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let arguments = [
            "produce",
            "t",
            "-p",
            "1",
            "-K",
            ":",
            "-H",
            "h=1",
            "-H",
            "h=2",
            "-H",
            "other=x",
            "-z",
            codec,
            "--timestamp",
            "1700000000000",
        ];
        done_with(&broker, &arguments, &format!("key:{codec}\n"));
    }
    let read = done(&broker, &["consume", "t", "-e", "-f", "%t %p %o %k=%v %d %h{%k:%v,}\n"]);
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines.len(), 5, "{read}");
    for (line, (offset, codec)) in
        lines.iter().zip(["none", "gzip", "snappy", "lz4", "zstd"].iter().enumerate())
    {
        assert_eq!(
            *line,
            format!("t 1 {offset} key={codec} 1700000000000 h:1,h:2,other:x,"),
            "duplicate headers are kept"
        );
    }
    let first = &json_lines(&done(&broker, &["consume", "t", "-n", "1", "-p", "1", "-f", "json"]))[0];
    assert_eq!((&first["key"], &first["value"]), (&"key".into(), &"none".into()));
    assert_eq!(first["headers"].as_array().map(Vec::len), Some(3), "{first}");
}

#[test]
fn equal_keys_meet_in_one_partition_and_a_tombstone_has_no_value() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "8"]);
    let input: String = (0..200).map(|n| format!("k{}\t{n}\n", n % 20)).collect();
    done_with(&broker, &["produce", "t", "-K", "\\t"], &input);
    let read = done(&broker, &["consume", "t", "-e", "-f", "%k %p\n"]);
    let mut homes = std::collections::BTreeMap::new();
    for line in read.lines() {
        let (key, partition) = line.split_once(' ').expect("two words");
        assert_eq!(homes.entry(key.to_owned()).or_insert(partition.to_owned()), partition, "{key}");
    }
    assert_eq!((read.lines().count(), homes.len()), (200, 20));
    assert!(homes.values().collect::<std::collections::BTreeSet<_>>().len() > 3, "keys are spread");
    done(&broker, &["produce", "t", "-k", "k0", "-Z"]);
    let last = done(&broker, &["consume", "t", "-o", "-1", "-e", "-f", "json"]);
    assert!(
        json_lines(&last).iter().any(|record| record["key"] == "k0" && record["value"].is_null()),
        "{last}"
    );
}

#[test]
fn offsets_say_where_to_start_and_end() {
    let broker = Broker::dev(&[]);
    let input: String = (0..10).map(|n| format!("{n}\n")).collect();
    done_with(&broker, &["produce", "t", "--timestamp", "1700000001000"], &input);
    done_with(&broker, &["produce", "t", "--timestamp", "1700000005000"], "late\n");
    let read = |offset: &str| done(&broker, &["consume", "t", "-o", offset, "-e", "-f", "%o "]);
    assert_eq!(read("start"), "0 1 2 3 4 5 6 7 8 9 10 ");
    assert_eq!(read("end"), "");
    assert_eq!(read("7"), "7 8 9 10 ");
    assert_eq!(read("+9"), "9 10 ");
    assert_eq!(read("-2"), "9 10 ");
    assert_eq!(read("@1700000002000"), "10 ");
    assert_eq!(read("2:5"), "2 3 4 ");
    assert_eq!(done(&broker, &["consume", "t", "-n", "3", "-f", "%v "]), "0 1 2 ");
}

#[test]
fn a_group_remembers_is_described_moved_and_deleted() {
    let broker = Broker::dev(&[]);
    let input: String = (0..10).map(|n| format!("{n}\n")).collect();
    done_with(&broker, &["produce", "t"], &input);
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-n", "4", "-f", "%v "]), "0 1 2 3 ");
    let lag = |broker: &Broker| {
        let described: Value =
            serde_json::from_str(&done(broker, &["group", "describe", "g", "--format", "json"]))
                .expect("JSON");
        described.to_string()
    };
    assert!(lag(&broker).contains("\"lag\":6"), "{}", lag(&broker));
    assert!(done(&broker, &["group", "list"]).contains('g'));
    done(&broker, &["group", "seek", "g", "--to", "8"]);
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-n", "2", "-f", "%v "]), "8 9 ");
    done(&broker, &["group", "seek", "g", "--to", "start"]);
    assert!(lag(&broker).contains("\"lag\":10"), "{}", lag(&broker));
    done(&broker, &["group", "offset-delete", "g", "-t", "t"]);
    done(&broker, &["group", "delete", "g"]);
    assert!(failed(&broker, &["group", "describe", "g"]).contains('g'));
}

#[test]
fn configuration_is_set_read_and_taken_back() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t"]);
    let get = || done(&broker, &["config", "get", "topic", "t", "retention.ms"]);
    assert_eq!(get(), "604800000\n");
    done(&broker, &["config", "set", "topic", "t", "retention.ms=5", "cleanup.policy=compact"]);
    assert_eq!(get(), "5\n");
    done(&broker, &["config", "delete", "topic", "t", "retention.ms"]);
    assert_eq!(get(), "604800000\n");
    assert!(failed(&broker, &["config", "set", "topic", "t", "retention.mss=5"]).contains("retention.ms"));
    assert!(failed(&broker, &["config", "set", "topic", "t", "retention.ms=soon"]).contains("soon"));
    let all = done(&broker, &["config", "describe", "broker", "0", "--all"]);
    assert!(all.lines().count() > 200, "{} lines", all.lines().count());
}

#[test]
fn segments_can_be_looked_into_without_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &[]);
    done_with(&broker, &["produce", "t", "-k", "key", "-z", "lz4"], "first\nsecond\n");
    assert_eq!(broker.stop(), Some(0));
    let path = dir.path().to_str().expect("UTF-8");
    let (code, out, err) = quipu(&["dump", "-r", "--format", "json", path]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("first") && out.contains("second") && out.contains("lz4"), "{out}");
}

#[test]
fn failures_name_the_cure_and_the_exit_code_says_whose_fault_it_is() {
    let (code, _, err) = quipu(&["topic", "list", "--bootstrap", "127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("127.0.0.1:1") && err.contains("quipu"), "{err}");
    for wrong in [
        &["frobnicate"][..],
        &["topic"],
        &["consume"],
        &["consume", "t", "-o", "yesterday-ish"],
        &["produce", "t", "-z", "rar"],
    ] {
        let (code, _, err) = quipu(wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {err}");
    }
    let broker = Broker::dev(&[]);
    assert!(failed(&broker, &["consume", "nothing-here", "-e"]).contains("quipu topic list"));
    assert!(failed(&broker, &["topic", "create", "a b"]).contains("topic"));
    let (code, out, _) = quipu(&["--version"]);
    assert_eq!((code, out), (Some(0), format!("quipu {}\n", env!("CARGO_PKG_VERSION"))));
}
