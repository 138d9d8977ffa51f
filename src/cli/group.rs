//! `quipu group`: consumer groups, their members, offsets and lag.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::admin::{self, Group};
use crate::client::{At, Cluster, Committed, Isolation, TopicPartition};

use super::connect::{Admin, Format};
use super::failure::{Failure, complain};
use super::output::{Rows, number, say, show_json, text};
use super::place::Place;
use super::topic::all_partitions;

#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List groups.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show groups with their members, offsets and lag.
    Describe(Names),
    /// Delete groups and their offsets.
    #[command(visible_alias = "rm")]
    Delete(Names),
    /// Move the offsets of a group that has no members.
    #[command(after_help = "Examples:
  quipu group seek billing --to start
  quipu group seek billing --to @-2h --topics orders,payments
  quipu group seek billing --to 42 --topics orders:3")]
    Seek(Seek),
    /// Delete a group's offsets for some topics or partitions.
    OffsetDelete(OffsetDelete),
}

#[derive(Debug, Args)]
struct List {
    /// Only groups in this state, such as stable or empty.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Names {
    /// Ids of the groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Seek {
    /// Id of the group. It comes into being if it is not there.
    group: String,
    /// Where to: start, end, an offset, +N (after the start), -N (before the end) or @TIME.
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Place,
    /// Only these topics, or TOPIC:PARTITION [default: all that the group has offsets for].
    #[arg(short, long, visible_alias = "topic", value_name = "TOPIC[:N]", value_delimiter = ',')]
    topics: Vec<String>,
    /// Only show where it would go.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct OffsetDelete {
    /// Id of the group.
    group: String,
    /// Topics, or TOPIC:PARTITION.
    #[arg(
        short,
        long,
        visible_alias = "topic",
        value_name = "TOPIC[:N]",
        value_delimiter = ',',
        required = true
    )]
    topics: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(args: GroupArgs) -> Result<(), Failure> {
    match args.command {
        GroupCommand::List(args) => list(&args),
        GroupCommand::Describe(args) => describe(&args),
        GroupCommand::Delete(args) => delete(&args),
        GroupCommand::Seek(args) => seek(&args),
        GroupCommand::OffsetDelete(args) => offset_delete(&args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows =
        Rows::new([text("group"), text("state"), text("type"), text("protocol"), number("coordinator")]);
    for group in admin::list_groups(&mut cluster)? {
        if args.state.as_ref().is_some_and(|state| !state.eq_ignore_ascii_case(&group.state)) {
            continue;
        }
        rows.push([
            json!(group.id),
            json!(group.state),
            json!(group.kind),
            json!(group.protocol),
            json!(group.coordinator),
        ]);
    }
    Ok(rows.show(args.admin.format)?)
}

/// A group with what it has read and what it has not.
struct Report {
    group: Group,
    members: Rows,
    offsets: Rows,
    lag: i64,
}

fn describe(args: &Names) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut reports = Vec::new();
    for id in &args.groups {
        let group = admin::describe_group(&mut cluster, id)?;
        reports.push(report(&mut cluster, group)?);
    }
    if args.admin.format == Format::Json {
        let groups = reports.iter().map(|report| {
            json!({
                "group": report.group.id,
                "state": report.group.state,
                "type": report.group.kind,
                "assignor": report.group.assignor,
                "coordinator": report.group.coordinator,
                "lag": report.lag,
                "members": report.members.to_json(),
                "offsets": report.offsets.to_json(),
            })
        });
        return Ok(show_json(&Value::Array(groups.collect()))?);
    }
    for (place, report) in reports.iter().enumerate() {
        if place > 0 {
            say("")?;
        }
        let group = &report.group;
        let assignor =
            if group.assignor.is_empty() { String::new() } else { format!("  assignor {}", group.assignor) };
        say(&format!(
            "Group {}  {}  {}{assignor}  coordinator {}  members {}  lag {}",
            group.id,
            group.state.to_lowercase(),
            group.kind,
            group.coordinator,
            group.members.len(),
            report.lag
        ))?;
        for rows in [&report.members, &report.offsets] {
            if !rows.is_empty() {
                say("")?;
                rows.show(Format::Table)?;
            }
        }
    }
    Ok(())
}

fn report(cluster: &mut Cluster, group: Group) -> Result<Report, Failure> {
    let committed = admin::group_offsets(cluster, &group.id)?;
    let mut owners: BTreeMap<TopicPartition, &str> = BTreeMap::new();
    let mut members =
        Rows::new([text("member"), text("client"), text("host"), number("partitions"), text("assigned")]);
    for member in &group.members {
        for p in &member.partitions {
            owners.insert(p.clone(), &member.id);
        }
        let name = member.instance_id.as_ref().unwrap_or(&member.id);
        members.push([
            json!(name),
            json!(member.client_id),
            json!(member.host),
            json!(member.partitions.len()),
            json!(brief(&member.partitions)),
        ]);
    }
    let mut partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
    partitions.extend(owners.keys().filter(|p| !committed.contains_key(p)).cloned());
    partitions.sort();
    let known = still_there(cluster, &partitions)?;
    let starts = cluster.offsets(&known, At::Start, Isolation::ReadUncommitted)?;
    let ends = cluster.offsets(&known, At::End, Isolation::ReadUncommitted)?;
    let mut offsets = Rows::new([
        text("topic"),
        number("partition"),
        number("committed"),
        number("start"),
        number("end"),
        number("lag"),
        text("member"),
    ]);
    let mut total = 0;
    for p in &partitions {
        let offset = committed.get(p).map(|c: &Committed| c.offset);
        let (start, end) = (starts.get(p).copied(), ends.get(p).copied());
        // Without a committed offset the group would read all that there is.
        let lag = end.map(|end| (end - offset.or(start).unwrap_or(end)).max(0));
        total += lag.unwrap_or(0);
        offsets.push([
            json!(p.topic),
            json!(p.partition),
            json!(offset),
            json!(start),
            json!(end),
            json!(lag),
            json!(owners.get(p)),
        ]);
    }
    Ok(Report { members, offsets, lag: total, group })
}

/// `orders:0-3,7 payments:1`.
fn brief(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for p in partitions {
        topics.entry(&p.topic).or_default().push(p.partition);
    }
    let runs = |mut numbers: Vec<i32>| {
        numbers.sort_unstable();
        let mut runs: Vec<(i32, i32)> = Vec::new();
        for n in numbers {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == n => *last = n,
                _ => runs.push((n, n)),
            }
        }
        let words = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
        words.collect::<Vec<_>>().join(",")
    };
    topics
        .into_iter()
        .map(|(topic, numbers)| format!("{topic}:{}", runs(numbers)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Leaves out the partitions of topics that have been deleted since.
fn still_there(cluster: &mut Cluster, partitions: &[TopicPartition]) -> Result<Vec<TopicPartition>, Failure> {
    let mut names: Vec<String> = partitions.iter().map(|p| p.topic.clone()).collect();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let topics = cluster.describe(Some(&names), false)?;
    let there: Vec<TopicPartition> = topics.iter().flatten().flat_map(all_partitions).collect();
    Ok(partitions.iter().filter(|p| there.contains(p)).cloned().collect())
}

fn delete(args: &Names) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([text("group"), text("status")]);
    let mut failed = false;
    for id in &args.groups {
        match admin::delete_group(&mut cluster, id) {
            Ok(()) => rows.push([json!(id), json!("deleted")]),
            Err(error) => {
                failed = true;
                complain(error);
            }
        }
    }
    if !rows.is_empty() {
        rows.show(args.admin.format)?;
    }
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

/// Reads `TOPIC` and `TOPIC:PARTITION`, and looks up which partitions that means.
fn named_partitions(cluster: &mut Cluster, specs: &[String]) -> Result<Vec<TopicPartition>, Failure> {
    let mut partitions = Vec::new();
    for spec in specs {
        let (name, number) = match spec.rsplit_once(':') {
            Some((name, number)) => match number.parse::<i32>() {
                Ok(number) => (name, vec![number]),
                Err(_) => {
                    return Err(Failure::usage(format!("\"{spec}\" is neither TOPIC nor TOPIC:PARTITION")));
                }
            },
            None => (spec.as_str(), Vec::new()),
        };
        let topic = cluster.topic(name, false)?;
        partitions.extend(super::topic::chosen_partitions(&topic, &number)?);
    }
    Ok(partitions)
}

fn seek(args: &Seek) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let before = admin::group_offsets(&mut cluster, &args.group)?;
    let partitions = match args.topics.is_empty() {
        true => {
            let committed: Vec<TopicPartition> = before.keys().cloned().collect();
            still_there(&mut cluster, &committed)?
        }
        false => named_partitions(&mut cluster, &args.topics)?,
    };
    if partitions.is_empty() {
        return Err(Failure::failed(format!(
            "group \"{}\" has no offsets to move. Name topics with --topics to give it some",
            args.group
        )));
    }
    let targets = args.to.resolve(&mut cluster, &partitions, Isolation::ReadUncommitted)?;
    if !args.dry_run {
        admin::set_group_offsets(&mut cluster, &args.group, &targets)?;
    }
    let mut rows =
        Rows::new([text("topic"), number("partition"), number("old_offset"), number("new_offset")]);
    for (p, offset) in &targets {
        rows.push([
            json!(p.topic),
            json!(p.partition),
            json!(before.get(p).map(|c| c.offset)),
            json!(offset),
        ]);
    }
    Ok(rows.show(args.admin.format)?)
}

fn offset_delete(args: &OffsetDelete) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let partitions = named_partitions(&mut cluster, &args.topics)?;
    admin::delete_group_offsets(&mut cluster, &args.group, &partitions)?;
    let mut rows = Rows::new([text("topic"), number("partition"), text("status")]);
    for p in &partitions {
        rows.push([json!(p.topic), json!(p.partition), json!("deleted")]);
    }
    Ok(rows.show(args.admin.format)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_shown_as_runs() {
        let partitions: Vec<_> = [("b", 1), ("a", 3), ("a", 0), ("a", 1), ("a", 2), ("a", 7)]
            .map(|(t, p)| TopicPartition::new(t, p))
            .to_vec();
        assert_eq!(brief(&partitions), "a:0-3,7 b:1");
    }
}
