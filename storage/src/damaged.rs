//! A log that is damaged below its durable point, opened for reading alone. Nothing of it is changed.
//!
//! Its segments are taken as they should be, each with all of its offsets: whoever reads one that is gone is told so by
//! the read path, and what is whole before and behind the damage is found. Where no recovery point vouches for anything,
//! each batch is looked at, and the search goes on behind what is not one.

use std::path::Path;
use std::sync::Arc;

use crate::aborted;
use crate::config::LogConfig;
use crate::disk::{Disk, Entry, OpenMode};
use crate::error::{Damage, OpenError, is_unreadable};
use crate::marker::Marker;
use crate::producers::Producers;
use crate::recover::{Checkpoint, Found, Recovered, Recovery};
use crate::scan::Scanner;
use crate::segment::{ABORTED_SUFFIX, LOG_SUFFIX, Segment, file_name};
use crate::snapshot::{self, Snapshot};
use crate::types::{Millis, Offset};

#[expect(clippy::too_many_arguments, reason = "what recovery has found out so far")]
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: &LogConfig,
    now: Millis,
    entries: &[Entry],
    found: &Found,
    log_start: Offset,
    damage: Damage,
) -> Result<Recovered, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let point = snapshot::snapshots(&**disk, dir, entries).next().transpose().map_err(at(dir))?;
    let vouched = snapshot::vouched(entries).unwrap_or(0);
    let from = point.as_ref().map_or(Offset::MIN, |point| point.segment);
    let (point_offset, producers) = match point {
        Some(Snapshot { offset, producers, .. }) => (offset, producers),
        None => (Offset::MIN, Producers::default()),
    };
    let mut logs = found.logs.clone();
    // A segment that is missing is one without bytes.
    if found.first().is_none_or(|first| first > log_start) {
        logs.insert(0, (log_start, 0));
    }
    let mut tail = Tail { disk, dir, config, now, point: point_offset, producers, scanned_bytes: 0 };
    let mut segments = Vec::with_capacity(logs.len());
    for (i, &(base, size)) in logs.iter().enumerate() {
        let next = logs.get(i + 1).map(|next| next.0);
        let mut end = (next, size);
        let mut list = None;
        if base >= from && size > 0 {
            let limit = next.unwrap_or(Offset::MAX);
            let seen = tail.scan(base, size, limit).map_err(at(&dir.join(file_name(base, LOG_SUFFIX))))?;
            end = (next.or(Some(seen.end_offset)), seen.size_bytes);
            list = seen.aborted;
        }
        let end_offset = end.0.unwrap_or(base).max(if next.is_none() { vouched } else { base });
        let (limit, interval) = (config.segment_limit(), config.index_interval_bytes);
        let segment =
            Segment::stored(disk, dir, base, end_offset, end.1, limit, interval).among(&config.open_segments);
        if let Some(list) = list {
            segment.set_aborted(list);
        }
        segments.push(Arc::new(segment));
    }
    let end = segments.last().map_or(log_start, |last| last.end_offset());
    Ok(Recovered {
        log_start: log_start.min(end),
        segments,
        producers: tail.producers,
        started_ms: None,
        // Nothing is ever going to be synced; what is here is what there is.
        durable: end,
        report: Recovery { scanned_bytes: tail.scanned_bytes, ..Recovery::default() },
        damage: Some(damage),
        checkpoint: Checkpoint::default(),
    })
}

/// The segments that no recovery point vouches for as a whole.
struct Tail<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    config: &'a LogConfig,
    now: Millis,
    /// Where `producers` stands.
    point: Offset,
    producers: Producers,
    scanned_bytes: u64,
}

/// What is left of a segment.
struct Seen {
    size_bytes: u64,
    end_offset: Offset,
    aborted: Option<Vec<crate::marker::Aborted>>,
}

impl Tail<'_> {
    fn scan(&mut self, base: Offset, size: u64, limit: Offset) -> std::io::Result<Seen> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.disk.open(&path, OpenMode::Existing)?;
        let mut scanner = Scanner::new(&*file, 0, size);
        let mut seen = Seen {
            size_bytes: 0,
            end_offset: base,
            aborted: aborted::read(&**self.disk, &self.dir.join(file_name(base, ABORTED_SUFFIX)))?,
        };
        // Behind the recovery point the list is what the log says.
        let point = self.point;
        if let Some(list) = &mut seen.aborted {
            list.retain(|aborted| aborted.last_offset < point);
        }
        loop {
            match scanner.next(seen.end_offset) {
                Ok(Ok(batch)) => {
                    let header = batch.header();
                    if header.base_offset >= self.point {
                        self.producers.record(header, self.now, self.config.max_producers);
                        if let Some(marker) = Marker::read(&batch) {
                            let offset = header.base_offset;
                            let (_, ended) =
                                self.producers.end(&marker, offset, self.now, self.config.max_producers);
                            if let Some(list) = &mut seen.aborted {
                                list.extend(ended);
                            }
                        }
                    }
                    seen.end_offset = header.last_offset() + 1;
                    seen.size_bytes = scanner.position;
                }
                Ok(Err(_)) => match scanner.resync(seen.end_offset..limit) {
                    Ok(Some(base_offset)) => seen.end_offset = base_offset,
                    Ok(None) => break,
                    Err(error) if is_unreadable(&error) => break,
                    Err(error) => return Err(error),
                },
                // What lies behind a broken sector is not asked for: a map of it would end the process.
                Err(error) if is_unreadable(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.scanned_bytes += seen.size_bytes;
        Ok(seen)
    }
}
