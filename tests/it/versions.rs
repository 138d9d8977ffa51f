//! Every API that is announced answers in each of its versions, in a form that decodes to the last byte.

use quipu_protocol::header::decode_response_header;
use quipu_protocol::message::*;
use quipu_protocol::primitives::Str;
use quipu_protocol::{ApiKey, Decode};

use crate::client::Client;
use crate::process::Broker;

/// Sends one request per version and decodes the answers.
macro_rules! each_version {
    ($client:ident, $offered:ident, $($api:ident: $request:expr => $response:ty),* $(,)?) => {
        $(
            let range = $offered.remove(&ApiKey::$api.key()).unwrap_or_else(|| panic!("{} is announced", ApiKey::$api.name()));
            for version in range {
                let answer = $client.call(ApiKey::$api, version, &$request);
                let (id, mut body) = decode_response_header(&answer, ApiKey::$api, version).expect("a header");
                assert_eq!(id, $client.last_id(), "{} version {version}", ApiKey::$api.name());
                <$response>::decode(&mut body, version)
                    .unwrap_or_else(|error| panic!("{} version {version}: {error}", ApiKey::$api.name()));
                assert_eq!(body.remaining(), 0, "{} version {version} has bytes to spare", ApiKey::$api.name());
            }
        )*
    };
}

#[test]
fn every_announced_version_is_answered() {
    // With an authorizer, so that ACLs are more than an error.
    let broker = Broker::dev(&[
        "--override",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "--override",
        "super.users=User:ANONYMOUS",
    ]);
    let mut client = Client::new(&broker);
    let answer = client.call(
        ApiKey::ApiVersions,
        4,
        &api_versions::ApiVersionsRequest {
            client_software_name: "versions".into(),
            client_software_version: "1".into(),
            ..Default::default()
        },
    );
    let (_, mut body) = decode_response_header(&answer, ApiKey::ApiVersions, 4).expect("a header");
    let offered = api_versions::ApiVersionsResponse::decode(&mut body, 4).expect("a list").api_keys;
    let mut offered: std::collections::BTreeMap<i16, std::ops::RangeInclusive<i16>> =
        offered.iter().map(|api| (api.api_key, api.min_version..=api.max_version)).collect();
    // Announced from 0 for an old librdkafka, answered from 3, as Kafka does (KAFKA-18659).
    offered.insert(0, 3..=*offered[&0].end());

    let software = || api_versions::ApiVersionsRequest {
        client_software_name: "versions".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let group = || Str::Borrowed("g");
    each_version! { client, offered,
        Produce: produce::ProduceRequest { acks: 1, ..Default::default() } => produce::ProduceResponse<'_>,
        Fetch: fetch::FetchRequest { session_epoch: -1, ..Default::default() } => fetch::FetchResponse<'_>,
        ListOffsets: list_offsets::ListOffsetsRequest::default() => list_offsets::ListOffsetsResponse<'_>,
        Metadata: metadata::MetadataRequest::default() => metadata::MetadataResponse<'_>,
        OffsetCommit: offset_commit::OffsetCommitRequest { group_id: group(), ..Default::default() } => offset_commit::OffsetCommitResponse<'_>,
        OffsetFetch: offset_fetch::OffsetFetchRequest { group_id: group(), ..Default::default() } => offset_fetch::OffsetFetchResponse<'_>,
        FindCoordinator: find_coordinator::FindCoordinatorRequest { key: group(), coordinator_keys: vec![group()], ..Default::default() } => find_coordinator::FindCoordinatorResponse<'_>,
        JoinGroup: join_group::JoinGroupRequest { group_id: group(), ..Default::default() } => join_group::JoinGroupResponse<'_>,
        Heartbeat: heartbeat::HeartbeatRequest { group_id: group(), ..Default::default() } => heartbeat::HeartbeatResponse,
        LeaveGroup: leave_group::LeaveGroupRequest { group_id: group(), ..Default::default() } => leave_group::LeaveGroupResponse<'_>,
        SyncGroup: sync_group::SyncGroupRequest { group_id: group(), ..Default::default() } => sync_group::SyncGroupResponse<'_>,
        DescribeGroups: describe_groups::DescribeGroupsRequest { groups: vec![group()], ..Default::default() } => describe_groups::DescribeGroupsResponse<'_>,
        ListGroups: list_groups::ListGroupsRequest::default() => list_groups::ListGroupsResponse<'_>,
        ApiVersions: software() => api_versions::ApiVersionsResponse<'_>,
        CreateTopics: create_topics::CreateTopicsRequest {
            topics: vec![create_topics::CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() }],
            ..Default::default()
        } => create_topics::CreateTopicsResponse<'_>,
        DeleteTopics: delete_topics::DeleteTopicsRequest { topic_names: vec!["none".into()], ..Default::default() } => delete_topics::DeleteTopicsResponse<'_>,
        DeleteRecords: delete_records::DeleteRecordsRequest {
            topics: vec![delete_records::DeleteRecordsTopic {
                name: "t".into(),
                partitions: vec![delete_records::DeleteRecordsPartition { partition_index: 0, offset: -1 }],
            }],
            ..Default::default()
        } => delete_records::DeleteRecordsResponse<'_>,
        InitProducerId: init_producer_id::InitProducerIdRequest::default() => init_producer_id::InitProducerIdResponse,
        AddPartitionsToTxn: add_partitions_to_txn::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: "t".into(),
            transactions: vec![add_partitions_to_txn::AddPartitionsToTxnTransaction { transactional_id: "t".into(), ..Default::default() }],
            ..Default::default()
        } => add_partitions_to_txn::AddPartitionsToTxnResponse<'_>,
        AddOffsetsToTxn: add_offsets_to_txn::AddOffsetsToTxnRequest { transactional_id: "t".into(), group_id: group(), ..Default::default() } => add_offsets_to_txn::AddOffsetsToTxnResponse,
        EndTxn: end_txn::EndTxnRequest { transactional_id: "t".into(), ..Default::default() } => end_txn::EndTxnResponse,
        WriteTxnMarkers: write_txn_markers::WriteTxnMarkersRequest {
            markers: vec![write_txn_markers::WritableTxnMarker {
                topics: vec![write_txn_markers::WritableTxnMarkerTopic { name: "none".into(), partition_indexes: vec![0] }],
                ..Default::default()
            }],
        } => write_txn_markers::WriteTxnMarkersResponse<'_>,
        TxnOffsetCommit: txn_offset_commit::TxnOffsetCommitRequest { transactional_id: "t".into(), group_id: group(), ..Default::default() } => txn_offset_commit::TxnOffsetCommitResponse<'_>,
        DescribeProducers: describe_producers::DescribeProducersRequest {
            topics: vec![describe_producers::TopicRequest { name: "t".into(), partition_indexes: vec![0, 9] }],
        } => describe_producers::DescribeProducersResponse<'_>,
        DescribeTransactions: describe_transactions::DescribeTransactionsRequest { transactional_ids: vec!["t".into()] } => describe_transactions::DescribeTransactionsResponse<'_>,
        ListTransactions: list_transactions::ListTransactionsRequest::default() => list_transactions::ListTransactionsResponse<'_>,
        OffsetForLeaderEpoch: offset_for_leader_epoch::OffsetForLeaderEpochRequest {
            topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
                topic: "t".into(),
                partitions: vec![offset_for_leader_epoch::OffsetForLeaderPartition::default()],
            }],
            ..Default::default()
        } => offset_for_leader_epoch::OffsetForLeaderEpochResponse<'_>,
        SaslHandshake: sasl_handshake::SaslHandshakeRequest { mechanism: "PLAIN".into() } => sasl_handshake::SaslHandshakeResponse<'_>,
        SaslAuthenticate: sasl_authenticate::SaslAuthenticateRequest::default() => sasl_authenticate::SaslAuthenticateResponse<'_>,
        DescribeAcls: describe_acls::DescribeAclsRequest { resource_type_filter: 1, operation: 1, permission_type: 1, ..Default::default() } => describe_acls::DescribeAclsResponse<'_>,
        CreateAcls: create_acls::CreateAclsRequest {
            creations: vec![create_acls::AclCreation {
                resource_type: 2,
                resource_name: "t".into(),
                principal: "User:a".into(),
                host: "*".into(),
                operation: 3,
                permission_type: 3,
                ..Default::default()
            }],
        } => create_acls::CreateAclsResponse<'_>,
        DeleteAcls: delete_acls::DeleteAclsRequest {
            filters: vec![delete_acls::DeleteAclsFilter { resource_type_filter: 2, operation: 1, permission_type: 1, ..Default::default() }],
        } => delete_acls::DeleteAclsResponse<'_>,
        AlterClientQuotas: alter_client_quotas::AlterClientQuotasRequest {
            entries: vec![alter_client_quotas::EntryData {
                entity: vec![alter_client_quotas::EntityData { entity_type: "user".into(), entity_name: None }],
                ops: vec![alter_client_quotas::OpData { key: "producer_byte_rate".into(), value: 1e6, remove: false }],
            }],
            validate_only: false,
        } => alter_client_quotas::AlterClientQuotasResponse<'_>,
        DescribeClientQuotas: describe_client_quotas::DescribeClientQuotasRequest::default() => describe_client_quotas::DescribeClientQuotasResponse<'_>,
        AlterUserScramCredentials: alter_user_scram_credentials::AlterUserScramCredentialsRequest {
            upsertions: vec![alter_user_scram_credentials::ScramCredentialUpsertion {
                name: "a".into(),
                mechanism: 1,
                iterations: 4096,
                ..Default::default()
            }],
            ..Default::default()
        } => alter_user_scram_credentials::AlterUserScramCredentialsResponse<'_>,
        DescribeUserScramCredentials: describe_user_scram_credentials::DescribeUserScramCredentialsRequest::default() => describe_user_scram_credentials::DescribeUserScramCredentialsResponse<'_>,
        UpdateFeatures: update_features::UpdateFeaturesRequest {
            feature_updates: vec![update_features::FeatureUpdateKey { feature: "transaction.version".into(), max_version_level: 2, ..Default::default() }],
            ..Default::default()
        } => update_features::UpdateFeaturesResponse<'_>,
        DescribeConfigs: describe_configs::DescribeConfigsRequest {
            resources: vec![
                describe_configs::DescribeConfigsResource { resource_type: 2, resource_name: "t".into(), configuration_keys: None },
                describe_configs::DescribeConfigsResource { resource_type: 4, resource_name: "0".into(), configuration_keys: None },
            ],
            include_synonyms: true,
            include_documentation: true,
        } => describe_configs::DescribeConfigsResponse<'_>,
        AlterConfigs: alter_configs::AlterConfigsRequest::default() => alter_configs::AlterConfigsResponse<'_>,
        CreatePartitions: create_partitions::CreatePartitionsRequest {
            topics: vec![create_partitions::CreatePartitionsTopic { name: "t".into(), count: 1, assignments: None }],
            ..Default::default()
        } => create_partitions::CreatePartitionsResponse<'_>,
        DeleteGroups: delete_groups::DeleteGroupsRequest { groups_names: vec![group()] } => delete_groups::DeleteGroupsResponse<'_>,
        IncrementalAlterConfigs: incremental_alter_configs::IncrementalAlterConfigsRequest::default() => incremental_alter_configs::IncrementalAlterConfigsResponse<'_>,
        OffsetDelete: offset_delete::OffsetDeleteRequest { group_id: group(), ..Default::default() } => offset_delete::OffsetDeleteResponse<'_>,
        AlterReplicaLogDirs: alter_replica_log_dirs::AlterReplicaLogDirsRequest {
            dirs: vec![alter_replica_log_dirs::AlterReplicaLogDir { path: "/elsewhere".into(), topics: Vec::new() }],
        } => alter_replica_log_dirs::AlterReplicaLogDirsResponse<'_>,
        DescribeLogDirs: describe_log_dirs::DescribeLogDirsRequest { topics: None } => describe_log_dirs::DescribeLogDirsResponse<'_>,
        ElectLeaders: elect_leaders::ElectLeadersRequest {
            topic_partitions: Some(vec![elect_leaders::TopicPartitions { topic: "t".into(), partitions: vec![0, 9] }]),
            ..Default::default()
        } => elect_leaders::ElectLeadersResponse<'_>,
        AlterPartitionReassignments: alter_partition_reassignments::AlterPartitionReassignmentsRequest {
            topics: vec![alter_partition_reassignments::ReassignableTopic {
                name: "t".into(),
                partitions: vec![alter_partition_reassignments::ReassignablePartition { partition_index: 0, replicas: Some(vec![0]) }],
            }],
            ..Default::default()
        } => alter_partition_reassignments::AlterPartitionReassignmentsResponse<'_>,
        ListPartitionReassignments: list_partition_reassignments::ListPartitionReassignmentsRequest::default() => list_partition_reassignments::ListPartitionReassignmentsResponse<'_>,
        DescribeQuorum: describe_quorum::DescribeQuorumRequest {
            topics: vec![describe_quorum::TopicData {
                topic_name: "__cluster_metadata".into(),
                partitions: vec![describe_quorum::PartitionData { partition_index: 0 }],
            }],
        } => describe_quorum::DescribeQuorumResponse<'_>,
        DescribeCluster: describe_cluster::DescribeClusterRequest::default() => describe_cluster::DescribeClusterResponse<'_>,
        ListConfigResources: list_config_resources::ListConfigResourcesRequest::default() => list_config_resources::ListConfigResourcesResponse<'_>,
        ConsumerGroupHeartbeat: consumer_group_heartbeat::ConsumerGroupHeartbeatRequest {
            group_id: "consumers".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 1_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        } => consumer_group_heartbeat::ConsumerGroupHeartbeatResponse<'_>,
        ConsumerGroupDescribe: consumer_group_describe::ConsumerGroupDescribeRequest {
            group_ids: vec!["consumers".into(), group()],
            include_authorized_operations: true,
        } => consumer_group_describe::ConsumerGroupDescribeResponse<'_>,
        DescribeTopicPartitions: describe_topic_partitions::DescribeTopicPartitionsRequest::default() => describe_topic_partitions::DescribeTopicPartitionsResponse<'_>,
    }
    assert!(
        offered.is_empty(),
        "announced, but not tried here: keys {:?}",
        offered.keys().collect::<Vec<_>>()
    );
}
