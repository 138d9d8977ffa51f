//! The APIs of consumer groups (KIP-848), against a broker in memory.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::consumer_group_describe::ConsumerGroupDescribeRequest;
use quipu_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use quipu_protocol::message::delete_groups::DeleteGroupsRequest;
use quipu_protocol::message::describe_groups::DescribeGroupsRequest;
use quipu_protocol::message::list_groups::ListGroupsRequest;
use quipu_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use super::tests::{join, open, with_broker};
use super::*;
use crate::api::offsets::offset_commit;
use crate::broker::{Broker, CreateTopic};
use quipu_storage::disk::MemoryDisk;

fn joining() -> ConsumerGroupHeartbeatRequest<'static> {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn quiet(epoch: i32) -> ConsumerGroupHeartbeatRequest<'static> {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        member_epoch: epoch,
        ..Default::default()
    }
}

async fn beat(
    broker: &Arc<Broker>,
    request: ConsumerGroupHeartbeatRequest<'static>,
) -> ConsumerGroupHeartbeatResponse<'static> {
    consumer_group_heartbeat(&Context::of_test(broker, 1), request).await
}

#[test]
fn a_member_joins_is_shown_and_leaves() {
    with_broker(|broker| async move {
        let joined = beat(&broker, joining()).await;
        assert_eq!((joined.error_code, joined.member_epoch), (ErrorCode::NONE, 1));
        assert_eq!(joined.heartbeat_interval_ms, 5_000);
        assert_eq!(joined.assignment.unwrap().topic_partitions[0].partitions, [0, 1]);

        let request = ConsumerGroupDescribeRequest {
            group_ids: vec!["g".into(), "none".into()],
            include_authorized_operations: false,
        };
        let shown = consumer_group_describe(&Context::of_test(&broker, 1), request).await.groups;
        assert_eq!((&*shown[0].group_state, &*shown[0].assignor_name), ("Stable", "uniform"));
        let member = &shown[0].members[0];
        assert_eq!((&*member.member_id, member.member_epoch, member.member_type), ("m", 1, 1));
        assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
        assert_eq!(member.assignment, member.target_assignment);
        assert_eq!(shown[1].error_code, ErrorCode::GROUP_ID_NOT_FOUND);
        assert_eq!(shown[1].error_message.as_deref(), Some("Group none not found."));

        // To tools and clients of the classic protocol it is not theirs.
        let request = DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() };
        let classic = describe_groups(&Context::of_test(&broker, 6), request).await.groups;
        assert_eq!(classic[0].error_code, ErrorCode::GROUP_ID_NOT_FOUND);
        // What it says as a consumer is read once it has an id, and cannot be read.
        assert_eq!(join(&broker, 9, "").await.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        assert_eq!(join(&broker, 9, "n").await.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);

        let of_type =
            |kind: &'static str| ListGroupsRequest { types_filter: vec![kind.into()], ..Default::default() };
        let listed = list_groups(&Context::of_test(&broker, 5), of_type("Consumer")).await.groups;
        assert_eq!((&*listed[0].group_type, &*listed[0].group_state), ("consumer", "Stable"));
        assert!(list_groups(&Context::of_test(&broker, 5), of_type("classic")).await.groups.is_empty());

        let delete = || DeleteGroupsRequest { groups_names: vec!["g".into()] };
        let refused = delete_groups(&Context::of_test(&broker, 2), delete()).await.results;
        assert_eq!(refused[0].error_code, ErrorCode::NON_EMPTY_GROUP);
        let left = beat(&broker, quiet(-1)).await;
        assert_eq!((left.error_code, left.member_epoch), (ErrorCode::NONE, -1));
        let deleted = delete_groups(&Context::of_test(&broker, 2), delete()).await.results;
        assert_eq!(deleted[0].error_code, ErrorCode::NONE);
        assert!(
            list_groups(&Context::of_test(&broker, 5), ListGroupsRequest::default()).await.groups.is_empty()
        );
    });
}

/// What OffsetCommit tells the member of these partitions, by name up to version 9 and by id from version 10.
async fn commit(broker: &Arc<Broker>, version: i16, epoch: i32, partitions: &[i32]) -> Vec<ErrorCode> {
    let topic_id = broker.topics.by_name("t").unwrap().id();
    let partition = |&partition_index: &i32| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1,
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: if version < 10 { "t".into() } else { "".into() },
        topic_id: if version < 10 { Default::default() } else { topic_id },
        partitions: partitions.iter().map(partition).collect(),
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: epoch,
        member_id: "m".into(),
        topics: vec![topic],
        ..Default::default()
    };
    let answer = offset_commit(&Context::of_test(broker, version), request).await;
    answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect()
}

#[test]
fn o1_offsets_are_committed_in_an_older_epoch_by_name_and_by_id() {
    with_broker(|broker| async move {
        beat(&broker, joining()).await;
        beat(&broker, ConsumerGroupHeartbeatRequest { member_id: "n".into(), ..joining() }).await;
        let kept = beat(&broker, quiet(1)).await.assignment.unwrap().topic_partitions;
        let (kept_one, other) = (kept[0].partitions[0], 1 - kept[0].partitions[0]);
        let owned = kept
            .into_iter()
            .map(|topic| TopicPartitions { topic_id: topic.topic_id, partitions: topic.partitions });
        let revoked = ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned.collect()), ..quiet(1) };
        assert_eq!(beat(&broker, revoked).await.member_epoch, 2);
        let stale = ErrorCode::STALE_MEMBER_EPOCH;
        for version in [9, 10] {
            assert_eq!(commit(&broker, version, 1, &[kept_one]).await, [ErrorCode::NONE]);
            assert_eq!(commit(&broker, version, 1, &[other]).await, [stale]);
            // One refuses all, but what does not exist is called so.
            let all = commit(&broker, version, 1, &[kept_one, 7, other]).await;
            assert_eq!(all, [stale, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, stale]);
            assert_eq!(commit(&broker, version, 0, &[kept_one]).await, [stale]);
        }
        assert_eq!(commit(&broker, 8, 1, &[kept_one]).await, [ErrorCode::UNSUPPORTED_VERSION]);
    });
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    with_broker(|broker| async move {
        let anything = ConsumerGroupHeartbeatRequest::default;
        let somewhere = vec![TopicPartitions { topic_id: Default::default(), partitions: vec![0] }];
        for (request, code) in [
            (anything(), ErrorCode::INVALID_REQUEST),
            (ConsumerGroupHeartbeatRequest { group_id: "".into(), ..joining() }, ErrorCode::INVALID_REQUEST),
            (
                ConsumerGroupHeartbeatRequest { instance_id: Some("".into()), ..joining() },
                ErrorCode::INVALID_REQUEST,
            ),
            (
                ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..joining() },
                ErrorCode::INVALID_REQUEST,
            ),
            (
                ConsumerGroupHeartbeatRequest { topic_partitions: Some(somewhere), ..joining() },
                ErrorCode::INVALID_REQUEST,
            ),
            (
                ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..joining() },
                ErrorCode::INVALID_REQUEST,
            ),
            (quiet(-2), ErrorCode::INVALID_REQUEST),
            (quiet(-3), ErrorCode::INVALID_REQUEST),
            (
                ConsumerGroupHeartbeatRequest { server_assignor: Some("sticky".into()), ..joining() },
                ErrorCode::UNSUPPORTED_ASSIGNOR,
            ),
            (
                ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("(".into()), ..joining() },
                ErrorCode::INVALID_REGULAR_EXPRESSION,
            ),
            (quiet(1), ErrorCode::GROUP_ID_NOT_FOUND),
        ] {
            let answer = beat(&broker, request.clone()).await;
            assert_eq!(answer.error_code, code, "{request:?}");
            assert!(answer.error_message.is_some());
        }
        assert_eq!(broker.groups.count(), 0);
    });
}

#[test]
fn the_oldest_version_may_leave_the_id_to_us() {
    with_broker(|broker| async move {
        let request = ConsumerGroupHeartbeatRequest { member_id: "".into(), ..joining() };
        let joined = consumer_group_heartbeat(&Context::of_test(&broker, 0), request).await;
        assert_eq!(joined.error_code, ErrorCode::NONE);
        assert!(joined.member_id.is_some_and(|id| !id.is_empty()));
    });
}

#[tokio::test]
async fn g7_members_go_on_after_a_restart() {
    let disk = Arc::new(MemoryDisk::new());
    let broker = open(&disk);
    broker.create_topic(CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults("t") }).unwrap();
    assert_eq!(beat(&broker, joining()).await.member_epoch, 1);
    drop(broker);
    let broker = open(&disk);
    let answer = beat(&broker, quiet(1)).await;
    assert_eq!((answer.error_code, answer.member_epoch), (ErrorCode::NONE, 1));
    assert_eq!(answer.assignment, None);
}
