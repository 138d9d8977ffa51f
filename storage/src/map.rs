//! Read-only maps, of segment files and of the program itself: the only unsafe code of the project.
//!
//! A map may be longer than its file, so that a growing segment is mapped once. Touching a page behind the end of the
//! file would end the process, hence three rules that the rest of the crate keeps:
//!
//! 1. A slice is given out only below the file's length, which is asked for anew whenever the known one is too small.
//! 2. A file is never shrunk below what was published to readers (sealing trims the reserved space behind it).
//! 3. Published bytes are never written again; recovery, which may cut, runs before the first map is made.
//!
//! A sector that cannot be read has the same effect: what may have left memory is loaded with [`Map::load`] first, or found
//! to be there by [`Map::is_resident`].
//!
//! That nobody else changes the files is what the lock on the data directory is for.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};
use rustix::io::Errno;

use crate::program;

/// A read-only map of a file, or of the place where the file is going to grow.
#[derive(Debug)]
pub struct Map {
    map: Mmap,
    file: Arc<File>,
    /// The file is at least this long.
    known_len: AtomicU64,
}

impl Map {
    /// Maps the first `len` bytes of `file`, which may end earlier.
    pub(crate) fn new(file: Arc<File>, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let known_len = AtomicU64::new(file.metadata()?.len());
        // SAFETY: the map is private to this module and read only through `bytes`, which stays within the file; the
        // module's rules 2 and 3 keep those bytes present and unchanged.
        let map = unsafe { MmapOptions::new().len(len).map(&*file)? };
        Ok(Self { map, file, known_len })
    }

    /// Bytes that can be given out at most, once the file has grown that far.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// The bytes of `range`, or none where map or file end before it does.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.len() || !self.file_reaches(range.end) {
            return None;
        }
        let (start, len) = (range.start as usize, (range.end - range.start) as usize);
        // SAFETY: start + len lies within the map (compared above) and within the file (rule 1), which does not
        // shrink below it (rule 2); nobody writes to those bytes while the slice lives (rule 3).
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(start), len) })
    }

    /// The same as a shared slice that keeps the map alive.
    pub(crate) fn shared(self: &Arc<Self>, range: Range<u64>) -> Option<Bytes> {
        self.bytes(range.clone())?;
        Some(Bytes::from_owner(Slice { map: Arc::clone(self), range }))
    }

    /// Has the bytes of `range` read from the disk if they are not in memory. What the disk cannot give is an error here,
    /// `EIO` as of a read; where it is touched first, the system ends the process. Linux 5.14; before that nothing happens.
    pub(crate) fn load(&self, range: Range<u64>) -> io::Result<()> {
        let end = range.end.min(self.len());
        if range.start >= end {
            return Ok(());
        }
        let (start, len) = (range.start as usize, (end - range.start) as usize);
        loop {
            match self.map.advise_range(Advice::PopulateRead, start, len) {
                // EINVAL: the kernel does not know this advice.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // How the system says that a touch would end the process, of a disk or of memory that has gone bad.
                Err(error)
                    if matches!(Errno::from_io_error(&error), Some(Errno::FAULT | Errno::HWPOISON)) =>
                {
                    return Err(Errno::IO.into());
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether the bytes of `range` are in memory, so that nobody waits for the disk who touches them now. What the system
    /// does not tell counts as in memory.
    pub(crate) fn is_resident(&self, range: Range<u64>) -> bool {
        let end = range.end.min(self.len());
        let page = rustix::param::page_size() as u64;
        let mut at = range.start / page * page;
        let mut pages = [0_u8; 1024];
        while at < end {
            let len = (end - at).min(pages.len() as u64 * page);
            // SAFETY: the pages lie within the map, as compared above, and the array has a byte for each of them. Nothing
            // of the file is touched.
            let told = unsafe {
                libc::mincore(
                    self.map.as_ptr().add(at as usize).cast_mut().cast(),
                    len as usize,
                    pages.as_mut_ptr(),
                )
            };
            let count = len.div_ceil(page) as usize;
            // All at once, which the compiler makes a few wide instructions of.
            if told == 0 && pages[..count].iter().fold(1, |all, page| all & page) & 1 == 0 {
                return false;
            }
            at += len;
        }
        true
    }

    fn file_reaches(&self, end: u64) -> bool {
        if end <= self.known_len.load(Ordering::Acquire) {
            return true;
        }
        match self.file.metadata() {
            Ok(metadata) => {
                self.known_len.fetch_max(metadata.len(), Ordering::AcqRel);
                end <= metadata.len()
            }
            Err(_) => false,
        }
    }
}

/// Lets go of the pages of the program's own file that nobody can write; gives the size of the parts where they may be.
/// What starts a broker is more code than what keeps one going: the parts that are needed again are mapped again when
/// they are touched, from the page cache, which keeps all of them as long as there is room.
///
/// # Errors
/// Linux's `/proc` cannot be read, or the system refuses.
pub fn unmap_program() -> io::Result<usize> {
    let mut bytes = 0;
    for part in program::unwritable()? {
        let start = std::ptr::without_provenance_mut(part.start);
        // SAFETY: the range is a map of a part of the program's file that by the file's own headers nobody writes, the
        // loader included, so no page of it differs from the file but for the breakpoints of a debugger, which would be
        // lost. The system keeps a program's file from being written while it runs. So whoever reads there next finds the
        // same bytes as before.
        unsafe { rustix::mm::madvise(start, part.len(), rustix::mm::Advice::LinuxDontNeed)? };
        bytes += part.len();
    }
    Ok(bytes)
}

struct Slice {
    map: Arc<Map>,
    range: Range<u64>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        // The range was found good when the slice was made, and a file only grows from there.
        self.map.bytes(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::is_unreadable;

    #[test]
    fn what_cannot_be_touched_is_an_error_of_the_disk() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"bytes").unwrap();
        let map = Map::new(Arc::new(file), 1 << 20).unwrap();
        map.load(0..5).unwrap();
        // Behind the end of the file a touch ends the process, as on a bad sector.
        let error = map.load(512 << 10..513 << 10).unwrap_err();
        assert!(is_unreadable(&error), "{error}");
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        assert!(unmap_program().unwrap() > 0);
        assert!(unmap_program().unwrap() > 0);
    }

    #[test]
    fn what_nobody_has_read_is_not_in_memory() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        let map = Map::new(Arc::new(file), 8 << 20).unwrap();
        assert!(!map.is_resident(0..4 << 20));
        map.load(1 << 20..3 << 20).unwrap();
        assert!(map.is_resident(1 << 20..3 << 20));
        assert!(map.is_resident((1 << 20) + 5..(1 << 20) + 6));
    }
}
