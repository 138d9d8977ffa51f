//! `quipu consume`: records become lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use quipu_protocol::ErrorCode;
use serde_json::{Map, Value, json};

use crate::client::admin;
use crate::client::{
    At, Beat, ClientError, Cluster, Consumer, GroupMember, Isolation, Record, TopicPartition,
};

use super::connect::Connect;
use super::encoding::put_bytes;
use super::failure::{Failure, complain};
use super::place::{Place, Span};
use super::progress::Progress;
use super::template::{Template, unescape};
use super::topic::chosen_partitions;

/// How long the broker may hold a fetch, and so how late a signal or a heartbeat may be noticed.
const MAX_WAIT: Duration = Duration::from_millis(500);
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_STEP: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu consume orders                          from the start, and wait for more
  quipu consume orders -o end                   only what is new
  quipu consume orders -o -10 -e                the last ten of each partition, then stop
  quipu consume orders -o @-1h:@-30m            half an hour of the past
  quipu consume orders -f '%p:%o %k=%v\\n'       in a format of your own
  quipu consume orders --group billing          as a member of a group, with commits

Formats: %t topic  %p partition  %o offset  %k key  %v value  %h headers  %d timestamp  %e epoch
         %T %K %V lengths  %s key and value length  %H number of headers  %% percent  \\n \\t \\xHH
         %v{hex} %v{base64} %v{json}  %d{rfc3339} %d{s} %d{strftime[%F %T]}  %h{%k=%v;}")]
pub(super) struct ConsumeArgs {
    /// Topics to read.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to start: start, end, an offset, +N (after the start), -N (before the end), @TIME; FROM:TO to stop there.
    #[arg(short, long, value_name = "PLACE", default_value = "start", allow_hyphen_values = true)]
    offset: Span,
    /// Only these partitions; may be repeated or separated by commas.
    #[arg(
        short,
        long,
        visible_alias = "partition",
        value_name = "N",
        value_delimiter = ',',
        conflicts_with = "group"
    )]
    partitions: Vec<i32>,
    /// Stop after this many records.
    #[arg(short = 'n', long = "num", visible_alias = "count", value_name = "N")]
    count: Option<u64>,
    /// Stop at what is the end when the command starts.
    #[arg(short, long)]
    exit: bool,
    /// printf-like format, or `json` for an object per line [default: '%v\n'].
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print keys too, with this between key and value; \t works.
    #[arg(short = 'K', long, value_name = "TEXT", conflicts_with = "format")]
    key_separator: Option<String>,
    /// Read as a member of this group: continue where it stopped, share with its other members, commit.
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
    /// Do not commit in the group.
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// Leave out records of open and aborted transactions.
    #[arg(long)]
    read_committed: bool,
    /// Say on stderr when a partition's end is reached.
    #[arg(long)]
    notify_end: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let isolation = if args.read_committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let printer = Printer::new(&args)?;
    if args.group.is_some() && args.offset.to.is_some() {
        return Err(Failure::usage("a group reads on for ever: use -o FROM:TO without --group"));
    }
    if args.count == Some(0) {
        return Ok(());
    }
    let cluster = args.connect.open()?;
    let mut reading = Reading {
        consumer: Consumer::new(isolation, MAX_WAIT),
        isolation,
        cluster,
        printer,
        out: BufWriter::with_capacity(1 << 16, io::stdout()),
        ends: BTreeMap::new(),
        left: args.count,
        failed: None,
        progress: Progress::records(args.count).unless_output_is_terminal(),
        notified: BTreeMap::new(),
        began: BTreeMap::new(),
        handed_out: BTreeMap::new(),
        found: BTreeSet::new(),
        failing: BTreeMap::new(),
        is_partial: false,
    };
    let result = match &args.group {
        None => reading.partitions(&args),
        Some(group) => reading.group(&args, group),
    };
    reading.progress.done();
    let flushed = reading.out.flush().map_err(Failure::from);
    Failure::unless(!reading.is_partial, result.and(flushed))
}

/// How records are written.
#[derive(Debug)]
enum Printer {
    Template(Template),
    Json,
}

impl Printer {
    fn new(args: &ConsumeArgs) -> Result<Self, Failure> {
        let format = match (&args.format, &args.key_separator) {
            (Some(format), _) if format == "json" => return Ok(Self::Json),
            (Some(format), _) => format.clone(),
            (None, None) => "%v\\n".into(),
            (None, Some(separator)) => {
                unescape(separator).map_err(Failure::Usage)?;
                format!("%k{}%v\\n", separator.replace('%', "%%"))
            }
        };
        Template::parse(&format).map(Self::Template).map_err(Failure::Usage)
    }

    fn write(&self, out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
        match self {
            Self::Template(template) => template.write(out, record),
            Self::Json => {
                serde_json::to_writer(&mut *out, &to_json(record))?;
                out.write_all(b"\n")
            }
        }
    }
}

fn to_json(record: &Record<'_>) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), json!(record.topic));
    object.insert("partition".into(), json!(record.partition));
    object.insert("offset".into(), json!(record.offset));
    object.insert("timestamp".into(), json!(record.timestamp));
    let kind = if record.batch.attributes.is_log_append_time() { "append" } else { "create" };
    object.insert("timestamp_type".into(), json!(kind));
    put_bytes(&mut object, "key", record.key);
    put_bytes(&mut object, "value", record.value);
    let headers = record.headers.clone().map(|header| {
        let mut pair = Map::new();
        pair.insert("key".into(), json!(header.name()));
        put_bytes(&mut pair, "value", header.value);
        Value::Object(pair)
    });
    object.insert("headers".into(), headers.collect());
    Value::Object(object)
}

/// A consumer on its way.
struct Reading {
    cluster: Cluster,
    consumer: Consumer,
    isolation: Isolation,
    printer: Printer,
    out: BufWriter<io::Stdout>,
    /// Where to stop in each partition, if anywhere.
    ends: BTreeMap<TopicPartition, i64>,
    /// Records left to print, if counted.
    left: Option<u64>,
    /// The error that ended the printing.
    failed: Option<io::Error>,
    progress: Progress,
    /// The end that the user was told of last.
    notified: BTreeMap<TopicPartition, i64>,
    /// Where a group's member began in each of its partitions.
    began: BTreeMap<TopicPartition, i64>,
    /// How far each of them has been printed and written out: what the group may commit.
    handed_out: BTreeMap<TopicPartition, i64>,
    /// Partitions that were there when they were read.
    found: BTreeSet<TopicPartition>,
    /// Since when a partition cannot be read.
    failing: BTreeMap<TopicPartition, Instant>,
    /// Whether a partition was given up, and the user told of it.
    is_partial: bool,
}

impl Reading {
    /// Reads partitions of its own choice.
    fn partitions(&mut self, args: &ConsumeArgs) -> Result<(), Failure> {
        let mut partitions = Vec::new();
        for name in &args.topics {
            let topic = self.cluster.topic(name, false)?;
            partitions.extend(chosen_partitions(&topic, &args.partitions)?);
        }
        let starts = args.offset.from.resolve(&mut self.cluster, &partitions, self.isolation)?;
        if let Some(to) = args.offset.to {
            self.ends = to.resolve(&mut self.cluster, &partitions, self.isolation)?;
            if args.exit || matches!(to, Place::Offset(_)) {
                self.bound_by_offset(to, &partitions, args.exit)?;
            }
        } else if args.exit {
            self.ends = self.cluster.offsets(&partitions, At::End, self.isolation)?;
        }
        for (partition, offset) in starts {
            self.consumer.assign(partition, offset);
        }
        self.drop_finished();
        while !self.consumer.is_empty() {
            if self.poll(args)?.is_break() {
                break;
            }
            self.drop_finished();
        }
        Ok(())
    }

    /// An offset as the end of a range may lie beyond the present end: without --exit its records are waited for.
    fn bound_by_offset(
        &mut self,
        to: Place,
        partitions: &[TopicPartition],
        exit: bool,
    ) -> Result<(), Failure> {
        let now = self.cluster.offsets(partitions, At::End, self.isolation)?;
        for (partition, end) in &mut self.ends {
            if let Place::Offset(offset) = to {
                *end = offset;
            }
            if exit {
                *end = (*end).min(now.get(partition).copied().unwrap_or(*end));
            }
        }
        Ok(())
    }

    /// Reads as a member of a group until told to stop.
    fn group(&mut self, args: &ConsumeArgs, group: &str) -> Result<(), Failure> {
        let stop = stop_signal();
        for name in &args.topics {
            self.cluster.topic(name, true)?;
        }
        let mut member = GroupMember::new(group, &args.topics);
        let result = self.group_rounds(args, group, &mut member, &stop);
        // Whatever happened, what was printed is committed and the others need not wait for us.
        let committed = self.commit(&mut member, args);
        let left = member.leave(&mut self.cluster);
        result?;
        committed?;
        Ok(left?)
    }

    fn group_rounds(
        &mut self,
        args: &ConsumeArgs,
        group: &str,
        member: &mut GroupMember,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            let assigned = self.patiently(|reading| member.join(&mut reading.cluster))?;
            self.consumer.clear();
            self.handed_out.clear();
            self.failing.clear();
            self.began = self.patiently(|reading| reading.group_starts(args, group, &assigned))?;
            for (partition, offset) in &self.began {
                self.consumer.assign(partition.clone(), *offset);
            }
            if args.exit {
                self.ends =
                    self.patiently(|reading| reading.cluster.offsets(&assigned, At::End, reading.isolation))?;
            }
            let mut last_commit = Instant::now();
            loop {
                if stop.load(Ordering::Relaxed) || (args.exit && self.all_finished()) {
                    return Ok(());
                }
                if self.consumer.is_empty() {
                    std::thread::sleep(MAX_WAIT);
                } else if self.poll(args)?.is_break() {
                    return Ok(());
                }
                if last_commit.elapsed() >= COMMIT_INTERVAL {
                    self.patiently(|reading| reading.commit(member, args))?;
                    last_commit = Instant::now();
                }
                if self.patiently(|reading| member.beat(&mut reading.cluster))? == Beat::Rebalance {
                    self.patiently(|reading| reading.commit(member, args))?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where a group goes on in each partition: at what it has committed, or else where the user wants it to begin.
    fn group_starts(
        &mut self,
        args: &ConsumeArgs,
        group: &str,
        assigned: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let committed = admin::group_offsets_of(&mut self.cluster, group, assigned)?;
        let fresh: Vec<_> = assigned.iter().filter(|p| !committed.contains_key(p)).cloned().collect();
        let mut starts = args.offset.from.resolve(&mut self.cluster, &fresh, self.isolation)?;
        starts.extend(committed.into_iter().map(|(partition, committed)| (partition, committed.offset)));
        Ok(starts)
    }

    /// Asks until there is an answer: a broker that restarts is waited for, and a request that was lost with it sent again,
    /// as often as that may happen within the timeout.
    fn patiently<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let mut failing_since = None;
        loop {
            match ask(self) {
                Err(error) if error.is_broken_off() => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.cluster.timeout() {
                        return Err(error.into());
                    }
                    self.wait_for_broker(&error)?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    fn commit(&mut self, member: &mut GroupMember, args: &ConsumeArgs) -> Result<(), ClientError> {
        match args.no_commit || self.handed_out.is_empty() {
            true => Ok(()),
            false => member.commit(&mut self.cluster, &self.handed_out),
        }
    }

    /// Writes out what has been printed. Only then it counts as read: a full disk or a reader that is gone may have taken
    /// none of it. Records beyond the end of the range were fetched, but not printed.
    fn hand_out(&mut self) -> io::Result<()> {
        self.out.flush()?;
        for (partition, began) in &self.began {
            let Some(position) = self.consumer.position(partition) else { continue };
            // The end may lie before the beginning: that of committed records, where the group has read others too.
            let end = self.ends.get(partition).copied().unwrap_or(i64::MAX).max(*began);
            let printed = position.min(end);
            match self.handed_out.get_mut(partition) {
                Some(handed_out) => *handed_out = printed,
                None => drop(self.handed_out.insert(partition.clone(), printed)),
            }
        }
        Ok(())
    }

    /// Fetches once and prints. Breaks when the wanted number has been printed.
    fn poll(&mut self, args: &ConsumeArgs) -> Result<ControlFlow<()>, Failure> {
        let Self { cluster, consumer, printer, out, ends, left, failed, progress, .. } = self;
        let mut printed = 0;
        let polled = consumer.poll(cluster, &mut |record| {
            let partition = TopicPartition::new(record.topic, record.partition);
            // Fetch answers whole batches, which may reach beyond the end of the range.
            if ends.get(&partition).is_some_and(|end| record.offset >= *end) {
                return ControlFlow::Continue(());
            }
            if let Err(error) = printer.write(out, &record) {
                *failed = Some(error);
                return ControlFlow::Break(());
            }
            printed += 1;
            match left.as_mut() {
                None => ControlFlow::Continue(()),
                Some(left) => {
                    *left -= 1;
                    if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
            }
        });
        progress.add(printed);
        let written = failed.take().map_or_else(|| self.hand_out(), Err);
        if let Err(error) = written {
            // What could not be read counts, whoever has gone.
            if let Ok(polled) = polled {
                self.judge(polled.failed, args)?;
            }
            return Err(error.into());
        }
        match polled {
            Ok(polled) => {
                for partition in polled.moved {
                    complain(format!(
                        "the offset asked for is no longer in partition {partition}; going on at its nearest"
                    ));
                }
                if let Some((_, error)) = polled.failed.iter().find(|(_, error)| error.is_broken_off()) {
                    self.wait_for_broker(error)?;
                }
                self.judge(polled.failed, args)?;
                if !self.failing.is_empty() && printed == 0 {
                    std::thread::sleep(RETRY_STEP);
                }
            }
            Err(error) if error.is_retriable() => {
                // A broker that restarts is waited for, as long as it answers again within the timeout.
                self.wait_for_broker(&error)?;
                let all = self.consumer.positions().map(|(partition, _)| partition.clone()).collect();
                self.judge(vec![(all, error)], args)?;
            }
            Err(error) => return Err(error.into()),
        }
        if args.notify_end {
            self.notify_ends();
        }
        Ok(if self.left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Partitions that cannot be read are tried again until the timeout, unless that is of no use. Then the command fails;
    /// one that reads to an end of its own reads the others to theirs first.
    fn judge(
        &mut self,
        failed: Vec<(Vec<TopicPartition>, ClientError)>,
        args: &ConsumeArgs,
    ) -> Result<(), Failure> {
        let failed_now: BTreeSet<_> = failed.iter().flat_map(|(partitions, _)| partitions).collect();
        self.failing.retain(|partition, _| failed_now.contains(partition));
        for (partition, _) in self.consumer.positions() {
            if !failed_now.contains(partition) && !self.found.contains(partition) {
                self.found.insert(partition.clone());
            }
        }
        for (partitions, error) in failed {
            let is_missing = error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let mut given_up = Vec::new();
            for partition in partitions {
                let before = self.failing.get(&partition).copied();
                let since = *self.failing.entry(partition.clone()).or_insert_with(Instant::now);
                // What was there has been deleted, once the metadata say so as well.
                let is_deleted = is_missing && before.is_some() && self.found.contains(&partition);
                if !error.is_retriable() || is_deleted || since.elapsed() >= self.cluster.timeout() {
                    given_up.push(partition);
                }
            }
            if given_up.is_empty() {
                continue;
            }
            // A group's partitions are better off with another member; and what has no end would hide the failure.
            if args.group.is_some() || self.ends.is_empty() {
                return Err(error.into());
            }
            complain(error);
            self.is_partial = true;
            for partition in &given_up {
                self.failing.remove(partition);
                self.consumer.unassign(partition);
            }
            if !self.consumer.is_empty() {
                let names: Vec<_> = given_up.iter().map(ToString::to_string).collect();
                complain(format!("going on without {}", names.join(", ")));
            }
        }
        Ok(())
    }

    fn wait_for_broker(&mut self, error: &ClientError) -> Result<(), Failure> {
        let since = self.failing.values().min().copied().unwrap_or_else(Instant::now);
        while since.elapsed() < self.cluster.timeout() {
            std::thread::sleep(RETRY_STEP);
            if self.cluster.describe(Some(&[]), false).is_ok() {
                return Ok(());
            }
        }
        Err(Failure::failed(error.to_string()))
    }

    fn all_finished(&self) -> bool {
        self.consumer.positions().all(|(p, offset)| self.ends.get(p).is_some_and(|end| offset >= *end))
    }

    fn drop_finished(&mut self) {
        let finished =
            self.consumer.positions().filter(|(p, at)| self.ends.get(p).is_some_and(|end| at >= end));
        let finished: Vec<_> = finished.map(|(partition, _)| partition.clone()).collect();
        for partition in finished {
            self.consumer.unassign(&partition);
        }
    }

    fn notify_ends(&mut self) {
        let positions: Vec<_> = self.consumer.positions().map(|(p, offset)| (p.clone(), offset)).collect();
        for (partition, offset) in positions {
            let at_end = self.consumer.high_watermark(&partition).is_some_and(|end| offset >= end);
            if at_end && self.notified.get(&partition) != Some(&offset) {
                complain(format!("reached the end of partition {partition} at offset {offset}"));
                self.notified.insert(partition, offset);
            }
        }
    }
}

/// Becomes true with the first SIGINT or SIGTERM, so that a member can commit and leave. The second one ends the process.
fn stop_signal() -> Arc<AtomicBool> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    });
    stop
}
