//! DescribeQuorum (key 55).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `DescribeQuorumRequest`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 55, kind = "request", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest<'a> {
    pub topics: Vec<TopicData<'a>>,
}

/// Part `TopicData` of [`DescribeQuorumRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicData<'a> {
    pub topic_name: Str<'a>,
    pub partitions: Vec<PartitionData>,
}

/// Part `PartitionData` of [`DescribeQuorumRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
}

/// Response body `DescribeQuorumResponse`, versions 0-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 55, kind = "response", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse<'a> {
    pub error_code: ErrorCode,
    #[kafka(versions = "2+", nullable = "2+")]
    pub error_message: Option<Str<'a>>,
    pub topics: Vec<ResponseTopicData<'a>>,
    #[kafka(versions = "2+")]
    pub nodes: Vec<Node<'a>>,
}

/// Part `TopicData` of [`DescribeQuorumResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "TopicData")]
pub struct ResponseTopicData<'a> {
    pub topic_name: Str<'a>,
    pub partitions: Vec<ResponsePartitionData<'a>>,
}

/// Part `PartitionData` of [`DescribeQuorumResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "PartitionData")]
pub struct ResponsePartitionData<'a> {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[kafka(versions = "2+", nullable = "2+")]
    pub error_message: Option<Str<'a>>,
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub high_watermark: i64,
    pub current_voters: Vec<ReplicaState>,
    pub observers: Vec<ReplicaState>,
}

/// Part `ReplicaState` of [`DescribeQuorumResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaState {
    pub replica_id: i32,
    #[kafka(versions = "2+")]
    pub replica_directory_id: Uuid,
    pub log_end_offset: i64,
    #[kafka(versions = "1+", default = -1)]
    pub last_fetch_timestamp: i64,
    #[kafka(versions = "1+", default = -1)]
    pub last_caught_up_timestamp: i64,
}

/// Part `Node` of [`DescribeQuorumResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Node<'a> {
    #[kafka(versions = "2+")]
    pub node_id: i32,
    #[kafka(versions = "2+")]
    pub listeners: Vec<Listener<'a>>,
}

/// Part `Listener` of [`DescribeQuorumResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Listener<'a> {
    #[kafka(versions = "2+")]
    pub name: Str<'a>,
    #[kafka(versions = "2+")]
    pub host: Str<'a>,
    #[kafka(versions = "2+")]
    pub port: u16,
}
