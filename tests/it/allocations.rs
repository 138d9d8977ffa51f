//! A record costs the broker no allocation: a request with a thousand takes as many as a request with one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quipu::api::{self, Caller};
use quipu::broker::{Broker, CreateTopic};
use quipu::clock::Clock;
use quipu::config::{Config, Sources};
use quipu_protocol::ApiKey;
use quipu_protocol::header::{RequestHeader, request_frame};
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use quipu_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::MemoryDisk;

const VERSION: i16 = 11;

fn frame(api: ApiKey, body: &impl quipu_protocol::Encode) -> Vec<u8> {
    let header =
        RequestHeader { api_key: api.key(), api_version: VERSION, correlation_id: 1, client_id: None };
    // Without the length, as the connection hands it on.
    request_frame(&header, body, Vec::new()).to_vec().split_off(4)
}

fn produce(records: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for _ in 0..records {
        batch.push(1_000, None, Some(&[b'x'; 100]), &[]);
    }
    let bytes = batch.finish();
    let partition = PartitionProduceData { index: 0, records: Some(Records::Borrowed(&bytes)) };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
    frame(ApiKey::Produce, &ProduceRequest { acks: -1, topic_data: vec![topic], ..Default::default() })
}

fn fetch(offset: i64, max_bytes: i32) -> Vec<u8> {
    let partition =
        FetchPartition { fetch_offset: offset, partition_max_bytes: max_bytes, ..Default::default() };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { max_bytes, session_epoch: -1, topics: vec![topic], ..Default::default() };
    frame(ApiKey::Fetch, &request)
}

#[test]
fn records_cost_no_allocation() {
    let (config, _) = Config::load(Sources::default()).expect("defaults");
    let clock = Clock::real();
    let broker =
        Broker::open(config, Arc::new(MemoryDisk::new()), Path::new("/quipu"), clock).expect("a broker");
    broker.create_topic(CreateTopic::with_defaults("t")).expect("a topic");
    let address: SocketAddr = "127.0.0.1:9092".parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut buffer = Vec::with_capacity(4_096);
    let mut allocations = |frame: &[u8]| {
        let caller = Caller { broker: &broker, peer_addr: address, local_addr: address, turn: None };
        let mut answered = None;
        let lent = std::mem::take(&mut buffer);
        let info = allocation_counter::measure(|| {
            answered = Some(runtime.block_on(api::answer(caller, frame, lent)).expect("an answer"));
        });
        let answer = answered.and_then(|answer| answer.frame).expect("a frame");
        let bytes = answer.len();
        buffer = answer.into_buffer();
        (info.count_total, bytes)
    };
    let (small, large) = (produce(1), produce(1_000));
    // The first of each opens files and grows buffers.
    for _ in 0..3 {
        allocations(&small);
        allocations(&large);
    }
    let ((one, _), (thousand, _)) = (allocations(&small), allocations(&large));
    println!("produce: {one} allocations for 1 record, {thousand} for 1,000");
    assert_eq!(one, thousand, "produce");

    let (small, large) = (fetch(0, 1), fetch(0, 1 << 20));
    for _ in 0..3 {
        allocations(&small);
        allocations(&large);
    }
    let ((one, few_bytes), (thousand, many_bytes)) = (allocations(&small), allocations(&large));
    println!("fetch: {one} allocations for {few_bytes} bytes, {thousand} for {many_bytes}");
    assert!(many_bytes > 100 * few_bytes.min(1_000), "{few_bytes} {many_bytes}");
    assert_eq!(one, thousand, "fetch");
    assert!(one <= 40, "{one} allocations for a fetch");
}
