//! A disk that keeps some room for when it is full: two files that take space and hold nothing.
//!
//! Records are the first to be refused: their segments never grow into this room. Logs that the broker itself needs may
//! use the first half, the small files of a checkpoint, a deletion or a clean stop all of it. While any of it is given
//! up, nothing else grows; it is taken again, before anything else is, as soon as there is space.
//!
//! ```text
//! both kept ──a log of the broker's own is out of space──> first given up ──a state file is──> both given up
//!      ^────────────────── somebody wants to grow, and there is room for both again ─────────────────┘
//! ```

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::state::TEMPORARY;
use super::{DirLock, Disk, DiskFile, Entry, FileSystem, LockError, Map, OpenMode};
use crate::error::is_full;
use crate::segment::LOG_SUFFIX;
use crate::types::Millis;

/// The files, in the data directory.
const FILES: [&str; 2] = ["reserve-1", "reserve-2"];
/// Share of a volume that is kept, and the bounds of that.
const VOLUME_SHARE: u64 = 64;
const RESERVE_BYTES_MIN: u64 = 1 << 20;
const RESERVE_BYTES_MAX: u64 = 16 << 20;

/// Another disk, with a reserve.
#[derive(Clone, Debug)]
pub struct ReserveDisk {
    inner: Arc<dyn Disk>,
    reserve: Arc<Reserve>,
}

#[derive(Debug)]
struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Of each file.
    size_bytes: u64,
    /// Which of the files are there.
    kept: Mutex<[bool; 2]>,
    /// Somebody was refused since there was room the last time.
    is_full: AtomicBool,
}

impl ReserveDisk {
    /// Keeps the reserve in `dir`, on a volume of `volume_bytes`. What is there of an earlier start is taken over;
    /// nothing is made before [`Disk::regain`].
    pub fn new(inner: Arc<dyn Disk>, dir: &Path, volume_bytes: u64) -> Self {
        let size_bytes = (volume_bytes / VOLUME_SHARE).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX) / 2;
        let entries = inner.list(dir).unwrap_or_default();
        let is_there =
            |name: &str| entries.iter().any(|entry| entry.name == name && entry.size_bytes >= size_bytes);
        let reserve = Reserve {
            disk: Arc::clone(&inner),
            dir: dir.to_owned(),
            size_bytes,
            kept: Mutex::new(FILES.map(is_there)),
            is_full: AtomicBool::new(false),
        };
        Self { inner, reserve: Arc::new(reserve) }
    }

    /// Whether the name is that of a file of the reserve.
    pub fn is_reserve(name: &str) -> bool {
        FILES.contains(&name)
    }
}

impl Reserve {
    /// Takes back what was given up. False when there is no room for it.
    fn regain(&self) -> bool {
        let mut kept = self.kept.lock();
        for (kept, name) in kept.iter_mut().zip(FILES).filter(|(kept, _)| !**kept) {
            let path = self.dir.join(name);
            let made =
                self.disk.open(&path, OpenMode::Truncate).and_then(|file| file.reserve(0, self.size_bytes));
            if made.is_err() {
                // A file system may leave what it could get.
                let _ = self.disk.remove_file(&path);
                return false;
            }
            *kept = true;
        }
        true
    }

    /// Gives up the first file that is left of the first `count`. False when none is.
    fn give_up(&self, count: usize) -> bool {
        let mut kept = self.kept.lock();
        let Some(at) = kept[..count].iter().position(|kept| *kept) else { return false };
        if self.disk.remove_file(&self.dir.join(FILES[at])).is_err() {
            return false;
        }
        kept[at] = false;
        true
    }

    /// Tries something that takes space, with as much of the reserve as it may use.
    fn with<T>(&self, count: usize, mut take: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match take() {
                Err(error) if is_full(&error) => {
                    self.set_full();
                    if !self.give_up(count) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Tries something that may take space only while all of the reserve is there.
    fn without<T>(&self, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let taken = if self.regain() || crate::planted::planted("records-take-the-reserve") {
            take()
        } else {
            Err(io::ErrorKind::StorageFull.into())
        };
        if taken.is_ok() {
            self.set_room();
        }
        taken
    }

    fn set_full(&self) {
        if !self.is_full.swap(true, Ordering::AcqRel) {
            tracing::error!(
                dir = %self.dir.display(),
                "the disk is full: records are refused until there is room again; reading, deleting and stopping go on"
            );
        }
    }

    fn set_room(&self) {
        if self.is_full.load(Ordering::Acquire) && self.is_full.swap(false, Ordering::AcqRel) {
            tracing::info!(dir = %self.dir.display(), "there is room on the disk again, records are taken");
        }
    }
}

impl Disk for ReserveDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_log = name.strip_suffix(TEMPORARY).unwrap_or(name).ends_with(LOG_SUFFIX);
        let kind = match (is_log, name.ends_with(TEMPORARY)) {
            (false, _) => Kind::State,
            (true, false) => Kind::Segment,
            (true, true) => Kind::Rewritten,
        };
        let open = || self.inner.open(path, mode);
        let inner = if kind == Kind::State && mode != OpenMode::Existing {
            self.reserve.with(2, open)?
        } else {
            open()?
        };
        Ok(Arc::new(ReserveFile { inner, reserve: Arc::clone(&self.reserve), kind }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.reserve.with(2, || self.inner.rename(from, to))
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

    fn modified_ms(&self, path: &Path) -> io::Result<Option<Millis>> {
        self.inner.modified_ms(path)
    }

    fn is_volatile(&self) -> bool {
        self.inner.is_volatile()
    }

    fn file_system(&self, dir: &Path) -> io::Result<Arc<dyn FileSystem>> {
        self.inner.file_system(dir)
    }

    fn refused(&self) {
        self.reserve.set_full();
    }

    fn is_full(&self) -> bool {
        self.reserve.is_full.load(Ordering::Acquire)
    }

    fn regain(&self) {
        if self.reserve.regain() { self.reserve.set_room() } else { self.reserve.set_full() }
    }

    fn lock(&self, dir: &Path) -> Result<DirLock, LockError> {
        self.inner.lock(dir)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Records are appended to it.
    Segment,
    /// A segment that is being compacted.
    Rewritten,
    /// Anything else: small, and needed to go on or to stop.
    State,
}

#[derive(Debug)]
struct ReserveFile {
    inner: Arc<dyn DiskFile>,
    reserve: Arc<Reserve>,
    kind: Kind,
}

impl DiskFile for ReserveFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.inner.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buf, position)
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        match self.kind {
            // Into space that was reserved before.
            Kind::Segment => self.inner.write_at(parts, position),
            Kind::Rewritten => self.reserve.without(|| self.inner.write_at(parts, position)),
            Kind::State => {
                let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                self.reserve.with(2, || self.inner.write_at(&mut [IoSlice::new(&bytes)], position))
            }
        }
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.reserve.without(|| self.inner.reserve(from, to))
    }

    fn reserve_urgently(&self, from: u64, to: u64) -> io::Result<()> {
        self.reserve.with(1, || self.inner.reserve(from, to))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.inner.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.inner.forget_cached()
    }

    fn for_one_pass(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        self.inner.for_one_pass()
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.inner.map(size_bytes)
    }
}
