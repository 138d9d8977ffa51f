//! DescribeAcls (key 29), CreateAcls (key 30) and DeleteAcls (key 31): who may do what (KIP-140, KIP-290).
//!
//! Versions 1–3 of each: 2 is flexible, 3 knows users as resources (KIP-373). As in Kafka, lists exist only where an
//! authorizer is configured: without `authorizer.class.name` all three answer SECURITY_DISABLED. To see them needs DESCRIBE
//! on the cluster, to change them ALTER.

use std::collections::BTreeSet;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};
use quipu_protocol::message::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};
use quipu_protocol::message::describe_acls::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};
use quipu_protocol::primitives::Str;

use super::Context;
use crate::broker::Refused;
use crate::catalog::Event;
use crate::logging::AUTHORIZER;
use crate::security::acl::{ACLS_MAX, Acl, AclFilter, Binding, FilterFields, Operation, Permission};
use crate::security::authorizer::fits_nobody;

/// Most entries that one request removes, counted once for every filter that finds them (Kafka's
/// `MAX_RECORDS_PER_USER_OP`).
const REMOVED_MAX: usize = 10_000;
/// Most filters of one request: each is held against every entry.
const FILTERS_MAX: usize = 1_000;

/// Whether there are lists, and the client may do this with them.
fn permit(cx: &Context<'_>, operation: Operation, disabled: &str) -> Result<(), Refused> {
    if cx.broker.authorizer.is_none() {
        return Err(Refused::new(ErrorCode::SECURITY_DISABLED, disabled));
    }
    cx.permit_on_cluster(operation).map_err(super::permission::refused)
}

fn owned<'a>(text: &str) -> Str<'a> {
    Str::Owned(text.to_owned())
}

/// Describes the entries that a filter finds, by resource.
pub async fn describe_acls<'a>(
    cx: &Context<'_>,
    request: DescribeAclsRequest<'a>,
) -> DescribeAclsResponse<'a> {
    let filter = FilterFields {
        resource_type: request.resource_type_filter,
        pattern_type: request.pattern_type_filter,
        resource_name: request.resource_name_filter.as_deref(),
        principal: request.principal_filter.as_deref(),
        host: request.host_filter.as_deref(),
        operation: request.operation,
        permission: request.permission_type,
    };
    let found = permit(cx, Operation::Describe, "No Authorizer is configured on the broker")
        .and_then(|()| AclFilter::read(filter))
        .map(|filter| cx.broker.read_catalog(|state| by_resource(&state.acls, &filter)));
    match found {
        Ok(resources) => {
            DescribeAclsResponse { error_message: Some(Str::Borrowed("")), resources, ..Default::default() }
        }
        Err(Refused { code, message }) => DescribeAclsResponse {
            error_code: code,
            error_message: Some(Str::Owned(message)),
            ..Default::default()
        },
    }
}

/// The entries are sorted by resource, so those of one stand together.
fn by_resource<'a>(acls: &BTreeSet<Acl>, filter: &AclFilter) -> Vec<DescribeAclsResource<'a>> {
    let mut resources: Vec<DescribeAclsResource<'a>> = Vec::new();
    for acl in acls.iter().filter(|acl| filter.matches(acl)) {
        let (resource_type, pattern_type) = (acl.resource_type.code(), acl.pattern_type.code());
        let is_same = |resource: &DescribeAclsResource<'_>| {
            resource.resource_type == resource_type
                && resource.pattern_type == pattern_type
                && *resource.resource_name == *acl.resource_name
        };
        if !resources.last().is_some_and(is_same) {
            resources.push(DescribeAclsResource {
                resource_type,
                resource_name: owned(&acl.resource_name),
                pattern_type,
                acls: Vec::new(),
            });
        }
        if let Some(resource) = resources.last_mut() {
            resource.acls.push(AclDescription {
                principal: owned(&acl.principal),
                host: owned(&acl.host),
                operation: acl.operation.code(),
                permission_type: acl.permission.code(),
            });
        }
    }
    resources
}

/// Adds entries. Each succeeds or fails by itself; one that is there already is fine.
pub async fn create_acls<'a>(cx: &Context<'_>, request: CreateAclsRequest<'a>) -> CreateAclsResponse<'a> {
    let created = match permit(cx, Operation::Alter, "No Authorizer is configured.") {
        Ok(()) => create(cx, &request).await,
        Err(refused) => Err(refused),
    };
    let outcomes = created.unwrap_or_else(|refused| vec![Err(refused); request.creations.len()]);
    let result = |outcome| {
        let (error_code, error_message) = super::configs::outcome_fields(outcome);
        // Kafka has the empty text where nothing is wrong.
        let error_message = Some(error_message.unwrap_or_default());
        AclCreationResult { error_code, error_message }
    };
    CreateAclsResponse { throttle_time_ms: 0, results: outcomes.into_iter().map(result).collect() }
}

async fn create(
    cx: &Context<'_>,
    request: &CreateAclsRequest<'_>,
) -> Result<Vec<Result<(), Refused>>, Refused> {
    let asked: Vec<_> = request
        .creations
        .iter()
        .map(|creation| {
            Binding {
                resource_type: creation.resource_type,
                pattern_type: creation.resource_pattern_type,
                resource_name: &creation.resource_name,
                principal: &creation.principal,
                host: &creation.host,
                operation: creation.operation,
                permission: creation.permission_type,
            }
            .check()
        })
        .collect();
    let created = cx.broker.change_catalog(|state| {
        let mut new: Vec<Event> = Vec::new();
        let outcomes = asked.into_iter().map(|checked| {
            let acl = checked?;
            if state.acls.contains(&acl) {
                return Ok(());
            }
            if state.acls.len() + new.len() >= ACLS_MAX {
                let message = format!("{ACLS_MAX} ACLs are kept already");
                return Err(Refused::new(ErrorCode::POLICY_VIOLATION, message));
            }
            if acl.permission == Permission::Deny && fits_nobody(&acl.host) {
                let (principal, host) = (&acl.principal, &acl.host);
                let name = &acl.resource_name;
                tracing::warn!(
                    target: AUTHORIZER,
                    principal,
                    host,
                    name,
                    "this entry denies nothing to anybody: the host is no address, which is all that clients are known by"
                );
            }
            new.push(Event::AclAdded { acl });
            Ok(())
        });
        let outcomes = outcomes.collect();
        (new, outcomes)
    });
    created.await
}

/// Removes the entries that filters find, and names them. Each filter succeeds or fails by itself.
pub async fn delete_acls<'a>(cx: &Context<'_>, request: DeleteAclsRequest<'a>) -> DeleteAclsResponse<'a> {
    let deleted = match permit(cx, Operation::Alter, "No Authorizer is configured.") {
        Ok(()) => delete(cx, &request).await,
        Err(refused) => Err(refused),
    };
    let outcomes = deleted.unwrap_or_else(|refused| vec![Err(refused); request.filters.len()]);
    let result = |outcome: Result<Vec<Acl>, Refused>| match outcome {
        Ok(found) => DeleteAclsFilterResult {
            error_code: ErrorCode::NONE,
            error_message: None,
            matching_acls: found.iter().map(matching).collect(),
        },
        Err(Refused { code, message }) => DeleteAclsFilterResult {
            error_code: code,
            error_message: Some(Str::Owned(message)),
            matching_acls: Vec::new(),
        },
    };
    DeleteAclsResponse { throttle_time_ms: 0, filter_results: outcomes.into_iter().map(result).collect() }
}

async fn delete(
    cx: &Context<'_>,
    request: &DeleteAclsRequest<'_>,
) -> Result<Vec<Result<Vec<Acl>, Refused>>, Refused> {
    let too_many = |what: usize, of: &str| {
        let message = format!("Cannot remove more than {what} {of} in a single delete operation.");
        Err(Refused::new(ErrorCode::INVALID_REQUEST, message))
    };
    if request.filters.len() > FILTERS_MAX {
        return too_many(FILTERS_MAX, "filters");
    }
    let filters: Vec<_> = request.filters.iter().map(read_filter).collect();
    let planned = cx.broker.change_catalog(move |state| {
        // An entry that several filters find is named by each, as in Kafka.
        let mut gone = BTreeSet::new();
        let mut found: Vec<Result<Vec<Acl>, Refused>> = Vec::with_capacity(filters.len());
        let mut named = 0;
        for filter in filters {
            let acls = filter.map(|filter| {
                let acls = state.acls.iter().filter(|acl| filter.matches(acl));
                acls.take(REMOVED_MAX + 1 - named).cloned().collect::<Vec<_>>()
            });
            if let Ok(acls) = &acls {
                named += acls.len();
                gone.extend(acls.iter().cloned());
            }
            if named > REMOVED_MAX {
                return (Vec::new(), too_many(REMOVED_MAX, "acls"));
            }
            found.push(acls);
        }
        (gone.into_iter().map(|acl| Event::AclRemoved { acl }).collect(), Ok(found))
    });
    planned.await.and_then(|found| found)
}

fn read_filter(filter: &DeleteAclsFilter<'_>) -> Result<AclFilter, Refused> {
    AclFilter::read(FilterFields {
        resource_type: filter.resource_type_filter,
        pattern_type: filter.pattern_type_filter,
        resource_name: filter.resource_name_filter.as_deref(),
        principal: filter.principal_filter.as_deref(),
        host: filter.host_filter.as_deref(),
        operation: filter.operation,
        permission: filter.permission_type,
    })
}

fn matching<'a>(acl: &Acl) -> DeleteAclsMatchingAcl<'a> {
    DeleteAclsMatchingAcl {
        error_code: ErrorCode::NONE,
        error_message: None,
        resource_type: acl.resource_type.code(),
        resource_name: owned(&acl.resource_name),
        pattern_type: acl.pattern_type.code(),
        principal: owned(&acl.principal),
        host: owned(&acl.host),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
    }
}
