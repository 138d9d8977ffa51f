//! StreamsGroupHeartbeat (key 88).

use crate::error_code::ErrorCode;
use crate::primitives::Str;
use quipu_protocol_derive::Message;

/// Request body `StreamsGroupHeartbeatRequest`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 88, kind = "request", versions = "0-1", flexible = "0+")]
pub struct StreamsGroupHeartbeatRequest<'a> {
    pub group_id: Str<'a>,
    pub member_id: Str<'a>,
    pub member_epoch: i32,
    pub endpoint_information_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<Str<'a>>,
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub topology: Option<Topology<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub active_tasks: Option<Vec<TaskIds<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub standby_tasks: Option<Vec<TaskIds<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub warmup_tasks: Option<Vec<TaskIds<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub process_id: Option<Str<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub user_endpoint: Option<Endpoint<'a>>,
    #[kafka(nullable = "0+", default = null)]
    pub client_tags: Option<Vec<KeyValue<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub task_offsets: Option<Vec<TaskOffset<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub task_end_offsets: Option<Vec<TaskOffset<'a>>>,
    pub shutdown_application: bool,
}

/// Part `Topology` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Topology<'a> {
    pub epoch: i32,
    pub subtopologies: Vec<Subtopology<'a>>,
}

/// Part `Subtopology` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Subtopology<'a> {
    pub subtopology_id: Str<'a>,
    pub source_topics: Vec<Str<'a>>,
    pub source_topic_regex: Vec<Str<'a>>,
    pub state_changelog_topics: Vec<TopicInfo<'a>>,
    pub repartition_sink_topics: Vec<Str<'a>>,
    pub repartition_source_topics: Vec<TopicInfo<'a>>,
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// Part `TopicInfo` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicInfo<'a> {
    pub name: Str<'a>,
    pub partitions: i32,
    pub replication_factor: i16,
    pub topic_configs: Vec<KeyValue<'a>>,
}

/// Part `KeyValue` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct KeyValue<'a> {
    pub key: Str<'a>,
    pub value: Str<'a>,
}

/// Part `CopartitionGroup` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct CopartitionGroup {
    pub source_topics: Vec<i16>,
    pub source_topic_regex: Vec<i16>,
    pub repartition_source_topics: Vec<i16>,
}

/// Part `TaskIds` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskIds<'a> {
    pub subtopology_id: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Part `Endpoint` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Endpoint<'a> {
    pub host: Str<'a>,
    pub port: u16,
}

/// Part `TaskOffset` of [`StreamsGroupHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskOffset<'a> {
    pub subtopology_id: Str<'a>,
    pub partition: i32,
    pub offset: i64,
}

/// Response body `StreamsGroupHeartbeatResponse`, versions 0-1.
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(api_key = 88, kind = "response", versions = "0-1", flexible = "0+")]
pub struct StreamsGroupHeartbeatResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<Str<'a>>,
    pub member_id: Str<'a>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    #[kafka(versions = "0")]
    pub acceptable_recovery_lag_legacy: i32,
    pub task_offset_interval_ms: i32,
    #[kafka(versions = "1+", default = -1)]
    pub acceptable_recovery_lag: i64,
    #[kafka(nullable = "0+")]
    pub status: Option<Vec<Status<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub active_tasks: Option<Vec<ResponseTaskIds<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub standby_tasks: Option<Vec<ResponseTaskIds<'a>>>,
    #[kafka(nullable = "0+", default = null)]
    pub warmup_tasks: Option<Vec<ResponseTaskIds<'a>>>,
    #[kafka(versions = "1+")]
    pub topology_description_required: bool,
    pub endpoint_information_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions<'a>>>,
}

/// Part `Status` of [`StreamsGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct Status<'a> {
    pub status_code: i8,
    pub status_detail: Str<'a>,
}

/// Part `TaskIds` of [`StreamsGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "TaskIds")]
pub struct ResponseTaskIds<'a> {
    pub subtopology_id: Str<'a>,
    pub partitions: Vec<i32>,
}

/// Part `EndpointToPartitions` of [`StreamsGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct EndpointToPartitions<'a> {
    pub user_endpoint: ResponseEndpoint<'a>,
    pub active_partitions: Vec<TopicPartition<'a>>,
    pub standby_partitions: Vec<TopicPartition<'a>>,
}

/// Part `Endpoint` of [`StreamsGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
#[kafka(name = "Endpoint")]
pub struct ResponseEndpoint<'a> {
    pub host: Str<'a>,
    pub port: u16,
}

/// Part `TopicPartition` of [`StreamsGroupHeartbeatResponse`].
#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartition<'a> {
    pub topic: Str<'a>,
    pub partitions: Vec<i32>,
}
