//! Groups with members that change their protocol (`group.consumer.migration.policy`, as in Kafka).
//!
//! ```text
//!            somebody joins with the consumer protocol
//!   Classic ──────────────────────────────────────────▶ Consumer, with members of both protocols
//!      ▲                                                     │
//!      └── the last member of the consumer protocol goes ────┘
//! ```
//! Either way one append takes the old group out and puts the new one in, so that a restart finds one of the two whole.
//! Members of the classic protocol are then told to join again: upwards because a new member changes the epoch, downwards
//! because a round of joins begins.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::classic::{Classic, JoinRequest, Leaving, SyncRequest};
use super::consumer::{
    BeatReply, ClassicMember, ClassicView, Consumer, ConsumerRecord, GroupEpoch, LEAVE_STATIC, Refused,
    Subscription, TargetEpoch, converted,
};
use super::timers::Timers;
use super::{
    After, Beat, Generation, GenerationMember, Group, GroupKind, JoinReply, MemberId, Record, Step,
    SyncReply, Token, embedded,
};
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::settings::{ConsumerTimes, GroupSettings, Migration};
use crate::coordinator::{Millis, Now};

/// What becomes of a group once the records of its conversion are in the log.
#[derive(Debug)]
pub(crate) enum Converted {
    /// A consumer group, with these timers.
    Consumer(Timers),
    /// A classic group, which starts with a round of joins.
    Classic(Box<Classic>),
}

impl Group {
    /// Takes the heartbeat of a member that joins a classic group which has members: a consumer group from now on.
    pub(super) fn upgrade(
        &mut self,
        now: Now,
        beat: &Beat,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        times: &ConsumerTimes,
    ) -> Result<(BeatReply, Step), Refused> {
        let mut records = self.upgrade_records(topics, settings)?;
        let mut consumer = Consumer::default();
        for record in &records {
            if let Record::Consumer(record) = record {
                consumer.replay(record);
            }
        }
        consumer.restore(now, times, |_| 0);
        let reply = consumer.heartbeat(now, beat, topics, settings, times, &mut records)?;
        let after = After::Converted(Converted::Consumer(consumer.timers));
        Ok((reply, Step { records, after, ..Step::default() }))
    }

    fn upgrade_records(
        &self,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> Result<Vec<Record>, Refused> {
        let refuse = |why: &str| {
            let message =
                format!("Cannot upgrade classic group {} to consumer group because {why}.", self.id());
            Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
        };
        if !settings.migration.upgrades() {
            return Err(refuse("online upgrade is disabled"));
        }
        if !self.classic.is_consumer() {
            return Err(refuse("the group does not use the consumer embedded protocol"));
        }
        let limit = settings.consumer_members_max.min(GroupSettings::MEMBERS_MAX);
        if self.classic.members().len() > limit {
            return Err(refuse("the group size exceeds the consumer group maximum size"));
        }
        let epoch = self.classic.generation();
        let mut of_members = Vec::new();
        for (id, member) in self.classic.members() {
            let malformed = || refuse("the embedded consumer protocol is malformed");
            let protocol = member.protocols.first().ok_or_else(malformed)?;
            let said = embedded::Embedded::read(&protocol.metadata).ok_or_else(malformed)?;
            let assigned = embedded::read_assignment(&member.assignment).ok_or_else(malformed)?;
            if assigned.has_user_data {
                return Err(refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                     default assignor before re-attempting the upgrade",
                ));
            }
            let mut names = said.topics;
            names.sort_unstable();
            names.dedup();
            let subscription = Subscription {
                instance_id: member.instance_id.clone(),
                rack_id: said.rack,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                topics: names,
                regex: None,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                assignor: None,
                classic: Some(Arc::new(ClassicMember {
                    session_timeout_ms: member.session_timeout_ms,
                    protocols: member.protocols.clone(),
                })),
            };
            let assigned = embedded::by_id(&assigned.partitions, topics);
            of_members.push(converted(id, subscription, assigned, epoch));
        }
        // In Kafka's order: what members say, the epoch, what they are to have, what they have.
        let mut records = vec![Record::Generation(None)];
        let [mut says, mut targets, mut currents] = [Vec::new(), Vec::new(), Vec::new()];
        for [member, target, current] in of_members {
            says.push(member);
            targets.push(target);
            currents.push(current);
        }
        let value = GroupEpoch { epoch, metadata_hash: 0 };
        let all = says
            .into_iter()
            .chain([ConsumerRecord::Epoch(Some(value))])
            .chain(targets)
            .chain([ConsumerRecord::TargetEpoch(Some(TargetEpoch { epoch, at_ms: 0 }))])
            .chain(currents);
        records.extend(all.map(Record::Consumer));
        Ok(records)
    }

    /// Takes members of a consumer group out. If only members of the classic protocol are left it becomes a classic
    /// group, should the policy allow that.
    pub(super) fn fence(
        &mut self,
        now: Now,
        gone: &[MemberId],
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        step: &mut Step,
    ) {
        if gone.is_empty() {
            return;
        }
        if self.consumer.is_classic_without(gone)
            && let Some(converted) = downgrade(&self.consumer, now, gone, topics, settings, &mut step.records)
        {
            tracing::info!(group = &**self.id(), "a consumer group becomes a classic one");
            step.after = After::Converted(Converted::Classic(Box::new(converted)));
        } else {
            self.consumer.remove(gone, &mut step.records);
        }
    }

    /// Takes a ConsumerGroupHeartbeat that leaves.
    pub(super) fn leave_consumer(
        &mut self,
        now: Now,
        beat: &Beat,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> Result<(BeatReply, Step), Refused> {
        let mut step = Step::default();
        if beat.epoch == LEAVE_STATIC {
            self.consumer.leave_for_a_while(beat, &mut step.records)?;
        } else {
            self.consumer.known(beat)?;
            self.fence(now, std::slice::from_ref(&beat.member_id), topics, settings, &mut step);
        }
        Ok((BeatReply::left(beat), step))
    }

    /// Takes a JoinGroup; the reply may come now or later.
    pub(crate) fn join(
        &mut self,
        now: Now,
        token: Token,
        request: JoinRequest,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> Step {
        let mut step = Step::default();
        if self.consumer.is_empty() {
            // An empty group changes its kind and keeps its offsets.
            step.records = self.consumer.removal();
            self.classic.join(now, token, request, settings, &mut step);
            return step;
        }
        let joined = self.consumer.join_classic(now, &request, topics, settings, &mut step.records);
        let (reply, replaced) = match joined {
            Ok(joined) => joined,
            Err(refused) => {
                step.records.clear();
                step.join(token, refused);
                return step;
            }
        };
        let mut converted = None;
        if let Some(old) = replaced
            && self.consumer.is_classic_without(&[old])
        {
            // The last member of the consumer protocol has come back as one of the classic protocol.
            let mut planned = self.consumer.clone();
            for record in &step.records {
                if let Record::Consumer(record) = record {
                    planned.replay(record);
                }
            }
            let classic = downgrade(&planned, now, &[], topics, settings, &mut step.records);
            converted = classic.map(|classic| Converted::Classic(Box::new(classic)));
        }
        if step.records.is_empty() {
            step.join(token, reply);
        } else {
            step.after = After::Joined { token, reply: Box::new(reply), converted };
        }
        step
    }

    /// Takes a SyncGroup; the reply may come now or later.
    pub(crate) fn sync(
        &mut self,
        now: Now,
        token: Token,
        request: SyncRequest,
        topics: &dyn TopicLookup,
    ) -> Step {
        let mut step = Step::default();
        match self.kind() {
            GroupKind::Classic => self.classic.sync(now, token, request, &mut step),
            GroupKind::Consumer => {
                let reply = self.consumer.sync_classic(now, &request, topics);
                step.sync(token, reply.unwrap_or_else(SyncReply::refuse));
            }
        }
        step
    }

    /// Takes a Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        member_id: &MemberId,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        match self.kind() {
            GroupKind::Classic => self.classic.heartbeat(now, member_id, instance_id, generation),
            GroupKind::Consumer => self.consumer.heartbeat_classic(now, member_id, instance_id, generation),
        }
    }

    /// Takes a LeaveGroup: one error code per member.
    pub(crate) fn leave(
        &mut self,
        now: Now,
        leaving: &[Leaving],
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
    ) -> (Vec<ErrorCode>, Step) {
        let mut step = Step::default();
        let codes = match self.kind() {
            GroupKind::Classic => self.classic.leave(now, leaving, &mut step),
            GroupKind::Consumer => {
                let (codes, gone) = self.consumer.find_leaving(leaving);
                self.fence(now, &gone, topics, settings, &mut step);
                codes
            }
        };
        (codes, step)
    }

    /// The conversion is in the log: live by it.
    pub(super) fn convert(&mut self, now: Now, converted: Converted, step: &mut Step) {
        match converted {
            Converted::Consumer(timers) => self.consumer.timers = timers,
            Converted::Classic(classic) => {
                self.classic = *classic;
                self.classic.prepare_rebalance(now, step);
            }
        }
    }

    /// Answers a member of the classic protocol that has joined a consumer group.
    pub(super) fn joined(
        &mut self,
        now: Now,
        token: Token,
        reply: JoinReply,
        converted: Option<Converted>,
        appended: Result<(), ErrorCode>,
        step: &mut Step,
    ) {
        match appended {
            Ok(()) => {
                step.join(token, reply);
                if let Some(converted) = converted {
                    self.convert(now, converted, step);
                }
            }
            Err(error) => step.join(token, JoinReply::refuse(error, "".into())),
        }
    }
}

/// Turns what is left of a consumer group into a classic one: adds the records, and gives its live form. `None` when it
/// may not be.
fn downgrade(
    consumer: &Consumer,
    now: Now,
    gone: &[MemberId],
    topics: &dyn TopicLookup,
    settings: &GroupSettings,
    records: &mut Vec<Record>,
) -> Option<Classic> {
    let members: Vec<ClassicView> =
        consumer.classic_members(topics).into_iter().filter(|member| !gone.contains(&member.id)).collect();
    let limit = settings.members_max.min(GroupSettings::MEMBERS_MAX);
    if !settings.migration.downgrades() || members.len() > limit {
        return None;
    }
    let protocol = common_protocol(&members)?;
    let kept = members.iter().map(|member| GenerationMember {
        id: member.id.clone(),
        instance_id: member.subscription.instance_id.clone(),
        client_id: member.subscription.client_id.clone(),
        client_host: member.subscription.client_host.clone(),
        rebalance_timeout_ms: member.subscription.rebalance_timeout_ms,
        session_timeout_ms: member.classic.session_timeout_ms,
        subscription: member
            .classic
            .protocols
            .iter()
            .find(|offered| offered.name == protocol)
            .map(|offered| offered.metadata.clone())
            .unwrap_or_default(),
        assignment: member.assignment.clone(),
    });
    let generation = Arc::new(Generation {
        protocol_type: super::classic::CONSUMER.into(),
        id: consumer.generation(),
        protocol: Some(protocol.clone()),
        // None, so that a restart before the round of joins is over begins it again.
        leader: None,
        state_since_ms: now.wall,
        members: kept.collect(),
    });
    records.extend(consumer.removal_with_members());
    records.push(Record::Generation(Some(generation.clone())));
    let mut classic = Classic::restore(&generation, now, |_: &str| -> Millis { 0 });
    classic.offer_again(members.iter().map(|member| (&member.id, &member.classic.protocols)));
    Some(classic)
}

/// The protocol that all members offer and most like best, as [`Classic`] selects it.
fn common_protocol(members: &[ClassicView]) -> Option<Arc<str>> {
    let (first, others) = members.split_first()?;
    let is_common = |name: &Arc<str>| {
        others.iter().all(|member| member.classic.protocols.iter().any(|protocol| protocol.name == *name))
    };
    first.classic.protocols.iter().map(|protocol| &protocol.name).find(|name| is_common(name)).cloned()
}

impl Migration {
    /// Whether a classic group with members may become a consumer group.
    pub fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group with members may become a classic group.
    pub fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}
