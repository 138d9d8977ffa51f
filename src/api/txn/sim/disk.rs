//! A disk in memory whose process can be killed at any change that it makes. What was written before stays, as it does
//! when the kernel lives on; the write under way may be torn.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_storage::disk::{DirLock, Disk, DiskFile, Entry, LockError, Map, MemoryDisk, OpenMode};

/// The disk as one process sees it. Files outlive it in `inner`.
#[derive(Clone, Debug)]
pub(super) struct MortalDisk {
    inner: MemoryDisk,
    life: Arc<Mutex<Life>>,
}

#[derive(Debug, Default)]
struct Life {
    is_dead: bool,
    /// Changes that are still made, and how many bytes in a thousand of the one after them.
    end: Option<(u64, u64)>,
}

enum Change {
    Whole,
    Torn(u64),
}

fn dead() -> io::Error {
    io::Error::other("the process was killed")
}

impl MortalDisk {
    pub(super) fn new(inner: &MemoryDisk) -> Self {
        Self { inner: inner.clone(), life: Arc::default() }
    }

    pub(super) fn kill(&self) {
        self.life.lock().is_dead = true;
    }

    /// Kills at the change after the next `changes`, of which `torn` thousandths are made if it is a write.
    pub(super) fn kill_after(&self, changes: u64, torn: u64) {
        self.life.lock().end = Some((changes, torn));
    }

    /// Takes back [`Self::kill_after`]; gives what was left of it.
    pub(super) fn spare(&self) -> Option<(u64, u64)> {
        self.life.lock().end.take()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.life.lock().is_dead
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_dead() { Err(dead()) } else { Ok(()) }
    }

    fn change(&self) -> io::Result<Change> {
        let mut life = self.life.lock();
        if life.is_dead {
            return Err(dead());
        }
        match life.end {
            Some((0, torn)) => {
                life.is_dead = true;
                Ok(Change::Torn(torn))
            }
            Some((left, torn)) => {
                life.end = Some((left - 1, torn));
                Ok(Change::Whole)
            }
            None => Ok(Change::Whole),
        }
    }

    /// A change that is made as a whole or not at all.
    fn whole(&self) -> io::Result<()> {
        match self.change()? {
            Change::Whole => Ok(()),
            Change::Torn(_) => Err(dead()),
        }
    }
}

impl Disk for MortalDisk {
    fn is_volatile(&self) -> bool {
        true
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.whole()?;
        self.inner.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::Existing {
            self.alive()?
        } else {
            self.whole()?
        }
        let file = self.inner.open(path, mode)?;
        Ok(Arc::new(MortalFile { inner: file, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole()?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.whole()?;
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.whole()?;
        self.inner.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.alive()?;
        self.inner.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.alive()?;
        self.inner.list(dir)
    }

    /// The claim of a process that was killed ends with it.
    fn lock(&self, _: &Path) -> Result<DirLock, LockError> {
        Ok(DirLock::new(()))
    }
}

#[derive(Debug)]
struct MortalFile {
    inner: Arc<dyn DiskFile>,
    disk: MortalDisk,
}

impl DiskFile for MortalFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.disk.alive()?;
        self.inner.size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.alive()?;
        self.inner.read_at(buf, position)
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        match self.disk.change()? {
            Change::Whole => self.inner.write_at(parts, position),
            Change::Torn(torn) => {
                let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                bytes.truncate(bytes.len() * torn as usize / 1000);
                self.inner.write_at(&mut [IoSlice::new(&bytes)], position)?;
                Err(dead())
            }
        }
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.disk.whole()?;
        self.inner.reserve(from, to)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.disk.whole()?;
        self.inner.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.alive()?;
        self.inner.sync_data()
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.inner.map(size_bytes)
    }
}
