//! `quipu txn`: transactions, who writes in them, and how to end those that hang.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::admin::transactions::{self, ActiveProducer, TransactionFilter};
use crate::client::{Cluster, TopicPartition};

use super::calendar::{now_ms, parse_duration, rfc3339};
use super::connect::Admin;
use super::failure::Failure;
use super::group::named_partitions;
use super::output::{Rows, number, text};
use super::topic::all_partitions;

#[derive(Debug, Args)]
pub(super) struct TxnArgs {
    #[command(subcommand)]
    command: TxnCommand,
}

#[derive(Debug, Subcommand)]
enum TxnCommand {
    /// List transactional ids.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show transactional ids with their newest transaction.
    Describe(Describe),
    /// Show the producers that partitions remember, and which of them have a transaction open.
    Producers(Producers),
    /// Show transactions that no coordinator will end: consumers of committed records wait for them for ever.
    Hanging(Hanging),
    /// Abort a transaction: that of an id, or one that hangs on a partition.
    #[command(after_help = "Examples:
  quipu txn abort --id payments-1
  quipu txn abort --partition orders:3 --start-offset 4711

By id, its producer is shut out as by a second producer of that id. On a partition, `quipu txn hanging` and
`quipu txn producers` name the offset at which the transaction started.")]
    Abort(Abort),
}

#[derive(Debug, Args)]
struct List {
    /// Only those in this state, such as Ongoing or CompleteCommit; more than one with commas.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only those of this producer id.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    producer_id: Vec<i64>,
    /// Only transactions that have been open for longer than this, such as 5m.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    longer_than: Option<i64>,
    /// Only ids that this regular expression matches as a whole.
    #[arg(long, value_name = "REGEX")]
    matching: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Describe {
    /// Transactional ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Producers {
    /// Topics, or TOPIC:PARTITION.
    #[arg(required = true, value_name = "TOPIC[:N]")]
    topics: Vec<String>,
    /// Only producers with an open transaction.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Hanging {
    /// Only in these topics, or TOPIC:PARTITION [default: all topics].
    #[arg(value_name = "TOPIC[:N]")]
    topics: Vec<String>,
    /// Leave out producers that wrote less than this ago: the longest that a transaction may take.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    idle_for: i64,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Abort {
    /// Abort what this transactional id has open, and shut out its producer.
    #[arg(long, value_name = "ID", conflicts_with_all = ["partition", "start_offset"], required_unless_present = "partition")]
    id: Option<String>,
    /// Abort a transaction on this partition alone.
    #[arg(long, value_name = "TOPIC:N", requires = "start_offset")]
    partition: Option<String>,
    /// First offset of the transaction on the partition.
    #[arg(long, value_name = "OFFSET")]
    start_offset: Option<i64>,
    #[command(flatten)]
    admin: Admin,
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).ok_or_else(|| "write a duration as 90s, 15m, 2h or 1d".into())
}

pub(super) fn run(args: TxnArgs) -> Result<(), Failure> {
    match args.command {
        TxnCommand::List(args) => list(args),
        TxnCommand::Describe(args) => describe(&args),
        TxnCommand::Producers(args) => producers(&args),
        TxnCommand::Hanging(args) => hanging(&args),
        TxnCommand::Abort(args) => abort(&args),
    }
}

fn list(args: List) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let filter = TransactionFilter {
        states: args.state,
        producer_ids: args.producer_id,
        longer_than_ms: args.longer_than,
        pattern: args.matching,
    };
    let mut rows =
        Rows::new([text("transactional_id"), number("coordinator"), number("producer_id"), text("state")]);
    for found in transactions::list_transactions(&mut cluster, &filter)? {
        rows.push([json!(found.id), json!(found.coordinator), json!(found.producer_id), json!(found.state)]);
    }
    Ok(rows.show(args.admin.format)?)
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([
        text("transactional_id"),
        text("state"),
        number("coordinator"),
        number("producer_id"),
        number("producer_epoch"),
        number("timeout_ms"),
        text("started"),
        text("partitions"),
    ]);
    for id in &args.ids {
        let found = transactions::describe_transaction(&mut cluster, id)?;
        let partitions: Vec<String> = found.partitions.iter().map(ToString::to_string).collect();
        rows.push([
            json!(found.id),
            json!(found.state),
            json!(found.coordinator),
            json!(found.producer_id),
            json!(found.producer_epoch),
            json!(found.timeout_ms),
            json!(found.start_ms.map(rfc3339)),
            json!(partitions),
        ]);
    }
    Ok(rows.show(args.admin.format)?)
}

fn producer_rows(producers: &[ActiveProducer]) -> Rows {
    let mut rows = Rows::new([
        text("topic"),
        number("partition"),
        number("producer_id"),
        number("producer_epoch"),
        number("last_sequence"),
        text("last_written"),
        number("coordinator_epoch"),
        number("start_offset"),
    ]);
    for producer in producers {
        rows.push([
            json!(producer.partition.topic),
            json!(producer.partition.partition),
            json!(producer.id),
            json!(producer.epoch),
            json!(producer.last_sequence),
            json!((producer.last_timestamp >= 0).then(|| rfc3339(producer.last_timestamp))),
            json!(producer.coordinator_epoch),
            json!(producer.transaction_start),
        ]);
    }
    rows
}

fn producers(args: &Producers) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let partitions = named_partitions(&mut cluster, &args.topics)?;
    let mut found = transactions::describe_producers(&mut cluster, &partitions)?;
    found.retain(|producer| !args.open || producer.transaction_start.is_some());
    Ok(producer_rows(&found).show(args.admin.format)?)
}

fn hanging(args: &Hanging) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let partitions = if args.topics.is_empty() {
        every_partition(&mut cluster)?
    } else {
        named_partitions(&mut cluster, &args.topics)?
    };
    let found = transactions::hanging_producers(&mut cluster, &partitions, now_ms() - args.idle_for)?;
    Ok(producer_rows(&found).show(args.admin.format)?)
}

fn every_partition(cluster: &mut Cluster) -> Result<Vec<TopicPartition>, Failure> {
    let topics = cluster.describe(None, false)?;
    Ok(topics.iter().flatten().filter(|topic| !topic.internal).flat_map(all_partitions).collect())
}

fn abort(args: &Abort) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([text("what"), text("status")]);
    if let Some(id) = &args.id {
        // Also an error when there is no such id: ending it would bring it into being.
        transactions::describe_transaction(&mut cluster, id)?;
        transactions::terminate(&mut cluster, id)?;
        rows.push([json!(id), json!("aborted")]);
    } else if let (Some(spec), Some(start)) = (&args.partition, args.start_offset) {
        let partitions = named_partitions(&mut cluster, std::slice::from_ref(spec))?;
        let [partition] = partitions.as_slice() else {
            return Err(Failure::usage(format!(
                "\"{spec}\" is more than one partition: write TOPIC:PARTITION"
            )));
        };
        let producers = transactions::describe_producers(&mut cluster, &partitions)?;
        let Some(producer) = producers.iter().find(|producer| producer.transaction_start == Some(start))
        else {
            return Err(Failure::failed(format!(
                "no transaction that started at offset {start} is open on {partition}; `quipu txn producers --open {spec}` shows what is"
            )));
        };
        transactions::abort_on_partition(&mut cluster, producer)?;
        rows.push([json!(partition.to_string()), json!("aborted")]);
    }
    Ok(rows.show(args.admin.format)?)
}
