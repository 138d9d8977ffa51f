//! AlterClientQuotas (key 49).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `AlterClientQuotasRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 49, kind = "request", versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasRequest<'a> {
    pub entries: Vec<EntryData<'a>>,
    pub validate_only: bool,
}

/// Part `EntryData` of [`AlterClientQuotasRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntryData<'a> {
    pub entity: Vec<EntityData<'a>>,
    pub ops: Vec<OpData<'a>>,
}

/// Part `EntityData` of [`AlterClientQuotasRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntityData<'a> {
    pub entity_type: Str<'a>,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<Str<'a>>,
}

/// Part `OpData` of [`AlterClientQuotasRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct OpData<'a> {
    pub key: Str<'a>,
    pub value: f64,
    pub remove: bool,
}

/// Response body `AlterClientQuotasResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 49, kind = "response", versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasResponse<'a> {
    pub throttle_time_ms: i32,
    pub entries: Vec<ResponseEntryData<'a>>,
}

/// Part `EntryData` of [`AlterClientQuotasResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "EntryData")]
pub struct ResponseEntryData<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    pub entity: Vec<ResponseEntityData<'a>>,
}

/// Part `EntityData` of [`AlterClientQuotasResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "EntityData")]
pub struct ResponseEntityData<'a> {
    pub entity_type: Str<'a>,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<Str<'a>>,
}
