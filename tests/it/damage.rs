//! A data directory in which bytes have rotted: what a broker makes of it, and how its operator gets on.

use std::fs;
use std::path::{Path, PathBuf};

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};
use quipu_protocol::record::position;
use quipu_protocol::{ApiKey, Decode, ErrorCode};

use crate::client::Client;
use crate::process::{Broker, quipu, unread};
use crate::produce::{FETCH, fetch_request, fetched};

/// Makes the topics a few segments long.
fn padded(n: u32) -> String {
    format!("record {n}{:6000}\n", "")
}

fn fill(dir: &Path) -> PathBuf {
    let broker = Broker::serve(dir, &["--override", "log.segment.bytes=1048576"]);
    for topic in ["good", "bad"] {
        for round in 0..40 {
            let input: String = (0..10).map(|n| padded(round * 10 + n)).collect();
            let sent = broker.run_with_input(&["produce", topic], input.as_bytes());
            assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        }
    }
    assert_eq!(broker.stop(), Some(0));
    let listed = quipu(&["verify", "--data-dir", dir.to_str().unwrap(), "--format", "json"]);
    assert_eq!(listed.0, Some(0), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_str(&listed.1).unwrap();
    assert_eq!(listed["ok"], true);
    let bad = listed["partitions"].as_array().unwrap().iter().find(|it| it["partition"] == "bad-0").unwrap();
    assert_eq!((&bad["records"], &bad["end"]), (&400.into(), &400.into()));
    bad["directory"].as_str().unwrap().into()
}

fn segments(partition: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}

/// The values that can be consumed from an offset on, and whether consuming went to the end.
fn consume(broker: &Broker, topic: &str, from: &str) -> (Vec<String>, bool, String) {
    let read = broker.run(&["consume", topic, "-o", from, "-e", "-f", "%v\n", "--timeout", "5"]);
    let lines = String::from_utf8(read.stdout).unwrap();
    let lines = lines.lines().map(|line| line.trim_end_matches(' ').to_owned()).collect();
    (lines, read.status.success(), String::from_utf8_lossy(&read.stderr).into_owned())
}

fn records(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("record {n}")).collect()
}

#[test]
fn a_damaged_partition_is_read_only_until_its_loss_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let partition = fill(dir.path());
    let logs = segments(&partition);
    // The last segment has lost its end.
    let last = logs.last().unwrap();
    let whole = fs::read(last).unwrap();
    fs::write(last, &whole[..whole.len() - 10]).unwrap();

    let broker = Broker::serve(dir.path(), &[]);
    let (before, ended, error) = consume(&broker, "bad", "start");
    assert_eq!(before, records(0..390));
    assert!(!ended && error.contains("CORRUPT_MESSAGE"), "{error}");
    let refused = broker.run_with_input(&["produce", "bad", "--delivery-timeout", "2"], b"more\n");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("KAFKA_STORAGE_ERROR"), "{told}");
    // Everybody else goes on, and who asks is told which partition it is.
    assert!(broker.run_with_input(&["produce", "good"], b"more\n").status.success());
    assert_eq!(consume(&broker, "good", "start").0.len(), 401);
    let cluster = broker.run(&["cluster", "--format", "json"]);
    let cluster: serde_json::Value = serde_json::from_slice(&cluster.stdout).unwrap();
    assert_eq!(cluster["offline_partitions"], serde_json::json!(["bad-0"]));
    let data_dir = dir.path().to_str().unwrap();
    let (code, _, in_use) = quipu(&["verify", "--data-dir", data_dir]);
    assert!(code == Some(1) && in_use.contains("in use by process"), "{in_use}");
    assert_eq!(broker.stop(), Some(0));

    let (code, shown, _) = quipu(&["verify", "--data-dir", data_dir]);
    assert!(code == Some(1) && shown.contains("--accept-loss bad-0"), "{shown}");
    let (code, shown, refused) = quipu(&["verify", "--data-dir", data_dir, "--accept-loss", "bad-0"]);
    assert!(
        code == Some(1) && shown.contains("390..=399") && refused.contains("nothing was changed"),
        "{shown}{refused}"
    );
    assert_eq!(fs::read(last).unwrap().len(), whole.len() - 10);
    // Nobody looks on: that hides no damage, and stands for nobody's consent.
    for more in [&[][..], &["--format", "json"], &["--accept-loss", "bad-0"]] {
        let (code, said) = unread(&[&["verify", "--data-dir", data_dir], more].concat());
        assert_eq!(code, Some(1), "{more:?}: {said}");
    }
    assert_eq!(fs::read(last).unwrap().len(), whole.len() - 10);
    let (code, shown, error) = quipu(&["verify", "--data-dir", data_dir, "--accept-loss", "bad-0", "--yes"]);
    assert_eq!(code, Some(0), "{shown}{error}");
    let kept: Vec<_> =
        shown.lines().filter_map(|line| line.strip_prefix("What was cut out is kept in ")).collect();
    assert_eq!(kept.len(), 1, "{shown}");
    let cut = fs::read(kept[0]).unwrap();
    assert!(whole[..whole.len() - 10].ends_with(&cut) && !cut.is_empty());
    assert_eq!(quipu(&["verify", "--data-dir", data_dir]).0, Some(0));

    let broker = Broker::serve(dir.path(), &[]);
    assert!(broker.run_with_input(&["produce", "bad"], b"record 400\n").status.success());
    let (left, ended, error) = consume(&broker, "bad", "start");
    assert!(ended, "{error}");
    assert_eq!(left, [records(0..390), records(400..401)].concat());
    let at = broker.run(&["consume", "bad", "-o", "400", "-e", "-f", "%o"]);
    assert_eq!(at.stdout, b"400");
}

#[test]
fn rot_that_is_met_while_running_makes_that_partition_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let partition = fill(dir.path());
    let logs = segments(&partition);
    let mut bytes = fs::read(&logs[1]).unwrap();
    bytes[position::MAGIC] ^= 0x10;
    fs::write(&logs[1], &bytes).unwrap();
    let base: u32 = logs[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();

    let broker = Broker::serve(dir.path(), &[]);
    // Nothing has been read there yet.
    assert!(broker.run_with_input(&["produce", "bad"], b"record 400\n").status.success());
    let (before, ended, error) = consume(&broker, "bad", "start");
    assert_eq!(before, records(0..base));
    assert!(!ended && error.contains("CORRUPT_MESSAGE"), "{error}");
    let refused = broker.run_with_input(&["produce", "bad", "--delivery-timeout", "2"], b"more\n");
    assert!(!refused.status.success());
    // Behind the damage everything is there.
    let behind = base + 10;
    let (after, ended, error) = consume(&broker, "bad", &behind.to_string());
    assert!(ended, "{error}");
    assert_eq!(after, records(behind..401));
    assert_eq!(broker.stop(), Some(0), "what was acknowledged is on disk");
    let data_dir = dir.path().to_str().unwrap();
    // Nobody needs to look on.
    let (code, said) = unread(&["verify", "--data-dir", data_dir, "--accept-loss", "bad-0", "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    let broker = Broker::serve(dir.path(), &[]);
    let (left, ended, error) = consume(&broker, "bad", "start");
    assert!(ended, "{error}");
    assert_eq!(left, [records(0..base), records(behind..401)].concat());
}

/// A disk that fails under a mapped page looks to the process like a file that was cut under it: whoever touches the page
/// first is ended by a signal, unless the system was asked for it before.
#[test]
fn bytes_that_cannot_be_read_any_more_fail_their_partition_only() {
    let dir = tempfile::tempdir().unwrap();
    let partition = fill(dir.path());
    let broker = Broker::serve(dir.path(), &[]);
    // All files are open and mapped.
    assert_eq!(consume(&broker, "bad", "start").0, records(0..400));
    let logs = segments(&partition);
    let base: u32 = logs[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::OpenOptions::new().write(true).open(&logs[1]).unwrap().set_len(0).unwrap();

    let mut client = Client::new(&broker);
    let mut ask = |offset| {
        let request = fetch_request("bad", offset, 0, 1, 10_000_000);
        let (code, _, batches) = fetched(&client.call(ApiKey::Fetch, FETCH, &request));
        (code, batches.last().map(|batch| batch.1 + 1))
    };
    assert_eq!(ask(0), (ErrorCode::NONE, Some(base.into())), "what comes before is handed out");
    assert_eq!(ask(base.into()), (ErrorCode::KAFKA_STORAGE_ERROR, None));
    let (others, ended, error) = consume(&broker, "good", "start");
    assert!(ended && others == records(0..400), "{error}");
}

/// Partitions of the internal topics in the tests below.
const KEPT_IN: i32 = 4;

/// Which of them keeps a group or a transactional id (`Utils.abs` of Java's `String.hashCode`).
fn kept_in(id: &str) -> i32 {
    let hash = id.bytes().fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    hash.abs() % KEPT_IN
}

fn with_internal_topics(dir: &Path) -> Broker {
    let partitions = |key: &str| format!("{key}={KEPT_IN}");
    let arguments = [
        "--override",
        &partitions("offsets.topic.num.partitions"),
        "--override",
        &partitions("transaction.state.log.num.partitions"),
    ];
    Broker::serve(dir, &arguments)
}

/// Asks until the broker has loaded and knows the topic that is made by the first question.
fn until_loaded<T>(mut ask: impl FnMut() -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match ask() {
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {}
            told => return told,
        }
    }
}

fn commit(client: &mut Client, group: &str, offset: i64) -> Result<(), ErrorCode> {
    until_loaded(|| {
        let partition = OffsetCommitRequestPartition {
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: "good".into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let answer = client.call(ApiKey::OffsetCommit, 7, &request);
        let (_, mut body) = decode_response_header(&answer, ApiKey::OffsetCommit, 7).unwrap();
        let response = OffsetCommitResponse::decode(&mut body, 7).unwrap();
        match response.topics[0].partitions[0].error_code {
            ErrorCode::NONE => Ok(()),
            other => Err(other),
        }
    })
}

fn committed(client: &mut Client, group: &str) -> Result<i64, ErrorCode> {
    until_loaded(|| {
        let topic = OffsetFetchRequestTopic { name: "good".into(), partition_indexes: vec![0] };
        let request = OffsetFetchRequest {
            group_id: group.into(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
        let answer = client.call(ApiKey::OffsetFetch, 5, &request);
        let (_, mut body) = decode_response_header(&answer, ApiKey::OffsetFetch, 5).unwrap();
        let response = OffsetFetchResponse::decode(&mut body, 5).unwrap();
        match response.error_code {
            ErrorCode::NONE => Ok(response.topics[0].partitions[0].committed_offset),
            other => Err(other),
        }
    })
}

fn init_producer(client: &mut Client, id: &str) -> Result<(i64, i16), ErrorCode> {
    until_loaded(|| {
        let request = InitProducerIdRequest {
            transactional_id: Some(id.into()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let answer = client.call(ApiKey::InitProducerId, 4, &request);
        let (_, mut body) = decode_response_header(&answer, ApiKey::InitProducerId, 4).unwrap();
        let response = InitProducerIdResponse::decode(&mut body, 4).unwrap();
        match response.error_code {
            ErrorCode::NONE => Ok((response.producer_id, response.producer_epoch)),
            other => Err(other),
        }
    })
}

/// Turns a bit in the last record of the first segment of a partition.
fn rot(data_dir: &Path, partition: &str) {
    let (_, shown, _) = quipu(&["verify", "--data-dir", data_dir.to_str().unwrap(), "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let all = listed["partitions"].as_array().unwrap();
    let found = all.iter().find(|it| it["partition"] == partition).unwrap();
    let log = segments(Path::new(found["directory"].as_str().unwrap())).remove(0);
    let mut bytes = fs::read(&log).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&log, &bytes).unwrap();
}

#[test]
fn a_damaged_partition_of_an_internal_topic_keeps_nobody_else_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let ids: Vec<String> = (0..12).map(|n| format!("id-{n}")).collect();
    let lost = kept_in(&ids[0]);
    let is_lost = |id: &str| kept_in(id) == lost;
    assert!(ids.iter().any(|id| !is_lost(id)));

    let broker = with_internal_topics(dir.path());
    assert!(broker.run_with_input(&["produce", "good"], b"one\n").status.success());
    let mut client = Client::new(&broker);
    let mut producers = Vec::new();
    for (offset, id) in ids.iter().enumerate() {
        commit(&mut client, id, offset as i64).unwrap();
        producers.push(init_producer(&mut client, id).unwrap());
    }
    assert_eq!(broker.stop(), Some(0));
    let named = [format!("__consumer_offsets-{lost}"), format!("__transaction_state-{lost}")];
    named.iter().for_each(|partition| rot(dir.path(), partition));

    let broker = with_internal_topics(dir.path());
    let mut client = Client::new(&broker);
    for (offset, id) in ids.iter().enumerate() {
        if is_lost(id) {
            assert_eq!(committed(&mut client, id), Err(ErrorCode::NOT_COORDINATOR), "{id}");
            assert_eq!(commit(&mut client, id, 100), Err(ErrorCode::NOT_COORDINATOR), "{id}");
            assert_eq!(init_producer(&mut client, id), Err(ErrorCode::NOT_COORDINATOR), "{id}");
        } else {
            assert_eq!(committed(&mut client, id), Ok(offset as i64), "{id}");
            let (producer_id, epoch) = producers[offset];
            assert_eq!(init_producer(&mut client, id), Ok((producer_id, epoch + 1)), "{id}");
        }
    }
    let cluster = broker.run(&["cluster", "--format", "json"]);
    let cluster: serde_json::Value = serde_json::from_slice(&cluster.stdout).unwrap();
    assert_eq!(cluster["offline_partitions"], serde_json::json!(named));
    assert!(broker.run_with_input(&["produce", "good"], b"two\n").status.success());
    assert_eq!(broker.stop(), Some(0));

    // Only what was in the broken batches is given up.
    for partition in &named {
        let (code, shown, error) =
            quipu(&["verify", "--data-dir", data_dir, "--accept-loss", partition, "--yes"]);
        assert_eq!(code, Some(0), "{shown}{error}");
    }
    let broker = with_internal_topics(dir.path());
    let mut client = Client::new(&broker);
    let forgotten: Vec<_> =
        ids.iter().filter(|id| committed(&mut client, id).unwrap() < 0).map(|id| is_lost(id)).collect();
    assert_eq!(forgotten, [true]);
    for id in &ids {
        commit(&mut client, id, 7).unwrap();
        init_producer(&mut client, id).unwrap();
    }
    assert_eq!(broker.stop(), Some(0));
}
