//! ShareFetch (key 78).

use crate::error_code::ErrorCode;
use crate::primitives::{Records, Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ShareFetchRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 78, kind = "request", versions = "1-2", flexible = "0+")]
pub struct ShareFetchRequest<'a> {
    #[kafka(nullable = "0+", default = null)]
    pub group_id: Option<Str<'a>>,
    #[kafka(nullable = "0+")]
    pub member_id: Option<Str<'a>>,
    pub share_session_epoch: i32,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    #[kafka(default = 2147483647)]
    pub max_bytes: i32,
    #[kafka(versions = "1+")]
    pub max_records: i32,
    #[kafka(versions = "1+")]
    pub batch_size: i32,
    #[kafka(versions = "2+")]
    pub share_acquire_mode: i8,
    #[kafka(versions = "2+")]
    pub is_renew_ack: bool,
    pub topics: Vec<FetchTopic>,
    pub forgotten_topics_data: Vec<ForgottenTopic>,
}

/// Part `FetchTopic` of [`ShareFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

/// Part `FetchPartition` of [`ShareFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchPartition {
    pub partition_index: i32,
    #[kafka(versions = "0")]
    pub partition_max_bytes: i32,
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
}

/// Part `AcknowledgementBatch` of [`ShareFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgementBatch {
    pub first_offset: i64,
    pub last_offset: i64,
    pub acknowledge_types: Vec<i8>,
}

/// Part `ForgottenTopic` of [`ShareFetchRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ForgottenTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// Response body `ShareFetchResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 78, kind = "response", versions = "1-2", flexible = "0+")]
pub struct ShareFetchResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "1+")]
    pub acquisition_lock_timeout_ms: i32,
    pub responses: Vec<ShareFetchableTopicResponse<'a>>,
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Part `ShareFetchableTopicResponse` of [`ShareFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ShareFetchableTopicResponse<'a> {
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData<'a>>,
}

/// Part `PartitionData` of [`ShareFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub acknowledge_error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub acknowledge_error_message: Option<Str<'a>>,
    pub current_leader: LeaderIdAndEpoch,
    #[kafka(nullable = "0")]
    pub records: Option<Records<'a>>,
    pub acquired_records: Vec<AcquiredRecords>,
}

/// Part `LeaderIdAndEpoch` of [`ShareFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

/// Part `AcquiredRecords` of [`ShareFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcquiredRecords {
    pub first_offset: i64,
    pub last_offset: i64,
    pub delivery_count: i16,
}

/// Part `NodeEndpoint` of [`ShareFetchResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint<'a> {
    pub node_id: i32,
    pub host: Str<'a>,
    pub port: i32,
    #[kafka(nullable = "0+", default = null)]
    pub rack: Option<Str<'a>>,
}
