//! Prints what durability costs: `cargo bench --bench durability`, or with `--profile fast` for a shorter build.
//!
//! - how long a killed broker takes to answer for a partition with a GiB that was never sealed,
//! - and for 1,000 partitions, after a kill and after a clean stop,
//! - what `sync` takes in on one partition, beside what the same disk can write and `fdatasync` by itself,
//! - and on 1,000 partitions at once, beside one.
//!
//! The floor of the machine is measured in the same run, on the same file system: figures without it mean nothing.
//! Nothing is asserted: a busy machine makes no test fail. Files go to the directory named by `QUIPU_BENCH_DIR`, else
//! below the build directory, which should be on a real disk; they take 5 GiB at most and are removed.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ListOffsetsRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use quipu::client::{Connection, Options};
use quipu_protocol::record::BatchBuilder;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};

type Measured<T> = Result<T, Box<dyn Error + Send + Sync>>;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const PARTITIONS: i32 = 1_000;
/// Kafka's default `batch.size`, and about its default `max.request.size`.
const BATCH_BYTES: usize = 16 * KIB;
const LARGE_BATCH_BYTES: usize = MIB - 4 * KIB;
/// Kafka's default `max.in.flight.requests.per.connection`.
const IN_FLIGHT: usize = 5;
/// How long a load runs before and while it is measured.
const WARM_UP: Duration = Duration::from_millis(1_000);
const MEASURED: Duration = Duration::from_millis(3_000);
const PATIENCE: Duration = Duration::from_secs(120);
const PRODUCE_VERSION: i16 = 9;

fn main() -> Measured<()> {
    let root = std::env::var_os("QUIPU_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let root = tempfile::tempdir_in(root)?;
    println!("{:<58} {:>12} {:>12} {:>8}  goal", "", "quipu", "floor", "ratio");
    let chosen: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    type Part = fn(&Path) -> Measured<()>;
    let parts: [(&str, Part); 4] =
        [("tail", tail), ("restart", restart), ("one", one_partition), ("many", many_partitions)];
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir)?;
            part(&dir)?;
            std::fs::remove_dir_all(&dir)?;
        }
    }
    Ok(())
}

/// One line: what was measured beside the machine's own figure.
fn line(what: &str, own: f64, floor: f64, unit: &str, goal: &str) {
    println!(
        "{what:<58} {:>12} {:>12} {:>7.2}x  {goal}",
        format!("{own:.1} {unit}"),
        format!("{floor:.1} {unit}"),
        own / floor
    );
}

/// A killed broker with a GiB that no recovery point covers.
fn tail(dir: &Path) -> Measured<()> {
    const TAIL_BYTES: u64 = 1 << 30;
    let data = dir.join("data");
    let broker = Broker::start(&data, &["log.segment.bytes=2147483647", "quipu.durability=os"])?;
    broker.create_topic("tail", 1)?;
    let frames = [produce_frame("tail", 0..1, BATCH_BYTES)?];
    broker.load(&frames, 8, Until::Bytes(TAIL_BYTES))?;
    broker.kill()?;
    let log = largest_file(&data)?;
    for (temperature, cold) in [("cached", false), ("not cached", true)] {
        // What a kill left unwritten is written first: how fast a disk takes a GiB is not recovery.
        let forget = || if cold { forget_pages(&log) } else { Ok(File::open(&log)?.sync_all()?) };
        forget()?;
        let began = Instant::now();
        let bytes = read_whole(&log)?;
        let floor = began.elapsed().as_secs_f64() * 1e3;
        forget()?;
        let began = Instant::now();
        let broker = Broker::start(&data, &["log.segment.bytes=2147483647"])?;
        broker.end_offsets("tail", 1)?;
        let own = began.elapsed().as_secs_f64() * 1e3;
        broker.kill()?;
        let gib = bytes as f64 / TAIL_BYTES as f64;
        let what = format!("recovery of an unsealed GiB, {temperature}, start included");
        line(&what, own / gib, floor / gib, "ms", "<= 1000 ms");
    }
    Ok(())
}

/// Start to answer for 1,000 partitions.
fn restart(dir: &Path) -> Measured<()> {
    let data = dir.join("data");
    let broker = Broker::start(&data, &[])?;
    broker.create_topic("many", PARTITIONS)?;
    let frames = [produce_frame("many", 0..PARTITIONS, BATCH_BYTES)?];
    broker.load(&frames, 1, Until::Bytes((4 * PARTITIONS as usize * BATCH_BYTES) as u64))?;
    broker.kill()?;
    let floor = read_tree(&data)?.as_secs_f64() * 1e3;
    for (how, goal) in [("kill", "<= 2000 ms"), ("clean stop", "<= 100 ms")] {
        let began = Instant::now();
        let broker = Broker::start(&data, &[])?;
        let listening = began.elapsed().as_secs_f64() * 1e3;
        broker.end_offsets("many", PARTITIONS)?;
        let own = began.elapsed().as_secs_f64() * 1e3;
        line(&format!("1,000 partitions after a {how}: first answer"), listening, floor, "ms", "");
        line(&format!("1,000 partitions after a {how}: all have answered"), own, floor, "ms", goal);
        broker.stop()?;
    }
    Ok(())
}

/// `sync` on one partition, beside a loop of write and sync. In turns, and the best of each: others who use the disk
/// meanwhile slow down one or the other.
fn one_partition(dir: &Path) -> Measured<()> {
    const TURNS: usize = 3;
    for (batch, name) in [(BATCH_BYTES, "16 KiB"), (LARGE_BATCH_BYTES, "1 MiB")] {
        let broker = Broker::start(&dir.join(format!("data-{batch}")), &[])?;
        broker.create_topic("one", 1)?;
        let frames = [produce_frame("one", 0..1, batch)?];
        let (mut floor, mut alone, mut own) = (0f64, 0f64, 0f64);
        for _ in 0..TURNS {
            floor = floor.max(sync_floor(dir, batch)?);
            alone = alone.max(broker.load_in_flight(&frames, 1, 1, Until::Time(MEASURED))?);
            own = own.max(broker.load(&frames, 1, Until::Time(MEASURED))?);
        }
        line(&format!("sync, one partition, {name} batches, 1 in flight"), alone, floor, "MB/s", "");
        let what = format!("sync, one partition, {name} batches, {IN_FLIGHT} in flight");
        line(&what, own, floor, "MB/s", ">= 1x");
        broker.kill()?;
    }
    Ok(())
}

/// `sync` on 1,000 partitions at once, beside the same number of producers on one.
fn many_partitions(dir: &Path) -> Measured<()> {
    const PRODUCERS: i32 = 16;
    println!("1,000 files, a 16 KiB write and a sync each: {}", parallel_floor(dir)?);
    let per_producer =
        |producer: i32| (producer * PARTITIONS / PRODUCERS)..((producer + 1) * PARTITIONS / PRODUCERS);
    let broker = Broker::start(&dir.join("data"), &[])?;
    broker.create_topic("one", 1)?;
    broker.create_topic("many", PARTITIONS)?;
    let all: Result<Vec<_>, _> =
        (0..PRODUCERS).map(|producer| produce_frame("many", per_producer(producer), BATCH_BYTES)).collect();
    let all = all?;
    let many = broker.load(&all, PRODUCERS as usize, Until::Time(MEASURED))?;
    let together = Broker::start(&dir.join("together"), &["quipu.sync.method=syncfs"])?;
    together.create_topic("many", PARTITIONS)?;
    let syncfs = together.load(&all, PRODUCERS as usize, Until::Time(MEASURED))?;
    line("sync, 1,000 partitions, syncfs beside fdatasync", syncfs, many, "MB/s", "");
    together.kill()?;
    for (batch, name) in [(BATCH_BYTES, "16 KiB"), (LARGE_BATCH_BYTES, "1 MiB")] {
        let frames = [produce_frame("one", 0..1, batch)?];
        let one = broker.load(&frames, PRODUCERS as usize, Until::Time(MEASURED))?;
        let what = format!("sync, 16 producers, 1,000 partitions beside one, {name}");
        // The same batches, that is the goal; with batches of the size of the whole request it is the disk's width.
        line(&what, many, one, "MB/s", if batch == BATCH_BYTES { ">= 0.33x" } else { "" });
    }
    broker.kill()?;
    Ok(())
}

/// A broker of its own, killed when dropped.
struct Broker {
    process: Child,
    address: String,
}

/// How long a load runs.
#[derive(Clone, Copy)]
enum Until {
    /// After a warm-up.
    Time(Duration),
    Bytes(u64),
}

impl Broker {
    /// Starts one and waits until it listens.
    fn start(data: &Path, overrides: &[&str]) -> Measured<Self> {
        // Free a moment ago, and nobody here is in a hurry to take it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quipu"));
        command.args(["serve", "--listen", &address, "--data-dir"]).arg(data);
        for setting in overrides {
            command.args(["--override", setting]);
        }
        let process = command.env("QUIPU_LOG", "error").stdout(Stdio::null()).spawn()?;
        let this = Self { process, address };
        let began = Instant::now();
        while Connection::open(&this.address, &Options::default()).is_err() {
            if began.elapsed() > PATIENCE {
                return Err(format!("nobody answers at {} after {PATIENCE:?}", this.address).into());
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(this)
    }

    fn connect(&self) -> Measured<Connection> {
        let options = Options { timeout: PATIENCE, ..Options::default() };
        Ok(Connection::open(&self.address, &options)?)
    }

    fn kill(mut self) -> Measured<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    fn stop(mut self) -> Measured<()> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the broker ended with {status}").into()) }
    }

    fn create_topic(&self, name: &str, partitions: i32) -> Measured<()> {
        use kafka_protocol::messages::CreateTopicsRequest;
        use kafka_protocol::messages::create_topics_request::CreatableTopic;
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(60_000);
        let response = self.connect()?.call(&request)?;
        match response.topics.first().map(|topic| topic.error_code) {
            Some(0) => Ok(()),
            other => Err(format!("creating {name} gave {other:?}").into()),
        }
    }

    /// Asks for the end of every partition, in one request, and checks that all know it.
    fn end_offsets(&self, topic: &str, partitions: i32) -> Measured<()> {
        let partitions = (0..partitions)
            .map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1));
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions.collect());
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        let response = self.connect()?.call(&request)?;
        let told = response.topics.iter().flat_map(|topic| &topic.partitions);
        match told.filter(|told| told.error_code != 0 || told.offset <= 0).count() {
            0 => Ok(()),
            bad => Err(format!("{bad} partitions do not know their end").into()),
        }
    }

    /// Sends the frames round and round on `connections` connections, and gives megabytes of batches per second.
    fn load(&self, frames: &[Load], connections: usize, until: Until) -> Measured<f64> {
        self.load_in_flight(frames, connections, IN_FLIGHT, until)
    }

    fn load_in_flight(
        &self,
        frames: &[Load],
        connections: usize,
        in_flight: usize,
        until: Until,
    ) -> Measured<f64> {
        let total = AtomicU64::new(0);
        let stop = AtomicUsize::new(0);
        thread::scope(|scope| {
            let running: Vec<_> = (0..connections)
                .map(|number| {
                    let (total, stop, load) = (&total, &stop, &frames[number % frames.len()]);
                    scope.spawn(move || produce(&self.address, load, in_flight, total, stop))
                })
                .collect();
            let failed = || running.iter().any(|thread| thread.is_finished());
            let measured = match until {
                Until::Time(time) => {
                    thread::sleep(WARM_UP);
                    let (before, began) = (total.load(Ordering::Relaxed), Instant::now());
                    thread::sleep(time);
                    (total.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64()
                }
                Until::Bytes(bytes) => {
                    let began = Instant::now();
                    while total.load(Ordering::Relaxed) < bytes && !failed() {
                        thread::sleep(Duration::from_millis(1));
                    }
                    bytes as f64 / began.elapsed().as_secs_f64()
                }
            };
            stop.store(1, Ordering::Relaxed);
            for thread in running {
                thread.join().map_err(|_| "a producer panicked")??;
            }
            Ok(measured / 1e6)
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A request that is sent again and again, and the bytes of batches in it.
struct Load {
    frame: Vec<u8>,
    batch_bytes: u64,
}

fn produce(
    address: &str,
    load: &Load,
    in_flight: usize,
    total: &AtomicU64,
    stop: &AtomicUsize,
) -> Measured<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    let mut waiting = 0;
    while waiting > 0 || stop.load(Ordering::Relaxed) == 0 {
        while waiting < in_flight && stop.load(Ordering::Relaxed) == 0 {
            stream.write_all(&load.frame)?;
            waiting += 1;
        }
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        answer.resize(u32::from_be_bytes(length) as usize, 0);
        stream.read_exact(&mut answer)?;
        waiting -= 1;
        check_answer(&answer)?;
        total.fetch_add(load.batch_bytes, Ordering::Relaxed);
    }
    Ok(())
}

fn check_answer(answer: &[u8]) -> Measured<()> {
    let mut bytes = Bytes::copy_from_slice(answer);
    ResponseHeader::decode(&mut bytes, ProduceResponse::header_version(PRODUCE_VERSION))?;
    let response = ProduceResponse::decode(&mut bytes, PRODUCE_VERSION)?;
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match partitions.find(|partition| partition.error_code != 0) {
        None => Ok(()),
        Some(bad) => Err(format!("partition {} answered {}", bad.index, bad.error_code).into()),
    }
}

/// A produce request, acks=all, with a batch of about `batch_bytes` of 1 KiB records for each partition.
fn produce_frame(topic: &str, partitions: std::ops::Range<i32>, batch_bytes: usize) -> Measured<Load> {
    let mut builder = BatchBuilder::new();
    while builder.is_empty() || builder.size_bytes() + KIB <= batch_bytes {
        builder.push(1_700_000_000_000, Some(b"key"), Some(&[b'v'; KIB - 16]), &[]);
    }
    let batch = Bytes::from(builder.finish());
    let batch_bytes = (batch.len() * partitions.len()) as u64;
    let partitions = partitions
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone())));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(partitions.collect());
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(60_000).with_topic_data(vec![topic]);
    let header = RequestHeader::default().with_request_api_version(PRODUCE_VERSION);
    let mut frame = BytesMut::from(&[0; 4][..]);
    header.encode(&mut frame, ProduceRequest::header_version(PRODUCE_VERSION))?;
    request.encode(&mut frame, PRODUCE_VERSION)?;
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(Load { frame: frame.to_vec(), batch_bytes })
}

fn reserved_file(path: &Path, bytes: u64) -> Measured<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Megabytes per second of a loop that writes `batch` bytes into reserved space and syncs them.
fn sync_floor(dir: &Path, batch: usize) -> Measured<f64> {
    const ROOM_BYTES: u64 = 1 << 30;
    let path = dir.join("floor");
    let file = reserved_file(&path, ROOM_BYTES)?;
    let bytes = vec![b'v'; batch];
    let (mut position, began) = (0, Instant::now());
    while began.elapsed() < MEASURED && position + batch as u64 <= ROOM_BYTES {
        file.write_all_at(&bytes, position)?;
        file.sync_data()?;
        position += batch as u64;
    }
    let rate = position as f64 / began.elapsed().as_secs_f64() / 1e6;
    drop(file);
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// How long 1,000 files take, one after the other and side by side.
fn parallel_floor(dir: &Path) -> Measured<String> {
    const ROUNDS: u64 = 4;
    let dir = dir.join("floor");
    std::fs::create_dir(&dir)?;
    let room = ROUNDS * 3 * BATCH_BYTES as u64;
    let files: Result<Vec<_>, _> =
        (0..PARTITIONS).map(|number| reserved_file(&dir.join(number.to_string()), room)).collect();
    let files = files?;
    let bytes = vec![b'v'; BATCH_BYTES];
    let mut told = Vec::new();
    for (number, threads) in [1, 8, 32].into_iter().enumerate() {
        let began = Instant::now();
        for round in 0..ROUNDS {
            let position = (number as u64 * ROUNDS + round) * BATCH_BYTES as u64;
            for file in &files {
                file.write_all_at(&bytes, position)?;
            }
            let next = AtomicUsize::new(0);
            let sync_rest = || -> std::io::Result<()> {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    file.sync_data()?;
                }
                Ok(())
            };
            thread::scope(|scope| {
                let running: Vec<_> = (0..threads).map(|_| scope.spawn(sync_rest)).collect();
                running.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
            })?;
        }
        let bytes = (ROUNDS * PARTITIONS as u64) as f64 * BATCH_BYTES as f64;
        told.push(format!("{threads} threads {:.0} MB/s", bytes / began.elapsed().as_secs_f64() / 1e6));
    }
    let began = Instant::now();
    for file in &files {
        file.write_all_at(&bytes, 0)?;
    }
    rustix::fs::syncfs(&files[0])?;
    told.push(format!(
        "syncfs {:.0} MB/s",
        (PARTITIONS as usize * BATCH_BYTES) as f64 / began.elapsed().as_secs_f64() / 1e6
    ));
    drop(files);
    std::fs::remove_dir_all(dir)?;
    Ok(told.join(", "))
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) -> Measured<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), found)?
        } else {
            found.push(entry.path())
        }
    }
    Ok(())
}

fn largest_file(dir: &Path) -> Measured<PathBuf> {
    let mut files = Vec::new();
    files_below(dir, &mut files)?;
    let size = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    files.into_iter().max_by_key(size).ok_or_else(|| "no file was written".into())
}

fn read_whole(path: &Path) -> Measured<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; MIB];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}

fn read_tree(dir: &Path) -> Measured<Duration> {
    let mut files = Vec::new();
    let began = Instant::now();
    files_below(dir, &mut files)?;
    for file in &files {
        read_whole(file)?;
    }
    Ok(began.elapsed())
}

/// Has the next reader of a file wait for the disk.
fn forget_pages(path: &Path) -> Measured<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}
