//! A file that is read through once, for a look at bytes that nobody asked for: what others read often must not be pushed
//! out of the page cache for it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;

use super::{DiskFile, Map};

/// What was cached before is told apart in pieces of this size.
const PIECE_BYTES: usize = 128 << 10;

/// See [`DiskFile::for_one_pass`].
#[derive(Debug)]
pub(super) struct PassingFile {
    file: File,
}

impl PassingFile {
    /// `file` has to be opened for this alone.
    pub(super) fn new(file: File) -> Self {
        // Nothing is read ahead, or it would look like something that others wanted. Only advice: no error matters.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
        Self { file }
    }

    /// Reads a piece, and lets the cache forget what it did not know before. Gives the bytes read.
    fn read_piece(&self, piece: &mut [u8], position: u64) -> io::Result<usize> {
        let cached = [IoSliceMut::new(piece)];
        let cached = rustix::io::preadv2(&self.file, &mut { cached }, position, ReadWriteFlags::NOWAIT);
        let mut done = cached.unwrap_or(0);
        let from = position + done as u64;
        while done < piece.len() {
            match self.file.read_at(&mut piece[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(length) = NonZeroU64::new(position + done as u64 - from) {
            let _ = rustix::fs::fadvise(&self.file, from, Some(length), Advice::DontNeed);
        }
        Ok(done)
    }
}

impl DiskFile for PassingFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        for piece in buf.chunks_mut(PIECE_BYTES) {
            let wanted = piece.len();
            let read = self.read_piece(piece, position + done as u64)?;
            done += read;
            if read < wanted {
                break;
            }
        }
        Ok(done)
    }

    fn write_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, _: u64) -> io::Result<Map> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
