//! Each API at the versions at which it changes, against a broker in memory.

use std::path::Path;
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::delete_groups::DeleteGroupsRequest;
use quipu_protocol::message::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use quipu_protocol::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use quipu_protocol::message::heartbeat::HeartbeatRequest;
use quipu_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use quipu_protocol::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use quipu_protocol::message::list_groups::ListGroupsRequest;
use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use quipu_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use quipu_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use quipu_protocol::primitives::{Str, Uuid};
use quipu_storage::disk::{Disk, MemoryDisk};

use super::*;
use crate::api::Context;
use crate::api::offsets::{offset_commit, offset_delete, offset_fetch};
use crate::broker::{Broker, CreateTopic};
use crate::clock::Clock;
use crate::config::{Config, TopicConfig};

/// Runs `test` with a broker that has the topic "t" with two partitions.
pub(super) fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Arc<Broker>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = open(&Arc::new(MemoryDisk::new()));
        create(&broker, "t");
        test(broker).await;
    });
}

pub(super) fn open(disk: &Arc<MemoryDisk>) -> Arc<Broker> {
    disk.create_dir_all(Path::new("/data")).unwrap();
    Broker::open(Config::default(), Arc::clone(disk) as _, Path::new("/data"), Clock::manual(0, 1)).unwrap()
}

fn create(broker: &Arc<Broker>, topic: &str) -> Uuid {
    let asked = CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults(topic) };
    broker.create_topic(asked).unwrap().id()
}

pub(super) async fn join(broker: &Arc<Broker>, version: i16, member_id: &str) -> JoinGroupResponse<'static> {
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        member_id: text(member_id),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: b"sub"[..].into() }],
        ..JoinGroupRequest::default()
    };
    join_group(&Context::of_test(broker, version), request).await
}

async fn sync(broker: &Arc<Broker>, version: i16, member_id: &str) -> SyncGroupResponse<'static> {
    let assignment = SyncGroupRequestAssignment { member_id: text(member_id), assignment: b"all"[..].into() };
    let named = version >= 5;
    let request = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: text(member_id),
        protocol_type: named.then(|| "consumer".into()),
        protocol_name: named.then(|| "range".into()),
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    sync_group(&Context::of_test(broker, version), request).await
}

/// Makes "g" a stable group of one; gives its member's id.
async fn stable(broker: &Arc<Broker>) -> String {
    let member_id = join(broker, 3, "").await.member_id;
    assert_eq!(sync(broker, 5, &member_id).await.error_code, ErrorCode::NONE);
    member_id.into_owned()
}

async fn leave<'a>(
    broker: &Arc<Broker>,
    version: i16,
    group_id: &'a str,
    member_id: &'a str,
) -> LeaveGroupResponse<'a> {
    let member = MemberIdentity { member_id: member_id.into(), ..MemberIdentity::default() };
    let request = LeaveGroupRequest {
        group_id: group_id.into(),
        member_id: member_id.into(),
        members: if version >= 3 { vec![member] } else { Vec::new() },
    };
    leave_group(&Context::of_test(broker, version), request).await
}

fn partition(partition_index: i32, committed_offset: i64) -> OffsetCommitRequestPartition<'static> {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_metadata: Some("note".into()),
        ..OffsetCommitRequestPartition::default()
    }
}

/// Commits offset 7 for the partitions of a topic named by name and id.
async fn commit(
    broker: &Arc<Broker>,
    version: i16,
    generation: i32,
    (name, topic_id): (&str, Uuid),
    partitions: &[i32],
) -> Vec<(i32, ErrorCode)> {
    let topic = OffsetCommitRequestTopic {
        name: text(name),
        topic_id,
        partitions: partitions.iter().map(|&index| partition(index, 7)).collect(),
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let response = offset_commit(&Context::of_test(broker, version), request).await;
    let topic = &response.topics[0];
    assert_eq!((&*topic.name, topic.topic_id), (name, topic_id));
    topic.partitions.iter().map(|it| (it.partition_index, it.error_code)).collect()
}

/// Fetches of group "g"; no topics mean all.
async fn fetch(
    broker: &Arc<Broker>,
    version: i16,
    topic: Option<(&str, Uuid, &[i32])>,
) -> OffsetFetchResponse<'static> {
    let request = if version < 8 {
        let topics = topic.map(|(name, _, partitions)| {
            vec![OffsetFetchRequestTopic { name: text(name), partition_indexes: partitions.to_vec() }]
        });
        OffsetFetchRequest { group_id: "g".into(), topics, ..OffsetFetchRequest::default() }
    } else {
        let topics = topic.map(|(name, topic_id, partitions)| {
            vec![OffsetFetchRequestTopics {
                name: text(name),
                topic_id,
                partition_indexes: partitions.to_vec(),
            }]
        });
        let group =
            OffsetFetchRequestGroup { group_id: "g".into(), topics, ..OffsetFetchRequestGroup::default() };
        OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() }
    };
    offset_fetch(&Context::of_test(broker, version), request).await
}

async fn described(broker: &Arc<Broker>, version: i16, with_operations: bool) -> DescribedGroup<'static> {
    let request =
        DescribeGroupsRequest { groups: vec!["g".into()], include_authorized_operations: with_operations };
    describe_groups(&Context::of_test(broker, version), request).await.groups.remove(0)
}

async fn listed(broker: &Arc<Broker>, states: &[&'static str], types: &[&'static str]) -> Vec<String> {
    let names = |filter: &[&'static str]| filter.iter().map(|name| Str::Borrowed(*name)).collect();
    let request = ListGroupsRequest { states_filter: names(states), types_filter: names(types) };
    let response = list_groups(&Context::of_test(broker, 5), request).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.groups.into_iter().map(|group| group.group_id.into_owned()).collect()
}

async fn delete(broker: &Arc<Broker>) -> (ErrorCode, bool) {
    let request = DeleteGroupsRequest { groups_names: vec!["g".into()] };
    let result = delete_groups(&Context::of_test(broker, 3), request).await.results.remove(0);
    (result.error_code, result.error_message.is_some())
}

#[test]
fn join_answers_in_the_manner_of_its_version() {
    with_broker(|broker| async move {
        let refused = join(&broker, 0, "stranger").await;
        assert_eq!(refused.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
        assert_eq!(refused.protocol_name.as_deref(), Some(""), "not nullable yet");
        let refused = join(&broker, 7, "stranger").await;
        assert_eq!(refused.protocol_name, None);

        let id = join(&broker, 4, "").await;
        assert_eq!((id.error_code, id.generation_id), (ErrorCode::MEMBER_ID_REQUIRED, -1));
        assert!(id.member_id.starts_with("client-"));
        let joined = join(&broker, 9, &id.member_id).await;
        assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::NONE, 1));
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.members.len(), 1);
        assert_eq!(&*joined.members[0].metadata, b"sub");
        assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    });
}

#[test]
fn sync_names_its_protocol_from_version_5() {
    with_broker(|broker| async move {
        let member_id = join(&broker, 3, "").await.member_id;
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: member_id.clone(),
            ..SyncGroupRequest::default()
        };
        let refused = sync_group(&Context::of_test(&broker, 5), request.clone()).await;
        assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        let synced = sync(&broker, 5, &member_id).await;
        assert_eq!((synced.error_code, &*synced.assignment), (ErrorCode::NONE, &b"all"[..]));
        assert_eq!(synced.protocol_name.as_deref(), Some("range"));
        let again = sync_group(&Context::of_test(&broker, 0), request).await;
        assert_eq!(&*again.assignment, b"all");
        let beat =
            HeartbeatRequest { group_id: "g".into(), generation_id: 1, member_id, group_instance_id: None };
        assert_eq!(heartbeat(&Context::of_test(&broker, 4), beat).await.error_code, ErrorCode::NONE);
    });
}

#[test]
fn leave_is_one_members_own_before_version_3_and_a_batch_since() {
    with_broker(|broker| async move {
        let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
        for group_id in ["g", "none"] {
            let member_id = if group_id == "g" { stable(&broker).await } else { "x".to_owned() };
            assert_eq!(leave(&broker, 2, group_id, "stranger").await.error_code, unknown);
            let batch = leave(&broker, 3, group_id, "stranger").await;
            assert_eq!((batch.error_code, batch.members[0].error_code), (ErrorCode::NONE, unknown));
            let expected = if group_id == "g" { ErrorCode::NONE } else { unknown };
            assert_eq!(leave(&broker, 5, group_id, &member_id).await.members[0].error_code, expected);
        }
        let refused = leave(&broker, 5, "", "x").await;
        assert_eq!((refused.error_code, refused.members.len()), (ErrorCode::INVALID_GROUP_ID, 0));
    });
}

#[test]
fn a_missing_group_is_dead_before_version_6_and_not_found_since() {
    with_broker(|broker| async move {
        let missing = described(&broker, 5, true).await;
        assert_eq!((missing.error_code, &*missing.group_state), (ErrorCode::NONE, "Dead"));
        let missing = described(&broker, 6, false).await;
        assert_eq!((missing.error_code, &*missing.group_state), (ErrorCode::GROUP_ID_NOT_FOUND, "Dead"));
        assert_eq!(missing.error_message.as_deref(), Some("Group g not found."));

        let member_id = stable(&broker).await;
        let group = described(&broker, 6, true).await;
        assert_eq!((&*group.group_state, &*group.protocol_data), ("Stable", "range"));
        assert_ne!(group.authorized_operations, i32::MIN);
        let member = &group.members[0];
        assert_eq!(member.member_id, member_id);
        assert_eq!((&*member.client_id, &*member.client_host), ("client", "/127.0.0.1"));
        assert_eq!((&*member.member_metadata, &*member.member_assignment), (&b"sub"[..], &b"all"[..]));
        assert_eq!(described(&broker, 2, false).await.authorized_operations, i32::MIN);
    });
}

#[test]
fn groups_are_listed_by_state_and_type_in_any_case() {
    with_broker(|broker| async move {
        stable(&broker).await;
        assert_eq!(listed(&broker, &[], &[]).await, ["g"]);
        assert_eq!(listed(&broker, &["STABLE", "Empty"], &["Classic"]).await, ["g"]);
        assert!(listed(&broker, &["Empty"], &[]).await.is_empty());
        assert!(listed(&broker, &[], &["consumer"]).await.is_empty());
        assert!(listed(&broker, &["no-such-state"], &[]).await.is_empty());
    });
}

#[test]
fn a_group_is_deleted_once_it_is_empty() {
    with_broker(|broker| async move {
        assert_eq!(delete(&broker).await, (ErrorCode::GROUP_ID_NOT_FOUND, true));
        let member_id = stable(&broker).await;
        assert_eq!(delete(&broker).await, (ErrorCode::NON_EMPTY_GROUP, true));
        leave(&broker, 0, "g", &member_id).await;
        assert_eq!(delete(&broker).await, (ErrorCode::NONE, false));
        assert!(listed(&broker, &[], &[]).await.is_empty());
    });
}

#[test]
fn an_offset_is_not_one_of_the_next_topic_of_that_name() {
    with_broker(|broker| async move {
        let old = broker.topics.by_name("t").unwrap();
        assert_eq!(commit(&broker, 10, -1, ("", old.id()), &[0]).await, [(0, ErrorCode::NONE)]);
        assert_eq!(commit(&broker, 9, -1, ("t", Uuid::ZERO), &[1]).await, [(1, ErrorCode::NONE)]);
        let found = |answer: OffsetFetchResponse<'_>| -> Vec<i64> {
            let one = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.committed_offset);
            let batch = answer.groups.iter().flat_map(|group| &group.topics);
            let batch = batch.flat_map(|topic| &topic.partitions).map(|it| it.committed_offset);
            one.chain(batch).collect()
        };
        let of = |id| Some(("t", id, &[0, 1][..]));
        for version in [1, 7, 8, 9, 10] {
            assert_eq!(found(fetch(&broker, version, of(old.id())).await), [7, 7], "version {version}");
        }
        // A moment of a deletion, of which the groups are told last, when the topic has been made again already.
        broker.topics.remove("t");
        let new = Uuid([9; 16]);
        broker.topics.insert("t", new, 2, TopicConfig::clone(&old.config()));
        for version in [1, 7, 8, 9, 10] {
            assert_eq!(found(fetch(&broker, version, of(new)).await), [-1, -1], "version {version}");
            if version > 1 {
                assert!(found(fetch(&broker, version, None).await).is_empty(), "version {version}");
            }
        }
        assert_eq!(commit(&broker, 10, -1, ("", new), &[1]).await, [(1, ErrorCode::NONE)]);
        broker.groups.on_topic_deleted("t", old.id());
        for version in [1, 10] {
            assert_eq!(found(fetch(&broker, version, of(new)).await), [-1, 7], "version {version}");
        }
        assert_eq!(found(fetch(&broker, 10, None).await), [7]);
    });
}

#[test]
fn this_broker_coordinates_groups_and_transactions_but_not_share_groups() {
    with_broker(|broker| async move {
        for (version, key_type, error) in [
            (0, 0, ErrorCode::NONE),
            (3, 1, ErrorCode::NONE),
            (4, 0, ErrorCode::NONE),
            (6, 2, ErrorCode::INVALID_REQUEST),
            (6, 9, ErrorCode::INVALID_REQUEST),
        ] {
            let request = FindCoordinatorRequest {
                key: "g".into(),
                key_type,
                coordinator_keys: vec!["g".into(), "h".into()],
            };
            let FindCoordinatorResponse { error_code, host, port, coordinators, .. } =
                find_coordinator(&Context::of_test(&broker, version), request).await;
            if version < 4 {
                assert_eq!((error_code, &*host, port), (error, "127.0.0.1", 9092));
                continue;
            }
            assert_eq!(coordinators.len(), 2);
            assert!(coordinators.iter().all(|one| one.error_code == error));
            assert_eq!(coordinators[1].key, "h");
            assert_eq!(coordinators[0].port, if error.is_none() { 9092 } else { -1 });
        }
    });
}

#[test]
fn commits_name_topics_by_name_and_since_version_10_by_id() {
    with_broker(|broker| async move {
        let id = broker.topics.by_name("t").unwrap().id();
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let by_name = ("t", Uuid::ZERO);
        let mixed = [(0, ErrorCode::NONE), (2, unknown), (1, ErrorCode::NONE), (-1, unknown)];
        assert_eq!(commit(&broker, 2, -1, by_name, &[0, 2, 1, -1]).await, mixed);
        assert_eq!(commit(&broker, 9, -1, ("nope", Uuid::ZERO), &[0]).await, [(0, unknown)]);
        assert_eq!(commit(&broker, 10, -1, ("", id), &[0, 2, 1, -1]).await, mixed);
        let no_id = [(0, ErrorCode::UNKNOWN_TOPIC_ID)];
        assert_eq!(commit(&broker, 10, -1, ("", Uuid([9; 16])), &[0]).await, no_id);
        assert_eq!(commit(&broker, 10, -1, ("", Uuid::ZERO), &[0]).await, no_id);

        assert_eq!(delete(&broker).await.0, ErrorCode::NONE);
        let old = [(0, ErrorCode::ILLEGAL_GENERATION), (5, unknown)];
        assert_eq!(commit(&broker, 8, 3, by_name, &[0, 5]).await, old);
        assert_eq!(commit(&broker, 9, 3, by_name, &[0]).await, [(0, ErrorCode::GROUP_ID_NOT_FOUND)]);
    });
}

#[test]
fn offsets_are_fetched_of_one_group_or_many_by_name_or_id() {
    with_broker(|broker| async move {
        let id = broker.topics.by_name("t").unwrap().id();
        for version in 1..=7 {
            let response = fetch(&broker, version, Some(("t", Uuid::ZERO, &[0]))).await;
            assert_eq!(response.error_code, ErrorCode::NONE);
            let none = &response.topics[0].partitions[0];
            assert_eq!((none.committed_offset, none.metadata.as_deref()), (-1, Some("")));
        }
        assert_eq!(commit(&broker, 9, -1, ("t", Uuid::ZERO), &[1]).await, [(1, ErrorCode::NONE)]);
        let response = fetch(&broker, 1, Some(("t", Uuid::ZERO, &[0, 1]))).await;
        let offsets: Vec<_> = response.topics[0].partitions.iter().map(|p| p.committed_offset).collect();
        assert_eq!(offsets, [-1, 7]);
        let all = fetch(&broker, 2, None).await;
        assert_eq!((all.topics.len(), all.topics[0].partitions.len()), (1, 1));
        assert_eq!(all.topics[0].partitions[0].metadata.as_deref(), Some("note"));

        let all = fetch(&broker, 8, None).await;
        assert_eq!((&*all.groups[0].group_id, all.groups[0].topics.len()), ("g", 1));
        let all = fetch(&broker, 10, None).await;
        assert_eq!(all.groups[0].topics[0].topic_id, id);
        let one = fetch(&broker, 10, Some(("", id, &[1]))).await;
        assert_eq!(one.groups[0].topics[0].partitions[0].committed_offset, 7);
        let none = fetch(&broker, 10, Some(("", Uuid([9; 16]), &[1]))).await;
        let none = &none.groups[0].topics[0];
        assert_eq!(none.topic_id, Uuid([9; 16]));
        assert_eq!(none.partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
        assert_eq!(none.partitions[0].committed_offset, -1);
    });
}

#[test]
fn an_error_of_the_group_is_told_where_the_version_has_a_place_for_it() {
    with_broker(|broker| async move {
        broker.groups.stop();
        let gone = ErrorCode::COORDINATOR_NOT_AVAILABLE;
        let oldest = fetch(&broker, 1, Some(("t", Uuid::ZERO, &[0]))).await;
        assert_eq!(oldest.topics[0].partitions[0].error_code, gone);
        let old = fetch(&broker, 7, Some(("t", Uuid::ZERO, &[0]))).await;
        assert_eq!((old.error_code, old.topics.len()), (gone, 0));
        let new = fetch(&broker, 8, Some(("t", Uuid::ZERO, &[0]))).await;
        assert_eq!(new.groups[0].error_code, gone);
        assert_eq!(commit(&broker, 9, -1, ("t", Uuid::ZERO), &[0]).await, [(0, gone)]);
        assert_eq!(delete(&broker).await.0, gone);
    });
}

#[test]
fn offsets_are_deleted_partition_by_partition() {
    with_broker(|broker| async move {
        let request = || {
            let topic = |name: &'static str| OffsetDeleteRequestTopic {
                name: name.into(),
                partitions: vec![OffsetDeleteRequestPartition { partition_index: 1 }],
            };
            OffsetDeleteRequest { group_id: "g".into(), topics: vec![topic("nope"), topic("t")] }
        };
        let cx = Context::of_test(&broker, 0);
        assert_eq!(offset_delete(&cx, request()).await.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
        commit(&broker, 9, -1, ("t", Uuid::ZERO), &[0, 1]).await;
        let response = offset_delete(&cx, request()).await;
        let codes: Vec<_> = response.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
        assert_eq!(codes, [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NONE]);
        let left = fetch(&broker, 8, None).await;
        assert_eq!(left.groups[0].topics[0].partitions.len(), 1);
    });
}

#[test]
fn groups_and_offsets_survive_a_restart_and_go_with_their_topic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let disk = Arc::new(MemoryDisk::new());
        let broker = open(&disk);
        create(&broker, "t");
        create(&broker, "u");
        let member_id = stable(&broker).await;
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: 1,
            member_id: text(&member_id),
            topics: ["t", "u"]
                .map(|name| OffsetCommitRequestTopic {
                    name: name.into(),
                    partitions: vec![partition(0, 42)],
                    ..OffsetCommitRequestTopic::default()
                })
                .into(),
            ..OffsetCommitRequest::default()
        };
        let response = offset_commit(&Context::of_test(&broker, 9), request).await;
        assert_eq!(response.topics[1].partitions[0].error_code, ErrorCode::NONE);
        let topic = broker.topics.by_name("u").unwrap();
        broker.delete_topic(&topic).unwrap();
        broker.stop();
        broker.close().unwrap();

        let broker = open(&disk);
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: text(&member_id),
            group_instance_id: None,
        };
        assert_eq!(heartbeat(&Context::of_test(&broker, 4), beat).await.error_code, ErrorCode::NONE);
        assert_eq!(&*sync(&broker, 5, &member_id).await.assignment, b"all");
        let kept = fetch(&broker, 8, None).await;
        let topics = &kept.groups[0].topics;
        assert_eq!((topics.len(), &*topics[0].name), (1, "t"));
        assert_eq!(topics[0].partitions[0].committed_offset, 42);
    });
}
