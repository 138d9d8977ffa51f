//! The options that every command with a broker at its other end shares.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::client::{Cluster, Options};

use super::failure::Failure;

/// Where the broker is.
#[derive(Clone, Debug, Args)]
pub(super) struct Connect {
    /// Broker to ask first, HOST:PORT; more than one with commas.
    #[arg(
        short = 'b',
        long,
        visible_alias = "brokers",
        value_name = "HOST:PORT",
        env = "QUIPU_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    pub(super) bootstrap: Vec<String>,
    /// Seconds to wait for a connection or an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Connection")]
    pub(super) timeout: u64,
    /// Name that the broker sees in its logs and groups.
    #[arg(long, value_name = "NAME", default_value = "quipu", help_heading = "Connection")]
    pub(super) client_id: String,
}

impl Connect {
    /// Connects.
    pub(super) fn open(&self) -> Result<Cluster, Failure> {
        let bootstrap: Vec<String> = self
            .bootstrap
            .iter()
            .map(|address| address.trim())
            .filter(|address| !address.is_empty())
            .map(with_port)
            .collect();
        let options =
            Options { client_id: self.client_id.clone(), timeout: Duration::from_secs(self.timeout) };
        Ok(Cluster::connect(&bootstrap, options)?)
    }
}

/// A host alone means Kafka's port.
fn with_port(address: &str) -> String {
    let host_ends = address.rfind(']').unwrap_or(0);
    match address[host_ends..].contains(':') {
        true => address.to_owned(),
        false => format!("{address}:9092"),
    }
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Connection and form of the result.
#[derive(Clone, Debug, Args)]
pub(super) struct Admin {
    #[command(flatten)]
    pub(super) connect: Connect,
    /// How to show the result.
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    pub(super) format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_means_kafkas_port() {
        assert_eq!(with_port("localhost"), "localhost:9092");
        assert_eq!(with_port("localhost:1"), "localhost:1");
        assert_eq!(with_port("[::1]"), "[::1]:9092");
        assert_eq!(with_port("[::1]:1"), "[::1]:1");
    }
}
