//! `quipu produce`: lines become records.

use std::fs::File;
use std::io::IsTerminal;
use std::io::{self, BufRead, BufReader, Read, stderr, stdin};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use quipu_storage::compress::Codec;

use crate::client::{Acks, Cluster, Outgoing, Producer, ProducerOptions};

use super::calendar::parse_time;
use super::connect::Connect;
use super::failure::{Failure, complain};
use super::progress::Progress;
use super::template::unescape;

/// Lines read ahead of the sender.
const LINES_AHEAD: usize = 10_000;
/// How long a line may wait for company when no other follows it.
const LINGER: Duration = Duration::from_millis(10);
/// A longer line is refused rather than read into memory.
const MAX_LINE_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo hello | quipu produce greetings
  quipu produce orders -K : < orders.txt            lines such as 42:{\"total\":7}
  quipu produce orders -k 42 -H source=web -z zstd --file order.json --whole
  quipu produce users -k 42 --tombstone             delete key 42 from a compacted topic")]
pub(super) struct ProduceArgs {
    /// Topic to send to.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag", conflicts_with = "topic_flag")]
    topic: Option<String>,
    /// The same, as a flag.
    #[arg(short = 't', long = "topic", value_name = "TOPIC", hide = true)]
    topic_flag: Option<String>,
    /// Read from a file instead of stdin.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send the whole input as one record instead of a record per line.
    #[arg(long, conflicts_with_all = ["key_separator", "delimiter"])]
    whole: bool,
    /// What stands between records; \n \t \0 \xHH work.
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n")]
    delimiter: String,
    /// What stands between key and value in each line; \t works. A line without it has no key.
    #[arg(short = 'K', long, value_name = "TEXT", conflicts_with = "key")]
    key_separator: Option<String>,
    /// Key of every record.
    #[arg(short, long, value_name = "TEXT")]
    key: Option<String>,
    /// A header of every record; may be repeated, also with the same name.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, Option<String>)>,
    /// Partition [default: by key as in Java, or any].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Compression.
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// Timestamp of every record: RFC 3339 or milliseconds since 1970 [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    timestamp: Option<i64>,
    /// Send a record without a value, for each line as a key or for --key.
    #[arg(short = 'Z', long)]
    tombstone: bool,
    /// Whose confirmation to wait for.
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Do not ask the broker to store a repeated batch only once.
    #[arg(long)]
    no_idempotence: bool,
    /// Bytes to collect for a partition before sending.
    #[arg(long, value_name = "N", default_value_t = 512 << 10, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    batch_bytes: u32,
    /// Seconds to keep trying to send a batch.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    delivery_timeout: u64,
    /// Say nothing about what was sent.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AcksArg {
    /// All in-sync replicas.
    #[value(alias = "-1")]
    All,
    /// The leader.
    #[value(alias = "1")]
    Leader,
    /// Nobody: errors go unseen.
    #[value(alias = "0")]
    None,
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Self {
        match acks {
            AcksArg::All => Self::All,
            AcksArg::Leader => Self::Leader,
            AcksArg::None => Self::None,
        }
    }
}

fn header(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None if text.is_empty() => Err("write it as NAME=VALUE".into()),
        None => Ok((text.to_owned(), None)),
    }
}

fn time(text: &str) -> Result<i64, String> {
    parse_time(text).ok_or_else(|| "write it as 2026-01-31T12:00:00Z or in milliseconds since 1970".into())
}

pub(super) fn run(args: ProduceArgs) -> Result<(), Failure> {
    let shape = Shape::new(&args)?;
    let topic = args.topic.as_ref().or(args.topic_flag.as_ref()).cloned().unwrap_or_default();
    // The input is opened before the broker is asked for anything.
    let alone = args.tombstone && args.key.is_some();
    let (input, size) = match &args.file {
        _ if alone => (Box::new(io::empty()) as Box<dyn Read + Send>, Some(0)),
        None => (Box::new(stdin()) as Box<dyn Read + Send>, None),
        Some(path) => {
            let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
            let metadata = file.metadata().map_err(|error| Failure::file(path, &error))?;
            if metadata.is_dir() {
                return Err(Failure::failed(format!("{}: that is a directory, not a file", path.display())));
            }
            (Box::new(file) as Box<dyn Read + Send>, metadata.is_file().then_some(metadata.len()))
        }
    };
    let mut cluster = args.connect.open()?;
    let options = ProducerOptions {
        codec: args.compression.into(),
        acks: args.acks.into(),
        idempotent: !args.no_idempotence,
        batch_bytes: args.batch_bytes as usize,
        delivery_timeout: Duration::from_secs(args.delivery_timeout),
    };
    let mut producer = Producer::new(&mut cluster, &topic, options)?;
    let progress = Progress::bytes(size).unless_interactive();
    if alone {
        producer.send(&mut cluster, shape.record(None))?;
        producer.flush(&mut cluster)?;
    } else {
        let chunks = read_ahead(input, args.whole, &shape.delimiter);
        let sent = pump(&mut cluster, &mut producer, &shape, &chunks, &progress);
        progress.done();
        if let Err(failure) = sent {
            if producer.sent().records > 0 {
                complain(format!("{} records were sent before this happened", producer.sent().records));
            }
            return Err(failure);
        }
    }
    let sent = producer.sent();
    if !args.quiet && stderr().is_terminal() {
        let place = match sent.last {
            Some((partition, offset)) => {
                format!(", the last one at offset {offset} of partition {partition}")
            }
            None => String::new(),
        };
        complain(format!("sent {} record(s) to \"{topic}\"{place}", sent.records));
    }
    Ok(())
}

/// Sends what the reader finds. What has come is sent as soon as nothing else follows at once.
fn pump(
    cluster: &mut Cluster,
    producer: &mut Producer,
    shape: &Shape,
    chunks: &Receiver<io::Result<Vec<u8>>>,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut line_number = 0_u64;
    loop {
        let chunk = match chunks.recv_timeout(LINGER) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                producer.flush(cluster)?;
                match chunks.recv() {
                    Ok(chunk) => chunk,
                    Err(_) => break,
                }
            }
        };
        line_number += 1;
        let chunk =
            chunk.map_err(|error| Failure::failed(format!("cannot read record {line_number}: {error}")))?;
        progress.add(chunk.len() as u64 + shape.delimiter.len() as u64);
        producer.send(cluster, shape.record(Some(chunk)))?;
        if line_number.is_multiple_of(1_000) {
            progress.note(format!("{} records", producer.sent().records));
        }
    }
    Ok(producer.flush(cluster)?)
}

/// What a piece of input becomes.
#[derive(Debug)]
struct Shape {
    delimiter: Vec<u8>,
    key_separator: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    tombstone: bool,
}

impl Shape {
    fn new(args: &ProduceArgs) -> Result<Self, Failure> {
        let delimiter = unescape(&args.delimiter).map_err(Failure::Usage)?;
        let key_separator =
            args.key_separator.as_deref().map(unescape).transpose().map_err(Failure::Usage)?;
        if delimiter.is_empty() || key_separator.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::usage("a separator must not be empty"));
        }
        let headers =
            args.headers.iter().map(|(name, value)| (name.clone().into(), value.clone().map(Into::into)));
        Ok(Self {
            delimiter,
            key_separator,
            key: args.key.clone().map(String::into_bytes),
            headers: headers.collect(),
            partition: args.partition,
            timestamp: args.timestamp,
            tombstone: args.tombstone,
        })
    }

    fn record(&self, chunk: Option<Vec<u8>>) -> Outgoing {
        let (key, value) = match (&self.key_separator, chunk) {
            (_, None) => (self.key.clone(), None),
            (_, Some(key)) if self.tombstone && self.key.is_none() && self.key_separator.is_none() => {
                (Some(key), None)
            }
            (Some(separator), Some(chunk)) => match find(&chunk, separator) {
                Some(at) => (Some(chunk[..at].to_vec()), Some(chunk[at + separator.len()..].to_vec())),
                None => (None, Some(chunk)),
            },
            (None, Some(chunk)) => (self.key.clone(), Some(chunk)),
        };
        Outgoing {
            key,
            value: value.filter(|_| !self.tombstone),
            headers: self.headers.clone(),
            partition: self.partition,
            timestamp: self.timestamp,
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Reads the input on a thread of its own, because a terminal or a pipe may keep a reader waiting while records are ready
/// to be sent.
fn read_ahead(input: Box<dyn Read + Send>, whole: bool, delimiter: &[u8]) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    let delimiter = delimiter.to_vec();
    thread::spawn(move || {
        let mut input = BufReader::with_capacity(1 << 16, input);
        if whole {
            let mut all = Vec::new();
            let read = input.take(MAX_LINE_BYTES + 1).read_to_end(&mut all);
            let _ = sender.send(read.and_then(|_| bounded(all)));
            return;
        }
        split(&mut input, &delimiter, &sender);
    });
    receiver
}

fn split(input: &mut impl BufRead, delimiter: &[u8], sender: &SyncSender<io::Result<Vec<u8>>>) {
    let Some((&last, _)) = delimiter.split_last() else { return };
    let mut chunk = Vec::new();
    loop {
        let before = chunk.len();
        let room = (MAX_LINE_BYTES + 1).saturating_sub(before as u64);
        match input.by_ref().take(room).read_until(last, &mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
            Ok(0) => {
                if !chunk.is_empty() {
                    let _ = sender.send(bounded(chunk));
                }
                return;
            }
            Ok(_) => {}
        }
        if chunk.ends_with(delimiter) {
            chunk.truncate(chunk.len() - delimiter.len());
            // Lines from Windows end in two characters.
            if delimiter == b"\n" && chunk.last() == Some(&b'\r') {
                chunk.pop();
            }
            if sender.send(bounded(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        } else if chunk.len() as u64 > MAX_LINE_BYTES {
            let _ = sender.send(bounded(chunk));
            return;
        }
    }
}

fn bounded(chunk: Vec<u8>) -> io::Result<Vec<u8>> {
    match chunk.len() as u64 > MAX_LINE_BYTES {
        true => Err(io::Error::other(format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20))),
        false => Ok(chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(input: &'static [u8], delimiter: &[u8]) -> Vec<String> {
        let chunks = read_ahead(Box::new(input), false, delimiter);
        chunks.iter().map(|chunk| String::from_utf8(chunk.unwrap()).unwrap()).collect()
    }

    #[test]
    fn input_is_cut_at_the_delimiter() {
        assert_eq!(chunks(b"a\nb\r\n\nc", b"\n"), ["a", "b", "", "c"]);
        assert_eq!(chunks(b"a--b-c--", b"--"), ["a", "b-c"]);
        assert_eq!(chunks(b"", b"\n"), [""; 0]);
    }

    fn shape(key: Option<&str>, separator: Option<&str>, tombstone: bool) -> Shape {
        Shape {
            delimiter: b"\n".to_vec(),
            key_separator: separator.map(|s| s.as_bytes().to_vec()),
            key: key.map(|k| k.as_bytes().to_vec()),
            headers: Vec::new(),
            partition: None,
            timestamp: None,
            tombstone,
        }
    }

    fn pair(shape: &Shape, chunk: Option<&str>) -> (Option<String>, Option<String>) {
        let record = shape.record(chunk.map(|c| c.as_bytes().to_vec()));
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        (text(record.key), text(record.value))
    }

    #[test]
    fn keys_come_from_the_line_or_the_flag() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(pair(&shape(None, None, false), Some("v")), (None, some("v")));
        assert_eq!(pair(&shape(Some("k"), None, false), Some("v")), (some("k"), some("v")));
        assert_eq!(pair(&shape(None, Some(":"), false), Some("k:v:w")), (some("k"), some("v:w")));
        assert_eq!(pair(&shape(None, Some(":"), false), Some("v")), (None, some("v")));
        assert_eq!(pair(&shape(None, Some(":"), false), Some(":v")), (some(""), some("v")));
    }

    #[test]
    fn tombstones_have_a_key_and_no_value() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(pair(&shape(Some("k"), None, true), None), (some("k"), None));
        assert_eq!(pair(&shape(None, None, true), Some("k")), (some("k"), None));
        assert_eq!(pair(&shape(None, Some(":"), true), Some("k:v")), (some("k"), None));
    }
}
