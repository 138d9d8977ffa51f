//! What the kernel asks for the same work, with nothing of a broker in between.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use quipu_protocol::record::{BatchView, crc32c};
use quipu_storage::disk::DirectoryDisk;
use quipu_storage::{CheckedBatch, LogConfig, Origin, open};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::time::{ClockId, clock_gettime};

/// Batches that are sent before an answer is waited for: a producer with several requests in flight.
pub(super) const IN_FLIGHT: usize = 5;

pub(super) fn benches(c: &mut Criterion) {
    sockets(c);
    disk(c);
    new_pages(c);
    produce(c);
    fetch(c);
}

/// Both ends of a connection over loopback.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (far, _) = listener.accept().expect("accepted");
    near.set_nodelay(true).expect("set");
    far.set_nodelay(true).expect("set");
    (near, far)
}

fn sockets(c: &mut Criterion) {
    let (mut near, mut far) = connection();
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while far.read_exact(&mut buffer).is_ok() {
            if far.write_all(&buffer[..64]).is_err() {
                break;
            }
        }
    });
    let (request, mut answer) = ([7; 256], [0; 64]);
    c.bench_function("floor/socket/round trip to a sleeping thread", |b| {
        b.iter(|| {
            near.write_all(&request).expect("sent");
            near.read_exact(&mut answer).expect("answered");
        })
    });
    drop(near);
    echo.join().expect("ended");
}

fn reserved(dir: &tempfile::TempDir, name: &str, bytes: u64) -> File {
    let path = dir.path().join(name);
    let file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).expect("a file");
    fallocate(&file, FallocateFlags::empty(), 0, bytes).expect("reserved");
    file
}

fn disk(c: &mut Criterion) {
    const SPACE: u64 = 256 << 20;
    let dir = tempfile::tempdir().expect("a directory");
    let mut group = c.benchmark_group("floor/disk");
    for bytes in [200, 16 << 10, 1 << 20] {
        let data = vec![7; bytes];
        let mut file = reserved(&dir, "write", SPACE);
        let mut at = 0;
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("pwrite {bytes} B into reserved space"), |b| {
            b.iter(|| {
                if at + bytes as u64 > SPACE {
                    file = reserved(&dir, "write", SPACE);
                    at = 0;
                }
                file.write_all_at(&data, at).expect("written");
                at += bytes as u64;
            })
        });
    }
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for (name, rewritten) in [("reserved", false), ("written before", true)] {
        let data = vec![7; 4 << 10];
        let file = reserved(&dir, name, SPACE);
        if rewritten {
            for at in (0..SPACE).step_by(1 << 20) {
                file.write_all_at(&vec![0; 1 << 20], at).expect("written");
            }
            file.sync_all().expect("synced");
        }
        let mut at = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("4 KiB and fdatasync, blocks {name}"), |b| {
            b.iter(|| {
                file.write_all_at(&data, at).expect("written");
                file.sync_data().expect("synced");
                at = (at + data.len() as u64) % SPACE;
            })
        });
    }
    group.finish();
}

/// Processor time of writing into new pages of the page cache, by the size of each write. Where the host of a virtual
/// machine takes free pages away, whoever writes first pays for their return, several times the write itself: the
/// fastest turns say what a write costs, the others what the host does.
fn new_pages(c: &mut Criterion) {
    const SPACE: u64 = 64 << 20;
    let dir = tempfile::tempdir().expect("a directory");
    let mut group = c.benchmark_group("floor/cpu/new pages");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).throughput(Throughput::Bytes(SPACE));
    let batch = 16_484;
    for (bytes, again) in
        [(16 << 10, false), (batch, false), (4 * batch, false), (16 * batch, false), (batch, true)]
    {
        let data = vec![7; bytes];
        let write = |file: &File| {
            let began = thread_cpu();
            for number in 0..SPACE / bytes as u64 {
                file.write_all_at(&data, number * bytes as u64).expect("written");
            }
            thread_cpu().saturating_sub(began)
        };
        let form = if again { " again, over pages that are there" } else { "" };
        group.bench_function(format!("64 MiB in writes of {bytes} B{form}"), |b| {
            b.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let file = reserved(&dir, "pages", SPACE);
                    if again {
                        write(&file);
                    }
                    took += write(&file);
                }
                took
            })
        });
    }
    group.finish();
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Runs `serve` on a thread for so many requests; gives the processor time that it took there.
struct Server {
    rounds: mpsc::Sender<u64>,
    took: mpsc::Receiver<Duration>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(mut serve: impl FnMut(u64) + Send + 'static) -> Self {
        let (rounds, wanted) = mpsc::channel::<u64>();
        let (tell, took) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for count in wanted {
                let began = thread_cpu();
                serve(count);
                if tell.send(thread_cpu().saturating_sub(began)).is_err() {
                    break;
                }
            }
        });
        Self { rounds, took, thread }
    }

    fn stop(self) {
        drop(self.rounds);
        self.thread.join().expect("ended");
    }
}

/// Receives 16 KiB batches, checks each, writes it into reserved space and answers: a producer's broker with no
/// protocol, no offsets and no index. The unit is a million records.
fn produce(c: &mut Criterion) {
    const SPACE: u64 = 512 << 20;
    let batch = super::batch(super::RECORDS);
    let (mut near, mut far) = connection();
    let bytes = batch.len();
    let dir = tempfile::tempdir().expect("a directory");
    let (mut file, mut at) = (reserved(&dir, "log", SPACE), 0);
    let mut buffer = vec![0; bytes];
    let server = Server::start(move |count| {
        for _ in 0..count {
            far.read_exact(&mut buffer).expect("received");
            let view = BatchView::parse(&buffer).expect("a batch");
            assert_eq!(view.header().crc, crc32c(&buffer[21..]), "the sum of a batch");
            if at + bytes as u64 > SPACE {
                file = reserved(&dir, "log", SPACE);
                at = 0;
            }
            file.write_all_at(&buffer, at).expect("written");
            at += bytes as u64;
            far.write_all(&[0; 60]).expect("answered");
        }
    });
    cpu_per_million(c, "floor/cpu/produce: receive, check, write, answer", |batches| {
        server.rounds.send(batches).expect("a server");
        let mut answer = [0; 60];
        let mut waiting = 0;
        for sent in 0..batches + IN_FLIGHT as u64 {
            if sent < batches {
                near.write_all(&batch).expect("sent");
                waiting += 1;
            }
            if sent >= IN_FLIGHT as u64 && waiting > 0 {
                near.read_exact(&mut answer).expect("answered");
                waiting -= 1;
            }
        }
        server.took.recv().expect("done")
    });
    server.stop();
}

/// Sends 16 KiB slices of a mapped log, a few of them in each answer, as a consumer that keeps up gets them.
fn fetch(c: &mut Criterion) {
    const SLICES: usize = 4;
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(Arc::new(DirectoryDisk::new()), &dir.path().join("log"), LogConfig::default(), 0);
    let (mut appender, reader) = log.expect("a log");
    let batch = super::batch(super::RECORDS);
    for _ in 0..1_000 {
        let checked = CheckedBatch::check(&batch).expect("good");
        appender.append(&checked, Origin::Producer, 0).expect("appended");
    }
    let end = reader.end_offset();
    let bytes = batch.len() * SLICES;
    let (mut near, mut far) = connection();
    let mut request = [0; 90];
    let mut from = 0;
    let server = Server::start(move |count| {
        for _ in 0..count / SLICES as u64 {
            far.read_exact(&mut request).expect("asked");
            let found = reader.read(from, bytes, end, true).expect("read");
            from = if found.next_offset + (SLICES * super::RECORDS) as i64 > end {
                0
            } else {
                found.next_offset
            };
            let mut slices: Vec<IoSlice<'_>> = found.slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut left: &mut [IoSlice<'_>] = &mut slices;
            while !left.is_empty() {
                let written = far.write_vectored(left).expect("sent");
                IoSlice::advance_slices(&mut left, written);
            }
        }
    });
    let mut answer = vec![0; bytes];
    cpu_per_million(c, "floor/cpu/fetch: find, send from the map", |batches| {
        server.rounds.send(batches).expect("a server");
        for _ in 0..batches / SLICES as u64 {
            near.write_all(&[0; 90]).expect("asked");
            near.read_exact(&mut answer).expect("answered");
        }
        server.took.recv().expect("done")
    });
    server.stop();
}

/// Measures processor time for a million records, from that of fewer batches: `serve` takes how many and gives the time.
pub(super) fn cpu_per_million(c: &mut Criterion, name: &str, mut serve: impl FnMut(u64) -> Duration) {
    /// 147,000 records; a multiple of what an answer holds.
    const BATCHES: u64 = 1_000;
    let mut group = c.benchmark_group(name);
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4))
        .throughput(Throughput::Elements(1_000_000));
    group.bench_function("per million records", |b| {
        b.iter_custom(|rounds| {
            let began = Instant::now();
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                took += serve(BATCHES).mul_f64(1e6 / (BATCHES as f64 * super::RECORDS as f64));
            }
            // A clock of processor time can stand still for a short while; criterion divides by it.
            took.max(began.elapsed() / 1_000_000)
        })
    });
    group.finish();
}
