//! Metadata (key 3).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `MetadataRequest`, versions 0-13.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 3, kind = "request", versions = "0-13", flexible = "9+")]
pub struct MetadataRequest<'a> {
    #[kafka(nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic<'a>>>,
    #[kafka(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    #[kafka(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    #[kafka(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// Part `MetadataRequestTopic` of [`MetadataRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataRequestTopic<'a> {
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    #[kafka(nullable = "10+")]
    pub name: Option<Str<'a>>,
}

/// Response body `MetadataResponse`, versions 0-13.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 3, kind = "response", versions = "0-13", flexible = "9+")]
pub struct MetadataResponse<'a> {
    #[kafka(versions = "3+")]
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker<'a>>,
    #[kafka(versions = "2+", nullable = "2+", default = null)]
    pub cluster_id: Option<Str<'a>>,
    #[kafka(versions = "1+", default = -1)]
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic<'a>>,
    #[kafka(versions = "8-10", default = -2147483648)]
    pub cluster_authorized_operations: i32,
    #[kafka(versions = "13+")]
    pub error_code: ErrorCode,
}

/// Part `MetadataResponseBroker` of [`MetadataResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponseBroker<'a> {
    pub node_id: i32,
    pub host: Str<'a>,
    pub port: i32,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub rack: Option<Str<'a>>,
}

/// Part `MetadataResponseTopic` of [`MetadataResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponseTopic<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "12+")]
    pub name: Option<Str<'a>>,
    #[kafka(versions = "10+")]
    pub topic_id: Uuid,
    #[kafka(versions = "1+")]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    #[kafka(versions = "8+", default = -2147483648)]
    pub topic_authorized_operations: i32,
}

/// Part `MetadataResponsePartition` of [`MetadataResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponsePartition {
    pub error_code: ErrorCode,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(versions = "7+", default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(versions = "5+")]
    pub offline_replicas: Vec<i32>,
}
