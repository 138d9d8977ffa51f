//! Transactions request by request, in both forms that clients know, against a broker in memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::add_offsets_to_txn::AddOffsetsToTxnRequest;
use quipu_protocol::message::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use quipu_protocol::message::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use quipu_protocol::message::describe_producers::{DescribeProducersRequest, TopicRequest};
use quipu_protocol::message::describe_transactions::DescribeTransactionsRequest;
use quipu_protocol::message::end_txn::{EndTxnRequest, EndTxnResponse};
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use quipu_protocol::message::init_producer_id::InitProducerIdRequest;
use quipu_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use quipu_protocol::message::list_transactions::ListTransactionsRequest;
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use quipu_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use quipu_protocol::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use quipu_protocol::message::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::disk::{Disk, MemoryDisk};

use super::*;
use crate::broker::{Broker, CreateTopic};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::coordinator::group::Group;

/// Produce and TxnOffsetCommit of clients of version 1 and 2, and their EndTxn.
const ONE: (i16, i16, i16) = (11, 4, 4);
const TWO: (i16, i16, i16) = (12, 5, 5);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Arc<Broker>, Arc<MemoryDisk>) -> F) {
    run(async {
        let disk = Arc::new(MemoryDisk::new());
        let broker = open(&disk);
        broker.create_topic(CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults("t") }).unwrap();
        test(broker, disk).await;
    });
}

fn open(disk: &Arc<MemoryDisk>) -> Arc<Broker> {
    open_with(disk, &[])
}

fn open_with(disk: &Arc<MemoryDisk>, overrides: &[&str]) -> Arc<Broker> {
    disk.create_dir_all(Path::new("/data")).unwrap();
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    let (config, _) = Config::load(Sources { overrides, ..Default::default() }).unwrap();
    Broker::open(config, Arc::clone(disk) as _, Path::new("/data"), Clock::manual(0, 1)).unwrap()
}

async fn init(broker: &Arc<Broker>) -> Identity {
    let request = InitProducerIdRequest {
        transactional_id: Some("id".into()),
        transaction_timeout_ms: 1_000,
        ..Default::default()
    };
    let answer = crate::api::producers::init_producer_id(&Context::of_test(broker, 5), request).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    (answer.producer_id, answer.producer_epoch)
}

async fn add(broker: &Arc<Broker>, producer: Identity, topic: &str, partition: i32) -> ErrorCode {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "id".into(),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: topic.into(),
            partitions: vec![partition],
        }],
        ..Default::default()
    };
    let answer = add_partitions_to_txn(&Context::of_test(broker, 3), request).await;
    answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

async fn produce(broker: &Arc<Broker>, version: i16, producer: Identity, sequence: i32) -> ErrorCode {
    let attributes = Attributes::default().with_transactional(true);
    let mut batch = BatchBuilder::new().producer(producer.0, producer.1, sequence).attributes(attributes);
    batch.push(0, None, Some(b"value"), &[]);
    let bytes = batch.finish();
    let request = ProduceRequest {
        transactional_id: Some("id".into()),
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(Records::Borrowed(&bytes)) }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let (answer, mut awaited) =
        crate::api::produce::produce(&Context::of_test(broker, version), request).await.unwrap();
    awaited.wait().await.unwrap();
    answer.unwrap().responses[0].partition_responses[0].error_code
}

async fn end(broker: &Arc<Broker>, version: i16, producer: Identity, committed: bool) -> EndTxnResponse {
    let request = EndTxnRequest {
        transactional_id: "id".into(),
        producer_id: producer.0,
        producer_epoch: producer.1,
        committed,
    };
    end_txn(&Context::of_test(broker, version), request).await
}

async fn fetch(broker: &Arc<Broker>, isolation_level: i8) -> PartitionData<'static> {
    let request = FetchRequest {
        isolation_level,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut answer = crate::api::fetch::fetch(&Context::of_test(broker, 12), request).await;
    answer.responses.remove(0).partitions.remove(0)
}

async fn latest(broker: &Arc<Broker>, isolation_level: i8) -> i64 {
    let request = ListOffsetsRequest {
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }],
        }],
        ..Default::default()
    };
    let answer = crate::api::list_offsets::list_offsets(&Context::of_test(broker, 5), request).await;
    answer.topics[0].partitions[0].offset
}

async fn commit_offset(broker: &Arc<Broker>, version: i16, producer: Identity, offset: i64) -> ErrorCode {
    let request = TxnOffsetCommitRequest {
        transactional_id: "id".into(),
        group_id: "g".into(),
        producer_id: producer.0,
        producer_epoch: producer.1,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    txn_offset_commit(&Context::of_test(broker, version), request).await.topics[0].partitions[0].error_code
}

async fn offset(broker: &Arc<Broker>, require_stable: bool) -> (i64, ErrorCode) {
    let topic =
        OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let group =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
    let answer = crate::api::offsets::offset_fetch(&Context::of_test(broker, 8), request).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.committed_offset, partition.error_code)
}

async fn state(broker: &Arc<Broker>) -> String {
    let request = DescribeTransactionsRequest { transactional_ids: vec!["id".into()] };
    let answer = describe_transactions(&Context::of_test(broker, 0), request).await;
    answer.transaction_states[0].transaction_state.to_string()
}

#[test]
fn t4_t8_version_two_adds_partitions_by_itself_and_gives_every_transaction_an_epoch() {
    with_broker(|broker, _| async move {
        let (produced, _, ended) = TWO;
        let producer = init(&broker).await;
        assert_eq!(produce(&broker, produced, producer, 0).await, ErrorCode::NONE);
        assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (1, 0));
        assert_eq!(state(&broker).await, "Ongoing");
        let done = end(&broker, ended, producer, false).await;
        assert_eq!(done.error_code, ErrorCode::NONE);
        assert_eq!((done.producer_id, done.producer_epoch), (producer.0, producer.1 + 1));
        assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (2, 2));
        let found = fetch(&broker, 1).await;
        let aborted = found.aborted_transactions.unwrap();
        assert_eq!((aborted.len(), aborted[0].producer_id, aborted[0].first_offset), (1, producer.0, 0));
        assert_eq!(found.last_stable_offset, 2);
        assert!(fetch(&broker, 0).await.aborted_transactions.is_none());
        // What is late is refused; the new epoch begins anew.
        assert_eq!(produce(&broker, produced, producer, 1).await, ErrorCode::INVALID_PRODUCER_EPOCH);
        let producer = (done.producer_id, done.producer_epoch);
        assert_eq!(produce(&broker, produced, producer, 0).await, ErrorCode::NONE);
        assert_eq!(end(&broker, ended, producer, true).await.error_code, ErrorCode::NONE);
        assert_eq!(latest(&broker, 1).await, 4);
    });
}

#[test]
fn t5_version_one_announces_partitions_first() {
    with_broker(|broker, _| async move {
        let (produced, _, ended) = ONE;
        let producer = init(&broker).await;
        assert_eq!(produce(&broker, produced, producer, 0).await, ErrorCode::TRANSACTION_ABORTABLE);
        assert_eq!(produce(&broker, 10, producer, 0).await, ErrorCode::INVALID_TXN_STATE);
        assert_eq!(latest(&broker, 0).await, 0);
        assert_eq!(add(&broker, producer, "none", 0).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(add(&broker, (9, 9), "t", 0).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        assert_eq!(add(&broker, producer, "t", 0).await, ErrorCode::NONE);
        let verify = |partition: i32| {
            let topic = AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![partition] };
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: "id".into(),
                producer_id: producer.0,
                producer_epoch: producer.1,
                verify_only: true,
                topics: vec![topic],
            };
            AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
        };
        for (partition, code) in [(0, ErrorCode::NONE), (1, ErrorCode::TRANSACTION_ABORTABLE)] {
            let answer = add_partitions_to_txn(&Context::of_test(&broker, 4), verify(partition)).await;
            let result = &answer.results_by_transaction[0].topic_results[0].results_by_partition[0];
            assert_eq!(result.partition_error_code, code);
        }
        assert_eq!(produce(&broker, produced, producer, 0).await, ErrorCode::NONE);
        let done = end(&broker, ended, producer, true).await;
        assert_eq!(done.error_code, ErrorCode::NONE);
        // The epoch stays; the partition has to be announced again.
        assert_eq!(produce(&broker, produced, producer, 1).await, ErrorCode::TRANSACTION_ABORTABLE);
        assert_eq!(add(&broker, producer, "t", 0).await, ErrorCode::NONE);
        assert_eq!(produce(&broker, produced, producer, 1).await, ErrorCode::NONE);
        // Fenced by a newer one, which has to come again once the transaction is aborted.
        let request = InitProducerIdRequest {
            transactional_id: Some("id".into()),
            transaction_timeout_ms: 1_000,
            ..Default::default()
        };
        let answer = crate::api::producers::init_producer_id(&Context::of_test(&broker, 5), request).await;
        assert_eq!(answer.error_code, ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(init(&broker).await, (producer.0, producer.1 + 2));
        assert_eq!(end(&broker, 4, producer, true).await.error_code, ErrorCode::PRODUCER_FENCED);
        assert_eq!(end(&broker, 1, producer, true).await.error_code, ErrorCode::INVALID_PRODUCER_EPOCH);
    });
}

#[test]
fn t10_offsets_count_once_the_transaction_is_committed_also_across_a_restart() {
    for (_, committed, ended) in [ONE, TWO] {
        with_broker(|broker, disk| async move {
            let mut producer = init(&broker).await;
            if committed < 5 {
                let refused = commit_offset(&broker, committed, producer, 5).await;
                assert_eq!(refused, ErrorCode::TRANSACTION_ABORTABLE);
                let request = AddOffsetsToTxnRequest {
                    transactional_id: "id".into(),
                    producer_id: producer.0,
                    producer_epoch: producer.1,
                    group_id: "g".into(),
                };
                let added = add_offsets_to_txn(&Context::of_test(&broker, 3), request).await;
                assert_eq!(added.error_code, ErrorCode::NONE);
            }
            assert_eq!(commit_offset(&broker, committed, producer, 5).await, ErrorCode::NONE);
            assert_eq!(offset(&broker, false).await, (-1, ErrorCode::NONE));
            assert_eq!(offset(&broker, true).await, (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT));
            broker.close().unwrap();
            let broker = open(&disk);
            assert_eq!(offset(&broker, true).await, (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT));
            let done = end(&broker, ended, producer, true).await;
            assert_eq!(done.error_code, ErrorCode::NONE);
            assert_eq!(offset(&broker, true).await, (5, ErrorCode::NONE));
            let of = |group: Option<&Group>| group.unwrap().committed("t", 0).unwrap().topic_id;
            let topic_id = broker.topics.by_name("t").unwrap().id();
            assert_eq!(broker.groups.look("g", of).await, Ok(topic_id), "kept with it");
            if committed < 5 {
                return;
            }
            producer.1 = done.producer_epoch;
            assert_eq!(commit_offset(&broker, committed, producer, 9).await, ErrorCode::NONE);
            assert_eq!(end(&broker, ended, producer, false).await.error_code, ErrorCode::NONE);
            assert_eq!(offset(&broker, true).await, (5, ErrorCode::NONE));
            broker.close().unwrap();
            assert_eq!(offset(&open(&disk), true).await, (5, ErrorCode::NONE));
        });
    }
}

#[test]
fn o1_a_producer_is_told_of_a_stale_member_in_words_that_it_knows() {
    with_broker(|broker, _| async move {
        let producer = init(&broker).await;
        let topic_id = broker.topics.by_name("t").unwrap().id();
        let commit = async |group: &str, member: &str, epoch: i32, version: i16| {
            let request = TxnOffsetCommitRequest {
                transactional_id: "id".into(),
                group_id: group.into(),
                producer_id: producer.0,
                producer_epoch: producer.1,
                member_id: member.into(),
                generation_id_or_member_epoch: epoch,
                topics: vec![TxnOffsetCommitRequestTopic {
                    name: if version < 6 { "t".into() } else { "".into() },
                    topic_id: if version < 6 { Default::default() } else { topic_id },
                    partitions: vec![TxnOffsetCommitRequestPartition::default()],
                }],
                ..Default::default()
            };
            txn_offset_commit(&Context::of_test(&broker, version), request).await.topics[0].partitions[0]
                .error_code
        };
        assert_eq!(commit("none", "m", 1, 5).await, ErrorCode::ILLEGAL_GENERATION);
        assert_eq!(commit("none", "m", 1, 6).await, ErrorCode::GROUP_ID_NOT_FOUND);

        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 1_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        let joined =
            crate::api::groups::consumer_group_heartbeat(&Context::of_test(&broker, 1), request).await;
        assert_eq!(joined.error_code, ErrorCode::NONE);
        let epoch = joined.member_epoch;
        assert_eq!(commit("g", "m", epoch, 5).await, ErrorCode::NONE);
        assert_eq!(commit("g", "m", epoch + 1, 5).await, ErrorCode::ILLEGAL_GENERATION);
        assert_eq!(commit("g", "m", epoch + 1, 6).await, ErrorCode::STALE_MEMBER_EPOCH);
        assert_eq!(commit("g", "other", epoch, 5).await, ErrorCode::UNKNOWN_MEMBER_ID);
    });
}

#[test]
fn t7_t13_what_hangs_is_seen_and_can_be_ended() {
    with_broker(|broker, _| async move {
        let producer = init(&broker).await;
        assert_eq!(produce(&broker, 12, producer, 0).await, ErrorCode::NONE);
        let request = DescribeProducersRequest {
            topics: vec![TopicRequest { name: "t".into(), partition_indexes: vec![0] }],
        };
        let answer = describe_producers(&Context::of_test(&broker, 0), request).await;
        let seen = &answer.topics[0].partitions[0].active_producers[0];
        assert_eq!((seen.producer_id, seen.current_txn_start_offset), (producer.0, 0));
        let marker = |coordinator_epoch| WriteTxnMarkersRequest {
            markers: vec![WritableTxnMarker {
                producer_id: producer.0,
                producer_epoch: producer.1,
                transaction_result: false,
                topics: vec![WritableTxnMarkerTopic { name: "t".into(), partition_indexes: vec![0, 7] }],
                coordinator_epoch,
                transaction_version: 0,
            }],
        };
        let answer = write_txn_markers(&Context::of_test(&broker, 1), marker(3)).await;
        let codes: Vec<_> =
            answer.markers[0].topics[0].partitions.iter().map(|found| found.error_code).collect();
        assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        assert_eq!(latest(&broker, 1).await, 2);
        let answer = write_txn_markers(&Context::of_test(&broker, 1), marker(2)).await;
        let code = answer.markers[0].topics[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::TRANSACTION_COORDINATOR_FENCED);

        for (pattern, states, count) in [
            (None, vec![], 1),
            (Some("i."), vec!["Ongoing"], 1),
            (Some("i"), vec![], 0),
            (None, vec!["No"], 0),
        ] {
            let request = ListTransactionsRequest {
                state_filters: states.into_iter().map(Into::into).collect(),
                transactional_id_pattern: pattern.map(Into::into),
                ..Default::default()
            };
            let answer = list_transactions(&Context::of_test(&broker, 2), request).await;
            assert_eq!(answer.transaction_states.len(), count, "{pattern:?}");
        }
        let request =
            ListTransactionsRequest { transactional_id_pattern: Some("(".into()), ..Default::default() };
        let answer = list_transactions(&Context::of_test(&broker, 2), request).await;
        assert_eq!(answer.error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);

        // Whatever epoch the operator gave, the coordinator still ends what comes next.
        assert_eq!(produce(&broker, 12, producer, 1).await, ErrorCode::NONE);
        assert_eq!(latest(&broker, 1).await, 2);
        assert_eq!(end(&broker, 5, producer, true).await.error_code, ErrorCode::NONE);
        assert_eq!(latest(&broker, 1).await, 4);
    });
}

#[test]
fn t7_a_transaction_that_is_left_open_is_aborted_and_its_producer_shut_out() {
    with_broker(|broker, _| async move {
        let producer = init(&broker).await;
        assert_eq!(produce(&broker, 12, producer, 0).await, ErrorCode::NONE);
        broker.clock.advance(11_000);
        broker.transactions.run_due().await;
        assert_eq!(state(&broker).await, "CompleteAbort");
        assert_eq!(latest(&broker, 1).await, 2);
        assert_eq!(produce(&broker, 12, producer, 1).await, ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(end(&broker, 5, producer, true).await.error_code, ErrorCode::INVALID_TXN_STATE);
        assert_eq!(fetch(&broker, 1).await.aborted_transactions.unwrap().len(), 1);
    });
}

#[test]
fn t5_an_operator_may_let_clients_of_version_one_write_unverified() {
    let disk = Arc::new(MemoryDisk::new());
    run(async {
        let broker = open_with(&disk, &["transaction.partition.verification.enable=false"]);
        broker.create_topic(CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults("t") }).unwrap();
        let producer = init(&broker).await;
        assert_eq!(produce(&broker, 11, producer, 0).await, ErrorCode::NONE);
        // Nobody will end what the coordinator knows nothing of.
        assert_eq!((state(&broker).await.as_str(), latest(&broker, 1).await), ("Empty", 0));
        // Version 2 says itself what it adds, so it is held to it.
        let other = (producer.0, producer.1 + 1);
        assert_eq!(produce(&broker, 12, other, 0).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    });
}

#[test]
fn kip_939_a_transaction_in_two_phases_is_ended_by_its_producer_alone() {
    let request = |enable2_pc, keep_prepared_txn| InitProducerIdRequest {
        transactional_id: Some("id".into()),
        transaction_timeout_ms: 1_000,
        enable2_pc,
        keep_prepared_txn,
        ..Default::default()
    };
    run(async {
        let disk = Arc::new(MemoryDisk::new());
        let broker = open(&disk);
        let answer =
            crate::api::producers::init_producer_id(&Context::of_test(&broker, 6), request(true, false))
                .await;
        assert_eq!(answer.error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        broker.close().unwrap();
        drop(broker);
        let broker = open_with(&disk, &["transaction.two.phase.commit.enable=true"]);
        broker.create_topic(CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults("t") }).unwrap();
        let answer =
            crate::api::producers::init_producer_id(&Context::of_test(&broker, 6), request(true, true)).await;
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
        let answer =
            crate::api::producers::init_producer_id(&Context::of_test(&broker, 6), request(true, false))
                .await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let producer = (answer.producer_id, answer.producer_epoch);
        assert_eq!(produce(&broker, 12, producer, 0).await, ErrorCode::NONE);
        // 30 days, after which any timeout that fits a request would have run out.
        broker.clock.advance(30 * 24 * 3_600_000);
        broker.transactions.run_due().await;
        assert_eq!(state(&broker).await, "Ongoing");
        assert_eq!(end(&broker, 5, producer, true).await.error_code, ErrorCode::NONE);
        assert_eq!(latest(&broker, 1).await, 2);
    });
}

#[test]
fn kip_939_the_unstable_version_is_offered_where_an_operator_wants_it() {
    run(async {
        for (overrides, newest) in [(&[][..], 5), (&["unstable.api.versions.enable=true"][..], 6)] {
            let broker = open_with(&Arc::new(MemoryDisk::new()), overrides);
            let answer =
                crate::api::versions::api_versions(&Context::of_test(&broker, 0), Default::default()).await;
            let offered = answer.api_keys.iter().find(|offered| offered.api_key == 22).unwrap();
            assert_eq!(offered.max_version, newest);
            // Header of version 2 (key, version, correlation id, no client id, no tags), then the body: no transactional
            // id, a timeout, no identity, neither of the two flags, no tags.
            let frame = b"\x00\x16\x00\x06\x00\x00\x00\x07\xff\xff\x00\
                \x00\x00\x00\x03\xe8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00";
            let address = SocketAddr::from(([127, 0, 0, 1], 9092));
            let caller =
                crate::api::Caller { broker: &broker, local_addr: address, peer_addr: address, turn: None };
            let answer = crate::api::answer(caller, frame, Vec::new()).await;
            assert_eq!(answer.is_ok(), newest == 6, "{answer:?}");
        }
    });
}

#[test]
fn t2_producer_ids_are_never_given_twice_however_the_broker_ends() {
    let disk = Arc::new(MemoryDisk::new());
    run(async {
        let mut given = BTreeSet::new();
        for life in 0..4 {
            let broker = open(&disk);
            for _ in 0..1_500 {
                let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
                let answer =
                    crate::api::producers::init_producer_id(&Context::of_test(&broker, 5), request).await;
                assert_eq!((answer.error_code, answer.producer_epoch), (ErrorCode::NONE, 0));
                assert!(given.insert(answer.producer_id), "{} was given twice", answer.producer_id);
            }
            if life % 2 == 0 {
                broker.close().unwrap();
            }
        }
    });
}

#[test]
fn t13_transactions_are_listed_by_how_long_ago_they_began() {
    with_broker(|broker, _| async move {
        broker.clock.advance(1);
        let producer = init(&broker).await;
        let listed = async |duration_filter, producer_id_filters| {
            let request =
                ListTransactionsRequest { duration_filter, producer_id_filters, ..Default::default() };
            list_transactions(&Context::of_test(&broker, 1), request).await.transaction_states.len()
        };
        // What never began counts from before the beginning.
        assert_eq!((listed(-1, vec![]).await, listed(0, vec![]).await), (1, 1));
        assert_eq!(produce(&broker, 12, producer, 0).await, ErrorCode::NONE);
        broker.clock.advance(500);
        assert_eq!((listed(499, vec![]).await, listed(500, vec![]).await), (1, 0));
        assert_eq!((listed(-1, vec![producer.0]).await, listed(-1, vec![producer.0 + 1]).await), (1, 0));
    });
}
