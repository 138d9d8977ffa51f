//! Starts the two brokers with equal settings.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What both brokers are told: no waiting where a test would only wait, limits within reach, nothing that expires.
pub const SETTINGS: [&str; 20] = [
    "offsets.topic.num.partitions=5",
    "transaction.state.log.num.partitions=5",
    "offsets.topic.replication.factor=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "group.initial.rebalance.delay.ms=0",
    "log.retention.ms=-1",
    "group.max.size=3",
    "group.min.session.timeout.ms=100",
    "group.consumer.min.session.timeout.ms=100",
    "group.consumer.min.heartbeat.interval.ms=50",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    "message.max.bytes=100000",
    "group.consumer.max.size=3",
    // Kafka 4.3 would let a second pass between two assignments of a group.
    "group.consumer.assignment.interval.ms=0",
    "group.consumer.assignor.offload.enable=false",
    // Records of 1970 and markers of today stay in one segment.
    "log.roll.ms=9000000000000000",
    "node.id=0",
    // Without it Kafka keeps no permissions at all.
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // What a scenario says nothing of is open to it.
    "allow.everyone.if.no.acl.found=true",
];

const START_TIMEOUT: Duration = Duration::from_secs(90);

/// A broker in a process of its own, killed when dropped.
pub struct Broker {
    child: Child,
    /// Where it listens.
    pub address: String,
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Starts `quipu serve` over a new directory in `folder`, told `with`, too.
///
/// # Errors
/// It ends before it listens.
pub fn quipu(binary: &Path, folder: &Path, with: Option<&str>) -> Result<Broker, String> {
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("quipu"));
    for setting in SETTINGS.into_iter().chain(with) {
        command.args(["--override", setting]);
    }
    let log = File::create(folder.join("quipu.log")).map_err(|error| error.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    stdout.read_line(&mut line).map_err(|error| error.to_string())?;
    let address = line.split_once("listening on ").and_then(|(_, rest)| rest.split([',', ' ', '\n']).next());
    match address {
        Some(address) => Ok(Broker { child, address: address.to_owned(), _stdout: Some(stdout) }),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!(
                "Quipu did not start: {line}{}",
                fs::read_to_string(folder.join("quipu.log")).unwrap_or_default()
            ))
        }
    }
}

/// A free port below the range from which connections take theirs.
fn free_port(from: u16) -> Result<u16, String> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (from..32_000).find(free).ok_or_else(|| "no free port".to_owned())
}

/// Starts a real Apache Kafka over a new directory in `folder`, told `with`, too.
///
/// # Errors
/// It ends, or does not come up in time.
pub fn kafka(folder: &Path, with: Option<&str>) -> Result<Broker, String> {
    // Spread, so that two runs at a time do not choose the same.
    let port = free_port(20_000 + (std::process::id() % 5_000) as u16 * 2)?;
    let controller = free_port(port + 1)?;
    let log_path = folder.join("kafka.log");
    let log = File::create(&log_path).map_err(|error| error.to_string())?;
    let mut child = Command::new(root().join("tests/suites/kafka/start"))
        .arg(folder.join("kafka"))
        .arg(format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"))
        .arg(format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"))
        .arg(format!("controller.quorum.voters=0@127.0.0.1:{controller}"))
        .args(SETTINGS.into_iter().chain(with))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("tests/suites/kafka/start: {error}"))?;
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(&log_path).unwrap_or_default();
        if text.contains("Kafka Server started") {
            return Ok(Broker { child, address: format!("127.0.0.1:{port}"), _stdout: None });
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || began.elapsed() > START_TIMEOUT {
            let _ = child.kill();
            let _ = child.wait();
            let end: Vec<&str> = text.lines().rev().take(15).collect();
            let end: Vec<&str> = end.into_iter().rev().collect();
            return Err(format!("Kafka did not start ({ended:?}):\n{}", end.join("\n")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
