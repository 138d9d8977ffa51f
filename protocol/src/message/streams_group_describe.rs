//! StreamsGroupDescribe (key 89).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `StreamsGroupDescribeRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 89, kind = "request", versions = "0-1", flexible = "0+")]
pub struct StreamsGroupDescribeRequest<'a> {
    pub group_ids: Vec<Str<'a>>,
    pub include_authorized_operations: bool,
    #[kafka(versions = "1+")]
    pub include_topology_description: bool,
}

/// Response body `StreamsGroupDescribeResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 89, kind = "response", versions = "0-1", flexible = "0+")]
pub struct StreamsGroupDescribeResponse<'a> {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup<'a>>,
}

/// Part `DescribedGroup` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroup<'a> {
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub group_id: Str<'a>,
    pub group_state: Str<'a>,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub topology: Option<Topology<'a>>,
    pub members: Vec<Member<'a>>,
    #[kafka(default = -2147483648)]
    pub authorized_operations: i32,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub topology_description: Option<TopologyDescription<'a>>,
    #[kafka(versions = "1+")]
    pub topology_description_status: i8,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub assignor_name: Option<Str<'a>>,
}

/// Part `Topology` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Topology<'a> {
    pub epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub subtopologies: Option<Vec<Subtopology<'a>>>,
}

/// Part `Subtopology` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Subtopology<'a> {
    pub subtopology_id: Str<'a>,
    pub source_topics: Vec<Str<'a>>,
    pub repartition_sink_topics: Vec<Str<'a>>,
    pub state_changelog_topics: Vec<TopicInfo<'a>>,
    pub repartition_source_topics: Vec<TopicInfo<'a>>,
}

/// Part `TopicInfo` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicInfo<'a> {
    pub name: Str<'a>,
    pub partitions: i32,
    pub replication_factor: i16,
    pub topic_configs: Vec<KeyValue<'a>>,
}

/// Part `KeyValue` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct KeyValue<'a> {
    pub key: Str<'a>,
    pub value: Str<'a>,
}

/// Part `Member` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Member<'a> {
    pub member_id: Str<'a>,
    pub member_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    pub client_id: Str<'a>,
    pub client_host: Str<'a>,
    pub topology_epoch: i32,
    pub process_id: Str<'a>,
    #[kafka(nullable = "0+", default = null)]
    pub user_endpoint: Option<Endpoint<'a>>,
    pub client_tags: Vec<KeyValue<'a>>,
    pub task_offsets: Vec<TaskOffset<'a>>,
    pub task_end_offsets: Vec<TaskOffset<'a>>,
    pub assignment: Assignment<'a>,
    pub target_assignment: Assignment<'a>,
    pub is_classic: bool,
}

/// Part `Endpoint` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Endpoint<'a> {
    pub host: Str<'a>,
    pub port: u16,
}

/// Part `TaskOffset` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskOffset<'a> {
    pub subtopology_id: Str<'a>,
    pub partition: i32,
    pub offset: i64,
}

/// Part `Assignment` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment<'a> {
    pub active_tasks: Vec<TaskIds<'a>>,
    pub standby_tasks: Vec<TaskIds<'a>>,
    pub warmup_tasks: Vec<TaskIds<'a>>,
}

/// Part `TaskIds` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskIds<'a> {
    pub subtopology_id: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Part `TopologyDescription` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescription<'a> {
    #[kafka(versions = "1+")]
    pub subtopologies: Vec<TopologyDescriptionSubtopology<'a>>,
    #[kafka(versions = "1+")]
    pub global_stores: Vec<TopologyDescriptionGlobalStore<'a>>,
}

/// Part `TopologyDescriptionSubtopology` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionSubtopology<'a> {
    #[kafka(versions = "1+")]
    pub subtopology_id: Str<'a>,
    #[kafka(versions = "1+")]
    pub nodes: Vec<TopologyDescriptionNode<'a>>,
}

/// Part `TopologyDescriptionNode` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionNode<'a> {
    #[kafka(versions = "1+")]
    pub name: Str<'a>,
    #[kafka(versions = "1+")]
    pub node_type: i8,
    #[kafka(versions = "1+")]
    pub source_topics: Vec<Str<'a>>,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub sink_topic: Option<Str<'a>>,
    #[kafka(versions = "1+")]
    pub stores: Vec<Str<'a>>,
    #[kafka(versions = "1+")]
    pub successors: Vec<Str<'a>>,
}

/// Part `TopologyDescriptionGlobalStore` of [`StreamsGroupDescribeResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopologyDescriptionGlobalStore<'a> {
    #[kafka(versions = "1+")]
    pub source: TopologyDescriptionNode<'a>,
    #[kafka(versions = "1+")]
    pub processor: TopologyDescriptionNode<'a>,
}
