//! Kills the broker at random moments, again and again on one data directory, under one idempotent producer of librdkafka
//! that lives through all of it and finds its way back by itself.
//!
//! What must hold: each record is at the offset that its delivery report named, an offset that was read once shows the same
//! value ever after, no value is there twice, and the values of a partition are in the order in which they were sent,
//! without a gap.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TOPIC: &str = "crash";

/// Few, because all of them share the five requests that the producer has under way: a kill is to find several batches of
/// one partition written and not acknowledged.
const PARTITIONS: usize = 2;

/// The longest that the producer may take to get something through to a new broker.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills between two looks at what is there.
const LOOK_EVERY: u64 = 10;

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

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

struct Broker(Child);

impl Broker {
    /// Starts on the port where its predecessor was.
    fn start(program: &Path, data_dir: &Path, port: u16) -> Checked<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--data-dir")
            .arg(data_dir)
            .env_remove("QUIPU_BOOTSTRAP")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let this = Self(child);
        if line.contains("listening on") { Ok(this) } else { Err("the broker does not start".into()) }
    }

    fn kill(mut self) -> Checked {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the delivery reports said.
#[derive(Default)]
struct Reports {
    /// Partition, offset and value of what was delivered since the last look.
    fresh: Vec<(usize, i64, u64)>,
    delivered: u64,
    failed: Option<String>,
}

#[derive(Clone, Default)]
struct Context(Arc<Mutex<Reports>>);

impl Context {
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {
        // The broker is gone half of the time.
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.reports().failed.get_or_insert_with(|| format!("the producer gives up: {reason}"));
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        let mut reports = self.reports();
        match result {
            Ok(message) => {
                reports.fresh.push((message.partition() as usize, message.offset(), *value));
                reports.delivered += 1;
            }
            Err((error, _)) => {
                reports.failed.get_or_insert_with(|| format!("value {value} is not delivered: {error}"));
            }
        }
    }
}

/// A partition as it was read, and what of it is still to come.
#[derive(Default)]
struct Partition {
    log: Vec<u64>,
    /// Values that were sent and not read yet, in order.
    sent: VecDeque<u64>,
}

impl Partition {
    fn look_at(&mut self, index: usize, offset: i64, value: u64) -> Checked {
        if let Some(known) = self.log.get(offset as usize) {
            if *known != value {
                return Err(format!("partition {index}: offset {offset} shows {known}, then {value}").into());
            }
            return Ok(());
        }
        if offset != self.log.len() as i64 {
            return Err(format!("partition {index}: offset {offset} follows {}", self.log.len()).into());
        }
        let expected = self.sent.pop_front();
        if expected != Some(value) {
            return Err(format!(
                "partition {index}: {value} is at {offset}, where {expected:?} was expected"
            )
            .into());
        }
        self.log.push(value);
        Ok(())
    }
}

struct Run {
    bootstrap: String,
    partitions: Vec<Partition>,
    random: Random,
    context: Context,
    next_value: u64,
}

impl Run {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("broker.address.family", "v4");
        config
    }

    fn producer(&self) -> Checked<ThreadedProducer<Context>> {
        let producer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("batch.num.messages", "20")
            .set("queue.buffering.max.messages", "300")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.ms", "5")
            .set("reconnect.backoff.max.ms", "20")
            .set("retry.backoff.ms", "5")
            .set("retry.backoff.max.ms", "20")
            .create_with_context(self.context.clone())?;
        Ok(producer)
    }

    /// Fills the producer's queue.
    fn send(&mut self, producer: &ThreadedProducer<Context>) -> Checked {
        loop {
            let value = self.next_value;
            let index = (value % PARTITIONS as u64) as usize;
            let payload = format!("{value} {}", "x".repeat(self.random.below(400) as usize));
            let record = BaseRecord::<(), _, _>::with_opaque_to(TOPIC, Box::new(value))
                .partition(index as i32)
                .payload(&payload);
            match producer.send(record) {
                Ok(()) => {
                    self.partitions[index].sent.push_back(value);
                    self.next_value += 1;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Ok(()),
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Sends until this many more are delivered.
    fn deliver(&mut self, producer: &ThreadedProducer<Context>, more: u64) -> Checked {
        let (upto, deadline) = (self.context.reports().delivered + more, Instant::now() + PATIENCE);
        loop {
            self.send(producer)?;
            let reports = self.context.reports();
            if let Some(failed) = &reports.failed {
                return Err(failed.clone().into());
            }
            if reports.delivered >= upto {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the producer gets nothing through any more".into());
            }
            drop(reports);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reads what is new and a part of what was read before; then looks for everything that was delivered.
    fn look(&mut self, whole: bool) -> Checked {
        let fresh = std::mem::take(&mut self.context.reports().fresh);
        let consumer: BaseConsumer =
            self.client().set("group.id", "look").set("enable.auto.commit", "false").create()?;
        let mut places = TopicPartitionList::new();
        let mut ends = Vec::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            let (_, end) = consumer.fetch_watermarks(TOPIC, index as i32, PATIENCE)?;
            let known = partition.log.len() as u64;
            let from = if whole { 0 } else { known.saturating_sub(self.random.below(300)).min(end as u64) };
            if (end as u64) < known {
                return Err(
                    format!("partition {index} ends at {end}, and {known} records were read before").into()
                );
            }
            if (from as i64) < end {
                places.add_partition_offset(TOPIC, index as i32, Offset::Offset(from as i64))?;
                ends.push((index, end));
            }
        }
        consumer.assign(&places)?;
        let deadline = Instant::now() + PATIENCE;
        while !ends.is_empty() {
            if Instant::now() > deadline {
                return Err(format!("reading does not come to its end, {ends:?} are missing").into());
            }
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            let text = message.payload().map(String::from_utf8_lossy).ok_or("a record without a value")?;
            let value = text
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .ok_or("a value that nobody sent")?;
            let (index, offset) = (message.partition() as usize, message.offset());
            self.partitions[index].look_at(index, offset, value)?;
            ends.retain(|end| end.0 != index || offset + 1 < end.1);
        }
        for (index, offset, value) in fresh {
            let found = self.partitions[index].log.get(offset as usize);
            if found != Some(&value) {
                return Err(format!(
                    "partition {index}: {value} was acknowledged at {offset}, where {found:?} is"
                )
                .into());
            }
        }
        Ok(())
    }
}

fn run(program: &Path, kills: u64, seed: u64) -> Checked {
    let dir = tempfile::tempdir()?;
    // Below the range from which the system gives ports away, so that nobody takes it between two brokers.
    let port = (20_000 + (seed % 1_000) as u16..30_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or("no free port")?;
    let mut run = Run {
        bootstrap: format!("127.0.0.1:{port}"),
        partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
        random: Random(seed),
        context: Context::default(),
        next_value: 0,
    };
    let began = Instant::now();
    let mut broker = Broker::start(program, dir.path(), port)?;
    let made = Command::new(program)
        .args(["topic", "create", TOPIC, "-p", &PARTITIONS.to_string()])
        // A segment holds some kills' worth, so that there are recovery points all along the log.
        .args(["-c", "internal.segment.bytes=60000"])
        .env("QUIPU_BOOTSTRAP", &run.bootstrap)
        .stdin(Stdio::null())
        .output()?;
    if !made.status.success() {
        return Err(format!("no topic: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let producer = run.producer()?;
    for kill in 1..=kills {
        let more = run.random.below(300);
        run.deliver(&producer, more)?;
        // The queue stays full meanwhile, so that the kill lands in the middle of something.
        let pause = Duration::from_micros(run.random.below(8_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            broker.kill().map_err(|error| error.to_string())
        });
        while !killer.is_finished() {
            run.send(&producer)?;
            std::thread::sleep(Duration::from_micros(100));
        }
        killer.join().map_err(|_| "the killer panicked")??;
        broker = Broker::start(program, dir.path(), port)?;
        if kill % LOOK_EVERY == 0 {
            run.look(false)?;
        }
    }
    producer.flush(PATIENCE)?;
    run.look(true)?;
    if let Some(failed) = &run.context.reports().failed {
        return Err(failed.clone().into());
    }
    let missing: usize = run.partitions.iter().map(|partition| partition.sent.len()).sum();
    if missing > 0 {
        return Err(format!("{missing} values that were sent are nowhere").into());
    }
    let (records, delivered) = (run.next_value, run.context.reports().delivered);
    println!(
        "{kills} kills, {delivered} acknowledged records of librdkafka, {records} records, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, kills, seed] = arguments.as_slice() else {
        eprintln!("usage: crash BROKER KILLS SEED");
        return ExitCode::from(2);
    };
    let (Ok(kills), Ok(seed)) = (kills.parse(), seed.parse()) else {
        eprintln!("crash: KILLS and SEED are numbers");
        return ExitCode::from(2);
    };
    println!("seed {seed}");
    match run(Path::new(program), kills, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash: seed {seed}: {error}");
            ExitCode::FAILURE
        }
    }
}
