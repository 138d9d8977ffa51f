//! A small Kafka client, for the command line and for mirroring.
//!
//! It talks to any broker that speaks the Kafka protocol, one blocking connection per broker. Requests and responses go
//! through the `kafka-protocol` crate, so a codec that is not ours sits at the other end of every end-to-end test. Record
//! batches go through [`quipu_protocol::record`]: the crate's own record codec keeps headers in a map and would lose
//! repeated ones.
//!
//! Order of the parts: [`Connection`] speaks to one broker, [`Cluster`] finds the right one, [`Producer`], [`Consumer`],
//! [`GroupMember`] and [`admin`] use it.

pub mod admin;
mod cluster;
mod connection;
mod consumer;
mod error;
mod group;
mod offsets;
mod partitioner;
mod producer;

pub(crate) use cluster::topic_name;
pub use cluster::{Cluster, Node, PartitionInfo, TopicInfo};
pub use connection::{Connection, Feature, Options};
pub use consumer::{Consumer, Isolation, Polled, Record};
pub use error::ClientError;
pub use group::{Beat, Committed, GroupMember};
pub use offsets::At;
pub use partitioner::{murmur2, partition_for_key};
pub use producer::{Acks, Outgoing, Producer, ProducerOptions, Sent};

/// A topic and the number of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
