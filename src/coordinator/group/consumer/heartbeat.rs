//! ConsumerGroupHeartbeat of a member that joins or stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::reconcile::Goal;
use super::subscription::{Image, Names, compile, topics_of};
use super::target::Draft;
use super::{
    Consumer, ConsumerRecord, Current, GroupEpoch, JOIN, LEAVE_STATIC, MemberId, Progress, Refused, Resolved,
    Subscription, TargetEpoch,
};
use crate::coordinator::assign::Partitions;
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::group::Record;
use crate::coordinator::group::timers::Timer;
use crate::coordinator::settings::{ConsumerTimes, GroupSettings};
use crate::coordinator::{Millis, Now};

/// A heartbeat. What is `None` has not changed since the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Member id.
    pub member_id: MemberId,
    /// The member's epoch: 0 joins, −1 leaves, −2 leaves and keeps a static member's place.
    pub epoch: i32,
    /// Instance id of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Rack.
    pub rack_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where the client connects from, as Kafka prints it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// Longest time that the member may take to revoke; −1 when it has not changed.
    pub rebalance_timeout_ms: i32,
    /// Topics by name.
    pub topics: Option<Vec<Arc<str>>>,
    /// Topics by regular expression; empty for none.
    pub regex: Option<Arc<str>>,
    /// Preferred assignor.
    pub assignor: Option<Arc<str>>,
    /// What the member has.
    pub owned: Option<Partitions>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeatReply {
    /// Member id.
    pub member_id: MemberId,
    /// The epoch that the member has to name from now on.
    pub epoch: i32,
    /// When to send the next heartbeat.
    pub heartbeat_interval_ms: i32,
    /// What the member may read, if that is news to it.
    pub assignment: Option<Partitions>,
}

impl BeatReply {
    /// The answer to a member that goes.
    pub(crate) fn left(beat: &Beat) -> Self {
        Self {
            member_id: beat.member_id.clone(),
            epoch: beat.epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        }
    }
}

/// A member as a request finds it.
pub(super) struct Found {
    pub(super) subscription: Arc<Subscription>,
    current: Arc<Current>,
    target: Arc<Partitions>,
    /// The id that a static member had before.
    pub(super) replaces: Option<MemberId>,
    is_new: bool,
}

impl Found {
    /// One that is not there yet.
    pub(super) fn new() -> Self {
        let subscription = Arc::new(Subscription { rebalance_timeout_ms: -1, ..Subscription::default() });
        let none = Arc::default();
        Self { subscription, current: Arc::default(), target: none, replaces: None, is_new: true }
    }

    /// One that comes back as another id.
    pub(super) fn joining_anew(mut self) -> Self {
        let current = Current { epoch: 0, previous_epoch: 0, ..(*self.current).clone() };
        self.current = Arc::new(current);
        self
    }
}

/// What a request makes of its member.
pub(super) struct Planned {
    pub(super) after: Arc<Current>,
    /// Whether that is news.
    pub(super) has_changed: bool,
}

impl Beat {
    /// Whether the member says everything about itself, as it does when it has lost our answers.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms >= 0
            && (self.topics.is_some() || self.regex.is_some())
            && self.owned.is_some()
    }

    fn subscription(&self, before: &Subscription) -> Subscription {
        let topics = self.topics.clone().map(|mut topics| {
            topics.sort_unstable();
            topics.dedup();
            topics
        });
        let regex = self.regex.clone().map(|regex| Some(regex).filter(|regex| !regex.is_empty()));
        Subscription {
            instance_id: self.instance_id.clone().or_else(|| before.instance_id.clone()),
            rack_id: self.rack_id.clone().or_else(|| before.rack_id.clone()),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topics: topics.unwrap_or_else(|| before.topics.clone()),
            regex: regex.unwrap_or_else(|| before.regex.clone()),
            rebalance_timeout_ms: if self.rebalance_timeout_ms >= 0 {
                self.rebalance_timeout_ms
            } else {
                before.rebalance_timeout_ms
            },
            assignor: self.assignor.clone().or_else(|| before.assignor.clone()),
            classic: None,
        }
    }
}

/// Bytes of a subscription that are not counted.
const SMALL_SUBSCRIPTION_BYTES: usize = 1_024;

impl Consumer {
    /// Takes the heartbeat of a member that joins or stays; adds to `records`.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        beat: &Beat,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        times: &ConsumerTimes,
        records: &mut Vec<Record>,
    ) -> Result<BeatReply, Refused> {
        let id = &beat.member_id;
        let found = self.find(beat, settings)?;
        let subscription = beat.subscription(&found.subscription);
        let rebalance_timeout_ms = subscription.rebalance_timeout_ms;
        let owned = if beat.epoch == JOIN { Some(Partitions::default()) } else { beat.owned.clone() };
        let waits = Millis::from(times.assignment_interval_ms);
        let planned =
            self.plan(now, id, &found, subscription, owned.as_ref(), waits, topics, settings, records)?;

        self.timers.set(Timer::Session(id.clone()), now.tick + Millis::from(times.session_timeout_ms));
        let after = planned.after;
        if planned.has_changed && after.progress == Progress::Unrevoked {
            let until = now.tick + Millis::from(rebalance_timeout_ms.max(0));
            self.timers.set(Timer::Revoke(id.clone()), until);
        }
        let is_news = beat.epoch == JOIN || beat.is_full() || after.assigned != found.current.assigned;
        Ok(BeatReply {
            member_id: id.clone(),
            epoch: after.epoch,
            heartbeat_interval_ms: times.heartbeat_interval_ms,
            assignment: is_news.then(|| after.assigned.partitions()),
        })
    }

    /// Whether the group may take in what the member subscribes to. Small ones always: their number is limited.
    fn check_room(&self, found: &Found, new: &Subscription, settings: &GroupSettings) -> Result<(), Refused> {
        let (bytes, before) = (new.bytes(), found.subscription.bytes());
        if bytes <= SMALL_SUBSCRIPTION_BYTES || bytes <= before {
            return Ok(());
        }
        let all: usize = self.members.values().map(|member| member.subscription.bytes()).sum();
        if all.saturating_sub(before).saturating_add(bytes) <= settings.group_bytes_max {
            return Ok(());
        }
        Err(Refused::new(
            ErrorCode::GROUP_MAX_SIZE_REACHED,
            format!(
                "the subscriptions of this group would take more than {} bytes; subscribe by a regular expression",
                settings.group_bytes_max
            ),
        ))
    }

    /// What a member's new subscription, and what it says that it has, make of the group and of the member: adds the
    /// records. A new assignment `waits` so long after the last one; until then members go on with that.
    #[expect(clippy::too_many_arguments, reason = "all of it is the request's, or the world's")]
    pub(super) fn plan(
        &mut self,
        now: Now,
        id: &MemberId,
        found: &Found,
        subscription: Subscription,
        owned: Option<&Partitions>,
        waits: Millis,
        topics: &dyn TopicLookup,
        settings: &GroupSettings,
        records: &mut Vec<Record>,
    ) -> Result<Planned, Refused> {
        self.check_room(found, &subscription, settings)?;
        let subscription = Arc::new(subscription);
        let topics_now = topics.version();
        let is_stale = self.topics_seen != Some(topics_now);
        let is_changed = subscription.topics != found.subscription.topics
            || subscription.regex != found.subscription.regex;

        let mut draft = Draft::new(self);
        draft.changed = Some((id, &subscription));
        draft.removed = found.replaces.as_slice();
        draft.resolved = self.resolve_changed(&subscription, is_changed, is_stale, topics, now)?;

        if let Some(old) = &found.replaces {
            records.extend(tombstones(old));
        }
        if found.is_new || found.replaces.is_some() || subscription != found.subscription {
            records.push(Record::Consumer(ConsumerRecord::Member(id.clone(), Some(subscription.clone()))));
        }
        if found.replaces.is_some() {
            let target = ConsumerRecord::Target(id.clone(), Some(found.target.clone()));
            records.push(Record::Consumer(target));
        }
        for (regex, resolved) in &draft.resolved {
            let record = ConsumerRecord::Regex(regex.clone(), Some(resolved.clone()));
            records.push(Record::Consumer(record));
        }
        if is_changed {
            records.extend(draft.unused_regexes());
        }

        let mut epoch = self.group_epoch();
        if is_changed || is_stale || !self.exists() {
            let metadata_hash = draft.metadata_hash(topics);
            let differs = metadata_hash != self.metadata_hash() || !draft.resolved.is_empty();
            // An epoch that nothing has been assigned for yet need not be followed by another just because of topics.
            if is_changed || !self.exists() || (differs && epoch == self.target_epoch) {
                epoch += 1;
            }
            if differs || epoch != self.group_epoch() {
                let value = GroupEpoch { epoch, metadata_hash };
                records.push(Record::Consumer(ConsumerRecord::Epoch(Some(value))));
            } else {
                self.topics_seen = Some(topics_now);
            }
        }

        let mut target = found.target.clone();
        let mut target_epoch = self.target_epoch;
        self.assigns_at = self.assigned_at.filter(|_| !self.members.is_empty()).map(|at| at + waits);
        let is_due = self.assigns_at.is_none_or(|at| now.tick >= at);
        if epoch > self.target_epoch && is_due {
            let mut draft = Draft::new(self);
            draft.changed = Some((id, &subscription));
            draft.removed = found.replaces.as_slice();
            draft.resolved = resolved_in(records);
            let made = TargetEpoch { epoch, at_ms: now.wall };
            target = draft.target(made, id, &found.target, settings.assignors[0], topics, records);
            target_epoch = epoch;
        }

        let subscribed = || {
            let new = resolved_in(records);
            let resolved = |regex: &str| new.get(regex).or_else(|| self.regexes.get(regex)).cloned();
            topics_of(&subscription, resolved, &mut Image::default(), topics)
        };
        let goal = Goal {
            target: &target,
            epoch: target_epoch,
            owned,
            has_resubscribed: is_changed,
            subscribed: &subscribed,
        };
        let next = self.reconcile(id, &found.current, &goal).map(Arc::new);
        if let Some(next) = &next {
            records.push(Record::Consumer(ConsumerRecord::Current(id.clone(), Some(next.clone()))));
        }
        let has_changed = next.is_some();
        Ok(Planned { after: next.unwrap_or_else(|| found.current.clone()), has_changed })
    }

    fn find(&self, beat: &Beat, settings: &GroupSettings) -> Result<Found, Refused> {
        let id = &beat.member_id;
        let holder = beat.instance_id.as_ref().and_then(|instance| self.static_members.get(instance));
        if beat.epoch != JOIN {
            let member = self.known(beat)?;
            admit_epoch(&member.current, beat)?;
            return Ok(self.found(id, None));
        }
        if let Some(holder) = holder {
            let member = &self.members[holder];
            // One of another protocol is replaced as it is.
            if member.current.epoch != LEAVE_STATIC && member.subscription.classic.is_none() {
                let instance = beat.instance_id.as_deref().unwrap_or_default();
                return Err(Refused::new(
                    ErrorCode::UNRELEASED_INSTANCE_ID,
                    format!(
                        "Static member {id} with instance id {instance} cannot join the group because the \
                         instance id is owned by {holder} member."
                    ),
                ));
            }
            return Ok(self.found(holder, Some(holder.clone())).joining_anew());
        }
        if self.members.contains_key(id) {
            return Ok(self.found(id, None));
        }
        let limit = settings.consumer_members_max.min(GroupSettings::MEMBERS_MAX);
        if self.members.len() >= limit {
            return Err(Refused::new(
                ErrorCode::GROUP_MAX_SIZE_REACHED,
                format!("The consumer group has reached its maximum capacity of {limit} members."),
            ));
        }
        Ok(Found::new())
    }

    pub(super) fn found(&self, id: &MemberId, replaces: Option<MemberId>) -> Found {
        let member = &self.members[id];
        Found {
            subscription: member.subscription.clone(),
            current: member.current.clone(),
            target: self.targets.get(id).cloned().unwrap_or_default(),
            replaces,
            is_new: false,
        }
    }

    /// The expressions to be resolved: a new one of the member's, or all of them when topics have changed. Gives those
    /// of which the topics differ from what is known.
    fn resolve_changed(
        &self,
        subscription: &Subscription,
        is_changed: bool,
        is_stale: bool,
        topics: &dyn TopicLookup,
        now: Now,
    ) -> Result<BTreeMap<Arc<str>, Arc<Resolved>>, Refused> {
        let mut resolved = BTreeMap::new();
        let mut names = None;
        let own = subscription.regex.iter().filter(|_| is_changed);
        let all = self.regexes.keys().filter(|_| is_stale);
        for regex in own.chain(all) {
            let known = self.regexes.get(regex);
            if resolved.contains_key(regex) || known.is_some() && !is_stale {
                continue;
            }
            let compiled = compile(regex)?;
            let names = names.get_or_insert_with(|| Names::of(topics));
            let new = names.resolve(&compiled, topics, now);
            if known.is_none_or(|known| known.topics != new.topics) {
                resolved.insert(regex.clone(), Arc::new(new));
            }
        }
        Ok(resolved)
    }
}

/// Removes a member from what is kept.
pub(super) fn tombstones(id: &MemberId) -> [Record; 3] {
    [
        Record::Consumer(ConsumerRecord::Current(id.clone(), None)),
        Record::Consumer(ConsumerRecord::Target(id.clone(), None)),
        Record::Consumer(ConsumerRecord::Member(id.clone(), None)),
    ]
}

fn resolved_in(records: &[Record]) -> BTreeMap<Arc<str>, Arc<Resolved>> {
    let resolved = records.iter().filter_map(|record| match record {
        Record::Consumer(ConsumerRecord::Regex(regex, Some(resolved))) => {
            Some((regex.clone(), resolved.clone()))
        }
        _ => None,
    });
    resolved.collect()
}

/// The epoch that the member names is its own, or the one before if our last answer was lost on its way; then what it
/// has must be what it may have.
fn admit_epoch(current: &Current, beat: &Beat) -> Result<(), Refused> {
    if beat.epoch == current.epoch {
        return Ok(());
    }
    let lost = beat.epoch == current.previous_epoch
        && beat.owned.as_ref().is_some_and(|owned| current.assigned.contains_all(owned));
    if beat.epoch < current.epoch && lost {
        return Ok(());
    }
    let relation = if beat.epoch > current.epoch { "greater" } else { "smaller" };
    Err(Refused::new(
        ErrorCode::FENCED_MEMBER_EPOCH,
        format!(
            "The consumer group member has a {relation} member epoch ({}) than the one known by the group coordinator \
             ({}). The member must abandon all its partitions and rejoin.",
            beat.epoch, current.epoch
        ),
    ))
}
