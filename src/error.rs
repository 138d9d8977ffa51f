//! The only place where our errors become Kafka error codes, and where a failed start gets its words.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use quipu_protocol::ErrorCode;
use quipu_storage::{AppendError, BatchError, DeleteError, InvalidRecord, ReadError};

use crate::catalog::CatalogError;
use crate::config::ConfigErrors;

/// Why a broker cannot start. Each message says what is wrong and what to do about it.
#[derive(Debug)]
pub enum StartError {
    /// A file or directory that cannot be used.
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process holds the data directory.
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, where it is known.
        pid: Option<u32>,
    },
    /// The data directory is not ours, or another node's.
    Foreign {
        /// The file or directory that tells.
        path: PathBuf,
        /// How it tells.
        reason: String,
    },
    /// Our own data cannot be read.
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A listener's address cannot be used.
    Listen {
        /// `host:port`.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The configuration.
    Config(ConfigErrors),
    /// The catalog.
    Catalog(CatalogError),
}

impl StartError {
    /// An I/O error at `path`.
    pub fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => {
                let cure = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; give this user the right to write there, or choose another directory with --data-dir"
                    }
                    io::ErrorKind::ReadOnlyFilesystem => {
                        "; the file system is read-only, choose another directory with --data-dir"
                    }
                    io::ErrorKind::NotADirectory => {
                        "; a file is in the way, choose another directory with --data-dir"
                    }
                    io::ErrorKind::StorageFull => "; the disk is full",
                    _ => "",
                };
                write!(f, "cannot use {}: {error}{cure}", path.display())
            }
            Self::InUse { path, pid } => {
                let who = pid.map_or_else(
                    || "another Quipu".to_owned(),
                    |pid| format!("another Quipu (process {pid})"),
                );
                write!(
                    f,
                    "the data directory {} is in use by {who}; stop that one, or choose another directory with --data-dir",
                    path.display()
                )
            }
            Self::Foreign { path, reason } => write!(f, "cannot use {}: {reason}", path.display()),
            Self::Damaged { path, reason } => write!(
                f,
                "the data in {} is damaged: {reason}; nothing was changed, look at it with quipu verify",
                path.display()
            ),
            Self::Listen { address, error } => {
                let cure = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "; another program listens there (another Kafka?), stop it or choose another port with --listen"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "; ports below 1024 need a privilege, choose another with --listen"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "; this machine has no such address, try --listen 0.0.0.0:9092"
                    }
                    _ => "",
                };
                write!(f, "cannot listen on {address}: {error}{cure}")
            }
            Self::Config(error) => error.fmt(f),
            Self::Catalog(error) => write!(f, "cannot read {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigErrors> for StartError {
    fn from(error: ConfigErrors) -> Self {
        Self::Config(error)
    }
}

impl From<CatalogError> for StartError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

/// What a producer is told about a batch that was refused before it reached a log.
pub fn batch_code(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::CorruptMessage(_) => ErrorCode::CORRUPT_MESSAGE,
        // Kafka refuses the formats before the present one, and cannot read those that there never were.
        BatchError::UnsupportedMagic(0 | 1) => ErrorCode::INVALID_RECORD,
        BatchError::UnsupportedMagic(_) => ErrorCode::CORRUPT_MESSAGE,
        BatchError::InvalidRecord(reason) => invalid_record_code(reason),
    }
}

fn invalid_record_code(reason: &InvalidRecord) -> ErrorCode {
    match reason {
        InvalidRecord::LogAppendTime => ErrorCode::INVALID_TIMESTAMP,
        InvalidRecord::UnknownCodec(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        InvalidRecord::Compression | InvalidRecord::Record(_) => ErrorCode::CORRUPT_MESSAGE,
        _ => ErrorCode::INVALID_RECORD,
    }
}

/// What a producer is told about a batch that its log refused or could not take.
pub fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidRecord(reason) => invalid_record_code(reason),
        AppendError::NoTransaction { .. } | AppendError::OpenTransaction { .. } => {
            ErrorCode::INVALID_TXN_STATE
        }
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::TooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::Full(_) | AppendError::Io(_) | AppendError::Fenced(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// What a consumer is told when a log cannot be read.
pub fn read_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE,
        ReadError::Io { .. } | ReadError::NotInMemory => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// What an administrator is told when a log start does not move.
pub fn delete_code(error: &DeleteError) -> ErrorCode {
    match error {
        DeleteError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        DeleteError::Io(_) | DeleteError::Fenced(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
