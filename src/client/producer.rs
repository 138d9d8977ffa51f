//! Sends records, in batches, one round trip per broker at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId};
use quipu_protocol::ErrorCode;
use quipu_protocol::record::{BatchBuilder, Header, add_sequence};
use quipu_storage::compress::{self, Codec};

use super::cluster::topic_name;
use super::{ClientError, Cluster, TopicPartition, partition_for_key};

/// The last Produce version that names topics; from 13 on they go by id.
const PRODUCE_BY_NAME: i16 = 12;
/// Bytes that a record costs besides its key, value and headers, at most.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// All partitions together send when they hold this much, however many they are: it bounds memory and a request's size.
const PENDING_BYTES_MAX: usize = 32 << 20;
const RETRY_STEP: Duration = Duration::from_millis(100);

/// Whose confirmation a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: errors go unseen.
    None,
    /// The leader's.
    Leader,
    /// Every in-sync replica's.
    All,
}

impl Acks {
    /// Kafka's number of it.
    pub fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a [`Producer`] works.
#[derive(Clone, Copy, Debug)]
pub struct ProducerOptions {
    /// Compression of batches.
    pub codec: Codec,
    /// Whose confirmation to wait for.
    pub acks: Acks,
    /// Whether a batch that is sent again is stored once. Needs [`Acks::All`].
    pub idempotent: bool,
    /// A partition's batch is sent when it holds this many bytes before compression. A record larger than this goes alone.
    pub batch_bytes: usize,
    /// How long to keep trying to send a batch.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            acks: Acks::All,
            idempotent: true,
            batch_bytes: 512 << 10,
            delivery_timeout: Duration::from_secs(60),
        }
    }
}

/// A record to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The key; it chooses the partition unless one is given.
    pub key: Option<Vec<u8>>,
    /// The value; none is a tombstone on a compacted topic.
    pub value: Option<Vec<u8>>,
    /// Headers in order; names may repeat.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The partition, if not left to the key or to chance.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; now if not given.
    pub timestamp: Option<i64>,
}

impl Outgoing {
    fn size_bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len) + 10).sum();
        RECORD_OVERHEAD_BYTES
            + self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + headers
    }
}

/// Where confirmed records went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records that the broker has confirmed (or, without acks, that were handed over).
    pub records: u64,
    /// Batches that they travelled in.
    pub batches: u64,
    /// Bytes of those batches on the wire.
    pub bytes: u64,
    /// Partition and offset of the last confirmed record.
    pub last: Option<(i32, i64)>,
}

#[derive(Debug, Default)]
struct Pending {
    records: Vec<Outgoing>,
    bytes: usize,
}

/// A batch as it goes out, kept until it is confirmed so that a repetition is byte for byte the same.
#[derive(Debug)]
struct Sealed {
    records: Vec<Outgoing>,
    /// The sequence number of its first record, if the producer is idempotent.
    base_sequence: i32,
    bytes: Bytes,
}

/// The batches that are on their way, in order for each partition. The first of each is sent; it leaves only when it is
/// confirmed, or in two halves.
type Queues = BTreeMap<i32, VecDeque<Sealed>>;

/// Sends records to one topic.
#[derive(Debug)]
pub struct Producer {
    topic: String,
    partitions: i32,
    options: ProducerOptions,
    identity: Option<(i64, i16)>,
    sequences: BTreeMap<i32, i32>,
    pending: BTreeMap<i32, Pending>,
    pending_bytes: usize,
    sticky: i32,
    random: u64,
    sent: Sent,
}

impl Producer {
    /// Prepares to send to `topic`, which is created if it is missing and the broker creates topics by itself.
    pub fn new(cluster: &mut Cluster, topic: &str, options: ProducerOptions) -> Result<Self, ClientError> {
        let partitions = cluster.topic(topic, true)?.partitions.len() as i32;
        let identity = match options.idempotent && options.acks == Acks::All {
            true => identity(cluster)?,
            false => None,
        };
        let random = now_ms() as u64 ^ (u64::from(std::process::id()) << 32) | 1;
        let mut producer = Self {
            topic: topic.to_owned(),
            partitions,
            options,
            identity,
            sequences: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            sticky: 0,
            random,
            sent: Sent::default(),
        };
        producer.move_sticky();
        Ok(producer)
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// What has been confirmed so far.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Takes a record. It is sent when its batch is full, or with [`Producer::flush`].
    pub fn send(&mut self, cluster: &mut Cluster, record: Outgoing) -> Result<(), ClientError> {
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) if (0..self.partitions).contains(&partition) => partition,
            (Some(partition), _) => {
                return Err(ClientError::Other(format!(
                    "topic \"{}\" has no partition {partition}: they go from 0 to {}",
                    self.topic,
                    self.partitions - 1
                )));
            }
            (None, Some(key)) => partition_for_key(key, self.partitions),
            (None, None) => self.sticky,
        };
        let record = Outgoing { timestamp: Some(record.timestamp.unwrap_or_else(now_ms)), ..record };
        let size = record.size_bytes();
        let pending = self.pending.entry(partition).or_default();
        let full = pending.bytes + size > self.options.batch_bytes && !pending.records.is_empty();
        if full || self.pending_bytes + size > PENDING_BYTES_MAX {
            self.flush(cluster)?;
        }
        self.pending_bytes += size;
        let pending = self.pending.entry(partition).or_default();
        pending.bytes += size;
        pending.records.push(record);
        Ok(())
    }

    /// Sends what is waiting and returns when all of it is confirmed.
    pub fn flush(&mut self, cluster: &mut Cluster) -> Result<(), ClientError> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let mut queues = Queues::new();
        for (partition, pending) in pending {
            if !pending.records.is_empty() {
                let base_sequence = self.take_sequences(partition, pending.records.len());
                let sealed = self.seal(base_sequence, pending.records)?;
                queues.insert(partition, VecDeque::from([sealed]));
            }
        }
        self.move_sticky();
        let deadline = Instant::now() + self.options.delivery_timeout;
        while !queues.is_empty() {
            match self.round(cluster, &mut queues) {
                Ok(()) => {}
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    std::thread::sleep(RETRY_STEP);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the first batch of each partition once, and takes out those that were confirmed. The error is the first that
    /// can be cured by waiting, or one that cannot be cured.
    fn round(&mut self, cluster: &mut Cluster, queues: &mut Queues) -> Result<(), ClientError> {
        let partitions: Vec<_> = queues.keys().map(|p| TopicPartition::new(&self.topic, *p)).collect();
        let mut first_error = None;
        for (leader, partitions) in cluster.by_leader(&partitions)? {
            let data = partitions
                .iter()
                .filter_map(|p| Some((p.partition, first_of(queues, p.partition)?.bytes.clone())))
                .map(|(index, bytes)| {
                    PartitionProduceData::default().with_index(index).with_records(Some(bytes))
                })
                .collect();
            let topic =
                TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(data);
            let patience = cluster.timeout();
            let request = ProduceRequest::default()
                .with_acks(self.options.acks.number())
                .with_timeout_ms(patience.as_millis().try_into().unwrap_or(i32::MAX))
                .with_topic_data(vec![topic]);
            let connection = cluster.node(leader)?;
            let version = connection.version::<ProduceRequest>(PRODUCE_BY_NAME)?;
            if self.options.acks == Acks::None {
                if let Err(error) = connection.send(&request, version) {
                    cluster.forget(leader);
                    return Err(error);
                }
                for p in &partitions {
                    self.confirm(queues, p.partition, -1);
                }
                continue;
            }
            let response = match connection.call_at(&request, version, patience) {
                Ok(response) => response,
                Err(error) => {
                    if error.is_transport() {
                        cluster.forget(leader);
                    }
                    return Err(error);
                }
            };
            let mut unanswered: BTreeSet<i32> = partitions.iter().map(|p| p.partition).collect();
            for p in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                if !unanswered.remove(&p.index) {
                    continue;
                }
                match ErrorCode(p.error_code) {
                    ErrorCode::NONE => self.confirm(queues, p.index, p.base_offset),
                    // The broker has this batch from an earlier attempt whose answer was lost.
                    ErrorCode::DUPLICATE_SEQUENCE_NUMBER => self.confirm(queues, p.index, -1),
                    ErrorCode::MESSAGE_TOO_LARGE
                        if first_of(queues, p.index).is_some_and(|batch| batch.records.len() > 1) =>
                    {
                        self.split(queues, p.index)?;
                    }
                    code => {
                        let partition = TopicPartition::new(&self.topic, p.index);
                        let detail =
                            p.record_errors.first().and_then(|r| r.batch_index_error_message.as_deref());
                        let message = detail.or(p.error_message.as_deref());
                        let error = ClientError::broker(format!("partition {partition}"), code.0, message);
                        cluster.forget_leader(&partition);
                        if !error.is_retriable() {
                            return Err(error);
                        }
                        first_error.get_or_insert(error);
                    }
                }
            }
            if let Some(partition) = unanswered.first() {
                return Err(ClientError::Other(format!(
                    "the broker's answer leaves out partition {partition} of \"{}\": whether it has those records is unknown",
                    self.topic
                )));
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Puts two halves in the place of a batch that the topic found too large. They share its sequence numbers, of which
    /// the refused batch has used up none.
    fn split(&self, queues: &mut Queues, partition: i32) -> Result<(), ClientError> {
        let Some(queue) = queues.get_mut(&partition) else { return Ok(()) };
        let Some(whole) = queue.pop_front() else { return Ok(()) };
        let mut front = whole.records;
        let back = front.split_off(front.len() / 2);
        let middle = add_sequence(whole.base_sequence, front.len() as i32);
        queue.push_front(self.seal(middle, back)?);
        queue.push_front(self.seal(whole.base_sequence, front)?);
        Ok(())
    }

    /// The first of as many sequence numbers of a partition, which are no longer free after it.
    fn take_sequences(&mut self, partition: i32, count: usize) -> i32 {
        let next = self.sequences.entry(partition).or_default();
        let first = *next;
        *next = add_sequence(first, count as i32);
        first
    }

    fn seal(&self, base_sequence: i32, records: Vec<Outgoing>) -> Result<Sealed, ClientError> {
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, base_sequence);
        }
        for record in &records {
            let headers: Vec<Header<'_>> =
                record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            let timestamp = record.timestamp.unwrap_or(-1);
            builder.push(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        }
        let bytes = match self.options.codec {
            Codec::None => builder.finish(),
            codec => builder
                .finish_compressed(codec as u8, |plain| compress::compress(codec, None, plain))
                .map_err(|error| ClientError::Other(format!("cannot compress a batch: {error}")))?,
        };
        Ok(Sealed { records, base_sequence, bytes: Bytes::from(bytes) })
    }

    fn confirm(&mut self, queues: &mut Queues, partition: i32, base_offset: i64) {
        let Some(queue) = queues.get_mut(&partition) else { return };
        let Some(sealed) = queue.pop_front() else { return };
        if queue.is_empty() {
            queues.remove(&partition);
        }
        self.sent.records += sealed.records.len() as u64;
        self.sent.batches += 1;
        self.sent.bytes += sealed.bytes.len() as u64;
        if base_offset >= 0 {
            self.sent.last = Some((partition, base_offset + sealed.records.len() as i64 - 1));
        }
    }

    /// Records without a key stay together for a batch, then go on elsewhere (KIP-480).
    fn move_sticky(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.sticky = (self.random % self.partitions.max(1) as u64) as i32;
    }
}

fn first_of(queues: &Queues, partition: i32) -> Option<&Sealed> {
    queues.get(&partition)?.front()
}

/// Asks for a producer id. A broker that does not know the request gets no idempotent batches.
fn identity(cluster: &mut Cluster) -> Result<Option<(i64, i16)>, ClientError> {
    if cluster.any()?.version::<InitProducerIdRequest>(i16::MAX).is_err() {
        return Ok(None);
    }
    // The crate's default is an empty transactional id, which every broker refuses.
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(ProducerId(-1));
    let request = request.with_producer_epoch(-1);
    let deadline = Instant::now() + cluster.timeout();
    loop {
        let response = cluster.call(&request)?;
        match response.error_code {
            0 => return Ok(Some((response.producer_id.0, response.producer_epoch))),
            code => {
                let error = ClientError::broker("a producer id", code, None);
                if !error.is_retriable() || Instant::now() >= deadline {
                    return Err(error);
                }
                std::thread::sleep(RETRY_STEP);
            }
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use quipu_protocol::record::{BatchView, Records};

    use super::*;

    fn producer(options: ProducerOptions) -> Producer {
        Producer {
            topic: "t".into(),
            partitions: 4,
            options,
            identity: Some((7, 1)),
            sequences: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            sticky: 0,
            random: 1,
            sent: Sent::default(),
        }
    }

    fn first_sequence(sealed: &Sealed) -> i32 {
        BatchView::parse(&sealed.bytes).unwrap().header().base_sequence
    }

    #[test]
    fn a_batch_keeps_repeated_headers_and_counts_sequences_per_partition() {
        let mut producer = producer(ProducerOptions::default());
        let header = |value: &str| (b"h".to_vec(), Some(value.as_bytes().to_vec()));
        let record =
            Outgoing { headers: vec![header("1"), header("2")], timestamp: Some(5), ..Outgoing::default() };
        let sealed = producer.seal(7, vec![record.clone(), record]).unwrap();
        let batch = BatchView::parse(&sealed.bytes).unwrap();
        assert_eq!((batch.computed_crc(), batch.header().base_sequence), (batch.header().crc, 7));
        let first = Records::new(batch.payload(), 2).next().unwrap().unwrap();
        let values: Vec<_> = first.headers().map(|header| header.value.unwrap().to_vec()).collect();
        assert_eq!(values, [b"1", b"2"]);
        assert_eq!(
            [(0, 2), (0, 1), (1, 1), (0, 1)].map(|(p, n)| producer.take_sequences(p, n)),
            [0, 2, 0, 3]
        );
        producer.sequences.insert(0, i32::MAX);
        assert_eq!([2, 1].map(|n| producer.take_sequences(0, n)), [i32::MAX, 1], "they go round");
    }

    #[test]
    fn halves_take_the_place_and_the_sequences_of_the_whole() {
        let producer = producer(ProducerOptions::default());
        let records = |names: &str| -> Vec<Outgoing> {
            names.bytes().map(|name| Outgoing { value: Some(vec![name]), ..Outgoing::default() }).collect()
        };
        let whole = producer.seal(i32::MAX - 1, records("abcde")).unwrap();
        let behind = producer.seal(3, records("f")).unwrap();
        let mut queues = Queues::from([(0, VecDeque::from([whole, behind]))]);
        producer.split(&mut queues, 0).unwrap();
        producer.split(&mut queues, 0).unwrap();
        producer.split(&mut queues, 9).unwrap();
        let seen: Vec<_> = queues[&0]
            .iter()
            .map(|sealed| {
                let names = sealed.records.iter().flat_map(|record| record.value.clone().unwrap()).collect();
                (String::from_utf8(names).unwrap(), first_sequence(sealed))
            })
            .collect();
        let seen: Vec<_> = seen.iter().map(|(names, sequence)| (names.as_str(), *sequence)).collect();
        assert_eq!(seen, [("a", i32::MAX - 1), ("b", i32::MAX), ("cde", 0), ("f", 3)]);
    }

    #[test]
    fn records_without_a_key_visit_every_partition_in_time() {
        let mut producer = producer(ProducerOptions::default());
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            producer.move_sticky();
            seen.insert(producer.sticky);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
