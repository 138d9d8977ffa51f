//! DescribeCluster (key 60) and DescribeQuorum (key 55): the one node, as brokers, as controller and as voter.
//!
//! DescribeCluster 0–2: 1 adds the endpoint type, 2 fenced brokers. DescribeQuorum 0–2: 1 adds timestamps, 2
//! directories and the voters' addresses.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use quipu_protocol::message::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, ReplicaState, ResponsePartitionData,
    ResponseTopicData,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::security::acl::Operation;
use crate::topic::LEADER_EPOCH;

/// Endpoint types (KIP-919).
const BROKERS: i8 = 1;

/// Describes the cluster of one.
pub async fn describe_cluster(
    cx: &Context<'_>,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse<'static> {
    if request.endpoint_type != BROKERS {
        // What Kafka answers on a listener that is not a controller's.
        let (error_code, message) = if request.endpoint_type == 2 {
            (ErrorCode::MISMATCHED_ENDPOINT_TYPE, "this is a broker's listener; ask for endpoint type 1")
        } else {
            (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "unknown endpoint type; ask for 1 (brokers)")
        };
        return DescribeClusterResponse {
            error_code,
            error_message: Some(Str::Borrowed(message)),
            ..Default::default()
        };
    }
    let address = cx.broker.address_for(cx.local_addr);
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: Str::Owned(cx.broker.cluster_id().to_owned()),
        controller_id: cx.broker.node_id(),
        brokers: vec![DescribeClusterBroker {
            broker_id: cx.broker.node_id(),
            host: Str::Owned(address.host),
            port: i32::from(address.port),
            rack: cx.broker.settings().rack.clone().map(Str::Owned),
            is_fenced: false,
        }],
        cluster_authorized_operations: cx.cluster_operations(request.include_cluster_authorized_operations),
        ..Default::default()
    }
}

/// The topic that Kafka's controllers replicate; ours is the catalog's log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Describes the quorum of one voter.
pub async fn describe_quorum<'a>(
    cx: &Context<'_>,
    request: DescribeQuorumRequest<'a>,
) -> DescribeQuorumResponse<'a> {
    if let Err(code) = cx.permit_on_cluster(Operation::Describe) {
        let error_message = Some(Str::Borrowed(permission::message(code)));
        return DescribeQuorumResponse { error_code: code, error_message, ..Default::default() };
    }
    let node = cx.broker.node_id();
    let end = cx.broker.catalog_end_offset();
    let voter = ReplicaState {
        replica_id: node,
        log_end_offset: end,
        last_fetch_timestamp: cx.broker.now_ms(),
        last_caught_up_timestamp: cx.broker.now_ms(),
        ..Default::default()
    };
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let describe = |index| {
                if asked.topic_name != METADATA_TOPIC || index != 0 {
                    return ResponsePartitionData {
                        partition_index: index,
                        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                        error_message: Some(Str::Borrowed("only __cluster_metadata-0 has a quorum")),
                        ..Default::default()
                    };
                }
                ResponsePartitionData {
                    partition_index: index,
                    error_message: Some(Str::Borrowed("")),
                    leader_id: node,
                    leader_epoch: LEADER_EPOCH,
                    high_watermark: end,
                    current_voters: vec![voter.clone()],
                    ..Default::default()
                }
            };
            let partitions =
                asked.partitions.iter().map(|partition| describe(partition.partition_index)).collect();
            ResponseTopicData { topic_name: asked.topic_name, partitions }
        })
        .collect::<Vec<ResponseTopicData<'_>>>();
    let is_found = topics.iter().any(|topic| topic.partitions.iter().any(|p| p.error_code.is_none()));
    let address = cx.broker.address_for(cx.local_addr);
    let listener =
        Listener { name: Str::Borrowed("CONTROLLER"), host: Str::Owned(address.host), port: address.port };
    DescribeQuorumResponse {
        topics,
        error_message: Some(Str::Borrowed("")),
        nodes: is_found.then(|| Node { node_id: node, listeners: vec![listener] }).into_iter().collect(),
        ..Default::default()
    }
}
