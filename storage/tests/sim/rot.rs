//! Bytes that rot, sectors that end up elsewhere, files that lose their end or vanish, and reads that fail: below what
//! was once on disk, where no crash can be blamed.
//!
//! Whatever happens there, a reader gets what was written or an error, never something else and never what comes after
//! a gap; no offset is given again; verify tells everything that cannot be read; and giving that up brings the log back,
//! also when the power goes in between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quipu_storage::repair::accept_loss;
use quipu_storage::verify::{Report, verify};
use quipu_storage::{ReadError, Reader};

use super::disk::{Freeze, Rng, SimDisk};
use super::{DIR, Run, named, seeds};

/// Damages that are tried on what each seed wrote.
const DAMAGES: u64 = 10;

/// Batches by their first offset, without the leader epoch, which no sum covers.
type Batches = BTreeMap<i64, Vec<u8>>;

fn comparable(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[12..16].fill(0);
    bytes
}

/// What a log gives whoever reads it from the start to the end.
#[derive(Default)]
struct Seen {
    batches: Batches,
    /// Offsets for which there was an error, or a batch whose sum is wrong.
    lost: Vec<i64>,
}

fn read_through(reader: &Reader, written: &Batches) -> Seen {
    let mut seen = Seen::default();
    let (mut from, end) = (reader.log_start_offset(), reader.end_offset());
    while from < end {
        let before = from;
        match reader.read(from, 700, end, true) {
            Ok(read) => {
                assert!(!read.is_empty(), "neither records nor an error at {from}");
                for batch in read.batches() {
                    let header = batch.header();
                    if batch.computed_crc() != header.crc {
                        break;
                    }
                    assert!(
                        (header.base_offset..=header.last_offset()).contains(&from),
                        "{from} was passed over"
                    );
                    let bytes = comparable(batch.bytes());
                    match written.get(&header.base_offset) {
                        Some(written) if *written == bytes => {}
                        // What was given up, or compacted before.
                        _ => assert_eq!(header.records_count, 0, "records that nobody wrote at {from}"),
                    }
                    seen.batches.insert(header.base_offset, bytes);
                    from = header.last_offset() + 1;
                }
            }
            Err(ReadError::OutOfRange { .. }) => panic!("{from} is out of range"),
            Err(_) => {}
        }
        if from == before {
            seen.lost.push(from);
            from += 1;
        }
    }
    seen
}

/// A log that was closed, and then perhaps went on for a bit, with a checkpoint at the end or without.
struct Written {
    disk: SimDisk,
    now: i64,
    batches: Batches,
    /// Everything below is on disk.
    end: i64,
    /// Which files may rot, and how much of each.
    files: Vec<(PathBuf, usize)>,
    went_on: bool,
    /// Whether all that it went on with is vouched for.
    is_noted: bool,
}

fn write(seed: u64) -> Option<Written> {
    let mut run = Run::new(seed);
    run.open(true);
    run.operate(60);
    let (appender, reader) = run.log.take()?;
    if appender.fenced().is_some() || appender.close().is_err() {
        return None;
    }
    let files = run.disk.current_files();
    drop(reader);
    let went_on = run.rng.one_in(2);
    run.open(false);
    if went_on {
        for _ in 0..6 {
            run.append();
        }
        run.flush();
        run.chores();
    }
    let is_noted = went_on && run.rng.one_in(2);
    if is_noted {
        run.checkpoint();
    }
    let (_, reader) = run.log.take()?;
    let end = reader.durable_offset();
    let batches = read_through(&reader, &BTreeMap::new().into_iter().chain(all(&reader)).collect()).batches;
    // Compaction may have begun again, or retention.
    let mut files = if is_noted { run.disk.current_files() } else { files };
    files.retain(|(path, size)| {
        run.disk.current_files().iter().any(|file| file.0 == *path && file.1 >= *size)
    });
    Some(Written { disk: run.disk, now: run.now, batches, end, files, went_on, is_noted })
}

fn all(reader: &Reader) -> Batches {
    let mut batches = BTreeMap::new();
    let mut from = reader.log_start_offset();
    while from < reader.end_offset() {
        let read = reader.read(from, 10_000, i64::MAX, true).unwrap();
        batches.extend(read.batches().map(|batch| (batch.header().base_offset, comparable(batch.bytes()))));
        from = read.next_offset;
    }
    batches
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|it| suffixes.contains(&it))
}

/// Does some damage. Gives its name.
fn damage(written: &Written, disk: &SimDisk, rng: &mut Rng) -> Option<String> {
    let of = |suffixes: &[&str]| -> Vec<&(PathBuf, usize)> {
        written.files.iter().filter(|(path, size)| *size > 0 && has_suffix(path, suffixes)).collect()
    };
    let logs = of(&["log"]);
    let pick = |list: &[&(PathBuf, usize)], rng: &mut Rng| -> Option<(PathBuf, usize)> {
        (!list.is_empty()).then(|| list[rng.below(list.len() as u64) as usize].clone())
    };
    // What came later is not vouched for: a file that loses its end takes that along.
    let kinds = if written.went_on && !written.is_noted { 5 } else { 8 };
    let newest = written.went_on && rng.one_in(2);
    let (path, size) = if newest { (*logs.last()?).clone() } else { pick(&logs, rng)? };
    let name = path.display().to_string();
    Some(match rng.below(kinds) {
        0 | 1 => {
            let bit = rng.below(size as u64 * 8) as usize;
            disk.flip(&path, bit);
            format!("bit {bit} of {name} flipped")
        }
        2 => {
            let (path, size) = pick(&of(&["idx", "snap", "txn", "start", "clean"]), rng)?;
            let bit = rng.below(size as u64 * 8) as usize;
            disk.flip(&path, bit);
            format!("bit {bit} of {} flipped", path.display())
        }
        3 => {
            let (from, from_size) = pick(&logs, rng)?;
            let sector = |size: usize, rng: &mut Rng| rng.below((size as u64).div_ceil(512)) as usize * 512;
            let (at, source) = (sector(size, rng), sector(from_size, rng));
            let bytes = disk.bytes(&from);
            let length = 512.min(size - at).min(from_size - source);
            disk.overwrite(&path, at, &bytes[source..source + length]);
            format!("sector at {source} of {} in place of the one at {at} of {name}", from.display())
        }
        4 => {
            let snapshots = of(&["snap"]);
            for (path, size) in &snapshots {
                disk.flip(path, rng.below(*size as u64 * 8) as usize);
            }
            let bit = rng.below(size as u64 * 8) as usize;
            disk.flip(&path, bit);
            format!("no snapshot is left, bit {bit} of {name} flipped")
        }
        5 => {
            let left = rng.below(size as u64) as usize;
            disk.cut(&path, left);
            format!("{name} cut to {left}")
        }
        6 => {
            disk.vanish(&path);
            format!("{name} vanished")
        }
        _ => {
            let at = rng.below(size as u64);
            disk.make_unreadable(&path, at);
            format!("{name} cannot be read at {at}")
        }
    })
}

fn check(disk: &SimDisk) -> Report {
    verify(disk, Path::new(DIR), |_| {}).unwrap()
}

fn rot(seed: u64) {
    let Some(written) = write(seed) else { return };
    let whole = check(&written.disk);
    assert!(!whole.is_damaged(), "verify finds what is not there: {:?}", whole.findings);
    let mut rng = Rng(seed ^ 0x5eed);
    for _ in 0..DAMAGES {
        let disk = written.disk.copy();
        if let Some(name) = damage(&written, &disk, &mut rng) {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                suffer(&written, &disk, &mut rng);
            }));
            if let Err(panic) = panicked {
                eprintln!("{name}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn suffer(written: &Written, disk: &SimDisk, rng: &mut Rng) {
    let report = check(disk);
    let lost: Vec<i64> = report.lost().flatten().collect();
    // A copy: opening may build anew what can be.
    let (appender, reader) = Run::try_open(&disk.copy(), written.now).unwrap();
    assert!(reader.end_offset() >= written.end, "an offset would be given again");
    let seen = read_through(&reader, &written.batches);
    if !report.is_damaged() {
        assert!(seen.lost.is_empty() && seen.batches == written.batches, "verify did not find it");
    }
    if !disk.is_unreadable() {
        // Maps do not show a sector that cannot be read here; on a real disk they would end the process.
        let readable = reader.log_start_offset();
        let missed: Vec<_> = lost.iter().copied().filter(|offset| *offset >= readable).collect();
        assert_eq!(seen.lost, missed, "verify and reading do not agree: {:?}", report.findings);
    }
    drop((appender, reader));
    if lost.is_empty() {
        return;
    }
    let calm = disk.copy();
    accept_loss(&calm, Path::new(DIR), &report, 0).unwrap();
    whole_again(written, &calm, &lost);
    // Anywhere in between, or everywhere where a wrong position could be believed.
    let calls = calm.calls();
    let cuts = if written.went_on {
        1..=calls
    } else {
        let at = 1 + rng.below(calls);
        at..=at
    };
    for cut in cuts {
        let torn = disk.copy();
        torn.freeze(Freeze::Call(cut));
        drop(accept_loss(&torn, Path::new(DIR), &report, 0));
        let disk = torn.crash(rng.next());
        let (_, reader) = Run::try_open(&disk.copy(), written.now).unwrap();
        assert!(reader.end_offset() >= written.end, "an interrupted repair was taken for a torn write");
        read_through(&reader, &written.batches);
        drop(reader);
        accept_loss(&disk, Path::new(DIR), &check(&disk), 0).unwrap();
        whole_again(written, &disk, &lost);
    }
}

/// All that was not lost is there, and the log goes on.
fn whole_again(written: &Written, disk: &SimDisk, lost: &[i64]) {
    let report = check(disk);
    assert!(report.findings.is_empty(), "after giving up: {:?}", report.findings);
    let (appender, reader) = Run::try_open(disk, written.now).unwrap();
    assert!(appender.fenced().is_none() && reader.end_offset() >= written.end, "{:?}", appender.fenced());
    let seen = read_through(&reader, &written.batches);
    assert!(seen.lost.is_empty(), "{:?}", seen.lost);
    let start = reader.log_start_offset();
    for (base, bytes) in written.batches.range(start..) {
        assert!(lost.contains(base) || seen.batches.get(base) == Some(bytes), "the batch at {base} is gone");
    }
    appender.close().unwrap();
    assert!(check(disk).findings.is_empty());
    let (appender, _) = Run::try_open(disk, written.now).unwrap();
    assert_eq!(appender.recovery().scanned_bytes, 0);
}

#[test]
fn nothing_wrong_is_handed_out_whatever_rots() {
    for seed in seeds() {
        named(seed, None, || rot(seed));
    }
}

#[test]
fn a_lost_disk_is_reported_by_its_own_name() {
    // The harness itself: what cannot be read is told as such, and only there.
    let written = (0..).find_map(write).unwrap();
    let (path, _) = written.files.iter().find(|(path, _)| has_suffix(path, &["log"])).unwrap();
    let disk = written.disk.copy();
    disk.make_unreadable(path, 0);
    assert!(check(&disk).findings.iter().any(|finding| finding.text.contains("cannot be read")));
    let _ = Arc::new(disk);
}
