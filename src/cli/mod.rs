//! The command line: one module per subcommand, one place for how results and failures look.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod acl;
mod bench;
mod calendar;
mod cluster;
mod config;
mod connect;
mod consume;
pub mod dev;
mod dump;
mod encoding;
mod failure;
mod group;
mod output;
mod place;
mod produce;
mod progress;
mod quota;
pub mod serve;
mod template;
mod topic;
mod txn;
mod user;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors, Sources};

/// A self-contained broker that speaks the Kafka protocol.
///
/// Without a command it starts the broker on 127.0.0.1:9092 with its data in ./quipu-data.
#[derive(Debug, Parser)]
#[command(
    name = "quipu",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  quipu                                     start a durable broker on 127.0.0.1:9092
  quipu dev --port 0 --print-json           a broker in memory, on any free port
  echo hello | quipu produce greetings      send a line
  quipu consume greetings -e                read everything, then stop
  quipu topic create orders -p 12           make a topic

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
struct Cli<C: Subcommand> {
    #[command(subcommand)]
    command: Option<C>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Broker {
    /// Start the durable broker (what `quipu` alone does).
    Serve(serve::ServeArgs),
    /// Start a broker in memory, for tests: gone when it ends.
    Dev(dev::DevArgs),
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Broker(Broker),
    /// Create, list, describe, change and delete topics.
    #[command(visible_alias = "topics")]
    Topic(topic::TopicArgs),
    /// Send records from stdin or a file.
    Produce(produce::ProduceArgs),
    /// Read records.
    Consume(consume::ConsumeArgs),
    /// Look at consumer groups, move and delete their offsets.
    #[command(visible_alias = "groups")]
    Group(group::GroupArgs),
    /// Read and change the configuration of topics, brokers and groups.
    Config(config::ConfigArgs),
    /// Look at transactions, and end those that hang.
    #[command(visible_alias = "transactions")]
    Txn(txn::TxnArgs),
    /// Say how much users, clients and addresses may use.
    #[command(visible_alias = "quotas")]
    Quota(quota::QuotaArgs),
    /// Say who may log in.
    #[command(visible_alias = "users")]
    User(user::UserArgs),
    /// Say who may do what.
    #[command(visible_alias = "acls")]
    Acl(acl::AclArgs),
    /// Show the cluster: brokers, features, versions.
    Cluster(cluster::ClusterArgs),
    /// Measure disk, network, broker and client, and say which is the limit.
    Bench(bench::BenchArgs),
    /// Look inside segment files, without a broker.
    Dump(dump::DumpArgs),
    /// Check a data directory without starting a broker; give up what is lost.
    Verify(verify::VerifyArgs),
}

impl Broker {
    fn run(self) -> ExitCode {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Dev(args) => dev::run(args),
        }
    }
}

/// Reads the broker's configuration and logs what is odd about it.
fn load_config(sources: Sources) -> Result<Config, ConfigErrors> {
    let (config, warnings) = Config::load(sources)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // What describes the other commands takes longer to make, and more memory, than the broker does to start.
    if std::env::args_os().nth(1).is_none_or(|word| word == "serve" || word == "dev") {
        let cli = Cli::<Broker>::parse();
        return cli.command.unwrap_or(Broker::Serve(cli.serve)).run();
    }
    let cli = Cli::<Command>::parse();
    let done = match cli.command {
        None => return serve::run(cli.serve),
        Some(Command::Broker(broker)) => return broker.run(),
        Some(Command::Topic(args)) => topic::run(args),
        Some(Command::Produce(args)) => produce::run(args),
        Some(Command::Consume(args)) => consume::run(args),
        Some(Command::Group(args)) => group::run(args),
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Txn(args)) => txn::run(args),
        Some(Command::Quota(args)) => quota::run(args),
        Some(Command::User(args)) => user::run(args),
        Some(Command::Acl(args)) => acl::run(args),
        Some(Command::Cluster(args)) => cluster::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Dump(args)) => dump::run(args),
        Some(Command::Verify(args)) => verify::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::<Command>::command().debug_assert();
        Cli::<Broker>::command().debug_assert();
    }

    #[test]
    fn the_short_way_to_a_broker_is_the_long_way() {
        let line = |name: &'static str| ["quipu", name, "--override", "num.network.threads=3"];
        for name in ["serve", "dev"] {
            let (short, long) =
                (Cli::<Broker>::parse_from(line(name)), Cli::<Command>::parse_from(line(name)));
            let Some(Command::Broker(long)) = long.command else { panic!("{name} starts no broker") };
            assert_eq!(format!("{:?}", short.command), format!("{:?}", Some(long)));
            let help = |command: clap::Command| {
                let mut command = command.find_subcommand(name).expect("a command").clone();
                command.render_long_help().to_string()
            };
            assert_eq!(help(Cli::<Broker>::command()), help(Cli::<Command>::command()));
        }
    }

    #[test]
    fn every_command_says_what_it_does() {
        for command in Cli::<Command>::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
