//! Looking at sealed segments again, long after they were written: a disk loses bits without being asked.

use std::sync::{Arc, Weak};

use super::Reader;
use crate::error::ReadError;
use crate::scan::Scanner;
use crate::segment::Segment;
use crate::types::Offset;

/// Where a pass over a log's sealed segments is.
#[derive(Debug, Default)]
pub struct ScrubPlace {
    segment: Weak<Segment>,
    position: u64,
    /// Offset of the next batch.
    offset: Offset,
}

/// What a part of a pass has found.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Bytes of batches whose sums were computed.
    pub checked_bytes: u64,
    /// What is not as it was written.
    pub damage: Vec<ReadError>,
    /// The pass is over; the place stands at the start again.
    pub is_finished: bool,
}

impl Reader {
    /// Checks the sums of sealed segments from `place` on, until about `max_bytes` were checked. Waits for the disk. What
    /// was not in the page cache before is not left there.
    pub fn scrub(&self, place: &mut ScrubPlace, max_bytes: u64) -> Scrubbed {
        let mut out = Scrubbed::default();
        while out.checked_bytes < max_bytes {
            let segments = self.shared.segments();
            let (_, sealed) = segments.split_last().expect("a log has a segment");
            let Some(segment) = sealed.iter().find(|segment| segment.end_offset() > place.offset) else {
                *place = ScrubPlace::default();
                out.is_finished = true;
                break;
            };
            if !std::ptr::eq(place.segment.as_ptr(), Arc::as_ptr(segment)) {
                // A new one, or one that was compacted since.
                let offset = segment.base_offset();
                *place = ScrubPlace { segment: Arc::downgrade(segment), position: 0, offset };
            }
            if let Err(error) = scrub_segment(segment, place, max_bytes, &mut out) {
                // One that was deleted meanwhile cannot be opened; that is no damage.
                if !segment.is_removed() {
                    out.damage.push(error);
                }
                place.offset = segment.end_offset();
            }
        }
        out
    }
}

/// Checks on from `place` to the end of the segment, or until enough was checked. An error ends the segment.
fn scrub_segment(
    segment: &Segment,
    place: &mut ScrubPlace,
    max_bytes: u64,
    out: &mut Scrubbed,
) -> Result<(), ReadError> {
    let failed = |source| segment.io_error(source);
    if segment.size_bytes() == 0 {
        return if place.offset < segment.end_offset() { Err(segment.lost(place.offset)) } else { Ok(()) };
    }
    let file = segment.file().map_err(failed)?;
    let file = file.for_one_pass().map_err(failed)?.unwrap_or(file);
    let size = segment.size_bytes().min(file.size_bytes().map_err(failed)?);
    let end_offset = segment.end_offset();
    let mut scanner = Scanner::new(&*file, place.position, size);
    while out.checked_bytes < max_bytes {
        if place.position >= size {
            return if place.offset < end_offset { Err(segment.lost(place.offset)) } else { Ok(()) };
        }
        let found = scanner.next(place.offset).map_err(failed)?.map(|batch| batch.header().last_offset() + 1);
        match found {
            Ok(next) => place.offset = next,
            Err(reason) => {
                if reason != "sum does not match" || !crate::planted::planted("scrub-without-crc") {
                    out.damage.push(segment.corrupt(place.position, reason));
                }
                match scanner.resync(place.offset..end_offset).map_err(failed)? {
                    Some(offset) if !crate::planted::planted("scrub-stops-at-damage") => {
                        place.offset = offset;
                    }
                    Some(_) => {
                        place.offset = end_offset;
                        return Ok(());
                    }
                    None => {
                        place.offset = end_offset;
                        return Ok(());
                    }
                }
            }
        }
        out.checked_bytes += scanner.position - place.position;
        place.position = scanner.position;
    }
    Ok(())
}
