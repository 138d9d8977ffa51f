//! What the broker writes into a batch before it stores it.

use std::io::IoSlice;

use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchHeader, crc32c_of_parts, position};

use crate::batch::CheckedBatch;
use crate::config::{LogConfig, TimestampType};
use crate::types::{Millis, Offset};

/// A batch with its place in the log: a header of its own, the records as they came.
pub(super) struct Stamped<'a> {
    pub(super) header: BatchHeader,
    head: [u8; BATCH_HEADER_BYTES],
    records: &'a [u8],
}

impl<'a> Stamped<'a> {
    /// Sets base offset and leader epoch, which the CRC does not cover; with LogAppendTime also max timestamp and time
    /// type, which it does.
    pub(super) fn new(
        batch: &CheckedBatch<'a>,
        base_offset: Offset,
        config: &LogConfig,
        now: Millis,
    ) -> Self {
        let records = batch.view().payload();
        let mut header = *batch.header();
        header.base_offset = base_offset;
        header.partition_leader_epoch = config.leader_epoch;
        if config.timestamp_type == TimestampType::LogAppendTime {
            header.max_timestamp = now;
            header.attributes = header.attributes.with_log_append_time(true);
            header.crc = crc32c_of_parts(&header.to_bytes()[position::ATTRIBUTES..], records);
        }
        Self { header, head: header.to_bytes(), records }
    }

    pub(super) fn parts(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head), IoSlice::new(self.records)]
    }
}
