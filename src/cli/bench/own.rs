//! What the measurement makes for itself, and takes away again: a topic, and a broker if none is named.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use quipu_storage::disk::DirectoryDisk;

use super::super::connect::Connect;
use super::super::failure::{Failure, complain};
use crate::client::Cluster;
use crate::client::admin::{NewTopic, create_topics, delete_topics};
use crate::clock::Clock;
use crate::config::Sources;
use crate::server::Server;

/// A name that nobody else uses.
fn fresh_name() -> String {
    format!("quipu-bench-{:016x}", Clock::real().random_u64())
}

/// A topic that lives as long as the measurement.
pub(super) struct OwnTopic {
    pub(super) name: String,
    /// Where to delete it; a broker that goes with it is not asked to.
    delete_at: Option<Connect>,
}

impl OwnTopic {
    /// Makes it. A name that is taken, however unlikely, is an error: what exists is not touched.
    pub(super) fn create(
        cluster: &mut Cluster,
        delete_at: Option<Connect>,
        partitions: i32,
    ) -> Result<Self, Failure> {
        let name = fresh_name();
        let topic = NewTopic { name: name.clone(), partitions, replication: -1, configs: Vec::new() };
        for (_, outcome) in create_topics(cluster, &[topic], false)? {
            outcome?;
        }
        let own = Self { name, delete_at };
        // From here on it is deleted whatever happens.
        cluster.topic(&own.name, false)?;
        Ok(own)
    }
}

impl Drop for OwnTopic {
    /// Over a connection of its own, since the others may be in the middle of something.
    fn drop(&mut self) {
        let Some(connect) = &self.delete_at else { return };
        let deleted = connect.open().and_then(|mut cluster| {
            for (_, outcome) in delete_topics(&mut cluster, std::slice::from_ref(&self.name))? {
                outcome?;
            }
            Ok(())
        });
        if deleted.is_err() {
            let name = &self.name;
            complain(format!("could not delete the topic it used: `quipu topic delete {name}` does it"));
        }
    }
}

/// A broker in this process, over a directory of its own.
pub(super) struct OwnBroker {
    pub(super) address: String,
    dir: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OwnBroker {
    /// Starts it below `parent`, with these properties besides the defaults of `quipu serve`.
    pub(super) fn start(parent: &Path, overrides: &[String]) -> Result<Self, Failure> {
        let dir = parent.join(fresh_name());
        let sources = Sources {
            overrides: overrides.to_vec(),
            flags: vec![
                ("bench", "listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
                ("bench", "log.dirs".to_owned(), dir.display().to_string()),
            ],
            ..Sources::default()
        };
        let (config, warnings) =
            crate::config::Config::load(sources).map_err(|error| Failure::usage(error.to_string()))?;
        for warning in warnings {
            complain(warning);
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let own_dir = dir.clone();
        let run = move || {
            match Server::start(config, Arc::new(DirectoryDisk::new()), &own_dir, Clock::real()) {
                Err(error) => drop(ready.send(Err(error.to_string()))),
                Ok(server) => {
                    let _ = ready.send(Ok(server.addresses.first().map(ToString::to_string)));
                    // Why it ended badly shows in what the measurement ran into.
                    let _ = server.without_signals().run(async move { drop(stopped.await) });
                }
            }
        };
        let failed = |error: io::Error| Failure::failed(format!("cannot start a broker: {error}"));
        let thread = std::thread::Builder::new().name("quipu-broker".into()).spawn(run).map_err(failed)?;
        let mut own = Self { address: String::new(), dir, stop: Some(stop), thread: Some(thread) };
        match is_ready.recv() {
            Ok(Ok(Some(address))) => own.address = address,
            Ok(Err(error)) => return Err(Failure::failed(format!("cannot start a broker: {error}"))),
            _ => return Err(Failure::failed("cannot start a broker")),
        }
        Ok(own)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                complain(format!("{} is left behind: {error}", self.dir.display()));
            }
            _ => {}
        }
    }
}
