//! How the broker is, for whoever asks: an operator's page, a readiness check, an exit code.

use std::sync::Arc;

use crate::broker::Broker;
use crate::topic::fault::Fault;

/// What keeps the broker from taking all records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Records are refused until there is room on the disk again.
    pub is_disk_full: bool,
    /// Partitions that take no records: topic, number, reason.
    pub faulty: Vec<(Arc<str>, i32, Fault)>,
}

impl Health {
    /// How `broker` is now.
    pub fn of(broker: &Broker) -> Self {
        Self { is_disk_full: broker.topics.is_disk_full(), faulty: broker.topics.faulty() }
    }

    /// Whether every partition takes records.
    pub fn is_good(&self) -> bool {
        !self.is_disk_full && self.faulty.is_empty()
    }
}
