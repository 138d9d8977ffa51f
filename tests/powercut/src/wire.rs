//! Requests to a broker that may be gone, each a function.

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use quipu_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use quipu_protocol::message::metadata::{MetadataRequest, MetadataResponse};
use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};
use quipu_protocol::message::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use quipu_protocol::primitives::{Reader, Records};
use quipu_protocol::record::{Batches, Records as RecordWalker};
use quipu_protocol::{ApiKey, Decode, Encode, ErrorCode};

use crate::client::Client;
use crate::journal::{PLACES, Place, key, value};

/// Why there is no result: the broker is gone, or it said something wrong.
#[derive(Debug)]
pub enum Failure {
    Gone(std::io::Error),
    Wrong(String),
}

impl Failure {
    pub fn into_text(self) -> String {
        match self {
            Self::Gone(error) => format!("the broker does not answer: {error}"),
            Self::Wrong(text) => text,
        }
    }
}

pub type Answer<T> = Result<T, Failure>;

pub fn wrong<T>(text: impl Into<String>) -> Answer<T> {
    Err(Failure::Wrong(text.into()))
}

fn exchange(client: &mut Client, api: ApiKey, version: i16, request: &impl Encode) -> Answer<Vec<u8>> {
    let frame = client.frame(api, version, request);
    client.try_send_bytes(&frame).map_err(Failure::Gone)?;
    client.try_receive().map_err(Failure::Gone)
}

fn read<'a, T: Decode<'a>>(answer: &'a [u8], api: ApiKey, version: i16) -> Answer<T> {
    let unreadable = |error| Failure::Wrong(format!("{api:?}: {error:?}"));
    let (_, mut body): (_, Reader<'a>) = decode_response_header(answer, api, version).map_err(unreadable)?;
    T::decode(&mut body, version).map_err(unreadable)
}

/// A new producer id.
pub fn producer_id(client: &mut Client) -> Answer<i64> {
    loop {
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        let answer = exchange(client, ApiKey::InitProducerId, 4, &request)?;
        let response: InitProducerIdResponse = read(&answer, ApiKey::InitProducerId, 4)?;
        match response.error_code {
            ErrorCode::NONE => return Ok(response.producer_id),
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
            other => return wrong(format!("no producer id: {other:?}")),
        }
    }
}

/// Makes a topic; one that is there already is fine.
pub fn create_topic(
    client: &mut Client,
    name: &str,
    partitions: i32,
    configs: &[(&'static str, &'static str)],
) -> Answer<()> {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) })
        .collect();
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let answer = exchange(client, ApiKey::CreateTopics, 5, &request)?;
    let response: CreateTopicsResponse<'_> = read(&answer, ApiKey::CreateTopics, 5)?;
    match response.topics[0].error_code {
        ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS => Ok(()),
        other => wrong(format!("topic {name} is not made: {other:?}")),
    }
}

/// The names of all topics.
pub fn topics(client: &mut Client) -> Answer<Vec<String>> {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let answer = exchange(client, ApiKey::Metadata, 8, &request)?;
    let response: MetadataResponse<'_> = read(&answer, ApiKey::Metadata, 8)?;
    Ok(response.topics.iter().filter_map(|topic| Some(topic.name.as_ref()?.to_string())).collect())
}

/// Moves the log start; the new one.
pub fn delete_records(client: &mut Client, place: &Place, offset: i64) -> Answer<i64> {
    let partitions = vec![DeleteRecordsPartition { partition_index: place.partition, offset }];
    let topics = vec![DeleteRecordsTopic { name: place.topic.into(), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 10_000 };
    let answer = exchange(client, ApiKey::DeleteRecords, 2, &request)?;
    let response: DeleteRecordsResponse<'_> = read(&answer, ApiKey::DeleteRecords, 2)?;
    let told = &response.topics[0].partitions[0];
    match told.error_code {
        ErrorCode::NONE => Ok(told.low_watermark),
        other => wrong(format!("records below {offset} are not deleted: {other:?}")),
    }
}

/// Commits an offset of a group that has no members.
pub fn commit_offset(client: &mut Client, group: &str, place: &Place, offset: i64) -> Answer<()> {
    loop {
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: offset,
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: group.into(),
            topics: vec![OffsetCommitRequestTopic {
                name: place.topic.into(),
                partitions,
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = exchange(client, ApiKey::OffsetCommit, 7, &request)?;
        let response: OffsetCommitResponse<'_> = read(&answer, ApiKey::OffsetCommit, 7)?;
        match response.topics[0].partitions[0].error_code {
            ErrorCode::NONE => return Ok(()),
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR => {}
            other => return wrong(format!("offset {offset} is not committed: {other:?}")),
        }
    }
}

/// The offset that a group committed, 0 if none.
pub fn committed_offset(client: &mut Client, group: &str, place: &Place) -> Answer<i64> {
    loop {
        let topic =
            OffsetFetchRequestTopic { name: place.topic.into(), partition_indexes: vec![place.partition] };
        let request =
            OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
        let answer = exchange(client, ApiKey::OffsetFetch, 5, &request)?;
        let response: OffsetFetchResponse<'_> = read(&answer, ApiKey::OffsetFetch, 5)?;
        match response.error_code {
            ErrorCode::NONE => return Ok(response.topics[0].partitions[0].committed_offset.max(0)),
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR => {}
            other => return wrong(format!("no committed offset: {other:?}")),
        }
    }
}

const PRODUCE: i16 = 9;

/// The bytes of a produce request.
pub fn produce_frame(client: &mut Client, place: &Place, batch: &[u8]) -> Vec<u8> {
    let partition_data =
        vec![PartitionProduceData { index: place.partition, records: Some(Records::Borrowed(batch)) }];
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: place.topic.into(), partition_data, ..Default::default() }],
        ..Default::default()
    };
    client.frame(ApiKey::Produce, PRODUCE, &request)
}

/// The base offset in the answer to one.
pub fn produced(answer: &[u8], place: &Place) -> Answer<i64> {
    match outcome(answer)? {
        Ok(base_offset) => Ok(base_offset),
        Err(other) => wrong(format!("{}-{}: a batch is refused: {other:?}", place.topic, place.partition)),
    }
}

fn outcome(answer: &[u8]) -> Answer<Result<i64, ErrorCode>> {
    let response: ProduceResponse<'_> = read(answer, ApiKey::Produce, PRODUCE)?;
    let told = &response.responses[0].partition_responses[0];
    Ok(match told.error_code {
        ErrorCode::NONE => Ok(told.base_offset),
        other => Err(other),
    })
}

/// Sends a batch, and waits until it is acknowledged or refused.
pub fn produce(client: &mut Client, place: &Place, batch: &[u8]) -> Answer<Result<i64, ErrorCode>> {
    let frame = produce_frame(client, place, batch);
    client.try_send_bytes(&frame).map_err(Failure::Gone)?;
    outcome(&client.try_receive().map_err(Failure::Gone)?)
}

/// What one fetch gave.
pub struct Fetched {
    /// Offsets of the records, in order. Their contents were found right.
    pub offsets: Vec<i64>,
    pub start: i64,
}

/// Reads from an offset on and looks at every record. `None` when that offset is out of range.
pub fn fetch(client: &mut Client, place: usize, offset: i64, wait_ms: i32) -> Answer<Option<Fetched>> {
    const FETCH: i16 = 12;
    let Place { topic, partition, .. } = PLACES[place];
    let partitions = vec![FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 4 << 20,
        ..Default::default()
    }];
    let request = FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 4 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic { topic: topic.into(), partitions, ..Default::default() }],
        ..Default::default()
    };
    let answer = exchange(client, ApiKey::Fetch, FETCH, &request)?;
    let response: FetchResponse<'_> = read(&answer, ApiKey::Fetch, FETCH)?;
    let data = &response.responses[0].partitions[0];
    match data.error_code {
        ErrorCode::NONE => {}
        ErrorCode::OFFSET_OUT_OF_RANGE => return Ok(None),
        other => return wrong(format!("{topic}-{partition} cannot be read at {offset}: {other:?}")),
    }
    let records = data.records.as_ref().map(|records| records.to_bytes().into_owned()).unwrap_or_default();
    let mut offsets = Vec::new();
    for batch in Batches::new(&records) {
        let header = batch.header();
        if batch.computed_crc() != header.crc {
            return wrong(format!(
                "{topic}-{partition}: the sum of the batch at {} is wrong",
                header.base_offset
            ));
        }
        for record in RecordWalker::new(batch.payload(), header.records_count) {
            let record = record.map_err(|error| Failure::Wrong(format!("{topic}-{partition}: {error:?}")))?;
            let at = header.base_offset + i64::from(record.offset_delta);
            if record.key != key(place, at).as_deref() || record.value != Some(&value(place, at)) {
                let found = String::from_utf8_lossy(
                    &record.value.unwrap_or(b"null")[..20.min(record.value.map_or(4, <[u8]>::len))],
                )
                .into_owned();
                return wrong(format!("{topic}-{partition}: another record is at offset {at}: {found:?}"));
            }
            if at >= offset {
                offsets.push(at);
            }
        }
    }
    Ok(Some(Fetched { offsets, start: data.log_start_offset }))
}
