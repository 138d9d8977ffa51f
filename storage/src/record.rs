//! The records of a batch that may be compressed.

use std::borrow::Cow;
use std::fmt;

use quipu_protocol::record::{BatchHeader, BatchView, RecordError, RecordView, Records};

use crate::compress::{self, Codec, DecompressError};
use crate::types::{Millis, Offset};

/// Why the records of a batch cannot be read.
#[derive(Debug)]
pub enum RecordsError {
    /// Codec number 5 to 7.
    UnknownCodec(u8),
    /// The compressed part is damaged or expands too far.
    Decompress(DecompressError),
    /// A record is malformed.
    Record(RecordError),
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCodec(codec) => write!(f, "compression codec {codec} is not known"),
            Self::Decompress(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordsError {}

impl From<RecordError> for RecordsError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// A batch with its records at hand, expanded if need be.
#[derive(Clone, Debug)]
pub struct OpenBatch<'a> {
    header: BatchHeader,
    records: Cow<'a, [u8]>,
}

impl<'a> OpenBatch<'a> {
    /// Expands a batch, to `limit` bytes at most. [`compress::expansion_limit`] is the usual one.
    pub fn new(batch: &BatchView<'a>, limit: usize) -> Result<Self, RecordsError> {
        let number = batch.header().attributes.codec();
        let codec = Codec::from_number(number).ok_or(RecordsError::UnknownCodec(number))?;
        let records = match codec {
            Codec::None => Cow::Borrowed(batch.payload()),
            codec => Cow::Owned(
                compress::decompress(codec, batch.payload(), limit).map_err(RecordsError::Decompress)?,
            ),
        };
        Ok(Self { header: *batch.header(), records })
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records, uncompressed.
    pub fn bytes(&self) -> &[u8] {
        &self.records
    }

    /// Walks over the records. An error ends the walk.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.records, self.header.records_count)
    }

    /// The offset of a record.
    pub fn offset(&self, record: &RecordView<'_>) -> Offset {
        self.header.base_offset.saturating_add(i64::from(record.offset_delta))
    }

    /// The timestamp of a record: the batch's own when the broker stamped it.
    pub fn timestamp(&self, record: &RecordView<'_>) -> Millis {
        if self.header.attributes.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.saturating_add(record.timestamp_delta)
        }
    }
}
