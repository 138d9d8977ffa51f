//! SaslHandshake (key 17) and SaslAuthenticate (key 36), on a listener where nobody logs in.
//!
//! Versions 0–1 and 0–2. Every listener is PLAINTEXT so far: who comes is let in at once, and it is too late to log in
//! then. Kafka's answer to that is ILLEGAL_SASL_STATE, by which a client knows that its security settings are not those of
//! the listener.

use quipu_protocol::ErrorCode;
use quipu_protocol::message::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use quipu_protocol::message::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use quipu_protocol::primitives::Str;

use super::Context;

/// Names the mechanisms that are offered: none.
pub async fn sasl_handshake<'a>(_: &Context<'_>, _: SaslHandshakeRequest<'a>) -> SaslHandshakeResponse<'a> {
    SaslHandshakeResponse { error_code: ErrorCode::ILLEGAL_SASL_STATE, ..Default::default() }
}

/// Would take a login.
pub async fn sasl_authenticate<'a>(
    _: &Context<'_>,
    _: SaslAuthenticateRequest<'a>,
) -> SaslAuthenticateResponse<'a> {
    SaslAuthenticateResponse {
        error_code: ErrorCode::ILLEGAL_SASL_STATE,
        error_message: Some(Str::Borrowed("SaslAuthenticate request received on a listener without a login")),
        ..Default::default()
    }
}
