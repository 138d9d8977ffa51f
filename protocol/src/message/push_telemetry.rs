//! PushTelemetry (key 72).

use crate::error_code::ErrorCode;
use crate::primitives::{Blob, Uuid};
use quipu_protocol_derive::Message;

/// Request body `PushTelemetryRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 72, kind = "request", versions = "0", flexible = "0+")]
pub struct PushTelemetryRequest<'a> {
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    pub terminating: bool,
    pub compression_type: i8,
    pub metrics: Blob<'a>,
}

/// Response body `PushTelemetryResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 72, kind = "response", versions = "0", flexible = "0+")]
pub struct PushTelemetryResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
}
