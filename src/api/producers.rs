//! InitProducerId (key 22): an identity for an idempotent or transactional producer.
//!
//! Versions 0–5, and 6 with `unstable.api.versions.enable`. Without a transactional id every request gets a fresh producer id, which
//! no producer ever had before, restarts included. With one the coordinator decides: version 3 brings the identity that
//! the producer believes to have (KIP-360), from version 4 on a fenced one is told `PRODUCER_FENCED`. With version 6 and
//! `transaction.two.phase.commit.enable` it may have transactions that no timeout ends (KIP-939); one that was prepared
//! cannot be kept, which Kafka 4.3 refuses in the same way.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::Context;
use crate::security::acl::{Operation, ResourceType};

/// First version whose clients know PRODUCER_FENCED (KIP-588).
const FENCED_SINCE: i16 = 4;

/// Who may write to any topic at all may be idempotent (KIP-679); a transactional id has a right of its own.
fn permit(cx: &Context<'_>, request: &InitProducerIdRequest<'_>) -> Result<(), ErrorCode> {
    let kind = ResourceType::TransactionalId;
    match request.transactional_id.as_deref() {
        Some(id) => {
            cx.permit(Operation::Write, kind, id)?;
            if request.enable2_pc { cx.permit(Operation::TwoPhaseCommit, kind, id) } else { Ok(()) }
        }
        None if cx.may_to_any(Operation::Write, ResourceType::Topic) => Ok(()),
        None => cx.permit_on_cluster(Operation::IdempotentWrite),
    }
}

/// Hands out a producer id. More of them are reserved on a thread that may wait for the disk.
pub async fn init_producer_id<'a>(
    cx: &Context<'_>,
    request: InitProducerIdRequest<'a>,
) -> InitProducerIdResponse {
    let failed = |error_code| InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    if let Err(code) = permit(cx, &request) {
        return failed(code);
    }
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        // Half an identity is none.
        (-1, _) | (_, -1) => return failed(ErrorCode::INVALID_REQUEST),
        identity => Some(identity),
    };
    let timeout_ms = (!request.enable2_pc).then_some(request.transaction_timeout_ms);
    cx.broker.have_producer_ids().await;
    match request.transactional_id.as_deref() {
        Some("") => failed(ErrorCode::INVALID_REQUEST),
        Some(_) if request.enable2_pc && !cx.broker.settings().transactions.two_phase_commit => {
            failed(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        }
        Some(_) if request.keep_prepared_txn => failed(ErrorCode::UNSUPPORTED_VERSION),
        Some(id) => match cx.broker.transactions.init(id, timeout_ms, expected).await {
            Ok((producer_id, producer_epoch)) => {
                InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() }
            }
            Err(ErrorCode::PRODUCER_FENCED) if cx.version < FENCED_SINCE => {
                failed(ErrorCode::INVALID_PRODUCER_EPOCH)
            }
            Err(code) => failed(code),
        },
        None => match cx.broker.next_producer_id() {
            Ok(producer_id) => {
                InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
            }
            Err(code) => failed(code),
        },
    }
}
