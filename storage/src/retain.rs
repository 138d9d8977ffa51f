//! Which segments need not be kept any longer. A pure plan; [`Appender::retain`](crate::Appender::retain) carries it out.

use crate::types::{Millis, NO_TIMESTAMP, Offset};

/// How much is kept (`retention.ms`, `retention.bytes`). Without either, everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Segments whose newest record is older than this go.
    pub keep_ms: Option<Millis>,
    /// The oldest segments go as long as what stays is at least this many bytes.
    pub keep_bytes: Option<u64>,
}

/// What the plan needs to know about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Offset behind its last record.
    pub end_offset: Offset,
    /// Its size.
    pub size_bytes: u64,
    /// Its greatest timestamp, or when its file was last written to if its records carry none (as in Kafka); -1 when that
    /// is not known either, and then it never expires.
    pub max_timestamp: Millis,
}

/// The new log start, if segments may go. `segments` come oldest first and are looked at only as far as needed;
/// `total_bytes` is the size of the whole log.
///
/// A segment goes when it is too old or too much; the first that stays ends the search, because a log has no holes.
pub fn plan(
    segments: impl IntoIterator<Item = SegmentFacts>,
    total_bytes: u64,
    policy: &Policy,
    now: Millis,
) -> Option<Offset> {
    if policy.keep_ms.is_none() && policy.keep_bytes.is_none() {
        return None;
    }
    let mut start = None;
    let mut left = total_bytes;
    for segment in segments.into_iter().filter(|segment| segment.size_bytes > 0) {
        let too_old = policy.keep_ms.is_some_and(|keep_ms| {
            // A clock that was set back must not delete, a timestamp from the future keeps.
            segment.max_timestamp > NO_TIMESTAMP && now.saturating_sub(segment.max_timestamp) > keep_ms
        });
        let too_much =
            policy.keep_bytes.is_some_and(|keep_bytes| left.saturating_sub(segment.size_bytes) >= keep_bytes);
        if !too_old && !too_much {
            break;
        }
        left = left.saturating_sub(segment.size_bytes);
        start = Some(segment.end_offset);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(stamps: &[Millis]) -> Vec<SegmentFacts> {
        (1..)
            .zip(stamps)
            .map(|(i, &max_timestamp)| SegmentFacts { end_offset: i * 10, size_bytes: 100, max_timestamp })
            .collect()
    }

    #[test]
    fn r1_time_stops_at_the_first_segment_that_is_young_enough() {
        let policy = Policy { keep_ms: Some(100), keep_bytes: None };
        let plan = |stamps: &[Millis], now| plan(segments(stamps), 0, &policy, now);
        assert_eq!(plan(&[0, 50, 90], 100), None, "exactly as old as allowed");
        assert_eq!(plan(&[0, 50, 90], 101), Some(10));
        assert_eq!(plan(&[0, 50, 90], 1_000), Some(30));
        assert_eq!(plan(&[0, 5_000, 90], 1_000), Some(10), "the future pins what follows");
        assert_eq!(plan(&[NO_TIMESTAMP, 0], 1_000), None);
    }

    #[test]
    fn r1_size_keeps_at_least_the_limit() {
        let plan = |keep| {
            let policy = Policy { keep_ms: None, keep_bytes: Some(keep) };
            plan(segments(&[0; 4]), 400, &policy, 0)
        };
        assert_eq!(plan(400), None);
        assert_eq!(plan(301), None);
        assert_eq!(plan(300), Some(10));
        assert_eq!(plan(250), Some(10));
        assert_eq!(plan(0), Some(40));
    }

    #[test]
    fn no_policy_keeps_for_ever() {
        assert_eq!(plan(segments(&[0; 4]), 400, &Policy::default(), Millis::MAX), None);
    }
}
