//! `quipu verify`: checks a data directory without starting, and gives up what is lost when told to.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use quipu_storage::disk::{DirLock, DirectoryDisk, Disk, LockError};
use quipu_storage::repair;
use quipu_storage::verify::{Report, What};
use serde_json::{Value, json};

use crate::config::Sources;
use crate::topic::LEADER_EPOCH;
use crate::verify::{CATALOG, DataDir, LogPlace};

use super::connect::Format;
use super::failure::{Failure, complain};
use super::output::{Rows, number, say, show_json, text};
use super::progress::Progress;

const UNCHANGED: &str = "nothing was changed";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu verify                                        every partition in ./quipu-data
  quipu verify --data-dir /var/lib/quipu --format json
  quipu verify --accept-loss orders-3                 give up what is lost of one partition

No broker may be running on the directory. Every byte is read and nothing is changed, unless --accept-loss says so: then
the segments with damage are written anew, an empty batch stands for each range of lost offsets, and the bytes that were
cut out are kept in files named *.lost. What is wrong is shown before, and asked about once more.

The exit code is 1 when something is damaged. What a crash leaves behind the last whole batch is no damage.")]
pub(super) struct VerifyArgs {
    /// Directory that holds the log [default: ./quipu-data, or log.dirs]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A Kafka server.properties file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on without the records of this partition that are lost
    #[arg(long, value_name = "TOPIC-PARTITION")]
    accept_loss: Option<String>,
    /// Do not ask before giving up what is lost
    #[arg(long, requires = "accept_loss")]
    yes: bool,
    /// How to show the result
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: VerifyArgs) -> Result<(), Failure> {
    let disk = DirectoryDisk::new();
    let data_dir = data_dir(&args)?;
    let failed = |error: crate::error::StartError| Failure::failed(error.to_string());
    // Read before it is claimed: a claim leaves a file, which does not belong into somebody else's directory.
    crate::identity::Identity::read(&disk, &data_dir).map_err(failed)?;
    let _claim = claim(&disk, &data_dir)?;
    let found = DataDir::read(&disk, &data_dir).map_err(failed)?;
    match &args.accept_loss {
        Some(name) => accept_loss(&disk, &args, &found, name),
        None => check_all(&disk, &args, &data_dir, found),
    }
}

fn data_dir(args: &VerifyArgs) -> Result<PathBuf, Failure> {
    if let Some(dir) = &args.data_dir {
        return Ok(dir.clone());
    }
    let sources = Sources {
        files: args.config.iter().cloned().collect(),
        environment: std::env::vars().collect(),
        ..Sources::default()
    };
    let config = super::load_config(sources).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(config.settings().data_dir.clone())
}

fn claim(disk: &DirectoryDisk, data_dir: &Path) -> Result<DirLock, Failure> {
    disk.lock(data_dir).map_err(|error| match error {
        LockError::Held { .. } => Failure::failed(format!(
            "{error}; stop that broker first, or check a copy of the directory: what is being written cannot be checked"
        )),
        LockError::Io { .. } => Failure::failed(error.to_string()),
    })
}

fn check_all(
    disk: &DirectoryDisk,
    args: &VerifyArgs,
    data_dir: &Path,
    found: DataDir,
) -> Result<(), Failure> {
    let total = found.partitions.iter().map(|place| place.size_bytes(disk)).sum();
    let progress = Progress::bytes(Some(total));
    let (place, report) = found.catalog;
    let mut checked: Vec<(LogPlace, Report)> = report.map(|report| (place, report)).into_iter().collect();
    let mut notes = found.notes;
    let mut is_whole = notes.iter().all(|note| !note.starts_with("the catalog's record"));
    for place in found.partitions {
        progress.note(place.name.clone());
        match place.verify(disk) {
            Ok(None) => {}
            Ok(Some(report)) => {
                progress.add(report.size_bytes);
                checked.push((place, report));
            }
            Err(error) => {
                is_whole = false;
                notes.push(format!("{} could not be checked: {error}", place.name));
            }
        }
    }
    progress.done();
    is_whole &= checked.iter().all(|(_, report)| !report.is_damaged());
    let shown = match args.format {
        Format::Json => show_json(&json!({
            "data_dir": data_dir.display().to_string(),
            "ok": is_whole,
            "partitions": checked.iter().map(|(place, report)| to_json(place, report)).collect::<Vec<_>>(),
            "notes": notes,
        })),
        Format::Table => show(&checked, &notes),
    };
    Failure::unless(is_whole, shown)
}

fn lost_count(report: &Report) -> i64 {
    report.lost().map(|lost| lost.end - lost.start).sum()
}

fn state(report: &Report) -> &'static str {
    match (lost_count(report), report.is_damaged(), report.findings.is_empty()) {
        (1.., _, _) => "LOST RECORDS",
        (_, true, _) => "damaged",
        (_, false, false) if report.findings.iter().any(|it| it.what == What::Unfinished) => {
            "unfinished write"
        }
        _ => "ok",
    }
}

fn show(checked: &[(LogPlace, Report)], notes: &[String]) -> io::Result<()> {
    let mut rows = Rows::new([
        text("partition"),
        text("state"),
        number("start"),
        number("end"),
        number("batches"),
        number("records"),
        number("bytes"),
        number("lost"),
    ]);
    for (place, report) in checked {
        rows.push([
            json!(place.name),
            json!(state(report)),
            json!(report.log_start_offset),
            json!(report.end_offset),
            json!(report.batches),
            json!(report.records),
            json!(report.size_bytes),
            json!(lost_count(report)),
        ]);
    }
    rows.show(Format::Table)?;
    let faulty = checked.iter().filter(|(_, report)| !report.findings.is_empty());
    for (place, report) in faulty {
        say(&format!("\n{}", place.name))?;
        show_findings(report)?;
        if lost_count(report) > 0 {
            match place.name.as_str() {
                CATALOG => say(
                    "  put the catalog's files back from a copy; topics without it would lose their names",
                )?,
                name => say(&format!(
                    "  put the files back from a copy, or give up what is lost: quipu verify --accept-loss {name}"
                ))?,
            }
        }
    }
    for note in notes {
        say(&format!("\n{note}"))?;
    }
    Ok(())
}

fn show_findings(report: &Report) -> io::Result<()> {
    for finding in &report.findings {
        say(&format!("  {finding}"))?;
    }
    Ok(())
}

fn to_json(place: &LogPlace, report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let kind = match finding.what {
                What::Lost(_) => "lost",
                What::Unfinished => "unfinished",
                What::CutOff => "cut-off",
                What::Hint => "hint",
                What::Replaceable => "replaceable",
            };
            let lost = match &finding.what {
                What::Lost(lost) => json!({ "first": lost.start, "last": lost.end - 1 }),
                _ => Value::Null,
            };
            json!({
                "file": finding.path.display().to_string(),
                "position": finding.position,
                "kind": kind,
                "lost": lost,
                "text": finding.text,
            })
        })
        .collect();
    json!({
        "partition": place.name,
        "directory": place.dir.display().to_string(),
        "ok": !report.is_damaged(),
        "start": report.log_start_offset,
        "end": report.end_offset,
        "batches": report.batches,
        "records": report.records,
        "bytes": report.size_bytes,
        "findings": findings,
    })
}

/// Says exactly what is lost, asks, and goes on without it.
fn accept_loss(disk: &DirectoryDisk, args: &VerifyArgs, found: &DataDir, name: &str) -> Result<(), Failure> {
    if name == CATALOG {
        return Err(Failure::failed(
            "the catalog says which files belong to which topic: with part of it given up, the next start would take \
             topics for leftovers and remove them. Put its files back from a copy",
        ));
    }
    let place = found.partitions.iter().find(|place| place.name == name);
    let place = place.ok_or_else(|| {
        Failure::failed(format!(
            "there is no partition {name} here; they are called <topic>-<number>, as in orders-3"
        ))
    })?;
    let check = || place.verify(disk).map_err(|error| Failure::failed(error.to_string()));
    let Some(report) = check()?.filter(|report| !report.findings.is_empty()) else {
        return Ok(say(&format!("{name} is whole, there is nothing to give up"))?);
    };
    if report.lost().next().is_none() {
        show_findings(&report)?;
        return Ok(say("No record is lost: the next start deals with this by itself.")?);
    }
    let told = show_lost(name, &report);
    if !args.yes {
        // Nobody can agree to what was not shown.
        told.map_err(|error| Failure::failed(format!("{UNCHANGED}: what is lost cannot be shown: {error}")))?;
        ask(name)?;
    }
    let failed =
        |error: io::Error| Failure::failed(format!("cannot write {name} anew: {error}; run this again"));
    let kept = repair::accept_loss(disk, &place.dir, &report, LEADER_EPOCH).map_err(failed)?;
    let left = check()?.filter(|report| !report.findings.is_empty());
    let shown = show_repaired(name, &kept, left.as_ref());
    match left {
        Some(_) => Err(Failure::failed(format!("{name} is still damaged"))),
        None => Ok(shown?),
    }
}

fn show_lost(name: &str, report: &Report) -> io::Result<()> {
    show_findings(report)?;
    let ranges: Vec<_> = report.lost().map(|lost| format!("{}..={}", lost.start, lost.end - 1)).collect();
    say(&format!(
        "Of {name}, the records at {} offsets are lost: {}. {} records from offset {} to {} are left.",
        lost_count(report),
        ranges.join(", "),
        report.records,
        report.log_start_offset,
        report.end_offset - 1
    ))
}

fn show_repaired(name: &str, kept: &[PathBuf], left: Option<&Report>) -> io::Result<()> {
    for path in kept {
        say(&format!("What was cut out is kept in {}", path.display()))?;
    }
    match left {
        Some(report) => show_findings(report),
        None => say(&format!("{name} is whole again, without them. It goes on at its old end.")),
    }
}

fn ask(name: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::failed(format!("{UNCHANGED}; add --yes to give these records up")));
    }
    complain(format!("to give these records up for ever, type the name of the partition ({name})"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::failed(error.to_string()))?;
    if answer.trim() == name { Ok(()) } else { Err(Failure::failed(UNCHANGED)) }
}
