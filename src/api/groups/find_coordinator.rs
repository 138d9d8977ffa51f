//! FindCoordinator.

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::message::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::text;
use crate::api::Context;
use crate::api::permission::message;
use crate::internal;
use crate::security::acl::{Operation, ResourceType};
use crate::topic::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

/// First version that takes several keys (KIP-699).
const FIRST_BATCH: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Names the coordinator of groups and transactional ids: always this broker, at the address that the client used.
///
/// Versions 0–6. Version 0 knows groups only; share groups (key type 2, version 6) have no coordinator here yet.
pub async fn find_coordinator<'a>(
    cx: &Context<'_>,
    request: FindCoordinatorRequest<'a>,
) -> FindCoordinatorResponse<'a> {
    let refused = !matches!(request.key_type, GROUP | TRANSACTION);
    let keys = match cx.version < FIRST_BATCH {
        true => vec![request.key],
        false => request.coordinator_keys,
    };
    let permitted: Vec<_> = keys.iter().map(|key| permit(cx, request.key_type, key)).collect();
    // As in Kafka the topic that keeps the state comes to be when somebody first looks for its coordinator: tools and
    // clients find it in the metadata from then on.
    let topic = match request.key_type {
        // Nobody is told of a coordinator.
        _ if permitted.iter().all(Result::is_err) => Ok(()),
        GROUP => cx.internal_topic(OFFSETS_TOPIC, internal::offsets::topic).await.map(drop),
        TRANSACTION => cx.internal_topic(TRANSACTIONS_TOPIC, internal::transactions::topic).await.map(drop),
        _ => Ok(()),
    };
    let (error_code, error_message) = if let Err(code) = topic {
        (code, Some(text("The coordinator's topic cannot be created; the broker's log says why.")))
    } else if refused {
        let message = format!("There is no coordinator for key type {} here.", request.key_type);
        (ErrorCode::INVALID_REQUEST, Some(text(&message)))
    } else {
        // Kafka's messages of no error; some clients print them.
        (ErrorCode::NONE, Some(text(if cx.version < FIRST_BATCH { "NONE" } else { "" })))
    };
    let (node_id, host, port) = if refused {
        (-1, String::new(), -1)
    } else {
        let address = cx.broker.address_for(cx.local_addr);
        (cx.broker.node_id(), address.host, i32::from(address.port))
    };
    if cx.version < FIRST_BATCH {
        if let Some(&Err(error_code)) = permitted.first() {
            return FindCoordinatorResponse {
                error_code,
                error_message: Some(text(message(error_code))),
                node_id: -1,
                port: -1,
                ..FindCoordinatorResponse::default()
            };
        }
        return FindCoordinatorResponse {
            throttle_time_ms: 0,
            error_code,
            error_message,
            node_id,
            host: text(&host),
            port,
            coordinators: Vec::new(),
        };
    }
    let coordinators = keys.into_iter().zip(permitted).map(|(key, permitted)| match permitted {
        Ok(()) => Coordinator {
            key,
            node_id,
            host: text(&host),
            port,
            error_code,
            error_message: error_message.clone(),
        },
        Err(error_code) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code,
            error_message: Some(text(message(error_code))),
            ..Default::default()
        },
    });
    FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() }
}

fn permit(cx: &Context<'_>, key_type: i8, key: &str) -> Result<(), ErrorCode> {
    match key_type {
        GROUP => cx.permit(Operation::Describe, ResourceType::Group, key),
        TRANSACTION => cx.permit(Operation::Describe, ResourceType::TransactionalId, key),
        _ => Ok(()),
    }
}
