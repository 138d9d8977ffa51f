//! One measurement after the other.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsRequest, DescribeLogDirsRequest};

use super::super::connect::Connect;
use super::super::failure::Failure;
use super::super::progress::Progress;
use super::BenchArgs;
use super::disk::{self, Disk};
use super::interrupt::Interrupt;
use super::load::{IN_FLIGHT, Load, Plan, Sent};
use super::own::{OwnBroker, OwnTopic};
use crate::client::admin::{Resource, describe_configs};
use crate::client::{Acks, At, Cluster, Consumer, Isolation, Options, Record, TopicPartition};
use crate::metrics::{Histogram, Times, thread_cpu};

/// How long a fetch waits for records.
const FETCH_WAIT: Duration = Duration::from_millis(200);
/// Turns in which acknowledgements and syncs are measured.
const TURNS: u32 = 10;
/// Records per second when it is latency that counts.
const CALM_RATE: u64 = 1_000;
/// How long records may take to come after the last was sent.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Findings {
    /// The broker's address, and whether it was started for this.
    pub(super) broker: String,
    pub(super) is_own: bool,
    /// `quipu.durability` of the topic, where the broker has that.
    pub(super) durability: Option<String>,
    pub(super) acks: Acks,
    pub(super) record_bytes: usize,
    pub(super) batch_bytes: usize,
    pub(super) rate: Option<u64>,
    pub(super) partitions: i32,
    /// Absent if the broker's disk cannot be reached from here.
    pub(super) disk: Option<Disk>,
    /// Of ApiVersions, which no disk and no lock delays.
    pub(super) round_trip: Times,
    /// One record at a time; absent if nobody acknowledges.
    pub(super) one_by_one: Option<Times>,
    pub(super) produce: Sent,
    pub(super) consume: Consumed,
    /// From when a record was due until a consumer had it, and at how many records per second.
    pub(super) end_to_end: (Times, u64),
}

/// What was read back.
#[derive(Clone, Debug)]
pub(super) struct Consumed {
    pub(super) records: u64,
    /// Bytes of their values.
    pub(super) value_bytes: u64,
    pub(super) elapsed: Duration,
    /// Processor time of the thread that read.
    pub(super) cpu: Duration,
}

/// Measures everything; what was made for it is gone when this returns.
pub(super) fn run(args: &BenchArgs, interrupt: &Interrupt) -> Result<Findings, Failure> {
    if let Some(dir) = &args.data_dir
        && !dir.is_dir()
    {
        return Err(Failure::failed(format!("{}: there is no such directory", dir.display())));
    }
    let own = match args.bootstrap.is_empty() {
        true => Some(OwnBroker::start(args.data_dir.as_deref().unwrap_or(Path::new(".")), &args.overrides)?),
        false => None,
    };
    let bootstrap = own.as_ref().map_or_else(|| args.bootstrap.clone(), |own| vec![own.address.clone()]);
    let connect = args.connect(bootstrap);
    let mut cluster = connect.open()?;
    let address = cluster.any()?.address().to_owned();
    let progress = Progress::steps(6);

    progress.note("disk".into());
    let dir = match (&args.data_dir, &own) {
        (Some(dir), _) => Some(dir.clone()),
        (None, Some(_)) => Some(PathBuf::from(".")),
        (None, None) => log_dir(&mut cluster, &address),
    };
    let times = [args.share(8), args.share(8), args.share(7)];
    let disk = match dir {
        Some(dir) => match disk::measure(&dir, times, interrupt) {
            // A broker's directory may be another user's.
            Err(_) if args.data_dir.is_none() && own.is_none() && !interrupt.is_asked() => None,
            measured => Some(measured?),
        },
        None => None,
    };
    let (mut disk, mut scratch) = disk.unzip();
    progress.add(1);

    progress.note("round trip".into());
    let round_trip = round_trip(&mut cluster, args.share(5), interrupt)?;
    progress.add(1);

    let delete_at = own.is_none().then(|| connect.clone());
    let topic = OwnTopic::create(&mut cluster, delete_at, args.partitions)?;
    let resource = Resource::Topic(topic.name.clone());
    let wanted = ["quipu.durability".to_owned()];
    let settings = describe_configs(&mut cluster, &resource, Some(&wanted), false).unwrap_or_default();
    let durability = settings.into_iter().find(|s| s.name == wanted[0]).and_then(|s| s.value);
    let options =
        Options { client_id: connect.client_id.clone(), timeout: Duration::from_secs(connect.timeout) };
    let mut load = Load::new(&mut cluster, &topic.name, &options)?;
    let plan = Plan {
        acks: args.acks(),
        codec: args.compression.into(),
        record_bytes: args.record_size as usize,
        batch_bytes: args.batch_size as usize,
        in_flight: IN_FLIGHT,
        rate: args.throughput,
        records: args.records,
        time: if args.records.is_some() { Duration::MAX } else { args.share(25) },
        stamp: None,
    };

    progress.note("acknowledgements".into());
    // The first of each partition makes its files; it is waited for, whatever the others do.
    let first = Plan {
        acks: Acks::Leader,
        rate: None,
        records: Some(args.partitions as u64),
        batch_bytes: 1,
        time: Duration::MAX,
        ..plan
    };
    load.run(&first, interrupt, None)?;
    let one_by_one = match plan.acks {
        Acks::None => None,
        _ => {
            // In turns, since a disk has better and worse moments.
            let (acks, syncs) = (Histogram::default(), Histogram::default());
            let time = args.share(15) / (2 * TURNS);
            let alone = Plan { batch_bytes: 1, in_flight: 1, rate: None, records: None, time, ..plan };
            for _ in 0..TURNS {
                let sent = load.run_with(&alone, &acks, interrupt, None)?;
                if let Some(scratch) = &mut scratch {
                    let bytes = sent.batch_bytes / sent.requests.max(1);
                    scratch.synced(bytes as usize, time, &syncs, interrupt)?;
                }
            }
            if let Some(disk) = &mut disk {
                disk.record = syncs.times();
            }
            Some(acks.times())
        }
    };
    drop(scratch);
    progress.add(1);

    progress.note("produce".into());
    let starts = ends(&mut cluster, &topic.name, args.partitions)?;
    let produce = load.run(&plan, interrupt, Some(&progress))?;
    progress.add(1);

    progress.note("consume".into());
    let time = if args.records.is_some() { Duration::MAX } else { args.share(15) };
    let consume = consume(&mut cluster, &starts, produce.records, time, interrupt)?;
    progress.add(1);

    progress.note("end to end".into());
    let rate = args.throughput.unwrap_or(CALM_RATE).min(CALM_RATE);
    let calm = Plan { rate: Some(rate), records: None, time: args.share(15), ..plan };
    let end_to_end = end_to_end(&connect, load, &topic.name, args.partitions, calm, interrupt)?;
    progress.done();
    Ok(Findings {
        broker: address,
        is_own: own.is_some(),
        durability,
        acks: plan.acks,
        record_bytes: plan.record_bytes,
        batch_bytes: plan.batch_bytes,
        rate: plan.rate,
        partitions: args.partitions,
        disk,
        round_trip,
        one_by_one,
        produce,
        consume,
        end_to_end: (end_to_end, rate),
    })
}

/// The broker's directory, if the broker is on this machine: it says where, and the disk there has the size it says.
fn log_dir(cluster: &mut Cluster, address: &str) -> Option<PathBuf> {
    if !address.to_socket_addrs().ok()?.any(|address| address.ip().is_loopback()) {
        return None;
    }
    let response = cluster.call(&DescribeLogDirsRequest::default().with_topics(None)).ok()?;
    let told = response.results.iter().find(|told| told.error_code == 0)?;
    let dir = PathBuf::from(told.log_dir.as_str());
    let volume = rustix::fs::statvfs(&dir).ok()?;
    let bytes = volume.f_blocks.saturating_mul(volume.f_frsize);
    (told.total_bytes < 0 || told.total_bytes as u64 == bytes).then_some(dir)
}

fn round_trip(cluster: &mut Cluster, time: Duration, interrupt: &Interrupt) -> Result<Times, Failure> {
    let connection = cluster.any()?;
    let version = connection.version::<ApiVersionsRequest>(i16::MAX)?;
    let request = ApiVersionsRequest::default()
        .with_client_software_name("quipu-bench".to_owned().into())
        .with_client_software_version(env!("CARGO_PKG_VERSION").to_owned().into());
    let request = if version >= 3 { request } else { ApiVersionsRequest::default() };
    let histogram = Histogram::default();
    let began = Instant::now();
    while began.elapsed() < time {
        interrupt.check()?;
        let before = Instant::now();
        connection.call_at(&request, version, Duration::ZERO)?;
        histogram.record(before.elapsed());
    }
    Ok(histogram.times())
}

fn partitions_of(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new(topic, partition)).collect()
}

fn ends(cluster: &mut Cluster, topic: &str, count: i32) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    Ok(cluster.offsets(&partitions_of(topic, count), At::End, Isolation::ReadUncommitted)?)
}

/// Reads `records` from these offsets on, or as many as there is time for.
fn consume(
    cluster: &mut Cluster,
    from: &BTreeMap<TopicPartition, i64>,
    records: u64,
    time: Duration,
    interrupt: &Interrupt,
) -> Result<Consumed, Failure> {
    let mut consumer = Consumer::new(Isolation::ReadUncommitted, FETCH_WAIT);
    for (partition, offset) in from {
        consumer.assign(partition.clone(), *offset);
    }
    let (began, cpu) = (Instant::now(), thread_cpu());
    let mut read = Consumed { records: 0, value_bytes: 0, elapsed: Duration::ZERO, cpu: Duration::ZERO };
    let mut last = began;
    while read.records < records && began.elapsed() < time {
        interrupt.check()?;
        let before = read.records;
        let polled = consumer.poll(cluster, &mut |record| {
            read.records += 1;
            read.value_bytes += record.value.map_or(0, |value| value.len() as u64);
            ControlFlow::Continue(())
        });
        polled?.whole()?;
        match read.records > before {
            true => last = Instant::now(),
            // Without acknowledgements, records may be on their way, or lost.
            false if last.elapsed() > STRAGGLERS => break,
            false => {}
        }
    }
    read.elapsed = began.elapsed();
    read.cpu = thread_cpu().saturating_sub(cpu);
    Ok(read)
}

/// One thread sends at a calm pace, this one reads.
fn end_to_end(
    connect: &Connect,
    mut load: Load,
    topic: &str,
    partitions: i32,
    plan: Plan,
    interrupt: &Interrupt,
) -> Result<Times, Failure> {
    let mut cluster = connect.open()?;
    let from = ends(&mut cluster, topic, partitions)?;
    let mut consumer = Consumer::new(Isolation::ReadUncommitted, FETCH_WAIT);
    for (partition, offset) in from {
        consumer.assign(partition, offset);
    }
    let epoch = Instant::now();
    let plan = Plan { stamp: Some(epoch), ..plan };
    let histogram = Histogram::default();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| load.run(&plan, interrupt, None));
        let read = Cell::new(0_u64);
        let mut take = |record: Record<'_>| {
            let stamp = record.value.and_then(|value| value.first_chunk()).map(|ns| u64::from_be_bytes(*ns));
            let due = Duration::from_nanos(stamp.unwrap_or_default());
            histogram.record(epoch.elapsed().saturating_sub(due));
            read.set(read.get() + 1);
            ControlFlow::Continue(())
        };
        while !sender.is_finished() {
            interrupt.check()?;
            consumer.poll(&mut cluster, &mut take)?.whole()?;
        }
        let sent = sender.join().map_err(|_| Failure::failed("the sending thread ended"))??;
        let ended = Instant::now();
        while read.get() < sent.records && ended.elapsed() < STRAGGLERS {
            interrupt.check()?;
            consumer.poll(&mut cluster, &mut take)?.whole()?;
        }
        Ok(histogram.times())
    })
}
