//! Offsets by name and by time.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};
use quipu_protocol::ErrorCode;

use super::cluster::topic_name;
use super::{ClientError, Cluster, Isolation, TopicPartition};

/// A place in a partition that the broker must look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The oldest record that is kept.
    Start,
    /// One past the newest record that a reader may see.
    End,
    /// The first record whose timestamp is at least this, in milliseconds since 1970.
    Time(i64),
}

impl At {
    fn timestamp(self) -> i64 {
        match self {
            Self::Start => -2,
            Self::End => -1,
            Self::Time(ms) => ms.max(0),
        }
    }
}

impl Cluster {
    /// Looks up a place in each of `partitions` (ListOffsets). A time after the last record gives the end.
    pub fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        at: At,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let mut found = BTreeMap::new();
        let mut left: Vec<TopicPartition> = partitions.to_vec();
        for attempt in 0.. {
            let mut again = Vec::new();
            for (leader, partitions) in self.by_leader(&left)? {
                let request = request(&partitions, at, isolation);
                let response = self.call_node(leader, &request, std::time::Duration::ZERO)?;
                for topic in &response.topics {
                    for p in &topic.partitions {
                        let partition = TopicPartition::new(topic.name.to_string(), p.partition_index);
                        if p.error_code == 0 {
                            found.insert(partition, p.offset);
                            continue;
                        }
                        let error = ClientError::broker(format!("partition {partition}"), p.error_code, None);
                        let gone = error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                        if !error.is_retriable() || gone || attempt >= 50 {
                            return Err(error);
                        }
                        self.forget_leader(&partition);
                        again.push(partition);
                    }
                }
            }
            if again.is_empty() {
                break;
            }
            left = again;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let past_the_end: Vec<_> =
            found.iter().filter(|(_, offset)| **offset < 0).map(|(p, _)| p.clone()).collect();
        if !past_the_end.is_empty() && at != At::End {
            found.extend(self.offsets(&past_the_end, At::End, isolation)?);
        }
        Ok(found)
    }

    /// Sorts partitions by the broker that leads them.
    pub(crate) fn by_leader(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<i32, Vec<TopicPartition>>, ClientError> {
        let mut groups: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            groups.entry(self.leader(partition)?).or_default().push(partition.clone());
        }
        Ok(groups)
    }
}

fn request(partitions: &[TopicPartition], at: At, isolation: Isolation) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for p in partitions {
        let entry =
            ListOffsetsPartition::default().with_partition_index(p.partition).with_timestamp(at.timestamp());
        topics.entry(&p.topic).or_default().push(entry);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| {
            ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        })
        .collect();
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation as i8)
        .with_topics(topics)
}
