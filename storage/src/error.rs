//! One small error per operation, with only the cases it can give. The broker turns them into Kafka's codes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use quipu_protocol::record::RecordError;

use crate::types::{Offset, ProducerEpoch, ProducerId};

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Reading, creating or cleaning up failed.
    Io {
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in the page cache could not be made durable. Opening again would take it for safe: the process has to end.
    Sync {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Sync { path, source } => write!(f, "cannot sync {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Sync { source, .. } => Some(source),
        }
    }
}

/// Bytes that were safe on disk and are gone or broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub position: u64,
    /// What should be there, and what is.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at position {}: {}", self.path.display(), self.position, self.reason)
    }
}

impl std::error::Error for Damage {}

/// Why bytes are not accepted as a batch, before any lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes are not what the producer sent (`CORRUPT_MESSAGE`).
    CorruptMessage(CorruptMessage),
    /// Another message format than v2 (`INVALID_RECORD` if it is an older one, `CORRUPT_MESSAGE` if there is none such).
    UnsupportedMagic(i8),
    /// The batch is intact, but says something that cannot be (`INVALID_RECORD`).
    InvalidRecord(InvalidRecord),
}

/// How a batch was found to be corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorruptMessage {
    /// Header or length cannot be read.
    Unreadable(RecordError),
    /// The length field and the bytes do not agree.
    Length {
        /// Size according to the batch.
        declared: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The CRC-32C differs.
    Crc {
        /// What the batch carries.
        declared: u32,
        /// What its bytes give.
        computed: u32,
    },
}

/// What an intact batch got wrong. Rule P1 of the produce path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRecord {
    /// There are no records.
    Empty,
    /// Record count and offset range differ.
    CountOffsetMismatch {
        /// The record count field.
        count: i32,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// More than one batch for one partition in one request.
    SeveralBatches,
    /// A producer id comes without a sequence number or epoch.
    NoSequence,
    /// A producer sent a base offset other than 0.
    BaseOffset(Offset),
    /// A producer sent a control batch.
    ControlBatch,
    /// A producer set the time type that is the broker's to set (`INVALID_TIMESTAMP`).
    LogAppendTime,
    /// Codec bits 5 to 7.
    UnknownCodec(u8),
    /// The records themselves cannot be walked.
    Record(RecordError),
    /// The records cannot be decompressed, or expand too far.
    Compression,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CorruptMessage(CorruptMessage::Unreadable(error)) => write!(f, "unreadable batch: {error}"),
            Self::CorruptMessage(CorruptMessage::Length { declared, found }) => {
                write!(f, "batch declares {declared} bytes, {found} were sent")
            }
            Self::CorruptMessage(CorruptMessage::Crc { declared, computed }) => {
                write!(f, "batch carries CRC {declared:08x}, its bytes give {computed:08x}")
            }
            Self::UnsupportedMagic(magic) => write!(f, "message format {magic} is not supported, only 2"),
            Self::InvalidRecord(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for BatchError {}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("batch without records"),
            Self::CountOffsetMismatch { count, last_offset_delta } => {
                write!(f, "batch of {count} records has last offset delta {last_offset_delta}")
            }
            Self::SeveralBatches => f.write_str("more than one batch for one partition in one request"),
            Self::NoSequence => f.write_str("batch with a producer id but without epoch or sequence number"),
            Self::BaseOffset(offset) => write!(f, "base offset of a produced batch must be 0, is {offset}"),
            Self::ControlBatch => f.write_str("producers may not write control batches"),
            Self::LogAppendTime => f.write_str("producers may not set the timestamp type to LogAppendTime"),
            Self::UnknownCodec(codec) => write!(f, "compression codec {codec} is not known"),
            Self::Record(error) => write!(f, "unreadable record: {error}"),
            Self::Compression => f.write_str("records do not decompress within bounds"),
        }
    }
}

/// Why a batch was not appended. In every case nothing of it is visible and it may be sent again.
#[derive(Debug)]
pub enum AppendError {
    /// The sequence number is not the next one (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The sequence that would have been accepted.
        expected: i32,
        /// The sequence that came.
        found: i32,
    },
    /// A newer incarnation of the producer has written here (`INVALID_PRODUCER_EPOCH`).
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The newest epoch seen.
        current: ProducerEpoch,
        /// The epoch that came.
        found: ProducerEpoch,
    },
    /// The batch says something that a producer may not say (`INVALID_RECORD`).
    InvalidRecord(InvalidRecord),
    /// A transactional batch of a producer that has no open transaction here (`INVALID_TXN_STATE`).
    NoTransaction {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A batch outside of the producer's open transaction (`INVALID_TXN_STATE`).
    OpenTransaction {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A newer coordinator has ended a transaction of the producer here (`TRANSACTION_COORDINATOR_FENCED`).
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch of that coordinator.
        current: i32,
        /// Epoch of the one that tried now.
        found: i32,
    },
    /// The batch does not fit into a segment (`RECORD_LIST_TOO_LARGE`).
    TooLarge {
        /// Size of the batch.
        size_bytes: u64,
        /// The segment size.
        limit_bytes: u64,
    },
    /// No space is left (`KAFKA_STORAGE_ERROR`, retriable). Nothing changed; appends go on once space returns.
    Full(io::Error),
    /// The file cannot be opened or prepared just now (`KAFKA_STORAGE_ERROR`). Nothing changed.
    Io(io::Error),
    /// An earlier or this write or sync failed; the log takes no more (`KAFKA_STORAGE_ERROR`).
    Fenced(Fence),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrderSequence { producer_id, expected, found } => {
                write!(f, "producer {producer_id} sent sequence {found}, expected {expected}")
            }
            Self::InvalidProducerEpoch { producer_id, current, found } => {
                write!(f, "producer {producer_id} sent epoch {found}, current is {current}")
            }
            Self::InvalidRecord(reason) => reason.fmt(f),
            Self::NoTransaction { producer_id } => {
                write!(f, "producer {producer_id} has no open transaction on this partition")
            }
            Self::OpenTransaction { producer_id } => {
                write!(
                    f,
                    "producer {producer_id} has a transaction open here, and sent a batch outside of it"
                )
            }
            Self::CoordinatorFenced { producer_id, current, found } => write!(
                f,
                "coordinator epoch {found} may not end a transaction of producer {producer_id}, current is {current}"
            ),
            Self::TooLarge { size_bytes, limit_bytes } => {
                write!(f, "batch of {size_bytes} bytes is larger than a segment of {limit_bytes}")
            }
            Self::Full(error) => write!(f, "no space left: {error}"),
            Self::Io(error) => write!(f, "cannot prepare the segment: {error}"),
            Self::Fenced(fence) => fence.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why a log takes no more.
#[derive(Clone, Debug)]
pub enum Fence {
    /// The first write or sync error it met. Nobody knows what of the last writes is on disk, so nothing more of them
    /// is acknowledged; the next start reads what is there.
    Failed(Arc<str>),
    /// It is damaged: what can be read is read, and nothing is changed.
    Damaged(Arc<Damage>),
}

impl Fence {
    /// The damage, if that is the reason.
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Failed(_) => None,
            Self::Damaged(damage) => Some(damage),
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => write!(f, "the log is closed for writing after an error: {reason}"),
            Self::Damaged(damage) => write!(f, "the log is read-only: {damage}"),
        }
    }
}

impl std::error::Error for Fence {}

/// Why nothing can be read.
#[derive(Debug)]
pub enum ReadError {
    /// The offset is below the log start or above the end (`OFFSET_OUT_OF_RANGE`).
    OutOfRange {
        /// Current log start offset.
        log_start_offset: Offset,
        /// Current end offset.
        end_offset: Offset,
    },
    /// A file cannot be read (`KAFKA_STORAGE_ERROR`).
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were written are no longer a batch (`CORRUPT_MESSAGE`).
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the batch should start.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk would have to be waited for, which a [reader that does not](crate::Reader::at_once) leaves to others.
    NotInMemory,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { log_start_offset, end_offset } => {
                write!(f, "offset is outside of {log_start_offset}..={end_offset}")
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Corrupt { path, position, reason } => {
                write!(f, "{} is corrupt at position {position}: {reason}", path.display())
            }
            Self::NotInMemory => f.write_str("it is not in memory"),
        }
    }
}

impl std::error::Error for ReadError {}

impl ReadError {
    /// The damage that shows in it: bytes that are not what was written, or that the disk does not give back. Other
    /// errors, such as too many open files, say nothing about the data.
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::OutOfRange { .. } | Self::NotInMemory => None,
            Self::Io { path, source } => is_unreadable(source).then(|| Damage {
                path: path.clone(),
                position: 0,
                reason: source.to_string(),
            }),
            Self::Corrupt { path, position, reason } => {
                Some(Damage { path: path.clone(), position: *position, reason: reason.clone() })
            }
        }
    }
}

/// Why the log start did not move.
#[derive(Debug)]
pub enum DeleteError {
    /// The offset is above the end (`OFFSET_OUT_OF_RANGE`).
    OutOfRange {
        /// Current end offset.
        end_offset: Offset,
    },
    /// The new start could not be made durable; the old one stands (`KAFKA_STORAGE_ERROR`).
    Io(io::Error),
    /// The log takes no changes (`KAFKA_STORAGE_ERROR`).
    Fenced(Fence),
}

impl fmt::Display for DeleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { end_offset } => write!(f, "offset is above the end {end_offset}"),
            Self::Io(error) => write!(f, "cannot record the new log start: {error}"),
            Self::Fenced(fence) => fence.fmt(f),
        }
    }
}

impl std::error::Error for DeleteError {}

/// Whether the system says that there is no room: a state that passes, not a broken disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the device could not give back what was written.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
