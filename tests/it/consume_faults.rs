//! What `quipu consume` does while its broker restarts, a leader is missing or a topic goes: it waits where that helps.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quipu_protocol::header::{decode_response_header, response_frame};
use quipu_protocol::message::fetch::FetchResponse;
use quipu_protocol::message::metadata::MetadataResponse;
use quipu_protocol::{ApiKey, Decode, ErrorCode};
use serde_json::Value;

use crate::between::{Fate, dev_behind};
use crate::cli::{done, done_with};
use crate::cli_admin::open_transaction;
use crate::cli_faults::{Beside, committed};
use crate::client::Client;
use crate::process::{Broker, signal};
use crate::produce::FETCH;

/// The version of Metadata that commands ask for.
const METADATA: i16 = 13;

/// A member of a group that has read the one record there is.
fn group_reading(broker: &Broker) -> Beside {
    done(broker, &["topic", "create", "t", "-p", "1"]);
    done_with(broker, &["produce", "t"], "0\n");
    let mut reading = Beside::start(broker, &["consume", "t", "-g", "g"]);
    assert_eq!(reading.line(), "0");
    reading
}

/// It reads the next record, and stops having committed both.
fn reads_on(broker: &Broker, mut reading: Beside) {
    done_with(broker, &["produce", "t"], "1\n");
    assert_eq!(reading.line(), "1");
    signal(reading.pid(), "INT");
    let (rest, code, said) = reading.end();
    assert_eq!((rest.len(), code), (0, Some(0)), "{said}");
    assert_eq!(committed(broker, "g"), Some(2));
}

#[test]
fn a_group_goes_on_after_its_broker_has_restarted() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Broker::serve(dir.path(), &[]);
    let reading = group_reading(&broker);
    // A fetch that is not answered, until a heartbeat is due as well; and then nobody is there for a while.
    signal(broker.pid(), "STOP");
    std::thread::sleep(Duration::from_secs(4));
    let address = broker.bootstrap();
    broker.kill();
    std::thread::sleep(Duration::from_secs(1));
    let broker = Broker::serve_at(&address, dir.path(), &[]);
    reads_on(&broker, reading);
}

#[test]
fn a_group_survives_the_loss_of_any_of_its_requests() {
    let all = [
        ApiKey::JoinGroup,
        ApiKey::SyncGroup,
        ApiKey::OffsetFetch,
        ApiKey::ListOffsets,
        ApiKey::Fetch,
        ApiKey::Heartbeat,
        ApiKey::OffsetCommit,
    ];
    let left = Arc::new(Mutex::new(BTreeSet::from(all)));
    let to_lose = Arc::clone(&left);
    // Each is lost once.
    let broker = dev_behind(move |_, api| match to_lose.lock().expect("no panic").remove(&api) {
        true => Fate::Lost,
        false => Fate::Answered,
    });
    let mut reading = group_reading(&broker);
    while !left.lock().expect("no panic").is_empty() {
        assert!(reading.is_running(), "{:?} left", left.lock());
        std::thread::sleep(Duration::from_millis(50));
    }
    reads_on(&broker, reading);
}

/// The address at which a broker sends its clients through the test's hands.
fn advertised(broker: &Broker) -> String {
    let facts: Value = serde_json::from_str(&done(broker, &["cluster", "--format", "json"])).expect("JSON");
    let node = &facts["brokers"][0];
    format!("{}:{}", node["host"].as_str().expect("a host"), node["port"])
}

#[test]
fn a_deleted_topic_is_asked_about_once_and_not_for_each_partition() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let broker = dev_behind(move |_, api| {
        counted.fetch_add(usize::from(api == ApiKey::Metadata), Ordering::Relaxed);
        Fate::Answered
    });
    done(&broker, &["topic", "create", "many", "-p", "100"]);
    done_with(&broker, &["produce", "many"], "0\n");
    let mut reading = Beside::start(&broker, &["consume", "many", "-b", &advertised(&broker)]);
    assert_eq!(reading.line(), "0");
    let before = asked.load(Ordering::Relaxed);
    done(&broker, &["topic", "delete", "many"]);
    let (_, code, said) = reading.end();
    assert!(code == Some(1) && said.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{said}");
    let asked = asked.load(Ordering::Relaxed) - before;
    assert!(asked < 20, "{asked} times");
}

/// The answer to a fetch in which partition 1 is led by somebody else.
fn one_has_moved(answer: &[u8]) -> Vec<u8> {
    let (correlation_id, mut body) =
        decode_response_header(&answer[4..], ApiKey::Fetch, FETCH).expect("a header");
    let mut response = FetchResponse::decode(&mut body, FETCH).expect("a fetch answer");
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.partition_index == 1 {
            partition.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        }
    }
    response_frame(ApiKey::Fetch, FETCH, correlation_id, &response, Vec::new()).to_vec()
}

/// Metadata in which nobody leads partition 1.
fn one_has_no_leader(answer: &[u8]) -> Vec<u8> {
    let (correlation_id, mut body) =
        decode_response_header(&answer[4..], ApiKey::Metadata, METADATA).expect("a header");
    let mut response = MetadataResponse::decode(&mut body, METADATA).expect("metadata");
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.partition_index == 1 {
            partition.leader_id = -1;
        }
    }
    response_frame(ApiKey::Metadata, METADATA, correlation_id, &response, Vec::new()).to_vec()
}

#[test]
fn a_partition_without_a_leader_holds_up_no_other() {
    let (asked, fetched) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (metadata, fetches) = (Arc::clone(&asked), Arc::clone(&fetched));
    let broker = dev_behind(move |_, api| match api {
        ApiKey::Fetch => {
            fetches.fetch_add(1, Ordering::Relaxed);
            Fate::Rewritten(one_has_moved)
        }
        ApiKey::Metadata if fetches.load(Ordering::Relaxed) > 0 => {
            metadata.fetch_add(1, Ordering::Relaxed);
            Fate::Rewritten(one_has_no_leader)
        }
        _ => Fate::Answered,
    });
    done(&broker, &["topic", "create", "t", "-p", "2"]);
    let output = broker.run(&["consume", "t", "--timeout", "1", "-b", &advertised(&broker)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("partition t-1") && said.contains("LEADER_NOT_AVAILABLE"), "{said}");
    // The other partition is fetched each time that the leader is asked for.
    let (asked, fetched) = (asked.load(Ordering::Relaxed), fetched.load(Ordering::Relaxed));
    assert!(asked <= fetched && fetched > 2, "{asked} questions, {fetched} fetches");
}

#[test]
fn a_group_that_stops_at_the_end_does_not_go_back() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "2"]);
    done_with(&broker, &["produce", "t", "-p", "0"], "0\n1\n");
    open_transaction(&mut Client::new(&broker), "open", "t");
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-e"]), "0\n1\nopen\n");
    assert_eq!(committed(&broker, "g"), Some(3));
    // For a reader of committed records the first partition ends before what the group has read.
    done_with(&broker, &["produce", "t", "-p", "1"], "2\n");
    assert_eq!(done(&broker, &["consume", "t", "-g", "g", "-e", "--read-committed"]), "2\n");
    assert_eq!(committed(&broker, "g"), Some(3));
}
