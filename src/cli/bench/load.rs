//! Makes records and sends them, several requests in flight, as fast as the broker takes them or at a given rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use quipu_protocol::record::BatchBuilder;
use quipu_storage::compress::{self, Codec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::failure::Failure;
use super::super::progress::Progress;
use super::interrupt::Interrupt;
use crate::client::{Acks, ClientError, Cluster, Connection, Options, TopicPartition, topic_name};
use crate::clock::Clock;
use crate::metrics::{Histogram, Times, thread_cpu};

/// The last Produce version that names topics.
const PRODUCE_BY_NAME: i16 = 12;
/// Requests in flight for each broker; what Kafka's producer has.
pub(super) const IN_FLIGHT: usize = 5;
/// Values are cut from this much of random letters, so that a codec finds as little as in those of Kafka's own
/// performance test.
const LETTERS_BYTES: usize = 1 << 20;
/// Requests after which a person is told how far it is.
const TOLD_EVERY: u64 = 512;
/// The longest that nobody looks whether the user wants to end it.
const LOOK: Duration = Duration::from_millis(100);

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) acks: Acks,
    pub(super) codec: Codec,
    /// Bytes of a value, at least 16.
    pub(super) record_bytes: usize,
    /// A batch is sent once it holds this many bytes.
    pub(super) batch_bytes: usize,
    /// Requests in flight for each broker.
    pub(super) in_flight: usize,
    /// Records per second; as many as can be if there is none.
    pub(super) rate: Option<u64>,
    /// Ends after so many records.
    pub(super) records: Option<u64>,
    /// Ends after so long.
    pub(super) time: Duration,
    /// The first eight bytes of each value are when it was due, in nanoseconds since this.
    pub(super) stamp: Option<Instant>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) records: u64,
    /// Bytes of their values.
    pub(super) value_bytes: u64,
    /// Bytes of the batches as they went out.
    pub(super) batch_bytes: u64,
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// From when a record was due, or at full speed from when its batch was begun, until it was acknowledged.
    pub(super) acks: Times,
    /// Processor time of the thread that sent.
    pub(super) cpu: Duration,
    /// Time in which nothing more could be sent before an answer came.
    pub(super) waited: Duration,
}

/// The connection to one broker.
struct Lane {
    node: i32,
    connection: Connection,
    version: i16,
    in_flight: VecDeque<InFlight>,
}

struct InFlight {
    correlation: i32,
    sent: Instant,
    /// When its first record was due.
    due: Instant,
    records: u64,
}

/// Sends to one topic.
pub(super) struct Load {
    topic: String,
    lanes: Vec<Lane>,
    /// For each partition its leader's lane.
    lane_of: Vec<usize>,
    next_partition: usize,
    letters: Vec<u8>,
    next_letter: usize,
    /// How long an answer may take.
    timeout: Duration,
}

impl Load {
    /// Connects to every broker that leads a partition of `topic`.
    pub(super) fn new(cluster: &mut Cluster, topic: &str, options: &Options) -> Result<Self, Failure> {
        let partitions = cluster.topic(topic, false)?.partitions.len() as i32;
        let mut lanes: Vec<Lane> = Vec::new();
        let mut lane_of = Vec::new();
        for partition in 0..partitions {
            let node = cluster.leader(&TopicPartition::new(topic, partition))?;
            let lane = match lanes.iter().position(|lane| lane.node == node) {
                Some(lane) => lane,
                None => {
                    let connection = Connection::open(cluster.node(node)?.address(), options)?;
                    let version = connection.version::<ProduceRequest>(PRODUCE_BY_NAME)?;
                    lanes.push(Lane { node, connection, version, in_flight: VecDeque::new() });
                    lanes.len() - 1
                }
            };
            lane_of.push(lane);
        }
        let clock = Clock::real();
        let letters = (0..LETTERS_BYTES).map(|_| b'A' + (clock.random_u64() % 26) as u8).collect();
        Ok(Self {
            topic: topic.to_owned(),
            lanes,
            lane_of,
            next_partition: 0,
            letters,
            next_letter: 0,
            timeout: options.timeout,
        })
    }

    /// Sends as planned, and waits for what is in flight at the end.
    pub(super) fn run(
        &mut self,
        plan: &Plan,
        interrupt: &Interrupt,
        progress: Option<&Progress>,
    ) -> Result<Sent, Failure> {
        self.run_with(plan, &Histogram::default(), interrupt, progress)
    }

    /// The same; times of acknowledgements are added to those that `acks` has already.
    pub(super) fn run_with(
        &mut self,
        plan: &Plan,
        acks: &Histogram,
        interrupt: &Interrupt,
        progress: Option<&Progress>,
    ) -> Result<Sent, Failure> {
        let began = Instant::now();
        let cpu = thread_cpu();
        let mut sent = Sent {
            records: 0,
            value_bytes: 0,
            batch_bytes: 0,
            requests: 0,
            elapsed: Duration::ZERO,
            acks: acks.times(),
            cpu: Duration::ZERO,
            waited: Duration::ZERO,
        };
        loop {
            interrupt.check()?;
            for lane in &mut self.lanes {
                lane.receive_all(plan, acks)?;
                lane.check_patience(self.timeout)?;
            }
            let now = Instant::now();
            let is_over =
                now - began >= plan.time || plan.records.is_some_and(|wanted| sent.records >= wanted);
            if is_over && self.lanes.iter().all(|lane| lane.in_flight.is_empty()) {
                break;
            }
            let left = plan.records.map_or(u64::MAX, |wanted| wanted - sent.records);
            let due = match plan.rate {
                None => left,
                Some(rate) => (due_by(now - began, rate) - sent.records).min(left),
            };
            let lane = &self.lanes[self.lane_of[self.next_partition]];
            let is_full = lane.in_flight.len() >= plan.in_flight;
            if is_over || due == 0 || is_full {
                let until = match (plan.rate, is_over || is_full) {
                    (Some(rate), false) => due_at(sent.records, rate).saturating_sub(now - began),
                    _ => LOOK,
                };
                self.wait(until.min(LOOK))?;
                if is_full && !is_over {
                    sent.waited += now.elapsed();
                }
                continue;
            }
            let first_due = plan.rate.map_or(now, |rate| began + due_at(sent.records, rate));
            self.send(plan, due, first_due, began, &mut sent)?;
            if let Some(progress) = progress
                && sent.requests.is_multiple_of(TOLD_EVERY)
            {
                progress.note(format!("produce: {} records", sent.records));
            }
        }
        sent.elapsed = began.elapsed();
        sent.acks = acks.times();
        sent.cpu = thread_cpu().saturating_sub(cpu);
        Ok(sent)
    }

    /// Waits until a broker has answered, or time is up.
    fn wait(&self, most: Duration) -> Result<(), Failure> {
        let waits = self.lanes.iter().filter(|lane| !lane.in_flight.is_empty());
        let mut sockets: Vec<PollFd<'_>> =
            waits.map(|lane| PollFd::new(&lane.connection, PollFlags::IN)).collect();
        let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        match poll(&mut sockets, Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Failure::failed(format!("cannot wait for an answer: {error}"))),
        }
    }

    /// One batch of at most `due` records, for the next partition.
    fn send(
        &mut self,
        plan: &Plan,
        due: u64,
        first_due: Instant,
        began: Instant,
        sent: &mut Sent,
    ) -> Result<(), Failure> {
        let partition = self.next_partition;
        self.next_partition = (partition + 1) % self.lane_of.len();
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
        let mut batch = BatchBuilder::new();
        let mut stamped = vec![0; plan.record_bytes];
        while (batch.len() as u64) < due && (batch.is_empty() || batch.size_bytes() < plan.batch_bytes) {
            let value = cut(&self.letters, &mut self.next_letter, plan.record_bytes);
            match (plan.stamp, plan.rate) {
                (Some(epoch), Some(rate)) => {
                    let at = began + due_at(sent.records + batch.len() as u64, rate);
                    stamped.copy_from_slice(value);
                    stamped[..8].copy_from_slice(&(at.duration_since(epoch).as_nanos() as u64).to_be_bytes());
                    batch.push(wall_ms, None, Some(&stamped), &[]);
                }
                _ => batch.push(wall_ms, None, Some(value), &[]),
            }
        }
        let records = batch.len() as u64;
        let bytes = match plan.codec {
            Codec::None => batch.finish(),
            codec => batch
                .finish_compressed(codec as u8, |plain| compress::compress(codec, None, plain))
                .map_err(|error| Failure::failed(format!("cannot compress a batch: {error}")))?,
        };
        sent.requests += 1;
        sent.records += records;
        sent.value_bytes += records * plan.record_bytes as u64;
        sent.batch_bytes += bytes.len() as u64;
        let data = PartitionProduceData::default()
            .with_index(partition as i32)
            .with_records(Some(Bytes::from(bytes)));
        let topic =
            TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(plan.acks.number())
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let lane = &mut self.lanes[self.lane_of[partition]];
        let correlation = lane.connection.send(&request, lane.version)?;
        if plan.acks != Acks::None {
            lane.in_flight.push_back(InFlight { correlation, sent: Instant::now(), due: first_due, records });
        }
        Ok(())
    }
}

impl Lane {
    /// Takes the answers that are here.
    fn receive_all(&mut self, plan: &Plan, acks: &Histogram) -> Result<(), Failure> {
        while !self.in_flight.is_empty() && is_readable(&self.connection) {
            let Some(sent) = self.in_flight.pop_front() else { break };
            let response =
                self.connection.receive::<ProduceRequest>(sent.correlation, self.version, Duration::ZERO)?;
            let now = Instant::now();
            for data in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                if data.error_code != 0 {
                    let partition = format!("partition {} of the topic", data.index);
                    let message = data.error_message.as_deref();
                    return Err(ClientError::broker(partition, data.error_code, message).into());
                }
            }
            match plan.rate {
                None => acks.record(now - sent.due),
                // Each record was due at a time of its own.
                Some(rate) => {
                    for record in 0..sent.records {
                        acks.record(now.saturating_duration_since(sent.due + due_at(record, rate)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Fails when the oldest answer does not come.
    fn check_patience(&self, timeout: Duration) -> Result<(), ClientError> {
        match self.in_flight.front() {
            Some(oldest) if oldest.sent.elapsed() > timeout => Err(ClientError::TimedOut {
                address: self.connection.address().to_owned(),
                api: "Produce",
                after: timeout,
            }),
            _ => Ok(()),
        }
    }
}

fn is_readable(connection: &Connection) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(connection, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// When a record, counted from 0, is due at a rate.
fn due_at(record: u64, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(record) * 1_000_000_000 / u128::from(rate)) as u64)
}

/// How many records are due after some time.
fn due_by(elapsed: Duration, rate: u64) -> u64 {
    (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64 + 1
}

/// The next piece, another one each time.
fn cut<'a>(letters: &'a [u8], next: &mut usize, bytes: usize) -> &'a [u8] {
    if *next + bytes > letters.len() {
        // Not where it began before.
        *next = (*next + 1) % bytes.max(1);
        *next = (*next).min(letters.len() - bytes);
    }
    let piece = &letters[*next..*next + bytes];
    *next += bytes;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_says_when_each_record_is_due() {
        for rate in [1, 3, 1_000, 999_983, 20_000_000] {
            for record in [0, 1, 2, 10, 12_345] {
                let at = due_at(record, rate);
                assert!(due_by(at + Duration::from_nanos(1), rate) >= record, "{rate} {record}");
                assert!(due_by(at, rate) <= record + 1, "{rate} {record}: not before its time");
            }
        }
    }

    #[test]
    fn values_differ_and_never_run_over_the_end() {
        let letters: Vec<u8> = (0..=255).collect();
        for bytes in [1, 16, 100, 255, 256] {
            let mut next = 0;
            let pieces: std::collections::BTreeSet<Vec<u8>> =
                (0..1_000).map(|_| cut(&letters, &mut next, bytes).to_vec()).collect();
            assert!(pieces.iter().all(|piece| piece.len() == bytes));
            assert!(bytes == 256 || pieces.len() > 1, "{bytes}");
        }
    }
}
