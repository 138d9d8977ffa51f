//! Counters: what happened since the start. Cheap enough for every request (one relaxed addition).
//! What costs more, [`RequestMetrics`], has a switch.

mod histogram;
mod report;
mod requests;

pub use histogram::{Histogram, Times};
pub use requests::{ApiMetrics, RequestMetrics};
pub(crate) use requests::{Watch, Watched, thread_cpu};

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The broker's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests with a readable header and a known key.
    pub requests: Counter,
    /// Where the time of requests goes, for each API.
    pub by_api: RequestMetrics,
    /// Connections accepted.
    pub connections_opened: Counter,
    /// Connections that ended, for whatever reason.
    pub connections_closed: Counter,
    /// Connections closed by us: for what the peer sent or did not take, or because an acknowledgement had to be withheld.
    pub connections_failed: Counter,
    /// Connections turned away at `max.connections`.
    pub connections_refused: Counter,
    /// Records of batches from clients that the log took, those it knew already among them.
    pub records_in: Counter,
    /// Bytes of the same.
    pub bytes_in: Counter,
    /// Bytes of batches fetched.
    pub bytes_out: Counter,
    /// Bytes of sealed segments that were checked again.
    pub scrubbed_bytes: Counter,
    /// Places in them that were found damaged, once per pass.
    pub scrubbed_damage: Counter,
    /// Passes over all sealed segments.
    pub scrub_passes: Counter,
}

impl Metrics {
    /// Counts one appended batch.
    pub fn produced(&self, records: u64, bytes: u64) {
        self.records_in.add(records);
        self.bytes_in.add(bytes);
    }

    /// Counts one fetch answer.
    pub fn fetched(&self, bytes: u64) {
        self.bytes_out.add(bytes);
    }
}
