//! GetTelemetrySubscriptions (key 71).

use crate::error_code::ErrorCode;
use crate::primitives::{Str, Uuid};
use quipu_protocol_derive::Message;

/// Request body `GetTelemetrySubscriptionsRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 71, kind = "request", versions = "0", flexible = "0+")]
pub struct GetTelemetrySubscriptionsRequest {
    pub client_instance_id: Uuid,
}

/// Response body `GetTelemetrySubscriptionsResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 71, kind = "response", versions = "0", flexible = "0+")]
pub struct GetTelemetrySubscriptionsResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    pub accepted_compression_types: Vec<i8>,
    pub push_interval_ms: i32,
    pub telemetry_max_bytes: i32,
    pub delta_temporality: bool,
    pub requested_metrics: Vec<Str<'a>>,
}
