//! ShareAcknowledge (key 79).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `ShareAcknowledgeRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 79, kind = "request", versions = "1-2", flexible = "0+")]
pub struct ShareAcknowledgeRequest<'a> {
    #[kafka(nullable = "0+", default = null)]
    pub group_id: Option<Str<'a>>,
    #[kafka(nullable = "0+")]
    pub member_id: Option<Str<'a>>,
    pub share_session_epoch: i32,
    #[kafka(versions = "2+")]
    pub is_renew_ack: bool,
    pub topics: Vec<AcknowledgeTopic>,
}

/// Part `AcknowledgeTopic` of [`ShareAcknowledgeRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgeTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<AcknowledgePartition>,
}

/// Part `AcknowledgePartition` of [`ShareAcknowledgeRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgePartition {
    pub partition_index: i32,
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
}

/// Part `AcknowledgementBatch` of [`ShareAcknowledgeRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgementBatch {
    pub first_offset: i64,
    pub last_offset: i64,
    pub acknowledge_types: Vec<i8>,
}

/// Response body `ShareAcknowledgeResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 79, kind = "response", versions = "1-2", flexible = "0+")]
pub struct ShareAcknowledgeResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    #[kafka(versions = "2+")]
    pub acquisition_lock_timeout_ms: i32,
    pub responses: Vec<ShareAcknowledgeTopicResponse<'a>>,
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Part `ShareAcknowledgeTopicResponse` of [`ShareAcknowledgeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ShareAcknowledgeTopicResponse<'a> {
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData<'a>>,
}

/// Part `PartitionData` of [`ShareAcknowledgeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub current_leader: LeaderIdAndEpoch,
}

/// Part `LeaderIdAndEpoch` of [`ShareAcknowledgeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

/// Part `NodeEndpoint` of [`ShareAcknowledgeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint<'a> {
    pub node_id: i32,
    pub host: Str<'a>,
    pub port: i32,
    #[kafka(nullable = "0+", default = null)]
    pub rack: Option<Str<'a>>,
}
