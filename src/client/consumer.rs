//! Reads records from chosen places.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use quipu_protocol::ErrorCode;
use quipu_protocol::record::{BatchHeader, BatchView, Headers, RecordError, Records};
use quipu_storage::compress::{self, Codec};

use super::cluster::topic_name;
use super::{At, ClientError, Cluster, TopicPartition};

/// The last Fetch version that names topics; from 13 on they go by id.
const FETCH_BY_NAME: i16 = 12;
const PARTITION_BYTES: i32 = 1 << 20;
const RESPONSE_BYTES: i32 = 50 << 20;
/// Largest uncompressed batch that we take.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Isolation {
    /// All of them, also those of open and aborted transactions.
    ReadUncommitted = 0,
    /// Those outside of transactions and those of committed ones.
    ReadCommitted = 1,
}

/// A record that was read, borrowed from its batch.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970, −1 if it has none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers in order, names may repeat.
    pub headers: Headers<'a>,
    /// The header of the batch that it travelled in.
    pub batch: &'a BatchHeader,
}

#[derive(Clone, Debug)]
struct Position {
    next: i64,
    high_watermark: Option<i64>,
    max_bytes: i32,
}

/// What a fetch came to, besides records.
#[derive(Debug, Default)]
pub struct Polled {
    /// Partitions whose offset the log no longer holds. They go on at the log's nearest end.
    pub moved: Vec<TopicPartition>,
    /// Partitions that could not be read, and why. They stay where they are, and may be tried again where
    /// [`ClientError::is_retriable`] says so.
    pub failed: Vec<(Vec<TopicPartition>, ClientError)>,
}

impl Polled {
    /// The first failure, for whoever wants all partitions or none.
    pub fn whole(self) -> Result<(), ClientError> {
        self.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// Reads assigned partitions from assigned offsets on.
#[derive(Debug)]
pub struct Consumer {
    isolation: Isolation,
    positions: BTreeMap<TopicPartition, Position>,
    max_wait: Duration,
}

impl Consumer {
    /// A consumer without partitions. The broker may hold a fetch for `max_wait` when there is nothing to read.
    pub fn new(isolation: Isolation, max_wait: Duration) -> Self {
        Self { isolation, positions: BTreeMap::new(), max_wait }
    }

    /// Reads `partition` from `offset` on.
    pub fn assign(&mut self, partition: TopicPartition, offset: i64) {
        self.positions
            .insert(partition, Position { next: offset, high_watermark: None, max_bytes: PARTITION_BYTES });
    }

    /// Stops reading a partition.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    /// Stops reading everything.
    pub fn clear(&mut self) {
        self.positions.clear();
    }

    /// Whether no partition is left.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The offset of the next record of each partition.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.positions.iter().map(|(partition, position)| (partition, position.next))
    }

    /// The offset of the next record of one of them.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.get(partition).map(|position| position.next)
    }

    /// The end that the last fetch of a partition told.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.get(partition)?.high_watermark
    }

    /// Fetches once from every leader and hands each record to `each`, in offset order per partition. When `each` breaks,
    /// the record it was given counts as read and those after it do not.
    ///
    /// What is wrong with one partition keeps no other from being read. The error is one that nothing can be read with.
    pub fn poll(
        &mut self,
        cluster: &mut Cluster,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Polled, ClientError> {
        let mut polled = Polled::default();
        let leaders = self.leaders(cluster, &mut polled.failed)?;
        let max_wait = self.max_wait / leaders.len().max(1) as u32;
        for (leader, partitions) in leaders {
            let response = match self.fetch(cluster, leader, &partitions, max_wait) {
                Ok(response) => response,
                Err(error) => {
                    polled.failed.push((partitions, error));
                    continue;
                }
            };
            for topic in &response.responses {
                for data in &topic.partitions {
                    let partition = TopicPartition::new(topic.topic.to_string(), data.partition_index);
                    match self.take_answer(cluster, &partition, data, each, &mut polled.moved) {
                        Ok(ControlFlow::Continue(())) => {}
                        Ok(ControlFlow::Break(())) => return Ok(polled),
                        Err(error) => polled.failed.push((vec![partition], error)),
                    }
                }
            }
        }
        Ok(polled)
    }

    /// Sorts the partitions by the broker that leads them. Where that is not known, it is asked for once per topic, and not
    /// waited for: those of which it is known would wait as well.
    fn leaders(
        &self,
        cluster: &mut Cluster,
        failed: &mut Vec<(Vec<TopicPartition>, ClientError)>,
    ) -> Result<BTreeMap<i32, Vec<TopicPartition>>, ClientError> {
        let mut leaders: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut unknown: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
        for partition in self.positions.keys() {
            match cluster.known_leader(partition) {
                Some(leader) => leaders.entry(leader).or_default().push(partition.clone()),
                None => unknown.entry(&partition.topic).or_default().push(partition.clone()),
            }
        }
        for (name, partitions) in unknown {
            let topic = match cluster.look_at(name, false)? {
                Ok(topic) => topic,
                Err(error) => {
                    failed.push((partitions, error));
                    continue;
                }
            };
            let mut leaderless = Vec::new();
            for partition in partitions {
                match topic.leader(partition.partition) {
                    Ok(leader) if leader >= 0 => leaders.entry(leader).or_default().push(partition),
                    Ok(_) => leaderless.push(partition),
                    Err(error) => failed.push((vec![partition], error)),
                }
            }
            if let Some(first) = leaderless.first() {
                let code = ErrorCode::LEADER_NOT_AVAILABLE.0;
                let error = ClientError::broker(format!("partition {first}"), code, None);
                failed.push((leaderless, error));
            }
        }
        Ok(leaders)
    }

    fn fetch(
        &self,
        cluster: &mut Cluster,
        leader: i32,
        partitions: &[TopicPartition],
        max_wait: Duration,
    ) -> Result<FetchResponse, ClientError> {
        let request = self.request(partitions, max_wait);
        let connection = cluster.node(leader)?;
        let version = connection.version::<FetchRequest>(FETCH_BY_NAME)?;
        let response = connection.call_at(&request, version, max_wait);
        if response.as_ref().is_err_and(ClientError::is_transport) {
            cluster.forget(leader);
        }
        let response = response?;
        match response.error_code {
            0 => Ok(response),
            code => Err(ClientError::broker("fetch", code, None)),
        }
    }

    /// What a leader answered about one partition.
    fn take_answer(
        &mut self,
        cluster: &mut Cluster,
        partition: &TopicPartition,
        data: &PartitionData,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
        moved: &mut Vec<TopicPartition>,
    ) -> Result<ControlFlow<()>, ClientError> {
        match ErrorCode(data.error_code) {
            ErrorCode::NONE => return self.take(partition, data, each),
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                self.clamp(cluster, partition)?;
                moved.push(partition.clone());
            }
            ErrorCode::CORRUPT_MESSAGE => {
                // Asking again changes nothing, though Kafka counts it among what may pass.
                let offset = self.positions.get(partition).map_or(-1, |position| position.next);
                let why = "the broker says that its log is damaged there (CORRUPT_MESSAGE)";
                return Err(corrupt(partition, offset, &why));
            }
            code => {
                cluster.forget_leader(partition);
                return Err(ClientError::broker(format!("partition {partition}"), code.0, None));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn request(&self, partitions: &[TopicPartition], max_wait: Duration) -> FetchRequest {
        let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
        for p in partitions {
            let Some(position) = self.positions.get(p) else { continue };
            let entry = FetchPartition::default()
                .with_partition(p.partition)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(position.next)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(position.max_bytes);
            topics.entry(&p.topic).or_default().push(entry);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| {
                FetchTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
            })
            .collect();
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(max_wait.as_millis().try_into().unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(RESPONSE_BYTES)
            .with_isolation_level(self.isolation as i8)
            .with_session_epoch(-1)
            .with_topics(topics)
    }

    fn take(
        &mut self,
        partition: &TopicPartition,
        data: &PartitionData,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ClientError> {
        let Some(position) = self.positions.get_mut(partition) else { return Ok(ControlFlow::Continue(())) };
        position.high_watermark = Some(data.high_watermark);
        let mut rest: &[u8] = data.records.as_deref().unwrap_or_default();
        let mut aborted = Aborted::new(self.isolation, data);
        let before = position.next;
        while !rest.is_empty() {
            let batch = match BatchView::parse(rest) {
                Ok(batch) => batch,
                // An answer may end in the middle of a batch.
                Err(RecordError::Truncated { .. }) => break,
                Err(error) => return Err(corrupt(partition, position.next, &error)),
            };
            rest = &rest[batch.bytes().len()..];
            let header = batch.header();
            if batch.computed_crc() != header.crc {
                return Err(corrupt(partition, header.base_offset, &"its checksum is wrong"));
            }
            let skip = aborted.hides(&batch) || header.attributes.is_control();
            if !skip && header.last_offset() >= position.next {
                let plain = plain_records(&batch).map_err(|e| corrupt(partition, header.base_offset, &e))?;
                let payload = plain.as_deref().unwrap_or_else(|| batch.payload());
                for record in Records::new(payload, header.records_count) {
                    let record = record.map_err(|e| corrupt(partition, header.base_offset, &e))?;
                    let offset = header.base_offset + i64::from(record.offset_delta);
                    if offset < position.next {
                        continue;
                    }
                    position.next = offset + 1;
                    let timestamp = match header.attributes.is_log_append_time() {
                        true => header.max_timestamp,
                        false => header.base_timestamp.wrapping_add(record.timestamp_delta),
                    };
                    let flow = each(Record {
                        topic: &partition.topic,
                        partition: partition.partition,
                        offset,
                        timestamp,
                        key: record.key,
                        value: record.value,
                        headers: record.headers(),
                        batch: header,
                    });
                    if flow.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            position.next = position.next.max(header.last_offset() + 1);
        }
        let cut_short = position.next == before && data.records.as_ref().is_some_and(|r| !r.is_empty());
        position.max_bytes = if cut_short { position.max_bytes.saturating_mul(2) } else { PARTITION_BYTES };
        Ok(ControlFlow::Continue(()))
    }

    fn clamp(&mut self, cluster: &mut Cluster, partition: &TopicPartition) -> Result<(), ClientError> {
        let one = std::slice::from_ref(partition);
        let start = cluster.offsets(one, At::Start, self.isolation)?.get(partition).copied().unwrap_or(0);
        let end = cluster.offsets(one, At::End, self.isolation)?.get(partition).copied().unwrap_or(0);
        if let Some(position) = self.positions.get_mut(partition) {
            position.next = position.next.clamp(start, end.max(start));
        }
        Ok(())
    }
}

/// The transactions that a read-committed fetch must hide, as Kafka's `CompletedFetch` does: a producer's records are
/// hidden from the first offset of its aborted transaction up to its abort marker.
struct Aborted {
    to_come: Vec<(i64, i64)>,
    hidden: HashMap<i64, ()>,
}

impl Aborted {
    fn new(isolation: Isolation, data: &PartitionData) -> Self {
        let mut to_come = Vec::new();
        if isolation == Isolation::ReadCommitted {
            let listed = data.aborted_transactions.iter().flatten();
            to_come.extend(listed.map(|aborted| (aborted.first_offset, aborted.producer_id.0)));
        }
        to_come.sort_unstable_by(|a, b| b.cmp(a));
        Self { to_come, hidden: HashMap::new() }
    }

    fn hides(&mut self, batch: &BatchView<'_>) -> bool {
        let header = batch.header();
        while let Some(&(first, producer)) = self.to_come.last()
            && first <= header.last_offset()
        {
            self.to_come.pop();
            self.hidden.insert(producer, ());
        }
        if header.attributes.is_control() {
            if is_abort_marker(batch) {
                self.hidden.remove(&header.producer_id);
            }
            return true;
        }
        header.attributes.is_transactional() && self.hidden.contains_key(&header.producer_id)
    }
}

/// A control record's key is its version and its type, two 16-bit numbers; type 0 is abort.
fn is_abort_marker(batch: &BatchView<'_>) -> bool {
    let mut records = Records::new(batch.payload(), batch.header().records_count);
    let key = records.next().and_then(Result::ok).and_then(|record| record.key);
    key.and_then(|key| key.get(2..4)).is_some_and(|kind| kind == [0, 0])
}

/// The records of a compressed batch, uncompressed; none if they are plain already.
pub(crate) fn plain_records(batch: &BatchView<'_>) -> Result<Option<Bytes>, String> {
    let number = batch.header().attributes.codec();
    let codec = Codec::from_number(number).ok_or_else(|| format!("its compression {number} is unknown"))?;
    if codec == Codec::None {
        return Ok(None);
    }
    let plain =
        compress::decompress(codec, batch.payload(), MAX_BATCH_BYTES).map_err(|error| error.to_string())?;
    Ok(Some(Bytes::from(plain)))
}

fn corrupt(partition: &TopicPartition, offset: i64, detail: &dyn std::fmt::Display) -> ClientError {
    ClientError::Other(format!(
        "the batch at offset {offset} of partition {partition} cannot be read: {detail}. Continue after it with --offset"
    ))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ProducerId;
    use kafka_protocol::messages::fetch_response::AbortedTransaction;
    use quipu_protocol::record::{Attributes, BatchBuilder};

    use super::*;

    fn batch(offset: i64, producer: i64, transactional: bool, value: &[u8]) -> Vec<u8> {
        let attributes = Attributes::default().with_transactional(transactional);
        let mut builder =
            BatchBuilder::new().base_offset(offset).producer(producer, 0, 0).attributes(attributes);
        builder.push(1, None, Some(value), &[]);
        builder.finish()
    }

    /// An end-of-transaction marker: key version 0, type 0 (abort) or 1 (commit).
    fn marker(offset: i64, producer: i64, kind: u8) -> Vec<u8> {
        let attributes = Attributes::default().with_transactional(true).with_control(true);
        let mut builder =
            BatchBuilder::new().base_offset(offset).producer(producer, 0, -1).attributes(attributes);
        builder.push(1, Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 0]), &[]);
        builder.finish()
    }

    fn read(isolation: Isolation, from: i64, records: Vec<u8>, aborted: &[(i64, i64)]) -> (Vec<String>, i64) {
        let aborted = aborted.iter().map(|(producer, first)| {
            AbortedTransaction::default().with_producer_id(ProducerId(*producer)).with_first_offset(*first)
        });
        let data = PartitionData::default()
            .with_records(Some(Bytes::from(records)))
            .with_aborted_transactions(Some(aborted.collect()));
        let partition = TopicPartition::new("t", 0);
        let mut consumer = Consumer::new(isolation, Duration::ZERO);
        consumer.assign(partition.clone(), from);
        let mut seen = Vec::new();
        let flow = consumer.take(&partition, &data, &mut |record| {
            seen.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        (seen, consumer.positions().next().unwrap().1)
    }

    #[test]
    fn aborted_records_are_hidden_up_to_their_marker() {
        let log = [
            batch(0, 1, true, b"aborted"),
            batch(1, 2, true, b"committed"),
            batch(2, -1, false, b"plain"),
            marker(3, 1, 0),
            batch(4, 1, true, b"later"),
            marker(5, 2, 1),
            marker(6, 1, 1),
        ]
        .concat();
        let committed = read(Isolation::ReadCommitted, 0, log.clone(), &[(1, 0)]);
        assert_eq!(committed, (["committed", "plain", "later"].map(String::from).to_vec(), 7));
        let all = read(Isolation::ReadUncommitted, 0, log, &[]);
        assert_eq!(all, (["aborted", "committed", "plain", "later"].map(String::from).to_vec(), 7));
    }

    #[test]
    fn records_before_the_position_and_a_cut_batch_are_left_out() {
        let mut builder = BatchBuilder::new().base_offset(10);
        for value in [b"a", b"b", b"c"] {
            builder.push(1, None, Some(value), &[]);
        }
        let mut log = builder.finish();
        let next = batch(13, -1, false, b"d");
        log.extend_from_slice(&next[..next.len() - 1]);
        assert_eq!(
            read(Isolation::ReadUncommitted, 11, log, &[]),
            (["b", "c"].map(String::from).to_vec(), 13)
        );
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let mut log = batch(0, -1, false, b"x");
        *log.last_mut().unwrap() ^= 1;
        let data = PartitionData::default().with_records(Some(Bytes::from(log)));
        let partition = TopicPartition::new("t", 0);
        let mut consumer = Consumer::new(Isolation::ReadUncommitted, Duration::ZERO);
        consumer.assign(partition.clone(), 0);
        let error = consumer.take(&partition, &data, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}
