//! `quipu topic`: the life of topics.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::admin::{self, Change, NewTopic, Resource};
use crate::client::{At, Cluster, Isolation, TopicInfo, TopicPartition};

use super::connect::{Admin, Format};
use super::failure::{Failure, complain};
use super::output::{Rows, number, say, show_json, text};
use super::place::Place;

#[derive(Debug, Args)]
pub(super) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Create topics.
    #[command(after_help = "Example:\n  quipu topic create orders payments -p 12 -c cleanup.policy=compact")]
    Create(Create),
    /// List topics.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show topics with their partitions, offsets and own configuration.
    Describe(Describe),
    /// Delete topics and everything in them.
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Change a topic's configuration.
    #[command(
        visible_alias = "alter-config",
        after_help = "Example:\n  quipu topic alter orders --set retention.ms=3600000 --delete segment.bytes"
    )]
    Alter(Alter),
    /// Raise the number of partitions.
    AddPartitions(AddPartitions),
    /// Delete the oldest records of a topic.
    #[command(after_help = "Example:\n  quipu topic trim-prefix orders --to @-24h")]
    TrimPrefix(TrimPrefix),
}

#[derive(Debug, Args)]
struct Create {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Number of partitions [default: the broker's num.partitions].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Number of copies [default: the broker's default.replication.factor].
    #[arg(short, long, visible_alias = "replication-factor", value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replicas: Option<i16>,
    /// A configuration value; may be repeated.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// Do not fail when a topic is there already.
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether they could be created.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct List {
    /// Show the broker's own topics too.
    #[arg(short, long)]
    internal: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Describe {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Show every configuration key, not only those set for the topic.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Delete {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Do not fail when a topic is not there.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Alter {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    admin: Admin,
}

/// Changes to configuration keys.
#[derive(Debug, Args)]
pub(super) struct Changes {
    /// Set a key; may be repeated.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Go back to a key's default; may be repeated.
    #[arg(short, long, value_name = "KEY")]
    delete: Vec<String>,
    /// Add to a list; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take from a list; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    /// Only check whether the broker would accept it.
    #[arg(long)]
    validate_only: bool,
}

#[derive(Debug, Args)]
struct AddPartitions {
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many to add.
    #[arg(short, long, value_name = "N", required_unless_present = "total", conflicts_with = "total", value_parser = clap::value_parser!(i32).range(1..))]
    num: Option<i32>,
    /// How many there should be then.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    total: Option<i32>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct TrimPrefix {
    /// Name of the topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// First record to keep: an offset, end, +N, -N or @TIME.
    #[arg(long, visible_alias = "offset", short = 'o', value_name = "PLACE", allow_hyphen_values = true)]
    to: Place,
    /// Only these partitions; may be repeated or separated by commas.
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    partitions: Vec<i32>,
    #[command(flatten)]
    admin: Admin,
}

/// Reads `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".into()),
    }
}

pub(super) fn run(args: TopicArgs) -> Result<(), Failure> {
    match args.command {
        TopicCommand::Create(args) => create(&args),
        TopicCommand::List(args) => list(&args),
        TopicCommand::Describe(args) => describe(&args),
        TopicCommand::Delete(args) => delete(&args),
        TopicCommand::Alter(args) => alter(args),
        TopicCommand::AddPartitions(args) => add_partitions(&args),
        TopicCommand::TrimPrefix(args) => trim_prefix(&args),
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let topics: Vec<NewTopic> = args
        .topics
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            partitions: args.partitions.unwrap_or(-1),
            replication: args.replicas.unwrap_or(-1),
            configs: args.config.clone(),
        })
        .collect();
    let done = if args.validate_only { "could be created" } else { "created" };
    let results = admin::create_topics(&mut cluster, &topics, args.validate_only)?;
    report(results, done, args.admin.format, |error| {
        let there = error.code() == Some(quipu_protocol::ErrorCode::TOPIC_ALREADY_EXISTS);
        (args.if_not_exists && there).then_some("there already")
    })
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let results = admin::delete_topics(&mut cluster, &args.topics)?;
    report(results, "deleted", args.admin.format, |error| {
        let missing = error.code() == Some(quipu_protocol::ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        (args.if_exists && missing).then_some("not there")
    })
}

/// Shows what became of each topic. Refusals go to stderr and make the exit code 1, unless `harmless` has a word for them.
fn report(
    results: Vec<(String, Result<(), crate::client::ClientError>)>,
    done: &str,
    format: Format,
    harmless: impl Fn(&crate::client::ClientError) -> Option<&'static str>,
) -> Result<(), Failure> {
    let mut rows = Rows::new([text("topic"), text("status")]);
    let mut failed = false;
    for (name, result) in results {
        match result {
            Ok(()) => rows.push([json!(name), json!(done)]),
            Err(error) => match harmless(&error) {
                Some(word) => rows.push([json!(name), json!(word)]),
                None => {
                    failed = true;
                    complain(error);
                }
            },
        }
    }
    rows.conclude(!failed, format)
}

fn list(args: &List) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([text("topic"), number("partitions"), number("replicas")]);
    for topic in cluster.describe(None, false)? {
        let topic = topic?;
        if topic.internal && !args.internal {
            continue;
        }
        let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
        rows.push([json!(topic.name), json!(topic.partitions.len()), json!(replicas)]);
    }
    Ok(rows.show(args.admin.format)?)
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut described = Vec::new();
    for name in &args.topics {
        let topic = cluster.topic(name, false)?;
        let partitions = partition_rows(&mut cluster, &topic)?;
        let resource = Resource::Topic(name.clone());
        let settings = admin::describe_configs(&mut cluster, &resource, None, false)?;
        let mut configs = Rows::new([text("key"), text("value"), text("source")]);
        for setting in settings.iter().filter(|s| args.all || s.is_own(&resource)) {
            configs.push([json!(setting.name), json!(setting.value), json!(setting.source)]);
        }
        described.push((topic, partitions, configs));
    }
    if args.admin.format == Format::Json {
        let topics = described.iter().map(|(topic, partitions, configs)| {
            json!({
                "topic": topic.name,
                "id": topic.id,
                "internal": topic.internal,
                "partitions": partitions.to_json(),
                "configs": configs.to_json(),
            })
        });
        return Ok(show_json(&Value::Array(topics.collect()))?);
    }
    for (place, (topic, partitions, configs)) in described.iter().enumerate() {
        if place > 0 {
            say("")?;
        }
        let id = topic.id.as_ref().map(|id| format!("  id {id}")).unwrap_or_default();
        let internal = if topic.internal { "  internal" } else { "" };
        say(&format!("Topic {}{id}{internal}\n", topic.name))?;
        partitions.show(Format::Table)?;
        if !configs.is_empty() {
            say("")?;
            configs.show(Format::Table)?;
        }
    }
    Ok(())
}

fn partition_rows(cluster: &mut Cluster, topic: &TopicInfo) -> Result<Rows, Failure> {
    let partitions = all_partitions(topic);
    let starts = cluster.offsets(&partitions, At::Start, Isolation::ReadUncommitted)?;
    let ends = cluster.offsets(&partitions, At::End, Isolation::ReadUncommitted)?;
    let mut rows = Rows::new([
        number("partition"),
        number("leader"),
        number("epoch"),
        text("replicas"),
        text("in_sync"),
        number("start"),
        number("end"),
        number("records"),
    ]);
    for p in &topic.partitions {
        let key = TopicPartition::new(&topic.name, p.partition);
        let start = starts.get(&key).copied().unwrap_or(0);
        let end = ends.get(&key).copied().unwrap_or(0);
        rows.push([
            json!(p.partition),
            json!(p.leader),
            json!(p.leader_epoch),
            json!(p.replicas),
            json!(p.in_sync),
            json!(start),
            json!(end),
            json!(end - start),
        ]);
    }
    Ok(rows)
}

/// Every partition of a topic.
pub(super) fn all_partitions(topic: &TopicInfo) -> Vec<TopicPartition> {
    topic.partitions.iter().map(|p| TopicPartition::new(&topic.name, p.partition)).collect()
}

/// The partitions named, or all if none is; a number that the topic does not have is refused.
pub(super) fn chosen_partitions(topic: &TopicInfo, wanted: &[i32]) -> Result<Vec<TopicPartition>, Failure> {
    let all = all_partitions(topic);
    if wanted.is_empty() {
        return Ok(all);
    }
    let find = |number: &i32| {
        let found = all.iter().find(|p| p.partition == *number).cloned();
        found.ok_or_else(|| {
            Failure::failed(format!(
                "topic \"{}\" has no partition {number}: they go from 0 to {}",
                topic.name,
                all.len().saturating_sub(1)
            ))
        })
    };
    wanted.iter().map(find).collect()
}

impl Changes {
    pub(super) fn into_list(self) -> Result<(Vec<Change>, bool), Failure> {
        let mut list: Vec<Change> = Vec::new();
        list.extend(self.set.into_iter().map(|(key, value)| Change::Set(key, value)));
        list.extend(self.delete.into_iter().map(Change::Delete));
        list.extend(self.append.into_iter().map(|(key, value)| Change::Append(key, value)));
        list.extend(self.subtract.into_iter().map(|(key, value)| Change::Subtract(key, value)));
        if list.is_empty() {
            return Err(Failure::usage("nothing to change: use --set KEY=VALUE or --delete KEY"));
        }
        Ok((list, self.validate_only))
    }
}

fn alter(args: Alter) -> Result<(), Failure> {
    let (changes, validate_only) = args.changes.into_list()?;
    let mut cluster = args.admin.connect.open()?;
    let done = if validate_only { "could be changed" } else { "changed" };
    let mut results = Vec::new();
    for name in args.topics {
        let result =
            admin::alter_configs(&mut cluster, &Resource::Topic(name.clone()), &changes, validate_only);
        results.push((name, result));
    }
    report(results, done, args.admin.format, |_| None)
}

fn add_partitions(args: &AddPartitions) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut results = Vec::new();
    for name in &args.topics {
        let now = cluster.topic(name, false)?.partitions.len() as i32;
        let total = args.total.unwrap_or_else(|| now.saturating_add(args.num.unwrap_or(0)));
        results.push((name.clone(), admin::add_partitions(&mut cluster, name, total)));
    }
    report(results, "partitions added", args.admin.format, |_| None)
}

fn trim_prefix(args: &TrimPrefix) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let topic = cluster.topic(&args.topic, false)?;
    let partitions = chosen_partitions(&topic, &args.partitions)?;
    let before = cluster.offsets(&partitions, At::Start, Isolation::ReadUncommitted)?;
    let targets: BTreeMap<TopicPartition, i64> =
        args.to.resolve(&mut cluster, &partitions, Isolation::ReadUncommitted)?;
    let after = admin::delete_records(&mut cluster, &targets)?;
    let mut rows = Rows::new([text("topic"), number("partition"), number("old_start"), number("new_start")]);
    for (p, start) in after {
        rows.push([json!(p.topic), json!(p.partition), json!(before.get(&p)), json!(start)]);
    }
    Ok(rows.show(args.admin.format)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_value_needs_a_key() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(key_value("a="), Ok(("a".into(), String::new())));
        assert!(key_value("=b").is_err());
        assert!(key_value("a").is_err());
    }
}
