//! A member of a consumer group, by the classic protocol: join, synchronise, beat, commit, leave.
//!
//! ```text
//! (nobody) ── join ──► joined ── sync ──► stable ── beat: rebalance ──► (join again with the same member id)
//!                                           └───── beat: unknown member, old generation ──► (join again as nobody)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use quipu_protocol::ErrorCode;

use super::cluster::topic_name;
use super::{ClientError, Cluster, TopicPartition};

const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
const PROTOCOL_TYPE: &str = "consumer";
/// The assignor that every client has.
const ASSIGNOR: &str = "range";

/// What a heartbeat told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// All is well, or it was not time yet.
    Stable,
    /// Members come or go: commit, then join again.
    Rebalance,
}

/// A committed offset of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record to read.
    pub offset: i64,
    /// What the member wrote beside it.
    pub metadata: String,
}

/// This process as a member of a group.
#[derive(Debug)]
pub struct GroupMember {
    group: String,
    topics: Vec<String>,
    member_id: String,
    generation: i32,
    last_beat: Instant,
}

impl GroupMember {
    /// A member that has not joined yet.
    pub fn new(group: &str, topics: &[String]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.to_vec(),
            member_id: String::new(),
            generation: -1,
            last_beat: Instant::now(),
        }
    }

    /// Joins, or joins again, and returns the partitions that are now this member's.
    pub fn join(&mut self, cluster: &mut Cluster) -> Result<Vec<TopicPartition>, ClientError> {
        loop {
            let joined = self.join_once(cluster)?;
            match ErrorCode(joined.error_code) {
                ErrorCode::NONE => {}
                // KIP-394: the broker wants to know the member before it counts it in.
                ErrorCode::MEMBER_ID_REQUIRED => {
                    self.member_id = joined.member_id.to_string();
                    continue;
                }
                ErrorCode::UNKNOWN_MEMBER_ID => {
                    self.member_id.clear();
                    continue;
                }
                ErrorCode::REBALANCE_IN_PROGRESS => continue,
                code => return Err(self.error(code)),
            }
            self.member_id = joined.member_id.to_string();
            self.generation = joined.generation_id;
            self.last_beat = Instant::now();
            let assignments = match joined.leader == joined.member_id {
                true => assign_ranges(cluster, &joined)?,
                false => Vec::new(),
            };
            if let Some(assignment) = self.sync(cluster, assignments)? {
                return Ok(assignment);
            }
        }
    }

    fn join_once(&self, cluster: &mut Cluster) -> Result<JoinGroupResponse, ClientError> {
        let topics = self.topics.iter().map(|topic| StrBytes::from_string(topic.clone())).collect();
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(ASSIGNOR))
            .with_metadata(with_version(&subscription)?);
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(SESSION_TIMEOUT.as_millis() as i32)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT.as_millis() as i32)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        cluster.call_coordinator(&self.group, &request, REBALANCE_TIMEOUT, |response| response.error_code)
    }

    /// None when the group moved on meanwhile, and this member must join again.
    fn sync(
        &mut self,
        cluster: &mut Cluster,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Option<Vec<TopicPartition>>, ClientError> {
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_assignments(assignments);
        let coordinator = cluster.coordinator(&self.group)?;
        let version = cluster.node(coordinator)?.version::<SyncGroupRequest>(i16::MAX)?;
        let request = match version >= 5 {
            true => request
                .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
                .with_protocol_name(Some(StrBytes::from_static_str(ASSIGNOR))),
            false => request,
        };
        let response =
            cluster.call_coordinator(&self.group, &request, REBALANCE_TIMEOUT, |r| r.error_code)?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::REBALANCE_IN_PROGRESS => return Ok(None),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                self.member_id.clear();
                return Ok(None);
            }
            code => return Err(self.error(code)),
        }
        self.last_beat = Instant::now();
        Ok(Some(read_assignment(&response.assignment)?))
    }

    /// Tells the coordinator that this member lives, when it is time.
    pub fn beat(&mut self, cluster: &mut Cluster) -> Result<Beat, ClientError> {
        if self.last_beat.elapsed() < HEARTBEAT_INTERVAL {
            return Ok(Beat::Stable);
        }
        self.last_beat = Instant::now();
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()));
        let response = cluster.call_coordinator(&self.group, &request, Duration::ZERO, |r| r.error_code)?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => Ok(Beat::Stable),
            ErrorCode::REBALANCE_IN_PROGRESS => Ok(Beat::Rebalance),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                self.member_id.clear();
                Ok(Beat::Rebalance)
            }
            code => Err(self.error(code)),
        }
    }

    /// Commits offsets as this member. A commit that comes too late for its generation is no error: the partitions are
    /// somebody else's by now.
    pub fn commit(
        &mut self,
        cluster: &mut Cluster,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        let results = commit(cluster, &self.group, self.generation, &self.member_id, offsets)?;
        for (partition, code) in results {
            match ErrorCode(code) {
                ErrorCode::NONE
                | ErrorCode::REBALANCE_IN_PROGRESS
                | ErrorCode::ILLEGAL_GENERATION
                | ErrorCode::UNKNOWN_MEMBER_ID => {}
                code => return Err(ClientError::broker(format!("offset of {partition}"), code.0, None)),
            }
        }
        Ok(())
    }

    /// Leaves, so that the others need not wait for this member's session to end.
    pub fn leave(self, cluster: &mut Cluster) -> Result<(), ClientError> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let member = StrBytes::from_string(self.member_id.clone());
        let coordinator = cluster.coordinator(&self.group)?;
        let version = cluster.node(coordinator)?.version::<LeaveGroupRequest>(i16::MAX)?;
        let request = LeaveGroupRequest::default().with_group_id(group_id(&self.group));
        let request = match version >= 3 {
            true => request.with_members(vec![MemberIdentity::default().with_member_id(member)]),
            false => request.with_member_id(member),
        };
        cluster.call_coordinator(&self.group, &request, Duration::ZERO, |r| r.error_code)?;
        Ok(())
    }

    fn error(&self, code: ErrorCode) -> ClientError {
        ClientError::broker(format!("group \"{}\"", self.group), code.0, None)
    }
}

/// Commits offsets. Generation −1 with an empty member is an administrator's commit, which a group with members refuses.
/// Returns a code per partition.
pub(crate) fn commit(
    cluster: &mut Cluster,
    group: &str,
    generation: i32,
    member: &str,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<(TopicPartition, i16)>, ClientError> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (p, offset) in offsets {
        let entry = OffsetCommitRequestPartition::default()
            .with_partition_index(p.partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::new()));
        topics.entry(&p.topic).or_default().push(entry);
    }
    let topics = topics
        .into_iter()
        .map(|(name, p)| OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(p))
        .collect();
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(StrBytes::from_string(member.to_owned()))
        .with_retention_time_ms(-1)
        .with_topics(topics);
    let response = cluster.call_coordinator(group, &request, Duration::ZERO, |response| {
        response.topics.first().and_then(|t| t.partitions.first()).map_or(0, |p| p.error_code)
    })?;
    Ok(response
        .topics
        .iter()
        .flat_map(|t| {
            t.partitions
                .iter()
                .map(|p| (TopicPartition::new(t.name.to_string(), p.partition_index), p.error_code))
        })
        .collect())
}

/// What a group has committed: for `partitions`, or for all that it ever committed with `None`. Partitions without a
/// committed offset are absent.
pub(crate) fn committed(
    cluster: &mut Cluster,
    group: &str,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
    let coordinator = cluster.coordinator(group)?;
    let version = cluster.node(coordinator)?.version::<OffsetFetchRequest>(i16::MAX)?;
    let by_topic = partitions.map(|partitions| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for p in partitions {
            topics.entry(&p.topic).or_default().push(p.partition);
        }
        topics
    });
    let request = if version >= 8 {
        let topics = by_topic.map(|topics| {
            let entry = |(name, partitions)| {
                OffsetFetchRequestTopics::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions)
            };
            topics.into_iter().map(entry).collect()
        });
        let entry = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(topics);
        let entry = if version >= 9 { entry.with_member_epoch(-1) } else { entry };
        OffsetFetchRequest::default().with_groups(vec![entry])
    } else {
        let topics = by_topic.map(|topics| {
            let entry = |(name, partitions)| {
                OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions)
            };
            topics.into_iter().map(entry).collect()
        });
        OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(topics)
    };
    let response = cluster.call_coordinator(group, &request, Duration::ZERO, |response| {
        response.groups.first().map_or(response.error_code, |group| group.error_code)
    })?;
    let code = response.groups.first().map_or(response.error_code, |group| group.error_code);
    if code != 0 {
        return Err(ClientError::broker(format!("group \"{group}\""), code, None));
    }
    let mut found = BTreeMap::new();
    let mut keep = |topic: &str, partition: i32, offset: i64, metadata: Option<&StrBytes>| {
        if offset >= 0 {
            let metadata = metadata.map(ToString::to_string).unwrap_or_default();
            found.insert(TopicPartition::new(topic, partition), Committed { offset, metadata });
        }
    };
    for t in response.groups.iter().flat_map(|group| &group.topics) {
        for p in &t.partitions {
            keep(&t.name, p.partition_index, p.committed_offset, p.metadata.as_ref());
        }
    }
    for t in &response.topics {
        for p in &t.partitions {
            keep(&t.name, p.partition_index, p.committed_offset, p.metadata.as_ref());
        }
    }
    Ok(found)
}

pub(crate) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// Kafka's range assignor: each topic's partitions in order, split into runs among its subscribers in order of member id,
/// the first ones getting one more where it does not divide (`RangeAssignor` in Kafka's client library).
fn ranges(partitions: i32, members: &[String]) -> Vec<(String, Vec<i32>)> {
    let count = members.len().max(1) as i32;
    let (each, more) = (partitions / count, partitions % count);
    let mut next = 0;
    let mut shares = Vec::new();
    for (place, member) in members.iter().enumerate() {
        let share = each + i32::from((place as i32) < more);
        shares.push((member.clone(), (next..next + share).collect()));
        next += share;
    }
    shares
}

fn assign_ranges(
    cluster: &mut Cluster,
    joined: &JoinGroupResponse,
) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
    let mut subscribers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for member in &joined.members {
        for topic in read_subscription(&member.metadata)? {
            subscribers.entry(topic).or_default().insert(member.member_id.to_string());
        }
    }
    let names: Vec<String> = subscribers.keys().cloned().collect();
    let mut shares: BTreeMap<String, Vec<Assigned>> = BTreeMap::new();
    for topic in cluster.describe(Some(&names), false)? {
        // A topic that is missing is nobody's until it is there.
        let Ok(topic) = topic else { continue };
        let members: Vec<String> = subscribers.get(&topic.name).into_iter().flatten().cloned().collect();
        for (member, partitions) in ranges(topic.partitions.len() as i32, &members) {
            if !partitions.is_empty() {
                let part =
                    Assigned::default().with_topic(topic_name(&topic.name)).with_partitions(partitions);
                shares.entry(member).or_default().push(part);
            }
        }
    }
    let mut assignments = Vec::new();
    for member in &joined.members {
        let parts = shares.remove(member.member_id.as_str()).unwrap_or_default();
        let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(parts);
        assignments.push(
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(with_version(&assignment)?),
        );
    }
    Ok(assignments)
}

/// The embedded consumer protocol: a 16-bit version, then the message. Version 0 is understood by everybody.
fn with_version(message: &impl Encodable) -> Result<Bytes, ClientError> {
    let mut out = BytesMut::from(&[0, 0][..]);
    message
        .encode(&mut out, 0)
        .map_err(|error| ClientError::Other(format!("cannot write the consumer protocol: {error}")))?;
    Ok(out.freeze())
}

/// Reads the topics of a member's subscription.
pub(crate) fn read_subscription(metadata: &Bytes) -> Result<Vec<String>, ClientError> {
    let Some((mut body, version)) = split_version(metadata) else { return Ok(Vec::new()) };
    let subscription = ConsumerProtocolSubscription::decode(&mut body, version.clamp(0, 3))
        .map_err(|error| ClientError::Other(format!("a member's subscription cannot be read: {error}")))?;
    Ok(subscription.topics.iter().map(ToString::to_string).collect())
}

/// Reads what SyncGroup answered or DescribeGroups tells of a member: its partitions.
pub(crate) fn read_assignment(assignment: &Bytes) -> Result<Vec<TopicPartition>, ClientError> {
    let Some((mut body, version)) = split_version(assignment) else { return Ok(Vec::new()) };
    let assignment = ConsumerProtocolAssignment::decode(&mut body, version.clamp(0, 3))
        .map_err(|error| ClientError::Other(format!("the group's assignment cannot be read: {error}")))?;
    let mut partitions: Vec<TopicPartition> = assignment
        .assigned_partitions
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.topic.to_string(), *p)))
        .collect();
    partitions.sort();
    Ok(partitions)
}

fn split_version(bytes: &Bytes) -> Option<(Bytes, i16)> {
    let version = i16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    Some((bytes.slice(2..), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_give_the_first_ones_more() {
        let members = ["a", "b", "c"].map(String::from);
        let shares: Vec<Vec<i32>> = ranges(8, &members).into_iter().map(|(_, p)| p).collect();
        assert_eq!(shares, [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        let shares: Vec<usize> = ranges(2, &members).into_iter().map(|(_, p)| p.len()).collect();
        assert_eq!(shares, [1, 1, 0]);
    }

    #[test]
    fn assignments_survive_the_round_trip() {
        let part = Assigned::default().with_topic(topic_name("t")).with_partitions(vec![2, 0]);
        let bytes = with_version(&ConsumerProtocolAssignment::default().with_assigned_partitions(vec![part]))
            .unwrap();
        assert_eq!(
            read_assignment(&bytes).unwrap(),
            [TopicPartition::new("t", 0), TopicPartition::new("t", 2)]
        );
        assert_eq!(read_assignment(&Bytes::new()).unwrap(), []);
    }

    #[test]
    fn subscriptions_survive_the_round_trip() {
        let subscription = ConsumerProtocolSubscription::default().with_topics(vec!["a".into(), "b".into()]);
        let bytes = with_version(&subscription).unwrap();
        assert_eq!(read_subscription(&bytes).unwrap(), ["a", "b"]);
    }
}
