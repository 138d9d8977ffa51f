//! Each message from the same bytes, in one version that current clients use, with what a small application sends.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use quipu_protocol::message as ours;
use quipu_protocol::message::{
    api_versions, fetch, find_coordinator, heartbeat, join_group, list_offsets, metadata, offset_commit,
    offset_fetch, produce, sync_group,
};
use quipu_protocol::primitives::{Blob, Reader, Records, Writer};
use quipu_protocol::{Decode, Encode, Message};

macro_rules! message {
    ($c:expr, $version:expr, $ours:ty, $theirs:ty, $value:expr) => {{
        let value = $value;
        let mut w = Writer::with_buffer(Vec::new());
        value.encode(&mut w, $version);
        let bytes = w.into_frame().to_vec();
        let shared = Bytes::from(bytes.clone());
        let other = <$theirs>::decode(&mut shared.clone(), $version).expect("the crate reads what we wrote");
        let mut group = $c.benchmark_group(format!("codec/{}", <$ours as Message>::NAME));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("decode/quipu", |b| {
            b.iter(|| <$ours>::decode(&mut Reader::new(black_box(&bytes)), $version).expect("decodes"))
        });
        group.bench_function("decode/kafka-protocol", |b| {
            b.iter(|| <$theirs>::decode(&mut black_box(&shared).clone(), $version).expect("decodes"))
        });
        let mut buffer = Vec::with_capacity(1 << 20);
        group.bench_function("encode/quipu", |b| {
            b.iter(|| {
                let mut w = Writer::with_buffer(std::mem::take(&mut buffer));
                black_box(&value).encode(&mut w, $version);
                buffer = w.into_frame().into_buffer();
            })
        });
        let mut buffer = BytesMut::with_capacity(1 << 20);
        group.bench_function("encode/kafka-protocol", |b| {
            b.iter(|| {
                buffer.clear();
                black_box(&other).encode(&mut buffer, $version).expect("encodes");
            })
        });
        group.finish();
    }};
}

/// `count` times what `make` gives.
fn times<T>(count: i32, make: impl FnMut(i32) -> T) -> Vec<T> {
    (0..count).map(make).collect()
}

pub(super) fn benches(c: &mut Criterion) {
    requests(c);
    responses(c);
}

fn requests(c: &mut Criterion) {
    let batch = super::batch(super::RECORDS);
    let partition = |index| produce::PartitionProduceData { index, records: Some(Records::Borrowed(&batch)) };
    let topic = produce::TopicProduceData {
        name: "orders".into(),
        partition_data: times(1, partition),
        ..Default::default()
    };
    message!(
        c,
        9,
        produce::ProduceRequest<'_>,
        theirs::ProduceRequest,
        produce::ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..Default::default()
        }
    );
    let partition =
        |partition| fetch::FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic =
        fetch::FetchTopic { topic: "orders".into(), partitions: times(100, partition), ..Default::default() };
    message!(
        c,
        12,
        fetch::FetchRequest<'_>,
        theirs::FetchRequest,
        fetch::FetchRequest {
            max_wait_ms: 500,
            max_bytes: 50 << 20,
            topics: vec![topic],
            ..Default::default()
        }
    );
    message!(
        c,
        9,
        metadata::MetadataRequest<'_>,
        theirs::MetadataRequest,
        metadata::MetadataRequest {
            topics: Some(times(3, |_| metadata::MetadataRequestTopic {
                name: Some("orders".into()),
                ..Default::default()
            })),
            ..Default::default()
        }
    );
    message!(
        c,
        6,
        list_offsets::ListOffsetsRequest<'_>,
        theirs::ListOffsetsRequest,
        list_offsets::ListOffsetsRequest {
            topics: vec![list_offsets::ListOffsetsTopic {
                name: "orders".into(),
                partitions: times(10, |partition_index| list_offsets::ListOffsetsPartition {
                    partition_index,
                    timestamp: -1,
                    ..Default::default()
                }),
            }],
            ..Default::default()
        }
    );
    message!(
        c,
        8,
        offset_commit::OffsetCommitRequest<'_>,
        theirs::OffsetCommitRequest,
        offset_commit::OffsetCommitRequest {
            group_id: "billing".into(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: "orders".into(),
                partitions: times(10, |partition_index| offset_commit::OffsetCommitRequestPartition {
                    partition_index,
                    committed_offset: 123_456,
                    committed_metadata: Some("".into()),
                    ..Default::default()
                }),
                ..Default::default()
            }],
            ..Default::default()
        }
    );
    message!(
        c,
        7,
        offset_fetch::OffsetFetchRequest<'_>,
        theirs::OffsetFetchRequest,
        offset_fetch::OffsetFetchRequest {
            group_id: "billing".into(),
            topics: Some(vec![offset_fetch::OffsetFetchRequestTopic {
                name: "orders".into(),
                partition_indexes: times(10, |n| n),
            }]),
            ..Default::default()
        }
    );
    message!(
        c,
        4,
        heartbeat::HeartbeatRequest<'_>,
        theirs::HeartbeatRequest,
        heartbeat::HeartbeatRequest {
            group_id: "billing".into(),
            generation_id: 7,
            member_id: "consumer-1-5a2c8a5e-5f1f-4a0f-8f5e-0f6a6f3f1b2c".into(),
            ..Default::default()
        }
    );
    message!(
        c,
        6,
        join_group::JoinGroupRequest<'_>,
        theirs::JoinGroupRequest,
        join_group::JoinGroupRequest {
            group_id: "billing".into(),
            session_timeout_ms: 45_000,
            protocol_type: "consumer".into(),
            protocols: times(2, |_| join_group::JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: Blob::Borrowed(&[7; 60]),
            }),
            ..Default::default()
        }
    );
    message!(
        c,
        4,
        sync_group::SyncGroupRequest<'_>,
        theirs::SyncGroupRequest,
        sync_group::SyncGroupRequest {
            group_id: "billing".into(),
            assignments: times(10, |_| sync_group::SyncGroupRequestAssignment {
                member_id: "consumer-1-5a2c8a5e".into(),
                assignment: Blob::Borrowed(&[7; 60]),
            }),
            ..Default::default()
        }
    );
}

fn responses(c: &mut Criterion) {
    let partition =
        |index| produce::PartitionProduceResponse { index, base_offset: 123_456, ..Default::default() };
    message!(
        c,
        9,
        produce::ProduceResponse<'_>,
        theirs::ProduceResponse,
        produce::ProduceResponse {
            responses: vec![produce::TopicProduceResponse {
                name: "orders".into(),
                partition_responses: times(1, partition),
                ..Default::default()
            }],
            ..Default::default()
        }
    );
    let partition = |partition_index| fetch::PartitionData {
        partition_index,
        high_watermark: 123_456,
        records: Some(Records::Borrowed(&[])),
        ..Default::default()
    };
    message!(
        c,
        12,
        fetch::FetchResponse<'_>,
        theirs::FetchResponse,
        fetch::FetchResponse {
            responses: vec![fetch::FetchableTopicResponse {
                topic: "orders".into(),
                partitions: times(100, partition),
                ..Default::default()
            }],
            ..Default::default()
        }
    );
    let partition = |partition_index| metadata::MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..Default::default()
    };
    message!(
        c,
        9,
        metadata::MetadataResponse<'_>,
        theirs::MetadataResponse,
        metadata::MetadataResponse {
            brokers: times(1, |node_id| metadata::MetadataResponseBroker {
                node_id,
                host: "localhost".into(),
                port: 9_092,
                ..Default::default()
            }),
            topics: times(3, |_| metadata::MetadataResponseTopic {
                name: Some("orders".into()),
                partitions: times(10, partition),
                ..Default::default()
            }),
            ..Default::default()
        }
    );
    message!(
        c,
        3,
        api_versions::ApiVersionsResponse<'_>,
        theirs::ApiVersionsResponse,
        api_versions::ApiVersionsResponse {
            api_keys: times(60, |n| api_versions::ApiVersion {
                api_key: n as i16,
                min_version: 0,
                max_version: 9
            }),
            ..Default::default()
        }
    );
    message!(
        c,
        3,
        find_coordinator::FindCoordinatorResponse<'_>,
        theirs::FindCoordinatorResponse,
        find_coordinator::FindCoordinatorResponse {
            node_id: 1,
            host: "localhost".into(),
            port: 9_092,
            ..Default::default()
        }
    );
    message!(
        c,
        4,
        ours::heartbeat::HeartbeatResponse,
        theirs::HeartbeatResponse,
        ours::heartbeat::HeartbeatResponse::default()
    );
}
