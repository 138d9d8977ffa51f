//! The partitions that a member has, each with the epoch in which it got it (KIP-1251).

use std::collections::BTreeMap;

use quipu_protocol::primitives::Uuid;

use crate::coordinator::assign::Partitions;

/// Partitions with the epoch of the target assignment that gave each to the member. Whoever commits an offset in that
/// epoch or a later one has been the only one to read the partition since. Topics without partitions are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<Uuid, BTreeMap<i32, i32>>);

impl Held {
    /// All of `partitions` since `epoch`.
    pub fn since(partitions: &Partitions, epoch: i32) -> Self {
        partitions.iter().map(|(topic, partition)| (topic, partition, epoch)).collect()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Since which epoch the member has it; `None` if it does not.
    pub fn epoch_of(&self, topic: Uuid, partition: i32) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    /// Whether this one is among them.
    pub fn contains(&self, topic: Uuid, partition: i32) -> bool {
        self.epoch_of(topic, partition).is_some()
    }

    /// Whether all of `partitions` are among them.
    pub fn contains_all(&self, partitions: &Partitions) -> bool {
        partitions.iter().all(|(topic, partition)| self.contains(topic, partition))
    }

    /// Adds one, or gives it another epoch.
    pub fn insert(&mut self, topic: Uuid, partition: i32, epoch: i32) {
        self.0.entry(topic).or_default().insert(partition, epoch);
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> + '_ {
        self.with_epochs().map(|(topic, partition, _)| (topic, partition))
    }

    /// All of them, in order, with their epochs.
    pub fn with_epochs(&self) -> impl Iterator<Item = (Uuid, i32, i32)> + '_ {
        self.0
            .iter()
            .flat_map(|(&topic, of)| of.iter().map(move |(&partition, &epoch)| (topic, partition, epoch)))
    }

    /// By topic, in order: partitions and their epochs.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (Uuid, &BTreeMap<i32, i32>)> {
        self.0.iter().map(|(&topic, of)| (topic, of))
    }

    /// Without the epochs.
    pub fn partitions(&self) -> Partitions {
        self.iter().collect()
    }
}

impl FromIterator<(Uuid, i32, i32)> for Held {
    fn from_iter<T: IntoIterator<Item = (Uuid, i32, i32)>>(all: T) -> Self {
        let mut held = Self::default();
        for (topic, partition, epoch) in all {
            held.insert(topic, partition, epoch);
        }
        held
    }
}
