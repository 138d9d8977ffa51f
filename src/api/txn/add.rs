//! AddPartitionsToTxn (key 24) and AddOffsetsToTxn (key 25): what clients of version 1 announce before they send it.

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use quipu_protocol::message::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};

use super::{add_group, told};
use crate::api::Context;
use crate::coordinator::txn::machine::Identity;
use crate::security::acl::{Operation, ResourceType};
use crate::topic::is_internal;

/// First version that takes several transactions, and may only ask (KIP-890).
const FIRST_BATCH: i16 = 4;

/// Adds partitions to a transaction, all or none. From version 4 on it is a request of brokers, which act for others: it
/// names any number of transactions, and may ask whether partitions are part of one, without adding any.
pub async fn add_partitions_to_txn<'a>(
    cx: &Context<'_>,
    request: AddPartitionsToTxnRequest<'a>,
) -> AddPartitionsToTxnResponse<'a> {
    if cx.version < FIRST_BATCH {
        let id = request.v3_and_below_transactional_id;
        let producer = (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
        let topics = request.v3_and_below_topics;
        let results = match cx.permit(Operation::Write, ResourceType::TransactionalId, &id) {
            Ok(()) => add(cx, &id, producer, topics).await,
            Err(code) => answer(topics, |_, _| code),
        };
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: results,
            ..AddPartitionsToTxnResponse::default()
        };
    }
    if let Err(error_code) = cx.permit_on_cluster(Operation::ClusterAction) {
        return AddPartitionsToTxnResponse { error_code, ..AddPartitionsToTxnResponse::default() };
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let id = transaction.transactional_id;
        let producer = (transaction.producer_id, transaction.producer_epoch);
        let topic_results = if transaction.verify_only {
            let transactions = &cx.broker.transactions;
            answer(transaction.topics, |topic, index| {
                transactions.verify(&id, producer, topic, index).err().unwrap_or(ErrorCode::NONE)
            })
        } else {
            add(cx, &id, producer, transaction.topics).await
        };
        results.push(AddPartitionsToTxnResult { transactional_id: id, topic_results });
    }
    AddPartitionsToTxnResponse { results_by_transaction: results, ..AddPartitionsToTxnResponse::default() }
}

async fn add<'a>(
    cx: &Context<'_>,
    id: &str,
    producer: Identity,
    topics: Vec<AddPartitionsToTxnTopic<'a>>,
) -> Vec<AddPartitionsToTxnTopicResult<'a>> {
    // Brokers have asked for the right before.
    let may_write =
        |topic: &str| cx.version >= FIRST_BATCH || cx.may(Operation::Write, ResourceType::Topic, topic);
    let find = |topic: &str| match cx.broker.topics.by_name(topic) {
        _ if is_internal(topic) || !may_write(topic) => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        topic => topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    };
    let mut wanted = Vec::new();
    let mut codes = Vec::new();
    for topic in &topics {
        let name: Arc<str> = (*topic.name).into();
        let found = find(&name);
        for &index in &topic.partitions {
            codes.push(match &found {
                Ok(topic) if topic.partition(index).is_some() => ErrorCode::NONE,
                Ok(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(code) => *code,
            });
            wanted.push((Arc::clone(&name), index));
        }
    }
    if codes.iter().any(|code| !code.is_none()) {
        // Those that could have been added are not, and say so.
        let mut codes = codes.into_iter();
        return answer(topics, |_, _| match codes.next() {
            Some(ErrorCode::NONE) | None => ErrorCode::OPERATION_NOT_ATTEMPTED,
            Some(code) => code,
        });
    }
    let added = match cx.broker.transactions.add_partitions(id, producer, &wanted) {
        Ok(_) => cx.broker.transactions.durable(id).await,
        Err(code) => Err(code),
    };
    let code = added.err().map_or(ErrorCode::NONE, |code| told(code, cx.version));
    answer(topics, |_, _| code)
}

fn answer<'a>(
    topics: Vec<AddPartitionsToTxnTopic<'a>>,
    mut code: impl FnMut(&str, i32) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult<'a>> {
    let results = topics.into_iter().map(|topic| AddPartitionsToTxnTopicResult {
        results_by_partition: topic
            .partitions
            .iter()
            .map(|&partition_index| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code(&topic.name, partition_index),
            })
            .collect(),
        name: topic.name,
    });
    results.collect()
}

/// Adds a group's offsets to a transaction. Versions 0–4.
pub async fn add_offsets_to_txn<'a>(
    cx: &Context<'_>,
    request: AddOffsetsToTxnRequest<'a>,
) -> AddOffsetsToTxnResponse {
    let producer = (request.producer_id, request.producer_epoch);
    let id = &*request.transactional_id;
    let permitted = cx
        .permit(Operation::Write, ResourceType::TransactionalId, id)
        .and_then(|()| cx.permit(Operation::Read, ResourceType::Group, &request.group_id));
    let added = match permitted.and_then(|()| add_group(cx, id, producer, &request.group_id)) {
        Ok(_) => cx.broker.transactions.durable(id).await,
        Err(code) => Err(code),
    };
    let error_code = added.err().map_or(ErrorCode::NONE, |code| told(code, cx.version));
    AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code }
}
