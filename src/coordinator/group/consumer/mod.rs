//! Consumer groups of KIP-848: the coordinator assigns, and moves partitions from one member to the next without
//! stopping the others.
//!
//! Three epochs only grow. A change of subscriptions, members or topics makes a new *group epoch*; the *target
//! assignment* computed for it has that as its epoch; a *member's epoch* follows when the member has given up what
//! the target takes from it.
//!
//! ```text
//!                target takes something away            it has revoked that
//!      Stable ───────────────────────────▶ Unrevoked ───────────────────────▶ Stable | Unreleased
//!        │ ▲                                   │
//!        │ └─ the others have released it ─┐   └─ not within its rebalance timeout ─▶ removed
//!        └─ target gives what others have ─▶ Unreleased
//! ```
//!
//! A partition is in the current assignment of at most one member: whoever had it keeps it there until it reports that
//! it has revoked it, or is removed. All of this is kept in the log; only sessions are not, and start afresh with
//! every restart.
//!
//! Rules and error codes are those of Kafka 4's ConsumerGroup, CurrentAssignmentBuilder and GroupMetadataManager.
//! Where we differ: regular expressions are resolved at once and not in the background.

mod classic;
mod expire;
mod heartbeat;
mod held;
mod leave;
mod reconcile;
mod subscription;
mod target;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

pub use self::classic::ClassicMember;
pub(crate) use self::classic::{ClassicView, converted};
pub use self::heartbeat::{Beat, BeatReply};
pub use self::held::Held;
pub use self::view::{ConsumerMemberView, ConsumerView};

use super::timers::{Timer, Timers};
use super::{Committer, MemberId, Record};
use crate::coordinator::assign::{Assignor, Partitions};
use crate::coordinator::settings::ConsumerTimes;
use crate::coordinator::{Millis, Now};

/// Epoch with which a member joins.
pub(crate) const JOIN: i32 = 0;
/// Epoch with which a static member leaves and keeps its place.
pub(crate) const LEAVE_STATIC: i32 = -2;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Error code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A change to what is kept of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group's epoch; `None` removes the group.
    Epoch(Option<GroupEpoch>),
    /// What a member says of itself; `None` removes the member.
    Member(MemberId, Option<Arc<Subscription>>),
    /// For which group epoch the target assignment was computed.
    TargetEpoch(Option<TargetEpoch>),
    /// What a member is to have.
    Target(MemberId, Option<Arc<Partitions>>),
    /// What a member has.
    Current(MemberId, Option<Arc<Current>>),
    /// The topics that a regular expression stands for.
    Regex(Arc<str>, Option<Arc<Resolved>>),
}

/// The epoch of a group with the topics that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Number of the epoch.
    pub epoch: i32,
    /// Hash of the subscribed topics with their ids and sizes.
    pub metadata_hash: i64,
}

/// The epoch of a target assignment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetEpoch {
    /// That of the group for which it was computed.
    pub epoch: i32,
    /// When, by the wall clock; 0 if that is not known (before Kafka 4.3, KIP-1263).
    pub at_ms: Millis,
}

/// What a member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Rack, kept and not used.
    pub rack_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where the client connects from.
    pub client_host: Arc<str>,
    /// Topics by name, in order.
    pub topics: Vec<Arc<str>>,
    /// Topics by regular expression.
    pub regex: Option<Arc<str>>,
    /// Longest time that it may take to revoke.
    pub rebalance_timeout_ms: i32,
    /// Assignor that it prefers.
    pub assignor: Option<Arc<str>>,
    /// Set for a member that speaks the classic protocol.
    pub classic: Option<Arc<ClassicMember>>,
}

impl Subscription {
    /// About how much memory its lists take.
    fn bytes(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len() + size_of::<Arc<str>>()).sum();
        let classic = self.classic.iter().flat_map(|classic| &classic.protocols);
        topics + classic.map(|protocol| protocol.name.len() + protocol.metadata.len()).sum::<usize>()
    }
}

/// Where a member is on its way to the target. The numbers are those of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// It has what it may have now.
    #[default]
    Stable = 0,
    /// It has to revoke something.
    Unrevoked = 1,
    /// It waits for what others have to revoke.
    Unreleased = 2,
}

/// What a member has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    /// The epoch that the member has to name.
    pub epoch: i32,
    /// The one before, which it names when it has not seen our answer.
    pub previous_epoch: i32,
    /// Where it is on its way.
    pub progress: Progress,
    /// What it may read.
    pub assigned: Held,
    /// What it has to give up, and counts as its own until then.
    pub revoking: Held,
}

/// The topics that a regular expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Their names, in order.
    pub topics: Vec<Arc<str>>,
    /// Which state of the topics this was computed from.
    pub version: i64,
    /// When, by the wall clock.
    pub at_ms: Millis,
}

/// A member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) current: Arc<Current>,
}

/// State of a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerState {
    /// No members.
    Empty,
    /// The target assignment is not that of the group's epoch.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// Everybody has what it is to have.
    Stable,
}

impl ConsumerState {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A consumer group. All but the last four fields are kept, and change only in [`Consumer::replay`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer {
    /// `None` when there is no such group.
    epoch: Option<GroupEpoch>,
    target_epoch: i32,
    /// Wall clock of the target assignment; 0 if that is not known.
    target_at_ms: Millis,
    members: BTreeMap<MemberId, Member>,
    targets: BTreeMap<MemberId, Arc<Partitions>>,
    regexes: BTreeMap<Arc<str>, Arc<Resolved>>,
    /// Partition → the member that has it or is revoking it.
    owners: HashMap<(Uuid, i32), MemberId>,
    /// Instance id → member id.
    static_members: HashMap<Arc<str>, MemberId>,
    /// The state of the topics that the epoch is known to be up to date with.
    topics_seen: Option<i64>,
    /// When the target assignment was computed last, by the monotonic clock; `None` if that is not known. It changes when
    /// that has been replayed, and in [`Consumer::restore`].
    assigned_at: Option<Millis>,
    /// Before when no other assignment is made, if one was put off.
    assigns_at: Option<Millis>,
    pub(crate) timers: Timers,
}

impl Consumer {
    /// Whether this group exists as a consumer group.
    pub(crate) fn exists(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn group_epoch(&self) -> i32 {
        self.epoch.map_or(0, |epoch| epoch.epoch)
    }

    fn metadata_hash(&self) -> i64 {
        self.epoch.map_or(0, |epoch| epoch.metadata_hash)
    }

    pub(crate) fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.group_epoch() > self.target_epoch {
            ConsumerState::Assigning
        } else if self.members.values().all(|member| member.current.is_settled(self.target_epoch)) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }

    /// Applies a record. Compaction may have left tombstones of what is long gone: those change nothing.
    pub(crate) fn replay(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(Some(epoch)) => self.epoch = Some(*epoch),
            ConsumerRecord::Epoch(None) => *self = Self::default(),
            ConsumerRecord::TargetEpoch(target) => {
                let TargetEpoch { epoch, at_ms } = target.unwrap_or_default();
                (self.target_epoch, self.target_at_ms) = (epoch, at_ms);
            }
            ConsumerRecord::Member(id, Some(subscription)) => {
                let member = self.members.entry(id.clone()).or_default();
                if let Some(instance_id) = &subscription.instance_id {
                    self.static_members.insert(instance_id.clone(), id.clone());
                }
                member.subscription = subscription.clone();
            }
            ConsumerRecord::Member(id, None) => {
                let Some(member) = self.members.remove(id) else { return };
                self.release(id, &member.current);
                if let Some(instance_id) = &member.subscription.instance_id
                    && self.static_members.get(instance_id) == Some(id)
                {
                    self.static_members.remove(instance_id);
                }
            }
            ConsumerRecord::Target(id, Some(partitions)) => {
                self.targets.insert(id.clone(), partitions.clone());
            }
            ConsumerRecord::Target(id, None) => {
                self.targets.remove(id);
            }
            ConsumerRecord::Current(id, current) => {
                if current.is_none() && !self.members.contains_key(id) {
                    return;
                }
                let current = current.clone().unwrap_or_default();
                let member = self.members.entry(id.clone()).or_default();
                let before = std::mem::replace(&mut member.current, current.clone());
                self.release(id, &before);
                for partition in current.assigned.iter().chain(current.revoking.iter()) {
                    self.owners.insert(partition, id.clone());
                }
            }
            ConsumerRecord::Regex(regex, Some(resolved)) => {
                self.regexes.insert(regex.clone(), resolved.clone());
            }
            ConsumerRecord::Regex(regex, None) => {
                self.regexes.remove(regex);
            }
        }
    }

    fn release(&mut self, id: &MemberId, current: &Current) {
        for partition in current.assigned.iter().chain(current.revoking.iter()) {
            if self.owners.get(&partition) == Some(id) {
                self.owners.remove(&partition);
            }
        }
    }

    /// After a restart: every member gets a session, and time to revoke what it has to. `silent_ms` tells how long members
    /// had been silent before.
    pub(crate) fn restore(&mut self, now: Now, times: &ConsumerTimes, silent_ms: impl Fn(&str) -> Millis) {
        self.timers = Timers::default();
        self.topics_seen = None;
        // However the wall clock was set meanwhile, the next assignment waits for no more than the interval from now.
        let age_ms = now.wall.saturating_sub(self.target_at_ms).max(0);
        self.assigned_at = (self.target_at_ms > 0).then(|| now.tick.saturating_sub(age_ms));
        for (id, member) in &self.members {
            let classic = member.subscription.classic.as_ref();
            let session_ms = classic.map_or(times.session_timeout_ms, |classic| classic.session_timeout_ms);
            self.timers.resume_session(id, now.tick, session_ms.into(), silent_ms(id));
            if member.current.progress == Progress::Unrevoked {
                let until = now.tick + Millis::from(member.subscription.rebalance_timeout_ms.max(0));
                let timer = if classic.is_some() { Timer::JoinOf } else { Timer::Revoke };
                self.timers.set(timer(id.clone()), until);
            }
        }
    }

    /// Which offsets may be committed by a client that `knows_epochs` (OffsetCommit 9).
    pub(crate) fn admit_commit(
        &self,
        committer: &Committer,
        knows_epochs: bool,
    ) -> Result<Admitted, ErrorCode> {
        if committer.generation < 0 && self.members.is_empty() {
            return Ok(Admitted::All);
        }
        let member = self.members.get(&committer.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if !knows_epochs && member.subscription.classic.is_none() {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let epoch = committer.generation;
        if epoch < member.current.epoch {
            let (current, refusal) = (member.current.clone(), member.epoch_refusal());
            return Ok(Admitted::HeldSince { epoch, current, refusal });
        }
        member.admit_epoch(epoch).map(|()| Admitted::All)
    }

    /// As [`Self::admit_commit`], for what is committed in a transaction: old producers do not know the member that they
    /// commit for.
    pub(crate) fn admit_transactional_commit(&self, committer: &Committer) -> Result<Admitted, ErrorCode> {
        let Committer { member_id, instance_id, generation } = committer;
        if *generation == -1 && member_id.is_empty() && instance_id.is_none() {
            return Ok(Admitted::All);
        }
        self.admit_commit(committer, true)
    }

    /// Whether a member that names itself may read offsets.
    pub(crate) fn admit_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|id| self.members.get(id)).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        member.admit_epoch(epoch)
    }

    /// Tombstones for a group without members.
    pub(crate) fn removal(&self) -> Vec<Record> {
        if !self.exists() {
            return Vec::new();
        }
        let regexes = self.regexes.keys().map(|regex| ConsumerRecord::Regex(regex.clone(), None));
        let records = regexes.chain([ConsumerRecord::TargetEpoch(None), ConsumerRecord::Epoch(None)]);
        records.map(Record::Consumer).collect()
    }

    /// The assignor that most members prefer, of those that name one.
    fn preferred_assignor<'a>(
        subscriptions: impl Iterator<Item = &'a Subscription>,
        default: Assignor,
    ) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for assignor in subscriptions.filter_map(|it| Assignor::named(it.assignor.as_deref()?)) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.values().max().copied();
        votes.into_iter().find(|(_, count)| Some(*count) == most).map_or(default, |(assignor, _)| assignor)
    }

    /// Everything that is kept, for tests that compare machines.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> String {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort();
        let mut statics: Vec<_> = self.static_members.iter().collect();
        statics.sort();
        format!(
            "{:?} {} {} {:?} {:?} {:?} {owners:?} {statics:?}",
            self.epoch, self.target_epoch, self.target_at_ms, self.members, self.targets, self.regexes
        )
    }
}

impl Member {
    fn admit_epoch(&self, epoch: i32) -> Result<(), ErrorCode> {
        if epoch == self.current.epoch { Ok(()) } else { Err(self.epoch_refusal()) }
    }

    /// What a member is told that names another epoch than its own.
    fn epoch_refusal(&self) -> ErrorCode {
        match self.subscription.classic {
            Some(_) => ErrorCode::ILLEGAL_GENERATION,
            None => ErrorCode::STALE_MEMBER_EPOCH,
        }
    }
}

/// Which partitions a member may commit offsets of (Kafka's CommitPartitionValidator).
#[derive(Debug)]
pub(crate) enum Admitted {
    /// All.
    All,
    /// Those that the member has had since this epoch of its own, or before (KIP-1251): it is behind, and nobody else
    /// has read them meanwhile.
    HeldSince {
        /// The epoch that it names.
        epoch: i32,
        /// What it has.
        current: Arc<Current>,
        /// What it is told otherwise.
        refusal: ErrorCode,
    },
}

impl Admitted {
    /// Whether an offset of this partition may be committed.
    pub(crate) fn check(&self, topic: Uuid, partition: i32) -> Result<(), ErrorCode> {
        match self {
            Self::All => Ok(()),
            Self::HeldSince { epoch, current, refusal } => {
                let held = current.assigned.epoch_of(topic, partition);
                let since = held.or_else(|| current.revoking.epoch_of(topic, partition));
                since.filter(|since| epoch >= since).map(|_| ()).ok_or(*refusal)
            }
        }
    }
}

impl Current {
    fn is_settled(&self, target_epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == target_epoch
    }
}
