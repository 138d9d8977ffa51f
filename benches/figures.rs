//! Prints what a person notices first: `cargo bench --bench figures`.
//!
//! - the time from starting the process to its first acknowledged record, on an empty directory and in `sync`,
//! - the memory of the process when idle,
//! - the time one member takes to join a group, from FindCoordinator to its assignment.
//!
//! Each is measured several times with Quipu's own client; the fastest, the median and the slowest are printed beside
//! the goal. Nothing is asserted: a busy machine makes no test fail. Needs Linux's `/proc` for the memory.

use quipu::client::{Cluster, GroupMember, Options, Outgoing, Producer, ProducerOptions};
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;
/// How long the broker has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

type Measured<T> = Result<T, Box<dyn Error>>;

/// A broker of its own, killed when dropped.
struct Broker {
    process: Child,
    address: String,
    started: Instant,
}

impl Broker {
    fn start(directory: &Path) -> Measured<Self> {
        // Free a moment ago, and nobody here is in a hurry to take it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["serve", "--listen", &address, "--data-dir"])
            .arg(directory)
            .env("QUIPU_LOG", "error")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, address, started })
    }

    /// Connects as soon as the broker listens.
    fn connect(&self) -> Measured<Cluster> {
        while TcpStream::connect(&self.address).is_err() {
            if self.started.elapsed() > PATIENCE {
                return Err(format!("nobody listens at {} after {PATIENCE:?}", self.address).into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Cluster::connect(std::slice::from_ref(&self.address), Options::default())?)
    }

    /// Resident memory in bytes, all of it and the part that is not backed by files.
    fn memory(&self) -> Measured<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> Measured<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such field in /proc")?;
            Ok(kib.parse::<u64>()? * 1024)
        };
        Ok((field("VmRSS:")?, field("RssAnon:")?))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn publish_one(cluster: &mut Cluster, topic: &str) -> Measured<()> {
    let mut producer = Producer::new(cluster, topic, ProducerOptions::default())?;
    let record = Outgoing { value: Some(b"the first record".to_vec()), ..Outgoing::default() };
    producer.send(cluster, record)?;
    Ok(producer.flush(cluster)?)
}

fn join_one(cluster: &mut Cluster, group: &str, topic: &str) -> Measured<Duration> {
    let mut member = GroupMember::new(group, &[topic.to_owned()]);
    let began = Instant::now();
    let assigned = member.join(cluster)?;
    let took = began.elapsed();
    if assigned.is_empty() { Err("the only member was given no partition".into()) } else { Ok(took) }
}

fn line(what: &str, goal: &str, mut values: Vec<f64>, unit: &str) {
    values.sort_by(f64::total_cmp);
    let (first, middle, last) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("{what:<44} {first:>8.1} {middle:>8.1} {last:>8.1} {unit:<4} {goal:>9}");
}

fn main() -> Measured<()> {
    let (mut acknowledged, mut resident, mut anonymous, mut joined) = (vec![], vec![], vec![], vec![]);
    const MIB: f64 = (1 << 20) as f64;
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir()?;
        let broker = Broker::start(&directory.path().join("data"))?;
        let mut cluster = broker.connect()?;
        publish_one(&mut cluster, "first")?;
        acknowledged.push(broker.started.elapsed().as_secs_f64() * 1e3);
        joined.push(join_one(&mut cluster, &format!("group-{round}"), "first")?.as_secs_f64() * 1e3);
        std::thread::sleep(IDLE);
        let (all, own) = broker.memory()?;
        resident.push(all as f64 / MIB);
        anonymous.push(own as f64 / MIB);
    }
    println!("{:<44} {:>8} {:>8} {:>8} {:<4} {:>9}", "", "least", "median", "most", "", "goal");
    line("start to first acknowledged record", "<= 20 ms", acknowledged, "ms");
    line("group join of one member", "<= 20 ms", joined, "ms");
    line("idle memory, resident", "<= 10 MiB", resident, "MiB");
    line("idle memory, not backed by files", "", anonymous, "MiB");
    Ok(())
}
