//! `quipu bench`: is it my disk, my network, my client?
//!
//! Measures each by itself, then all of them together through a topic of its own, and says which is the limit.

mod disk;
mod interrupt;
mod load;
mod own;
mod phases;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::connect::{Connect, Format};
use super::failure::Failure;
use super::output::{say, show_json};
use super::produce::{AcksArg, Compression};
use crate::client::Acks;
use interrupt::Interrupt;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu bench                                      this machine: its disk, and a broker started for the purpose
  quipu bench --override quipu.durability=os       the same without syncs
  quipu bench -b 127.0.0.1:9092                    a broker that runs, through a topic that is deleted afterwards
  quipu bench -b 127.0.0.1:9092 --records 1000000 --record-size 1000 --throughput 50000 --compression lz4
  quipu bench --data-dir /mnt/disk --json          another disk, for programs

Latencies are from the moment a record was due. \"One by one\" sends the next record once the last is acknowledged; the
others keep five requests in flight. Existing topics are not touched, and nothing stays behind.")]
pub(super) struct BenchArgs {
    /// Broker to measure, HOST:PORT; more than one with commas [default: one that is started for this].
    #[arg(
        short = 'b',
        long,
        visible_aliases = ["bootstrap-server", "brokers"],
        value_name = "HOST:PORT",
        env = "QUIPU_BOOTSTRAP",
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    bootstrap: Vec<String>,
    /// Seconds to wait for a connection or an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Connection")]
    timeout: u64,
    /// Directory on the disk to measure [default: the broker's, if it is on this machine; else the current one].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Property of the broker that is started; may be given more than once.
    #[arg(long = "override", value_name = "KEY=VALUE", conflicts_with = "bootstrap")]
    overrides: Vec<String>,
    /// Seconds for everything together, about.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Records to send and read back, however long it takes [default: what a quarter of the time holds].
    #[arg(long, visible_alias = "num-records", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Bytes of a record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    record_size: u32,
    /// Records per second to send [default: as many as can be].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    throughput: Option<u64>,
    /// Whose confirmation to wait for.
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Bytes of records to send to a partition at once, before compression.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_size: u32,
    /// Compression.
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// Partitions of the topic.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,
    /// How to show the result.
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
}

impl BenchArgs {
    fn acks(&self) -> Acks {
        self.acks.into()
    }

    /// So many hundredths of the time for everything.
    fn share(&self, hundredths: u32) -> Duration {
        Duration::from_secs(self.seconds) * hundredths / 100
    }

    fn connect(&self, bootstrap: Vec<String>) -> Connect {
        Connect { bootstrap, timeout: self.timeout, client_id: "quipu-bench".into() }
    }
}

pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch()?;
    let found = match phases::run(&args, &interrupt) {
        // What an interrupted phase ran into is of no interest.
        Err(_) if interrupt.is_asked() => Err(Failure::failed("interrupted; nothing was left behind")),
        found => found,
    }?;
    let verdict = verdict::of(&found);
    if args.json || args.format == Format::Json {
        return Ok(show_json(&found.to_json(&verdict))?);
    }
    say(&format!("{}\n", found.heading()))?;
    found.rows().show(Format::Table)?;
    say("")?;
    for sentence in verdict.sentences {
        say(&sentence)?;
    }
    Ok(())
}
