//! DescribeTransactions (key 65), ListTransactions (key 66) and DescribeProducers (key 61): what administrators see.

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use quipu_protocol::message::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};
use quipu_protocol::message::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState as ListedTransaction,
};
use quipu_protocol::primitives::Str;
use quipu_storage::{Millis, NO_TIMESTAMP};

use crate::api::context::Named;
use crate::api::groups::text;
use crate::api::permission::message;
use crate::api::{Context, partition_of};
use crate::coordinator::txn::machine::{Status, Transaction};
use crate::security::acl::{Operation, ResourceType};
use crate::topic::Partition;

/// Most bytes that a regular expression may compile to.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Tells where transactions stand. Version 0.
pub async fn describe_transactions<'a>(
    cx: &Context<'_>,
    request: DescribeTransactionsRequest<'a>,
) -> DescribeTransactionsResponse<'a> {
    let states = request.transactional_ids.into_iter().map(|id| {
        let permitted = cx.permit(Operation::Describe, ResourceType::TransactionalId, &id);
        match permitted.and_then(|()| cx.broker.transactions.describe(&id)) {
            Ok(found) => described(cx, id, found),
            Err(error_code) => TransactionState { error_code, transactional_id: id, ..Default::default() },
        }
    });
    DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states: states.collect() }
}

/// Matches texts as a whole. Linear in time; what it compiles to is bounded.
fn whole(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES_MAX).build()
}

fn described<'a>(cx: &Context<'_>, id: Str<'a>, found: Transaction) -> TransactionState<'a> {
    TransactionState {
        error_code: ErrorCode::NONE,
        transactional_id: id,
        transaction_state: Str::Borrowed(found.status.name()),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: found.started_ms,
        producer_id: found.producer_id,
        producer_epoch: found.producer_epoch,
        topics: found
            .partitions
            .iter()
            .filter(|(topic, _)| cx.may(Operation::Describe, ResourceType::Topic, topic))
            .map(|(topic, partitions)| TopicData {
                topic: text(topic),
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    }
}

/// Lists transactions by state, producer and, from version 1, how long ago they began, whether or not they have ended
/// since, as Kafka does: the state says that. From version 2 by a regular expression on the transactional id.
pub async fn list_transactions<'a>(
    cx: &Context<'_>,
    request: ListTransactionsRequest<'a>,
) -> ListTransactionsResponse<'a> {
    let failed = |error_code| ListTransactionsResponse { error_code, ..Default::default() };
    let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        None => None,
        Some(pattern) => match whole(pattern) {
            Ok(pattern) => Some(pattern),
            Err(_) => return failed(ErrorCode::INVALID_REGULAR_EXPRESSION),
        },
    };
    let listed = match cx.broker.transactions.list() {
        Ok(listed) => listed,
        Err(code) => return failed(code),
    };
    let named = |name: &str| Status::ALL.into_iter().find(|status| status.name() == name);
    let wanted: Vec<_> = request.state_filters.iter().filter_map(|name| named(name)).collect();
    let now = cx.broker.clock.now_ms();
    let is_wanted = |id: &str, found: &Transaction| {
        (request.state_filters.is_empty() || wanted.contains(&found.status))
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&found.producer_id))
            && (request.duration_filter < 0 || now.saturating_sub(found.started_ms) > request.duration_filter)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    };
    let is_seen = |id: &str| cx.may_quietly(Operation::Describe, ResourceType::TransactionalId, id);
    let listed = listed.iter().filter(|(id, found)| is_wanted(id, found) && is_seen(id));
    let states = listed.map(|(id, found)| ListedTransaction {
        transactional_id: text(id),
        producer_id: found.producer_id,
        transaction_state: Str::Borrowed(found.status.name()),
    });
    ListTransactionsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::NONE,
        transaction_states: states.collect(),
        unknown_state_filters: request
            .state_filters
            .into_iter()
            .filter(|name| named(name).is_none())
            .collect(),
    }
}

/// Tells what partitions know of producers. Version 0.
pub async fn describe_producers<'a>(
    cx: &Context<'_>,
    request: DescribeProducersRequest<'a>,
) -> DescribeProducersResponse<'a> {
    let now = cx.broker.clock.now_ms();
    let mut asked = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = cx.topic(Operation::Read, Named::Name(&topic.name));
        let found = found.as_deref().map_err(|code| *code);
        let partition = |index: &i32| (*index, partition_of(found, *index));
        let partitions: Vec<_> = topic.partition_indexes.iter().map(partition).collect();
        asked.push((topic.name, partitions));
    }
    let partitions = asked.iter().flat_map(|(_, partitions)| partitions);
    let found = partitions.filter_map(|(_, partition)| partition.as_ref().ok().cloned());
    let unopened = cx.open_logs(found, now).await;
    let topics = asked.into_iter().map(|(name, partitions)| {
        let describe = |(partition_index, partition): (i32, Result<Arc<Partition>, ErrorCode>)| {
            let described = partition.and_then(|partition| {
                unopened.check(&partition)?;
                producers(&partition, now)
            });
            match described {
                Ok(active_producers) => {
                    PartitionResponse { partition_index, active_producers, ..Default::default() }
                }
                Err(error_code) => PartitionResponse {
                    partition_index,
                    error_code,
                    error_message: Some(Str::Borrowed(match error_code {
                        ErrorCode::TOPIC_AUTHORIZATION_FAILED => message(error_code),
                        _ => "this partition cannot be read here",
                    })),
                    ..Default::default()
                },
            }
        };
        TopicResponse { name, partitions: partitions.into_iter().map(describe).collect() }
    });
    DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn producers(partition: &Partition, now: Millis) -> Result<Vec<ProducerState>, ErrorCode> {
    let mut producers: Vec<_> = partition.with_appender(now, |appender| {
        let state = |(producer_id, state): (i64, &quipu_storage::ProducerState)| ProducerState {
            producer_id,
            producer_epoch: state.epoch.into(),
            last_sequence: state.last_sequence(),
            last_timestamp: state.batches().last().map_or(NO_TIMESTAMP, |mark| mark.timestamp),
            coordinator_epoch: state.coordinator_epoch,
            current_txn_start_offset: state.transaction_start.unwrap_or(-1),
        };
        appender.producers().map(state).collect()
    })?;
    producers.sort_unstable_by_key(|producer: &ProducerState| producer.producer_id);
    Ok(producers)
}
