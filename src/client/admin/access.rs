//! Who may use how much, who may log in, and who may do what: client quotas, SCRAM users, access control lists.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::outcome;
use crate::client::{ClientError, Cluster};
use crate::security::scram::Mechanism;

fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Whom quotas are for: types (`user`, `client-id`, `ip`) with names; no name stands for the default.
pub type Entity = BTreeMap<String, Option<String>>;

/// The quotas of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityQuotas {
    /// Whose.
    pub entity: Entity,
    /// By key.
    pub values: BTreeMap<String, f64>,
}

/// What entities must have of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityMatch {
    /// This name.
    Name(String),
    /// The default.
    Default,
    /// Any name, or the default.
    Any,
}

/// Describes the quotas of the entities that have what is asked for (DescribeClientQuotas); with `strict`, of those that
/// have nothing else.
pub fn describe_quotas(
    cluster: &mut Cluster,
    wanted: &[(&str, EntityMatch)],
    strict: bool,
) -> Result<Vec<EntityQuotas>, ClientError> {
    let component = |(kind, wanted): &(&str, EntityMatch)| {
        let (code, name) = match wanted {
            EntityMatch::Name(name) => (0, Some(str_bytes(name))),
            EntityMatch::Default => (1, None),
            EntityMatch::Any => (2, None),
        };
        let component = ComponentData::default().with_entity_type(str_bytes(kind)).with_match_type(code);
        component.with_match(name)
    };
    let request = DescribeClientQuotasRequest::default()
        .with_components(wanted.iter().map(component).collect())
        .with_strict(strict);
    let response = cluster.call(&request)?;
    outcome("the quotas".into(), response.error_code, response.error_message.as_deref())?;
    let entries = response.entries.unwrap_or_default();
    let mut quotas: Vec<EntityQuotas> = entries
        .iter()
        .map(|entry| EntityQuotas {
            entity: entry
                .entity
                .iter()
                .map(|part| {
                    let name = part.entity_name.as_ref().map(ToString::to_string);
                    (part.entity_type.to_string(), name)
                })
                .collect(),
            values: entry.values.iter().map(|value| (value.key.to_string(), value.value)).collect(),
        })
        .collect();
    quotas.sort_by(|a, b| a.entity.cmp(&b.entity));
    Ok(quotas)
}

/// Sets quotas of one entity, or with `None` takes them away (AlterClientQuotas).
pub fn alter_quotas(
    cluster: &mut Cluster,
    entity: &Entity,
    changes: &[(String, Option<f64>)],
    validate_only: bool,
) -> Result<(), ClientError> {
    let part = |(kind, name): (&String, &Option<String>)| {
        let part = EntityData::default().with_entity_type(str_bytes(kind));
        part.with_entity_name(name.as_deref().map(str_bytes))
    };
    let op = |(key, value): &(String, Option<f64>)| {
        let op = OpData::default().with_key(str_bytes(key)).with_remove(value.is_none());
        op.with_value(value.unwrap_or_default())
    };
    let entry = EntryData::default()
        .with_entity(entity.iter().map(part).collect())
        .with_ops(changes.iter().map(op).collect());
    let request =
        AlterClientQuotasRequest::default().with_entries(vec![entry]).with_validate_only(validate_only);
    let response = cluster.call_controller(&request)?;
    for entry in &response.entries {
        outcome("the quotas".into(), entry.error_code, entry.error_message.as_deref())?;
    }
    Ok(())
}

/// A user and what was set up to log in with: mechanism and iterations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// By mechanism.
    pub credentials: Vec<(String, i32)>,
}

/// Describes users, or all with an empty list (DescribeUserScramCredentials).
pub fn describe_users(cluster: &mut Cluster, names: &[String]) -> Result<Vec<User>, ClientError> {
    let wanted = names.iter().map(|name| UserName::default().with_name(str_bytes(name))).collect();
    let request =
        DescribeUserScramCredentialsRequest::default().with_users((!names.is_empty()).then_some(wanted));
    let response = cluster.call(&request)?;
    outcome("the users".into(), response.error_code, response.error_message.as_deref())?;
    let mut users = Vec::with_capacity(response.results.len());
    for result in &response.results {
        let name = result.user.to_string();
        outcome(format!("user \"{name}\""), result.error_code, result.error_message.as_deref())?;
        let credential =
            |info: &kafka_protocol::messages::describe_user_scram_credentials_response::CredentialInfo| {
                let mechanism = Mechanism::of_code(info.mechanism).map_or("unknown", Mechanism::name);
                (mechanism.to_owned(), info.iterations)
            };
        users.push(User { name, credentials: result.credential_infos.iter().map(credential).collect() });
    }
    users.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(users)
}

/// Sets a user's password for one mechanism (AlterUserScramCredentials). The password itself does not leave this process.
pub fn set_password(
    cluster: &mut Cluster,
    user: &str,
    mechanism: Mechanism,
    password: &str,
    salt: &[u8],
    iterations: i32,
) -> Result<(), ClientError> {
    let salted = mechanism.salted_password(password.as_bytes(), salt, iterations);
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(str_bytes(user))
        .with_mechanism(mechanism.code())
        .with_iterations(iterations)
        .with_salt(Bytes::copy_from_slice(salt))
        .with_salted_password(salted.into());
    alter_users(cluster, AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]))
}

/// Deletes what a user logs in with by one mechanism (AlterUserScramCredentials).
pub fn delete_credential(cluster: &mut Cluster, user: &str, mechanism: Mechanism) -> Result<(), ClientError> {
    let deletion =
        ScramCredentialDeletion::default().with_name(str_bytes(user)).with_mechanism(mechanism.code());
    alter_users(cluster, AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]))
}

fn alter_users(cluster: &mut Cluster, request: AlterUserScramCredentialsRequest) -> Result<(), ClientError> {
    let response = cluster.call_controller(&request)?;
    for result in &response.results {
        outcome(format!("user \"{}\"", result.user), result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

/// An entry of an access control list, or a filter of such, with Kafka's numbers. Names may be missing in filters only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclFields {
    /// `ResourceType`, 1 for any.
    pub resource_type: i8,
    /// `PatternType`, 1 for any, 2 for whatever fits the name.
    pub pattern_type: i8,
    /// Name of the resource or pattern.
    pub resource_name: Option<String>,
    /// Who.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// `AclOperation`, 1 for any.
    pub operation: i8,
    /// `AclPermissionType`, 1 for any.
    pub permission: i8,
}

/// Describes the entries that a filter finds (DescribeAcls).
pub fn describe_acls(cluster: &mut Cluster, filter: &AclFields) -> Result<Vec<AclFields>, ClientError> {
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(filter.resource_type)
        .with_resource_name_filter(filter.resource_name.as_deref().map(str_bytes))
        .with_pattern_type_filter(filter.pattern_type)
        .with_principal_filter(filter.principal.as_deref().map(str_bytes))
        .with_host_filter(filter.host.as_deref().map(str_bytes))
        .with_operation(filter.operation)
        .with_permission_type(filter.permission);
    let response = cluster.call(&request)?;
    outcome("the ACLs".into(), response.error_code, response.error_message.as_deref())?;
    let mut acls = Vec::new();
    for resource in &response.resources {
        acls.extend(resource.acls.iter().map(|acl| AclFields {
            resource_type: resource.resource_type,
            pattern_type: resource.pattern_type,
            resource_name: Some(resource.resource_name.to_string()),
            principal: Some(acl.principal.to_string()),
            host: Some(acl.host.to_string()),
            operation: acl.operation,
            permission: acl.permission_type,
        }));
    }
    acls.sort();
    Ok(acls)
}

/// Adds entries (CreateAcls). An error is that of the first that was refused.
pub fn create_acls(cluster: &mut Cluster, acls: &[AclFields]) -> Result<(), ClientError> {
    let text = |text: &Option<String>| str_bytes(text.as_deref().unwrap_or_default());
    let creation = |acl: &AclFields| {
        AclCreation::default()
            .with_resource_type(acl.resource_type)
            .with_resource_name(text(&acl.resource_name))
            .with_resource_pattern_type(acl.pattern_type)
            .with_principal(text(&acl.principal))
            .with_host(text(&acl.host))
            .with_operation(acl.operation)
            .with_permission_type(acl.permission)
    };
    let request = CreateAclsRequest::default().with_creations(acls.iter().map(creation).collect());
    let response = cluster.call_controller(&request)?;
    for result in &response.results {
        outcome("the ACLs".into(), result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

/// Removes the entries that a filter finds (DeleteAcls), and returns them.
pub fn delete_acls(cluster: &mut Cluster, filter: &AclFields) -> Result<Vec<AclFields>, ClientError> {
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(filter.resource_type)
        .with_resource_name_filter(filter.resource_name.as_deref().map(str_bytes))
        .with_pattern_type_filter(filter.pattern_type)
        .with_principal_filter(filter.principal.as_deref().map(str_bytes))
        .with_host_filter(filter.host.as_deref().map(str_bytes))
        .with_operation(filter.operation)
        .with_permission_type(filter.permission);
    let request = DeleteAclsRequest::default().with_filters(vec![filter]);
    let response = cluster.call_controller(&request)?;
    let mut deleted = Vec::new();
    for result in &response.filter_results {
        outcome("the ACLs".into(), result.error_code, result.error_message.as_deref())?;
        for acl in &result.matching_acls {
            outcome("an ACL".into(), acl.error_code, acl.error_message.as_deref())?;
            deleted.push(AclFields {
                resource_type: acl.resource_type,
                pattern_type: acl.pattern_type,
                resource_name: Some(acl.resource_name.to_string()),
                principal: Some(acl.principal.to_string()),
                host: Some(acl.host.to_string()),
                operation: acl.operation,
                permission: acl.permission_type,
            });
        }
    }
    deleted.sort();
    Ok(deleted)
}
