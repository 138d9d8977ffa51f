//! The assignment that the group is to have.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::subscription::{Image, topics_of};
use super::{Consumer, ConsumerRecord, MemberId, Resolved, Subscription, TargetEpoch};
use crate::coordinator::assign::{Assignor, Partitions, Subscriber};
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::group::Record;

/// The group as it will be once the records of the step under way have been replayed.
pub(super) struct Draft<'a> {
    pub(super) group: &'a Consumer,
    /// The member that joins or changes.
    pub(super) changed: Option<(&'a MemberId, &'a Arc<Subscription>)>,
    /// The members that leave.
    pub(super) removed: &'a [MemberId],
    /// Expressions that have been resolved anew.
    pub(super) resolved: BTreeMap<Arc<str>, Arc<Resolved>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(group: &'a Consumer) -> Self {
        Self { group, changed: None, removed: &[], resolved: BTreeMap::new() }
    }

    /// Members in order of their ids.
    pub(super) fn members(&self) -> BTreeMap<&MemberId, &Arc<Subscription>> {
        let kept = self.group.members.iter().filter(|(id, _)| !self.removed.contains(id));
        kept.map(|(id, member)| (id, &member.subscription)).chain(self.changed).collect()
    }

    fn resolved(&self, regex: &str) -> Option<Arc<Resolved>> {
        self.resolved.get(regex).or_else(|| self.group.regexes.get(regex)).cloned()
    }

    /// Hash of the topics that the members subscribe to.
    pub(super) fn metadata_hash(&self, topics: &dyn TopicLookup) -> i64 {
        let mut image = Image::default();
        for subscription in self.members().values() {
            topics_of(subscription, |regex| self.resolved(regex), &mut image, topics);
        }
        image.hash()
    }

    /// Tombstones for expressions that nobody uses any more.
    pub(super) fn unused_regexes(&self) -> impl Iterator<Item = Record> {
        let members = self.members();
        let is_used =
            move |regex: &Arc<str>| members.values().any(|member| member.regex.as_ref() == Some(regex));
        let unused = self.group.regexes.keys().filter(move |regex| !is_used(regex));
        unused.map(|regex| Record::Consumer(ConsumerRecord::Regex(regex.clone(), None)))
    }

    /// Computes the assignment of an epoch: the records for it, and what `member` is to have. `previous` stands in for
    /// the target that `member` had.
    pub(super) fn target(
        &self,
        epoch: TargetEpoch,
        member: &MemberId,
        previous: &Arc<Partitions>,
        default: Assignor,
        topics: &dyn TopicLookup,
        records: &mut Vec<Record>,
    ) -> Arc<Partitions> {
        let members = self.members();
        let mut image = Image::default();
        let none = Arc::default();
        let target_of = |id: &MemberId| {
            if id == member { previous } else { self.group.targets.get(id).unwrap_or(&none) }
        };
        let subscribers: Vec<Subscriber<'_>> = members
            .iter()
            .map(|(id, subscription)| Subscriber {
                name: subscription.instance_id.as_deref().unwrap_or(id),
                topics: Arc::new(topics_of(subscription, |regex| self.resolved(regex), &mut image, topics)),
                current: target_of(id),
            })
            .collect();
        let assignor = Consumer::preferred_assignor(members.values().map(|it| &***it), default);
        let assigned = assignor.assign(&subscribers, &image.sizes());
        let mut own = previous.clone();
        for ((id, _), partitions) in members.iter().zip(assigned) {
            let is_known = *id == member || self.group.targets.contains_key(*id);
            if is_known && partitions == **target_of(id) {
                continue;
            }
            let partitions = Arc::new(partitions);
            if *id == member {
                own = partitions.clone();
            }
            records.push(Record::Consumer(ConsumerRecord::Target((*id).clone(), Some(partitions))));
        }
        records.push(Record::Consumer(ConsumerRecord::TargetEpoch(Some(epoch))));
        own
    }
}
