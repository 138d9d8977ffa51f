//! Starts the real broker and ends it again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// The program under test, and where its log goes.
#[derive(Clone)]
pub struct Program {
    pub path: PathBuf,
    pub log: PathBuf,
}

/// A broker in a process of its own, killed when dropped.
pub struct Broker {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// `quipu serve` over a directory of the file system at `root`.
    pub fn serve(&self, root: &Path) -> Result<Broker, String> {
        let log = File::create(&self.log).map_err(|error| error.to_string())?;
        let mut child = Command::new(&self.path)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(root.join("data"))
            // The compacted topic is to be rewritten all the time.
            .args(["--override", "log.cleaner.backoff.ms=20"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let address = line
            .split_once("listening on ")
            .and_then(|(_, rest)| rest.split([',', ' ', '\n']).next()?.parse().ok());
        let Some(address) = address else {
            let status = child.wait().map_err(|error| error.to_string())?;
            return Err(format!("the broker does not start: {status}"));
        };
        Ok(Broker { child, _stdout: stdout, address })
    }

    /// The end of what the broker said.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Broker {
    /// Sends it a signal, such as `-TERM`.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let told = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        if told.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(format!("the broker is gone before it was told {name}"))
    }

    /// SIGTERM, and how it ends.
    pub fn end(mut self) -> Result<ExitStatus, String> {
        self.signal("-TERM")?;
        self.child.wait().map_err(|error| error.to_string())
    }

    /// SIGTERM, and waits for a good end.
    pub fn stop(self) -> Result<(), String> {
        let status = self.end()?;
        if status.success() { Ok(()) } else { Err(format!("a stopped broker ends with {status}")) }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
