//! EndTxn (key 26).

use quipu_protocol::ErrorCode;
use quipu_protocol::message::end_txn::{EndTxnRequest, EndTxnResponse};

use super::told;
use crate::api::Context;
use crate::coordinator::txn::machine::Version;
use crate::security::acl::{Operation, ResourceType};

/// First version whose clients get an epoch per transaction (KIP-890).
const OWN_EPOCH_SINCE: i16 = 5;

/// Commits or aborts a transaction. Versions 0–5; version 5 tells the producer under which identity it goes on.
pub async fn end_txn<'a>(cx: &Context<'_>, request: EndTxnRequest<'a>) -> EndTxnResponse {
    let version = if cx.version >= OWN_EPOCH_SINCE { Version::Two } else { Version::One };
    let producer = (request.producer_id, request.producer_epoch);
    let id = &*request.transactional_id;
    let ended = match cx.permit(Operation::Write, ResourceType::TransactionalId, id) {
        Ok(()) => cx.broker.transactions.end(id, producer, request.committed, version).await,
        Err(code) => Err(code),
    };
    match ended {
        Ok((producer_id, producer_epoch)) => {
            EndTxnResponse { throttle_time_ms: 0, error_code: ErrorCode::NONE, producer_id, producer_epoch }
        }
        Err(code) => EndTxnResponse {
            throttle_time_ms: 0,
            error_code: told(code, cx.version),
            producer_id: -1,
            producer_epoch: -1,
        },
    }
}
