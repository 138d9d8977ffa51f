//! The real file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::pass::PassingFile;
use super::{DirLock, Disk, DiskFile, Entry, FileSystem, LockError, Map, OpenMode};
use crate::types::Millis;

/// Name of the file that is locked to claim a data directory.
const LOCK_FILE: &str = ".lock";

/// Files in the real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectoryDisk;

impl DirectoryDisk {
    /// The real file system.
    pub fn new() -> Self {
        Self
    }
}

impl Disk for DirectoryDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(mode != OpenMode::Existing)
            .truncate(mode == OpenMode::Truncate)
            .open(path);
        let file = match opened {
            // What a file system does after an error. All that is there can still be read; who writes is told then.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && mode != OpenMode::Truncate => {
                File::open(path)?
            }
            other => other?,
        };
        Ok(Arc::new(SystemFile::new(file, true)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // The parent of a relative name of one part is the empty path.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Renamed or removed since it was listed: it is not there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry { name, size_bytes: metadata.len(), is_dir: metadata.is_dir() });
        }
        Ok(entries)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<Option<Millis>> {
        Ok(Some(modified_ms(&fs::metadata(path)?)))
    }

    fn file_system(&self, dir: &Path) -> io::Result<Arc<dyn FileSystem>> {
        if !syncfs_reports_errors() {
            let reason = "syncfs reports failed writes since Linux 5.8 only";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let file = File::open(dir)?;
        let device = file.metadata()?.dev();
        // The directory, or the one that is given for data, is the root of what is mounted there.
        let is_own = dir
            .canonicalize()?
            .ancestors()
            .skip(1)
            .take(2)
            .any(|above| fs::metadata(above).is_ok_and(|above| above.dev() != device));
        Ok(Arc::new(MountedFileSystem { file, is_own }))
    }

    fn lock(&self, dir: &Path) -> Result<DirLock, LockError> {
        let path = dir.join(LOCK_FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.take(32).read_to_string(&mut pid);
                return Err(LockError::Held { dir: dir.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // Only for the message of the next one who tries; the claim is the lock, not the text.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(DirLock::new(file))
    }
}

fn modified_ms(metadata: &fs::Metadata) -> Millis {
    metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000)
}

/// A file system by one of its directories. The system tells each open file of the failed writes since that was opened,
/// so it stays open.
#[derive(Debug)]
struct MountedFileSystem {
    file: File,
    is_own: bool,
}

impl FileSystem for MountedFileSystem {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.file)?)
    }

    fn is_own(&self) -> bool {
        self.is_own
    }
}

/// Before Linux 5.8 syncfs said nothing of writes that failed.
fn syncfs_reports_errors() -> bool {
    let system = rustix::system::uname();
    let mut numbers = system.release().to_str().unwrap_or_default().split(['.', '-']);
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    (next(), next()) >= (5, 8)
}

/// A file of the system, be it in a directory or in memory.
#[derive(Debug)]
pub(super) struct SystemFile {
    file: Arc<File>,
    /// Whether blocks are taken ahead. In memory a page is taken when it is written, and a sync means nothing.
    on_disk: bool,
}

impl SystemFile {
    pub(super) fn new(file: File, on_disk: bool) -> Self {
        Self { file: Arc::new(file), on_disk }
    }
}

impl DiskFile for SystemFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, mut parts: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match rustix::io::pwritev(&*self.file, parts, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    IoSlice::advance_slices(&mut parts, n);
                    position += n as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        if !self.on_disk {
            return self.extend(to);
        }
        match rustix::fs::fallocate(&*self.file, FallocateFlags::empty(), from, to.saturating_sub(from)) {
            // Some file systems cannot reserve; a full disk then shows itself at the write, which fences the log.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.extend(to),
            other => Ok(other?),
        }
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.on_disk { self.file.sync_data() } else { Ok(()) }
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&*self.file, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    fn for_one_pass(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if !self.on_disk {
            return Ok(None);
        }
        match self.open_for_reading() {
            Ok(file) => Ok(Some(Arc::new(PassingFile::new(file)))),
            // Without /proc the cache is disturbed a little.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        match Map::new(Arc::clone(&self.file), size_bytes) {
            // ext4 that became read-only after an error maps nothing for who has the file open for writing (Linux 6.14).
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Map::new(Arc::new(self.open_for_reading()?), size_bytes)
            }
            other => other,
        }
    }
}

impl SystemFile {
    pub(super) fn modified_ms(&self) -> io::Result<Millis> {
        Ok(modified_ms(&self.file.metadata()?))
    }

    /// Not by its name, which may stand for another file by now.
    fn open_for_reading(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    fn extend(&self, to: u64) -> io::Result<()> {
        if self.size_bytes()? < to { self.file.set_len(to) } else { Ok(()) }
    }
}
