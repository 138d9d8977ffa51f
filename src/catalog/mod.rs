//! The cluster's own memory: which topics there are, what was configured, which producer ids are given out, levels of
//! features, client quotas, users and access control lists.
//!
//! A machine over a log, like everything durable here: an [`Event`] is written and synced, then applied to the
//! [`State`]; a start replays the events. The log is `catalog/` in the data directory, ordinary v2 batches with one
//! JSON object per record, so `quipu dump` can show it. When it has grown far beyond the state it describes, a
//! start replaces it: one batch that begins with [`Event::Reset`] and holds the whole state, then everything
//! before it is deleted. A crash between the two leaves a log that replays to the same state.

mod event;
pub mod features;
pub mod quotas;
mod state;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use quipu_protocol::record::{BatchBuilder, Batches};
use quipu_storage::disk::Disk;
use quipu_storage::{Appender, CheckedBatch, LogConfig, Millis, Origin, Reader};

pub use event::{Event, Resource};
pub use state::{State, TopicEntry};

/// Longest name of a user, client, principal or resource that is kept, in bytes. Kafka has no limit.
pub const NAME_BYTES_MAX: usize = 1024;
/// Most bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;
/// The log is replaced at start when it holds more events than this and four times as many as needed.
const EVENTS_KEPT: i64 = 1_000;

/// The state and the log it comes from.
#[derive(Debug)]
pub struct Catalog {
    state: Arc<RwLock<State>>,
    appender: Appender,
    reader: Reader,
}

/// Why the catalog cannot be read or written.
#[derive(Debug)]
pub enum CatalogError {
    /// The log cannot be opened, read or written.
    Log(String),
    /// A record is not an event.
    Event {
        /// Where it is.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(reason) => write!(f, "the catalog's log: {reason}"),
            Self::Event { offset, reason } => write!(
                f,
                "the catalog's record at offset {offset} cannot be read ({reason}); was this directory written by a newer Quipu?"
            ),
        }
    }
}

impl std::error::Error for CatalogError {}

fn log_error(error: impl fmt::Display) -> CatalogError {
    CatalogError::Log(error.to_string())
}

impl Catalog {
    /// Opens the catalog in `dir` and replays it.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, now: Millis) -> Result<Self, CatalogError> {
        let (appender, reader) =
            quipu_storage::open(disk, dir, LogConfig { is_urgent: true, ..LogConfig::default() }, now)
                .map_err(log_error)?;
        if let Some(fence) = reader.fenced() {
            // What is left of it may be the wrong half: topics would be missing, and their files be taken for leftovers.
            return Err(CatalogError::Log(format!("{fence}; look at it with quipu verify")));
        }
        let mut catalog = Self { state: Arc::default(), appender, reader };
        let events = catalog.replay()?;
        let needed = catalog.state().to_events().len() as i64;
        if events > EVENTS_KEPT && events > 4 * needed {
            catalog.replace(now)?;
        }
        Ok(catalog)
    }

    /// What the events add up to.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The same for readers that must not wait until an event is on disk. It is changed here alone, and only by what is.
    pub fn shared_state(&self) -> Arc<RwLock<State>> {
        Arc::clone(&self.state)
    }

    /// Writes `events` as one batch, all or none, syncs them and applies them.
    pub fn record(&mut self, events: Vec<Event>, now: Millis) -> Result<(), CatalogError> {
        if events.is_empty() {
            return Ok(());
        }
        self.write(&events, now)?;
        let mut state = self.state.write();
        events.into_iter().for_each(|event| state.apply(event));
        Ok(())
    }

    /// Where the log ends.
    pub fn end_offset(&self) -> i64 {
        self.reader.end_offset()
    }

    /// Closes the log cleanly.
    pub fn close(self) -> Result<(), CatalogError> {
        self.appender.close().map_err(log_error)
    }

    fn write(&mut self, events: &[Event], now: Millis) -> Result<i64, CatalogError> {
        let mut batch = BatchBuilder::new();
        for event in events {
            let value = serde_json::to_vec(event).map_err(log_error)?;
            batch.push(now, None, Some(&value), &[]);
        }
        let bytes = batch.finish();
        let checked = CheckedBatch::check(&bytes).map_err(log_error)?;
        let appended = self.appender.append(&checked, Origin::Internal, now).map_err(log_error)?;
        self.appender.sync().map_err(log_error)?;
        // Few events and much at stake: each is noted to be on disk at once, so that damage is never taken for a torn write.
        if let Err(error) = self.reader.checkpoint() {
            tracing::warn!("cannot note how far the catalog is on disk: {error}");
        }
        Ok(appended.base_offset)
    }

    fn replay(&mut self) -> Result<i64, CatalogError> {
        let end = self.reader.end_offset();
        let mut next = self.reader.log_start_offset();
        let mut events = 0;
        while next < end {
            let read = self.reader.read(next, REPLAY_BYTES, end, true).map_err(log_error)?;
            let before = next;
            for slice in &read.slices {
                for batch in Batches::new(slice) {
                    let base = batch.header().base_offset;
                    for record in
                        quipu_protocol::record::Records::new(batch.payload(), batch.header().records_count)
                    {
                        let record = record.map_err(log_error)?;
                        let offset = base + i64::from(record.offset_delta);
                        let event = serde_json::from_slice(record.value.unwrap_or_default())
                            .map_err(|error| CatalogError::Event { offset, reason: error.to_string() })?;
                        self.state.write().apply(event);
                        events += 1;
                    }
                    next = batch.header().last_offset() + 1;
                }
            }
            if next == before {
                return Err(CatalogError::Log(format!(
                    "nothing can be read at offset {next}, before its end {end}"
                )));
            }
        }
        Ok(events)
    }

    fn replace(&mut self, now: Millis) -> Result<(), CatalogError> {
        let mut events = vec![Event::Reset];
        events.extend(self.state().to_events());
        let base = self.write(&events, now)?;
        self.appender.roll().map_err(log_error)?;
        self.appender.delete_prefix(base).map_err(log_error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quipu_protocol::primitives::Uuid;
    use quipu_storage::disk::MemoryDisk;

    use super::*;

    fn topic(name: &str, n: u8) -> Event {
        Event::TopicCreated {
            name: name.into(),
            id: Uuid([n; 16]),
            partitions: 3,
            configs: BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]),
        }
    }

    #[test]
    fn a_reopened_catalog_has_the_same_state() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let mut catalog = Catalog::open(Arc::clone(&disk), Path::new("/catalog"), 0).unwrap();
        catalog.record(vec![topic("a", 1), topic("b", 2)], 0).unwrap();
        catalog.record(vec![Event::TopicDeleted { name: "a".into() }], 0).unwrap();
        catalog.record(vec![Event::PartitionsAdded { name: "b".into(), partitions: 5 }], 0).unwrap();
        catalog.record(vec![Event::ProducerIdsReserved { until: 1_000 }], 0).unwrap();
        let before = catalog.state().clone();
        catalog.close().unwrap();
        let catalog = Catalog::open(disk, Path::new("/catalog"), 1).unwrap();
        assert_eq!(*catalog.state(), before);
        assert_eq!(catalog.state().topics["b"].partitions, 5);
    }

    #[test]
    fn a_long_history_is_replaced_by_the_state_it_left() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let mut catalog = Catalog::open(Arc::clone(&disk), Path::new("/catalog"), 0).unwrap();
        for n in 0..2_000 {
            let name = format!("t{}", n % 10);
            catalog.record(vec![topic(&name, 1), Event::TopicDeleted { name }], 0).unwrap();
        }
        catalog.record(vec![topic("kept", 7)], 0).unwrap();
        let before = catalog.state().clone();
        catalog.close().unwrap();
        let catalog = Catalog::open(Arc::clone(&disk), Path::new("/catalog"), 1).unwrap();
        assert_eq!(*catalog.state(), before);
        assert!(catalog.reader.log_start_offset() > 3_000);
        catalog.close().unwrap();
        assert_eq!(*Catalog::open(disk, Path::new("/catalog"), 2).unwrap().state(), before);
    }
}
