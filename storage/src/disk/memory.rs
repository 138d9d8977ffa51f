//! Files without a disk, for `quipu dev` and tests. They are files all the same (`memfd`), so that maps, lengths and
//! errors behave as they do on a disk; only what a power cut would leave is different: nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::MemfdFlags;

use super::directory::SystemFile;
use super::{DirLock, Disk, DiskFile, Entry, LockError, OpenMode};
use crate::types::Millis;

/// A file system in memory. Clones share it; its contents live until the last clone and open file are gone.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    names: Arc<Mutex<Names>>,
}

#[derive(Debug, Default)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<SystemFile>>,
    locked: BTreeSet<PathBuf>,
}

impl MemoryDisk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn is_volatile(&self) -> bool {
        true
    }

    fn modified_ms(&self, path: &Path) -> io::Result<Option<Millis>> {
        let names = self.names.lock();
        names.files.get(path).ok_or_else(not_found)?.modified_ms().map(Some)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.names.lock().dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut names = self.names.lock();
        if let Some(file) = names.files.get(path) {
            if mode == OpenMode::Truncate {
                file.set_len(0)?;
            }
            return Ok(Arc::clone(file) as Arc<dyn DiskFile>);
        }
        let in_dir = path.parent().is_some_and(|dir| names.dirs.contains(dir));
        if mode == OpenMode::Existing || !in_dir {
            return Err(not_found());
        }
        let file = File::from(rustix::fs::memfd_create("quipu", MemfdFlags::CLOEXEC)?);
        let file = Arc::new(SystemFile::new(file, false));
        names.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names.lock();
        let file = names.files.remove(from).ok_or_else(not_found)?;
        names.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.names.lock().files.remove(path).map(drop).ok_or_else(not_found)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names.lock();
        if !names.dirs.contains(dir) {
            return Err(not_found());
        }
        names.dirs.retain(|path| !path.starts_with(dir));
        names.files.retain(|path, _| !path.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.names.lock().dirs.contains(dir) { Ok(()) } else { Err(not_found()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let names = self.names.lock();
        if !names.dirs.contains(dir) {
            return Err(not_found());
        }
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        // Whatever starts with the directory follows it in order.
        let below = |path: &&PathBuf| path.starts_with(dir);
        let dirs = names.dirs.range(dir.to_owned()..).take_while(below);
        let mut entries: Vec<_> = dirs
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(Entry { name: name(path)?, size_bytes: 0, is_dir: true }))
            .collect();
        for (path, file) in names.files.range(dir.to_owned()..).take_while(|(path, _)| path.starts_with(dir))
        {
            if path.parent() == Some(dir)
                && let Some(name) = name(path)
            {
                entries.push(Entry { name, size_bytes: file.size_bytes()?, is_dir: false });
            }
        }
        Ok(entries)
    }

    fn lock(&self, dir: &Path) -> Result<DirLock, LockError> {
        if !self.names.lock().locked.insert(dir.to_owned()) {
            return Err(LockError::Held { dir: dir.to_owned(), pid: Some(std::process::id()) });
        }
        Ok(DirLock::new(MemoryLock { names: Arc::clone(&self.names), dir: dir.to_owned() }))
    }
}

#[derive(Debug)]
struct MemoryLock {
    names: Arc<Mutex<Names>>,
    dir: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.names.lock().locked.remove(&self.dir);
    }
}
