//! Those who read, without ever waiting for the one who writes.

use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::record::BatchView;

use super::Shared;
use crate::compress::expansion_limit;
use crate::error::{Fence, ReadError};
use crate::marker::Aborted;
use crate::record::OpenBatch;
use crate::segment::{Met, Segment};
use crate::types::{Millis, NO_TIMESTAMP, Offset};

/// Reads a log. Clones are cheap and independent; none takes a lock that is held during a write.
///
/// Bytes are given out as slices of the segments' maps. What is not in memory makes the thread wait for the disk; whoever
/// must not wait asks a reader [at once](Reader::at_once), and has one that waits do elsewhere what that one leaves.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) shared: Arc<Shared>,
    at_once: bool,
}

/// What was read: whole batches, as stored.
#[derive(Clone, Debug)]
pub struct ReadSlices {
    /// The batches, one slice per segment they came from. Not copied.
    pub slices: Vec<Bytes>,
    /// Sum of the slices' lengths.
    pub size_bytes: usize,
    /// Offset behind the last batch; the offset that was asked for when there is none.
    pub next_offset: Offset,
    /// The log start when this was read.
    pub log_start_offset: Offset,
    /// The end when this was read; never less than `next_offset`.
    pub end_offset: Offset,
}

impl ReadSlices {
    /// Whether no batch was there within the bounds.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The batches, one by one.
    pub fn batches(&self) -> impl Iterator<Item = BatchView<'_>> {
        self.slices.iter().flat_map(|slice| quipu_protocol::record::Batches::new(slice))
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, at_once: false }
    }

    /// A reader whose [`read`](Reader::read) and [`aborted`](Reader::aborted) wait for no disk: [`ReadError::NotInMemory`] where
    /// they would have to, and where they would tell of damage.
    pub fn at_once(&self) -> Self {
        Self { at_once: true, ..self.clone() }
    }

    /// Offset of the first record that may be read.
    pub fn log_start_offset(&self) -> Offset {
        self.shared.log_start()
    }

    /// Offset that the next record gets.
    pub fn end_offset(&self) -> Offset {
        self.shared.end()
    }

    /// Offset below which everything is known to be on disk.
    pub fn durable_offset(&self) -> Offset {
        self.shared.durable()
    }

    /// First offset that a reader of committed records may not read: that of the oldest transaction whose end is not
    /// below `high_watermark`, else that itself. Never decreases, as long as the high watermark does not.
    ///
    /// Ask for the high watermark before, and for [`Reader::aborted`] after.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.shared.last_stable(high_watermark)
    }

    /// T9: the transactions that were aborted and have records from `from` (or from somewhere before it, but their marker
    /// not) to `upto`, in order of their markers.
    pub fn aborted(&self, from: Offset, upto: Offset) -> Result<Vec<Aborted>, ReadError> {
        self.retrying(|| {
            let segments = self.shared.segments();
            let holder = segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
            let mut found = Vec::new();
            for at in holder..segments.len() {
                let list = if self.at_once {
                    segments[at].aborted_at_once().ok_or(ReadError::NotInMemory)?
                } else {
                    self.shared.aborted(&segments, at)?
                };
                let behind = list.partition_point(|aborted| aborted.last_offset < from);
                for aborted in &list[behind..] {
                    if aborted.first_offset < upto {
                        found.push(*aborted);
                    }
                    // Whatever ended later began later than this.
                    if aborted.last_stable_offset >= upto {
                        return Ok(found);
                    }
                }
            }
            Ok(found)
        })
    }

    /// Why the log takes no more, if it does not. Reading goes on.
    pub fn fenced(&self) -> Option<&Fence> {
        self.shared.fenced()
    }

    /// Takes note of an error that somebody met who read this log. If it shows damage, the log is read-only from now on:
    /// a disk that loses data is not one to acknowledge more on. True if that is news.
    pub fn report(&self, error: &ReadError) -> bool {
        error.damage().is_some_and(|damage| self.shared.set_damaged(damage))
    }

    /// Bytes in all segments, without what is reserved ahead.
    pub fn size_bytes(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.size_bytes()).sum()
    }

    /// Number of segments, the active one included.
    pub fn segment_count(&self) -> usize {
        self.shared.segments().len()
    }

    /// Whole batches from the one that holds `from` (so they may begin before it) up to `max_bytes`, none of which
    /// reaches `upto`. With `at_least_one` the first comes even if it is larger than `max_bytes` (L5). Reading at the end
    /// gives nothing; beyond it, or below the log start, is an error (L6).
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        upto: Offset,
        at_least_one: bool,
    ) -> Result<ReadSlices, ReadError> {
        self.retrying(|| {
            // In this order: the segments hold everything from any start that is seen after them to any end seen before.
            let end_offset = self.end_offset();
            let segments = self.shared.segments();
            let log_start_offset = self.log_start_offset();
            if from < log_start_offset || from > end_offset {
                return Err(ReadError::OutOfRange { log_start_offset, end_offset });
            }
            let mut out = ReadSlices {
                slices: Vec::new(),
                size_bytes: 0,
                next_offset: from,
                log_start_offset,
                end_offset,
            };
            let upto = upto.min(end_offset);
            if max_bytes == 0 && !at_least_one {
                return Ok(out);
            }
            let holder = segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
            for segment in &segments[holder..] {
                if out.next_offset >= upto {
                    break;
                }
                let budget = max_bytes - out.size_bytes.min(max_bytes);
                let at_least_one = at_least_one && out.is_empty();
                let span = self.span(segment, out.next_offset, budget as u64, upto, at_least_one);
                // What comes before damage is handed out; who asks for what comes next is told.
                let Some(span) = or_stop(span, &out)? else { break };
                if let Some(slice) = span.found {
                    out.size_bytes += slice.len();
                    out.slices.push(slice);
                    out.next_offset = span.next_offset;
                }
                if !span.exhausted {
                    break;
                }
            }
            Ok(out)
        })
    }

    /// The first record below `upto` with a timestamp of `timestamp` or later: its offset and timestamp (S1). Exact, also
    /// within compressed batches and for timestamps out of order.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Millis,
        upto: Offset,
    ) -> Result<Option<(Offset, Millis)>, ReadError> {
        self.retrying(|| {
            let start = self.log_start_offset();
            let upto = upto.min(self.end_offset());
            let segments = self.shared.segments();
            for (segment, _) in up_to(&segments, upto) {
                if segment.max_timestamp()? < timestamp {
                    continue;
                }
                let place = segment.index()?.before_time(timestamp);
                let mut walk = segment.walk(place, segment.size_bytes())?;
                while let Some(met) = walk.next()?.filter(|met| met.header.base_offset < upto) {
                    if met.header.max_timestamp < timestamp || met.header.last_offset() < start {
                        continue;
                    }
                    let found = first_record(&walk.batch(&met)?, |offset, stamp| {
                        offset >= start && offset < upto && stamp >= timestamp
                    });
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
            Ok(None)
        })
    }

    /// The record with the greatest timestamp below `upto`, the first if there are several: its offset and timestamp.
    pub fn max_timestamp(&self, upto: Offset) -> Result<Option<(Offset, Millis)>, ReadError> {
        let greatest = self.retrying(|| {
            let start = self.log_start_offset();
            let upto = upto.min(self.end_offset());
            let mut greatest = NO_TIMESTAMP;
            let segments = self.shared.segments();
            for (segment, is_settled) in up_to(&segments, upto) {
                if is_settled && segment.base_offset() >= start && segment.end_offset() <= upto {
                    greatest = greatest.max(segment.max_timestamp()?);
                    continue;
                }
                let place = {
                    let index = segment.index()?;
                    if segment.base_offset() < start {
                        // What is deleted in front does not count, and the index does not tell it apart.
                        index.before_offset(start)
                    } else if index.end_offset() <= upto {
                        greatest = greatest.max(index.max_timestamp());
                        continue;
                    } else {
                        let (before, place) = index.max_timestamp_before(upto);
                        greatest = greatest.max(before);
                        place
                    }
                };
                let mut walk = segment.walk(place, segment.size_bytes())?;
                while let Some(met) = walk.next()?.filter(|met| met.header.base_offset < upto) {
                    greatest = greatest.max(max_timestamp_within(&walk.batch(&met)?, &met, start, upto));
                }
            }
            Ok(greatest)
        })?;
        if greatest == NO_TIMESTAMP { Ok(None) } else { self.offset_for_timestamp(greatest, upto) }
    }

    /// A segment may be removed under a reader that has not opened it yet; the next look at the log settles it.
    fn retrying<T>(&self, mut read: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
        loop {
            let segments = self.shared.segments();
            match read() {
                Err(ReadError::Io { .. }) if segments.iter().any(|segment| segment.is_removed()) => {}
                // It may be none to whoever takes the time to look closely.
                Err(ReadError::Corrupt { .. }) if self.at_once => return Err(ReadError::NotInMemory),
                other => return other,
            }
        }
    }
}

/// The segments that begin below `upto`, and whether nothing is appended to them any more.
fn up_to(segments: &[Arc<Segment>], upto: Offset) -> impl Iterator<Item = (&Arc<Segment>, bool)> {
    let last = segments.len().saturating_sub(1);
    let all = segments.iter().enumerate().map(move |(at, segment)| (segment, at < last));
    all.take_while(move |(segment, _)| segment.base_offset() < upto)
}

/// The part of a segment that answers a read.
struct Span {
    found: Option<Bytes>,
    next_offset: Offset,
    /// The answer may go on in the next segment.
    exhausted: bool,
}

impl Reader {
    fn span(
        &self,
        segment: &Segment,
        from: Offset,
        budget: u64,
        upto: Offset,
        at_least_one: bool,
    ) -> Result<Span, ReadError> {
        // In this order: the bytes up to any end that was seen are there.
        let end_offset = segment.end_offset();
        let size = segment.size_bytes();
        let walk = if self.at_once {
            let place = segment.index_at_once().ok_or(ReadError::NotInMemory)?.before_offset(from);
            segment.walk_at_once(place, size)?
        } else {
            let place = segment.index_as_far_as_possible()?.before_offset(from);
            segment.walk(place, size)?
        };
        let mut walk = walk.for_bytes(budget);
        'search: loop {
            let first = loop {
                match walk.next() {
                    Ok(None) if from < end_offset && !crate::planted::planted("lost-records-passed-over") => {
                        return Err(segment.lost(from));
                    }
                    Ok(None) => return Ok(Span { found: None, next_offset: from, exhausted: true }),
                    Ok(Some(met)) if met.header.last_offset() >= from => break met,
                    Ok(Some(_)) => {}
                    Err(error) if !walk.pass_damage(from) => return Err(error),
                    Err(_) => {}
                }
            };
            if first.header.last_offset() >= end_offset {
                // It holds an offset that was published, so all of it was.
                if walk.pass_damage(from) {
                    continue 'search;
                }
                return Err(segment.corrupt(first.position, "the batch reaches beyond the segment's offsets"));
            }
            let fits = first.header.size_bytes() as u64 <= budget || at_least_one;
            if first.header.last_offset() >= upto || !fits {
                return Ok(Span { found: None, next_offset: from, exhausted: false });
            }
            let limit = first.position.saturating_add(budget).min(size);
            let (mut last, mut whole) = (first, None);
            walk.pass_good(limit, upto);
            // Each header is looked at: what is handed out are the batches that were written here, as far as that shows.
            let mut exhausted = loop {
                match walk.next() {
                    Ok(Some(met)) if met.end() <= limit && met.header.last_offset() < upto => {
                        whole = Some(last);
                        last = met;
                    }
                    Ok(None) => break last.header.last_offset() + 1 >= end_offset,
                    Ok(Some(_)) => break false,
                    Err(error @ ReadError::NotInMemory) => return Err(error),
                    Err(error) => {
                        // The header before it may be what led astray.
                        if walk.is_whole(&last) {
                            break false;
                        }
                        match whole {
                            Some(whole) => last = whole,
                            None if walk.pass_damage(from) => continue 'search,
                            None => return Err(error),
                        }
                        break false;
                    }
                }
            };
            let found = match walk.shared(first.position..last.end()) {
                // A sector further back cannot be read: what comes before it can.
                Err(ReadError::Io { .. }) if last.position > first.position => {
                    (last, exhausted) = (first, false);
                    walk.shared(first.position..first.end())?
                }
                found => found?,
            };
            return Ok(Span { found: Some(found), next_offset: last.header.last_offset() + 1, exhausted });
        }
    }
}

/// Nothing, where an error stands behind something that can be handed out.
fn or_stop<T>(found: Result<T, ReadError>, out: &ReadSlices) -> Result<Option<T>, ReadError> {
    match found {
        Err(error) if !out.is_empty() && !matches!(error, ReadError::NotInMemory) => Ok(None),
        other => other.map(Some),
    }
}

/// The first record of a batch that is `wanted`, by offset and timestamp. Records that cannot be walked count as one:
/// the batch's first offset is not too late for anybody.
fn first_record(
    batch: &BatchView<'_>,
    mut wanted: impl FnMut(Offset, Millis) -> bool,
) -> Option<(Offset, Millis)> {
    let header = batch.header();
    if header.attributes.is_log_append_time() {
        // One time counts for all of them.
        return (header.base_offset..=header.last_offset())
            .map(|offset| (offset, header.max_timestamp))
            .find(|&(offset, stamp)| wanted(offset, stamp));
    }
    let Ok(open) = OpenBatch::new(batch, expansion_limit(batch.payload().len())) else {
        return Some((header.base_offset, header.max_timestamp));
    };
    open.records()
        .map_while(Result::ok)
        .map(|record| (open.offset(&record), open.timestamp(&record)))
        .find(|&(offset, stamp)| wanted(offset, stamp))
}

/// The greatest timestamp of the batch's records from `start` to `upto`.
fn max_timestamp_within(batch: &BatchView<'_>, met: &Met, start: Offset, upto: Offset) -> Millis {
    let header = &met.header;
    if header.last_offset() < start {
        return NO_TIMESTAMP;
    }
    if header.base_offset >= start && header.last_offset() < upto {
        return header.max_timestamp;
    }
    let mut greatest = NO_TIMESTAMP;
    first_record(batch, |offset, stamp| {
        if (start..upto).contains(&offset) {
            greatest = greatest.max(stamp);
        }
        false
    });
    greatest
}
