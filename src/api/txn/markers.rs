//! WriteTxnMarkers (key 27).

use quipu_protocol::ErrorCode;
use quipu_protocol::message::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use quipu_storage::Marker;

use crate::api::Context;
use crate::internal::transactions::write_marker;
use crate::security::acl::Operation;

/// The level of `transaction.version` from which every transaction has an epoch of its own.
const OWN_EPOCH_SINCE: i8 = 2;

/// Ends transactions on partitions, whatever their coordinator says: what an administrator does to one that hangs.
///
/// That needs ALTER on the cluster, or CLUSTER_ACTION, which brokers have. Versions 1–2; version 2 says how the
/// producer ends its transactions.
pub async fn write_txn_markers<'a>(
    cx: &Context<'_>,
    request: WriteTxnMarkersRequest<'a>,
) -> WriteTxnMarkersResponse<'a> {
    let permitted = match cx.may_on_cluster(Operation::Alter) {
        true => Ok(()),
        false => cx.permit_on_cluster(Operation::ClusterAction),
    };
    let partition = |topic: &str, index: i32| cx.broker.topics.by_name(topic)?.partition(index);
    let topics = request.markers.iter().filter(|_| permitted.is_ok()).flat_map(|asked| &asked.topics);
    let partitions = topics
        .flat_map(|topic| topic.partition_indexes.iter().filter_map(|&index| partition(&topic.name, index)));
    let unopened = cx.open_logs(partitions, cx.broker.clock.now_ms()).await;
    let mut all = Vec::with_capacity(request.markers.len());
    for asked in request.markers {
        let marker = Marker {
            producer_id: asked.producer_id,
            producer_epoch: asked.producer_epoch,
            is_commit: asked.transaction_result,
            coordinator_epoch: asked.coordinator_epoch,
            has_own_epoch: asked.transaction_version >= OWN_EPOCH_SINCE,
        };
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let write = |index: i32| {
                let opened = || partition(&topic.name, index).map_or(Ok(()), |it| unopened.check(&it));
                let write = |()| write_marker(cx.broker, &topic.name, index, &marker);
                (index, permitted.and_then(|()| opened()).and_then(write))
            };
            let written: Vec<_> = topic.partition_indexes.into_iter().map(write).collect();
            topics.push((topic.name, written));
        }
        all.push((asked.producer_id, topics));
    }
    // All are in the page cache before one is waited for: a sync takes in whatever is there.
    let mut results = Vec::with_capacity(all.len());
    for (producer_id, written) in all {
        let mut topics = Vec::with_capacity(written.len());
        for (name, written) in written {
            let mut partitions = Vec::with_capacity(written.len());
            for (partition_index, written) in written {
                let durable = match written {
                    Ok(durability) => durability.wait().await,
                    Err(code) => Err(code),
                };
                let error_code = durable.err().unwrap_or(ErrorCode::NONE);
                partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code });
            }
            topics.push(WritableTxnMarkerTopicResult { name, partitions });
        }
        results.push(WritableTxnMarkerResult { producer_id, topics });
    }
    WriteTxnMarkersResponse { markers: results }
}
