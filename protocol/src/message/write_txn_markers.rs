//! WriteTxnMarkers (key 27).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `WriteTxnMarkersRequest`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 27, kind = "request", versions = "1-2", flexible = "1+")]
pub struct WriteTxnMarkersRequest<'a> {
    pub markers: Vec<WritableTxnMarker<'a>>,
}

/// Part `WritableTxnMarker` of [`WriteTxnMarkersRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct WritableTxnMarker<'a> {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub transaction_result: bool,
    pub topics: Vec<WritableTxnMarkerTopic<'a>>,
    pub coordinator_epoch: i32,
    #[kafka(versions = "2+")]
    pub transaction_version: i8,
}

/// Part `WritableTxnMarkerTopic` of [`WriteTxnMarkersRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct WritableTxnMarkerTopic<'a> {
    pub name: Str<'a>,
    pub partition_indexes: Vec<i32>,
}

/// Response body `WriteTxnMarkersResponse`, versions 1-2.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 27, kind = "response", versions = "1-2", flexible = "1+")]
pub struct WriteTxnMarkersResponse<'a> {
    pub markers: Vec<WritableTxnMarkerResult<'a>>,
}

/// Part `WritableTxnMarkerResult` of [`WriteTxnMarkersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct WritableTxnMarkerResult<'a> {
    pub producer_id: i64,
    pub topics: Vec<WritableTxnMarkerTopicResult<'a>>,
}

/// Part `WritableTxnMarkerTopicResult` of [`WriteTxnMarkersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct WritableTxnMarkerTopicResult<'a> {
    pub name: Str<'a>,
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
}

/// Part `WritableTxnMarkerPartitionResult` of [`WriteTxnMarkersResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct WritableTxnMarkerPartitionResult {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
