//! DescribeClientQuotas (key 48) and AlterClientQuotas (key 49): how much whom may use (KIP-546).
//!
//! Versions 0–1 of both; 1 is flexible. Quotas are kept and described; nothing holds clients to them yet.

use std::collections::BTreeMap;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntryData as Asked, ResponseEntityData,
    ResponseEntryData,
};
use quipu_protocol::message::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::broker::Refused;
use crate::catalog::quotas::{ENTITIES_MAX, Entity, Operation, QuotaFilter, Quotas};
use crate::catalog::{Event, State};
use crate::security::acl;

/// Describes the quotas of the entities that a filter finds.
pub async fn describe_client_quotas<'a>(
    cx: &Context<'_>,
    request: DescribeClientQuotasRequest<'a>,
) -> DescribeClientQuotasResponse<'a> {
    let components = request
        .components
        .iter()
        .map(|component| (&*component.entity_type, component.match_type, component.r#match.as_deref()));
    let permitted = cx.permit_on_cluster(acl::Operation::DescribeConfigs).map_err(permission::refused);
    let filter = permitted.and_then(|()| QuotaFilter::read(components, request.strict));
    let found = filter.map(|filter| {
        cx.broker.read_catalog(|state| {
            state.quotas.iter().filter(|(entity, _)| filter.matches(entity)).map(entry).collect()
        })
    });
    match found {
        Ok(entries) => DescribeClientQuotasResponse {
            error_message: Some(Str::Borrowed("")),
            entries: Some(entries),
            ..Default::default()
        },
        Err(Refused { code, message }) => DescribeClientQuotasResponse {
            error_code: code,
            error_message: Some(Str::Owned(message)),
            entries: None,
            ..Default::default()
        },
    }
}

fn entry<'a>((entity, quotas): (&Entity, &Quotas)) -> EntryData<'a> {
    EntryData {
        entity: entity
            .0
            .iter()
            .map(|(kind, name)| EntityData {
                entity_type: Str::Borrowed(kind.name()),
                entity_name: name.clone().map(Str::Owned),
            })
            .collect(),
        values: quotas
            .iter()
            .map(|(key, value)| ValueData { key: Str::Owned(key.clone()), value: *value })
            .collect(),
    }
}

/// Sets and takes away quotas. Each entity succeeds or fails by itself; one that is named twice is left as it is.
pub async fn alter_client_quotas<'a>(
    cx: &Context<'_>,
    request: AlterClientQuotasRequest<'a>,
) -> AlterClientQuotasResponse<'a> {
    let asked: Vec<_> = request.entries.iter().map(read).collect();
    let (count, validate_only) = (asked.len(), request.validate_only);
    let altered = match cx.permit_on_cluster(acl::Operation::AlterConfigs) {
        Ok(()) => cx.broker.change_catalog(move |state| alter(state, &asked, validate_only)).await,
        Err(code) => Err(permission::refused(code)),
    };
    let outcomes = altered.unwrap_or_else(|refused| vec![Err(refused); count]);
    let entries = request.entries.into_iter().zip(outcomes).map(|(entry, outcome)| {
        let (error_code, error_message) = super::configs::outcome_fields(outcome);
        let entity = entry
            .entity
            .into_iter()
            .map(|part| ResponseEntityData { entity_type: part.entity_type, entity_name: part.entity_name })
            .collect();
        ResponseEntryData { error_code, error_message, entity }
    });
    AlterClientQuotasResponse { throttle_time_ms: 0, entries: entries.collect() }
}

/// What has to happen, and what each entry is told.
fn alter(state: &State, asked: &[Read], validate_only: bool) -> (Vec<Event>, Vec<Result<(), Refused>>) {
    let mut mentions: BTreeMap<&Entity, usize> = BTreeMap::new();
    for (entity, _) in asked.iter().flatten() {
        *mentions.entry(entity).or_default() += 1;
    }
    let mut room = ENTITIES_MAX.saturating_sub(state.quotas.len());
    let mut events = Vec::new();
    let mut alter = |asked: &Read| {
        let (entity, operations) = asked.as_ref().map_err(Clone::clone)?;
        if mentions[entity] > 1 {
            let message = format!("Ignoring duplicate entity {entity}");
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
        }
        let current = state.quotas.get(entity);
        let planned = entity.plan(current, operations)?;
        if current.is_none() && !planned.is_empty() {
            room = room.checked_sub(1).ok_or_else(|| {
                let message = format!("{ENTITIES_MAX} entities have quotas already");
                Refused::new(ErrorCode::POLICY_VIOLATION, message)
            })?;
        }
        if !validate_only {
            events.extend(planned);
        }
        Ok(())
    };
    let outcomes: Vec<_> = asked.iter().map(&mut alter).collect();
    (events, outcomes)
}

type Read = Result<(Entity, Vec<Operation>), Refused>;

fn read(entry: &Asked<'_>) -> Read {
    let entity =
        Entity::read(entry.entity.iter().map(|part| (&*part.entity_type, part.entity_name.as_deref())))?;
    let operations =
        entry.ops.iter().map(|op| (op.key.to_string(), (!op.remove).then_some(op.value))).collect();
    Ok((entity, operations))
}
