//! The loops of `floor/cpu`, through a real server in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::Criterion;
use quipu_protocol::ApiKey;
use quipu_protocol::header::{RequestHeader, request_frame};
use quipu_protocol::message::create_topics::{CreatableTopic, CreateTopicsRequest};
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use quipu_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use quipu_protocol::primitives::Records;

use super::floor::{IN_FLIGHT, cpu_per_million};

const TOPIC: &str = "micro";
/// Batches in an answer, as in the floor.
const SLICES: u64 = 4;

/// A broker, killed when dropped.
struct Broker {
    process: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["serve", "--listen", "127.0.0.1:0", "--override", "quipu.durability=os", "--data-dir"])
            .arg(dir.path().join("data"))
            .env("QUIPU_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a broker");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line.split_once("listening on ").and_then(|(_, rest)| rest.split([',', ' ']).next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { process, address, _dir: dir }
    }

    /// Processor time of the whole process, to the tick (10 ms) of /proc.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("a process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 =
            fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system");
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn frame(api: ApiKey, version: i16, body: &impl quipu_protocol::Encode) -> Vec<u8> {
    let header =
        RequestHeader { api_key: api.key(), api_version: version, correlation_id: 1, client_id: None };
    request_frame(&header, body, Vec::new()).to_vec()
}

fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let bytes = u32::from_be_bytes(length) as usize;
    buffer.resize(bytes.max(buffer.len()), 0);
    stream.read_exact(&mut buffer[..bytes]).expect("all of it");
    bytes
}

pub(super) fn benches(c: &mut Criterion) {
    let broker = Broker::start();
    let mut stream = TcpStream::connect(&broker.address).expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut buffer = Vec::new();
    let topic =
        CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let create = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    stream.write_all(&frame(ApiKey::CreateTopics, 5, &create)).expect("asked");
    receive(&mut stream, &mut buffer);

    let batch = super::batch(super::RECORDS);
    let data = PartitionProduceData { index: 0, records: Some(Records::Borrowed(&batch)) };
    let data = TopicProduceData { name: TOPIC.into(), partition_data: vec![data], ..Default::default() };
    let produce =
        ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![data], ..Default::default() };
    let produce = frame(ApiKey::Produce, 9, &produce);
    cpu_per_million(c, "broker/cpu/produce", |batches| {
        let began = broker.cpu();
        let mut waiting = 0;
        for sent in 0..batches + IN_FLIGHT as u64 {
            if sent < batches {
                stream.write_all(&produce).expect("sent");
                waiting += 1;
            }
            if sent >= IN_FLIGHT as u64 && waiting > 0 {
                receive(&mut stream, &mut buffer);
                waiting -= 1;
            }
        }
        broker.cpu() - began
    });

    let mut from = 0;
    cpu_per_million(c, "broker/cpu/fetch", |batches| {
        let began = broker.cpu();
        for _ in 0..batches / SLICES {
            let max_bytes = (batch.len() * SLICES as usize) as i32;
            let partition =
                FetchPartition { fetch_offset: from, partition_max_bytes: max_bytes, ..Default::default() };
            let topic = FetchTopic { topic: TOPIC.into(), partitions: vec![partition], ..Default::default() };
            let fetch =
                FetchRequest { max_bytes, session_epoch: -1, topics: vec![topic], ..Default::default() };
            stream.write_all(&frame(ApiKey::Fetch, 12, &fetch)).expect("asked");
            let got = receive(&mut stream, &mut buffer);
            assert!(got > max_bytes as usize, "an answer of {got} bytes holds no {SLICES} batches");
            from = (from + (SLICES as usize * super::RECORDS) as i64) % (900 * super::RECORDS as i64);
        }
        broker.cpu() - began
    });
}
