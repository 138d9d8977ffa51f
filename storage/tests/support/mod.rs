//! What several tests of the engine need: batches, and a disk that fails on demand.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::{DirLock, Disk, DiskFile, Entry, LockError, Map, MemoryDisk, OpenMode};
use quipu_storage::{AppendError, Appended, Appender, CheckedBatch, LogConfig, Origin, Reader, open};

pub const DIR: &str = "/log";

/// A batch of `count` records with timestamps from `timestamp` on.
pub fn batch(count: usize, timestamp: i64) -> Vec<u8> {
    fill(BatchBuilder::new(), count, timestamp)
}

/// The same of an idempotent producer.
pub fn sequenced(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    fill(BatchBuilder::new().producer(producer_id, epoch, sequence), count, 1_000)
}

pub fn fill(mut builder: BatchBuilder, count: usize, timestamp: i64) -> Vec<u8> {
    for i in 0..count {
        let value = format!("value {i} of a batch stamped {timestamp}");
        builder.push(timestamp + i as i64, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

pub fn append(appender: &mut Appender, bytes: &[u8]) -> Result<Appended, AppendError> {
    appender.append(&CheckedBatch::check(bytes).unwrap(), Origin::Producer, 1_000)
}

pub fn small() -> LogConfig {
    LogConfig { segment_bytes: 2_000, index_interval_bytes: 200, ..LogConfig::default() }
}

pub fn open_at(disk: &Arc<dyn Disk>, config: LogConfig) -> (Appender, Reader) {
    open(Arc::clone(disk), Path::new(DIR), config, 1_000).unwrap()
}

pub fn memory() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new())
}

/// The values of all records, with their offsets.
pub fn contents(reader: &Reader) -> Vec<(i64, String)> {
    let mut out = Vec::new();
    let (mut from, end) = (reader.log_start_offset(), reader.end_offset());
    while from < end {
        let read = reader.read(from, 512, end, true).unwrap();
        for batch in read.batches() {
            assert_eq!(batch.computed_crc(), batch.header().crc);
            let open = quipu_storage::record::OpenBatch::new(&batch, 1 << 20).unwrap();
            for record in open.records() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                out.push((open.offset(&record), value));
            }
        }
        assert!(read.next_offset > from);
        from = read.next_offset;
    }
    out
}

/// A memory disk whose calls fail on demand.
#[derive(Clone, Debug, Default)]
pub struct FailingDisk {
    inner: MemoryDisk,
    pub failures: Arc<Failures>,
}

#[derive(Debug, Default)]
pub struct Failures {
    /// No more space can be reserved.
    pub full: AtomicBool,
    /// The next write leaves half of its bytes behind and fails.
    pub write: AtomicBool,
    /// Syncs of files fail.
    pub sync: AtomicBool,
    /// Files cannot be given another length.
    pub set_len: AtomicBool,
    /// Renames fail.
    pub rename: AtomicBool,
    /// Names cannot be removed, not even those that are not there: so says a file system that is read-only.
    pub remove: AtomicBool,
    /// From here on files are in the system's cache alone, and never will be on disk; 0 is nowhere.
    pub cached_from: AtomicU64,
    /// Calls of `sync_data` so far.
    pub syncs: AtomicUsize,
    /// Calls of `write_at` so far.
    pub writes: AtomicUsize,
}

impl Failures {
    pub fn set(&self, which: &AtomicBool, on: bool) {
        which.store(on, Ordering::Relaxed);
    }
}

impl Disk for FailingDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(FailingFile { inner, failures: Arc::clone(&self.failures) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.failures.rename.load(Ordering::Relaxed) {
            return Err(io::Error::other("planted rename error"));
        }
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if self.failures.remove.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
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
    failures: Arc<Failures>,
}

impl DiskFile for FailingFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.inner.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buf, position)
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.failures.writes.fetch_add(1, Ordering::Relaxed);
        if self.failures.write.swap(false, Ordering::Relaxed) {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.inner.write_at(&mut [IoSlice::new(&bytes[..bytes.len() / 2])], position)?;
            return Err(io::Error::other("planted write error"));
        }
        self.inner.write_at(parts, position)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        if self.failures.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.reserve(from, to)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        if self.failures.set_len.load(Ordering::Relaxed) {
            return Err(io::Error::other("planted error of a change of length"));
        }
        self.inner.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.failures.syncs.fetch_add(1, Ordering::Relaxed);
        if self.failures.sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("planted sync error"));
        }
        self.inner.sync_data()
    }

    fn forget_cached(&self) -> io::Result<()> {
        let (from, size) = (self.failures.cached_from.load(Ordering::Relaxed), self.inner.size_bytes()?);
        if from == 0 || from >= size {
            return Ok(());
        }
        self.inner.write_at(&mut [IoSlice::new(&vec![0; (size - from) as usize])], from)
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.inner.map(size_bytes)
    }
}

/// A memory disk with so many bytes and no more. Files take whole blocks of what they are long.
#[derive(Clone, Debug)]
pub struct SmallDisk {
    inner: MemoryDisk,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    bytes: u64,
    /// What each file takes, by path; shared by those who have it open.
    taken:
        parking_lot::Mutex<std::collections::BTreeMap<std::path::PathBuf, Arc<std::sync::atomic::AtomicU64>>>,
}

impl SmallDisk {
    pub fn new(bytes: u64) -> Self {
        Self { inner: MemoryDisk::new(), room: Arc::new(Room { bytes, taken: Default::default() }) }
    }

    /// Takes room until dropped.
    pub fn hog(&self, bytes: u64) -> Hog {
        let path = Path::new("/hog");
        self.room.taken.lock().entry(path.to_owned()).or_default().store(bytes, Ordering::Relaxed);
        Hog(Arc::clone(&self.room))
    }
}

pub struct Hog(Arc<Room>);

impl Drop for Hog {
    fn drop(&mut self) {
        self.0.taken.lock().remove(Path::new("/hog"));
    }
}

impl Room {
    /// Has a file take up to `to` bytes.
    fn take(&self, file: &std::sync::atomic::AtomicU64, to: u64) -> io::Result<()> {
        let to = to.next_multiple_of(4_096);
        let taken = self.taken.lock();
        let all: u64 = taken.values().map(|file| file.load(Ordering::Relaxed)).sum();
        let has = file.load(Ordering::Relaxed);
        if to > has {
            if all + to - has > self.bytes {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.store(to, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Disk for SmallDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.open(path, mode)?;
        let taken = Arc::clone(self.room.taken.lock().entry(path.to_owned()).or_default());
        if mode == OpenMode::Truncate {
            taken.store(0, Ordering::Relaxed);
        }
        Ok(Arc::new(SmallFile { inner, room: Arc::clone(&self.room), taken }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut taken = self.room.taken.lock();
        let file = taken.remove(from).unwrap_or_default();
        taken.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)?;
        self.room.taken.lock().remove(path);
        Ok(())
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
struct SmallFile {
    inner: Arc<dyn DiskFile>,
    room: Arc<Room>,
    taken: Arc<std::sync::atomic::AtomicU64>,
}

impl DiskFile for SmallFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.inner.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buf, position)
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        self.room.take(&self.taken, position + size as u64)?;
        self.inner.write_at(parts, position)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.room.take(&self.taken, to)?;
        self.inner.reserve(from, to)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let blocks = size_bytes.next_multiple_of(4_096);
        self.taken.fetch_min(blocks, Ordering::Relaxed);
        self.inner.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.inner.map(size_bytes)
    }
}
