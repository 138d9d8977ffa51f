//! Prints how many small transactions a second one producer gets done: `cargo bench --bench transactions`.
//!
//! A transaction is one record of 100 bytes to one partition, and its commit; the next begins when that is answered.
//! In version 2 that is two requests (Produce, which adds the partition, and EndTxn), in version 1 three. Each rate is
//! measured several times, in `os` mode, for which there is a goal, and in `sync`, where the disk decides. Nothing is
//! asserted: a busy machine makes no test fail.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use quipu::client::admin::{self, NewTopic};
use quipu::client::{Cluster, Connection, Options};
use quipu_protocol::record::{Attributes, BatchBuilder};

const ROUNDS: usize = 5;
const TRANSACTIONS: usize = 3_000;
const VALUE: [u8; 100] = [b'v'; 100];
const TOPIC: &str = "transactions";
const PATIENCE: Duration = Duration::from_secs(20);

type Measured<T> = Result<T, Box<dyn Error>>;

/// A broker of its own, killed when dropped.
struct Broker(Child);

impl Broker {
    fn start(directory: &Path, durability: &str) -> Measured<(Self, Connection)> {
        // Free a moment ago, and nobody here is in a hurry to take it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["serve", "--listen", &address, "--override"])
            .arg(format!("quipu.durability={durability}"))
            .arg("--data-dir")
            .arg(directory)
            .env("QUIPU_LOG", "error")
            .stdout(Stdio::null())
            .spawn()?;
        let broker = Self(process);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            if Instant::now() > deadline {
                return Err(format!("nobody listens at {address} after {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let connection = Connection::open(&address, &Options::default())?;
        Ok((broker, connection))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn succeeded(code: i16) -> Measured<()> {
    if code == 0 { Ok(()) } else { Err(format!("refused: {}", quipu_protocol::ErrorCode(code)).into()) }
}

/// A transactional producer that has one request in flight.
struct Producer {
    connection: Connection,
    id: TransactionalId,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    fn new(mut connection: Connection) -> Measured<Self> {
        let id = TransactionalId(StrBytes::from_static_str("bench"));
        let asked = InitProducerIdRequest::default()
            .with_transactional_id(Some(id.clone()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let given = connection.call_at(&asked, 4, Duration::ZERO)?;
        succeeded(given.error_code)?;
        let (producer_id, epoch) = (given.producer_id.0, given.producer_epoch);
        Ok(Self { connection, id, producer_id, epoch, sequence: 0 })
    }

    fn transaction(&mut self, is_two: bool) -> Measured<()> {
        let name = TopicName(StrBytes::from_static_str(TOPIC));
        if !is_two {
            let topic = AddPartitionsToTxnTopic::default().with_name(name.clone()).with_partitions(vec![0]);
            let asked = AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(self.id.clone())
                .with_v3_and_below_producer_id(ProducerId(self.producer_id))
                .with_v3_and_below_producer_epoch(self.epoch)
                .with_v3_and_below_topics(vec![topic]);
            let added = self.connection.call_at(&asked, 3, Duration::ZERO)?;
            succeeded(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)?;
        }
        let attributes = Attributes::default().with_transactional(true);
        let mut batch =
            BatchBuilder::new().producer(self.producer_id, self.epoch, self.sequence).attributes(attributes);
        batch.push(1, None, Some(&VALUE), &[]);
        let partition =
            PartitionProduceData::default().with_index(0).with_records(Some(batch.finish().into()));
        let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![partition]);
        let asked = ProduceRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let taken = self.connection.call_at(&asked, if is_two { 12 } else { 11 }, Duration::ZERO)?;
        succeeded(taken.responses[0].partition_responses[0].error_code)?;

        let asked = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_committed(true);
        let ended = self.connection.call_at(&asked, if is_two { 5 } else { 4 }, Duration::ZERO)?;
        succeeded(ended.error_code)?;
        if is_two {
            (self.producer_id, self.epoch, self.sequence) = (ended.producer_id.0, ended.producer_epoch, 0);
        } else {
            self.sequence += 1;
        }
        Ok(())
    }
}

fn rates(durability: &str, is_two: bool, count: usize) -> Measured<Vec<f64>> {
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir()?;
        let (_broker, connection) = Broker::start(&directory.path().join("data"), durability)?;
        let mut cluster = Cluster::connect(&[connection.address().to_owned()], Options::default())?;
        let topic = NewTopic { name: TOPIC.into(), partitions: 1, replication: 1, configs: Vec::new() };
        for (_, created) in admin::create_topics(&mut cluster, &[topic], false)? {
            created?;
        }
        let mut producer = Producer::new(connection)?;
        producer.transaction(is_two)?;
        let began = Instant::now();
        for _ in 0..count {
            producer.transaction(is_two)?;
        }
        rates.push(count as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates)
}

fn main() -> Measured<()> {
    println!("{:<44} {:>8} {:>8} {:>8} {:<4} {:>10}", "", "least", "median", "most", "", "goal");
    for (durability, goal, count) in [("os", ">= 2000 /s", TRANSACTIONS), ("sync", "", TRANSACTIONS / 10)] {
        for is_two in [true, false] {
            let rates = rates(durability, is_two, count)?;
            let what = format!("transactions, version {}, {durability}", if is_two { 2 } else { 1 });
            let (least, median, most) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
            println!("{what:<44} {least:>8.0} {median:>8.0} {most:>8.0} {:<4} {goal:>10}", "/s");
        }
    }
    Ok(())
}
