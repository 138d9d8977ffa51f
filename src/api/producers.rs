//! InitProducerId (key 22): an identity for an idempotent producer.
//!
//! Versions 0–5 (6 is unstable in Kafka). Without a transactional id every request gets a fresh producer id, which
//! no producer ever had before, restarts included.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::Context;

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
    match request.transactional_id.as_deref() {
        Some("") => failed(ErrorCode::INVALID_REQUEST),
        // Transactions are not served yet, and their other requests are not offered: an error that a client
        // reports at once, rather than one that it would retry.
        Some(_) => failed(ErrorCode::UNSUPPORTED_VERSION),
        None => match cx.broker.next_producer_id() {
            Ok(producer_id) => {
                InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
            }
            Err(code) => failed(code),
        },
    }
}
