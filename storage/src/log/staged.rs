//! Batches that have their place in the log but are not written yet.
//!
//! The kernel's price for new bytes of a file is paid by the page it begins, not by the byte: one write of four batches of
//! 16 KiB costs little more than half of what four writes do. So batches that came together are copied into one buffer
//! first.

use std::cell::Cell;
use std::io::IoSlice;

use quipu_protocol::record::BatchHeader;

use super::stamp::Stamped;
use crate::types::Offset;

/// More than this is not gathered: beyond it a larger write is no cheaper.
const STAGED_BYTES_MAX: usize = 128 << 10;

thread_local! {
    /// The buffer that was used last on this thread, so that the memory is that of threads and not of logs.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Staged {
    bytes: Vec<u8>,
    headers: Vec<BatchHeader>,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Bytes that will be written.
    pub(super) fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Offset behind the last record of them.
    pub(super) fn end_offset(&self) -> Option<Offset> {
        self.headers.last().map(|header| header.last_offset() + 1)
    }

    pub(super) fn has_room(&self, size_bytes: u64) -> bool {
        self.size_bytes() + size_bytes <= STAGED_BYTES_MAX as u64
    }

    pub(super) fn push(&mut self, batch: &Stamped<'_>) {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
            self.bytes.reserve(STAGED_BYTES_MAX);
        }
        for part in batch.parts() {
            self.bytes.extend_from_slice(&part);
        }
        self.headers.push(batch.header);
    }

    pub(super) fn part(&self) -> IoSlice<'_> {
        IoSlice::new(&self.bytes)
    }

    pub(super) fn headers(&self) -> &[BatchHeader] {
        &self.headers
    }

    /// Forgets them: they have been written, or never will be.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.headers.clear();
        SPARE.set(std::mem::take(&mut self.bytes));
    }
}
