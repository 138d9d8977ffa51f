//! The APIs that a client may use, one row each.

use crate::Message;
use crate::message;
use crate::primitives::DecodeError;
use crate::schema::StructSchema;
use std::fmt;
use std::ops::RangeInclusive;

/// Calls the macro `$callback` with every API: rows of
/// `Name = key: module, Request, Response;`, lowest key first.
#[macro_export]
macro_rules! for_each_api {
    ($callback:ident) => {
        $callback! {
            Produce = 0: produce, ProduceRequest, ProduceResponse;
            Fetch = 1: fetch, FetchRequest, FetchResponse;
            ListOffsets = 2: list_offsets, ListOffsetsRequest, ListOffsetsResponse;
            Metadata = 3: metadata, MetadataRequest, MetadataResponse;
            OffsetCommit = 8: offset_commit, OffsetCommitRequest, OffsetCommitResponse;
            OffsetFetch = 9: offset_fetch, OffsetFetchRequest, OffsetFetchResponse;
            FindCoordinator = 10: find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse;
            JoinGroup = 11: join_group, JoinGroupRequest, JoinGroupResponse;
            Heartbeat = 12: heartbeat, HeartbeatRequest, HeartbeatResponse;
            LeaveGroup = 13: leave_group, LeaveGroupRequest, LeaveGroupResponse;
            SyncGroup = 14: sync_group, SyncGroupRequest, SyncGroupResponse;
            DescribeGroups = 15: describe_groups, DescribeGroupsRequest, DescribeGroupsResponse;
            ListGroups = 16: list_groups, ListGroupsRequest, ListGroupsResponse;
            SaslHandshake = 17: sasl_handshake, SaslHandshakeRequest, SaslHandshakeResponse;
            ApiVersions = 18: api_versions, ApiVersionsRequest, ApiVersionsResponse;
            CreateTopics = 19: create_topics, CreateTopicsRequest, CreateTopicsResponse;
            DeleteTopics = 20: delete_topics, DeleteTopicsRequest, DeleteTopicsResponse;
            DeleteRecords = 21: delete_records, DeleteRecordsRequest, DeleteRecordsResponse;
            InitProducerId = 22: init_producer_id, InitProducerIdRequest, InitProducerIdResponse;
            OffsetForLeaderEpoch = 23: offset_for_leader_epoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            AddPartitionsToTxn = 24: add_partitions_to_txn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
            AddOffsetsToTxn = 25: add_offsets_to_txn, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
            EndTxn = 26: end_txn, EndTxnRequest, EndTxnResponse;
            WriteTxnMarkers = 27: write_txn_markers, WriteTxnMarkersRequest, WriteTxnMarkersResponse;
            TxnOffsetCommit = 28: txn_offset_commit, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
            DescribeAcls = 29: describe_acls, DescribeAclsRequest, DescribeAclsResponse;
            CreateAcls = 30: create_acls, CreateAclsRequest, CreateAclsResponse;
            DeleteAcls = 31: delete_acls, DeleteAclsRequest, DeleteAclsResponse;
            DescribeConfigs = 32: describe_configs, DescribeConfigsRequest, DescribeConfigsResponse;
            AlterConfigs = 33: alter_configs, AlterConfigsRequest, AlterConfigsResponse;
            AlterReplicaLogDirs = 34: alter_replica_log_dirs, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
            DescribeLogDirs = 35: describe_log_dirs, DescribeLogDirsRequest, DescribeLogDirsResponse;
            SaslAuthenticate = 36: sasl_authenticate, SaslAuthenticateRequest, SaslAuthenticateResponse;
            CreatePartitions = 37: create_partitions, CreatePartitionsRequest, CreatePartitionsResponse;
            CreateDelegationToken = 38: create_delegation_token, CreateDelegationTokenRequest, CreateDelegationTokenResponse;
            RenewDelegationToken = 39: renew_delegation_token, RenewDelegationTokenRequest, RenewDelegationTokenResponse;
            ExpireDelegationToken = 40: expire_delegation_token, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
            DescribeDelegationToken = 41: describe_delegation_token, DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
            DeleteGroups = 42: delete_groups, DeleteGroupsRequest, DeleteGroupsResponse;
            ElectLeaders = 43: elect_leaders, ElectLeadersRequest, ElectLeadersResponse;
            IncrementalAlterConfigs = 44: incremental_alter_configs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            AlterPartitionReassignments = 45: alter_partition_reassignments, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
            ListPartitionReassignments = 46: list_partition_reassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
            OffsetDelete = 47: offset_delete, OffsetDeleteRequest, OffsetDeleteResponse;
            DescribeClientQuotas = 48: describe_client_quotas, DescribeClientQuotasRequest, DescribeClientQuotasResponse;
            AlterClientQuotas = 49: alter_client_quotas, AlterClientQuotasRequest, AlterClientQuotasResponse;
            DescribeUserScramCredentials = 50: describe_user_scram_credentials, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
            AlterUserScramCredentials = 51: alter_user_scram_credentials, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
            DescribeQuorum = 55: describe_quorum, DescribeQuorumRequest, DescribeQuorumResponse;
            UpdateFeatures = 57: update_features, UpdateFeaturesRequest, UpdateFeaturesResponse;
            DescribeCluster = 60: describe_cluster, DescribeClusterRequest, DescribeClusterResponse;
            DescribeProducers = 61: describe_producers, DescribeProducersRequest, DescribeProducersResponse;
            UnregisterBroker = 64: unregister_broker, UnregisterBrokerRequest, UnregisterBrokerResponse;
            DescribeTransactions = 65: describe_transactions, DescribeTransactionsRequest, DescribeTransactionsResponse;
            ListTransactions = 66: list_transactions, ListTransactionsRequest, ListTransactionsResponse;
            ConsumerGroupHeartbeat = 68: consumer_group_heartbeat, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe = 69: consumer_group_describe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            GetTelemetrySubscriptions = 71: get_telemetry_subscriptions, GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
            PushTelemetry = 72: push_telemetry, PushTelemetryRequest, PushTelemetryResponse;
            ListConfigResources = 74: list_config_resources, ListConfigResourcesRequest, ListConfigResourcesResponse;
            DescribeTopicPartitions = 75: describe_topic_partitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
            ShareGroupHeartbeat = 76: share_group_heartbeat, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse;
            ShareGroupDescribe = 77: share_group_describe, ShareGroupDescribeRequest, ShareGroupDescribeResponse;
            ShareFetch = 78: share_fetch, ShareFetchRequest, ShareFetchResponse;
            ShareAcknowledge = 79: share_acknowledge, ShareAcknowledgeRequest, ShareAcknowledgeResponse;
            AddRaftVoter = 80: add_raft_voter, AddRaftVoterRequest, AddRaftVoterResponse;
            RemoveRaftVoter = 81: remove_raft_voter, RemoveRaftVoterRequest, RemoveRaftVoterResponse;
            StreamsGroupHeartbeat = 88: streams_group_heartbeat, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse;
            StreamsGroupDescribe = 89: streams_group_describe, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse;
            DescribeShareGroupOffsets = 90: describe_share_group_offsets, DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse;
            AlterShareGroupOffsets = 91: alter_share_group_offsets, AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse;
            DeleteShareGroupOffsets = 92: delete_share_group_offsets, DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse;
            StreamsGroupTopologyDescriptionUpdate = 93: streams_group_topology_description_update, StreamsGroupTopologyDescriptionUpdateRequest, StreamsGroupTopologyDescriptionUpdateResponse;
        }
    };
}

macro_rules! api_keys {
    ($($name:ident = $key:literal: $module:ident, $request:ident, $response:ident;)*) => {
        /// An API, numbered as in Kafka. APIs between brokers and controllers have no place here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs)] // The names are Kafka's.
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// All of them, lowest key first.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// Kafka's name, for example `Fetch`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The versions that are declared, an unstable last one included.
            #[must_use]
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(ApiKey::$name => <message::$module::$request as Message>::VERSIONS,)*
                }
            }

            /// Whether Kafka calls the last version unstable: not to be advertised by default.
            #[must_use]
            pub const fn latest_unstable(self) -> bool {
                match self {
                    $(ApiKey::$name => <message::$module::$request as Message>::LATEST_UNSTABLE,)*
                }
            }

            const fn first_flexible(self) -> (Option<i16>, Option<i16>) {
                match self {
                    $(ApiKey::$name => (
                        <message::$module::$request as Message>::FLEXIBLE,
                        <message::$module::$response as Message>::FLEXIBLE,
                    ),)*
                }
            }

            /// The declarations of the request and of the response.
            #[must_use]
            pub const fn schemas(self) -> (&'static StructSchema, &'static StructSchema) {
                match self {
                    $(ApiKey::$name => (
                        <message::$module::$request as Message>::SCHEMA,
                        <message::$module::$response as Message>::SCHEMA,
                    ),)*
                }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = DecodeError;

            fn try_from(key: i16) -> Result<Self, DecodeError> {
                match key {
                    $($key => Ok(ApiKey::$name),)*
                    _ => Err(DecodeError::UnknownApiKey { key }),
                }
            }
        }
    };
}

for_each_api!(api_keys);

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// The version of the request header: 2 where the request is flexible, else 1. (Version 0 belonged to
    /// one retired API between brokers.)
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        match self.first_flexible().0 {
            Some(first) if version >= first => 2,
            _ => 1,
        }
    }

    /// The version of the response header: 1 where the response is flexible, else 0. ApiVersions always
    /// answers with 0, since a client that asks does not know yet what the broker understands (KIP-511).
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self.first_flexible().1 {
            Some(first) if version >= first && !matches!(self, ApiKey::ApiVersions) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_up_and_come_back() {
        assert_eq!(ApiKey::ALL.len(), 73);
        assert!(ApiKey::ALL.is_sorted());
        for &api in ApiKey::ALL {
            assert_eq!(ApiKey::try_from(api.key()), Ok(api));
        }
        assert_eq!(ApiKey::try_from(7), Err(DecodeError::UnknownApiKey { key: 7 }));
    }

    #[test]
    fn header_versions_follow_the_body() {
        assert_eq!(ApiKey::Produce.request_header_version(8), 1);
        assert_eq!(ApiKey::Produce.request_header_version(9), 2);
        assert_eq!(ApiKey::Produce.response_header_version(9), 1);
        assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
    }
}
