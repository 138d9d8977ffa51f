//! The log engine: one partition's records on one disk.
//!
//! It knows batches, offsets, producers and files. It knows no topics, no sockets, no clock and no randomness: time comes
//! in as an argument, and every file is reached through [`disk::Disk`].
//!
//! # A log
//!
//! [`open`] recovers a directory and gives its [`Appender`], of which there is one, and a [`Reader`], of which there may be
//! any number.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use quipu_protocol::record::BatchBuilder;
//! use quipu_storage::{CheckedBatch, LogConfig, Origin, disk::MemoryDisk, open};
//!
//! let disk = Arc::new(MemoryDisk::new());
//! let (mut appender, reader) = open(disk, Path::new("/orders-0"), LogConfig::default(), 1_000)?;
//!
//! let mut batch = BatchBuilder::new();
//! batch.push(1_000, Some(b"key"), Some(b"value"), &[]);
//! let batch = batch.finish();
//! let batch = CheckedBatch::check(&batch)?;
//! assert_eq!(appender.append(&batch, Origin::Producer, 1_000)?.base_offset, 0);
//!
//! let read = reader.read(0, 1 << 20, reader.end_offset(), true)?;
//! assert_eq!((read.batches().count(), read.next_offset), (1, 1));
//! assert_eq!(reader.offset_for_timestamp(500, read.next_offset)?, Some((0, 1_000)));
//! appender.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files
//!
//! | Name | What |
//! |---|---|
//! | `<base offset>.log` | a segment: v2 batches one after the other, exactly as Fetch answers them and as Kafka stores them; zeros behind them are space reserved ahead, gone once sealed |
//! | `<base offset>.idx` | its index by offset and time: a hint with a sum |
//! | `<base offset>.txn` | which transactions end in it as aborted, if any do |
//! | `<offset>.snap` | recovery point, and what is known about producers |
//! | `<offset>.start` | log start after records were deleted |
//! | `<offset>.durable` | checkpoint: everything below was on disk when the file got this name |
//! | `<base offset>-<position>.lost` | bytes that [`repair`] cut out; nobody reads them but the operator |
//! | `*.tmp`, `*.deleted` | being written, being removed: a restart throws them away |
//!
//! # What holds
//!
//! - An offset is given once. What a reader saw at an offset stays there.
//! - A batch is visible as a whole or not at all; an error of [`Appender::append`] means not at all.
//! - [`Reader::last_stable_offset`] lies below every record whose transaction may still be aborted.
//! - Readers take no lock that is held during I/O of the appender.
//! - After a failed write or sync the log is fenced: it takes nothing more, and no second sync pretends otherwise.
//! - A full disk shows when space is reserved, before anything is written; it passes.
//! - Whatever lies on disk is checked before it is believed; what is not a valid batch behind recovery point and checkpoint
//!   is cut, what is damaged before them makes the log read-only ([`Fence::Damaged`]) and is left as it is.
//!
//! # What the owner does
//!
//! An appender never starts a thread. Its owner calls, off the network threads: [`Appender::take_chores`] after appends
//! and deletions, and runs them; [`Appender::flush`] where records must be durable; [`Appender::retain`],
//! [`Appender::expire_producers`] and [`Reader::checkpoint`] now and then.

pub mod compact;
pub mod compress;
pub mod disk;
pub mod record;
pub mod repair;
pub mod retain;
pub mod verify;

mod aborted;
mod batch;
mod config;
mod damaged;
mod error;
mod index;
mod indexes;
mod log;
mod map;
mod marker;
mod open;
mod planted;
mod producers;
mod program;
mod recover;
mod scan;
mod segment;
mod snapshot;
mod types;

use std::path::Path;
use std::sync::Arc;

pub use batch::CheckedBatch;
pub use config::{LogConfig, TimestampType};
pub use error::{
    AppendError, BatchError, CorruptMessage, Damage, DeleteError, Fence, InvalidRecord, OpenError, ReadError,
};
pub use log::{
    Appended, Appender, Chore, Clean, CleanError, CleanReport, Flush, Origin, ReadSlices, Reader,
    Replacement, ScrubPlace, Scrubbed,
};
pub use map::unmap_program;
pub use marker::{Aborted, Marker};
pub use open::OpenSegments;
pub use producers::{BatchMark, ProducerState};
pub use recover::Recovery;
pub use types::{Millis, NO_TIMESTAMP, Offset, ProducerEpoch, ProducerId};

/// Opens the log in `dir`, which is made if it is not there, after recovering whatever a crash left. `now` is the
/// broker's wall clock.
///
/// Nobody else may have the directory; claim the data directory with [`disk::Disk::lock`] first.
pub fn open(
    disk: Arc<dyn disk::Disk>,
    dir: &Path,
    config: LogConfig,
    now: Millis,
) -> Result<(Appender, Reader), OpenError> {
    let found = recover::recover(&disk, dir, &config, now)?;
    Ok(log::start(disk, dir, config, found))
}
