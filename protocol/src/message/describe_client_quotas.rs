//! DescribeClientQuotas (key 48).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `DescribeClientQuotasRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 48, kind = "request", versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasRequest<'a> {
    pub components: Vec<ComponentData<'a>>,
    pub strict: bool,
}

/// Part `ComponentData` of [`DescribeClientQuotasRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ComponentData<'a> {
    pub entity_type: Str<'a>,
    pub match_type: i8,
    #[kafka(nullable = "0+")]
    pub r#match: Option<Str<'a>>,
}

/// Response body `DescribeClientQuotasResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 48, kind = "response", versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+")]
    pub error_message: Option<Str<'a>>,
    #[kafka(nullable = "0+")]
    pub entries: Option<Vec<EntryData<'a>>>,
}

/// Part `EntryData` of [`DescribeClientQuotasResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntryData<'a> {
    pub entity: Vec<EntityData<'a>>,
    pub values: Vec<ValueData<'a>>,
}

/// Part `EntityData` of [`DescribeClientQuotasResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntityData<'a> {
    pub entity_type: Str<'a>,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<Str<'a>>,
}

/// Part `ValueData` of [`DescribeClientQuotasResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct ValueData<'a> {
    pub key: Str<'a>,
    pub value: f64,
}
