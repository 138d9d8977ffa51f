//! `quipu cluster`: who is there and what they speak.

use clap::{Args, Subcommand};
use kafka_protocol::messages::DescribeClusterRequest;
use serde_json::{Value, json};

use crate::client::Cluster;
use crate::client::admin::features::{UpgradeType, update_features};

use super::connect::{Admin, Format};
use super::failure::Failure;
use super::output::{Rows, number, say, show_json, text};
use super::topic::key_value;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: Option<ClusterCommand>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the cluster's id, its brokers, its controller and its features (what `quipu cluster` alone does).
    Info(Admin),
    /// Show the requests that a broker offers, with their versions.
    #[command(visible_alias = "apis")]
    ApiVersions(Admin),
    /// Set the levels of features, all or none.
    #[command(after_help = "Examples:
  quipu cluster set-feature transaction.version=1 --downgrade
  quipu cluster set-feature transaction.version=2

Level 0 is off. Clients follow from their next connection on.")]
    SetFeature(SetFeature),
}

#[derive(Debug, Args)]
struct SetFeature {
    /// Features with their levels.
    #[arg(required = true, value_name = "NAME=LEVEL", value_parser = name_level)]
    levels: Vec<(String, i16)>,
    /// Allow a lower level, as long as nothing is lost.
    #[arg(long)]
    downgrade: bool,
    /// Allow a lower level, whatever is lost.
    #[arg(long, conflicts_with = "downgrade")]
    unsafe_downgrade: bool,
    /// Only check whether the broker would accept it.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    admin: Admin,
}

fn name_level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = key_value(text)?;
    level.parse().map(|level| (name, level)).map_err(|_| format!("{level} is no level"))
}

pub(super) fn run(args: ClusterArgs) -> Result<(), Failure> {
    match args.command {
        None => info(&args.admin),
        Some(ClusterCommand::Info(admin)) => info(&admin),
        Some(ClusterCommand::ApiVersions(admin)) => api_versions(&admin),
        Some(ClusterCommand::SetFeature(args)) => set_feature(&args),
    }
}

/// The cluster's id, controller and brokers, from DescribeCluster where it is offered, else from Metadata.
struct Facts {
    id: Option<String>,
    controller: i32,
    brokers: Vec<(i32, String, i32, Option<String>)>,
}

fn facts(cluster: &mut Cluster) -> Result<Facts, Failure> {
    if cluster.any()?.version::<DescribeClusterRequest>(i16::MAX).is_ok() {
        let response = cluster.call(&DescribeClusterRequest::default().with_endpoint_type(1))?;
        if response.error_code == 0 {
            let mut brokers: Vec<_> = response
                .brokers
                .iter()
                .map(|b| {
                    (b.broker_id.0, b.host.to_string(), b.port, b.rack.as_ref().map(ToString::to_string))
                })
                .collect();
            brokers.sort();
            let id = Some(response.cluster_id.to_string());
            return Ok(Facts { id, controller: response.controller_id.0, brokers });
        }
    }
    cluster.describe(Some(&[]), false)?;
    let brokers = cluster.nodes().map(|n| (n.id, n.host.clone(), n.port, n.rack.clone())).collect();
    Ok(Facts { id: cluster.cluster_id().map(str::to_owned), controller: cluster.controller(), brokers })
}

fn info(admin: &Admin) -> Result<(), Failure> {
    let mut cluster = admin.connect.open()?;
    let features = cluster.any()?.features().to_vec();
    let facts = facts(&mut cluster)?;
    let mut brokers =
        Rows::new([number("id"), text("host"), number("port"), text("rack"), text("controller")]);
    for (id, host, port, rack) in &facts.brokers {
        brokers.push([json!(id), json!(host), json!(port), json!(rack), json!(*id == facts.controller)]);
    }
    let offline = offline(&mut cluster)?;
    let mut levels = Rows::new([text("feature"), number("level"), number("lowest"), number("highest")]);
    for feature in &features {
        levels.push([json!(feature.name), json!(feature.finalized), json!(feature.min), json!(feature.max)]);
    }
    if admin.format == Format::Json {
        let value: Value = json!({
            "cluster_id": facts.id,
            "controller": facts.controller,
            "brokers": brokers.to_json(),
            "features": levels.to_json(),
            "offline_partitions": offline,
        });
        return Ok(show_json(&value)?);
    }
    say(&format!("Cluster {}\n", facts.id.as_deref().unwrap_or("without an id")))?;
    brokers.show(Format::Table)?;
    if !offline.is_empty() {
        say(&format!("\nA replica takes no records, its broker's log says why: {}", offline.join(", ")))?;
    }
    if !levels.is_empty() {
        say("")?;
        levels.show(Format::Table)?;
    }
    Ok(())
}

/// Partitions of which a replica is offline: of a Quipu, those that can only be read.
fn offline(cluster: &mut Cluster) -> Result<Vec<String>, Failure> {
    let topics = cluster.describe(None, false)?;
    let mut names = Vec::new();
    for topic in topics.into_iter().flatten() {
        let offline = topic.partitions.iter().filter(|partition| !partition.offline.is_empty());
        names.extend(offline.map(|partition| format!("{}-{}", topic.name, partition.partition)));
    }
    Ok(names)
}

fn api_versions(admin: &Admin) -> Result<(), Failure> {
    let mut cluster = admin.connect.open()?;
    let connection = cluster.any()?;
    let mut offered: Vec<(i16, (i16, i16))> =
        connection.versions().iter().map(|(key, range)| (*key, *range)).collect();
    offered.sort_unstable();
    let mut rows = Rows::new([number("key"), text("name"), number("lowest"), number("highest")]);
    for (key, (lowest, highest)) in offered {
        let name = quipu_protocol::ApiKey::try_from(key).map(|key| key.name()).ok();
        rows.push([json!(key), json!(name), json!(lowest), json!(highest)]);
    }
    Ok(rows.show(admin.format)?)
}

fn set_feature(args: &SetFeature) -> Result<(), Failure> {
    let upgrade_type = match (args.downgrade, args.unsafe_downgrade) {
        (_, true) => UpgradeType::UnsafeDowngrade,
        (true, false) => UpgradeType::SafeDowngrade,
        (false, false) => UpgradeType::Upgrade,
    };
    let mut cluster = args.admin.connect.open()?;
    update_features(&mut cluster, &args.levels, upgrade_type, args.validate_only)?;
    let status = if args.validate_only { "could be set" } else { "set" };
    let mut rows = Rows::new([text("feature"), number("level"), text("status")]);
    for (name, level) in &args.levels {
        rows.push([json!(name), json!(level), json!(status)]);
    }
    Ok(rows.show(args.admin.format)?)
}
