//! Transactions: which there are, who writes in them, and how to end what hangs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, InitProducerIdRequest, ListTransactionsRequest,
    ProducerId, TransactionalId, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::outcome;
use crate::client::cluster::topic_name;
use crate::client::{ClientError, Cluster, TopicPartition};

/// How long the transaction that ends another one may be open, in milliseconds: it is never begun.
const FENCE_TIMEOUT_MS: i32 = 60_000;

/// A transactional id in the list of all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedTransaction {
    /// The id.
    pub id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Id of its producer.
    pub producer_id: i64,
    /// Its state, such as `Ongoing`.
    pub state: String,
}

/// Which transactional ids to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only those in one of these states.
    pub states: Vec<String>,
    /// Only those of one of these producers.
    pub producer_ids: Vec<i64>,
    /// Only transactions open for longer than this, in milliseconds (Kafka 3.8).
    pub longer_than_ms: Option<i64>,
    /// Only ids that this regular expression matches as a whole (Kafka 4.1).
    pub pattern: Option<String>,
}

/// Lists the transactional ids of every broker (ListTransactions).
pub fn list_transactions(
    cluster: &mut Cluster,
    filter: &TransactionFilter,
) -> Result<Vec<ListedTransaction>, ClientError> {
    cluster.describe(Some(&[]), false)?;
    let nodes: Vec<i32> = cluster.nodes().map(|node| node.id).collect();
    let mut found = Vec::new();
    for node in nodes {
        let version = cluster.node(node)?.version::<ListTransactionsRequest>(i16::MAX)?;
        if (filter.longer_than_ms.is_some() && version < 1) || (filter.pattern.is_some() && version < 2) {
            return Err(ClientError::Other(format!("broker {node} is too old to filter transactions so")));
        }
        let request = ListTransactionsRequest::default()
            .with_state_filters(filter.states.iter().map(|s| StrBytes::from_string(s.clone())).collect())
            .with_producer_id_filters(filter.producer_ids.iter().map(|id| ProducerId(*id)).collect())
            .with_duration_filter(filter.longer_than_ms.unwrap_or(-1))
            .with_transactional_id_pattern(filter.pattern.clone().map(StrBytes::from_string));
        let response = cluster.call_node(node, &request, Duration::ZERO)?;
        outcome("the list of transactions".into(), response.error_code, None)?;
        if let Some(unknown) = response.unknown_state_filters.first() {
            return Err(ClientError::Other(format!(
                "there is no state {unknown}: try Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort or Empty"
            )));
        }
        found.extend(response.transaction_states.iter().map(|state| ListedTransaction {
            id: state.transactional_id.to_string(),
            coordinator: node,
            producer_id: state.producer_id.0,
            state: state.transaction_state.to_string(),
        }));
    }
    found.sort();
    Ok(found)
}

/// A transactional id with its newest transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The id.
    pub id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its state, such as `Ongoing`.
    pub state: String,
    /// Id of its producer.
    pub producer_id: i64,
    /// Epoch of its producer.
    pub producer_epoch: i16,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: i32,
    /// When it began, in milliseconds since 1970; none while none is open.
    pub start_ms: Option<i64>,
    /// Where it wrote.
    pub partitions: Vec<TopicPartition>,
}

/// Describes a transactional id (DescribeTransactions).
pub fn describe_transaction(cluster: &mut Cluster, id: &str) -> Result<Transaction, ClientError> {
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![TransactionalId(StrBytes::from_string(id.to_owned()))]);
    let response = cluster.call_transaction_coordinator(id, &request, |response| {
        response.transaction_states.first().map_or(0, |state| state.error_code)
    })?;
    let coordinator = cluster.transaction_coordinator(id)?;
    let subject = format!("transactional id \"{id}\"");
    let Some(state) = response.transaction_states.first() else {
        return Err(ClientError::Other(format!("the broker said nothing about {subject}")));
    };
    outcome(subject, state.error_code, None)?;
    let partitions = state
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| TopicPartition::new(topic.topic.to_string(), *p)));
    Ok(Transaction {
        id: id.to_owned(),
        coordinator,
        state: state.transaction_state.to_string(),
        producer_id: state.producer_id.0,
        producer_epoch: state.producer_epoch,
        timeout_ms: state.transaction_timeout_ms,
        start_ms: (state.transaction_start_time_ms >= 0).then_some(state.transaction_start_time_ms),
        partitions: partitions.collect(),
    })
}

/// A producer that a partition remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Where it wrote.
    pub partition: TopicPartition,
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// Sequence number of its last record, −1 for none.
    pub last_sequence: i32,
    /// When it last wrote, in milliseconds since 1970; −1 when not known.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that ended its last transaction, −1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// Describes the producers of partitions, as their leaders remember them (DescribeProducers).
pub fn describe_producers(
    cluster: &mut Cluster,
    partitions: &[TopicPartition],
) -> Result<Vec<ActiveProducer>, ClientError> {
    let mut found = Vec::new();
    for (leader, partitions) in cluster.by_leader(partitions)? {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        partitions.iter().for_each(|p| topics.entry(&p.topic).or_default().push(p.partition));
        let topics = topics
            .into_iter()
            .map(|(name, indexes)| {
                TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(indexes)
            })
            .collect();
        let request = DescribeProducersRequest::default().with_topics(topics);
        let response = cluster.call_node(leader, &request, Duration::ZERO)?;
        for topic in &response.topics {
            for answer in &topic.partitions {
                let partition = TopicPartition::new(topic.name.to_string(), answer.partition_index);
                let message = answer.error_message.as_deref();
                outcome(format!("partition {partition}"), answer.error_code, message)?;
                found.extend(answer.active_producers.iter().map(|producer| ActiveProducer {
                    partition: partition.clone(),
                    id: producer.producer_id.0,
                    epoch: producer.producer_epoch,
                    last_sequence: producer.last_sequence,
                    last_timestamp: producer.last_timestamp,
                    coordinator_epoch: producer.coordinator_epoch,
                    transaction_start:
                        (producer.current_txn_start_offset >= 0).then_some(producer.current_txn_start_offset),
                }));
            }
        }
    }
    found.sort_by(|a, b| (&a.partition, a.id).cmp(&(&b.partition, b.id)));
    Ok(found)
}

/// The producers whose transaction is open on a partition although no coordinator knows of it: nobody will end it, and
/// readers of committed records wait for ever. Those that wrote after `before_ms` are left out, as they may just have
/// begun.
pub fn hanging_producers(
    cluster: &mut Cluster,
    partitions: &[TopicPartition],
    before_ms: i64,
) -> Result<Vec<ActiveProducer>, ClientError> {
    let mut open = describe_producers(cluster, partitions)?;
    open.retain(|producer| producer.transaction_start.is_some() && producer.last_timestamp < before_ms);
    if open.is_empty() {
        return Ok(open);
    }
    let producer_ids: BTreeSet<i64> = open.iter().map(|producer| producer.id).collect();
    let filter = TransactionFilter {
        producer_ids: producer_ids.into_iter().collect(),
        ..TransactionFilter::default()
    };
    let mut known: BTreeSet<(i64, TopicPartition)> = BTreeSet::new();
    for listed in list_transactions(cluster, &filter)? {
        let transaction = describe_transaction(cluster, &listed.id)?;
        let producer_id = transaction.producer_id;
        known.extend(transaction.partitions.into_iter().map(|partition| (producer_id, partition)));
    }
    open.retain(|producer| !known.contains(&(producer.id, producer.partition.clone())));
    Ok(open)
}

/// Ends a producer's open transaction on one partition, whatever its coordinator says (WriteTxnMarkers).
pub fn abort_on_partition(cluster: &mut Cluster, producer: &ActiveProducer) -> Result<(), ClientError> {
    let partition = &producer.partition;
    let epoch = i16::try_from(producer.epoch)
        .map_err(|_| ClientError::Other(format!("{} is no epoch of a producer", producer.epoch)))?;
    let topic = WritableTxnMarkerTopic::default()
        .with_name(topic_name(&partition.topic))
        .with_partition_indexes(vec![partition.partition]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(epoch)
        .with_transaction_result(false)
        .with_topics(vec![topic])
        // A hanging transaction may have lost its coordinator's epoch; 0 is the lowest there is.
        .with_coordinator_epoch(producer.coordinator_epoch.max(0));
    let leader = cluster.leader(partition)?;
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response = cluster.call_node(leader, &request, Duration::ZERO)?;
    for marker in &response.markers {
        for topic in &marker.topics {
            for answer in &topic.partitions {
                outcome(format!("partition {partition}"), answer.error_code, None)?;
            }
        }
    }
    Ok(())
}

/// Aborts what a transactional id has open and shuts out its producer, as a second producer of that id would
/// (InitProducerId). The new producer id is of no use to anybody.
pub fn terminate(cluster: &mut Cluster, id: &str) -> Result<(), ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(StrBytes::from_string(id.to_owned()))))
        .with_transaction_timeout_ms(FENCE_TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    // The first answer to an open transaction is that it is being aborted.
    for _ in 0..100 {
        let response = cluster.call_transaction_coordinator(id, &request, |response| response.error_code)?;
        let ended = outcome(format!("transactional id \"{id}\""), response.error_code, None);
        match &ended {
            Err(error) if error.code() == Some(quipu_protocol::ErrorCode::CONCURRENT_TRANSACTIONS) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            _ => return ended,
        }
    }
    Err(ClientError::Other(format!("the transaction of \"{id}\" is still being ended. Try again")))
}
