//! Starts the built binary and ends it again.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

/// The binary under test.
pub const QUIPU: &str = env!("CARGO_BIN_EXE_quipu");

/// A broker in a process of its own, killed when dropped.
pub struct Broker {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Broker {
    /// `quipu dev` on a free port, with more arguments.
    pub fn dev(arguments: &[&str]) -> Self {
        Self::start_dev(Command::new(QUIPU), arguments)
    }

    fn start_dev(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["dev", "--port", "0", "--print-json"]).args(arguments);
        Self::start(command, |line| {
            let ready: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            ready["bootstrap"].as_str().expect("a bootstrap address").parse().expect("an address")
        })
    }

    /// `quipu serve` on a free port over `data_dir`, with more arguments.
    pub fn serve(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::serve_at("127.0.0.1:0", data_dir, arguments)
    }

    /// The same at an address of the test's choice, as after a restart.
    pub fn serve_at(address: &str, data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(QUIPU);
        command.args(["serve", "--listen", address, "--data-dir"]).arg(data_dir).args(arguments);
        Self::start(command, |line| {
            let (_, rest) = line.split_once("listening on ").expect("a ready line");
            rest.split([',', ' ']).next().expect("an address").parse().expect("an address")
        })
    }

    fn start(mut command: Command, address: impl FnOnce(&str) -> SocketAddr) -> Self {
        let mut child = command
            .env_remove("QUIPU_BOOTSTRAP")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a ready line");
        if line.is_empty() {
            let status = child.wait().expect("a status");
            panic!("the broker ended before it was ready: {status}");
        }
        let address = address(line.trim_end());
        Self { child, _stdout: stdout, address }
    }

    /// `host:port`, for clients.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, then the exit code.
    pub fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait().expect("a status").code()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Another `quipu` command against this broker, with nothing on its standard input.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(QUIPU);
        command.args(arguments).env("QUIPU_BOOTSTRAP", self.bootstrap()).stdin(Stdio::null());
        command
    }

    /// Runs such a command and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, b"")
    }

    /// The same, with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        use std::io::Write;
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        // Its own thread: the command may print before it has read everything.
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("output");
        let _ = writer.join();
        output
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker whose log the test reads.
pub struct Logged {
    broker: Broker,
    log: Lines<BufReader<ChildStderr>>,
}

impl Logged {
    /// `quipu dev` as [`Broker::dev`], with this for `QUIPU_LOG`.
    pub fn dev(arguments: &[&str], level: &str) -> Self {
        let mut command = Command::new(QUIPU);
        command.env("QUIPU_LOG", level).env_remove("RUST_LOG").stderr(Stdio::piped());
        let mut broker = Broker::start_dev(command, arguments);
        let log = BufReader::new(broker.child.stderr.take().expect("piped")).lines();
        Self { broker, log }
    }

    /// The broker, for clients of it.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Where it listens, `host:port`.
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    /// Runs another command against it, with this on its standard input; whether it succeeded.
    pub fn quipu(&self, arguments: &[&str], input: &str) -> bool {
        self.broker.run_with_input(arguments, input.as_bytes()).status.success()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.broker.pid(), name);
    }

    /// The next lines of the log, up to one with `word` in it.
    pub fn until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in &mut self.log {
            lines.push(line.expect("a line"));
            if lines.last().is_some_and(|line| line.contains(word)) {
                return lines;
            }
        }
        panic!("the log ended without {word:?}: {lines:?}");
    }

    /// What is left of the log once the broker ends.
    pub fn rest(&mut self) -> Vec<String> {
        self.log.by_ref().map(|line| line.expect("a line")).collect()
    }

    /// Waits for its end; the exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.broker.child.wait().expect("a status").code()
    }
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub fn quipu(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(QUIPU)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (mut out, mut err) = (String::new(), String::new());
    let mut stderr = child.stderr.take().expect("piped");
    let errors = std::thread::spawn(move || {
        let _ = stderr.read_to_string(&mut err);
        err
    });
    let _ = child.stdout.take().expect("piped").read_to_string(&mut out);
    let status = child.wait().expect("a status");
    (status.code(), out, errors.join().unwrap_or_default())
}

/// The standard output of a command whose reader has gone.
pub fn no_reader() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs the binary to its end with nobody to read its output: exit code, standard error.
pub fn unread(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(QUIPU);
    command.args(arguments).stdin(Stdio::null()).stdout(no_reader()).stderr(Stdio::piped());
    let output = command.output().expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Sends a signal by name to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|s| s.success()), "kill -{name} {pid}");
}
