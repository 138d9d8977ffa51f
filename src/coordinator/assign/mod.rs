//! Assignors: which member of a consumer group gets which partitions. Pure functions of the group's subscriptions.
//!
//! Both are those of KIP-848: `uniform` gives every member as many partitions as any other and moves as few as it can;
//! `range` gives each member a row of neighbouring partitions, the same one in topics of equal size.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quipu_protocol::primitives::Uuid;

/// A set of partitions by topic. Topics without partitions are left out, so that equal sets are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<Uuid, BTreeSet<i32>>);

impl Partitions {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether this one is among them.
    pub fn contains(&self, topic: Uuid, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds one; false when it was there.
    pub fn insert(&mut self, topic: Uuid, partition: i32) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Takes one out; false when it was not there.
    pub fn remove(&mut self, topic: Uuid, partition: i32) -> bool {
        let Entry::Occupied(mut entry) = self.0.entry(topic) else { return false };
        let removed = entry.get_mut().remove(&partition);
        if entry.get().is_empty() {
            entry.remove();
        }
        removed
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> + '_ {
        self.0.iter().flat_map(|(&topic, partitions)| partitions.iter().map(move |&p| (topic, p)))
    }

    /// By topic, in order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (Uuid, &BTreeSet<i32>)> {
        self.0.iter().map(|(&topic, partitions)| (topic, partitions))
    }

    /// Those of one topic.
    pub fn of(&self, topic: Uuid) -> impl Iterator<Item = i32> + '_ {
        self.0.get(&topic).into_iter().flatten().copied()
    }

    /// Whether all of them are among `others`.
    pub fn is_subset(&self, others: &Self) -> bool {
        self.0
            .iter()
            .all(|(topic, partitions)| others.0.get(topic).is_some_and(|others| partitions.is_subset(others)))
    }
}

impl FromIterator<(Uuid, i32)> for Partitions {
    fn from_iter<T: IntoIterator<Item = (Uuid, i32)>>(all: T) -> Self {
        let mut partitions = Self::default();
        for (topic, partition) in all {
            partitions.insert(topic, partition);
        }
        partitions
    }
}

/// The assignors that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Assignor {
    /// Balanced and sticky.
    #[default]
    Uniform,
    /// Rows of partitions, the same in topics of equal size.
    Range,
}

impl Assignor {
    /// Every one, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Assigns every partition of every subscribed topic to one of the topic's subscribers. `topics` gives the number of
    /// partitions of each topic; what members subscribe to beyond it counts as missing. One result per member, in order.
    pub fn assign(self, members: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(members, topics),
            Self::Range => range::assign(members, topics),
        }
    }
}

/// A member as the assignors see it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    /// Decides the order of members: the instance id of a static member, which outlives its member ids, else the member
    /// id.
    pub name: &'a str,
    /// What it reads.
    pub topics: Arc<BTreeSet<Uuid>>,
    /// What it was to have so far.
    pub current: &'a Partitions,
}
