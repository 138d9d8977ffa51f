//! Cuts the power under the real broker on real file systems, without a device mapper.
//!
//! ```text
//! broker -> ext4 or XFS -> loop device -> file of a FUSE file system, which records every write and flush
//! ```
//!
//! A run puts the broker under load and lets it be killed, stopped and started, while clients note what they were told
//! and how much the device had done by then. Then many points of the recording are made into images as a cut would have
//! left them there: everything that was flushed, and of the rest nothing, everything, some writes, some sectors, or all
//! up to the middle of a write. On each the file system is mounted, the broker started, and everything the clients know
//! is checked ([`check`]); that is recorded as well, and cut once more. Some runs go on where a cut left the last one.
//!
//! Before that, the device fails once under a broker without any cut ([`failing`]).

mod check;
#[path = "../../it/client.rs"]
#[allow(dead_code)]
mod client;
mod device;
mod failing;
mod image;
mod journal;
mod load;
mod process;
mod random;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use check::{Bench, Survived};
use device::{Kind, Rack};
use image::{Cutter, Image, Keep};
use journal::Journal;
use process::Program;
use random::Random;

const USAGE: &str = "usage: powercut BROKER [--fs ext4|xfs] [--cuts N] [--seed N] [--findings N] [--keep DIR]

  BROKER        the quipu program
  --fs          one file system only
  --cuts N      images per file system, 40 unless told
  --seed N      repeats a run's choices (not the moments at which things happen)
  --jobs N      images that are checked at once, 2 unless told
  --findings N  ends after so many, 1 unless told
  --keep DIR    where the image and the journal of a finding go";

/// Images that are cut from one run.
const CUTS_PER_RUN: usize = 50;

/// Runs that follow each other on one file system.
const RUNS_PER_CHAIN: u64 = 4;

struct Options {
    broker: PathBuf,
    kinds: Vec<Kind>,
    cuts: u64,
    seed: u64,
    jobs: usize,
    findings: u64,
    keep: Option<PathBuf>,
}

fn options() -> Option<Options> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        broker: PathBuf::new(),
        kinds: Kind::ALL.to_vec(),
        cuts: 40,
        seed: u64::from(std::process::id()),
        jobs: 2,
        findings: 1,
        keep: None,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--fs" => {
                let name = arguments.next()?;
                options.kinds.retain(|kind| kind.name() == name);
            }
            "--cuts" => options.cuts = arguments.next()?.parse().ok()?,
            "--seed" => options.seed = arguments.next()?.parse().ok()?,
            "--jobs" => options.jobs = arguments.next()?.parse().ok().filter(|jobs| *jobs > 0)?,
            "--findings" => options.findings = arguments.next()?.parse().ok()?,
            "--keep" => options.keep = Some(arguments.next()?.into()),
            path if !path.starts_with('-') => options.broker = std::fs::canonicalize(path).ok()?,
            _ => return None,
        }
    }
    (options.broker.is_file() && !options.kinds.is_empty()).then_some(options)
}

/// Counts over all runs on one file system.
#[derive(Default)]
struct Counts {
    runs: u64,
    acked: u64,
    events: u64,
    images: u64,
    again: u64,
    torn: u64,
    findings: u64,
}

impl Counts {
    fn told(&self, kind: Kind) -> String {
        let Self { runs, acked, events, images, again, torn, findings } = self;
        format!(
            "{}: {images} images after a cut and {again} after a cut during recovery, of {runs} runs with {events} writes \
             and flushes and {acked} acknowledged batches: {findings} findings; {torn} cuts tore a block of the file \
             system's own, which it did not survive itself",
            kind.name()
        )
    }
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("seed {}", options.seed);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for kind in &options.kinds {
        let (began, name) = (Instant::now(), kind.name());
        match run(&options, *kind) {
            Err(Ended::Skipped(reason)) => {
                println!("{name}: skipped, {reason}");
                skipped += 1;
            }
            Err(Ended::Broken(reason)) => {
                println!("{name}: {reason}");
                failed += 1;
            }
            Ok(counts) => {
                println!("{}, {:.1} s", counts.told(*kind), began.elapsed().as_secs_f64());
                if counts.findings == 0 { passed += 1 } else { failed += 1 }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// Why there are no counts.
enum Ended {
    /// This machine cannot do it.
    Skipped(String),
    /// The rig itself, or the broker before any cut.
    Broken(String),
}

/// A machine that can do it has mounted an empty file system.
fn prepare(kind: Kind, dir: &Path, jobs: usize) -> Result<(Vec<Rack>, Image), String> {
    for needed in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(needed).exists() {
            return Err(format!("there is no {needed}"));
        }
    }
    let empty = kind.make(dir).map_err(|error| format!("{} does not run: {error}", kind.maker()))?;
    let mut racks = Vec::new();
    for number in 0..jobs {
        let mut rack = Rack::new(&dir.join(number.to_string())).map_err(|error| format!("FUSE: {error}"))?;
        let device = rack.mount(kind, empty.clone()).map_err(|error| error.to_string())?;
        device.unmount().map_err(|error| error.to_string())?;
        racks.push(rack);
    }
    Ok((racks, empty))
}

fn run(options: &Options, kind: Kind) -> Result<Counts, Ended> {
    let dir = tempfile::tempdir().map_err(|error| Ended::Broken(error.to_string()))?;
    let (mut racks, empty) = prepare(kind, dir.path(), options.jobs).map_err(Ended::Skipped)?;
    let program = Program { path: options.broker.clone(), log: dir.path().join("failing.log") };
    failing::check(&mut racks[0], &program, kind, empty.clone())
        .map_err(|text| Ended::Broken(format!("on a device that fails: {text}\n{}", program.last_words())))?;
    println!(
        "{}: a device that failed was told to everybody, and what was acknowledged was kept",
        kind.name()
    );
    let mut random = Random(options.seed);
    let mut counts = Counts::default();
    let mut from = (empty.clone(), Journal::default());
    while counts.images < options.cuts && counts.findings < options.findings {
        if counts.runs % RUNS_PER_CHAIN == 0 {
            from = (empty.clone(), Journal::default());
        }
        let cuts = CUTS_PER_RUN.min((options.cuts - counts.images) as usize);
        if let Some(next) = round(options, kind, &mut racks, from.clone(), cuts, &mut random, &mut counts)? {
            from = next;
        }
        if counts.images < options.cuts && counts.runs % 5 == 0 {
            println!("so far, {}", counts.told(kind));
        }
    }
    Ok(counts)
}

/// One run, its cuts, and where the next one may go on.
fn round(
    options: &Options,
    kind: Kind,
    racks: &mut [Rack],
    from: (Image, Journal),
    cuts: usize,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<Option<(Image, Journal)>, Ended> {
    let broken = |reason: String| Ended::Broken(reason);
    let (image, mut journal) = from;
    let programs: Vec<_> = (0..racks.len())
        .map(|number| Program {
            path: options.broker.clone(),
            log: std::env::temp_dir().join(format!("powercut-{}-{number}.log", std::process::id())),
        })
        .collect();
    let known = journal.acked();
    let device = racks[0].mount(kind, image).map_err(|error| broken(error.to_string()))?;
    let position = device.position();
    load::run(&programs[0], device.dir(), &mut journal, &position, random)
        .map_err(|text| broken(format!("before any cut: {text}\n{}", programs[0].last_words())))?;
    let tape = device.unmount().map_err(|error| broken(error.to_string()))?;
    counts.runs += 1;
    counts.acked += (journal.acked() - known) as u64;
    counts.events += tape.events.len() as u64;

    // Half of them at the very moment of an acknowledgement, when its records have just become a promise.
    let acked: Vec<_> = journal.batches.iter().flatten().filter_map(|batch| batch.acked).collect();
    let mut points: Vec<_> = (0..cuts)
        .map(|_| match random.one_in(2) {
            true if !acked.is_empty() => acked[random.below(acked.len() as u64) as usize],
            _ => random.below(tape.events.len() as u64 + 1) as usize,
        })
        .collect();
    points.sort_unstable();
    let goes_on = random.below(cuts as u64) as usize;
    let (cutter, next) = (Cutter::new(tape.start, tape.events), None);
    let shared = Mutex::new((cutter, points.into_iter().enumerate(), Random(random.next()), next, counts));
    std::thread::scope(|scope| {
        for (rack, program) in racks.iter_mut().zip(&programs) {
            scope.spawn(|| {
                loop {
                    let (number, at, keep, cut, mut random) = {
                        let Ok(mut shared) = shared.lock() else { return };
                        let (cutter, points, random, _, counts) = &mut *shared;
                        if counts.findings >= options.findings {
                            return;
                        }
                        let Some((number, at)) = points.next() else { return };
                        let keep = Keep::draw(random);
                        (number, at, keep, cutter.cut(at, keep, random), Random(random.next()))
                    };
                    let again = u32::from(random.one_in(2)) + u32::from(random.one_in(8));
                    let bounds = journal.bounds(at);
                    let mut bench = Bench { rack, program, kind };
                    let done = bench.check(cut, &bounds, again, &mut random);
                    let Ok(mut shared) = shared.lock() else { return };
                    let counts = &mut shared.4;
                    counts.images += 1;
                    match done {
                        Ok(Survived { image, bounds, again, torn }) => {
                            counts.again += again;
                            counts.torn += torn;
                            if number == goes_on {
                                shared.3 = Some((image, journal.go_on(&bounds)));
                            }
                        }
                        Err((text, image)) => {
                            counts.findings += 1;
                            let number = counts.findings;
                            println!("{}, cut at {at} (kept {keep:?}): {text}", kind.name());
                            println!("{}", program.last_words());
                            if let Some(dir) = &options.keep {
                                let name = format!("{}-{}-{number}", kind.name(), options.seed);
                                let journal = format!("{at} {keep:?} {text}\n{bounds:#?}\n{journal:#?}\n");
                                let kept = std::fs::create_dir_all(dir)
                                    .and_then(|()| image.save(&dir.join(format!("{name}.img"))))
                                    .and_then(|()| std::fs::write(dir.join(format!("{name}.txt")), journal));
                                println!("image and journal in {}: {kept:?}", dir.join(name).display());
                            }
                        }
                    }
                }
            });
        }
    });
    for program in &programs {
        let _ = std::fs::remove_file(&program.log);
    }
    shared.into_inner().map(|shared| shared.3).map_err(|_| broken("a check panicked".to_owned()))
}
