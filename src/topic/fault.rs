//! Logs that take no more records, and why: for the log lines, the counters, the exit code and whoever asks for health.

use std::path::Path;

use quipu_storage::Fence;

use crate::metrics::Counter;

/// Why a partition takes no records. It may still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write or a sync failed. Nothing is acknowledged any more; the next start reads what is on disk.
    Failed(String),
    /// Bytes that were on disk are gone or broken. It is read-only until an operator restores them or gives them up.
    Damaged(String),
}

impl Fault {
    pub(super) fn of(fence: &Fence) -> Self {
        match fence {
            Fence::Failed(_) => Self::Failed(fence.to_string()),
            Fence::Damaged(_) => Self::Damaged(fence.to_string()),
        }
    }

    /// Tells the operator once, with the cure. `dir` is the partition's, of the partition called `name`.
    pub(super) fn tell(&self, name: &str, dir: &Path) {
        match self {
            Self::Failed(reason) => tracing::error!(
                "{name} takes no more records: {reason}; look after the disk, then restart the broker: \
                 it reads what is really there"
            ),
            Self::Damaged(reason) => {
                // <data directory>/topics/<id>/<partition>
                let data_dir = dir.ancestors().nth(3).unwrap_or(dir).display();
                tracing::error!(
                    "{name} takes no more records: {reason}; what is left can be read. Put the file back from a copy, \
                     or stop the broker and give up what is lost: quipu verify --data-dir {data_dir} --accept-loss {name}"
                );
            }
        }
    }
}

/// How often logs gave trouble since the start.
#[derive(Debug, Default)]
pub struct Faults {
    /// Logs closed for writing by a write or sync error.
    pub failed: Counter,
    /// Logs that are read-only because they are damaged.
    pub damaged: Counter,
    /// Attempts to open a log that failed.
    pub unopened: Counter,
    /// Batches that were refused because the disk is full.
    pub refused_full: Counter,
    /// Logs that could not be closed cleanly.
    pub unclean: Counter,
}

impl Faults {
    pub(super) fn count(&self, fault: &Fault) {
        match fault {
            Fault::Failed(_) => self.failed.increment(),
            Fault::Damaged(_) => self.damaged.increment(),
        }
    }

    /// Whether something that was written may not be on disk: what the exit code tells.
    pub fn lost_writes(&self) -> bool {
        self.failed.get() > 0 || self.unclean.get() > 0
    }
}
