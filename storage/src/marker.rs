//! Transaction markers: control batches that end what a producer has open.
//!
//! ```text
//! key    version i16 = 0, type i16: 0 abort, 1 commit
//! value  version i16 = 0, coordinator epoch i32
//! ```
//! The batch carries the producer's id and epoch, no sequence, and is marked as transactional and as control.

use quipu_protocol::record::{Attributes, BatchBuilder, BatchView, Records};

use crate::types::{Millis, Offset, ProducerEpoch, ProducerId};

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const VERSION: i16 = 0;

/// The end of a producer's transaction on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch from here on.
    pub producer_epoch: ProducerEpoch,
    /// Committed, or aborted.
    pub is_commit: bool,
    /// Epoch of the coordinator that decided.
    pub coordinator_epoch: i32,
    /// Every transaction of the producer has an epoch of its own (KIP-890): a marker of an epoch at which the producer
    /// has written data does not belong to that data.
    pub has_own_epoch: bool,
}

impl Marker {
    /// The control batch, ready to be appended.
    pub(crate) fn to_batch(self, now: Millis) -> Vec<u8> {
        let kind = if self.is_commit { COMMIT } else { ABORT };
        let key = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
        let value = [&VERSION.to_be_bytes()[..], &self.coordinator_epoch.to_be_bytes()].concat();
        let mut batch = BatchBuilder::new()
            .producer(self.producer_id, self.producer_epoch, -1)
            .attributes(Attributes::default().with_transactional(true).with_control(true));
        batch.push(now, Some(&key), Some(&value), &[]);
        batch.finish()
    }

    /// The marker that a batch is, if it is one.
    pub fn read(batch: &BatchView<'_>) -> Option<Self> {
        let header = batch.header();
        if !header.attributes.is_control() || !header.has_producer_id() {
            return None;
        }
        let record = Records::new(batch.payload(), header.records_count).next()?.ok()?;
        let kind = i16::from_be_bytes(record.key?.get(2..4)?.try_into().ok()?);
        let is_commit = match kind {
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        Some(Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            is_commit,
            coordinator_epoch: i32::from_be_bytes(record.value?.get(2..6)?.try_into().ok()?),
            has_own_epoch: false,
        })
    }
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// The last stable offset once it had ended: whatever is listed later begins there or behind it.
    pub last_stable_offset: Offset,
}
