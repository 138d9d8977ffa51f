//! How a consumer group looks from outside (ConsumerGroupDescribe).

use std::sync::Arc;

use super::{Consumer, ConsumerState, Current, MemberId, Subscription};
use crate::coordinator::assign::{Assignor, Partitions};

/// A group as ConsumerGroupDescribe shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerView {
    /// State.
    pub state: ConsumerState,
    /// Epoch of the group.
    pub epoch: i32,
    /// Epoch of the target assignment.
    pub target_epoch: i32,
    /// Who assigns.
    pub assignor: Assignor,
    /// Members in order of their ids.
    pub members: Vec<ConsumerMemberView>,
}

/// A member as ConsumerGroupDescribe shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberView {
    /// Id.
    pub id: MemberId,
    /// What it says of itself.
    pub subscription: Arc<Subscription>,
    /// What it has.
    pub current: Arc<Current>,
    /// What it is to have.
    pub target: Arc<Partitions>,
}

impl Consumer {
    /// A copy of everything that may be shown.
    pub(crate) fn view(&self, default: Assignor) -> ConsumerView {
        let subscriptions = self.members.values().map(|member| &*member.subscription);
        ConsumerView {
            state: self.state(),
            epoch: self.group_epoch(),
            target_epoch: self.target_epoch,
            assignor: Self::preferred_assignor(subscriptions, default),
            members: self
                .members
                .iter()
                .map(|(id, member)| ConsumerMemberView {
                    id: id.clone(),
                    subscription: member.subscription.clone(),
                    current: member.current.clone(),
                    target: self.targets.get(id).cloned().unwrap_or_default(),
                })
                .collect(),
        }
    }

    /// Whether a member reads the topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let regex = member.subscription.regex.as_ref().and_then(|regex| self.regexes.get(regex));
            let matched = regex.iter().flat_map(|resolved| &resolved.topics);
            member.subscription.topics.iter().chain(matched).any(|name| **name == *topic)
        })
    }
}
