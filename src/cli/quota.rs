//! `quipu quota`: how much users, clients and addresses may use.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::client::admin::access::{self, Entity, EntityMatch};

use super::connect::{Admin, Format};
use super::failure::Failure;
use super::output::{Rows, number, show_json, text};
use super::topic::key_value;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu quota set --user alice producer_byte_rate=1048576
  quipu quota set --default-user --client reports request_percentage=50
  quipu quota list --user alice
  quipu quota delete --user alice producer_byte_rate

A default is for all who have no quota of their own. Keys: producer_byte_rate,
consumer_byte_rate, request_percentage, controller_mutation_rate; for addresses connection_creation_rate.")]
pub(super) struct QuotaArgs {
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Show quotas: all, or those of who is named.
    #[command(visible_aliases = ["ls", "describe"])]
    List(List),
    /// Set quotas.
    Set(Set),
    /// Take quotas away.
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

/// Whom quotas are for.
#[derive(Debug, Args)]
struct Whom {
    /// Who is logged in.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Every user without a quota of its own.
    #[arg(long, conflicts_with = "user")]
    default_user: bool,
    /// What a client calls itself.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Every client without a quota of its own.
    #[arg(long, conflicts_with = "client")]
    default_client: bool,
    /// Where a connection comes from.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Every address without a quota of its own.
    #[arg(long, conflicts_with = "ip")]
    default_ip: bool,
}

impl Whom {
    fn parts(&self) -> impl Iterator<Item = (&'static str, &Option<String>)> {
        let parts = [
            ("user", &self.user, self.default_user),
            ("client-id", &self.client, self.default_client),
            ("ip", &self.ip, self.default_ip),
        ];
        let is_named = |(_, name, default): &(&str, &Option<String>, bool)| name.is_some() || *default;
        parts.into_iter().filter(is_named).map(|(kind, name, _)| (kind, name))
    }

    fn entity(&self) -> Result<Entity, Failure> {
        let entity: Entity = self.parts().map(|(kind, name)| (kind.to_owned(), name.clone())).collect();
        if entity.is_empty() {
            return Err(Failure::usage("say whom the quota is for: --user, --client or --ip"));
        }
        Ok(entity)
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    whom: Whom,
    /// Only those who have exactly what is named, and nothing else.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    whom: Whom,
    /// Quotas with their values.
    #[arg(required = true, value_name = "KEY=NUMBER", value_parser = key_number)]
    values: Vec<(String, f64)>,
    /// Only check whether the broker would accept it.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    whom: Whom,
    /// Quotas.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

fn key_number(text: &str) -> Result<(String, f64), String> {
    let (key, value) = key_value(text)?;
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((key, number)),
        _ => Err(format!("{value} is no number")),
    }
}

pub(super) fn run(args: QuotaArgs) -> Result<(), Failure> {
    match args.command {
        QuotaCommand::List(args) => list(&args),
        QuotaCommand::Set(args) => {
            let changes: Vec<_> = args.values.into_iter().map(|(key, value)| (key, Some(value))).collect();
            alter(&args.whom, &changes, args.validate_only, &args.admin)
        }
        QuotaCommand::Delete(args) => {
            let changes: Vec<_> = args.keys.into_iter().map(|key| (key, None)).collect();
            alter(&args.whom, &changes, false, &args.admin)
        }
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let wanted = |(kind, name): (&'static str, &Option<String>)| {
        let wanted = name.clone().map_or(EntityMatch::Default, EntityMatch::Name);
        (kind, wanted)
    };
    let wanted: Vec<_> = args.whom.parts().map(wanted).collect();
    let mut cluster = args.admin.connect.open()?;
    let quotas = access::describe_quotas(&mut cluster, &wanted, args.strict)?;
    if args.admin.format == Format::Json {
        let object = |found: &access::EntityQuotas| {
            let entity: Map<String, Value> =
                found.entity.iter().map(|(kind, name)| (kind.clone(), json!(name))).collect();
            json!({ "entity": entity, "quotas": found.values })
        };
        return Ok(show_json(&Value::Array(quotas.iter().map(object).collect()))?);
    }
    let mut rows = Rows::new([text("user"), text("client_id"), text("ip"), text("quota"), number("value")]);
    for found in &quotas {
        let name = |kind: &str| match found.entity.get(kind) {
            None => json!(null),
            Some(None) => json!("(default)"),
            Some(Some(name)) => json!(name),
        };
        for (key, value) in &found.values {
            rows.push([name("user"), name("client-id"), name("ip"), json!(key), json!(value)]);
        }
    }
    Ok(rows.show(Format::Table)?)
}

fn alter(
    whom: &Whom,
    changes: &[(String, Option<f64>)],
    validate_only: bool,
    admin: &Admin,
) -> Result<(), Failure> {
    let entity = whom.entity()?;
    let mut cluster = admin.connect.open()?;
    access::alter_quotas(&mut cluster, &entity, changes, validate_only)?;
    let mut rows = Rows::new([text("quota"), number("value"), text("status")]);
    for (key, value) in changes {
        let status = match (validate_only, value) {
            (true, _) => "could be changed",
            (false, Some(_)) => "set",
            (false, None) => "deleted",
        };
        rows.push([json!(key), json!(value), json!(status)]);
    }
    Ok(rows.show(admin.format)?)
}
