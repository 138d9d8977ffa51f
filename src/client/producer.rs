//! Sends records, in batches, one round trip per broker at a time.

use std::collections::BTreeMap;
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
    bytes: Bytes,
}

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
        let mut batches = BTreeMap::new();
        for (partition, pending) in pending {
            if !pending.records.is_empty() {
                batches.insert(partition, self.seal(partition, pending.records)?);
            }
        }
        self.move_sticky();
        let deadline = Instant::now() + self.options.delivery_timeout;
        while !batches.is_empty() {
            match self.round(cluster, &mut batches) {
                Ok(()) => {}
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    std::thread::sleep(RETRY_STEP);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends every batch once, and takes out those that were confirmed. The error is the first that can be cured by
    /// waiting, or one that cannot be cured.
    fn round(
        &mut self,
        cluster: &mut Cluster,
        batches: &mut BTreeMap<i32, Sealed>,
    ) -> Result<(), ClientError> {
        let partitions: Vec<_> = batches.keys().map(|p| TopicPartition::new(&self.topic, *p)).collect();
        let mut first_error = None;
        for (leader, partitions) in cluster.by_leader(&partitions)? {
            let data = partitions
                .iter()
                .filter_map(|p| batches.get(&p.partition).map(|sealed| (p.partition, sealed.bytes.clone())))
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
                    self.confirm(batches, p.partition, -1);
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
            for p in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                match ErrorCode(p.error_code) {
                    ErrorCode::NONE => self.confirm(batches, p.index, p.base_offset),
                    // The broker has this batch from an earlier attempt whose answer was lost.
                    ErrorCode::DUPLICATE_SEQUENCE_NUMBER => self.confirm(batches, p.index, -1),
                    ErrorCode::MESSAGE_TOO_LARGE
                        if batches.get(&p.index).is_some_and(|b| b.records.len() > 1) =>
                    {
                        self.split(cluster, batches, p.index)?;
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
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Sends the two halves of a batch that the topic found too large, one after the other. The refused batch has used
    /// up no sequence numbers.
    fn split(
        &mut self,
        cluster: &mut Cluster,
        batches: &mut BTreeMap<i32, Sealed>,
        partition: i32,
    ) -> Result<(), ClientError> {
        let Some(whole) = batches.remove(&partition) else { return Ok(()) };
        if self.identity.is_some() {
            let taken = whole.records.len() as i32;
            let next = self.sequences.entry(partition).or_default();
            *next = if *next >= taken { *next - taken } else { i32::MAX - (taken - *next - 1) };
        }
        let mut front = whole.records;
        let back = front.split_off(front.len() / 2);
        for half in [front, back] {
            let mut one = BTreeMap::from([(partition, self.seal(partition, half)?)]);
            while !one.is_empty() {
                self.round(cluster, &mut one)?;
            }
        }
        Ok(())
    }

    fn seal(&mut self, partition: i32, records: Vec<Outgoing>) -> Result<Sealed, ClientError> {
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.identity {
            let sequence = self.sequences.entry(partition).or_default();
            builder = builder.producer(id, epoch, *sequence);
            *sequence = add_sequence(*sequence, records.len() as i32);
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
        Ok(Sealed { records, bytes: Bytes::from(bytes) })
    }

    fn confirm(&mut self, batches: &mut BTreeMap<i32, Sealed>, partition: i32, base_offset: i64) {
        let Some(sealed) = batches.remove(&partition) else { return };
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

    #[test]
    fn a_batch_keeps_repeated_headers_and_counts_sequences_per_partition() {
        let mut producer = producer(ProducerOptions::default());
        let header = |value: &str| (b"h".to_vec(), Some(value.as_bytes().to_vec()));
        let record =
            Outgoing { headers: vec![header("1"), header("2")], timestamp: Some(5), ..Outgoing::default() };
        let sealed = producer.seal(0, vec![record.clone(), record.clone()]).unwrap();
        let batch = BatchView::parse(&sealed.bytes).unwrap();
        assert_eq!((batch.computed_crc(), batch.header().base_sequence), (batch.header().crc, 0));
        let first = Records::new(batch.payload(), 2).next().unwrap().unwrap();
        let values: Vec<_> = first.headers().map(|header| header.value.unwrap().to_vec()).collect();
        assert_eq!(values, [b"1", b"2"]);
        let sealed = producer.seal(0, vec![record.clone()]).unwrap();
        assert_eq!(BatchView::parse(&sealed.bytes).unwrap().header().base_sequence, 2);
        let sealed = producer.seal(1, vec![record]).unwrap();
        assert_eq!(BatchView::parse(&sealed.bytes).unwrap().header().base_sequence, 0);
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
