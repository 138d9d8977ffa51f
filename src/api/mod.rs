//! The API table: every request Quipu answers, in one place.
//!
//! A row names the API and its function; the request and response types, the versions and the answer to
//! ApiVersions follow from it. A handler paired with the wrong message does not compile.

pub mod acls;
#[cfg(test)]
mod admin_tests;
pub mod cluster;
pub mod configs;
pub mod context;
pub mod delete_records;
pub mod features;
pub mod fetch;
pub mod groups;
pub mod list_offsets;
pub mod log_dirs;
pub mod metadata;
pub mod offsets;
mod opening;
mod permission;
#[cfg(test)]
mod permission_tests;
pub mod produce;
pub mod producers;
pub mod quotas;
pub mod replicas;
pub mod sasl;
pub mod topics;
pub mod txn;
pub mod users;
pub mod versions;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_protocol::api_key::ApiKey;
use quipu_protocol::header::{self, RequestHeader};
use quipu_protocol::primitives::{DecodeError, Frame, Reader};
use quipu_protocol::{Decode, Encode, ErrorCode, Message, message};

use crate::topic::durable::Awaited;
use crate::topic::{Partition, Topic};
pub use context::{Caller, Context};
pub(crate) use fetch::sessions::FetchSessions;

/// One API as a client sees it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The key on the wire.
    pub key: ApiKey,
    /// Versions that are answered.
    pub versions: RangeInclusive<i16>,
    /// Versions that ApiVersions announces; wider than `versions` only for Produce (KAFKA-18659).
    pub announced: RangeInclusive<i16>,
    /// A version more, which Kafka calls unstable: for `unstable.api.versions.enable`.
    pub unstable: Option<i16>,
}

/// Why a request gets no answer and its connection is closed.
#[derive(Debug)]
pub enum Close {
    /// The header cannot be read.
    Header(DecodeError),
    /// No such API, or not here.
    UnknownKey(i16),
    /// A version that ApiVersions does not offer.
    UnsupportedVersion(ApiKey, i16),
    /// The body is not what its header says.
    Body(ApiKey, i16, DecodeError),
    /// A Produce with acks=0 failed: closing is the only way to say so (as Kafka does).
    UnacknowledgedProduce(quipu_protocol::ErrorCode),
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "a request header that cannot be read: {error}"),
            Self::UnknownKey(key) => write!(f, "a request with API key {key}, which Quipu does not answer"),
            Self::UnsupportedVersion(key, version) => write!(
                f,
                "{} version {version}, which is not supported; a client that asks ApiVersions first picks one that is",
                key.name()
            ),
            Self::Body(key, version, error) => {
                write!(f, "{} version {version} cannot be read: {error}", key.name())
            }
            Self::UnacknowledgedProduce(code) => write!(f, "a Produce with acks=0 failed with {code}"),
        }
    }
}

/// The newest version to offer: what Kafka itself calls unstable is left out.
const fn stable<M: Message>() -> RangeInclusive<i16> {
    let newest = *M::VERSIONS.end();
    *M::VERSIONS.start()..=if M::LATEST_UNSTABLE { newest - 1 } else { newest }
}

/// What [`stable`] leaves out.
const fn unstable<M: Message>() -> Option<i16> {
    if M::LATEST_UNSTABLE { Some(*M::VERSIONS.end()) } else { None }
}

macro_rules! api_table {
    ($($key:ident: $module:ident :: $request:ident => $function:path),* $(,)?) => {
        /// Every API that is answered, in the order of its key.
        pub fn table() -> &'static [Row] {
            static TABLE: std::sync::OnceLock<Vec<Row>> = std::sync::OnceLock::new();
            TABLE.get_or_init(|| {
                let mut rows = vec![
                    Row {
                        key: ApiKey::Produce,
                        versions: stable::<message::produce::ProduceRequest<'static>>(),
                        announced: 0..=*stable::<message::produce::ProduceRequest<'static>>().end(),
                        unstable: None,
                    },
                    $({
                        let versions = stable::<message::$module::$request>();
                        let unstable = unstable::<message::$module::$request>();
                        Row { key: ApiKey::$key, announced: versions.clone(), versions, unstable }
                    }),*
                ];
                rows.sort_by_key(|row| row.key as i16);
                rows
            })
        }

        async fn dispatch(
            cx: &Context<'_>,
            key: ApiKey,
            body: Reader<'_>,
            buffer: Vec<u8>,
        ) -> Result<Answer, Close> {
            let frame = match key {
                // The hot path is not boxed, and is the only one that may stay silent.
                ApiKey::Produce => {
                    let request = decode(cx, key, body)?;
                    let (response, awaited) = produce::produce(cx, request).await?;
                    let frame = response.map(|response| respond(cx, key, &response, buffer));
                    return Ok(Answer { frame, awaited });
                }
                $(ApiKey::$key => {
                    let request = decode(cx, key, body)?;
                    // Boxed, so that a connection's memory is not that of the largest handler.
                    let response = Box::pin($function(cx, request)).await;
                    respond(cx, key, &response, buffer)
                })*
                other => return Err(Close::UnknownKey(other as i16)),
            };
            Ok(Answer { frame: Some(frame), awaited: Awaited::default() })
        }
    };
}

api_table! {
    Fetch: fetch::FetchRequest => fetch::fetch,
    ListOffsets: list_offsets::ListOffsetsRequest => list_offsets::list_offsets,
    Metadata: metadata::MetadataRequest => metadata::metadata,
    OffsetCommit: offset_commit::OffsetCommitRequest => offsets::offset_commit,
    OffsetFetch: offset_fetch::OffsetFetchRequest => offsets::offset_fetch,
    FindCoordinator: find_coordinator::FindCoordinatorRequest => groups::find_coordinator,
    JoinGroup: join_group::JoinGroupRequest => groups::join_group,
    Heartbeat: heartbeat::HeartbeatRequest => groups::heartbeat,
    LeaveGroup: leave_group::LeaveGroupRequest => groups::leave_group,
    SyncGroup: sync_group::SyncGroupRequest => groups::sync_group,
    DescribeGroups: describe_groups::DescribeGroupsRequest => groups::describe_groups,
    ListGroups: list_groups::ListGroupsRequest => groups::list_groups,
    SaslHandshake: sasl_handshake::SaslHandshakeRequest => sasl::sasl_handshake,
    ApiVersions: api_versions::ApiVersionsRequest => versions::api_versions,
    CreateTopics: create_topics::CreateTopicsRequest => topics::create_topics,
    DeleteTopics: delete_topics::DeleteTopicsRequest => topics::delete_topics,
    DeleteRecords: delete_records::DeleteRecordsRequest => delete_records::delete_records,
    InitProducerId: init_producer_id::InitProducerIdRequest => producers::init_producer_id,
    OffsetForLeaderEpoch: offset_for_leader_epoch::OffsetForLeaderEpochRequest => list_offsets::offset_for_leader_epoch,
    AddPartitionsToTxn: add_partitions_to_txn::AddPartitionsToTxnRequest => txn::add_partitions_to_txn,
    AddOffsetsToTxn: add_offsets_to_txn::AddOffsetsToTxnRequest => txn::add_offsets_to_txn,
    EndTxn: end_txn::EndTxnRequest => txn::end_txn,
    WriteTxnMarkers: write_txn_markers::WriteTxnMarkersRequest => txn::write_txn_markers,
    TxnOffsetCommit: txn_offset_commit::TxnOffsetCommitRequest => txn::txn_offset_commit,
    DescribeProducers: describe_producers::DescribeProducersRequest => txn::describe_producers,
    DescribeTransactions: describe_transactions::DescribeTransactionsRequest => txn::describe_transactions,
    ListTransactions: list_transactions::ListTransactionsRequest => txn::list_transactions,
    DescribeAcls: describe_acls::DescribeAclsRequest => acls::describe_acls,
    CreateAcls: create_acls::CreateAclsRequest => acls::create_acls,
    DeleteAcls: delete_acls::DeleteAclsRequest => acls::delete_acls,
    DescribeConfigs: describe_configs::DescribeConfigsRequest => configs::describe_configs,
    AlterConfigs: alter_configs::AlterConfigsRequest => configs::alter_configs,
    IncrementalAlterConfigs: incremental_alter_configs::IncrementalAlterConfigsRequest => configs::incremental_alter_configs,
    ListConfigResources: list_config_resources::ListConfigResourcesRequest => configs::list_config_resources,
    AlterReplicaLogDirs: alter_replica_log_dirs::AlterReplicaLogDirsRequest => log_dirs::alter_replica_log_dirs,
    DescribeLogDirs: describe_log_dirs::DescribeLogDirsRequest => log_dirs::describe_log_dirs,
    SaslAuthenticate: sasl_authenticate::SaslAuthenticateRequest => sasl::sasl_authenticate,
    CreatePartitions: create_partitions::CreatePartitionsRequest => topics::create_partitions,
    DeleteGroups: delete_groups::DeleteGroupsRequest => groups::delete_groups,
    OffsetDelete: offset_delete::OffsetDeleteRequest => offsets::offset_delete,
    ElectLeaders: elect_leaders::ElectLeadersRequest => replicas::elect_leaders,
    AlterPartitionReassignments: alter_partition_reassignments::AlterPartitionReassignmentsRequest => replicas::alter_partition_reassignments,
    ListPartitionReassignments: list_partition_reassignments::ListPartitionReassignmentsRequest => replicas::list_partition_reassignments,
    DescribeClientQuotas: describe_client_quotas::DescribeClientQuotasRequest => quotas::describe_client_quotas,
    AlterClientQuotas: alter_client_quotas::AlterClientQuotasRequest => quotas::alter_client_quotas,
    DescribeUserScramCredentials: describe_user_scram_credentials::DescribeUserScramCredentialsRequest => users::describe_user_scram_credentials,
    AlterUserScramCredentials: alter_user_scram_credentials::AlterUserScramCredentialsRequest => users::alter_user_scram_credentials,
    UpdateFeatures: update_features::UpdateFeaturesRequest => features::update_features,
    DescribeQuorum: describe_quorum::DescribeQuorumRequest => cluster::describe_quorum,
    DescribeCluster: describe_cluster::DescribeClusterRequest => cluster::describe_cluster,
    ConsumerGroupHeartbeat: consumer_group_heartbeat::ConsumerGroupHeartbeatRequest => groups::consumer_group_heartbeat,
    ConsumerGroupDescribe: consumer_group_describe::ConsumerGroupDescribeRequest => groups::consumer_group_describe,
    DescribeTopicPartitions: describe_topic_partitions::DescribeTopicPartitionsRequest => metadata::describe_topic_partitions,
}

fn respond(cx: &Context<'_>, key: ApiKey, response: &impl Encode, buffer: Vec<u8>) -> Frame {
    header::response_frame(key, cx.version, cx.correlation_id, response, buffer)
}

/// The partition of a topic, if both are there.
fn partition_of(topic: Result<&Topic, ErrorCode>, index: i32) -> Result<Arc<Partition>, ErrorCode> {
    topic?.partition(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn row(key: ApiKey) -> Option<&'static Row> {
    table().binary_search_by_key(&(key as i16), |row| row.key as i16).ok().map(|at| &table()[at])
}

fn decode<'a, R: Decode<'a>>(cx: &Context<'_>, key: ApiKey, mut body: Reader<'a>) -> Result<R, Close> {
    R::decode(&mut body, cx.version).map_err(|error| Close::Body(key, cx.version, error))
}

/// What a request leads to.
#[derive(Debug)]
pub struct Answer {
    /// The answer; none for a Produce that wants none.
    pub frame: Option<Frame>,
    /// What has to be durable before the answer may leave. The next request need not wait for it.
    pub awaited: Awaited,
}

/// Answers one request. `frame` is what followed the length; `buffer` is where the answer is built.
///
/// # Errors
/// There is no answer, and the connection has to be closed.
pub async fn answer(caller: Caller<'_>, frame: &[u8], buffer: Vec<u8>) -> Result<Answer, Close> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).map_err(Close::Header)?;
    let key = ApiKey::try_from(header.api_key).map_err(|_| Close::UnknownKey(header.api_key))?;
    let row = row(key).ok_or(Close::UnknownKey(header.api_key))?;
    caller.broker.metrics.requests.increment();
    tracing::debug!(
        target: crate::logging::REQUEST,
        api = key.name(),
        version = header.api_version,
        correlation = header.correlation_id,
        client = header.client_id.as_deref(),
        peer = %caller.peer_addr,
        bytes = frame.len(),
        "request"
    );

    let mut cx = Context {
        broker: caller.broker,
        version: header.api_version,
        client_id: header.client_id.as_deref(),
        local_addr: caller.local_addr,
        peer_addr: caller.peer_addr,
        turn: caller.turn,
        correlation_id: header.correlation_id,
        denied: Mutex::default(),
    };
    let is_served = row.versions.contains(&header.api_version)
        || row.unstable == Some(header.api_version) && caller.broker.settings().unstable_versions;
    if !is_served {
        if key != ApiKey::ApiVersions {
            return Err(Close::UnsupportedVersion(key, header.api_version));
        }
        // KIP-511: a client newer than us gets the oldest form of the answer and tries again.
        cx.version = 0;
        let frame = respond(&cx, key, &versions::unsupported(&cx), buffer);
        return Ok(Answer { frame: Some(frame), awaited: Awaited::default() });
    }
    dispatch(&cx, key, reader, buffer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_each_api_once() {
        assert!(table().windows(2).all(|pair| (pair[0].key as i16) < pair[1].key as i16));
    }

    #[test]
    fn unstable_versions_are_not_offered() {
        assert_eq!(row(ApiKey::InitProducerId).unwrap().versions, 0..=5);
    }

    #[test]
    fn produce_is_announced_from_zero() {
        let produce = row(ApiKey::Produce).unwrap();
        assert_eq!((*produce.announced.start(), *produce.versions.start()), (0, 3));
    }
}
