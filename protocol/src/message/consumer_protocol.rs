//! What members of a consumer group tell each other inside JoinGroup and SyncGroup.

use crate::primitives::{Blob, Str};
use quipu_protocol_derive::Message;

/// Data `ConsumerProtocolSubscription`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(kind = "data", versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolSubscription<'a> {
    pub topics: Vec<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub user_data: Option<Blob<'a>>,
    #[kafka(versions = "1+")]
    pub owned_partitions: Vec<TopicPartition<'a>>,
    #[kafka(versions = "2+", default = -1)]
    pub generation_id: i32,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub rack_id: Option<Str<'a>>,
}

/// Part `TopicPartition` of [`ConsumerProtocolSubscription`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartition<'a> {
    #[kafka(versions = "1+")]
    pub topic: Str<'a>,
    #[kafka(versions = "1+")]
    pub partitions: Vec<i32>,
}

/// Data `ConsumerProtocolAssignment`, versions 0-3.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(kind = "data", versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolAssignment<'a> {
    pub assigned_partitions: Vec<DataTopicPartition<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub user_data: Option<Blob<'a>>,
}

/// Part `TopicPartition` of [`ConsumerProtocolAssignment`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "TopicPartition")]
pub struct DataTopicPartition<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<i32>,
}
