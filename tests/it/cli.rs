//! The command line, end to end against a broker.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::process::{Broker, quipu, signal, unread};

/// Runs a command that must succeed; what it printed.
pub fn done(broker: &Broker, arguments: &[&str]) -> String {
    done_with(broker, arguments, "")
}

pub fn done_with(broker: &Broker, arguments: &[&str], input: &str) -> String {
    let output = broker.run_with_input(arguments, input.as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command that must fail with 1; what it said.
pub fn failed(broker: &Broker, arguments: &[&str]) -> String {
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

/// Starts a command that goes on until it is told to stop.
fn going(broker: &Broker, arguments: &[&str]) -> Child {
    broker.command(arguments).stdout(Stdio::piped()).spawn().expect("the binary starts")
}

/// Waits until the group has as many members and all of them have partitions.
fn until_members(broker: &Broker, group: &str, members: usize) {
    for _ in 0..300 {
        let output = broker.run(&["group", "describe", group, "--format", "json"]);
        let described: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let found = described[0]["members"].as_array().cloned().unwrap_or_default();
        if described[0]["state"] == "Stable"
            && found.len() == members
            && found.iter().all(|member| member["partitions"].as_u64() > Some(0))
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("group {group} did not come to {members} members");
}

#[test]
fn members_share_partitions_and_one_that_leaves_loses_nothing() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "4"]);
    let consume = ["consume", "t", "-g", "g", "-f", "%v\n"];
    let mut first = going(&broker, &consume);
    until_members(&broker, "g", 1);
    let mut second = going(&broker, &consume);
    until_members(&broker, "g", 2);
    signal(first.id(), "INT");
    assert_eq!(first.wait().expect("a status").code(), Some(0));
    until_members(&broker, "g", 1);
    for partition in ["0", "1", "2", "3"] {
        done_with(&broker, &["produce", "t", "-p", partition], &format!("{partition}\n"));
    }
    let lines = BufReader::new(second.stdout.take().expect("piped")).lines();
    let mut read: Vec<String> = lines.take(4).map(|line| line.expect("a line")).collect();
    read.sort();
    assert_eq!(read, ["0", "1", "2", "3"]);
    signal(second.id(), "TERM");
    assert_eq!(second.wait().expect("a status").code(), Some(0));
    let described = done(&broker, &["group", "describe", "g", "--format", "json"]);
    assert!(described.contains("\"lag\":0") && described.contains("\"members\":[]"), "{described}");
}

#[test]
fn a_reader_that_goes_away_ends_the_output_quietly() {
    let broker = Broker::dev(&[]);
    let input: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
    done_with(&broker, &["produce", "t"], &input);
    let mut command = broker.command(&["consume", "t"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("UTF-8"), "line 0");
    drop(lines);
    let output = child.wait_with_output().expect("output");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn values_that_are_no_text_and_delimiters_of_ones_own() {
    let broker = Broker::dev(&[]);
    let sent = broker.run_with_input(&["produce", "t", "-D", "\\0"], b"a\nb\0\xff\xfe\0");
    assert!(sent.status.success());
    let records = json_lines(&done(&broker, &["consume", "t", "-e", "-f", "json"]));
    assert_eq!((&records[0]["value"], &records[1]["value_base64"]), (&"a\nb".into(), &"//4=".into()));
    assert_eq!(done(&broker, &["consume", "t", "-e", "-f", "%v{hex} "]), "610a62 fffe ");
    let whole = broker.run_with_input(&["produce", "w", "--whole"], b"one\ntwo\n");
    assert!(whole.status.success());
    assert_eq!(done(&broker, &["consume", "w", "-e", "-f", "%V"]), "8");
}

#[test]
fn a_batch_that_the_topic_finds_too_large_is_split() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-c", "max.message.bytes=2000"]);
    let input: String = (0..100).map(|n| format!("{n:0>100}\n")).collect();
    done_with(&broker, &["produce", "t"], &input);
    assert_eq!(done(&broker, &["consume", "t", "-e"]), input, "every record once, in order");
    let huge = broker.run_with_input(&["produce", "t"], "x".repeat(3_000).as_bytes());
    assert_eq!(huge.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&huge.stderr).contains("max.message.bytes"));
}

#[test]
fn a_damaged_segment_is_shown_up_to_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &[]);
    done_with(&broker, &["produce", "t"], "first\n");
    done_with(&broker, &["produce", "t"], "second\n");
    assert_eq!(broker.stop(), Some(0));
    let path = dir.path().to_str().expect("UTF-8");
    let (_, out, _) = quipu(&["dump", "--format", "json", path]);
    let batches = json_lines(&out);
    let batch = batches.iter().rfind(|b| b["base_offset"] == 1 && b["count"] == 1).expect("the second batch");
    let file = batch["file"].as_str().expect("a name");
    let mut bytes = std::fs::read(file).unwrap();
    bytes[batch["position"].as_u64().expect("a position") as usize + 65] ^= 1;
    assert_eq!(unread(&["dump", file]), (Some(0), String::new()));
    std::fs::write(file, bytes).unwrap();
    let (code, out, _) = quipu(&["dump", "-r", file]);
    assert_eq!(code, Some(1));
    assert!(out.contains("first") && out.contains("BAD-CHECKSUM") && !out.contains("second"), "{out}");
    for format in ["table", "json"] {
        assert_eq!(
            unread(&["dump", file, "--format", format]).0,
            Some(1),
            "{format}: nobody needs to look on"
        );
    }
}

#[test]
fn the_cluster_tells_who_it_is_and_what_it_speaks() {
    let broker = Broker::dev(&[]);
    let facts: Value = serde_json::from_str(&done(&broker, &["cluster", "--format", "json"])).expect("JSON");
    assert_eq!(facts["brokers"][0]["port"], broker.address.port());
    assert!(facts["cluster_id"].as_str().is_some_and(|id| id.len() == 22), "{facts}");
    let versions = done(&broker, &["cluster", "api-versions"]);
    assert!(versions.contains("ApiVersions") && versions.contains("Produce"), "{versions}");
}

#[test]
fn names_that_tools_cannot_tell_apart_are_refused() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "market.data"]);
    assert!(failed(&broker, &["topic", "create", "market_data"]).contains("market.data"));
    done(&broker, &["topic", "delete", "market.data"]);
    done(&broker, &["topic", "create", "market_data"]);
}
