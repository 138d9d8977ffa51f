//! Every API, refused without each right that it needs and answered with all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_protocol::api_key::ApiKey;
use quipu_protocol::header::{RequestHeader, decode_response_header, request_frame};
use quipu_protocol::message::*;
use quipu_protocol::primitives::{Records, Str, Uuid};
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_protocol::{Decode, Encode};
use quipu_storage::disk::{Disk, MemoryDisk};

use super::{Caller, answer, table};
use crate::broker::{Broker, CreateTopic};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::security::acl::Operation::{
    Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read,
    Write,
};
use crate::security::acl::{Acl, CLUSTER_NAME, Operation, PatternType, Permission, ResourceType};
use crate::security::authorizer::ANONYMOUS;

/// A right, and a part of the answer without it.
#[derive(Clone, Debug)]
struct Need(Acl, &'static str);

fn right(operation: Operation, resource_type: ResourceType, name: &str) -> Acl {
    Acl {
        resource_type,
        pattern_type: PatternType::Literal,
        resource_name: name.to_owned(),
        principal: ANONYMOUS.to_owned(),
        host: "127.0.0.1".to_owned(),
        operation,
        permission: Permission::Allow,
    }
}

fn topic(operation: Operation) -> Need {
    Need(right(operation, ResourceType::Topic, "t"), "TOPIC_AUTHORIZATION_FAILED")
}

fn group(operation: Operation) -> Need {
    Need(right(operation, ResourceType::Group, "g"), "GROUP_AUTHORIZATION_FAILED")
}

fn cluster(operation: Operation) -> Need {
    Need(right(operation, ResourceType::Cluster, CLUSTER_NAME), "CLUSTER_AUTHORIZATION_FAILED")
}

fn id(operation: Operation) -> Need {
    Need(right(operation, ResourceType::TransactionalId, "id"), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
}

impl Need {
    /// Without it another refusal follows: there is another right that would do.
    fn or(self, told: &'static str) -> Self {
        Self(self.0, told)
    }
}

struct Tried {
    broker: Arc<Broker>,
    rights: Mutex<String>,
}

thread_local! {
    /// What was asked, by API: with which rights.
    static ASKED: RefCell<BTreeMap<i16, BTreeSet<String>>> = RefCell::default();
}

impl Tried {
    fn new(overrides: &[&str]) -> Self {
        let disk = Arc::new(MemoryDisk::new());
        disk.create_dir_all(Path::new("/data")).unwrap();
        let class = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let overrides = [&[class], overrides].concat().into_iter().map(str::to_owned).collect();
        let (config, _) = Config::load(Sources { overrides, ..Sources::default() }).unwrap();
        let broker = Broker::open(config, disk as _, Path::new("/data"), Clock::manual(0, 1)).unwrap();
        broker.create_topic(CreateTopic::with_defaults("t")).unwrap();
        Self { broker, rights: Mutex::default() }
    }

    /// The client has these rights from now on, and no others.
    fn rights<'a>(&self, needs: impl IntoIterator<Item = &'a Need>) {
        let rights: Vec<_> = needs.into_iter().map(|need| &need.0).collect();
        *self.rights.lock() = format!("{rights:?}");
        self.broker.authorizer.as_ref().unwrap().set(rights);
    }

    /// The answer, header and body.
    async fn ask(&self, key: ApiKey, version: i16, request: &impl Encode) -> Vec<u8> {
        let rights = self.rights.lock().clone();
        ASKED.with_borrow_mut(|asked| asked.entry(key.key()).or_default().insert(rights));
        let header = RequestHeader {
            api_key: key.key(),
            api_version: version,
            correlation_id: 1,
            client_id: Some("client".into()),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 9092));
        let caller = Caller { broker: &self.broker, peer_addr: address, local_addr: address, turn: None };
        let frame = request_frame(&header, request, Vec::new()).to_vec();
        answer(caller, &frame[4..], Vec::new()).await.unwrap().frame.unwrap().to_vec().split_off(4)
    }
}

/// The answer to a request, as a text.
macro_rules! ask {
    ($tried:expr, $api:expr, $version:expr, $request:expr => $response:ty) => {{
        let bytes = $tried.ask($api, $version, $request).await;
        let (_, mut body) = decode_response_header(&bytes, $api, $version).unwrap();
        format!("{:?}", <$response>::decode(&mut body, $version).unwrap())
    }};
}

/// Sends a request with all rights that it needs, and then without each of them.
macro_rules! each {
    ($tried:ident, $($api:ident $version:literal: $request:expr, $needs:expr => $module:ident::$response:ident),* $(,)?) => {
        $({
            let (key, needs, request) = (ApiKey::$api, Vec::from($needs), $request);
            $tried.rights(&needs);
            let told = ask!($tried, key, $version, &request => $module::$response);
            assert!(!told.contains("AUTHORIZATION_FAILED"), "{} with {needs:?}: {told}", key.name());
            for (at, missing) in needs.iter().enumerate() {
                $tried.rights(needs.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, need)| need));
                let told = ask!($tried, key, $version, &request => $module::$response);
                assert!(told.contains(&format!(": {}(", missing.1)), "{} without {missing:?}: {told}", key.name());
            }
        })*
    };
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn batch(is_transactional: bool) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    if is_transactional {
        batch = batch.producer(1, 0, 0).attributes(Attributes::default().with_transactional(true));
    }
    batch.push(0, None, Some(b"value"), &[]);
    batch.finish()
}

fn produced<'a>(id: Option<&'a str>, topic_id: Uuid, batch: &'a [u8]) -> produce::ProduceRequest<'a> {
    produce::ProduceRequest {
        transactional_id: id.map(Str::Borrowed),
        acks: 1,
        topic_data: vec![produce::TopicProduceData {
            name: "t".into(),
            topic_id,
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: Some(Records::Borrowed(batch)),
            }],
        }],
        ..Default::default()
    }
}

fn fetched(topic_id: Uuid) -> fetch::FetchRequest<'static> {
    fetch::FetchRequest {
        session_epoch: -1,
        topics: vec![fetch::FetchTopic {
            topic: "t".into(),
            topic_id,
            partitions: vec![fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
        }],
        ..Default::default()
    }
}

fn asked_for(topic: &'static str, topic_id: Uuid) -> metadata::MetadataRequest<'static> {
    let name = Some(topic.into()).filter(|_| topic_id.is_zero());
    metadata::MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic { name, topic_id }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    }
}

fn beat(topic: Option<&'static str>) -> consumer_group_heartbeat::ConsumerGroupHeartbeatRequest<'static> {
    consumer_group_heartbeat::ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 1_000,
        subscribed_topic_names: topic.map(|topic| vec![topic.into()]),
        subscribed_topic_regex: topic.is_none().then_some(".*".into()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

#[test]
fn records_are_for_those_who_may_write_and_read_them() {
    run(async {
        let tried = Tried::new(&[]);
        let topic_id = tried.broker.topics.by_name("t").unwrap().id();
        let (plain, transactional) = (batch(false), batch(true));
        each! { tried,
            Produce 9: produced(None, Uuid::ZERO, &plain), [topic(Write)] => produce::ProduceResponse,
            Produce 13: produced(None, topic_id, &plain), [topic(Write)] => produce::ProduceResponse,
            Produce 11: produced(Some("id"), Uuid::ZERO, &transactional), [topic(Write), id(Write)] => produce::ProduceResponse,
            Produce 12: produced(Some("id"), Uuid::ZERO, &transactional), [topic(Write), id(Write)] => produce::ProduceResponse,
            // Nothing in it belongs to a transaction.
            Produce 11: produced(Some("id"), Uuid::ZERO, &plain), [topic(Write)] => produce::ProduceResponse,
            Fetch 12: fetched(Uuid::ZERO), [topic(Read)] => fetch::FetchResponse,
            Fetch 13: fetched(topic_id), [topic(Read)] => fetch::FetchResponse,
        }
        tried.rights(&[topic(Write)]);
        let told = ask!(tried, ApiKey::Produce,
            11,
            &produced(None, Uuid::ZERO, &transactional) => produce::ProduceResponse);
        assert!(told.contains("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), "batches of no transaction");
    });
}

#[test]
fn records_are_for_brokers_that_may_act_in_the_cluster_whatever_topics_they_may_read() {
    run(async {
        let tried = Tried::new(&[]);
        let topic_id = tried.broker.topics.by_name("t").unwrap().id();
        let told_so = |operation| cluster(operation).or("TOPIC_AUTHORIZATION_FAILED");
        let old = |replica_id, id| fetch::FetchRequest { replica_id, ..fetched(id) };
        let new = |replica_id| {
            let replica_state = fetch::ReplicaState { replica_id, replica_epoch: -1 };
            fetch::FetchRequest { replica_state, ..fetched(topic_id) }
        };
        each! { tried,
            Fetch 4: old(0, Uuid::ZERO), [told_so(ClusterAction)] => fetch::FetchResponse,
            Fetch 14: old(7, topic_id), [told_so(ClusterAction)] => fetch::FetchResponse,
            Fetch 15: new(0), [told_so(ClusterAction)] => fetch::FetchResponse,
            Fetch 18: new(7), [told_so(ClusterAction)] => fetch::FetchResponse,
            // One who looks for faults is a consumer.
            Fetch 12: old(-2, Uuid::ZERO), [topic(Read)] => fetch::FetchResponse,
            Fetch 17: new(-2), [topic(Read)] => fetch::FetchResponse,
        }
        // Who is no broker learns of no topic by its id, and reads none that it might as a consumer.
        tried.rights(&[topic(Read)]);
        let mut request = new(7);
        request.topics[0].topic_id = Uuid([9; 16]);
        let told = ask!(tried, ApiKey::Fetch, 17, &request => fetch::FetchResponse);
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
        // Each request of a session says for itself whom it is from.
        let first = fetch::FetchRequest { session_epoch: 0, ..new(-1) };
        let told = ask!(tried, ApiKey::Fetch, 17, &first => fetch::FetchResponse);
        assert!(!told.contains("AUTHORIZATION_FAILED"), "{told}");
        let session_id = told.split("session_id: ").nth(1).unwrap().split(',').next().unwrap();
        let session_id = session_id.parse().unwrap();
        let next = fetch::FetchRequest { session_id, session_epoch: 1, topics: Vec::new(), ..new(7) };
        let told = ask!(tried, ApiKey::Fetch, 17, &next => fetch::FetchResponse);
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
    });
}

#[test]
fn a_fetch_session_ends_with_the_right_to_its_topic() {
    run(async {
        let tried = Tried::new(&[]);
        tried.rights(&[topic(Read)]);
        let first = fetch::FetchRequest { session_epoch: 0, ..fetched(Uuid::ZERO) };
        let told = ask!(tried, ApiKey::Fetch, 12, &first => fetch::FetchResponse);
        let session_id = told.split("session_id: ").nth(1).unwrap().split(',').next().unwrap();
        tried.rights(&[]);
        let next = fetch::FetchRequest {
            session_id: session_id.parse().unwrap(),
            session_epoch: 1,
            ..Default::default()
        };
        let told = ask!(tried, ApiKey::Fetch, 12, &next => fetch::FetchResponse);
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
    });
}

#[test]
fn a_partition_that_is_not_for_the_client_ends_no_wait_for_others() {
    run(async {
        let tried = Tried::new(&[]);
        tried.rights(&[topic(Read), topic(Write)]);
        let record = batch(false);
        let produce = async || {
            let written = produced(None, Uuid::ZERO, &record);
            ask!(tried, ApiKey::Produce, 9, &written => produce::ProduceResponse)
        };
        let wait = async |topic: &'static str, offset, session: Option<(i32, i32)>| {
            let mut request = fetched(Uuid::ZERO);
            (request.max_wait_ms, request.min_bytes, request.max_bytes) = (600_000, 1, 1 << 20);
            (request.session_id, request.session_epoch) = session.unwrap_or((0, -1));
            request.topics[0].partitions[0].fetch_offset = offset;
            let mut other = request.topics[0].clone();
            other.topic = "none".into();
            let mut missing = request.topics[0].partitions[0].clone();
            missing.partition = 9;
            request.topics[0].topic = topic.into();
            request.topics[0].partitions.push(missing);
            request.topics.insert(0, other);
            ask!(tried, ApiKey::Fetch, 12, &request => fetch::FetchResponse)
        };
        let (mut session, mut epoch) = (0, 0);
        produce().await;
        for offset in 1..4 {
            // By a clock that stands still only the record can end it.
            let wanted = if offset == 1 { None } else { Some((session, epoch)) };
            let (told, _) = tokio::join!(wait("t", offset, wanted), produce());
            assert!(told.contains(&format!("high_watermark: {}", offset + 1)), "{told}");
            for error in ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PARTITION"] {
                assert_eq!(told.matches(error).count(), 1, "{told}");
            }
            if let Some((0, _)) = wanted {
                session =
                    told.split("session_id: ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
                epoch = 1;
            }
        }
        assert_ne!(session, 0);
        // Nothing is left to wait for.
        let told = wait("never", 0, None).await;
        assert_eq!(told.matches("TOPIC_AUTHORIZATION_FAILED").count(), 3, "{told}");
    });
}

#[test]
fn unseen_topics_are_left_out_and_not_created() {
    run(async {
        let tried = Tried::new(&[]);
        let topic_id = tried.broker.topics.by_name("t").unwrap().id();
        let ask = async |needs: &[Need], request: metadata::MetadataRequest<'static>| {
            tried.rights(needs);
            ask!(tried, ApiKey::Metadata, 12, &request => metadata::MetadataResponse)
        };
        let all = || metadata::MetadataRequest { topics: None, ..Default::default() };
        assert!(ask(&[topic(Describe)], all()).await.contains("\"t\""));
        let told = ask(&[], all()).await;
        assert!(!told.contains("\"t\"") && !told.contains("FAILED"), "{told}");
        assert!(ask(&[topic(Read)], asked_for("t", Uuid::ZERO)).await.contains("partition_index: 0"));
        let told = ask(&[], asked_for("t", Uuid::ZERO)).await;
        assert!(
            told.contains("TOPIC_AUTHORIZATION_FAILED") && !told.contains(&topic_id.to_string()),
            "{told}"
        );
        let told = ask(&[], asked_for("", topic_id)).await;
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED") && !told.contains("\"t\""), "{told}");

        let new = |operation| Need(right(operation, ResourceType::Topic, "new"), "");
        let told = ask(&[new(Describe)], asked_for("new", Uuid::ZERO)).await;
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
        assert!(tried.broker.topics.by_name("new").is_none());
        let told = ask(&[new(Create)], asked_for("new", Uuid::ZERO)).await;
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
        let told = ask(&[new(Describe), cluster(Create)], asked_for("new", Uuid::ZERO)).await;
        assert!(told.contains("partition_index: 0"), "{told}");

        let ask = async |needs: &[Need], names: &[&'static str]| {
            tried.rights(needs);
            let topics =
                names.iter().map(|name| describe_topic_partitions::TopicRequest { name: (*name).into() });
            let request = describe_topic_partitions::DescribeTopicPartitionsRequest {
                topics: topics.collect(),
                response_partition_limit: 100,
                ..Default::default()
            };
            type Response<'a> = describe_topic_partitions::DescribeTopicPartitionsResponse<'a>;
            ask!(tried, ApiKey::DescribeTopicPartitions, 0, &request => Response)
        };
        let told = ask(&[topic(Describe)], &[]).await;
        assert!(told.contains("\"t\"") && !told.contains("\"new\"") && !told.contains("FAILED"), "{told}");
        let told = ask(&[topic(Describe)], &["t", "new", "none"]).await;
        assert_eq!(told.matches("TOPIC_AUTHORIZATION_FAILED").count(), 2, "{told}");
        let told = ask(&[], &["t"]).await;
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
    });
}

#[test]
fn a_refused_page_names_only_what_was_asked_for() {
    run(async {
        let tried = Tried::new(&[]);
        let ask = async |names: &[&'static str], cursor: (&'static str, i32)| {
            let request = describe_topic_partitions::DescribeTopicPartitionsRequest {
                topics: names
                    .iter()
                    .map(|name| describe_topic_partitions::TopicRequest { name: (*name).into() })
                    .collect(),
                cursor: Some(describe_topic_partitions::Cursor {
                    topic_name: cursor.0.into(),
                    partition_index: cursor.1,
                }),
                response_partition_limit: 100,
            };
            type Response<'a> = describe_topic_partitions::DescribeTopicPartitionsResponse<'a>;
            ask!(tried, ApiKey::DescribeTopicPartitions, 0, &request => Response)
        };
        let told = ask(&[], ("", -1)).await;
        assert!(told.contains("topics: []"), "{told}");
        tried.rights(&[topic(Describe)]);
        for (names, cursor) in [(&["t"][..], ("t", -1)), (&["t"], ("s", 0)), (&["s", "t"], ("u", 0))] {
            let told = ask(names, cursor).await;
            assert_eq!(told.matches("INVALID_REQUEST").count(), names.len(), "{cursor:?}: {told}");
        }
        // Where the first page ended is no place in another topic.
        let told = ask(&["s", "t"], ("s", 1)).await;
        assert!(told.contains("partition_index: 0"), "{told}");
    });
}

#[test]
fn deleting_twice_tells_nothing_of_topics_that_are_hidden() {
    run(async {
        let tried = Tried::new(&[]);
        let id = tried.broker.topics.by_name("t").unwrap().id();
        let by_name = |name: &'static str| (Some(Str::Borrowed(name)), Uuid::ZERO);
        let ask = async |topics: &[(Option<Str<'static>>, Uuid)]| {
            let state = |(name, topic_id): &(Option<Str<'static>>, Uuid)| delete_topics::DeleteTopicState {
                name: name.clone(),
                topic_id: *topic_id,
            };
            let request = delete_topics::DeleteTopicsRequest {
                topics: topics.iter().map(state).collect(),
                ..Default::default()
            };
            ask!(tried, ApiKey::DeleteTopics, 6, &request => delete_topics::DeleteTopicsResponse)
        };
        let other = Uuid([9; 16]);
        let there = ask(&[by_name("t"), by_name("t")]).await;
        let missing = ask(&[by_name("x"), by_name("x")]).await;
        assert_eq!(there.replace("\"t\"", "\"x\""), missing);
        let there = ask(&[(None, id), (None, id)]).await;
        let missing = ask(&[(None, other), (None, other)]).await;
        assert_eq!(there.replace(&format!("{id:?}"), &format!("{other:?}")), missing);
        // Which id belongs to which name.
        let told = ask(&[(None, id), by_name("t")]).await;
        assert_eq!(told.matches("TOPIC_AUTHORIZATION_FAILED").count(), 2, "{told}");

        let may_delete = topic(Delete);
        let mut may_not_see = topic(Describe);
        may_not_see.0.permission = Permission::Deny;
        tried.rights([&may_delete]);
        let told = ask(&[(None, id), by_name("t")]).await;
        assert_eq!(told.matches("INVALID_REQUEST").count(), 1, "{told}");
        tried.rights([&may_delete, &may_not_see]);
        for name in ["t", "x"] {
            let told = ask(&[by_name(name)]).await;
            assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
        }
        assert!(ask(&[(None, id)]).await.contains("error_code: NONE"));
    });
}

#[test]
fn clients_are_told_what_they_may_do() {
    run(async {
        let tried = Tried::new(&[]);
        let request = metadata::MetadataRequest {
            topics: None,
            include_topic_authorized_operations: true,
            include_cluster_authorized_operations: true,
            ..Default::default()
        };
        for (needs, topics, cluster) in [
            (&[topic(Read)][..], 1 << 3 | 1 << 8, 0),
            (&[topic(Operation::All), cluster(Alter)], 0b1101_1111_1000, 1 << 7 | 1 << 8),
            // Whoever may not describe the cluster is told nothing of it.
            (&[topic(Describe), cluster(Create)], 1 << 8, 0),
        ] {
            tried.rights(needs);
            let told = ask!(tried, ApiKey::Metadata, 10, &request => metadata::MetadataResponse);
            assert!(told.contains(&format!("topic_authorized_operations: {topics}")), "{told}");
            assert!(told.contains(&format!("cluster_authorized_operations: {cluster}")), "{told}");
            let request = describe_cluster::DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                endpoint_type: 1,
                ..Default::default()
            };
            let told = ask!(tried, ApiKey::DescribeCluster, 1, &request => describe_cluster::DescribeClusterResponse);
            assert!(told.contains(&format!("cluster_authorized_operations: {cluster}")), "{told}");
        }
        let request = describe_groups::DescribeGroupsRequest {
            groups: vec!["g".into()],
            include_authorized_operations: true,
        };
        tried.rights(&[group(Delete)]);
        let told =
            ask!(tried, ApiKey::DescribeGroups, 5, &request => describe_groups::DescribeGroupsResponse);
        assert!(told.contains(&format!("authorized_operations: {}", 1 << 6 | 1 << 8)), "{told}");
    });
}

#[test]
fn lists_have_only_what_may_be_seen() {
    run(async {
        let tried = Tried::new(&[]);
        tried.rights(&[topic(Describe), group(Read), id(Write)]);
        let joined = beat(Some("t"));
        type Beaten<'a> = consumer_group_heartbeat::ConsumerGroupHeartbeatResponse<'a>;
        assert!(
            ask!(tried, ApiKey::ConsumerGroupHeartbeat, 1, &joined => Beaten).contains("member_epoch: 1")
        );
        let init = init_producer_id::InitProducerIdRequest {
            transactional_id: Some("id".into()),
            transaction_timeout_ms: 1_000,
            ..Default::default()
        };
        let told = ask!(tried, ApiKey::InitProducerId, 4, &init => init_producer_id::InitProducerIdResponse);
        assert!(told.contains("error_code: NONE"), "{told}");

        let groups = list_groups::ListGroupsRequest::default();
        let transactions =
            list_transactions::ListTransactionsRequest { duration_filter: -1, ..Default::default() };
        for (needs, sees_group, sees_id) in [
            (&[][..], false, false),
            (&[group(Describe)], true, false),
            (&[cluster(Describe)], true, false),
            (&[id(Describe)], false, true),
        ] {
            tried.rights(needs);
            let told = ask!(tried, ApiKey::ListGroups, 4, &groups => list_groups::ListGroupsResponse);
            assert_eq!(told.contains("\"g\""), sees_group, "{needs:?}: {told}");
            let told = ask!(tried, ApiKey::ListTransactions,
                    1,
                    &transactions => list_transactions::ListTransactionsResponse);
            assert_eq!(told.contains("\"id\""), sees_id, "{needs:?}: {told}");
        }

        let describe = consumer_group_describe::ConsumerGroupDescribeRequest {
            group_ids: vec!["g".into()],
            ..Default::default()
        };
        type Described<'a> = consumer_group_describe::ConsumerGroupDescribeResponse<'a>;
        tried.rights(&[group(Describe)]);
        let told = ask!(tried, ApiKey::ConsumerGroupDescribe, 1, &describe => Described);
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED") && !told.contains("\"m\""), "{told}");
        tried.rights(&[group(Describe), topic(Describe)]);
        assert!(ask!(tried, ApiKey::ConsumerGroupDescribe, 1, &describe => Described).contains("\"m\""));
    });
}

#[test]
fn an_expression_stands_for_topics_that_its_member_sees() {
    run(async {
        for (needs, partitions) in [(&[group(Read)][..], 0), (&[group(Read), topic(Describe)], 1)] {
            let tried = Tried::new(&["group.consumer.assignment.interval.ms=0"]);
            tried.rights(needs);
            type Beaten<'a> = consumer_group_heartbeat::ConsumerGroupHeartbeatResponse<'a>;
            let told = ask!(tried, ApiKey::ConsumerGroupHeartbeat, 1, &beat(None) => Beaten);
            assert_eq!(told.matches("partitions: [0]").count(), partitions, "{told}");
        }
    });
}

#[test]
fn an_expression_follows_the_rights_of_those_who_ask() {
    run(async {
        let tried = Tried::new(&[
            "group.consumer.assignment.interval.ms=0",
            "group.consumer.migration.policy=bidirectional",
        ]);
        type Beaten<'a> = consumer_group_heartbeat::ConsumerGroupHeartbeatResponse<'a>;
        tried.rights(&[group(Read)]);
        let told = ask!(tried, ApiKey::ConsumerGroupHeartbeat, 1, &beat(None) => Beaten);
        assert!(told.contains("member_epoch: 1"), "{told}");

        // Somebody else makes the group look at the topics again, with no more rights.
        tried.broker.create_topic(CreateTopic::with_defaults("u")).unwrap();
        let request = join_group::JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![join_group::JoinGroupRequestProtocol {
                name: "range".into(),
                // Version 0: no topics, no data.
                metadata: b"\0\0\0\0\0\0\xff\xff\xff\xff"[..].into(),
            }],
            ..Default::default()
        };
        let told = ask!(tried, ApiKey::JoinGroup, 3, &request => join_group::JoinGroupResponse);
        assert!(told.contains("error_code: NONE"), "{told}");
        let describe = consumer_group_describe::ConsumerGroupDescribeRequest {
            group_ids: vec!["g".into()],
            ..Default::default()
        };
        type Described<'a> = consumer_group_describe::ConsumerGroupDescribeResponse<'a>;
        tried.rights(&[group(Describe), topic(Describe)]);
        let told = ask!(tried, ApiKey::ConsumerGroupDescribe, 1, &describe => Described);
        assert!(told.contains("\"m\"") && !told.contains("partitions: [0]"), "{told}");

        // With the rights the topics come and go.
        let mut epoch = 1;
        for (needs, partitions) in [(&[group(Read), topic(Describe)][..], 1), (&[group(Read)], 0)] {
            tried.rights(needs);
            let mut told = String::new();
            for _ in 0..3 {
                let request = consumer_group_heartbeat::ConsumerGroupHeartbeatRequest {
                    member_epoch: epoch,
                    rebalance_timeout_ms: -1,
                    subscribed_topic_regex: None,
                    topic_partitions: None,
                    ..beat(None)
                };
                let answer = ask!(tried, ApiKey::ConsumerGroupHeartbeat, 1, &request => Beaten);
                epoch = answer
                    .split("member_epoch: ")
                    .nth(1)
                    .unwrap()
                    .split(',')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                if answer.contains("assignment: Some") {
                    told = answer;
                }
            }
            assert!(told.contains("assignment: Some"), "{needs:?} changed nothing");
            assert_eq!(told.matches("partitions: [0]").count(), partitions, "{told}");
        }
    });
}

#[test]
fn every_other_api_needs_the_rights_that_kafka_asks_for() {
    run(async {
        let tried =
            Tried::new(&["transaction.two.phase.commit.enable=true", "unstable.api.versions.enable=true"]);
        let (t, g, tid) = (|| Str::Borrowed("t"), || Str::Borrowed("g"), || Str::Borrowed("id"));
        let offsets = || {
            vec![offset_commit::OffsetCommitRequestTopic {
                name: t(),
                partitions: vec![offset_commit::OffsetCommitRequestPartition::default()],
                ..Default::default()
            }]
        };
        let looked_up = |topics| offset_fetch::OffsetFetchRequest {
            groups: vec![offset_fetch::OffsetFetchRequestGroup {
                group_id: g(),
                topics,
                ..Default::default()
            }],
            ..Default::default()
        };
        let added = |transactions| add_partitions_to_txn::AddPartitionsToTxnRequest {
            transactions,
            v3_and_below_transactional_id: tid(),
            v3_and_below_topics: vec![add_partitions_to_txn::AddPartitionsToTxnTopic {
                name: t(),
                partitions: vec![0],
            }],
            ..Default::default()
        };
        let new_id = |enable2_pc| init_producer_id::InitProducerIdRequest {
            transactional_id: Some(tid()),
            transaction_timeout_ms: 1_000,
            enable2_pc,
            ..Default::default()
        };
        let no_id = || init_producer_id::InitProducerIdRequest { transactional_id: None, ..new_id(false) };
        let markers = || write_txn_markers::WriteTxnMarkersRequest {
            markers: vec![write_txn_markers::WritableTxnMarker {
                topics: vec![write_txn_markers::WritableTxnMarkerTopic {
                    name: "none".into(),
                    partition_indexes: vec![0],
                }],
                ..Default::default()
            }],
        };
        let epochs = || offset_for_leader_epoch::OffsetForLeaderEpochRequest {
            topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
                topic: t(),
                partitions: vec![offset_for_leader_epoch::OffsetForLeaderPartition::default()],
            }],
            ..Default::default()
        };
        let created = || create_topics::CreateTopicsRequest {
            topics: vec![create_topics::CreatableTopic {
                name: "none".into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            validate_only: true,
            ..Default::default()
        };
        let deleted =
            || delete_topics::DeleteTopicsRequest { topic_names: vec!["none".into()], ..Default::default() };
        let none =
            |operation| Need(right(operation, ResourceType::Topic, "none"), "TOPIC_AUTHORIZATION_FAILED");
        let described = |resource_type, name: &'static str| describe_configs::DescribeConfigsRequest {
            resources: vec![describe_configs::DescribeConfigsResource {
                resource_type,
                resource_name: name.into(),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let altered = |resource_type, name: &'static str| alter_configs::AlterConfigsRequest {
            resources: vec![alter_configs::AlterConfigsResource {
                resource_type,
                resource_name: name.into(),
                configs: Vec::new(),
            }],
            validate_only: true,
        };
        let changed =
            |resource_type, name: &'static str| incremental_alter_configs::IncrementalAlterConfigsRequest {
                resources: vec![incremental_alter_configs::AlterConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    configs: Vec::new(),
                }],
                validate_only: true,
            };
        let sought = |key_type, key: &'static str| find_coordinator::FindCoordinatorRequest {
            key: key.into(),
            key_type,
            coordinator_keys: vec![key.into()],
        };
        each! { tried,
            ListOffsets 7: list_offsets::ListOffsetsRequest {
                topics: vec![list_offsets::ListOffsetsTopic { name: t(), partitions: vec![list_offsets::ListOffsetsPartition::default()] }],
                ..Default::default()
            }, [topic(Describe)] => list_offsets::ListOffsetsResponse,
            OffsetForLeaderEpoch 3: epochs(), [topic(Describe)] => offset_for_leader_epoch::OffsetForLeaderEpochResponse,
            OffsetForLeaderEpoch 3: epochs(), [cluster(ClusterAction).or("TOPIC_AUTHORIZATION_FAILED")] => offset_for_leader_epoch::OffsetForLeaderEpochResponse,
            DeleteRecords 2: delete_records::DeleteRecordsRequest {
                topics: vec![delete_records::DeleteRecordsTopic { name: t(), partitions: vec![delete_records::DeleteRecordsPartition::default()] }],
                ..Default::default()
            }, [topic(Delete)] => delete_records::DeleteRecordsResponse,
            FindCoordinator 3: sought(0, "g"), [group(Describe)] => find_coordinator::FindCoordinatorResponse,
            FindCoordinator 4: sought(0, "g"), [group(Describe)] => find_coordinator::FindCoordinatorResponse,
            FindCoordinator 4: sought(1, "id"), [id(Describe)] => find_coordinator::FindCoordinatorResponse,
            JoinGroup 5: join_group::JoinGroupRequest { group_id: g(), ..Default::default() }, [group(Read)] => join_group::JoinGroupResponse,
            SyncGroup 4: sync_group::SyncGroupRequest { group_id: g(), ..Default::default() }, [group(Read)] => sync_group::SyncGroupResponse,
            Heartbeat 4: heartbeat::HeartbeatRequest { group_id: g(), ..Default::default() }, [group(Read)] => heartbeat::HeartbeatResponse,
            LeaveGroup 2: leave_group::LeaveGroupRequest { group_id: g(), ..Default::default() }, [group(Read)] => leave_group::LeaveGroupResponse,
            LeaveGroup 4: leave_group::LeaveGroupRequest { group_id: g(), ..Default::default() }, [group(Read)] => leave_group::LeaveGroupResponse,
            OffsetCommit 8: offset_commit::OffsetCommitRequest { group_id: g(), generation_id_or_member_epoch: -1, topics: offsets(), ..Default::default() },
                [group(Read), topic(Read)] => offset_commit::OffsetCommitResponse,
            OffsetFetch 1: offset_fetch::OffsetFetchRequest {
                group_id: g(),
                topics: Some(vec![offset_fetch::OffsetFetchRequestTopic { name: t(), partition_indexes: vec![0] }]),
                ..Default::default()
            }, [group(Describe), topic(Describe)] => offset_fetch::OffsetFetchResponse,
            OffsetFetch 8: looked_up(Some(vec![offset_fetch::OffsetFetchRequestTopics { name: t(), partition_indexes: vec![0], ..Default::default() }])),
                [group(Describe), topic(Describe)] => offset_fetch::OffsetFetchResponse,
            OffsetFetch 8: looked_up(None), [group(Describe)] => offset_fetch::OffsetFetchResponse,
            OffsetDelete 0: offset_delete::OffsetDeleteRequest {
                group_id: g(),
                topics: vec![offset_delete::OffsetDeleteRequestTopic {
                    name: t(),
                    partitions: vec![offset_delete::OffsetDeleteRequestPartition { partition_index: 0 }],
                }],
            }, [group(Delete), topic(Read)] => offset_delete::OffsetDeleteResponse,
            DescribeGroups 5: describe_groups::DescribeGroupsRequest { groups: vec![g()], ..Default::default() }, [group(Describe)] => describe_groups::DescribeGroupsResponse,
            DeleteGroups 2: delete_groups::DeleteGroupsRequest { groups_names: vec![g()] }, [group(Delete)] => delete_groups::DeleteGroupsResponse,
            ConsumerGroupHeartbeat 1: beat(Some("t")), [group(Read), topic(Describe)] => consumer_group_heartbeat::ConsumerGroupHeartbeatResponse,
            ConsumerGroupDescribe 1: consumer_group_describe::ConsumerGroupDescribeRequest { group_ids: vec![g()], ..Default::default() },
                [group(Describe), topic(Describe)] => consumer_group_describe::ConsumerGroupDescribeResponse,
            InitProducerId 4: new_id(false), [id(Write)] => init_producer_id::InitProducerIdResponse,
            InitProducerId 6: new_id(true), [id(Write), id(Operation::TwoPhaseCommit)] => init_producer_id::InitProducerIdResponse,
            InitProducerId 4: no_id(), [topic(Write).or("CLUSTER_AUTHORIZATION_FAILED")] => init_producer_id::InitProducerIdResponse,
            InitProducerId 4: no_id(), [cluster(IdempotentWrite)] => init_producer_id::InitProducerIdResponse,
            AddPartitionsToTxn 3: added(Vec::new()), [id(Write), topic(Write)] => add_partitions_to_txn::AddPartitionsToTxnResponse,
            AddPartitionsToTxn 4: added(vec![add_partitions_to_txn::AddPartitionsToTxnTransaction { transactional_id: tid(), ..Default::default() }]),
                [cluster(ClusterAction)] => add_partitions_to_txn::AddPartitionsToTxnResponse,
            AddOffsetsToTxn 3: add_offsets_to_txn::AddOffsetsToTxnRequest { transactional_id: tid(), group_id: g(), ..Default::default() },
                [id(Write), group(Read)] => add_offsets_to_txn::AddOffsetsToTxnResponse,
            EndTxn 3: end_txn::EndTxnRequest { transactional_id: tid(), ..Default::default() }, [id(Write)] => end_txn::EndTxnResponse,
            TxnOffsetCommit 3: txn_offset_commit::TxnOffsetCommitRequest {
                transactional_id: tid(),
                group_id: g(),
                topics: vec![txn_offset_commit::TxnOffsetCommitRequestTopic {
                    name: t(),
                    partitions: vec![txn_offset_commit::TxnOffsetCommitRequestPartition::default()],
                    ..Default::default()
                }],
                ..Default::default()
            }, [id(Write), group(Read), topic(Read)] => txn_offset_commit::TxnOffsetCommitResponse,
            WriteTxnMarkers 1: markers(), [cluster(Alter)] => write_txn_markers::WriteTxnMarkersResponse,
            WriteTxnMarkers 1: markers(), [cluster(ClusterAction)] => write_txn_markers::WriteTxnMarkersResponse,
            DescribeProducers 0: describe_producers::DescribeProducersRequest {
                topics: vec![describe_producers::TopicRequest { name: t(), partition_indexes: vec![0] }],
            }, [topic(Read)] => describe_producers::DescribeProducersResponse,
            DescribeTransactions 0: describe_transactions::DescribeTransactionsRequest { transactional_ids: vec![tid()] },
                [id(Describe)] => describe_transactions::DescribeTransactionsResponse,
            CreateTopics 7: created(), [none(Create), none(DescribeConfigs)] => create_topics::CreateTopicsResponse,
            CreateTopics 7: created(), [cluster(Create).or("TOPIC_AUTHORIZATION_FAILED"), none(DescribeConfigs)] => create_topics::CreateTopicsResponse,
            DeleteTopics 5: deleted(), [none(Delete)] => delete_topics::DeleteTopicsResponse,
            DeleteTopics 5: deleted(), [cluster(Delete).or("TOPIC_AUTHORIZATION_FAILED")] => delete_topics::DeleteTopicsResponse,
            CreatePartitions 3: create_partitions::CreatePartitionsRequest {
                topics: vec![create_partitions::CreatePartitionsTopic { name: t(), count: 1, assignments: None }],
                ..Default::default()
            }, [topic(Alter)] => create_partitions::CreatePartitionsResponse,
            DescribeConfigs 4: described(2, "t"), [topic(DescribeConfigs)] => describe_configs::DescribeConfigsResponse,
            DescribeConfigs 4: described(32, "g"), [group(DescribeConfigs)] => describe_configs::DescribeConfigsResponse,
            DescribeConfigs 4: described(4, "0"), [cluster(DescribeConfigs)] => describe_configs::DescribeConfigsResponse,
            DescribeConfigs 4: described(8, "0"), [cluster(DescribeConfigs)] => describe_configs::DescribeConfigsResponse,
            DescribeConfigs 4: described(16, "m"), [cluster(DescribeConfigs)] => describe_configs::DescribeConfigsResponse,
            AlterConfigs 2: altered(2, "t"), [topic(AlterConfigs)] => alter_configs::AlterConfigsResponse,
            AlterConfigs 2: altered(32, "g"), [group(AlterConfigs)] => alter_configs::AlterConfigsResponse,
            AlterConfigs 2: altered(4, "0"), [cluster(AlterConfigs)] => alter_configs::AlterConfigsResponse,
            IncrementalAlterConfigs 1: changed(2, "t"), [topic(AlterConfigs)] => incremental_alter_configs::IncrementalAlterConfigsResponse,
            IncrementalAlterConfigs 1: changed(32, "g"), [group(AlterConfigs)] => incremental_alter_configs::IncrementalAlterConfigsResponse,
            IncrementalAlterConfigs 1: changed(8, "0"), [cluster(AlterConfigs)] => incremental_alter_configs::IncrementalAlterConfigsResponse,
            IncrementalAlterConfigs 1: changed(16, "m"), [cluster(AlterConfigs)] => incremental_alter_configs::IncrementalAlterConfigsResponse,
            ListConfigResources 1: list_config_resources::ListConfigResourcesRequest::default(), [cluster(DescribeConfigs)] => list_config_resources::ListConfigResourcesResponse,
            DescribeAcls 3: describe_acls::DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            }, [cluster(Describe)] => describe_acls::DescribeAclsResponse,
            CreateAcls 3: create_acls::CreateAclsRequest { creations: vec![create_acls::AclCreation::default()] }, [cluster(Alter)] => create_acls::CreateAclsResponse,
            DeleteAcls 3: delete_acls::DeleteAclsRequest { filters: vec![delete_acls::DeleteAclsFilter::default()] }, [cluster(Alter)] => delete_acls::DeleteAclsResponse,
            DescribeClientQuotas 1: describe_client_quotas::DescribeClientQuotasRequest::default(), [cluster(DescribeConfigs)] => describe_client_quotas::DescribeClientQuotasResponse,
            AlterClientQuotas 1: alter_client_quotas::AlterClientQuotasRequest {
                entries: vec![alter_client_quotas::EntryData::default()],
                ..Default::default()
            }, [cluster(AlterConfigs)] => alter_client_quotas::AlterClientQuotasResponse,
            DescribeUserScramCredentials 0: describe_user_scram_credentials::DescribeUserScramCredentialsRequest::default(),
                [cluster(Describe)] => describe_user_scram_credentials::DescribeUserScramCredentialsResponse,
            AlterUserScramCredentials 0: alter_user_scram_credentials::AlterUserScramCredentialsRequest {
                deletions: vec![alter_user_scram_credentials::ScramCredentialDeletion { name: "a".into(), mechanism: 1 }],
                ..Default::default()
            }, [cluster(Alter)] => alter_user_scram_credentials::AlterUserScramCredentialsResponse,
            UpdateFeatures 1: update_features::UpdateFeaturesRequest::default(), [cluster(Alter)] => update_features::UpdateFeaturesResponse,
            DescribeQuorum 1: describe_quorum::DescribeQuorumRequest::default(), [cluster(Describe)] => describe_quorum::DescribeQuorumResponse,
            DescribeLogDirs 4: describe_log_dirs::DescribeLogDirsRequest::default(), [cluster(Describe)] => describe_log_dirs::DescribeLogDirsResponse,
            AlterReplicaLogDirs 2: alter_replica_log_dirs::AlterReplicaLogDirsRequest {
                dirs: vec![alter_replica_log_dirs::AlterReplicaLogDir {
                    path: "/elsewhere".into(),
                    topics: vec![alter_replica_log_dirs::AlterReplicaLogDirTopic { name: t(), partitions: vec![0] }],
                }],
            }, [cluster(Alter)] => alter_replica_log_dirs::AlterReplicaLogDirsResponse,
            ElectLeaders 2: elect_leaders::ElectLeadersRequest {
                topic_partitions: Some(vec![elect_leaders::TopicPartitions { topic: t(), partitions: vec![0] }]),
                ..Default::default()
            }, [cluster(Alter)] => elect_leaders::ElectLeadersResponse,
            AlterPartitionReassignments 0: alter_partition_reassignments::AlterPartitionReassignmentsRequest {
                topics: vec![alter_partition_reassignments::ReassignableTopic {
                    name: t(),
                    partitions: vec![alter_partition_reassignments::ReassignablePartition { partition_index: 0, replicas: None }],
                }],
                ..Default::default()
            }, [cluster(Alter)] => alter_partition_reassignments::AlterPartitionReassignmentsResponse,
            ListPartitionReassignments 0: list_partition_reassignments::ListPartitionReassignmentsRequest::default(),
                [cluster(Describe)] => list_partition_reassignments::ListPartitionReassignmentsResponse,
        }
    });
}

#[test]
fn every_api_is_asked_with_different_rights() {
    ASKED.with_borrow_mut(BTreeMap::clear);
    // What these ask is counted, not what their names say.
    for test in [
        records_are_for_those_who_may_write_and_read_them,
        unseen_topics_are_left_out_and_not_created,
        clients_are_told_what_they_may_do,
        lists_have_only_what_may_be_seen,
        every_other_api_needs_the_rights_that_kafka_asks_for,
    ] {
        test();
    }
    let for_everyone = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
    let asked = ASKED.take();
    let tried = asked.into_iter().filter(|(_, rights)| rights.len() > 1).map(|(api, _)| api);
    let tried: BTreeSet<i16> = tried.chain(for_everyone.map(ApiKey::key)).collect();
    let served: BTreeSet<i16> = table().iter().map(|row| row.key.key()).collect();
    assert_eq!(tried, served, "an API without a test of its rights");
}
