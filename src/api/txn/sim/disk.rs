//! A disk in memory whose process can be killed at any change that it makes. What was written before stays, as it does
//! when the kernel lives on; the write under way may be torn.
//!
//! When the power goes as well, the newest writes to the coordinator's log may be lost, back to the last one that
//! somebody has waited for, while all other logs happen to be on disk as a whole. That is the worst order.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
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
    /// The coordinator's log.
    unsure_dir: Option<PathBuf>,
    /// Writes to it that a power cut may take back.
    unsure: Vec<Unsure>,
}

#[derive(Debug)]
struct Unsure {
    file: Arc<dyn DiskFile>,
    position: u64,
    before: Vec<u8>,
}

/// Whether it is a marker: bit 5 of a batch's attributes.
fn is_control(batch: &[u8]) -> bool {
    batch.get(22).is_some_and(|attributes| attributes & 0x20 != 0)
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

    /// From here on writes below `dir` are unsure.
    pub(super) fn is_unsure(&self, dir: &Path) {
        self.life.lock().unsure_dir.get_or_insert_with(|| dir.to_owned());
    }

    /// Somebody has waited for what was written.
    pub(super) fn is_sure(&self) {
        self.life.lock().unsure.clear();
    }

    /// Somebody has waited for what was written before the newest write.
    pub(super) fn is_sure_but_for_one(&self) {
        let unsure = &mut self.life.lock().unsure;
        unsure.drain(..unsure.len().saturating_sub(1));
    }

    /// How many writes a power cut may take back.
    pub(super) fn unsure(&self) -> usize {
        self.life.lock().unsure.len()
    }

    /// Takes back all unsure writes but the first `kept`. The process is dead.
    pub(super) fn cut_power(&self, kept: usize) {
        for lost in self.life.lock().unsure.drain(kept..).rev() {
            lost.file.write_at(&mut [IoSlice::new(&lost.before)], lost.position).expect("memory");
        }
    }

    fn watch(&self, file: &MortalFile, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut life = self.life.lock();
        let Some(dir) = &life.unsure_dir else { return Ok(()) };
        let is_log = file.path.extension().is_some_and(|extension| extension == "log");
        if file.path.starts_with(dir) && is_log {
            let mut before = vec![0; bytes.len()];
            file.inner.read_at(&mut before, position)?;
            life.unsure.push(Unsure { file: Arc::clone(&file.inner), position, before });
        } else if !is_log || is_control(bytes) {
            // Markers wait for their outcome, and what vouches for a log for that being synced.
            life.unsure.clear();
        }
        Ok(())
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
        Ok(Arc::new(MortalFile { inner: file, path: path.to_owned(), disk: self.clone() }))
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
    path: PathBuf,
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
        let change = self.disk.change()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.disk.watch(self, &bytes, position)?;
        match change {
            Change::Whole => self.inner.write_at(parts, position),
            Change::Torn(torn) => {
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
