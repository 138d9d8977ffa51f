//! `quipu config`: configuration of topics, brokers and groups.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::client::admin::{self, Change, Resource, Setting};

use super::connect::{Admin, Format};
use super::failure::Failure;
use super::output::{Rows, say, text};
use super::topic::key_value;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu config describe topic orders
  quipu config get topic orders retention.ms
  quipu config set topic orders retention.ms=3600000 cleanup.policy=delete
  quipu config delete topic orders retention.ms
  quipu config append topic orders cleanup.policy=compact
  quipu config describe broker 0 --all --doc
  quipu config set broker-logger 0 quipu::net=DEBUG
  quipu config resources

A broker is named by its id, or `default` for all brokers.")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show what is set, or with --all every key.
    #[command(visible_alias = "list")]
    Describe(Describe),
    /// Print values, one a line, and nothing else.
    Get(Get),
    /// Set keys.
    Set(Set),
    /// Add items to lists.
    Append(Set),
    /// Take items from lists.
    Subtract(Set),
    /// Go back to the defaults of keys.
    #[command(visible_alias = "unset")]
    Delete(Delete),
    /// Show what has a configuration.
    Resources(Resources),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A topic, by name.
    Topic,
    /// A broker, by id or `default`.
    Broker,
    /// The levels at which a broker logs, by its id.
    BrokerLogger,
    /// A group, by id.
    Group,
    /// A subscription to the metrics of clients, by name.
    ClientMetrics,
}

#[derive(Debug, Args)]
struct Entity {
    /// What it belongs to.
    #[arg(value_enum)]
    kind: Kind,
    /// Its name.
    name: String,
}

impl Entity {
    fn resource(&self) -> Result<Resource, Failure> {
        Ok(match self.kind {
            Kind::Topic => Resource::Topic(self.name.clone()),
            Kind::Group => Resource::Group(self.name.clone()),
            Kind::Broker if self.name == "default" => Resource::Broker(String::new()),
            Kind::ClientMetrics => Resource::ClientMetrics(self.name.clone()),
            Kind::Broker if self.name.parse::<i32>().is_ok() => Resource::Broker(self.name.clone()),
            Kind::BrokerLogger if self.name.parse::<i32>().is_ok() => {
                Resource::BrokerLogger(self.name.clone())
            }
            Kind::Broker | Kind::BrokerLogger => {
                return Err(Failure::usage(format!(
                    "\"{}\" is no broker: give its id (`quipu cluster` shows it) or `default`",
                    self.name
                )));
            }
        })
    }
}

#[derive(Debug, Args)]
struct Describe {
    #[command(flatten)]
    entity: Entity,
    /// Show every key, also those at their default.
    #[arg(short, long)]
    all: bool,
    /// Show what each key means.
    #[arg(long)]
    doc: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    entity: Entity,
    /// Keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    entity: Entity,
    /// Keys with their values.
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
    values: Vec<(String, String)>,
    /// Only check whether the broker would accept it.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    entity: Entity,
    /// Keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Resources {
    /// Only of this kind.
    #[arg(value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(args: ConfigArgs) -> Result<(), Failure> {
    match args.command {
        ConfigCommand::Describe(args) => describe(&args),
        ConfigCommand::Get(args) => get(&args),
        ConfigCommand::Set(args) => {
            let changes = args.values.into_iter().map(|(key, value)| Change::Set(key, value)).collect();
            change(&args.entity, changes, args.validate_only, &args.admin)
        }
        ConfigCommand::Append(args) => {
            let changes = args.values.into_iter().map(|(key, value)| Change::Append(key, value)).collect();
            change(&args.entity, changes, args.validate_only, &args.admin)
        }
        ConfigCommand::Subtract(args) => {
            let changes = args.values.into_iter().map(|(key, value)| Change::Subtract(key, value)).collect();
            change(&args.entity, changes, args.validate_only, &args.admin)
        }
        ConfigCommand::Resources(args) => resources(&args),
        ConfigCommand::Delete(args) => {
            let changes = args.keys.into_iter().map(Change::Delete).collect();
            change(&args.entity, changes, false, &args.admin)
        }
    }
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let resource = args.entity.resource()?;
    let mut cluster = args.admin.connect.open()?;
    let settings = admin::describe_configs(&mut cluster, &resource, None, args.doc)?;
    let shown: Vec<&Setting> = settings.iter().filter(|s| args.all || s.is_own(&resource)).collect();
    if shown.is_empty() && args.admin.format == Format::Table {
        return Ok(say(&format!("Nothing is set for {resource}; --all shows the defaults."))?);
    }
    let mut rows = match args.doc {
        true => {
            Rows::new([text("key"), text("value"), text("source"), text("read_only"), text("documentation")])
        }
        false => Rows::new([text("key"), text("value"), text("source"), text("read_only")]),
    };
    for s in shown {
        let value = if s.sensitive && s.value.is_none() { json!("(secret)") } else { json!(s.value) };
        match args.doc {
            true => {
                rows.push([json!(s.name), value, json!(s.source), json!(s.read_only), json!(s.documentation)])
            }
            false => rows.push([json!(s.name), value, json!(s.source), json!(s.read_only)]),
        }
    }
    Ok(rows.show(args.admin.format)?)
}

fn get(args: &Get) -> Result<(), Failure> {
    let resource = args.entity.resource()?;
    let mut cluster = args.admin.connect.open()?;
    let settings = admin::describe_configs(&mut cluster, &resource, Some(&args.keys), false)?;
    let mut rows = Rows::new([text("key"), text("value"), text("source")]);
    for key in &args.keys {
        let Some(setting) = settings.iter().find(|s| s.name == *key) else {
            return Err(Failure::failed(format!(
                "{resource} has no key \"{key}\". `quipu config describe --all` lists them"
            )));
        };
        match args.admin.format {
            Format::Table => say(setting.value.as_deref().unwrap_or_default())?,
            Format::Json => rows.push([json!(setting.name), json!(setting.value), json!(setting.source)]),
        }
    }
    match args.admin.format {
        Format::Table => Ok(()),
        Format::Json => Ok(rows.show(Format::Json)?),
    }
}

fn resources(args: &Resources) -> Result<(), Failure> {
    let wanted = args.kind.and_then(|kind| kind.to_possible_value());
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([text("type"), text("name")]);
    for resource in admin::list_config_resources(&mut cluster)? {
        if wanted.as_ref().is_none_or(|wanted| wanted.get_name() == resource.kind_name()) {
            rows.push([json!(resource.kind_name()), json!(resource.name())]);
        }
    }
    Ok(rows.show(args.admin.format)?)
}

fn change(entity: &Entity, changes: Vec<Change>, validate_only: bool, admin: &Admin) -> Result<(), Failure> {
    let resource = entity.resource()?;
    let mut cluster = admin.connect.open()?;
    admin::alter_configs(&mut cluster, &resource, &changes, validate_only)?;
    let done = if validate_only { "could be changed" } else { "changed" };
    let mut rows = Rows::new([text("key"), text("value"), text("status")]);
    for change in &changes {
        match change {
            Change::Set(key, value) => rows.push([json!(key), json!(value), json!(done)]),
            Change::Delete(key) => rows.push([json!(key), json!(null), json!("back to its default")]),
            Change::Append(key, value) | Change::Subtract(key, value) => {
                rows.push([json!(key), json!(value), json!(done)]);
            }
        }
    }
    Ok(rows.show(admin.format)?)
}
