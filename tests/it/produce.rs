//! Produce and fetch, request by request.

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use quipu_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use quipu_protocol::message::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::{BatchBuilder, Batches};
use quipu_protocol::{ApiKey, Decode, ErrorCode};

use crate::client::Client;
use crate::process::Broker;

/// Versions that name topics.
pub const PRODUCE: i16 = 12;
pub const FETCH: i16 = 12;

fn batch(values: &[&str]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(1_000, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    batch
}

fn request<'a>(topic: &'a str, acks: i16, bytes: &'a [u8]) -> ProduceRequest<'a> {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(Records::Borrowed(bytes)) }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn outcome(answer: &[u8]) -> (i32, ErrorCode, i64) {
    let (id, mut body) = decode_response_header(answer, ApiKey::Produce, PRODUCE).expect("a header");
    let response = ProduceResponse::decode(&mut body, PRODUCE).expect("a produce answer");
    let partition = &response.responses[0].partition_responses[0];
    (id, partition.error_code, partition.base_offset)
}

fn produce(client: &mut Client, topic: &str, bytes: &[u8]) -> (ErrorCode, i64) {
    let answer = client.call(ApiKey::Produce, PRODUCE, &request(topic, -1, bytes));
    let (_, code, offset) = outcome(&answer);
    (code, offset)
}

fn create(client: &mut Client, topic: &str) {
    let topics = Some(vec![MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }]);
    let request = MetadataRequest { topics, allow_auto_topic_creation: true, ..Default::default() };
    let answer = client.call(ApiKey::Metadata, 9, &request);
    let (_, mut body) = decode_response_header(&answer, ApiKey::Metadata, 9).expect("a header");
    let response = MetadataResponse::decode(&mut body, 9).expect("metadata");
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "usable when the answer arrives");
}

pub fn fetch_request(
    topic: &str,
    offset: i64,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
) -> FetchRequest<'_> {
    FetchRequest {
        max_wait_ms,
        min_bytes,
        max_bytes,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: max_bytes,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Error code, high watermark, and first and last offset of each batch.
pub fn fetched(answer: &[u8]) -> (ErrorCode, i64, Vec<(i64, i64)>) {
    let (_, mut body) = decode_response_header(answer, ApiKey::Fetch, FETCH).expect("a header");
    let response = FetchResponse::decode(&mut body, FETCH).expect("a fetch answer");
    let partition = &response.responses[0].partitions[0];
    let records =
        partition.records.as_ref().map(|records| records.to_bytes().into_owned()).unwrap_or_default();
    let batches = Batches::new(&records)
        .map(|batch| (batch.header().base_offset, batch.header().last_offset()))
        .collect();
    (partition.error_code, partition.high_watermark, batches)
}

#[test]
fn pipelined_produces_are_answered_in_order_though_each_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &[]);
    let mut client = Client::new(&broker);
    create(&mut client, "t");
    let bytes = batch(&["a", "b"]).finish();
    let mut frames = Vec::new();
    let mut wanted = Vec::new();
    for n in 0..200 {
        frames.extend(client.frame(ApiKey::Produce, PRODUCE, &request("t", -1, &bytes)));
        wanted.push((client.last_id(), Some(n * 2)));
        if n % 10 == 0 {
            // An answer that waits for nothing must not overtake those that do.
            frames.extend(client.frame(ApiKey::Metadata, 9, &MetadataRequest::default()));
            wanted.push((client.last_id(), None));
        }
    }
    client.send_bytes(&frames);
    for (id, offset) in wanted {
        let answer = client.receive();
        assert_eq!(answer[..4], id.to_be_bytes());
        if let Some(offset) = offset {
            assert_eq!(outcome(&answer), (id, ErrorCode::NONE, offset));
        }
    }
    let answer = client.call(ApiKey::Fetch, FETCH, &fetch_request("t", 0, 0, 0, 1 << 20));
    assert_eq!(fetched(&answer).1, 400, "what is acknowledged can be read");
}

#[test]
fn bad_batches_get_their_own_error_and_leave_nothing() {
    let broker = Broker::dev(&[]);
    let mut client = Client::new(&broker);
    create(&mut client, "t");
    let good = batch(&["a", "b", "c"]).finish();
    let with = |position: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[position] = value;
        bytes
    };
    let cases = [
        ("a flipped bit", with(good.len() - 2, 0xff), ErrorCode::CORRUPT_MESSAGE),
        ("message format 1", with(16, 1), ErrorCode::INVALID_RECORD),
        ("a length beyond its bytes", with(8, 1), ErrorCode::CORRUPT_MESSAGE),
        ("half a batch", good[..good.len() / 2].to_vec(), ErrorCode::CORRUPT_MESSAGE),
        ("nothing", Vec::new(), ErrorCode::INVALID_RECORD),
        ("no records", batch(&[]).finish(), ErrorCode::INVALID_RECORD),
        ("two batches", [good.clone(), good.clone()].concat(), ErrorCode::INVALID_RECORD),
        (
            "a sequence without its producer's epoch",
            batch(&["a"]).producer(7, -1, 0).finish(),
            ErrorCode::INVALID_RECORD,
        ),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(produce(&mut client, "t", &bytes), (code, -1), "{name}");
    }
    assert_eq!(produce(&mut client, "t", &good), (ErrorCode::NONE, 0), "and nothing of them is there");
    assert_eq!(produce(&mut client, "none", &good), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    let answer = client.call(ApiKey::Produce, PRODUCE, &request("t", 7, &good));
    assert_eq!(outcome(&answer).1, ErrorCode::INVALID_REQUIRED_ACKS);
}

#[test]
fn i1_a_batch_sent_again_keeps_its_offset() {
    let broker = Broker::dev(&[]);
    let mut client = Client::new(&broker);
    create(&mut client, "t");
    let first = batch(&["a", "b"]).producer(40, 0, 0).finish();
    let second = batch(&["c"]).producer(40, 0, 2).finish();
    assert_eq!(produce(&mut client, "t", &first), (ErrorCode::NONE, 0));
    assert_eq!(produce(&mut client, "t", &second), (ErrorCode::NONE, 2));
    assert_eq!(produce(&mut client, "t", &first), (ErrorCode::NONE, 0), "a retry");
    let gap = batch(&["d"]).producer(40, 0, 9).finish();
    assert_eq!(produce(&mut client, "t", &gap), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
}

#[test]
fn p4_acks_zero_gets_no_answer_and_a_closed_connection_on_failure() {
    let broker = Broker::dev(&[]);
    let mut client = Client::new(&broker);
    create(&mut client, "t");
    let good = batch(&["a"]).finish();
    client.send(ApiKey::Produce, PRODUCE, &request("t", 0, &good));
    let answer = client.call(ApiKey::Fetch, FETCH, &fetch_request("t", 0, 5_000, 1, 1 << 20));
    assert_eq!(fetched(&answer), (ErrorCode::NONE, 1, vec![(0, 0)]), "the next answer is the fetch's");
    client.send(ApiKey::Produce, PRODUCE, &request("none", 0, &good));
    assert!(client.is_closed());
}

#[test]
fn l5_l6_fetch_gives_whole_batches_and_says_what_is_out_of_range() {
    let broker = Broker::dev(&[]);
    let mut client = Client::new(&broker);
    create(&mut client, "t");
    let bytes = batch(&["a", "b", "c"]).finish();
    for n in 0..3 {
        assert_eq!(produce(&mut client, "t", &bytes), (ErrorCode::NONE, 3 * n));
    }
    let mut fetch = |offset, max_bytes| {
        fetched(&client.call(ApiKey::Fetch, FETCH, &fetch_request("t", offset, 0, 0, max_bytes)))
    };
    assert_eq!(fetch(0, 1 << 20), (ErrorCode::NONE, 9, vec![(0, 2), (3, 5), (6, 8)]));
    assert_eq!(fetch(4, 1 << 20).2, [(3, 5), (6, 8)], "from within a batch: the whole batch");
    assert_eq!(fetch(0, 1).2, [(0, 2)], "at least one batch, whatever the limit");
    assert_eq!(fetch(9, 1 << 20), (ErrorCode::NONE, 9, vec![]), "at the end: nothing");
    assert_eq!(fetch(10, 1 << 20).0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch(-1, 1 << 20).0, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[test]
fn l8_a_long_poll_wakes_when_enough_has_been_appended() {
    let dir = tempfile::tempdir().unwrap();
    for broker in [Broker::dev(&[]), Broker::serve(dir.path(), &[])] {
        let (mut reader, mut writer) = (Client::new(&broker), Client::new(&broker));
        create(&mut writer, "t");
        let bytes = batch(&["a"]).finish();
        // More than one batch and a wait far beyond the test's own limit: only the appends can end it.
        let min_bytes = bytes.len() as i32 + 1;
        reader.send(ApiKey::Fetch, FETCH, &fetch_request("t", 0, 600_000, min_bytes, 1 << 20));
        assert_eq!(produce(&mut writer, "t", &bytes), (ErrorCode::NONE, 0));
        assert_eq!(produce(&mut writer, "t", &bytes), (ErrorCode::NONE, 1));
        assert_eq!(fetched(&reader.receive()).2, [(0, 0), (1, 1)]);
    }
}

#[test]
fn a_topic_keeps_its_batches_in_the_codec_it_is_told_to() {
    let broker = Broker::dev(&[]);
    let made = broker.run(&["topic", "create", "z", "-c", "compression.type=zstd"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut client = Client::new(&broker);
    let long = "a value that compresses well ".repeat(100);
    let bytes = batch(&[&long, &long]).finish();
    assert_eq!(produce(&mut client, "z", &bytes), (ErrorCode::NONE, 0));
    let answer = client.call(ApiKey::Fetch, FETCH, &fetch_request("z", 0, 0, 0, 1 << 20));
    assert!(answer.len() < bytes.len() / 4, "{} bytes of {}", answer.len(), bytes.len());
    let read = broker.run(&["consume", "z", "-o", "start", "-e", "-f", "%v\n"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout), format!("{long}\n{long}\n"));
    // Another thread compresses; what one connection sends takes effect in order all the same, logs that were never
    // opened included.
    broker.run(&["topic", "create", "y", "-c", "compression.type=gzip"]);
    for topic in ["z", "y"] {
        let first = if topic == "z" { 2 } else { 0 };
        for n in 0..5 {
            let bytes = batch(&[&long.repeat(5 - n)]).finish();
            client.send(ApiKey::Produce, PRODUCE, &request(topic, -1, &bytes));
        }
        for n in 0..5 {
            let (_, code, offset) = outcome(&client.receive());
            assert_eq!((code, offset), (ErrorCode::NONE, first + n));
        }
    }
}
