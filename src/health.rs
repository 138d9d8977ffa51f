//! How the broker is, for whoever asks: an operator's page, a readiness check, an exit code.
//!
//! A running process tells it on standard error when it gets SIGUSR1, with its counters.

use std::fmt;
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

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            return writeln!(f, "health: good, every partition takes records");
        }
        writeln!(f, "health: not good")?;
        if self.is_disk_full {
            writeln!(f, "  the disk is full: records are refused until there is room again")?;
        }
        for (topic, partition, Fault::Failed(reason) | Fault::Damaged(reason)) in &self.faulty {
            writeln!(f, "  {topic}-{partition} takes no records: {reason}")?;
        }
        Ok(())
    }
}

/// Health and counters of `broker` as lines of text. The counters have the names and the form that Prometheus reads.
pub fn status(broker: &Broker) -> String {
    let (metrics, faults) = (&broker.metrics, &broker.topics.faults);
    let counters = [
        ("requests", &metrics.requests),
        ("connections_opened", &metrics.connections_opened),
        ("connections_closed", &metrics.connections_closed),
        ("connections_failed", &metrics.connections_failed),
        ("connections_refused", &metrics.connections_refused),
        ("records_in", &metrics.records_in),
        ("bytes_in", &metrics.bytes_in),
        ("bytes_out", &metrics.bytes_out),
        ("scrubbed_bytes", &metrics.scrubbed_bytes),
        ("scrubbed_damage", &metrics.scrubbed_damage),
        ("scrub_passes", &metrics.scrub_passes),
        ("logs_failed", &faults.failed),
        ("logs_damaged", &faults.damaged),
        ("logs_unopened", &faults.unopened),
        ("logs_unclean", &faults.unclean),
        ("batches_refused_full", &faults.refused_full),
    ];
    let mut text = Health::of(broker).to_string();
    for (name, counter) in counters {
        text.push_str(&format!("quipu_{name}_total {}\n", counter.get()));
    }
    text + &requests(broker)
}

/// What each kind of request cost, as a table, or how to have that measured.
pub fn requests(broker: &Broker) -> String {
    match broker.metrics.by_api.is_on() {
        true => format!("{}\n", broker.metrics.by_api),
        false => format!(
            "requests are not measured by kind: quipu config set broker {} quipu.request.metrics=true begins it\n",
            broker.node_id()
        ),
    }
}
