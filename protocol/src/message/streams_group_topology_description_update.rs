//! StreamsGroupTopologyDescriptionUpdate (key 93).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `StreamsGroupTopologyDescriptionUpdateRequest`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 93, kind = "request", versions = "0", flexible = "0+")]
pub struct StreamsGroupTopologyDescriptionUpdateRequest<'a> {
    pub group_id: Str<'a>,
    pub member_id: Str<'a>,
    pub topology_epoch: i32,
    pub topology_description: TopologyDescription<'a>,
}

/// Part `TopologyDescription` of [`StreamsGroupTopologyDescriptionUpdateRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescription<'a> {
    pub subtopologies: Vec<TopologyDescriptionSubtopology<'a>>,
    pub global_stores: Vec<TopologyDescriptionGlobalStore<'a>>,
}

/// Part `TopologyDescriptionSubtopology` of [`StreamsGroupTopologyDescriptionUpdateRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionSubtopology<'a> {
    pub subtopology_id: Str<'a>,
    pub nodes: Vec<TopologyDescriptionNode<'a>>,
}

/// Part `TopologyDescriptionNode` of [`StreamsGroupTopologyDescriptionUpdateRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionNode<'a> {
    pub name: Str<'a>,
    pub node_type: i8,
    pub source_topics: Vec<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub sink_topic: Option<Str<'a>>,
    pub stores: Vec<Str<'a>>,
    pub successors: Vec<Str<'a>>,
}

/// Part `TopologyDescriptionGlobalStore` of [`StreamsGroupTopologyDescriptionUpdateRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionGlobalStore<'a> {
    pub source: TopologyDescriptionNode<'a>,
    pub processor: TopologyDescriptionNode<'a>,
}

/// Response body `StreamsGroupTopologyDescriptionUpdateResponse`, versions 0.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 93, kind = "response", versions = "0", flexible = "0+")]
pub struct StreamsGroupTopologyDescriptionUpdateResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
}
