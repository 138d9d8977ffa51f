//! Small files that hold state: magic, version, payload, CRC-32 of all before it.
//!
//! ```text
//! 0  magic    4 bytes
//! 4  version  u16
//! 6  payload
//! n  CRC-32   u32      (IEEE; the batches' own sum is CRC-32C)
//! ```
//!
//! Numbers are big-endian, as in the batches. A durable state file is written under another name, synced, renamed, and
//! its directory synced, so that one generation or the other is always whole.

use std::io::{self, IoSlice};
use std::path::Path;

use super::{Disk, OpenMode, read_file};

/// Suffix of files that are being written; whoever finds one may remove it.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Collects a payload.
pub(crate) struct StateWriter {
    bytes: Vec<u8>,
}

impl StateWriter {
    pub(crate) fn new(magic: &[u8; 4], version: u16) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(magic);
        bytes.extend_from_slice(&version.to_be_bytes());
        Self { bytes }
    }

    pub(crate) fn put<const N: usize>(&mut self, number: [u8; N]) {
        self.bytes.extend_from_slice(&number);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_be_bytes());
        self.bytes
    }
}

/// Reads a payload whose sum was found right. Every take is bounded.
pub(crate) struct StateReader<'a> {
    rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    /// None when the bytes are not such a file, not this version, or damaged.
    pub(crate) fn open(bytes: &'a [u8], magic: &[u8; 4], version: u16) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*sum) && !crate::planted::planted("index-trusted") {
            return None;
        }
        let rest = body.strip_prefix(magic)?.strip_prefix(&version.to_be_bytes())?;
        Some(Self { rest })
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*number)
    }

    pub(crate) fn rest_bytes(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Puts a whole file in place under its final name. With `durable` it is safe on disk before its name is, and the
/// caller's next [`Disk::sync_dir`] makes the name safe.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    let temporary = Path::new(&temporary);
    let file = disk.open(temporary, OpenMode::Truncate)?;
    file.write_at(&mut [IoSlice::new(bytes)], 0)?;
    if durable {
        file.sync_data()?;
    }
    disk.rename(temporary, path)
}

/// The bytes of a file, or none when there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_file(disk, path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
