//! `quipu dump`: the inside of segment files, without a broker.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use quipu_protocol::record::{BATCH_HEADER_BYTES, BatchHeader, BatchView, Records};
use quipu_storage::compress::{self, Codec};
use serde_json::{Map, Value, json};

use super::calendar::rfc3339;
use super::connect::Format;
use super::encoding::put_bytes;
use super::failure::{Failure, complain};
use super::progress::Progress;

/// A batch that claims to be larger than this is taken for damage.
const MAX_BATCH_BYTES: usize = 1 << 30;
/// Largest uncompressed batch.
const MAX_RECORDS_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu dump quipu-data                               every partition
  quipu dump quipu-data/topics/ID/0 --records         one partition, with its records
  quipu dump 0/00000000000000000000.log --format json

A file that holds zeros behind its last batch is well: that is space reserved for what comes next.
The exit code is 1 when a damaged batch was met; `quipu verify` looks at all of them.")]
pub(super) struct DumpArgs {
    /// Segment files (.log), partition directories or whole data directories.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Show the records of each batch.
    #[arg(short, long)]
    records: bool,
    /// How to show the result; json gives an object per line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: DumpArgs) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        find_segments(path, 0, &mut files).map_err(|error| Failure::file(path, &error))?;
    }
    if files.is_empty() {
        let names: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::failed(format!("no segment file (.log) in {}", names.join(", "))));
    }
    let total = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len()).sum();
    let progress = Progress::bytes(Some(total)).unless_output_is_terminal();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut is_whole = true;
    let shown = files.iter().try_for_each(|file| {
        Dump { out: &mut out, args: &args, path: file, progress: &progress, is_whole: &mut is_whole }
            .segment()
    });
    let shown = shown.and_then(|()| Ok(out.flush()?));
    progress.done();
    Failure::unless(is_whole, shown)
}

/// How deep a partition's files lie in a data directory: `topics/<id>/<partition>`.
const DEPTH_MAX: usize = 3;

/// Collects `.log` files: the path itself, or those inside of it, in order of name.
fn find_segments(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if depth < DEPTH_MAX {
                find_segments(&entry, depth + 1, files)?;
            }
        } else if entry.extension().is_some_and(|extension| extension == "log") {
            files.push(entry);
        }
    }
    Ok(())
}

/// One file on its way to the screen.
struct Dump<'a, W: Write> {
    out: &'a mut W,
    args: &'a DumpArgs,
    path: &'a Path,
    progress: &'a Progress,
    /// Whether no damage has been met, in this file or one before. It outlives an output that cannot be written.
    is_whole: &'a mut bool,
}

/// What comes next in a file.
enum Next {
    Batch(Vec<u8>),
    End,
    /// Zeros from here on: reserved space.
    Reserved,
    Damaged(String),
}

impl<W: Write> Dump<'_, W> {
    /// Shows a file, up to where it is damaged.
    fn segment(&mut self) -> Result<(), Failure> {
        let open = File::open(self.path).map_err(|error| Failure::file(self.path, &error))?;
        let size = open.metadata().map_err(|error| Failure::file(self.path, &error))?.len();
        let mut input = BufReader::with_capacity(1 << 18, open);
        if self.args.format == Format::Table {
            writeln!(self.out, "{}  {size} bytes", self.path.display())?;
            writeln!(
                self.out,
                "{:>12}  {:>12}  {:>7}  {:>12}  {:>9}  {:<6}  {:>5}  {:<24}  {:>10}  {:>5}  {:>10}  FLAGS",
                "FIRST",
                "LAST",
                "RECORDS",
                "POSITION",
                "BYTES",
                "CODEC",
                "EPOCH",
                "LATEST",
                "PRODUCER",
                "EPOCH",
                "SEQUENCE"
            )?;
        }
        let (mut position, mut batches, mut records) = (0_u64, 0_u64, 0_u64);
        loop {
            let next = next_batch(&mut input).map_err(|error| Failure::file(self.path, &error))?;
            let bytes = match next {
                Next::Batch(bytes) => bytes,
                Next::End => break,
                Next::Reserved => {
                    self.note(position, "reserved", size - position)?;
                    break;
                }
                Next::Damaged(why) => {
                    self.damaged(position, why);
                    break;
                }
            };
            match BatchView::parse(&bytes) {
                Ok(batch) => {
                    self.batch(position, &batch)?;
                    records += u64::try_from(batch.header().records_count).unwrap_or(0);
                }
                Err(error) => {
                    self.damaged(position, error);
                    break;
                }
            }
            batches += 1;
            position += bytes.len() as u64;
            self.progress.add(bytes.len() as u64);
        }
        if self.args.format == Format::Table {
            writeln!(self.out, "{batches} batches, {records} records, {position} bytes\n")?;
        }
        Ok(())
    }

    fn damaged(&mut self, position: u64, why: impl Display) {
        *self.is_whole = false;
        complain(format!("{}, position {position}: {why}", self.path.display()));
    }

    fn note(&mut self, position: u64, what: &str, bytes: u64) -> io::Result<()> {
        match self.args.format {
            Format::Table => writeln!(self.out, "{:>12}  {bytes} bytes {what} from position {position}", "-"),
            Format::Json => {
                let line =
                    json!({ "file": self.path.display().to_string(), "position": position, what: bytes });
                writeln!(self.out, "{line}")
            }
        }
    }

    /// Shows a batch, a damaged one as well as it can be.
    fn batch(&mut self, position: u64, batch: &BatchView<'_>) -> io::Result<()> {
        let header = batch.header();
        let intact = batch.computed_crc() == header.crc;
        *self.is_whole &= intact;
        let codec = Codec::from_number(header.attributes.codec()).map_or("?", Codec::name);
        let mut flags = Vec::new();
        for (name, on) in [
            ("append-time", header.attributes.is_log_append_time()),
            ("transactional", header.attributes.is_transactional()),
            ("control", header.attributes.is_control()),
            ("delete-horizon", header.attributes.has_delete_horizon()),
            ("BAD-CHECKSUM", !intact),
        ] {
            if on {
                flags.push(name);
            }
        }
        let records = match self.args.records && intact {
            true => match read_records(batch) {
                Ok(records) => Some(records),
                Err(why) => {
                    self.damaged(position, why);
                    return Ok(());
                }
            },
            false => None,
        };
        match self.args.format {
            Format::Table => {
                writeln!(
                    self.out,
                    "{:>12}  {:>12}  {:>7}  {position:>12}  {:>9}  {codec:<6}  {:>5}  {:<24}  {:>10}  {:>5}  {:>10}  {}",
                    header.base_offset,
                    header.last_offset(),
                    header.records_count,
                    batch.bytes().len(),
                    header.partition_leader_epoch,
                    if header.max_timestamp < 0 { "-".into() } else { rfc3339(header.max_timestamp) },
                    dash(header.producer_id),
                    dash(i64::from(header.producer_epoch)),
                    dash(i64::from(header.base_sequence)),
                    if flags.is_empty() { "-".into() } else { flags.join(",") },
                )?;
                for record in records.iter().flatten() {
                    writeln!(self.out, "              {record}")?;
                }
            }
            Format::Json => {
                let mut line = json!({
                    "file": self.path.display().to_string(),
                    "position": position,
                    "bytes": batch.bytes().len(),
                    "base_offset": header.base_offset,
                    "last_offset": header.last_offset(),
                    "count": header.records_count,
                    "codec": codec,
                    "leader_epoch": header.partition_leader_epoch,
                    "base_timestamp": header.base_timestamp,
                    "max_timestamp": header.max_timestamp,
                    "producer_id": header.producer_id,
                    "producer_epoch": header.producer_epoch,
                    "base_sequence": header.base_sequence,
                    "flags": flags,
                    "crc": format!("{:08x}", header.crc),
                    "intact": intact,
                });
                if let (Some(records), Some(object)) = (records, line.as_object_mut()) {
                    object.insert("records".into(), Value::Array(records));
                }
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }
}

fn dash(number: i64) -> String {
    if number < 0 { "-".into() } else { number.to_string() }
}

fn read_records(batch: &BatchView<'_>) -> Result<Vec<Value>, String> {
    let header = batch.header();
    let number = header.attributes.codec();
    let codec = Codec::from_number(number).ok_or_else(|| format!("its compression {number} is unknown"))?;
    let plain = match codec {
        Codec::None => None,
        codec => Some(
            compress::decompress(codec, batch.payload(), MAX_RECORDS_BYTES)
                .map_err(|error| format!("the records do not decompress: {error}"))?,
        ),
    };
    let payload = plain.as_deref().unwrap_or_else(|| batch.payload());
    let mut shown = Vec::new();
    for record in Records::new(payload, header.records_count) {
        let record = record.map_err(|error| format!("a record cannot be read: {error}"))?;
        let mut object = Map::new();
        object.insert("offset".into(), json!(header.base_offset + i64::from(record.offset_delta)));
        object.insert("timestamp".into(), json!(header.base_timestamp.wrapping_add(record.timestamp_delta)));
        put_bytes(&mut object, "key", record.key);
        put_bytes(&mut object, "value", record.value);
        let headers = record.headers().map(|header| {
            let mut pair = Map::new();
            pair.insert("key".into(), json!(header.name()));
            put_bytes(&mut pair, "value", header.value);
            Value::Object(pair)
        });
        object.insert("headers".into(), headers.collect());
        shown.push(Value::Object(object));
    }
    Ok(shown)
}

/// Reads the next batch whole. Memory is taken as bytes come, not on the word of a length.
fn next_batch(input: &mut impl Read) -> io::Result<Next> {
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES);
    input.by_ref().take(BATCH_HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Next::End);
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Next::Reserved);
    }
    if bytes.len() < BATCH_HEADER_BYTES {
        return Ok(Next::Damaged(format!("the file ends {} bytes into a batch", bytes.len())));
    }
    let header = match BatchHeader::parse(&bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Next::Damaged(format!("this is no batch: {error}"))),
    };
    let size = header.size_bytes();
    if size > MAX_BATCH_BYTES {
        return Ok(Next::Damaged(format!("this is no batch: it claims {size} bytes")));
    }
    input.by_ref().take((size - BATCH_HEADER_BYTES) as u64).read_to_end(&mut bytes)?;
    if bytes.len() < size {
        return Ok(Next::Damaged(format!("the file ends {} bytes into a batch of {size}", bytes.len())));
    }
    Ok(Next::Batch(bytes))
}

#[cfg(test)]
mod tests {
    use quipu_protocol::record::BatchBuilder;

    use super::*;

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.push(1, Some(b"k"), Some(b"v"), &[]);
        builder.finish()
    }

    #[test]
    fn a_file_ends_cleanly_reserved_or_damaged() {
        let mut two = batch();
        two.extend(batch());
        let mut input = &two[..];
        assert!(matches!(next_batch(&mut input).unwrap(), Next::Batch(_)));
        assert!(matches!(next_batch(&mut input).unwrap(), Next::Batch(_)));
        assert!(matches!(next_batch(&mut input).unwrap(), Next::End));
        assert!(matches!(next_batch(&mut &[0; 100][..]).unwrap(), Next::Reserved));
        let whole = batch();
        for cut in 1..whole.len() {
            assert!(!matches!(next_batch(&mut &whole[..cut]).unwrap(), Next::Batch(_) | Next::End), "{cut}");
        }
    }

    #[test]
    fn a_huge_length_takes_no_memory() {
        let mut bytes = batch();
        bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(matches!(next_batch(&mut &bytes[..]).unwrap(), Next::Damaged(_)));
    }

    #[test]
    fn segments_are_found_in_directories() {
        let dir = tempfile::tempdir().unwrap();
        let partition = dir.path().join("t-0");
        fs::create_dir(&partition).unwrap();
        for name in ["00000000000000000010.log", "00000000000000000000.log", "00000000000000000000.idx"] {
            fs::write(partition.join(name), b"").unwrap();
        }
        let mut files = Vec::new();
        find_segments(dir.path(), 0, &mut files).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["00000000000000000000.log", "00000000000000000010.log"]);
    }
}
