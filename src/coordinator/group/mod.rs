//! One group as a pure machine: a request and the time go in, records and replies come out.
//!
//! What must outlive a restart is in two places, the committed offsets and the last settled generation, and both
//! change only in [`Group::replay`]. A round of joins or syncs under way is not kept: after a restart the members
//! simply carry on with the last settled generation, or join again. Nothing here reads a clock, waits or does I/O.
//!
//! A step runs in three moves, which the driver does under the group's lock:
//! 1. a request or an expired timer gives a [`Step`];
//! 2. the step's records are appended to the log;
//! 3. [`Group::settle`] replays them (or learns that the append failed) and releases what depended on them.

pub mod classic;
pub mod consumer;
mod embedded;
mod migrate;
pub mod offsets;
#[cfg(test)]
pub(crate) mod sim;
pub(crate) mod timers;

use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use self::classic::{Classic, State};
use self::consumer::{Admitted, Beat, BeatReply, Consumer, ConsumerRecord, Refused};
use self::migrate::Converted;
use self::offsets::{Commit, CommitRequest, Committed, Offsets, RetentionFrom};
use super::doors::TopicLookup;
use super::settings::{ConsumerTimes, GroupSettings};
use super::{Millis, Now};

/// A member's id, as the coordinator made it.
pub type MemberId = Arc<str>;

/// Names a parked request; its reply carries the same token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A change to what is kept of a group. The on-log form is in [`super::records`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An offset committed, or removed.
    Offset {
        /// Topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The commit; `None` removes it.
        value: Option<Committed>,
    },
    /// The group's settled generation; `None` removes the group.
    Generation(Option<Arc<Generation>>),
    /// A change to a consumer group.
    Consumer(ConsumerRecord),
}

impl Record {
    /// Whether this is what remains of a group that has been removed.
    pub(crate) fn removes_group(&self) -> bool {
        matches!(self, Self::Generation(None) | Self::Consumer(ConsumerRecord::Epoch(None)))
    }
}

/// A settled generation: what the group agreed on, with everybody's assignment (Kafka's GroupMetadataValue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Kind of protocol, `consumer` for consumers; empty when the group never had members.
    pub protocol_type: Arc<str>,
    /// Number of the generation.
    pub id: i32,
    /// The protocol (assignor) agreed on; `None` without members.
    pub protocol: Option<Arc<str>>,
    /// The member that assigns; `None` without members.
    pub leader: Option<MemberId>,
    /// Wall clock of the last change of state, −1 when unknown (before Kafka 2.1).
    pub state_since_ms: Millis,
    /// Members in order of their ids.
    pub members: Vec<GenerationMember>,
}

/// A member as the settled generation keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationMember {
    /// Id.
    pub id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where the client connects from.
    pub client_host: Arc<str>,
    /// Longest time that it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// Longest silence.
    pub session_timeout_ms: i32,
    /// Its metadata for the protocol agreed on.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// The answer to a parked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers a JoinGroup.
    Join(JoinReply),
    /// Answers a SyncGroup.
    Sync(SyncReply),
}

/// The answer to a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    /// Error, or NONE.
    pub error: ErrorCode,
    /// Generation, −1 with an error.
    pub generation: i32,
    /// Protocol type agreed on.
    pub protocol_type: Option<Arc<str>>,
    /// Protocol agreed on.
    pub protocol: Option<Arc<str>>,
    /// Leader's id, empty with an error.
    pub leader: MemberId,
    /// The leader need not assign again (JoinGroup 9, KIP-814).
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: MemberId,
    /// Everybody, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Id.
    pub id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Its metadata for the protocol agreed on.
    pub metadata: Bytes,
}

/// The answer to a SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReply {
    /// Error, or NONE.
    pub error: ErrorCode,
    /// Protocol type agreed on.
    pub protocol_type: Option<Arc<str>>,
    /// Protocol agreed on.
    pub protocol: Option<Arc<str>>,
    /// The member's assignment, opaque to the coordinator.
    pub assignment: Bytes,
}

impl JoinReply {
    pub(crate) fn refuse(error: ErrorCode, member_id: MemberId) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

impl SyncReply {
    pub(crate) fn refuse(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

/// What one call to the machine asks of its driver.
#[derive(Debug, Default)]
#[must_use = "a step's records must be appended and settled, its replies sent"]
pub struct Step {
    /// To be appended together.
    pub records: Vec<Record>,
    /// To be sent once the records, if any, are durable.
    pub replies: Vec<(Token, Reply)>,
    /// What remains to be done when the outcome of the append is known.
    pub(crate) after: After,
}

/// What waits for the outcome of an append.
#[derive(Debug, Default)]
pub(crate) enum After {
    /// Nothing.
    #[default]
    Nothing,
    /// The leader's assignment: becomes everybody's when kept.
    Assigned {
        /// The generation that it is for.
        generation: i32,
    },
    /// A static member's new id: goes back to the old one when not kept.
    Replaced(Box<classic::Replaced>),
    /// The group changes its protocol.
    Converted(Converted),
    /// A member of the classic protocol joins a consumer group, which may change its protocol by that.
    Joined {
        /// Who waits for the answer.
        token: Token,
        /// The answer, when kept.
        reply: Box<JoinReply>,
        /// What becomes of the group.
        converted: Option<Converted>,
    },
}

impl Step {
    pub(crate) fn join(&mut self, token: Token, reply: JoinReply) {
        self.replies.push((token, Reply::Join(reply)));
    }

    pub(crate) fn sync(&mut self, token: Token, reply: SyncReply) {
        self.replies.push((token, Reply::Sync(reply)));
    }
}

/// One group.
#[derive(Debug)]
pub struct Group {
    id: Arc<str>,
    settled: Option<Arc<Generation>>,
    offsets: Offsets,
    pub(crate) classic: Classic,
    pub(crate) consumer: Consumer,
}

/// Kinds of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// The members assign (also a group that is only offsets).
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupKind {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

impl Group {
    /// A group of which nothing is known yet.
    pub fn new(id: Arc<str>) -> Self {
        Self {
            id,
            settled: None,
            offsets: Offsets::default(),
            classic: Classic::default(),
            consumer: Consumer::default(),
        }
    }

    /// The group's name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Applies a record, at start or after its append. The only way in which kept state changes.
    pub fn replay(&mut self, record: &Record) {
        match record {
            Record::Offset { topic, partition, value } => {
                self.offsets.replay(topic, *partition, value.as_ref());
            }
            Record::Generation(generation) => self.settled = generation.clone(),
            Record::Consumer(record) => self.consumer.replay(record),
        }
    }

    /// Takes in a record of a producer's open transaction.
    pub fn pend(&mut self, producer: i64, record: &Record) {
        // Nothing but offsets is kept in transactions.
        if let Record::Offset { topic, partition, value: Some(value) } = record {
            self.offsets.pend(producer, topic, *partition, value.clone());
        }
    }

    /// A producer's transaction has ended: its offsets count now, or are dropped.
    pub fn end_transaction(&mut self, producer: i64, is_commit: bool) {
        self.offsets.end_transaction(producer, is_commit);
    }

    /// Whether an open transaction may change the committed offset.
    pub fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.offsets.is_pending(topic, partition)
    }

    /// Makes the settled generation the live one, once all records of the log have been replayed. Every member that
    /// was heard of in the broker's last life gets a fresh session, so that members which outlive our restart go on
    /// without a rebalance; `silent_ms` tells how long the others had been silent.
    pub fn restore(&mut self, now: Now, times: &ConsumerTimes, silent_ms: impl Fn(&str) -> Millis) {
        self.consumer.restore(now, times, &silent_ms);
        self.classic = match &self.settled {
            Some(settled) => Classic::restore(settled, now, &silent_ms),
            None => Classic::default(),
        };
    }

    /// Closes a step with the outcome of its append. The answer is a further step, whose records, if any, have to
    /// be appended and settled in turn.
    pub fn settle(&mut self, now: Now, step: Step, appended: Result<(), ErrorCode>) -> Step {
        let Step { records, replies, after } = step;
        let mut next = Step { replies, ..Step::default() };
        if appended.is_ok() {
            for record in &records {
                self.replay(record);
            }
            if records.iter().any(|record| matches!(record, Record::Generation(None))) {
                self.classic.dissolve(&mut next);
            }
        }
        match after {
            After::Nothing => {}
            After::Assigned { generation } => match (appended, &self.settled) {
                (Ok(()), Some(settled)) => self.classic.adopt(now, generation, settled, &mut next),
                (Ok(()), None) => unreachable!("an assignment has just been replayed"),
                (Err(error), _) => self.classic.assignment_lost(now, generation, error, &mut next),
            },
            After::Replaced(replaced) => self.classic.replaced(now, *replaced, appended, &mut next),
            After::Converted(converted) if appended.is_ok() => self.convert(now, converted, &mut next),
            After::Converted(_) => {}
            After::Joined { token, reply, converted } => {
                self.joined(now, token, *reply, converted, appended, &mut next);
            }
        }
        if appended.is_ok() {
            self.consumer.cancel_settled(now, &records);
        }
        next
    }

    /// Members that have not been heard of since [`Self::restore`], `uptime_ms` ago, and how long each has been silent
    /// while the broker was there and others were heard of.
    pub fn silences(&self, uptime_ms: Millis) -> impl Iterator<Item = (&MemberId, Millis)> {
        self.classic.timers.silences(uptime_ms).chain(self.consumer.timers.silences(uptime_ms))
    }

    /// When the earliest timer fires, by the monotonic clock.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.classic.timers.next().into_iter().chain(self.consumer.timers.next()).min()
    }

    /// Whether the group can be dropped from memory: nothing of it is kept and nobody is in it.
    pub fn is_forgettable(&self) -> bool {
        self.settled.is_none()
            && self.offsets.is_empty()
            && !self.offsets.has_pending()
            && self.classic.is_vacant()
            && !self.consumer.exists()
    }

    /// Whether the group has no members.
    pub fn is_empty(&self) -> bool {
        self.classic.state() == State::Empty && self.consumer.is_empty()
    }

    /// What kind of group it is.
    pub fn kind(&self) -> GroupKind {
        if self.consumer.exists() { GroupKind::Consumer } else { GroupKind::Classic }
    }

    /// Kafka's name of the group's state.
    pub fn state_name(&self) -> &'static str {
        match self.kind() {
            GroupKind::Classic => self.classic.state().name(),
            GroupKind::Consumer => self.consumer.state().name(),
        }
    }

    /// Takes a ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// As Kafka's: `GROUP_ID_NOT_FOUND`, `UNKNOWN_MEMBER_ID`, `FENCED_MEMBER_EPOCH`, `UNRELEASED_INSTANCE_ID`,
    /// `FENCED_INSTANCE_ID`, `GROUP_MAX_SIZE_REACHED`, `INVALID_REGULAR_EXPRESSION`. Nothing has changed.
    pub fn consumer_heartbeat(
        &mut self,
        now: Now,
        beat: &Beat,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        times: &ConsumerTimes,
    ) -> Result<(BeatReply, Step), Refused> {
        let mut step = Step::default();
        if !self.consumer.exists() {
            self.admit_first(beat)?;
            if self.classic.state() != State::Empty {
                return self.upgrade(now, beat, topics, settings, times);
            }
            if self.settled.is_some() || !self.classic.is_vacant() {
                // An empty group changes its kind and keeps its offsets.
                step.records.push(Record::Generation(None));
            }
        }
        if beat.epoch < consumer::JOIN {
            return self.leave_consumer(now, beat, topics, settings);
        }
        let reply = self.consumer.heartbeat(now, beat, topics, settings, times, &mut step.records)?;
        Ok((reply, step))
    }

    /// Whether a heartbeat may make this a consumer group.
    fn admit_first(&self, beat: &Beat) -> Result<(), Refused> {
        let is_classic = self.settled.is_some() || !self.classic.is_vacant();
        if is_classic && beat.epoch != consumer::JOIN {
            let message = format!("Group {} is not a consumer group.", self.id);
            return Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        }
        if beat.epoch != consumer::JOIN {
            let message = format!("Group {} not found.", self.id);
            return Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        }
        Ok(())
    }

    /// Fires every timer that is due; of a consumer group's the first, as each asks for records of its own.
    pub fn expire(&mut self, now: Now, topics: &dyn TopicLookup, settings: &GroupSettings) -> Step {
        let mut step = Step::default();
        self.classic.expire(now, settings, &mut step);
        if step.records.is_empty()
            && let Some(gone) = self.consumer.next_expired(now)
        {
            self.fence(now, std::slice::from_ref(&gone), topics, settings, &mut step);
            // Should the log refuse that: otherwise it would stay for good, with what it has been assigned.
            self.consumer.look_again(&gone, now);
        }
        step
    }

    /// Tombstones for expired offsets, and for the group itself once it is empty and holds none.
    pub fn expire_offsets(&self, wall: Millis, settings: &GroupSettings) -> Step {
        let is_subscribed = |topic: &str| match self.kind() {
            GroupKind::Classic => self.classic.is_subscribed(topic),
            GroupKind::Consumer => self.consumer.is_subscribed(topic),
        };
        let from = match self.kind() {
            GroupKind::Classic => self.classic.retention_from(),
            GroupKind::Consumer => RetentionFrom::Commit,
        };
        let mut records = self.offsets.expired(wall, settings.offsets_retention_ms, from, is_subscribed);
        let kept: usize = self.offsets.topics().map(|(_, partitions)| partitions.len()).sum();
        let is_settled = self.settled.is_some() && !self.offsets.has_pending();
        if records.len() == kept && is_settled && self.classic.is_vacant() {
            records.push(Record::Generation(None));
        }
        if records.len() == kept && self.consumer.is_empty() && !self.offsets.has_pending() {
            records.extend(self.consumer.removal());
        }
        Step { records, ..Step::default() }
    }

    /// Takes a commit of offsets.
    ///
    /// Errors for the whole request (Kafka's ClassicGroup.validateOffsetCommit): `UNKNOWN_MEMBER_ID`,
    /// `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, `REBALANCE_IN_PROGRESS`; for a consumer group `UNKNOWN_MEMBER_ID`,
    /// `STALE_MEMBER_EPOCH` when the member was in that epoch before it got one of these partitions, or `UNSUPPORTED_VERSION`
    /// unless the client knows epochs (OffsetCommit 9).
    pub fn commit(
        &mut self,
        now: Now,
        member: &Committer,
        commit: Commit,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> Result<(Vec<ErrorCode>, Step), ErrorCode> {
        let Commit { requests, retention_ms, knows_epochs } = commit;
        let admitted = match self.kind() {
            GroupKind::Classic => self.classic.admit_commit(now, member).map(|()| Admitted::All)?,
            GroupKind::Consumer => self.consumer.admit_commit(member, knows_epochs)?,
        };
        let limit = settings.offset_metadata_bytes_max;
        let (codes, records) = Offsets::commit(requests, limit, retention_ms, now.wall, &admitted, topics)?;
        Ok((codes, Step { records, ..Step::default() }))
    }

    /// Takes a commit that counts once the producer's transaction is committed. The records are for [`Self::pend`].
    ///
    /// Errors for the whole request: as [`Self::commit`], but a rebalance does not hold it up.
    pub fn commit_in_transaction(
        &mut self,
        now: Now,
        member: &Committer,
        requests: Vec<CommitRequest>,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> Result<(Vec<ErrorCode>, Vec<Record>), ErrorCode> {
        let admitted = match self.kind() {
            GroupKind::Classic => {
                self.classic.admit_transactional_commit(now, member).map(|()| Admitted::All)?
            }
            GroupKind::Consumer => self.consumer.admit_transactional_commit(member)?,
        };
        let limit = settings.offset_metadata_bytes_max;
        Offsets::commit(requests, limit, None, now.wall, &admitted, topics)
    }

    /// Whether a client that may name a member may read offsets.
    ///
    /// # Errors
    /// Of consumer groups only: `UNKNOWN_MEMBER_ID`, `STALE_MEMBER_EPOCH`.
    pub fn admit_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        match self.kind() {
            GroupKind::Classic => Ok(()),
            GroupKind::Consumer => self.consumer.admit_fetch(member_id, epoch),
        }
    }

    /// The committed offset of one partition.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.offsets.get(topic, partition)
    }

    /// All committed offsets.
    pub fn all_committed(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
        self.offsets.topics().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(&p, committed)| (topic, p, committed))
        })
    }

    /// Removes offsets of the given partitions; one error code each, in order. A topic that a member subscribes to
    /// gives `GROUP_SUBSCRIBED_TO_TOPIC`; a group with members that are not consumers refuses everything.
    pub fn delete_offsets(
        &self,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<(Vec<ErrorCode>, Step), ErrorCode> {
        if self.kind() == GroupKind::Classic {
            self.classic.admit_offset_delete()?;
        }
        let mut step = Step::default();
        let codes = partitions
            .iter()
            .map(|(topic, partition)| {
                let is_subscribed = match self.kind() {
                    GroupKind::Classic => self.classic.is_subscribed(topic),
                    GroupKind::Consumer => self.consumer.is_subscribed(topic),
                };
                if is_subscribed {
                    return ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC;
                }
                if self.offsets.get(topic, *partition).is_some() || self.offsets.is_pending(topic, *partition)
                {
                    step.records.push(Record::Offset {
                        topic: topic.clone(),
                        partition: *partition,
                        value: None,
                    });
                }
                ErrorCode::NONE
            })
            .collect();
        Ok((codes, step))
    }

    /// Removes the group with its offsets; `NON_EMPTY_GROUP` while it has members.
    pub fn delete(&self) -> Result<Step, ErrorCode> {
        if !self.is_empty() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let mut records = self.offsets.remove_all();
        records.extend(match self.kind() {
            GroupKind::Classic => vec![Record::Generation(None)],
            GroupKind::Consumer => self.consumer.removal(),
        });
        Ok(Step { records, ..Step::default() })
    }

    /// Removes the offsets of a topic that is no more. Those of another of the same name stay.
    pub fn remove_topic(&self, topic: &str, id: Uuid) -> Step {
        Step { records: self.offsets.remove_topic(topic, id), ..Step::default() }
    }

    /// Removes the offsets of partitions that do not exist, and of topics that have been replaced by others.
    pub fn remove_missing(&self, topics: &dyn TopicLookup) -> Step {
        let exists = |topic: &str, partition: i32, committed: &Committed| {
            topics.partitions(topic).is_some_and(|count| (0..count).contains(&partition))
                && topics.id_of(topic).is_some_and(|id| committed.is_of(id))
        };
        let is_gone = |topic: &str, partition, committed: &_| !exists(topic, partition, committed);
        let records = self.offsets.remove_where(is_gone);
        Step { records, ..Step::default() }
    }

    /// What is kept, for tests that compare machines.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> (Option<Generation>, Offsets) {
        (self.settled.as_deref().cloned(), self.offsets.clone())
    }
}

/// Who commits offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committer {
    /// Member id, empty outside of group management.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Generation, −1 outside of group management.
    pub generation: i32,
}

impl RetentionFrom {
    pub(crate) fn emptied(since_ms: Millis) -> Self {
        if since_ms >= 0 { Self::Emptied(since_ms) } else { Self::Commit }
    }
}
