//! `quipu dev`: a broker for a test or a desk, everything in memory.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quipu_storage::disk::MemoryDisk;

use crate::clock::Clock;
use crate::config::Sources;
use crate::error::StartError;
use crate::server::Server;

/// Where a broker in memory believes its data to be.
const DATA_DIR: &str = "/quipu";

/// Arguments of `quipu dev`.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct DevArgs {
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 9092)]
    pub port: u16,
    /// Print one line of JSON with the address and the process id once the broker is usable
    #[arg(long)]
    pub print_json: bool,
    /// Set one property; may be given more than once
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Runs the broker until it is told to stop, or whoever started it is gone.
pub fn run(args: DevArgs) -> ExitCode {
    crate::logging::to_stderr();
    let server = match start(&args) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("quipu: {error}");
            return ExitCode::FAILURE;
        }
    };
    let address = server.addresses[0];
    if args.print_json {
        println!("{}", serde_json::json!({ "bootstrap": address.to_string(), "pid": std::process::id() }));
    } else {
        println!("Quipu {} ready: listening on {address}, everything in memory", env!("CARGO_PKG_VERSION"));
    }
    match server.run(parent_gone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("quipu: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &DevArgs) -> Result<Server, StartError> {
    // A fixture takes what production code asks for: three replicas become the one there is.
    let mut overrides = vec!["quipu.replication.factor=clamp".to_owned()];
    overrides.extend(args.overrides.iter().cloned());
    let config = super::load_config(Sources {
        overrides,
        flags: vec![
            ("--port", "listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{}", args.port)),
            ("dev", "log.dirs".to_owned(), DATA_DIR.to_owned()),
        ],
        ..Sources::default()
    })?;
    Server::start(config, Arc::new(MemoryDisk::new()), Path::new(DATA_DIR), Clock::real())
}

/// Resolves when the process that started this one has ended: a killed test run leaves no broker behind. A broker
/// that was started by init, or whose parent cannot be watched, stays.
async fn parent_gone() {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{PidfdFlags, getppid, pidfd_open};
    let parent = getppid()
        .filter(|parent| parent.as_raw_nonzero().get() != 1)
        .and_then(|parent| pidfd_open(parent, PidfdFlags::empty()).ok());
    let Some(parent) = parent else { return std::future::pending().await };
    let (gone, told) = tokio::sync::oneshot::channel();
    // A process descriptor becomes readable when the process ends. A thread that waits for it costs a stack.
    let watch = std::thread::Builder::new().name("quipu-parent".into()).spawn(move || {
        while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&parent, PollFlags::IN)], None) {}
        let _ = gone.send(());
    });
    match watch {
        Ok(_) => drop(told.await),
        Err(_) => std::future::pending().await,
    }
}
