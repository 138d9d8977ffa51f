//! Kills the broker at random moments under load, again and again on one data directory (L1, L2, I1, I5).
//!
//! A writer keeps five idempotent requests per partition under way. After each kill it sends again what was not
//! acknowledged, with the same sequence numbers, as a client does. What must hold after every restart:
//! each acknowledged record is at its offset, no offset ever shows two values, and no value is there twice.
//!
//! `QUIPU_CRASH_CYCLES` sets how often (25 unless set), `QUIPU_CRASH_SEED` repeats a run's choices.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use quipu_protocol::message::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::{BatchBuilder, Batches, Records as RecordWalker};
use quipu_protocol::{ApiKey, Decode, ErrorCode};

use crate::client::Client;
use crate::process::Broker;

const TOPIC: &str = "crash";
const PARTITIONS: usize = 3;
const IN_FLIGHT: usize = 5;
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

/// splitmix64: enough to choose with, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A batch that was sent and not acknowledged.
struct Pending {
    values: Vec<u64>,
    bytes: Vec<u8>,
}

/// One partition as its writer knows it.
#[derive(Default)]
struct Partition {
    next_sequence: i32,
    pending: VecDeque<Pending>,
    /// Acknowledged values and their offsets.
    acked: Vec<(u64, i64)>,
    /// What was read so far, by offset.
    log: Vec<u64>,
    seen: HashSet<u64>,
}

impl Partition {
    fn new_batch(&mut self, producer_id: i64, next_value: &mut u64, random: &mut Random) {
        let count = 1 + random.below(5);
        let values: Vec<u64> = (0..count).map(|n| *next_value + n).collect();
        *next_value += count;
        let mut batch = BatchBuilder::new().producer(producer_id, 0, self.next_sequence);
        for value in &values {
            batch.push(1_000, None, Some(&value.to_be_bytes()), &[]);
        }
        self.next_sequence += count as i32;
        self.pending.push_back(Pending { values, bytes: batch.finish() });
    }

    /// Reads what is new, and checks it together with what was read before.
    fn verify(&mut self, client: &mut Client, index: i32, from: usize) {
        let mut next = from;
        loop {
            let partitions = vec![FetchPartition {
                partition: index,
                fetch_offset: next as i64,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }];
            let request = FetchRequest {
                max_bytes: 1 << 20,
                session_epoch: -1,
                topics: vec![FetchTopic { topic: TOPIC.into(), partitions, ..Default::default() }],
                ..Default::default()
            };
            let answer = client.call(ApiKey::Fetch, FETCH, &request);
            let (_, mut body) = decode_response_header(&answer, ApiKey::Fetch, FETCH).expect("a header");
            let response = FetchResponse::decode(&mut body, FETCH).expect("a fetch answer");
            let data = &response.responses[0].partitions[0];
            assert_eq!(
                data.error_code,
                ErrorCode::NONE,
                "partition {index} at {next}, {} known",
                self.log.len()
            );
            let records = data.records.as_ref().map(|r| r.to_bytes().into_owned()).unwrap_or_default();
            let before = next;
            for batch in Batches::new(&records) {
                let header = batch.header();
                for record in RecordWalker::new(batch.payload(), header.records_count) {
                    let record = record.expect("a record");
                    let offset = (header.base_offset + i64::from(record.offset_delta)) as usize;
                    let value =
                        u64::from_be_bytes(record.value.expect("a value").try_into().expect("eight bytes"));
                    self.look_at(index, offset, value);
                    next = next.max(offset + 1);
                }
            }
            if next == before {
                break;
            }
        }
        for (value, offset) in self.acked.drain(..) {
            assert_eq!(
                self.log.get(offset as usize),
                Some(&value),
                "partition {index}: the record acknowledged at offset {offset}"
            );
        }
    }

    fn look_at(&mut self, index: i32, offset: usize, value: u64) {
        match self.log.get(offset) {
            Some(known) => assert_eq!(*known, value, "partition {index}: offset {offset} shows two values"),
            None => {
                assert_eq!(self.log.len(), offset, "partition {index}: a gap");
                assert!(self.seen.insert(value), "partition {index}: value {value} twice, now at {offset}");
                self.log.push(value);
            }
        }
    }
}

fn request<'a>(index: usize, bytes: &'a [u8]) -> ProduceRequest<'a> {
    let partition_data =
        vec![PartitionProduceData { index: index as i32, records: Some(Records::Borrowed(bytes)) }];
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: TOPIC.into(), partition_data, ..Default::default() }],
        ..Default::default()
    }
}

/// Writes until the broker is gone; returns how many batches were acknowledged.
fn write_until_killed(
    client: &mut Client,
    partitions: &mut [Partition],
    producer_id: i64,
    next_value: &mut u64,
    random: &mut Random,
) -> usize {
    let mut acked = 0;
    // Which partition each answer that is still to come belongs to.
    let mut awaited: VecDeque<usize> = VecDeque::new();
    let mut frames = Vec::new();
    for (index, partition) in partitions.iter().enumerate() {
        for pending in &partition.pending {
            frames.extend(client.frame(ApiKey::Produce, PRODUCE, &request(index, &pending.bytes)));
            awaited.push_back(index);
        }
    }
    if client.try_send_bytes(&frames).is_err() {
        return acked;
    }
    loop {
        for (index, partition) in partitions.iter_mut().enumerate() {
            while partition.pending.len() < IN_FLIGHT {
                partition.new_batch(producer_id, next_value, random);
                let newest = &partition.pending.back().expect("just pushed").bytes;
                let frame = client.frame(ApiKey::Produce, PRODUCE, &request(index, newest));
                awaited.push_back(index);
                if client.try_send_bytes(&frame).is_err() {
                    return acked;
                }
            }
        }
        let Ok(answer) = client.try_receive() else { return acked };
        let index = awaited.pop_front().expect("an answer that was awaited");
        let (_, mut body) = decode_response_header(&answer, ApiKey::Produce, PRODUCE).expect("a header");
        let response = ProduceResponse::decode(&mut body, PRODUCE).expect("a produce answer");
        let told = &response.responses[0].partition_responses[0];
        assert_eq!(told.error_code, ErrorCode::NONE, "partition {index}");
        let done = partitions[index].pending.pop_front().expect("a batch under way");
        let offsets = told.base_offset..;
        partitions[index].acked.extend(done.values.into_iter().zip(offsets));
        acked += 1;
    }
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cycles = number("QUIPU_CRASH_CYCLES").unwrap_or(25);
    let seed = number("QUIPU_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--override", "log.segment.bytes=1048576"];
    let mut partitions: Vec<Partition> = (0..PARTITIONS).map(|_| Partition::default()).collect();
    let (mut producer_id, mut next_value, mut acked) = (-1, 1, 0);
    let started = Instant::now();
    for cycle in 0..cycles {
        let broker = Broker::serve(dir.path(), &arguments);
        let mut client = Client::new(&broker);
        if cycle == 0 {
            let made = broker.run(&["topic", "create", TOPIC, "-p", &PARTITIONS.to_string()]);
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let answer = client.call(
                ApiKey::InitProducerId,
                4,
                &InitProducerIdRequest { transactional_id: None, ..Default::default() },
            );
            let (_, mut body) = decode_response_header(&answer, ApiKey::InitProducerId, 4).expect("a header");
            producer_id = InitProducerIdResponse::decode(&mut body, 4).expect("an id").producer_id;
        }
        for (index, partition) in partitions.iter_mut().enumerate() {
            // Some of what is known already is read again, too.
            let from = partition.log.len().saturating_sub(random.below(200) as usize);
            partition.verify(&mut client, index as i32, from);
        }
        let pause = Duration::from_micros(500 + random.below(40_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            broker.kill();
        });
        acked += write_until_killed(&mut client, &mut partitions, producer_id, &mut next_value, &mut random);
        killer.join().expect("the killer");
    }
    let broker = Broker::serve(dir.path(), &arguments);
    let mut client = Client::new(&broker);
    for (index, partition) in partitions.iter_mut().enumerate() {
        partition.verify(&mut client, index as i32, 0);
    }
    let records: usize = partitions.iter().map(|partition| partition.log.len()).sum();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{cycles} kills, {acked} acknowledged batches of our own client, {records} records, {seconds:.1} s"
    );
    assert_eq!(broker.stop(), Some(0));
}
