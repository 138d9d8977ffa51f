//! Where replicas are and who leads them: ElectLeaders (key 43), AlterPartitionReassignments (key 45),
//! ListPartitionReassignments (key 46).
//!
//! With one node every partition has its one replica there, which leads: elections are not needed, reassignments are
//! either what is already so or impossible, and none is ever under way. The answers say so, per partition, in Kafka's
//! codes.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use quipu_protocol::message::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use quipu_protocol::message::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, OngoingPartitionReassignment,
    OngoingTopicReassignment,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::security::acl::Operation;
use crate::topic::Topic;

/// `ElectionType`: the preferred replica, or any that is alive.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// Elects leaders (versions 0–2): never needed.
pub async fn elect_leaders<'a>(
    cx: &Context<'_>,
    request: ElectLeadersRequest<'a>,
) -> ElectLeadersResponse<'a> {
    let permitted = cx.permit_on_cluster(Operation::Alter);
    let is_known = ELECTION_TYPES.contains(&request.election_type);
    let error_code = match permitted {
        Ok(()) if is_known => ErrorCode::NONE,
        Ok(()) => ErrorCode::INVALID_REQUEST,
        Err(code) => code,
    };
    let Some(asked) = request.topic_partitions else {
        // Asked for all partitions, Kafka names every topic, and those of its partitions where something happened.
        let nothing_happened = |topic: &std::sync::Arc<Topic>| ReplicaElectionResult {
            topic: Str::Owned(topic.name().to_string()),
            partition_result: Vec::new(),
        };
        let all = cx.broker.topics.all();
        let replica_election_results =
            all.iter().filter(|_| error_code.is_none()).map(nothing_happened).collect();
        return ElectLeadersResponse { error_code, replica_election_results, ..Default::default() };
    };
    let replica_election_results = asked
        .into_iter()
        .map(|asked| {
            let partition_result = asked
                .partitions
                .iter()
                .map(|partition_id| {
                    let (error_code, why) = match exists(cx, &asked.topic, *partition_id) {
                        _ if permitted.is_err() => (error_code, permission::message(error_code)),
                        _ if !is_known => (ErrorCode::INVALID_REQUEST, "there is no such type of election"),
                        true => (ErrorCode::ELECTION_NOT_NEEDED, "the one replica leads already"),
                        false => (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"),
                    };
                    PartitionResult {
                        partition_id: *partition_id,
                        error_code,
                        error_message: Some(Str::Borrowed(why)),
                    }
                })
                .collect();
            ReplicaElectionResult { topic: asked.topic, partition_result }
        })
        .collect();
    ElectLeadersResponse { error_code, replica_election_results, ..Default::default() }
}

/// Moves replicas (versions 0–1): a partition stays where it is.
pub async fn alter_partition_reassignments<'a>(
    cx: &Context<'_>,
    request: AlterPartitionReassignmentsRequest<'a>,
) -> AlterPartitionReassignmentsResponse<'a> {
    let permitted = cx.permit_on_cluster(Operation::Alter);
    let refusal = permitted.err().map(|code| Str::Borrowed(permission::message(code)));
    let responses = request
        .topics
        .into_iter()
        .map(|topic| {
            let answer = |partition: &ReassignablePartition| match permitted {
                Ok(()) => reassign(cx, &topic.name, partition),
                Err(error_code) => ReassignablePartitionResponse {
                    partition_index: partition.partition_index,
                    error_code,
                    error_message: refusal.clone(),
                },
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            ReassignableTopicResponse { name: topic.name, partitions }
        })
        .collect();
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_code: permitted.err().unwrap_or(ErrorCode::NONE),
        error_message: refusal.clone(),
        responses,
        ..Default::default()
    }
}

fn reassign(
    cx: &Context<'_>,
    topic: &str,
    asked: &ReassignablePartition,
) -> ReassignablePartitionResponse<'static> {
    let node = cx.broker.node_id();
    let (error_code, error_message) = if !exists(cx, topic, asked.partition_index) {
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(Str::Borrowed("there is no such partition")))
    } else {
        match asked.replicas.as_deref() {
            // Null cancels what is under way.
            None => (ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, None),
            Some([only]) if *only == node => (ErrorCode::NONE, None),
            Some(_) => {
                let why = format!("the only broker is {node}; every partition has exactly that replica");
                (ErrorCode::INVALID_REPLICA_ASSIGNMENT, Some(Str::Owned(why)))
            }
        }
    };
    ReassignablePartitionResponse { partition_index: asked.partition_index, error_code, error_message }
}

/// Lists the moves under way (version 0): none.
pub async fn list_partition_reassignments<'a>(
    cx: &Context<'_>,
    request: ListPartitionReassignmentsRequest<'a>,
) -> ListPartitionReassignmentsResponse<'a> {
    let Err(error_code) = cx.permit_on_cluster(Operation::Describe) else {
        return ListPartitionReassignmentsResponse { error_message: None, ..Default::default() };
    };
    // With an error Kafka repeats what it was asked for.
    let asked = |partition_index| OngoingPartitionReassignment { partition_index, ..Default::default() };
    let topics = request.topics.into_iter().flatten().map(|topic| OngoingTopicReassignment {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(asked).collect(),
    });
    ListPartitionReassignmentsResponse {
        error_code,
        error_message: Some(Str::Borrowed(permission::message(error_code))),
        topics: topics.collect(),
        ..Default::default()
    }
}

fn exists(cx: &Context<'_>, topic: &str, partition: i32) -> bool {
    cx.broker.topics.by_name(topic).is_some_and(|topic| topic.partition(partition).is_some())
}
