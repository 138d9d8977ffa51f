//! InitProducerId (key 22): an identity for an idempotent or transactional producer.
//!
//! Versions 0–5 (6 is unstable in Kafka). Without a transactional id every request gets a fresh producer id, which
//! no producer ever had before, restarts included. With one the coordinator decides: version 3 brings the identity that
//! the producer believes to have (KIP-360), from version 4 on a fenced one is told `PRODUCER_FENCED`.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::Context;

/// First version whose clients know PRODUCER_FENCED (KIP-588).
const FENCED_SINCE: i16 = 4;

/// Hands out a producer id.
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
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        // Half an identity is none.
        (-1, _) | (_, -1) => return failed(ErrorCode::INVALID_REQUEST),
        identity => Some(identity),
    };
    match request.transactional_id.as_deref() {
        Some(id) => match cx.broker.transactions.init(id, request.transaction_timeout_ms, expected).await {
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
