//! The command line's administration of transactions, group offsets, access and features, end to end.

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use quipu_protocol::message::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_protocol::{ApiKey, Decode, ErrorCode};
use serde_json::{Value, json};

use crate::cli::{done, done_with, failed};
use crate::client::Client;
use crate::process::{Broker, Logged, quipu};

const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// Runs a command that must succeed and reads the JSON it prints.
fn read(broker: &Broker, arguments: &[&str]) -> Value {
    let printed = done(broker, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
}

/// Writes one record in a transaction that stays open: the client knows the form with an epoch per transaction.
pub fn open_transaction(client: &mut Client, id: &str, topic: &str) {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let answer = client.call(ApiKey::InitProducerId, 4, &request);
    let (_, mut body) = decode_response_header(&answer, ApiKey::InitProducerId, 4).expect("a header");
    let producer = InitProducerIdResponse::decode(&mut body, 4).expect("a producer id");
    assert_eq!(producer.error_code, ErrorCode::NONE);
    let identity = (producer.producer_id, producer.producer_epoch);
    assert_eq!(write_in_transaction(client, 12, id, identity, topic), ErrorCode::NONE);
}

/// Sends the first record of a producer's transaction, at a version of Produce that says which form it has.
fn write_in_transaction(
    client: &mut Client,
    version: i16,
    id: &str,
    (producer_id, producer_epoch): (i64, i16),
    topic: &str,
) -> ErrorCode {
    let mut batch = BatchBuilder::new()
        .producer(producer_id, producer_epoch, 0)
        .attributes(Attributes::default().with_transactional(true));
    batch.push(1_000, None, Some(b"open"), &[]);
    let bytes = batch.finish();
    let request = ProduceRequest {
        transactional_id: Some(id.into()),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(Records::Borrowed(&bytes)) }],
            ..Default::default()
        }],
    };
    let answer = client.call(ApiKey::Produce, version, &request);
    let (_, mut body) = decode_response_header(&answer, ApiKey::Produce, version).expect("a header");
    let response = ProduceResponse::decode(&mut body, version).expect("a produce answer");
    response.responses[0].partition_responses[0].error_code
}

#[test]
fn transactions_are_listed_described_and_aborted() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t"]);
    done_with(&broker, &["produce", "t"], "before\n");
    assert_eq!(read(&broker, &["txn", "list"]), json!([]));
    assert!(failed(&broker, &["txn", "describe", "none"]).contains("none"));
    let mut client = Client::new(&broker);
    open_transaction(&mut client, "pay-1", "t");
    open_transaction(&mut client, "pay-2", "t");
    let listed = read(&broker, &["txn", "list", "--state", "Ongoing", "--matching", "pay-."]);
    assert_eq!((&listed[0]["transactional_id"], &listed[1]["state"]), (&json!("pay-1"), &json!("Ongoing")));
    assert_eq!(read(&broker, &["txn", "list", "--longer-than", "1h"]), json!([]));
    assert!(failed(&broker, &["txn", "list", "--state", "Asleep"]).contains("Asleep"));
    let described = read(&broker, &["txn", "describe", "pay-1"]);
    assert_eq!((&described[0]["state"], &described[0]["partitions"]), (&json!("Ongoing"), &json!(["t-0"])));
    let open = read(&broker, &["txn", "producers", "t", "--open"]);
    let starts: Vec<&Value> = open.as_array().unwrap().iter().map(|row| &row["start_offset"]).collect();
    assert_eq!(starts, [&json!(1), &json!(2)]);
    // Both are known to the coordinator, so neither hangs.
    assert_eq!(read(&broker, &["txn", "hanging", "--idle-for", "0s"]), json!([]));

    done(&broker, &["txn", "abort", "--id", "pay-1"]);
    assert!(failed(&broker, &["txn", "abort", "--id", "nobody"]).contains("nobody"));
    assert_eq!(read(&broker, &["txn", "describe", "pay-1"])[0]["state"], "Empty");
    assert!(
        failed(&broker, &["txn", "abort", "--partition", "t:0", "--start-offset", "1"])
            .contains("quipu txn producers --open t:0")
    );
    done(&broker, &["txn", "abort", "--partition", "t:0", "--start-offset", "2"]);
    assert_eq!(read(&broker, &["txn", "producers", "t", "--open"]), json!([]));
    let committed = done(&broker, &["consume", "t", "-e", "--read-committed", "-f", "%v "]);
    assert_eq!(committed, "before ");
    for wrong in [&["txn", "abort"][..], &["txn", "abort", "--partition", "t:0"]] {
        assert_eq!(quipu(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_transaction_that_nobody_will_end_is_found_and_ended() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t"]);
    done_with(&broker, &["produce", "t"], "before\n");
    let mut client = Client::new(&broker);
    // As a client with transactions of the first form, which has told no coordinator.
    let mut write_unannounced = || write_in_transaction(&mut client, 11, "nobody", (7_000, 3), "t");
    assert_eq!(write_unannounced(), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    // What the check is good for shows without it: the record gets in, and holds up all that comes behind it.
    let verification = "transaction.partition.verification.enable";
    done(&broker, &["config", "set", "broker", "default", &format!("{verification}=false")]);
    assert_eq!(write_unannounced(), ErrorCode::NONE);
    done(&broker, &["config", "delete", "broker", "default", verification]);
    done_with(&broker, &["produce", "t"], "behind\n");
    let committed = || done(&broker, &["consume", "t", "-e", "--read-committed", "-f", "%v "]);
    assert_eq!(committed(), "before ");
    assert_eq!(read(&broker, &["txn", "list"]), json!([]));

    open_transaction(&mut client, "pay-1", "t");
    let found = read(&broker, &["txn", "hanging", "--idle-for", "0s"]);
    let row = &found[0];
    assert_eq!(found.as_array().map(Vec::len), Some(1), "the other one is its coordinator's: {found}");
    assert_eq!(
        (&row["topic"], &row["producer_id"], &row["producer_epoch"], &row["start_offset"]),
        (&json!("t"), &json!(7_000), &json!(3), &json!(1))
    );
    let recent = ["txn", "hanging", "--idle-for", "36500d"];
    assert_eq!(read(&broker, &recent), json!([]), "nothing has been idle for a century");
    done(&broker, &["txn", "abort", "--partition", "t:0", "--start-offset", "1"]);
    assert_eq!(read(&broker, &["txn", "hanging", "--idle-for", "0s"]), json!([]));
    assert_eq!(committed(), "before behind ", "up to the transaction that is still open");
}

#[test]
fn offsets_of_a_group_follow_a_shift_another_group_and_a_file() {
    let broker = Broker::dev(&[]);
    done(&broker, &["topic", "create", "t", "-p", "2"]);
    for partition in ["0", "1"] {
        let input: String = (0..10).map(|n| format!("{n}\n")).collect();
        done_with(&broker, &["produce", "t", "-p", partition], &input);
    }
    let offsets = |group: &str| -> Vec<i64> {
        let exported = read(&broker, &["group", "export", group]);
        exported.as_array().unwrap().iter().map(|row| row["offset"].as_i64().unwrap()).collect()
    };
    done(&broker, &["group", "seek", "a", "--to", "4", "-t", "t:0"]);
    done(&broker, &["group", "seek", "a", "--to", "6", "-t", "t:1"]);
    assert_eq!(offsets("a"), [4, 6]);
    done(&broker, &["group", "seek", "a", "--shift-by", "-5"]);
    assert_eq!(offsets("a"), [0, 1], "no further than the start");
    done(&broker, &["group", "seek", "a", "--shift-by", "3", "-t", "t:1"]);
    assert_eq!(offsets("a"), [0, 4]);
    done(&broker, &["group", "seek", "b", "--from-group", "a"]);
    assert_eq!(offsets("b"), [0, 4]);
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [("offsets.csv", "table"), ("offsets.json", "json")] {
        let file = dir.path().join(name);
        let file = file.to_str().unwrap();
        done(&broker, &["group", "seek", "a", "--to", "7", "-t", "t"]);
        std::fs::write(file, done(&broker, &["group", "export", "a", "--format", format])).unwrap();
        done(&broker, &["group", "seek", "a", "--to", "end"]);
        assert_eq!(offsets("a"), [10, 10]);
        done(&broker, &["group", "seek", "a", "--from-file", file, "-t", "t:1", "--dry-run"]);
        assert_eq!(offsets("a"), [10, 10]);
        done(&broker, &["group", "seek", "a", "--from-file", file, "-t", "t:1"]);
        assert_eq!(offsets("a"), [10, 7]);
        done(&broker, &["group", "seek", "a", "--from-file", file]);
        assert_eq!(offsets("a"), [7, 7]);
    }
    done(&broker, &["group", "offset-delete", "a", "-t", "t:0"]);
    assert_eq!(offsets("a"), [7]);
    assert!(failed(&broker, &["group", "seek", "x", "--from-group", "y"]).contains("group \"y\""));
    assert_eq!(quipu(&["group", "seek", "a", "--to", "1", "--shift-by", "1"]).0, Some(2));
    let state = read(&broker, &["group", "describe", "a", "--only", "state"]);
    assert_eq!((&state[0]["state"], state[0].get("offsets")), (&json!("Empty"), None));
}

#[test]
fn quotas_users_and_features_from_the_command_line() {
    let broker = Broker::dev(&[]);
    done(&broker, &["quota", "set", "--user", "alice", "producer_byte_rate=1024", "request_percentage=2.5"]);
    done(&broker, &["quota", "set", "--default-user", "--client", "c", "consumer_byte_rate=10"]);
    assert_eq!(
        read(&broker, &["quota", "list"]),
        json!([
            { "entity": { "client-id": "c", "user": null }, "quotas": { "consumer_byte_rate": 10.0 } },
            { "entity": { "user": "alice" }, "quotas": { "producer_byte_rate": 1024.0, "request_percentage": 2.5 } },
        ])
    );
    assert!(done(&broker, &["quota", "list", "--user", "alice", "--strict"]).contains("2.5"));
    assert!(
        failed(&broker, &["quota", "set", "--user", "alice", "producer_byte_rate=-1"])
            .contains("greater than 0")
    );
    done(&broker, &["quota", "delete", "--user", "alice", "producer_byte_rate", "request_percentage"]);
    assert!(!done(&broker, &["quota", "list"]).contains("alice"));
    assert_eq!(quipu(&["quota", "set", "producer_byte_rate=1"]).0, Some(2));

    done_with(&broker, &["user", "set", "alice"], "secret\n");
    done_with(&broker, &["user", "set", "alice", "--mechanism", "sha-512", "--iterations", "8192"], "secret");
    assert_eq!(
        read(&broker, &["user", "list"]),
        json!([
            { "user": "alice", "mechanism": "SCRAM-SHA-256", "iterations": 4096 },
            { "user": "alice", "mechanism": "SCRAM-SHA-512", "iterations": 8192 },
        ])
    );
    assert_eq!(quipu(&["user", "set", "alice", "--iterations", "4095"]).0, Some(2));
    assert_eq!(broker.run_with_input(&["user", "set", "alice"], b"\n").status.code(), Some(2));
    assert!(failed(&broker, &["user", "list", "bob"]).contains("bob"));
    done(&broker, &["user", "delete", "alice"]);
    assert_eq!(read(&broker, &["user", "list"]), json!([]));

    let level = |feature: &str| {
        let facts = read(&broker, &["cluster"]);
        let features = facts["features"].as_array().unwrap().clone();
        features.into_iter().find(|row| row["feature"] == feature).unwrap()["level"].clone()
    };
    assert_eq!(level("transaction.version"), 2);
    let lower = ["cluster", "set-feature", "transaction.version=1"];
    assert!(failed(&broker, &lower).contains("Can't downgrade"));
    done(&broker, &[&lower[..], &["--downgrade", "--validate-only"]].concat());
    assert_eq!(level("transaction.version"), 2);
    done(&broker, &[&lower[..], &["--downgrade"]].concat());
    assert_eq!(level("transaction.version"), 1);
}

#[test]
fn acls_from_the_command_line() {
    let broker = Broker::dev(&["--override", AUTHORIZER, "--override", "super.users=User:ANONYMOUS"]);
    let add =
        ["acl", "add", "--allow", "User:alice,User:bob", "--operation", "read,describe", "--topic", "orders"];
    assert_eq!(read(&broker, &add).as_array().unwrap().len(), 4);
    done(
        &broker,
        &["acl", "add", "--deny", "User:mallory", "--operation", "all", "--topic", "ord", "--prefixed"],
    );
    done(&broker, &["acl", "add", "--allow", "User:ops", "--operation", "alter-configs", "--cluster"]);
    let count = |arguments: &[&str]| read(&broker, arguments).as_array().unwrap().len();
    assert_eq!(count(&["acl", "list"]), 6);
    assert_eq!(count(&["acl", "list", "--topic", "orders"]), 4);
    assert_eq!(count(&["acl", "list", "--topic", "orders", "--matching"]), 5);
    assert_eq!(count(&["acl", "list", "--topic", "ord", "--prefixed"]), 1);
    let cluster = read(&broker, &["acl", "list", "--cluster"]);
    assert_eq!(
        cluster,
        json!([{
            "resource": "cluster", "pattern": "literal", "name": "kafka-cluster", "principal": "User:ops",
            "host": "*", "operation": "alter-configs", "permission": "allow",
        }])
    );
    assert_eq!(count(&["acl", "delete", "--principal", "User:bob", "--dry-run"]), 2);
    assert_eq!(count(&["acl", "delete", "--principal", "User:bob"]), 2);
    assert_eq!(count(&["acl", "list"]), 4);
    assert_eq!(quipu(&["acl", "delete"]).0, Some(2), "not everything by mistake");
    assert_eq!(count(&["acl", "delete", "--all"]), 4);
    let without = ["acl", "add", "--allow", "alice", "--operation", "read", "--topic", "t"];
    assert!(failed(&broker, &without).contains("no colon"));

    let open = Broker::dev(&[]);
    assert!(failed(&open, &["acl", "list"]).contains("SECURITY_DISABLED"));
}

#[test]
fn levels_of_loggers_change_while_the_broker_runs() {
    let mut broker = Logged::dev(&[], "warn");
    let bootstrap = broker.bootstrap();
    let config = |arguments: &[&str]| {
        let (code, out, err) = quipu(&[&["config"], arguments, &["--bootstrap", &bootstrap]].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    let level = |logger: &str| config(&["get", "broker-logger", "0", logger]);
    assert_eq!((level("root"), level("quipu::request")), ("WARN\n".into(), "WARN\n".into()));
    config(&["set", "broker-logger", "0", "quipu::request=DEBUG"]);
    assert_eq!((level("root"), level("quipu::request")), ("WARN\n".into(), "DEBUG\n".into()));
    let (code, _, _) = quipu(&["topic", "list", "--client-id", "seen", "--bootstrap", &bootstrap]);
    assert_eq!(code, Some(0));
    config(&["delete", "broker-logger", "0", "quipu::request"]);
    assert_eq!(level("quipu::request"), "WARN\n");
    let (code, _, _) = quipu(&["topic", "list", "--client-id", "unseen", "--bootstrap", &bootstrap]);
    assert_eq!(code, Some(0));
    for (wrong, why) in
        [("quipu::request=LOUD", "Valid log levels"), ("kafka.request.logger=INFO", "does not exist")]
    {
        let (code, _, err) =
            quipu(&["config", "set", "broker-logger", "0", wrong, "--bootstrap", &bootstrap]);
        assert!(code == Some(1) && err.contains(why), "{wrong}: {err}");
    }
    broker.signal("TERM");
    let log = broker.rest().join("\n");
    assert!(log.contains("seen") && log.contains("Metadata"), "{log}");
    assert!(!log.contains("unseen"), "{log}");
}

#[test]
fn more_replicas_than_brokers_are_refused_or_taken_as_one() {
    let replicas = |broker: &Broker| {
        let described = read(broker, &["topic", "describe", "t"]);
        described[0]["partitions"][0]["replicas"].clone()
    };
    let dir = tempfile::tempdir().unwrap();
    let strict = Broker::serve(dir.path(), &[]);
    let create = ["topic", "create", "t", "--replicas", "3"];
    let refused = failed(&strict, &create);
    assert!(refused.contains("INVALID_REPLICATION_FACTOR") && refused.contains("clamp"), "{refused}");
    done(&strict, &["config", "set", "broker", "default", "quipu.replication.factor=clamp"]);
    done(&strict, &create);
    assert_eq!(replicas(&strict), json!([0]));
    let dev = Broker::dev(&[]);
    done(&dev, &create);
    assert_eq!(replicas(&dev), json!([0]));
    let strict = Broker::dev(&[
        "--override",
        "quipu.replication.factor=reject",
        "--override",
        "default.replication.factor=3",
    ]);
    assert!(failed(&strict, &create).contains("INVALID_REPLICATION_FACTOR"));
    assert!(
        failed(&strict, &["topic", "create", "t"]).contains("replication factor 3"),
        "the default counts"
    );
    done(&strict, &["topic", "create", "t", "--replicas", "1"]);
    // The broker's own topics have a default of their own.
    done_with(&strict, &["produce", "t"], "a\n");
    assert_eq!(done(&strict, &["consume", "t", "-g", "g", "-n", "1", "-f", "%v"]), "a");
}
