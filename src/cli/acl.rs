//! `quipu acl`: access control lists.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::admin::access::{self, AclFields};
use crate::security::acl::{CLUSTER_NAME, Operation, PatternType, Permission, ResourceType};

use super::connect::Admin;
use super::failure::Failure;
use super::output::{Rows, text};

/// "Any", in every number of a filter.
const ANY: i8 = 1;
/// Whatever pattern fits a name.
const MATCH: i8 = 2;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu acl add --allow User:alice --operation read,describe --topic orders
  quipu acl add --deny User:mallory --host 10.0.0.7 --operation all --topic '*'
  quipu acl add --allow User:app --operation write --topic app- --prefixed
  quipu acl list --topic orders --matching
  quipu acl delete --principal User:alice --topic orders

A broker has them only where an authorizer is configured (authorizer.class.name), and then they hold: name who may
change them in super.users.")]
pub(super) struct AclArgs {
    #[command(subcommand)]
    command: AclCommand,
}

#[derive(Debug, Subcommand)]
enum AclCommand {
    /// Show entries: all, or those that fit what is named.
    #[command(visible_aliases = ["ls", "describe"])]
    List(List),
    /// Add entries: one for each principal, operation and resource.
    #[command(visible_alias = "create")]
    Add(Add),
    /// Delete the entries that fit what is named.
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

/// What it is about.
#[derive(Debug, Args)]
struct Resources {
    /// Topic; `*` for every one.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    topic: Vec<String>,
    /// Group; `*` for every one.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    group: Vec<String>,
    /// Transactional id; `*` for every one.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    transactional_id: Vec<String>,
    /// Delegation token; `*` for every one.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    delegation_token: Vec<String>,
    /// User to act for, as User:name.
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    user: Vec<String>,
    /// The cluster as a whole.
    #[arg(long)]
    cluster: bool,
    /// The names are beginnings of names.
    #[arg(long)]
    prefixed: bool,
}

impl Resources {
    fn all(&self) -> Vec<(ResourceType, String)> {
        let kinds = [
            (ResourceType::Topic, &self.topic),
            (ResourceType::Group, &self.group),
            (ResourceType::TransactionalId, &self.transactional_id),
            (ResourceType::DelegationToken, &self.delegation_token),
            (ResourceType::User, &self.user),
        ];
        let named = kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |n| (kind, n.clone())));
        named.chain(self.cluster.then(|| (ResourceType::Cluster, CLUSTER_NAME.to_owned()))).collect()
    }
}

#[derive(Debug, Args)]
struct Filter {
    #[command(flatten)]
    resources: Resources,
    /// Also entries for beginnings of the name and for `*`: all that apply to the resource.
    #[arg(long, conflicts_with = "prefixed")]
    matching: bool,
    /// Only entries for this principal, as User:name.
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// Only entries for this host.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only entries for this operation.
    #[arg(long, value_name = "OPERATION", value_parser = operation)]
    operation: Option<Operation>,
    /// Only entries that allow (or deny).
    #[arg(long, value_name = "allow|deny", value_parser = permission)]
    permission: Option<Permission>,
}

impl Filter {
    fn fields(&self) -> Vec<AclFields> {
        let pattern_type = match (self.matching, self.resources.prefixed) {
            (true, _) => MATCH,
            (false, true) => PatternType::Prefixed.code(),
            (false, false) => ANY,
        };
        let fields = |resource: Option<(ResourceType, String)>| {
            let (resource_type, resource_name) =
                resource.map_or((ANY, None), |(kind, name)| (kind.code(), Some(name)));
            AclFields {
                resource_type,
                pattern_type,
                resource_name,
                principal: self.principal.clone(),
                host: self.host.clone(),
                operation: self.operation.map_or(ANY, Operation::code),
                permission: self.permission.map_or(ANY, Permission::code),
            }
        };
        match self.resources.all() {
            named if named.is_empty() => vec![fields(None)],
            named => named.into_iter().map(|resource| fields(Some(resource))).collect(),
        }
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Add {
    /// Principals that may, as User:name; User:* for all.
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',', required_unless_present = "deny")]
    allow: Vec<String>,
    /// Principals that may not, whatever else allows it.
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',')]
    deny: Vec<String>,
    /// What is done, such as read, write or all; more than one with commas.
    #[arg(long, value_name = "OPERATION", value_delimiter = ',', required = true, value_parser = operation)]
    operation: Vec<Operation>,
    /// Only when it comes from this address.
    #[arg(long, value_name = "HOST", default_value = "*")]
    host: String,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    filter: Filter,
    /// Only show what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Delete every entry there is, where nothing is named.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    admin: Admin,
}

fn operation(text: &str) -> Result<Operation, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    Operation::ALL.iter().copied().find(|operation| operation.name() == name).ok_or_else(|| {
        let names: Vec<String> =
            Operation::ALL.iter().map(|o| o.name().to_ascii_lowercase().replace('_', "-")).collect();
        format!("there is no operation {text}: {}", names.join(", "))
    })
}

fn permission(text: &str) -> Result<Permission, String> {
    let found = Permission::ALL.iter().copied().find(|one| one.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "it is allow or deny".into())
}

pub(super) fn run(args: AclArgs) -> Result<(), Failure> {
    match args.command {
        AclCommand::List(args) => list(&args.filter, &args.admin),
        AclCommand::Add(args) => add(&args),
        AclCommand::Delete(args) => delete(&args),
    }
}

fn rows<'a>(acls: impl IntoIterator<Item = &'a AclFields>) -> Rows {
    let mut rows = Rows::new([
        text("resource"),
        text("pattern"),
        text("name"),
        text("principal"),
        text("host"),
        text("operation"),
        text("permission"),
    ]);
    let small = |name: Option<&'static str>| {
        json!(name.map_or("unknown".to_owned(), |name| name.to_ascii_lowercase().replace('_', "-")))
    };
    for acl in acls {
        rows.push([
            small(ResourceType::of_code(acl.resource_type).map(ResourceType::name)),
            small(PatternType::of_code(acl.pattern_type).map(PatternType::name)),
            json!(acl.resource_name),
            json!(acl.principal),
            json!(acl.host),
            small(Operation::of_code(acl.operation).map(Operation::name)),
            small(Permission::of_code(acl.permission).map(Permission::name)),
        ]);
    }
    rows
}

fn list(filter: &Filter, admin: &Admin) -> Result<(), Failure> {
    let mut cluster = admin.connect.open()?;
    let mut found = std::collections::BTreeSet::new();
    for fields in filter.fields() {
        found.extend(access::describe_acls(&mut cluster, &fields)?);
    }
    Ok(rows(&found).show(admin.format)?)
}

fn add(args: &Add) -> Result<(), Failure> {
    let resources = args.resources.all();
    if resources.is_empty() {
        return Err(Failure::usage(
            "say what it is about: --topic, --group, --transactional-id, --cluster, …",
        ));
    }
    let pattern_type =
        if args.resources.prefixed { PatternType::Prefixed } else { PatternType::Literal }.code();
    let mut acls = Vec::new();
    for (principals, permission) in [(&args.allow, Permission::Allow), (&args.deny, Permission::Deny)] {
        for principal in principals {
            for operation in &args.operation {
                acls.extend(resources.iter().map(|(kind, name)| AclFields {
                    resource_type: kind.code(),
                    pattern_type,
                    resource_name: Some(name.clone()),
                    principal: Some(principal.clone()),
                    host: Some(args.host.clone()),
                    operation: operation.code(),
                    permission: permission.code(),
                }));
            }
        }
    }
    let mut cluster = args.admin.connect.open()?;
    access::create_acls(&mut cluster, &acls)?;
    Ok(rows(&acls).show(args.admin.format)?)
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let filters = args.filter.fields();
    let names_nothing = filters.iter().all(|fields| {
        fields.resource_type == ANY
            && fields.principal.is_none()
            && fields.host.is_none()
            && fields.operation == ANY
            && fields.permission == ANY
    });
    if names_nothing && !args.all {
        return Err(Failure::usage("that is every entry there is; say --all if you mean it"));
    }
    let mut cluster = args.admin.connect.open()?;
    let mut found = std::collections::BTreeSet::new();
    for fields in &filters {
        found.extend(match args.dry_run {
            true => access::describe_acls(&mut cluster, fields)?,
            false => access::delete_acls(&mut cluster, fields)?,
        });
    }
    Ok(rows(&found).show(args.admin.format)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_as_people_write_them() {
        assert_eq!(operation("describe-configs"), Ok(Operation::DescribeConfigs));
        assert_eq!(operation("ALL"), Ok(Operation::All));
        assert!(operation("look").unwrap_err().contains("idempotent-write"));
        assert_eq!(permission("Deny"), Ok(Permission::Deny));
    }
}
