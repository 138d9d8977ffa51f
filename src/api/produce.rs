//! Produce (key 0): append record batches.
//!
//! Versions 3–13; 0–2 are announced but refused, as Kafka does (KAFKA-18659). From version 13 topics are named by
//! id (KIP-516). Batches stay as the producer made them; nothing here decodes a record unless a topic's settings
//! demand it.

use std::collections::BTreeMap;
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use quipu_protocol::primitives::{Records, Str};
use quipu_protocol::record::{BatchHeader, RecordView};
use quipu_storage::compress::Codec;
use quipu_storage::{AppendError, BatchError, CheckedBatch, InvalidRecord, Millis, Origin};

use super::context::Named;
use super::opening::Unopened;
use super::{Close, Context};
use crate::config::{Compression, TimestampType, TopicConfig};
use crate::coordinator::txn::Begun;
use crate::coordinator::txn::machine::Identity;
use crate::error;
use crate::security::acl::{Operation, ResourceType};
use crate::topic::durable::Awaited;
use crate::topic::{AppendFailure, Topic};

/// First version in which a producer may send zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// First version that names topics by id (KIP-516).
const TOPIC_IDS_SINCE: i16 = 13;

/// First version whose clients know TRANSACTION_ABORTABLE (KIP-890).
const ABORTABLE_SINCE: i16 = 11;
/// First version that adds partitions to the transaction (KIP-890).
const IMPLICIT_ADD_SINCE: i16 = 12;

/// `acks` of a producer that wants to know that its records are durable.
const ALL: i16 = -1;

/// Appends each partition's batch, and says what the answer has to wait for. No answer when the producer wanted none
/// (acks=0); if then anything failed, the connection is closed, which is the only way to tell it.
pub async fn produce<'a>(
    cx: &Context<'_>,
    request: ProduceRequest<'a>,
) -> Result<(Option<ProduceResponse<'a>>, Awaited), Close> {
    let now = cx.broker.clock.now_ms();
    let refused = match request.acks {
        _ if refuses_transaction(cx, &request) => Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        -1..=1 => None,
        _ => Some(ErrorCode::INVALID_REQUIRED_ACKS),
    };
    // The topics of the request, where they had to be looked for before its batches are.
    let mut found = Vec::new();
    let transaction = match (refused, request.transactional_id.as_deref()) {
        (None, Some(id)) if cx.version >= IMPLICIT_ADD_SINCE => {
            found.extend(request.topic_data.iter().map(|data| find(cx, data)));
            // Boxed, as all that is rare: a connection has room for what it does all the time.
            let added = Box::pin(add_partitions(cx, id, &request, &found)).await;
            Some(Transactional { id, added })
        }
        (None, Some(id)) => Some(Transactional { id, added: Vec::new() }),
        _ => None,
    };
    let mut found = found.into_iter();
    let mut failed = None;
    let mut awaited = Awaited::default();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = match refused {
            Some(code) => Err(code),
            None => found.next().unwrap_or_else(|| find(cx, &data)),
        };
        let unopened = match &topic {
            Ok(topic) if !data.partition_data.iter().all(|data| topic.is_open(data.index)) => {
                let partitions = data.partition_data.iter().filter_map(|data| topic.partition(data.index));
                Box::pin(cx.open_logs(partitions, now)).await
            }
            _ => Unopened::default(),
        };
        let mut partition_responses = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let index = partition.index;
            let outcome = match &topic {
                Err(code) => Err(Refusal::from(*code)),
                Ok(topic) => {
                    let config = topic.config();
                    let recompressed = match wants_recompression(&config, &partition) {
                        Some((bytes, target)) => Some(Box::pin(recompress(cx, bytes, target)).await),
                        None => None,
                    };
                    let told = (request.acks == ALL).then_some(&mut awaited);
                    let batch = Sent { data: &partition, config: &config, unopened: &unopened, recompressed };
                    append(cx, topic, batch, transaction.as_ref(), told, now)
                }
            };
            let response = match outcome {
                Ok(response) => response,
                Err(refusal) => {
                    failed = failed.or(Some(refusal.code));
                    refusal.into_response(index)
                }
            };
            partition_responses.push(response);
        }
        responses.push(TopicProduceResponse {
            name: data.name,
            topic_id: data.topic_id,
            partition_responses,
        });
    }
    match (request.acks, failed) {
        (0, Some(code)) => Err(Close::UnacknowledgedProduce(code)),
        (0, None) => Ok((None, Awaited::default())),
        _ => Ok((
            Some(ProduceResponse { responses, throttle_time_ms: 0, node_endpoints: Vec::new() }),
            awaited,
        )),
    }
}

/// The topic that is meant, if the client may write to it.
fn find(cx: &Context<'_>, data: &TopicProduceData<'_>) -> Result<Arc<Topic>, ErrorCode> {
    let named =
        if cx.version >= TOPIC_IDS_SINCE { Named::Id(data.topic_id) } else { Named::Name(&data.name) };
    cx.topic(Operation::Write, named)
}

/// Whether the request has batches of a transaction that the client has no right to. What counts is what the batches say
/// (CVE-2018-17196).
fn refuses_transaction(cx: &Context<'_>, request: &ProduceRequest<'_>) -> bool {
    let is_transactional = |data: &PartitionProduceData<'_>| match &data.records {
        Some(Records::Borrowed(bytes)) => {
            BatchHeader::parse(bytes).is_ok_and(|header| header.attributes.is_transactional())
        }
        _ => false,
    };
    cx.broker.authorizer.is_some()
        && request.topic_data.iter().any(|topic| topic.partition_data.iter().any(is_transactional))
        && !request
            .transactional_id
            .as_deref()
            .is_some_and(|id| cx.may(Operation::Write, ResourceType::TransactionalId, id))
}

/// Why a partition's batch was not appended.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<(i32, &'static str)>,
    /// The log looked into the batch: where it starts is told, too.
    is_for_content: bool,
    log_start_offset: i64,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), is_for_content: false, log_start_offset: -1 }
    }
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::from(code) }
    }

    fn of_batch(fault: &BatchError) -> Self {
        let is_for_content =
            matches!(fault, BatchError::InvalidRecord(reason) if *reason != InvalidRecord::SeveralBatches);
        Self { is_for_content, ..Self::new(error::batch_code(fault), fault.to_string()) }
    }

    fn into_response(self, index: i32) -> PartitionProduceResponse<'static> {
        PartitionProduceResponse {
            index,
            error_code: self.code,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: self.log_start_offset,
            record_errors: self
                .records
                .into_iter()
                .map(|(batch_index, why)| BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: Some(Str::Borrowed(why)),
                })
                .collect(),
            error_message: self.message.map(Str::Owned),
            ..Default::default()
        }
    }
}

/// A codec, and its level if that is not left to it.
type Target = (Codec, Option<i32>);

/// A partition's batch, and what was made of it.
struct Sent<'a> {
    data: &'a PartitionProduceData<'a>,
    config: &'a TopicConfig,
    /// Of the topic's partitions, if any had to be opened.
    unopened: &'a Unopened,
    /// The batch in the topic's codec, where that is another.
    recompressed: Option<Result<Vec<u8>, Refusal>>,
}

/// The batch, if the topic keeps its batches in another codec, and that codec with its level.
fn wants_recompression<'a>(
    config: &TopicConfig,
    data: &'a PartitionProduceData<'_>,
) -> Option<(&'a [u8], Target)> {
    if config.compression == Compression::Producer {
        return None;
    }
    let Some(Records::Borrowed(bytes)) = &data.records else { return None };
    // What cannot be read is refused later.
    let header = BatchHeader::parse(bytes).ok()?;
    Some((bytes, target(config, Codec::from_number(header.attributes.codec())?)?))
}

/// Compresses a batch anew on a thread that may take its time.
async fn recompress(cx: &Context<'_>, bytes: &[u8], (codec, level): Target) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes.to_vec();
    let recompressed = cx
        .broker
        .aside(move |_| Ok(CheckedBatch::check(&bytes).and_then(|batch| batch.recompress(codec, level))));
    match recompressed.await {
        Ok(outcome) => outcome.map_err(|fault| Refusal::of_batch(&fault)),
        Err(refused) => Err(Refusal::new(refused.code, refused.message)),
    }
}

/// Appends a partition's batch. A refusal for what the batch holds tells where the log starts, as Kafka's does.
fn append(
    cx: &Context<'_>,
    topic: &Topic,
    sent: Sent<'_>,
    transaction: Option<&Transactional<'_>>,
    awaited: Option<&mut Awaited>,
    now: Millis,
) -> Result<PartitionProduceResponse<'static>, Refusal> {
    let (index, unopened) = (sent.data.index, sent.unopened);
    try_append(cx, topic, sent, transaction, awaited, now).map_err(|mut refusal| {
        if refusal.is_for_content {
            let partition = topic.partition(index).filter(|it| unopened.check(it).is_ok());
            let reader = partition.as_ref().and_then(|partition| partition.reader(now).ok());
            refusal.log_start_offset = reader.map_or(-1, |reader| reader.log_start_offset());
        }
        refusal
    })
}

fn try_append(
    cx: &Context<'_>,
    topic: &Topic,
    Sent { data, config, unopened, recompressed }: Sent<'_>,
    transaction: Option<&Transactional<'_>>,
    awaited: Option<&mut Awaited>,
    now: Millis,
) -> Result<PartitionProduceResponse<'static>, Refusal> {
    if topic.is_internal() {
        // As in Kafka: what coordinators keep there is written by them alone.
        return Err(Refusal::new(
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            "clients may not write to an internal topic",
        ));
    }
    let partition = topic.partition(data.index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let bytes = match &data.records {
        Some(Records::Borrowed(bytes)) if !bytes.is_empty() => bytes,
        _ => {
            return Err(Refusal::new(
                ErrorCode::INVALID_RECORD,
                "a produce request carries one record batch, this has none",
            ));
        }
    };
    let batch = CheckedBatch::check(bytes).map_err(|fault| Refusal::of_batch(&fault))?;
    if batch.codec() == Codec::Zstd && cx.version < ZSTD_SINCE {
        return Err(Refusal::new(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "zstd needs a client that speaks Produce version 7 or newer",
        ));
    }
    let recompressed = recompressed.transpose()?;
    let batch = match &recompressed {
        None => batch,
        Some(bytes) => CheckedBatch::check(bytes).map_err(|fault| Refusal::of_batch(&fault))?,
    };
    check_size(&batch, config.max_message_bytes.max(0) as usize)?;
    check_timestamps(&batch, config, now)?;
    if config.cleanup.compact {
        check_keys(&batch)?;
    }
    unopened.check(&partition)?;
    let header = batch.header();
    let appended = if header.attributes.is_transactional() {
        let transaction = transaction.ok_or(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)?;
        let producer = (header.producer_id, header.producer_epoch);
        if let Some((_, code)) = transaction.added.iter().find(|(refused, _)| *refused == producer) {
            return Err(Refusal::from(transaction_code(*code, cx.version)));
        }
        let append = || partition.append_in_turn(&batch, Origin::Transaction, now, cx.turn);
        if cx.version < IMPLICIT_ADD_SINCE && !cx.broker.settings().transactions.partition_verification {
            append()
        } else {
            // SAFETY (T5): the transaction cannot end between the check and the append.
            cx.broker
                .transactions
                .within(transaction.id, producer, topic.name(), data.index, append)
                .map_err(|code| match transaction_code(code, cx.version) {
                    code @ ErrorCode::INVALID_TXN_STATE => {
                        Refusal::new(code, "the producer's transaction does not hold this partition")
                    }
                    code => Refusal::from(code),
                })?
        }
    } else {
        partition.append_in_turn(&batch, Origin::Producer, now, cx.turn)
    };
    let appended = appended.map_err(|failure| {
        let message = match &failure {
            AppendFailure::Log(error) => Some(error.to_string()),
            AppendFailure::Code(_) => None,
        };
        let is_for_content = matches!(
            failure,
            AppendFailure::Log(
                AppendError::OutOfOrderSequence { .. }
                    | AppendError::InvalidProducerEpoch { .. }
                    | AppendError::NoTransaction { .. }
                    | AppendError::OpenTransaction { .. }
                    | AppendError::InvalidRecord(_)
            )
        );
        Refusal { message, is_for_content, ..Refusal::from(failure.code()) }
    })?;
    if let Some(awaited) = awaited {
        // A duplicate waits as well: its first copy may not be on disk yet (I7).
        partition.when_durable(appended.last_offset + 1, || awaited.add());
        if let Some(transaction) = transaction.filter(|_| partition.tells_what_is_durable()) {
            // What is durable belongs to a transaction that is.
            awaited.add_coordinator(cx.broker.transactions.durability(transaction.id));
        }
    }
    cx.broker.metrics.produced(batch.header().records_count as u64, batch.bytes().len() as u64);
    Ok(PartitionProduceResponse {
        index: data.index,
        error_code: ErrorCode::NONE,
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time_ms,
        log_start_offset: appended.log_start_offset,
        ..Default::default()
    })
}

/// The codec that a topic keeps its batches in, if this batch has another (`compression.type`).
fn target(config: &TopicConfig, sent: Codec) -> Option<Target> {
    let (codec, level) = match config.compression {
        Compression::Producer => return None,
        Compression::Uncompressed => (Codec::None, None),
        // Kafka's gzip has −1 for the codec's own choice.
        Compression::Gzip(level) => (Codec::Gzip, (level >= 1).then_some(level)),
        Compression::Snappy => (Codec::Snappy, None),
        Compression::Lz4(_) => (Codec::Lz4, None),
        Compression::Zstd(level) => (Codec::Zstd, Some(level)),
    };
    (codec != sent).then_some((codec, level))
}

/// What is known of a transactional request before its batches are appended.
struct Transactional<'a> {
    id: &'a str,
    /// Producers whose partitions could not be added to the transaction, and why.
    added: Vec<(Identity, ErrorCode)>,
}

/// Transactions of version 2 add a partition with the first batch for it (KIP-890). Who sends anything twice for one
/// partition, or nonsense, is refused later, batch by batch.
async fn add_partitions(
    cx: &Context<'_>,
    id: &str,
    request: &ProduceRequest<'_>,
    found: &[Result<Arc<Topic>, ErrorCode>],
) -> Vec<(Identity, ErrorCode)> {
    let mut wanted: BTreeMap<Identity, Vec<_>> = BTreeMap::new();
    for (data, topic) in request.topic_data.iter().zip(found) {
        let Ok(topic) = topic else { continue };
        for partition in &data.partition_data {
            let Some(Records::Borrowed(bytes)) = &partition.records else { continue };
            let Ok(header) = BatchHeader::parse(bytes) else { continue };
            if header.attributes.is_transactional() && topic.partition(partition.index).is_some() {
                let producer = (header.producer_id, header.producer_epoch);
                wanted.entry(producer).or_default().push((Arc::clone(topic.name()), partition.index));
            }
        }
    }
    let mut refused = Vec::new();
    for (producer, partitions) in wanted {
        let added = match cx.broker.transactions.add_partitions(id, producer, &partitions) {
            Ok(Begun::Durably) => cx.broker.transactions.durable(id).await,
            other => other.map(drop),
        };
        if let Err(code) = added {
            refused.push((producer, code));
        }
    }
    refused
}

/// What a producer is told when the coordinator does not let it append, as far as its version knows of it.
fn transaction_code(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if version < ABORTABLE_SINCE => ErrorCode::INVALID_TXN_STATE,
        ErrorCode::CONCURRENT_TRANSACTIONS if version >= IMPLICIT_ADD_SINCE => code,
        // One that every client takes for a reason to send again.
        ErrorCode::CONCURRENT_TRANSACTIONS
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        | ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::NOT_COORDINATOR => ErrorCode::NOT_ENOUGH_REPLICAS,
        code => code,
    }
}

fn check_size(batch: &CheckedBatch<'_>, limit: usize) -> Result<(), Refusal> {
    if batch.bytes().len() <= limit {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::MESSAGE_TOO_LARGE,
        format!(
            "a batch of {} bytes is above this topic's max.message.bytes of {limit}; raise it or send smaller batches",
            batch.bytes().len()
        ),
    ))
}

/// P2: create times may lie at most so far before and after now. The batch header tells the newest; only a bound
/// on the past has to look at each record. A record without a time is as good as any (Kafka's LogValidator).
fn check_timestamps(batch: &CheckedBatch<'_>, config: &TopicConfig, now: Millis) -> Result<(), Refusal> {
    if config.timestamp_type == TimestampType::LogAppendTime {
        // They get the broker's.
        return Ok(());
    }
    let (before_max_ms, after_max_ms) = (config.timestamp_before_max_ms, config.timestamp_after_max_ms);
    let time_of = |record: &RecordView<'_>| {
        let timestamp = batch.header().base_timestamp.saturating_add(record.timestamp_delta);
        (timestamp >= 0).then_some(timestamp)
    };
    let too_new = batch.header().max_timestamp > now.saturating_add(after_max_ms);
    let too_old = before_max_ms < now && {
        let oldest = now - before_max_ms;
        has_record(batch, |record| time_of(record).is_some_and(|timestamp| timestamp < oldest))?
    };
    if too_new || too_old {
        let (side, key) = if too_new {
            ("after", "message.timestamp.after.max.ms")
        } else {
            ("before", "message.timestamp.before.max.ms")
        };
        let message = format!("a record's time lies further {side} the broker's than {key} allows");
        let (oldest, newest) = (now.saturating_sub(before_max_ms), now.saturating_add(after_max_ms));
        let mut wrong = Vec::new();
        has_record(batch, |record| {
            if time_of(record).is_some_and(|timestamp| !(oldest..=newest).contains(&timestamp)) {
                wrong.push((record.offset_delta, "this record's time is out of bounds"));
            }
            false
        })?;
        return Err(Refusal {
            records: wrong,
            is_for_content: true,
            ..Refusal::new(ErrorCode::INVALID_TIMESTAMP, message)
        });
    }
    Ok(())
}

/// Whether a record of the batch is as `is` says. Looks at each of them, expanded within bounds.
fn has_record(
    batch: &CheckedBatch<'_>,
    mut is: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<bool, Refusal> {
    let mut found = false;
    batch.check_records(|record| found |= is(record)).map_err(|fault| Refusal::of_batch(&fault))?;
    Ok(found)
}

/// A compacted topic keeps the newest record of every key, so every record needs one.
fn check_keys(batch: &CheckedBatch<'_>) -> Result<(), Refusal> {
    let mut keyless = Vec::new();
    batch
        .check_records(|record| {
            if record.key.is_none() {
                keyless.push(record.offset_delta);
            }
        })
        .map_err(|fault| Refusal::of_batch(&fault))?;
    if keyless.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        message: Some("a compacted topic takes only records with a key".into()),
        records: keyless
            .into_iter()
            .map(|index| (index, "a record without a key in a compacted topic"))
            .collect(),
        is_for_content: true,
        ..Refusal::from(ErrorCode::INVALID_RECORD)
    })
}
