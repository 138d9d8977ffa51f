//! `quipu serve`: the durable broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use quipu_storage::disk::DirectoryDisk;

use crate::clock::Clock;
use crate::config::Sources;
use crate::error::StartError;
use crate::server::Server;

/// Arguments of `quipu serve`, and of `quipu` alone.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct ServeArgs {
    /// Directory that holds the log; made if it does not exist [default: ./quipu-data, or log.dirs]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on; may be given more than once [default: 127.0.0.1:9092, or listeners]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// A Kafka server.properties file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one property, over file and environment; may be given more than once
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Runs the broker until it is told to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    crate::logging::to_stderr();
    match start(&args) {
        Ok(server) => match server.run(std::future::pending()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                eprintln!("quipu: {reason}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("quipu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &ServeArgs) -> Result<Server, StartError> {
    let mut flags = Vec::new();
    if let Some(dir) = &args.data_dir {
        flags.push(("--data-dir", "log.dirs".to_owned(), dir.display().to_string()));
    }
    if !args.listen.is_empty() {
        flags.push(("--listen", "listeners".to_owned(), listeners(&args.listen)));
    }
    let config = super::load_config(Sources {
        files: args.config.iter().cloned().collect(),
        environment: std::env::vars().collect(),
        overrides: args.overrides.clone(),
        flags,
    })?;
    let settings = config.settings();
    let data_dir = settings.data_dir.clone();
    let server = Server::start(config, Arc::new(DirectoryDisk::new()), &data_dir, Clock::real())?;
    let addresses: Vec<String> = server.addresses.iter().map(SocketAddr::to_string).collect();
    println!(
        "Quipu {} ready: listening on {}, data in {}, durability {}",
        env!("CARGO_PKG_VERSION"),
        addresses.join(", "),
        data_dir.display(),
        settings.topic_defaults.durability
    );
    Ok(server)
}

/// `HOST:PORT` arguments as Kafka's `listeners`; what already names a protocol is left as it is. Several need names.
fn listeners(arguments: &[String]) -> String {
    let named = |(at, argument): (usize, &String)| match (argument.contains("://"), at) {
        (true, _) => argument.clone(),
        (false, 0) => format!("PLAINTEXT://{argument}"),
        (false, at) => format!("PLAINTEXT{}://{argument}", at + 1),
    };
    arguments.iter().enumerate().map(named).collect::<Vec<_>>().join(",")
}
