//! Prints what a person notices first: `cargo bench --bench figures`.
//!
//! - the time from starting the process to its first acknowledged record, on an empty directory and in `sync`,
//! - the memory of the process right after that, and when it has been idle for a while,
//! - the time one member takes to join a group, from FindCoordinator to its assignment,
//! - the time in which 100 and 1,000 members come through a rebalance: from the moment in which they all hear of it until
//!   the last one has its new assignment. The clients share the machine with the broker,
//! - the time from a start after a kill, with 1,000 groups and 100,000 committed offsets, until one of them is read.
//!
//! `cargo bench --bench figures -- groups` prints the last three only. Each is measured several times with Quipu's own client; the fastest, the median and the slowest are printed beside
//! the goal. Nothing is asserted: a busy machine makes no test fail. Needs Linux's `/proc` for the memory.

use quipu::client::admin::{NewTopic, create_topics, group_offsets, set_group_offsets};
use quipu::client::{Cluster, GroupMember, Options, Outgoing, Producer, ProducerOptions, TopicPartition};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;
/// How long the broker has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_millis(500);
/// As long, and so long that it lets go of what only requests need.
const LONG_IDLE: Duration = Duration::from_secs(11);
/// How often that is waited for.
const LONG_ROUNDS: usize = 3;
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
        Self::start_with(directory, &[])
    }

    fn start_with(directory: &Path, settings: &[&str]) -> Measured<Self> {
        // Free a moment ago, and nobody here is in a hurry to take it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["serve", "--listen", &address, "--data-dir"])
            .arg(directory)
            .args(settings.iter().flat_map(|setting| ["--override", *setting]))
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

/// The threads' stacks hold a request each.
const STACK_BYTES: usize = 512 * 1024;
/// How long a newcomer's join may take to reach the broker.
const ARRIVES: Duration = Duration::from_millis(300);

/// A stable group that one more member joins: the time from when the others are told until all have an assignment.
fn rebalance(members: usize) -> Measured<Duration> {
    let directory = tempfile::tempdir()?;
    // All members come within the first round, so that getting there is not a thousand rebalances.
    let delay = format!("group.initial.rebalance.delay.ms={}", 500 + 4 * members);
    let broker = Broker::start_with(&directory.path().join("data"), &[&delay])?;
    let topic = NewTopic {
        name: "many".into(),
        partitions: members as i32 + 1,
        replication: -1,
        configs: Vec::new(),
    };
    create_topics(&mut broker.connect()?, &[topic], false)?;
    let (stable, told) = (Barrier::new(members + 1), Barrier::new(members + 1));
    let member = || -> Result<(), String> {
        let mut cluster = broker.connect().map_err(|error| error.to_string());
        let mut member = GroupMember::new("group", &["many".to_owned()]);
        let mut join = || -> Result<(), String> {
            let cluster = cluster.as_mut().map_err(|error| error.clone())?;
            member.join(cluster).map(drop).map_err(|error| error.to_string())
        };
        let first = join();
        // Whatever went wrong, the others must not wait for this one.
        stable.wait();
        told.wait();
        first.and_then(|()| join())
    };
    let newcomer = || -> Result<(), String> {
        let mut cluster = broker.connect().map_err(|error| error.to_string())?;
        let mut member = GroupMember::new("group", &["many".to_owned()]);
        member.join(&mut cluster).map(drop).map_err(|error| error.to_string())
    };
    std::thread::scope(|scope| {
        let spawn =
            |work: &'static str| std::thread::Builder::new().name(work.into()).stack_size(STACK_BYTES);
        let mut all = Vec::with_capacity(members + 1);
        for _ in 0..members {
            all.push(spawn("member").spawn_scoped(scope, member)?);
        }
        stable.wait();
        all.push(spawn("newcomer").spawn_scoped(scope, newcomer)?);
        std::thread::sleep(ARRIVES);
        let began = Instant::now();
        told.wait();
        for thread in all {
            thread.join().map_err(|_| "a member panicked")??;
        }
        Ok(began.elapsed())
    })
}

/// Kills a broker with this many groups, each with this many offsets; the time until the next one tells of them.
fn restart_with_groups(groups: usize, offsets: i32) -> Measured<Duration> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let broker = Broker::start_with(&data, &["quipu.durability=os"])?;
    let mut cluster = broker.connect()?;
    let topic = NewTopic { name: "read".into(), partitions: offsets, replication: -1, configs: Vec::new() };
    create_topics(&mut cluster, &[topic], false)?;
    let committed: BTreeMap<TopicPartition, i64> = (0..offsets)
        .map(|partition| (TopicPartition { topic: "read".into(), partition }, i64::from(partition)))
        .collect();
    for group in 0..groups {
        set_group_offsets(&mut cluster, &format!("group-{group}"), &committed)?;
    }
    drop((cluster, broker));
    let broker = Broker::start(&data)?;
    let found = group_offsets(&mut broker.connect()?, &format!("group-{}", groups - 1))?;
    let took = broker.started.elapsed();
    if found.len() == committed.len() { Ok(took) } else { Err("offsets are missing".into()) }
}

fn print_groups() -> Measured<()> {
    const TIMES: usize = 3;
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    for (members, goal) in [(100, "<= 1,000 ms"), (1_000, "<= 3,000 ms")] {
        let took = (0..TIMES).map(|_| rebalance(members).map(millis)).collect::<Measured<_>>()?;
        line(&format!("rebalance of {members} members"), goal, took, "ms");
    }
    let took = (0..TIMES).map(|_| restart_with_groups(1_000, 100).map(millis)).collect::<Measured<_>>()?;
    line("restart, 1,000 groups, 100,000 offsets", "<= 500 ms", took, "ms");
    Ok(())
}

fn line(what: &str, goal: &str, mut values: Vec<f64>, unit: &str) {
    values.sort_by(f64::total_cmp);
    let (first, middle, last) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("{what:<44} {first:>8.1} {middle:>8.1} {last:>8.1} {unit:<4} {goal:>9}");
}

fn main() -> Measured<()> {
    if std::env::args().any(|word| word == "groups") {
        return print_groups();
    }
    let (mut acknowledged, mut resident, mut anonymous, mut joined) = (vec![], vec![], vec![], vec![]);
    let mut rested = vec![];
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
        if round < LONG_ROUNDS {
            std::thread::sleep(LONG_IDLE);
            rested.push(broker.memory()?.0 as f64 / MIB);
        }
    }
    println!("{:<44} {:>8} {:>8} {:>8} {:<4} {:>9}", "", "least", "median", "most", "", "goal");
    line("start to first acknowledged record", "<= 10 ms", acknowledged, "ms");
    line("group join of one member", "<= 5 ms", joined, "ms");
    line("memory at once, resident", "<= 10 MiB", resident, "MiB");
    line("idle memory, resident, after 11 s", "<= 6 MiB", rested, "MiB");
    line("idle memory, not backed by files", "", anonymous, "MiB");
    print_groups()
}
