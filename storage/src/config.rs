//! What a log is told about itself. Kafka's topic keys, as far as they concern the engine.

use crate::open::OpenSegments;
use crate::types::Millis;

/// Whose clock stamps the records (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's timestamps are kept.
    #[default]
    CreateTime,
    /// The batch's max timestamp becomes the broker's time of append and counts for all of its records.
    LogAppendTime,
}

/// Settings of one log. All of them may change while it is open, see [`Appender::set_config`](crate::Appender::set_config).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is closed before it grows beyond this (`segment.bytes`, 14 to 2^31-1). A larger batch is refused.
    pub segment_bytes: u64,
    /// A segment is closed by the first append this long after its first one (`segment.ms`).
    pub segment_ms: Millis,
    /// One index entry per this many bytes of log (`index.interval.bytes`).
    pub index_interval_bytes: u64,
    /// Whose clock stamps the records.
    pub timestamp_type: TimestampType,
    /// Written into every batch; clients compare it to notice a log that was cut.
    pub leader_epoch: i32,
    /// The limit on open segments that this log shares with others.
    pub open_segments: OpenSegments,
    /// Producers that are remembered at most; the one that was silent longest is forgotten first.
    pub max_producers: usize,
    /// When the disk is full, the log may grow into what is kept for that ([`ReserveDisk`](crate::disk::ReserveDisk)).
    pub is_urgent: bool,
}

impl Default for LogConfig {
    /// Kafka's defaults: 1 GiB, 7 days, an index entry per 4 KiB, the producer's timestamps.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4_096,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: 0,
            open_segments: OpenSegments::default(),
            max_producers: 100_000,
            is_urgent: false,
        }
    }
}

impl LogConfig {
    /// Greatest size of a segment: positions in the index are 32 bits wide, as they are in Kafka.
    pub const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

    /// The segment size in force.
    pub(crate) fn segment_limit(&self) -> u64 {
        self.segment_bytes.min(Self::SEGMENT_BYTES_MAX)
    }
}
