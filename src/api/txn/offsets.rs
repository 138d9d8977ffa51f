//! TxnOffsetCommit (key 28).

use quipu_protocol::ErrorCode;
use quipu_protocol::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};

use super::{add_group, offsets_partition};
use crate::api::Context;
use crate::api::groups::shared;
use crate::api::offsets::commits::{Asked, Commits};
use crate::coordinator::group::Committer;
use crate::coordinator::group::offsets::CommitRequest;
use crate::coordinator::txn::Begun;
use crate::security::acl::{Operation, ResourceType};

/// First version whose clients know TRANSACTION_ABORTABLE (KIP-890).
const ABORTABLE_SINCE: i16 = 4;
/// First version that adds the group to the transaction (KIP-890).
const IMPLICIT_ADD_SINCE: i16 = 5;
/// First version that names topics by id, and whose clients know GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH (KIP-1319).
const TOPIC_IDS_SINCE: i16 = 6;

/// Commits offsets that count once the producer's transaction is committed (T10).
///
/// Versions 0–6. Version 2 brings leader epochs, version 3 the member for which the producer works (KIP-447); from
/// version 5 the group need not have been added to the transaction before, from version 6 topics go by their ids.
pub async fn txn_offset_commit<'a>(
    cx: &Context<'_>,
    request: TxnOffsetCommitRequest<'a>,
) -> TxnOffsetCommitResponse<'a> {
    let permitted = cx
        .permit(Operation::Write, ResourceType::TransactionalId, &request.transactional_id)
        .and_then(|()| cx.permit(Operation::Read, ResourceType::Group, &request.group_id));
    let mut commits = Commits::new(permitted);
    for topic in &request.topics {
        let id = (cx.version >= TOPIC_IDS_SINCE).then_some(topic.topic_id);
        let partitions = topic.partitions.iter().map(|partition| Asked {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        });
        commits.topic(cx, &topic.name, id, partitions);
    }
    let requests = std::mem::take(&mut commits.requests);
    let decided = if requests.is_empty() { Ok(Vec::new()) } else { commit(cx, &request, requests).await };
    let codes = commits.codes(decided);
    let topics = request.topics.into_iter().zip(codes).map(|(topic, codes)| TxnOffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .zip(codes)
            .map(|(partition, code)| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code,
            })
            .collect(),
    });
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

async fn commit(
    cx: &Context<'_>,
    request: &TxnOffsetCommitRequest<'_>,
    commits: Vec<CommitRequest>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let broker = cx.broker;
    let (id, group_id) = (&*request.transactional_id, &*request.group_id);
    let producer = (request.producer_id, request.producer_epoch);
    if group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    if cx.version >= IMPLICIT_ADD_SINCE {
        let refused = |code| transaction_code(code, cx.version);
        if add_group(cx, id, producer, group_id).map_err(refused)? == Begun::Durably {
            broker.transactions.durable(id).await.map_err(refused)?;
        }
    }
    let committer = Committer {
        member_id: shared(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id_or_member_epoch,
    };
    let (topic, partition) = offsets_partition(cx, group_id);
    // SAFETY (T5): the transaction cannot end between the check and the append.
    let (codes, durability) = broker
        .transactions
        .within(id, producer, &topic, partition, || {
            broker.groups.commit_in_transaction(group_id, &committer, producer, commits)
        })
        .map_err(|code| transaction_code(code, cx.version))?
        .map_err(|code| group_code(code, cx.version))?;
    // What is durable belongs to a transaction that is.
    let begun = broker.transactions.durability(id);
    for durability in [durability, begun] {
        durability.wait().await.map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    }
    Ok(codes)
}

/// What a producer is told when the transaction's coordinator does not let it commit.
fn transaction_code(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if version < ABORTABLE_SINCE => ErrorCode::INVALID_TXN_STATE,
        ErrorCode::CONCURRENT_TRANSACTIONS if version < IMPLICIT_ADD_SINCE => {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        }
        code => code,
    }
}

/// What a producer is told when the group does not take its offsets. An older one would give up for good.
fn group_code(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::STALE_MEMBER_EPOCH if version < TOPIC_IDS_SINCE => {
            ErrorCode::ILLEGAL_GENERATION
        }
        code => code,
    }
}
