//! Members of a consumer group that speak the classic protocol, as they do while a group moves from one protocol to the
//! other (KIP-848, "online migration").
//!
//! To such a member the group looks like a classic one of which somebody else is the leader: its epoch is the generation,
//! JoinGroup is the heartbeat that says everything, SyncGroup brings what it may read, and Heartbeat tells it when to
//! join again. What it has to revoke it has revoked when it joins next, so it gets the rebalance timeout for that.
//!
//! One rule is stricter than Kafka's, which takes any member id: a member that is not known and says that it owns
//! partitions is told `UNKNOWN_MEMBER_ID`, so that it gives them up before it joins.

use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::{Consumer, ConsumerRecord, Current, Held, Member, MemberId, Progress, Subscription};
use crate::coordinator::assign::Partitions;
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::group::classic::{CONSUMER, JoinRequest, Leaving, Protocol, SyncRequest};
use crate::coordinator::group::embedded::{self, Embedded};
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{JoinReply, Record, SyncReply};
use crate::coordinator::settings::{GroupSettings, Migration};
use crate::coordinator::{Millis, Now};

/// What a member that speaks the classic protocol has said on top of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassicMember {
    /// Longest silence.
    pub session_timeout_ms: i32,
    /// Its protocols (assignors) with their metadata, best first; never empty.
    pub protocols: Vec<Protocol>,
}

impl ClassicMember {
    fn protocol(&self) -> Option<&Protocol> {
        self.protocols.first()
    }

    /// Version of what it says, and wants to be told.
    fn version(&self) -> i16 {
        let metadata = self.protocol().map_or(&[][..], |protocol| &protocol.metadata);
        metadata.first_chunk::<2>().map_or(0, |version| i16::from_be_bytes(*version))
    }
}

impl Consumer {
    /// Takes the JoinGroup of a member that speaks the classic protocol. The records are for the reply.
    ///
    /// # Errors
    /// As Kafka's: `MEMBER_ID_REQUIRED` with the id, `GROUP_MAX_SIZE_REACHED`, `INCONSISTENT_GROUP_PROTOCOL` (always when
    /// the migration policy is `disabled`), `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`.
    pub(crate) fn join_classic(
        &mut self,
        now: Now,
        request: &JoinRequest,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        records: &mut Vec<Record>,
    ) -> Result<(JoinReply, Option<MemberId>), JoinReply> {
        let is_first = request.member_id.is_empty();
        let id = if is_first { &request.fresh_id } else { &request.member_id };
        // Kafka throws here, and then names no member, not even one that named itself.
        let refuse = |error| JoinReply::refuse(error, "".into());
        if settings.migration == Migration::Disabled {
            return Err(refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        let limit = settings.consumer_members_max.min(GroupSettings::MEMBERS_MAX);
        if self.members.len() >= limit && !self.members.contains_key(id) {
            return Err(refuse(ErrorCode::GROUP_MAX_SIZE_REACHED));
        }
        if !self.supports(request) {
            return Err(refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        if is_first && request.instance_id.is_none() && request.must_know_id {
            return Err(JoinReply::refuse(ErrorCode::MEMBER_ID_REQUIRED, id.clone()));
        }
        // As in Kafka: what it offers is compared before it is given an id, and read when it comes back with that.
        let first = request.protocols.first();
        let Some(said) = first.and_then(|protocol| Embedded::read(&protocol.metadata)) else {
            return Err(refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        };
        let holder = request.instance_id.as_ref().and_then(|instance| self.static_members.get(instance));
        let found = match holder {
            Some(holder) if is_first => self.found(holder, Some(holder.clone())).joining_anew(),
            Some(holder) if holder != id => return Err(refuse(ErrorCode::FENCED_INSTANCE_ID)),
            None if !is_first && request.instance_id.is_some() => {
                return Err(refuse(ErrorCode::UNKNOWN_MEMBER_ID));
            }
            _ if self.members.contains_key(id) => self.found(id, None),
            // It was removed and does not know it yet: what it has may be somebody else's by now.
            _ if !said.owned.is_empty() => return Err(refuse(ErrorCode::UNKNOWN_MEMBER_ID)),
            _ => super::heartbeat::Found::new(),
        };
        let mut names = said.topics.clone();
        names.sort_unstable();
        names.dedup();
        let subscription = Subscription {
            instance_id: request.instance_id.clone(),
            rack_id: said.rack.clone().or_else(|| found.subscription.rack_id.clone()),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            topics: names,
            regex: None,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            assignor: found.subscription.assignor.clone(),
            classic: Some(Arc::new(ClassicMember {
                session_timeout_ms: request.session_timeout_ms,
                protocols: request.protocols.clone(),
            })),
        };
        let owned = embedded::by_id(&said.owned, topics);
        // An assignment that has to wait is made by whoever asks next; heartbeats tell this member then.
        let waits = Millis::from(settings.consumer.assignment_interval_ms);
        let planned =
            self.plan(now, id, &found, subscription, Some(&owned), waits, topics, settings, records);
        let planned = planned.map_err(|refused| refuse(refused.code))?;

        self.timers.cancel(&Timer::JoinOf(id.clone()));
        self.timers.set(Timer::Session(id.clone()), now.tick + Millis::from(request.session_timeout_ms));
        let until = now.tick + Millis::from(request.rebalance_timeout_ms.max(0));
        self.timers.set(Timer::SyncOf(id.clone()), until);
        let reply = JoinReply {
            error: ErrorCode::NONE,
            generation: planned.after.epoch,
            protocol_type: Some(CONSUMER.into()),
            protocol: first.map(|protocol| protocol.name.clone()),
            // Nobody: no member assigns.
            leader: "".into(),
            skip_assignment: false,
            member_id: id.clone(),
            members: Vec::new(),
        };
        Ok((reply, found.replaces.clone()))
    }

    /// Whether the member speaks something that all other members of the classic protocol speak, too.
    fn supports(&self, request: &JoinRequest) -> bool {
        let others = || {
            let classic = |(id, member): (&MemberId, &'_ Member)| {
                member.subscription.classic.clone().filter(|_| *id != request.member_id)
            };
            self.members.iter().filter_map(classic)
        };
        &*request.protocol_type == CONSUMER
            && request.protocols.iter().any(|offered| {
                others().all(|other| other.protocols.iter().any(|protocol| protocol.name == offered.name))
            })
    }

    /// Finds a member of the classic protocol in the generation that it believes in.
    fn classic_member(
        &self,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(&Member, Arc<ClassicMember>), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(holder) if holder != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let classic = member.subscription.classic.clone().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if generation != member.current.epoch {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok((member, classic))
    }

    /// Takes the SyncGroup of a member of the classic protocol.
    pub(crate) fn sync_classic(
        &mut self,
        now: Now,
        request: &SyncRequest,
        topics: &dyn TopicLookup,
    ) -> Result<SyncReply, ErrorCode> {
        let (id, instance_id) = (&request.member_id, request.instance_id.as_deref());
        let (member, classic) = self.classic_member(id, instance_id, request.generation)?;
        let protocol = classic.protocol().map(|protocol| &protocol.name);
        let is_other_type = request.protocol_type.as_deref().is_some_and(|name| name != CONSUMER);
        if is_other_type || request.protocol.is_some() && request.protocol.as_ref() != protocol {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        // Who has to revoke something gets that told first, whatever else has changed meanwhile.
        if self.target_epoch > member.current.epoch && member.current.progress != Progress::Unrevoked {
            let rebalance_timeout_ms = member.subscription.rebalance_timeout_ms;
            self.await_rejoin(now, id, rebalance_timeout_ms);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let assignment =
            embedded::write_assignment(classic.version(), &member.current.assigned.partitions(), topics);
        let reply = SyncReply {
            error: ErrorCode::NONE,
            protocol_type: request.protocol_type.clone(),
            protocol: request.protocol.clone(),
            assignment,
        };
        self.timers.cancel(&Timer::SyncOf(id.clone()));
        self.timers.set(Timer::Session(id.clone()), now.tick + Millis::from(classic.session_timeout_ms));
        Ok(reply)
    }

    /// Takes the Heartbeat of a member of the classic protocol; `REBALANCE_IN_PROGRESS` when it has to join again.
    pub(crate) fn heartbeat_classic(
        &mut self,
        now: Now,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let (member, classic) = match self.classic_member(member_id, instance_id, generation) {
            Ok(found) => found,
            Err(error) => return error,
        };
        let current = &member.current;
        let has_to_join = current.epoch < self.target_epoch
            || self.assignment_is_due(now)
            || current.progress == Progress::Unrevoked
            || current.progress == Progress::Unreleased && !self.awaits_others(member_id, current);
        let rebalance_timeout_ms = member.subscription.rebalance_timeout_ms;
        self.timers
            .set(Timer::Session(member_id.clone()), now.tick + Millis::from(classic.session_timeout_ms));
        if has_to_join {
            self.await_rejoin(now, member_id, rebalance_timeout_ms);
            return ErrorCode::REBALANCE_IN_PROGRESS;
        }
        ErrorCode::NONE
    }

    /// Whether the next member that says something makes an assignment.
    fn assignment_is_due(&self, now: Now) -> bool {
        self.group_epoch() > self.target_epoch && self.assigns_at.is_none_or(|at| now.tick >= at)
    }

    /// Whether anything that the member is to have is still in other hands.
    fn awaits_others(&self, id: &MemberId, current: &Current) -> bool {
        let none = Arc::default();
        let target: &Arc<Partitions> = self.targets.get(id).unwrap_or(&none);
        target.iter().any(|(topic, partition)| {
            !current.assigned.contains(topic, partition) && self.owners.contains_key(&(topic, partition))
        })
    }

    /// A member that has been told to join again has its rebalance timeout for that, from when it was first told.
    fn await_rejoin(&mut self, now: Now, id: &MemberId, rebalance_timeout_ms: i32) {
        let until = now.tick + Millis::from(rebalance_timeout_ms.max(0));
        self.timers.set_if_absent(Timer::JoinOf(id.clone()), until);
    }

    /// Finds the members that a LeaveGroup names; an error code each, in order. Members of either protocol can be named.
    pub(crate) fn find_leaving(&self, leaving: &[Leaving]) -> (Vec<ErrorCode>, Vec<MemberId>) {
        let mut gone: Vec<MemberId> = Vec::new();
        let codes = leaving
            .iter()
            .map(|one| {
                let found = match &one.instance_id {
                    None => self.members.get_key_value(&one.member_id).map(|(id, _)| id),
                    Some(instance) => self.static_members.get(instance),
                };
                match found {
                    None => ErrorCode::UNKNOWN_MEMBER_ID,
                    Some(id)
                        if one.instance_id.is_some() && !one.member_id.is_empty() && *id != one.member_id =>
                    {
                        ErrorCode::FENCED_INSTANCE_ID
                    }
                    Some(id) => {
                        if !gone.contains(id) {
                            gone.push(id.clone());
                        }
                        ErrorCode::NONE
                    }
                }
            })
            .collect();
        (codes, gone)
    }

    /// Whether everybody but `gone` speaks the classic protocol.
    pub(crate) fn is_classic_without(&self, gone: &[MemberId]) -> bool {
        let mut left = self.members.iter().filter(|(id, _)| !gone.contains(id));
        left.all(|(_, member)| member.subscription.classic.is_some())
    }

    /// What the members had, in their own protocol: (member, what it said, what it is to have).
    pub(crate) fn classic_members(&self, topics: &dyn TopicLookup) -> Vec<ClassicView> {
        let none = Arc::default();
        let each = self.members.iter().filter_map(|(id, member)| {
            let classic = member.subscription.classic.clone()?;
            let target = self.targets.get(id).unwrap_or(&none);
            let assignment = embedded::write_assignment(classic.version(), target, topics);
            Some(ClassicView {
                id: id.clone(),
                subscription: member.subscription.clone(),
                classic,
                assignment,
            })
        });
        each.collect()
    }

    /// Tombstones for the whole group with its members.
    pub(crate) fn removal_with_members(&self) -> Vec<Record> {
        let members = self.members.keys().flat_map(super::heartbeat::tombstones);
        members.chain(self.removal()).collect()
    }

    /// The group's epoch, which a classic group takes over as its generation.
    pub(crate) fn generation(&self) -> i32 {
        self.group_epoch()
    }
}

/// A member of the classic protocol as a classic group has to know it.
pub(crate) struct ClassicView {
    pub(crate) id: MemberId,
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) classic: Arc<ClassicMember>,
    pub(crate) assignment: Bytes,
}

/// The records that make a member of a classic group one of a consumer group, with what it has as what it is to have.
pub(crate) fn converted(
    id: &MemberId,
    subscription: Subscription,
    assigned: Partitions,
    epoch: i32,
) -> [ConsumerRecord; 3] {
    let current = Current {
        epoch,
        previous_epoch: epoch,
        progress: Progress::Stable,
        assigned: Held::since(&assigned, epoch),
        revoking: Held::default(),
    };
    [
        ConsumerRecord::Member(id.clone(), Some(Arc::new(subscription))),
        ConsumerRecord::Target(id.clone(), Some(Arc::new(assigned))),
        ConsumerRecord::Current(id.clone(), Some(Arc::new(current))),
    ]
}
