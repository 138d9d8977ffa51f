//! One turn of a connection: the requests that one read brought.
//!
//! Batches for the same partition that came together are written together. What is gathered here has its offsets, but
//! is written at the end of the turn: before any answer leaves, before a request of another kind is answered, and before
//! the connection waits for anything.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::{AppendFailure, Partition};

/// What a turn has gathered. Dropping it ends the turn as well.
#[derive(Debug, Default)]
pub struct Turn {
    /// Another Produce follows.
    goes_on: Cell<bool>,
    /// The partition that was appended to last, by its address, which is only compared.
    last: Cell<usize>,
    /// Where batches are gathered, and how many bytes. One partition at a time.
    gathered: RefCell<Option<(Arc<Partition>, usize)>>,
}

impl Turn {
    /// Says whether another Produce of the same turn follows the one that is answered next.
    pub fn set_goes_on(&self, goes_on: bool) {
        self.goes_on.set(goes_on);
    }

    /// Whether a batch for `partition` may wait for the next. Whoever appends to many partitions in turn gains nothing
    /// by waiting, so it takes two for the same one in a row.
    pub(super) fn gathers(&self, partition: &Arc<Partition>) -> bool {
        let address = Arc::as_ptr(partition) as usize;
        let again = self.last.replace(address) == address;
        let is_free = |gathered: &Option<(Arc<Partition>, usize)>| {
            gathered.as_ref().is_none_or(|(other, _)| Arc::ptr_eq(other, partition))
        };
        again && self.goes_on.get() && is_free(&self.gathered.borrow())
    }

    /// `bytes` more are gathered at `partition`.
    pub(super) fn gathered(&self, partition: &Arc<Partition>, bytes: usize) {
        let mut gathered = self.gathered.borrow_mut();
        gathered.get_or_insert_with(|| (Arc::clone(partition), 0)).1 += bytes;
    }

    /// How many bytes are gathered at `partition`.
    pub(super) fn gathered_at(&self, partition: &Arc<Partition>) -> usize {
        let gathered = self.gathered.borrow();
        gathered.as_ref().filter(|(other, _)| Arc::ptr_eq(other, partition)).map_or(0, |(_, bytes)| *bytes)
    }

    /// What was gathered at `partition` has been written.
    pub(super) fn written(&self, partition: &Arc<Partition>) {
        self.gathered.borrow_mut().take_if(|(other, _)| Arc::ptr_eq(other, partition));
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// Answers of this turn may tell of batches that are in no log: none of them may leave.
    pub fn end(&self) -> Result<(), AppendFailure> {
        let gathered = self.gathered.borrow_mut().take();
        gathered.map_or(Ok(()), |(partition, bytes)| partition.write_staged(bytes))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The log says for itself why it failed.
        let _ = self.end();
    }
}
