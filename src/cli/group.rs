//! `quipu group`: consumer groups, their members, offsets and lag.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
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
    Describe(Describe),
    /// Delete groups and their offsets.
    #[command(visible_alias = "rm")]
    Delete(Names),
    /// Move the offsets of a group that has no members.
    #[command(after_help = "Examples:
  quipu group seek billing --to start
  quipu group seek billing --to @-2h --topics orders,payments
  quipu group seek billing --to 42 --topics orders:3
  quipu group seek billing --shift-by -100
  quipu group seek billing-test --from-group billing
  quipu group seek billing --from-file offsets.csv

A file has lines of topic,partition,offset as `quipu group export` and Kafka's own tool write them, or the JSON of
`quipu group export --format json`.")]
    Seek(Seek),
    /// Print a group's offsets in the form that `quipu group seek --from-file` and Kafka's own tool read.
    Export(Export),
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

/// A part of what there is to tell of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// State, protocol and coordinator, epochs in a group of the new kind.
    State,
    /// Members with what they read.
    Members,
    /// Offsets and lag.
    Offsets,
}

#[derive(Debug, Args)]
struct Describe {
    /// Ids of the groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Only this; more than one with commas [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Export {
    /// Id of the group.
    group: String,
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
    #[command(flatten)]
    target: Target,
    /// Only these topics, or TOPIC:PARTITION [default: all that the group, or what it is to follow, has offsets for].
    #[arg(short, long, visible_alias = "topic", value_name = "TOPIC[:N]", value_delimiter = ',')]
    topics: Vec<String>,
    /// Only show where it would go.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Where the offsets are to be.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Where to: start, end, an offset, +N (after the start), -N (before the end) or @TIME.
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Option<Place>,
    /// That many records further, or with a minus back, within the log.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// Where another group is.
    #[arg(long, value_name = "GROUP")]
    from_group: Option<String>,
    /// Where a file says.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
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
        GroupCommand::Export(args) => export(&args),
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

fn describe(args: &Describe) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut reports = Vec::new();
    for id in &args.groups {
        let group = admin::describe_group(&mut cluster, id)?;
        reports.push(report(&mut cluster, group)?);
    }
    let shows = |part| args.only.is_empty() || args.only.contains(&part);
    if args.admin.format == Format::Json {
        let groups = reports.iter().map(|report| {
            let group = &report.group;
            let mut object = json!({ "group": group.id });
            if shows(Part::State) {
                object["state"] = json!(group.state);
                object["type"] = json!(group.kind);
                object["assignor"] = json!(group.assignor);
                object["coordinator"] = json!(group.coordinator);
                object["epoch"] = json!(group.epochs.map(|(epoch, _)| epoch));
                object["assignment_epoch"] = json!(group.epochs.map(|(_, assignment)| assignment));
                object["lag"] = json!(report.lag);
            }
            if shows(Part::Members) {
                object["members"] = report.members.to_json();
            }
            if shows(Part::Offsets) {
                object["offsets"] = report.offsets.to_json();
            }
            object
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
        let epochs = match group.epochs {
            Some((epoch, assignment)) if epoch == assignment => format!("  epoch {epoch}"),
            Some((epoch, assignment)) => format!("  epoch {epoch}  assignment epoch {assignment}"),
            None => String::new(),
        };
        say(&format!(
            "Group {}  {}  {}{assignor}{epochs}  coordinator {}  members {}  lag {}",
            group.id,
            group.state.to_lowercase(),
            group.kind,
            group.coordinator,
            group.members.len(),
            report.lag
        ))?;
        for (part, rows) in [(Part::Members, &report.members), (Part::Offsets, &report.offsets)] {
            if shows(part) && !rows.is_empty() {
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
    let mut members = match group.epochs {
        None => Rows::new([
            text("member"),
            text("client"),
            text("host"),
            text("subscription"),
            number("partitions"),
            text("assigned"),
        ]),
        Some(_) => Rows::new([
            text("member"),
            text("client"),
            text("host"),
            text("subscription"),
            number("partitions"),
            text("assigned"),
            number("epoch"),
            text("target"),
        ]),
    };
    for member in &group.members {
        for p in &member.partitions {
            owners.insert(p.clone(), &member.id);
        }
        let name = member.instance_id.as_ref().unwrap_or(&member.id);
        let (name, client, host) = (json!(name), json!(member.client_id), json!(member.host));
        let subscription = json!(member.subscription);
        let (count, assigned) = (json!(member.partitions.len()), json!(brief(&member.partitions)));
        match group.epochs {
            None => members.push([name, client, host, subscription, count, assigned]),
            Some(_) => {
                let (epoch, target) = (json!(member.epoch), json!(member.target.as_deref().map(brief)));
                members.push([name, client, host, subscription, count, assigned, epoch, target]);
            }
        }
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
    rows.conclude(!failed, args.admin.format)
}

/// Reads `TOPIC` and `TOPIC:PARTITION`, and looks up which partitions that means.
pub(super) fn named_partitions(
    cluster: &mut Cluster,
    specs: &[String],
) -> Result<Vec<TopicPartition>, Failure> {
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
    let target = &args.target;
    let listed = target.from_file.as_deref().map(read_offsets).transpose()?;
    let mut cluster = args.admin.connect.open()?;
    let before = admin::group_offsets(&mut cluster, &args.group)?;
    let before: BTreeMap<TopicPartition, i64> = before.into_iter().map(|(p, c)| (p, c.offset)).collect();
    let followed = match &target.from_group {
        Some(other) => {
            let offsets = admin::group_offsets(&mut cluster, other)?;
            Some(offsets.into_iter().map(|(p, c)| (p, c.offset)).collect())
        }
        None => listed,
    };
    let partitions = match args.topics.is_empty() {
        true => {
            let known = followed.as_ref().unwrap_or(&before).keys().cloned().collect::<Vec<_>>();
            still_there(&mut cluster, &known)?
        }
        false => {
            let mut named = named_partitions(&mut cluster, &args.topics)?;
            // What is followed says nothing of the others.
            named.retain(|p| followed.as_ref().is_none_or(|offsets| offsets.contains_key(p)));
            named
        }
    };
    if partitions.is_empty() {
        let (whose, cure) = match (&target.from_group, &target.from_file) {
            (Some(other), _) => (format!("group \"{other}\""), ""),
            (_, Some(path)) => (path.display().to_string(), ""),
            _ => (format!("group \"{}\"", args.group), ". Name topics with --topics to give it some"),
        };
        return Err(Failure::failed(format!("{whose} has no offsets to move to{cure}")));
    }
    let targets = match (target.to, target.shift_by, followed) {
        (Some(place), ..) => place.resolve(&mut cluster, &partitions, Isolation::ReadUncommitted)?,
        (_, Some(by), _) => {
            let moved = partitions.iter().map(|p| {
                let offset = before.get(p).ok_or_else(|| {
                    Failure::failed(format!("group \"{}\" has no offset to move for {p}", args.group))
                })?;
                Ok((p.clone(), offset.saturating_add(by)))
            });
            within_logs(&mut cluster, moved.collect::<Result<_, Failure>>()?)?
        }
        (_, _, Some(mut offsets)) => {
            offsets.retain(|p, _| partitions.contains(p));
            within_logs(&mut cluster, offsets)?
        }
        (None, None, None) => {
            return Err(Failure::usage("say where to: --to, --shift-by, --from-group or --from-file"));
        }
    };
    if !args.dry_run {
        admin::set_group_offsets(&mut cluster, &args.group, &targets)?;
    }
    let mut rows =
        Rows::new([text("topic"), number("partition"), number("old_offset"), number("new_offset")]);
    for (p, offset) in &targets {
        rows.push([json!(p.topic), json!(p.partition), json!(before.get(p)), json!(offset)]);
    }
    Ok(rows.show(args.admin.format)?)
}

/// Moves offsets outside of the log to its nearest end.
fn within_logs(
    cluster: &mut Cluster,
    mut offsets: BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let partitions: Vec<TopicPartition> = offsets.keys().cloned().collect();
    let starts = cluster.offsets(&partitions, At::Start, Isolation::ReadUncommitted)?;
    let ends = cluster.offsets(&partitions, At::End, Isolation::ReadUncommitted)?;
    for (p, offset) in &mut offsets {
        if let (Some(start), Some(end)) = (starts.get(p), ends.get(p)) {
            *offset = (*offset).clamp(*start, (*end).max(*start));
        }
    }
    Ok(offsets)
}

/// Reads what `export` wrote.
fn read_offsets(path: &Path) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let content = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    parse_offsets(&content).map_err(|problem| Failure::failed(format!("{}: {problem}", path.display())))
}

/// Lines of `topic,partition,offset` or `group,topic,partition,offset`, names quoted or not; or JSON as we write it.
fn parse_offsets(content: &str) -> Result<BTreeMap<TopicPartition, i64>, String> {
    if content.trim_start().starts_with('[') {
        let rows: Vec<Value> = serde_json::from_str(content).map_err(|error| error.to_string())?;
        let read = |row: &Value| {
            let partition = i32::try_from(row["partition"].as_i64()?).ok()?;
            Some((TopicPartition::new(row["topic"].as_str()?, partition), row["offset"].as_i64()?))
        };
        return rows
            .iter()
            .map(|row| read(row).ok_or_else(|| format!("{row} has no topic, partition and offset")))
            .collect();
    }
    let mut offsets = BTreeMap::new();
    for (number, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // A topic's name holds no comma and no quotes.
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let read = || {
            let [.., topic, partition, offset] = fields.as_slice() else { return None };
            let partition = TopicPartition::new(*topic, partition.parse().ok()?);
            Some((partition, offset.parse::<i64>().ok().filter(|offset| *offset >= 0)?))
        };
        let (partition, offset) =
            read().ok_or_else(|| format!("line {} is not topic,partition,offset", number + 1))?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

fn export(args: &Export) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let offsets = admin::group_offsets(&mut cluster, &args.group)?;
    if args.admin.format == Format::Table {
        for (p, committed) in &offsets {
            say(&format!("\"{}\",{},{}", p.topic, p.partition, committed.offset))?;
        }
        return Ok(());
    }
    let mut rows = Rows::new([text("topic"), number("partition"), number("offset"), text("metadata")]);
    for (p, committed) in &offsets {
        rows.push([json!(p.topic), json!(p.partition), json!(committed.offset), json!(committed.metadata)]);
    }
    Ok(rows.show(Format::Json)?)
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
    fn offsets_are_read_in_every_form_they_are_written_in() {
        let expected = BTreeMap::from([(TopicPartition::new("a", 0), 5), (TopicPartition::new("b", 1), 7)]);
        for text in [
            "\"a\",0,5\n\"b\",1,7\n",
            "a,0,5\n\nb,1,7",
            "\"g\",\"a\",0,5\n\"g\",\"b\",1,7\n",
            r#"[{"topic":"a","partition":0,"offset":5},{"topic":"b","partition":1,"offset":7}]"#,
        ] {
            assert_eq!(parse_offsets(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(parse_offsets("a,0,5\na,x,5"), Err("line 2 is not topic,partition,offset".into()));
        for wrong in ["a,0", "a,0,-5", "[{}]", "[1", "a;0;5"] {
            assert!(parse_offsets(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn assignments_are_shown_as_runs() {
        let partitions: Vec<_> = [("b", 1), ("a", 3), ("a", 0), ("a", 1), ("a", 2), ("a", 7)]
            .map(|(t, p)| TopicPartition::new(t, p))
            .to_vec();
        assert_eq!(brief(&partitions), "a:0-3,7 b:1");
    }
}
