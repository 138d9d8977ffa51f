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

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use quipu_protocol::ErrorCode;
    use quipu_protocol::record::BatchBuilder;
    use quipu_storage::disk::{DirLock, Disk, DiskFile, Entry, LockError, Map, MemoryDisk, OpenMode};
    use quipu_storage::{CheckedBatch, Origin};

    use super::*;
    use crate::broker::{Broker, CreateTopic};
    use crate::clock::Clock;
    use crate::config::{Config, Sources};
    use crate::health::Health;
    use crate::topic::durable::Awaited;
    use crate::topic::{Partition, Turn};

    /// A disk in memory that claims to last, and whose syncs and writes fail on demand.
    #[derive(Clone, Debug, Default)]
    struct Failing {
        inner: MemoryDisk,
        syncs_fail: Arc<AtomicBool>,
        writes_fail: Arc<AtomicBool>,
    }

    impl Disk for Failing {
        fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
            self.inner.create_dir_all(dir)
        }
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
            let inner = self.inner.open(path, mode)?;
            let (syncs_fail, writes_fail) = (Arc::clone(&self.syncs_fail), Arc::clone(&self.writes_fail));
            Ok(Arc::new(FailingFile { inner, syncs_fail, writes_fail }))
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.inner.rename(from, to)
        }
        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.inner.remove_file(path)
        }
        fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
            self.inner.remove_dir_all(dir)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.inner.sync_dir(dir)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.inner.list(dir)
        }
        fn lock(&self, dir: &Path) -> Result<DirLock, LockError> {
            self.inner.lock(dir)
        }
    }

    #[derive(Debug)]
    struct FailingFile {
        inner: Arc<dyn DiskFile>,
        syncs_fail: Arc<AtomicBool>,
        writes_fail: Arc<AtomicBool>,
    }

    impl DiskFile for FailingFile {
        fn size_bytes(&self) -> io::Result<u64> {
            self.inner.size_bytes()
        }
        fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
            self.inner.read_at(buf, position)
        }
        fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
            if self.writes_fail.load(Ordering::Acquire) {
                return Err(io::Error::from_raw_os_error(5));
            }
            self.inner.write_at(parts, position)
        }
        fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
            self.inner.reserve(from, to)
        }
        fn set_len(&self, size_bytes: u64) -> io::Result<()> {
            self.inner.set_len(size_bytes)
        }
        fn sync_data(&self) -> io::Result<()> {
            if self.syncs_fail.load(Ordering::Acquire) {
                return Err(io::Error::from_raw_os_error(5));
            }
            self.inner.sync_data()
        }
        fn map(&self, size_bytes: u64) -> io::Result<Map> {
            self.inner.map(size_bytes)
        }
    }

    /// Appends a record, and waits until it is acknowledged.
    fn send(partition: &Arc<Partition>) -> Result<(), ErrorCode> {
        let mut batch = BatchBuilder::new();
        batch.push(1, None, Some(b"value"), &[]);
        let bytes = batch.finish();
        let checked = CheckedBatch::check(&bytes).unwrap();
        let appended = partition.append(&checked, Origin::Producer, 1).map_err(|failure| failure.code())?;
        let mut awaited = Awaited::default();
        partition.when_durable(appended.last_offset + 1, || awaited.add());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(awaited.wait())
    }

    #[test]
    fn a_sync_that_fails_closes_that_log_and_shows_in_health_and_at_the_end() {
        let disk = Failing::default();
        disk.create_dir_all(Path::new("/data")).unwrap();
        let (config, _) = Config::load(Sources::default()).unwrap();
        let clock = Clock::manual(0, 1);
        let broker = Broker::open(config, Arc::new(disk.clone()), Path::new("/data"), clock).unwrap();
        let [bad, good] = ["bad", "good"]
            .map(|name| broker.create_topic(CreateTopic::with_defaults(name)).unwrap().partition(0).unwrap());
        send(&bad).unwrap();
        assert!(Health::of(&broker).is_good());
        disk.syncs_fail.store(true, Ordering::Release);
        assert_eq!(send(&bad), Err(ErrorCode::KAFKA_STORAGE_ERROR));
        disk.syncs_fail.store(false, Ordering::Release);
        // It is not tried again, however well the disk is now. Others go on.
        assert_eq!(send(&bad), Err(ErrorCode::KAFKA_STORAGE_ERROR));
        send(&good).unwrap();
        // Nor does anybody wait for ever who comes to wait only after the flush has failed.
        let mut late = Awaited::default();
        bad.when_durable(2, || late.add());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(late.wait()), Err(ErrorCode::KAFKA_STORAGE_ERROR));
        let health = Health::of(&broker);
        assert!(
            matches!(&health.faulty[..], [(topic, 0, Fault::Failed(_))] if **topic == *"bad"),
            "{health:?}"
        );
        assert_eq!(bad.high_watermark(1).unwrap(), 1, "what is not on disk is not shown");
        assert_eq!(broker.topics.faults.failed.get(), 1);
        broker.stop();
        let told = broker.close().unwrap_err();
        assert!(told.contains("failed for 1 logs"), "{told}");
    }

    #[test]
    fn a_turn_shows_all_of_its_batches_or_fails_as_a_whole() {
        let disk = Failing::default();
        disk.create_dir_all(Path::new("/data")).unwrap();
        let (config, _) = Config::load(Sources::default()).unwrap();
        let broker =
            Broker::open(config, Arc::new(disk.clone()), Path::new("/data"), Clock::manual(0, 1)).unwrap();
        let [one, other] = ["one", "other"]
            .map(|name| broker.create_topic(CreateTopic::with_defaults(name)).unwrap().partition(0).unwrap());
        let turn = Turn::default();
        let append = |partition: &Arc<Partition>, goes_on| {
            turn.set_goes_on(goes_on);
            let mut batch = BatchBuilder::new();
            batch.push(1, None, Some(b"value"), &[]);
            let bytes = batch.finish();
            let checked = CheckedBatch::check(&bytes).unwrap();
            partition.append_in_turn(&checked, Origin::Producer, 1, Some(&turn)).unwrap().last_offset
        };
        let end = |partition: &Partition| partition.reader(1).unwrap().end_offset();
        // Nobody knows yet that a second one comes; what goes elsewhere in between takes nothing along.
        assert_eq!((append(&one, true), end(&one)), (0, 1));
        assert_eq!((append(&one, true), end(&one)), (1, 1));
        assert_eq!((append(&other, true), end(&other)), (0, 1));
        assert_eq!((append(&one, true), append(&one, true), end(&one)), (2, 3, 3));
        turn.end().unwrap();
        assert_eq!((append(&one, true), append(&one, true), end(&one)), (4, 5, 4));
        assert_eq!((append(&one, false), end(&one)), (6, 7), "the last of a turn writes all of it");
        assert_eq!((append(&one, true), end(&one)), (7, 7));
        turn.end().unwrap();
        assert_eq!(end(&one), 8);

        assert_eq!(append(&one, true), 8);
        disk.writes_fail.store(true, Ordering::Release);
        assert_eq!(turn.end().unwrap_err().code(), ErrorCode::KAFKA_STORAGE_ERROR);
        assert_eq!(end(&one), 8);
        disk.writes_fail.store(false, Ordering::Release);
        assert_eq!(send(&one), Err(ErrorCode::KAFKA_STORAGE_ERROR));
        let health = Health::of(&broker);
        assert!(
            matches!(&health.faulty[..], [(topic, 0, Fault::Failed(_))] if **topic == *"one"),
            "{health:?}"
        );
    }
}
