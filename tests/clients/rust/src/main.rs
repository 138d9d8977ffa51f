//! One scenario per run: `rust-client BOOTSTRAP PREFIX SCENARIO [ARGUMENT…]`.
//!
//! Everything a scenario creates is named after PREFIX. Exit code 0 means that every check held; otherwise
//! the last line on standard error names the first that did not. Client settings stay at their defaults,
//! but for what a scenario is about.

mod admin;
mod member;
mod publish;
mod resume;
mod stocks;

use rdkafka::ClientConfig;
use std::process::ExitCode;
use std::time::Duration;

/// The longest any single answer may take before the scenario calls it missing.
const PATIENCE: Duration = Duration::from_secs(30);

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What a scenario needs to know about where it runs.
struct Bench {
    bootstrap: String,
    prefix: String,
}

impl Bench {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }
}

/// Ends the scenario with a message unless `holds`.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Fails unless both sides are equal, naming what was compared.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Checked {
    check(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, prefix, scenario, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: rust-client BOOTSTRAP PREFIX SCENARIO [ARGUMENT...]");
        return ExitCode::from(2);
    };
    let bench = Bench { bootstrap: bootstrap.clone(), prefix: prefix.clone() };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let outcome = match (scenario.as_str(), rest.as_slice()) {
        ("stocks", [csv]) => stocks::run(&bench, csv).await,
        ("resume", []) => resume::run(&bench).await,
        ("admin", []) => admin::run(&bench).await,
        ("create", [topic, partitions]) => admin::create(&bench, topic, partitions).await,
        ("publish", [topic, file]) => publish::run(&bench, topic, file, "none"),
        ("publish", [topic, file, codec]) => publish::run(&bench, topic, file, codec),
        ("member", [topic, group]) => member::run(&bench, topic, group).await,
        _ => Err(format!("no scenario {scenario} with arguments {rest:?}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{scenario}: {error}");
            ExitCode::FAILURE
        }
    }
}
