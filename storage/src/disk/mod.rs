//! The one door to the disk. Every file that the engine or the catalog touches is touched through a [`Disk`], so that
//! a test can hold the door: forget what was not synced, tear writes, fail any call.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

mod directory;
mod memory;
mod pass;
mod reserve;
pub(crate) mod state;

pub use crate::map::Map;
use crate::types::Millis;
pub use directory::DirectoryDisk;
pub use memory::MemoryDisk;
pub use reserve::ReserveDisk;

/// A file system, as far as a log needs one. Paths are taken as they come; there is no root.
pub trait Disk: Send + Sync + Debug {
    /// Makes a directory and its parents. An existing one is fine.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Open files and maps of it stay readable.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// When a file was last written to, in milliseconds since 1970; `None` where that is not known.
    fn modified_ms(&self, path: &Path) -> io::Result<Option<Millis>> {
        let _ = path;
        Ok(None)
    }

    /// Makes names that were created, changed or removed in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// What `dir` holds, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Whether all of it is gone when the process ends, so that nothing is ever durable.
    fn is_volatile(&self) -> bool {
        false
    }

    /// The file system that `dir` is on, to sync all of it at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where that cannot be done, or would not report each write that failed.
    fn file_system(&self, dir: &Path) -> io::Result<Arc<dyn FileSystem>> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Notes that records were refused for want of room.
    fn refused(&self) {}

    /// Whether records are being refused for want of room.
    fn is_full(&self) -> bool {
        false
    }

    /// Takes back whatever room was kept and given up, where there is a reserve.
    fn regain(&self) {}

    /// Claims `dir` for this process until the answer is dropped.
    fn lock(&self, dir: &Path) -> Result<DirLock, LockError>;
}

/// A whole file system.
pub trait FileSystem: Send + Sync + Debug {
    /// Makes everything durable that was written to any of its files, and every name. Reports any write that failed since
    /// this was opened, once.
    fn sync(&self) -> io::Result<()>;

    /// Whether it begins at the directory it was opened by, so that nobody else's files are on it.
    fn is_own(&self) -> bool;
}

/// An open file. Positions are bytes from its start; there is no cursor.
pub trait DiskFile: Send + Sync + Debug {
    /// Length in bytes.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Reads what fits into `buf`; fewer bytes only at the end of the file.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all parts one after the other. After an error any of the bytes may or may not be there.
    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Takes room for the bytes from `from` to `to`, which read as zero. The file grows to `to` at least.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()>;

    /// The same for what must be written although the disk is full, where there is a reserve for that.
    fn reserve_urgently(&self, from: u64, to: u64) -> io::Result<()> {
        self.reserve(from, to)
    }

    /// Cuts or extends the file; what is new reads as zero.
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;

    /// Makes the contents durable, with as much about the file as is needed to read them back.
    fn sync_data(&self) -> io::Result<()>;

    /// The same file for somebody who reads all of it once and should leave the page cache as it was. `None` where that
    /// makes no difference.
    fn for_one_pass(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        Ok(None)
    }

    /// Drops what the system's cache holds of the file and what is on disk as far as the system knows, so that reads see
    /// the disk. What was written and not yet tried to be put on disk stays.
    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }

    /// Maps `size_bytes` from the start, read-only. The file may be shorter and grow into the map.
    fn map(&self, size_bytes: u64) -> io::Result<Map>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there.
    Existing,
    /// It is made when it is not there.
    OpenOrCreate,
    /// It is made, or emptied.
    Truncate,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory. Names that are not UTF-8 are not ours and are not listed.
    pub name: String,
    /// Length of a file in bytes.
    pub size_bytes: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The claim on a directory; ends when dropped, or with the process.
#[derive(Debug)]
#[must_use = "the claim ends when this is dropped"]
pub struct DirLock {
    _held: Box<dyn Debug + Send + Sync>,
}

impl DirLock {
    /// Wraps whatever ends the claim when it is dropped.
    pub fn new(held: impl Debug + Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

/// Why a directory could not be claimed.
#[derive(Debug)]
pub enum LockError {
    /// Another process, or this one, has it.
    Held {
        /// The directory.
        dir: std::path::PathBuf,
        /// Who says it has it, where that is known.
        pid: Option<u32>,
    },
    /// The lock file cannot be made or opened.
    Io {
        /// The lock file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held { dir, pid: Some(pid) } => {
                write!(f, "{} is in use by process {pid}", dir.display())
            }
            Self::Held { dir, pid: None } => write!(f, "{} is in use by another process", dir.display()),
            Self::Io { path, source } => write!(f, "cannot lock {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LockError {}

/// Puts a whole file in place under its final name, durably: after a crash the name stands for all of the old bytes or
/// all of the new ones.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    state::replace(disk, path, bytes, true)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// Reads a whole file.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Existing)?;
    let mut bytes = vec![0; file.size_bytes()? as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
