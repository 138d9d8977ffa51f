//! Administration: topics, configuration, groups; transactions, access and features in files of their own. One function
//! per request; a broker's refusal is an error that names what it was about.

pub mod access;
pub mod features;
pub mod transactions;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::consumer_group_describe_response::Assignment;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    IncrementalAlterConfigsRequest, ListConfigResourcesRequest, ListGroupsRequest, OffsetDeleteRequest,
};
use kafka_protocol::protocol::StrBytes;
use quipu_protocol::ErrorCode;

use super::cluster::topic_name;
use super::group::{self, group_id, read_assignment, read_subscription};
use super::{ClientError, Cluster, Committed, TopicPartition};

/// A topic's name and what became of the wish.
pub type TopicOutcome = (String, Result<(), ClientError>);

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions, −1 for the broker's default.
    pub partitions: i32,
    /// Number of copies, −1 for the broker's default.
    pub replication: i16,
    /// Configuration keys and values.
    pub configs: Vec<(String, String)>,
}

/// Creates topics (CreateTopics), or only checks whether they could be created. A result per topic.
pub fn create_topics(
    cluster: &mut Cluster,
    topics: &[NewTopic],
    validate_only: bool,
) -> Result<Vec<TopicOutcome>, ClientError> {
    let wanted = topics
        .iter()
        .map(|topic| {
            let configs = topic.configs.iter().map(|(name, value)| {
                CreatableTopicConfig::default()
                    .with_name(StrBytes::from_string(name.clone()))
                    .with_value(Some(StrBytes::from_string(value.clone())))
            });
            CreatableTopic::default()
                .with_name(topic_name(&topic.name))
                .with_num_partitions(topic.partitions)
                .with_replication_factor(topic.replication)
                .with_configs(configs.collect())
        })
        .collect();
    let request = CreateTopicsRequest::default()
        .with_topics(wanted)
        .with_timeout_ms(timeout_ms(cluster))
        .with_validate_only(validate_only);
    let response = cluster.call_controller(&request)?;
    let results = response.topics.iter().map(|topic| {
        let name = topic.name.to_string();
        let result = outcome(format!("topic \"{name}\""), topic.error_code, topic.error_message.as_deref());
        (name, result)
    });
    Ok(results.collect())
}

/// Deletes topics by name (DeleteTopics). A result per topic.
pub fn delete_topics(cluster: &mut Cluster, names: &[String]) -> Result<Vec<TopicOutcome>, ClientError> {
    let version = cluster.any()?.version::<DeleteTopicsRequest>(i16::MAX)?;
    let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms(cluster));
    let request = match version >= 6 {
        true => request.with_topics(
            names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect(),
        ),
        false => request.with_topic_names(names.iter().map(|name| topic_name(name)).collect()),
    };
    let response = cluster.call_controller(&request)?;
    let results = response.responses.iter().map(|topic| {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        let result = outcome(format!("topic \"{name}\""), topic.error_code, topic.error_message.as_deref());
        (name, result)
    });
    Ok(results.collect())
}

/// Raises a topic's number of partitions to `total` (CreatePartitions).
pub fn add_partitions(cluster: &mut Cluster, topic: &str, total: i32) -> Result<(), ClientError> {
    let wanted = CreatePartitionsTopic::default()
        .with_name(topic_name(topic))
        .with_count(total)
        .with_assignments(None);
    let request =
        CreatePartitionsRequest::default().with_topics(vec![wanted]).with_timeout_ms(timeout_ms(cluster));
    let response = cluster.call_controller(&request)?;
    match response.results.first() {
        Some(result) => {
            outcome(format!("topic \"{topic}\""), result.error_code, result.error_message.as_deref())
        }
        None => Err(ClientError::Other(format!("the broker said nothing about topic \"{topic}\""))),
    }
}

/// Deletes what comes before an offset in each partition (DeleteRecords). Returns where each log starts now.
pub fn delete_records(
    cluster: &mut Cluster,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let partitions: Vec<_> = offsets.keys().cloned().collect();
    let mut starts = BTreeMap::new();
    for (leader, partitions) in cluster.by_leader(&partitions)? {
        let mut topics: BTreeMap<&str, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for p in &partitions {
            let offset = offsets.get(p).copied().unwrap_or(-1);
            let entry =
                DeleteRecordsPartition::default().with_partition_index(p.partition).with_offset(offset);
            topics.entry(&p.topic).or_default().push(entry);
        }
        let topics = topics
            .into_iter()
            .map(|(name, p)| DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(p))
            .collect();
        let request =
            DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(timeout_ms(cluster));
        let response = cluster.call_node(leader, &request, cluster.timeout())?;
        for t in &response.topics {
            for p in &t.partitions {
                let partition = TopicPartition::new(t.name.to_string(), p.partition_index);
                outcome(format!("partition {partition}"), p.error_code, None)?;
                starts.insert(partition, p.low_watermark);
            }
        }
    }
    Ok(starts)
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A broker by id; the empty name stands for the default of all brokers.
    Broker(String),
    /// The loggers of a broker, by its id.
    BrokerLogger(String),
    /// A subscription to the metrics of clients.
    ClientMetrics(String),
    /// A group.
    Group(String),
}

impl Resource {
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
            Self::BrokerLogger(_) => 8,
            Self::ClientMetrics(_) => 16,
            Self::Group(_) => 32,
        }
    }

    /// The resource of a kind, by Kafka's number of it.
    fn of_kind(kind: i8, name: String) -> Option<Self> {
        Some(match kind {
            2 => Self::Topic(name),
            4 => Self::Broker(name),
            8 => Self::BrokerLogger(name),
            16 => Self::ClientMetrics(name),
            32 => Self::Group(name),
            _ => return None,
        })
    }

    /// The word for its kind.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Topic(_) => "topic",
            Self::Broker(_) => "broker",
            Self::BrokerLogger(_) => "broker-logger",
            Self::ClientMetrics(_) => "client-metrics",
            Self::Group(_) => "group",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Topic(name)
            | Self::Broker(name)
            | Self::BrokerLogger(name)
            | Self::ClientMetrics(name)
            | Self::Group(name) => name,
        }
    }

    /// A broker's own settings must be asked of that broker.
    fn node(&self) -> Option<i32> {
        match self {
            Self::Broker(id) | Self::BrokerLogger(id) => id.parse().ok(),
            _ => None,
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic \"{name}\""),
            Self::Broker(name) if name.is_empty() => f.write_str("the default of all brokers"),
            Self::Broker(name) => write!(f, "broker {name}"),
            Self::BrokerLogger(name) => write!(f, "the loggers of broker {name}"),
            Self::ClientMetrics(name) => write!(f, "client metrics subscription \"{name}\""),
            Self::Group(name) => write!(f, "group \"{name}\""),
        }
    }
}

/// A configuration key as the broker reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: String,
    /// The value; none when it has none or is secret.
    pub value: Option<String>,
    /// Where the value comes from, such as `topic` or `default`.
    pub source: &'static str,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// Whether its value is kept secret.
    pub sensitive: bool,
    /// What it means, when that was asked for.
    pub documentation: Option<String>,
}

impl Setting {
    /// Whether somebody set it for this very resource.
    pub fn is_own(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Topic(_) => self.source == "topic",
            Resource::Broker(name) if name.is_empty() => self.source == "cluster",
            Resource::Broker(_) => matches!(self.source, "broker" | "cluster" | "file"),
            // Every logger has a level of its own or its parent's.
            Resource::BrokerLogger(_) => true,
            Resource::ClientMetrics(_) => self.source == "client-metrics",
            Resource::Group(_) => self.source == "group",
        }
    }
}

/// The words for Kafka's numbers of configuration sources.
fn source_name(source: i8) -> &'static str {
    match source {
        1 => "topic",
        2 => "broker",
        3 => "cluster",
        4 => "file",
        5 => "default",
        6 => "logger",
        7 => "client-metrics",
        8 => "group",
        _ => "unknown",
    }
}

/// Reads a resource's configuration (DescribeConfigs): all keys, or those named.
pub fn describe_configs(
    cluster: &mut Cluster,
    resource: &Resource,
    keys: Option<&[String]>,
    documentation: bool,
) -> Result<Vec<Setting>, ClientError> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(resource.kind())
        .with_resource_name(StrBytes::from_string(resource.name().to_owned()))
        .with_configuration_keys(
            keys.map(|keys| keys.iter().map(|k| StrBytes::from_string(k.clone())).collect()),
        );
    let version = cluster.any()?.version::<DescribeConfigsRequest>(i16::MAX)?;
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![wanted])
        .with_include_documentation(documentation && version >= 3);
    let response = match resource.node() {
        Some(id) => cluster.call_node(id, &request, Duration::ZERO)?,
        None => cluster.call(&request)?,
    };
    let Some(result) = response.results.first() else { return Ok(Vec::new()) };
    outcome(resource.to_string(), result.error_code, result.error_message.as_deref())?;
    let mut settings: Vec<Setting> = result
        .configs
        .iter()
        .map(|config| Setting {
            name: config.name.to_string(),
            value: config.value.as_ref().map(ToString::to_string),
            source: source_name(config.config_source),
            read_only: config.read_only,
            sensitive: config.is_sensitive,
            documentation: config.documentation.as_ref().map(ToString::to_string),
        })
        .collect();
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(settings)
}

/// A change to one configuration key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value.
    Set(String, String),
    /// Goes back to the default.
    Delete(String),
    /// Adds to a list.
    Append(String, String),
    /// Takes from a list.
    Subtract(String, String),
}

/// Changes a resource's configuration (IncrementalAlterConfigs), all of it or nothing.
pub fn alter_configs(
    cluster: &mut Cluster,
    resource: &Resource,
    changes: &[Change],
    validate_only: bool,
) -> Result<(), ClientError> {
    let configs = changes.iter().map(|change| {
        let (operation, name, value) = match change {
            Change::Set(name, value) => (0, name, Some(value)),
            Change::Delete(name) => (1, name, None),
            Change::Append(name, value) => (2, name, Some(value)),
            Change::Subtract(name, value) => (3, name, Some(value)),
        };
        AlterableConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_config_operation(operation)
            .with_value(value.map(|value| StrBytes::from_string(value.clone())))
    });
    let wanted = AlterConfigsResource::default()
        .with_resource_type(resource.kind())
        .with_resource_name(StrBytes::from_string(resource.name().to_owned()))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![wanted])
        .with_validate_only(validate_only);
    let response = match resource.node() {
        Some(id) => cluster.call_node(id, &request, Duration::ZERO)?,
        None => cluster.call_controller(&request)?,
    };
    match response.responses.first() {
        Some(result) => outcome(resource.to_string(), result.error_code, result.error_message.as_deref()),
        None => Err(ClientError::Other(format!("the broker said nothing about {resource}"))),
    }
}

/// The resources that have a configuration (ListConfigResources). Before Kafka 4.1 only client metrics subscriptions are
/// told.
pub fn list_config_resources(cluster: &mut Cluster) -> Result<Vec<Resource>, ClientError> {
    let response = cluster.call(&ListConfigResourcesRequest::default())?;
    outcome("the list of resources".into(), response.error_code, None)?;
    let resources = response
        .config_resources
        .iter()
        .filter_map(|found| Resource::of_kind(found.resource_type, found.resource_name.to_string()));
    let mut resources: Vec<Resource> = resources.collect();
    resources.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    Ok(resources)
}

/// A group in the list of all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// Its state, empty when the broker is too old to tell.
    pub state: String,
    /// Its type (classic, consumer, share, streams), empty when the broker is too old to tell.
    pub kind: String,
    /// Its protocol type.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// Lists the groups of every broker (ListGroups).
pub fn list_groups(cluster: &mut Cluster) -> Result<Vec<ListedGroup>, ClientError> {
    cluster.describe(Some(&[]), false)?;
    let ids: Vec<i32> = cluster.nodes().map(|node| node.id).collect();
    let mut groups = Vec::new();
    for id in ids {
        let response = cluster.call_node(id, &ListGroupsRequest::default(), Duration::ZERO)?;
        outcome("the list of groups".into(), response.error_code, None)?;
        groups.extend(response.groups.iter().map(|group| ListedGroup {
            id: group.group_id.to_string(),
            state: group.group_state.to_string(),
            kind: group.group_type.to_string().to_lowercase(),
            protocol: group.protocol_type.to_string(),
            coordinator: id,
        }));
    }
    groups.sort();
    Ok(groups)
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its name across restarts, if it has one.
    pub instance_id: Option<String>,
    /// The name that its client gave.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What it was given to read.
    pub partitions: Vec<TopicPartition>,
    /// What the coordinator wants it to read, in a group of the new kind; it is on its way there.
    pub target: Option<Vec<TopicPartition>>,
    /// Its epoch, in a group of the new kind.
    pub epoch: Option<i32>,
    /// Topics by name and regular expression that it is subscribed to, where the broker tells.
    pub subscription: Vec<String>,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Its type: classic or consumer.
    pub kind: &'static str,
    /// How it shares out partitions.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Epochs of the group and of its target assignment, in a group of the new kind.
    pub epochs: Option<(i32, i32)>,
    /// Its members.
    pub members: Vec<Member>,
}

/// Describes a group (DescribeGroups, or ConsumerGroupDescribe where it is of the new kind).
pub fn describe_group(cluster: &mut Cluster, id: &str) -> Result<Group, ClientError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(id)]);
    let response = cluster.call_coordinator(id, &request, Duration::ZERO, |response| {
        response.groups.first().map_or(0, |group| group.error_code)
    })?;
    let coordinator = cluster.coordinator(id)?;
    let Some(group) = response.groups.first() else { return Err(no_group(id)) };
    let unknown =
        ErrorCode(group.error_code) == ErrorCode::GROUP_ID_NOT_FOUND || group.group_state.as_str() == "Dead";
    if unknown {
        return describe_consumer_group(cluster, id, coordinator);
    }
    outcome(format!("group \"{id}\""), group.error_code, group.error_message.as_deref())?;
    let consumers = group.protocol_type.as_str() == "consumer";
    let mut members = Vec::with_capacity(group.members.len());
    for member in &group.members {
        members.push(Member {
            id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.trim_start_matches('/').to_owned(),
            partitions: if consumers { read_assignment(&member.member_assignment)? } else { Vec::new() },
            target: None,
            epoch: None,
            subscription: if consumers { read_subscription(&member.member_metadata)? } else { Vec::new() },
        });
    }
    Ok(Group {
        id: id.to_owned(),
        state: group.group_state.to_string(),
        kind: "classic",
        assignor: group.protocol_data.to_string(),
        coordinator,
        epochs: None,
        members,
    })
}

fn describe_consumer_group(cluster: &mut Cluster, id: &str, coordinator: i32) -> Result<Group, ClientError> {
    if cluster.node(coordinator)?.version::<ConsumerGroupDescribeRequest>(i16::MAX).is_err() {
        return Err(no_group(id));
    }
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(id)]);
    let response = cluster.call_node(coordinator, &request, Duration::ZERO)?;
    let Some(group) = response.groups.first() else { return Err(no_group(id)) };
    outcome(format!("group \"{id}\""), group.error_code, None)?;
    let partitions = |assignment: &Assignment| -> Vec<TopicPartition> {
        let topics = assignment.topic_partitions.iter();
        topics
            .flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.topic_name.to_string(), *p)))
            .collect()
    };
    let members = group.members.iter().map(|member| {
        let names = member.subscribed_topic_names.iter().map(|name| name.to_string());
        let regex = member.subscribed_topic_regex.iter().filter(|regex| !regex.is_empty());
        Member {
            id: member.member_id.to_string(),
            instance_id: member.instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.trim_start_matches('/').to_owned(),
            partitions: partitions(&member.assignment),
            target: Some(partitions(&member.target_assignment)),
            epoch: Some(member.member_epoch),
            subscription: names.chain(regex.map(|regex| format!("/{regex}/"))).collect(),
        }
    });
    Ok(Group {
        id: id.to_owned(),
        state: group.group_state.to_string(),
        kind: "consumer",
        assignor: group.assignor_name.to_string(),
        coordinator,
        epochs: Some((group.group_epoch, group.assignment_epoch)),
        members: members.collect(),
    })
}

/// Deletes a group and its offsets (DeleteGroups). It must be empty.
pub fn delete_group(cluster: &mut Cluster, id: &str) -> Result<(), ClientError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(id)]);
    let code = |response: &kafka_protocol::messages::DeleteGroupsResponse| {
        response.results.first().map_or(0, |result| result.error_code)
    };
    let response = cluster.call_coordinator(id, &request, Duration::ZERO, code)?;
    outcome(format!("group \"{id}\""), code(&response), None)
}

/// What a group has committed (OffsetFetch), for all partitions.
pub fn group_offsets(
    cluster: &mut Cluster,
    id: &str,
) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
    group::committed(cluster, id, None)
}

/// What a group has committed (OffsetFetch), for some partitions.
pub fn group_offsets_of(
    cluster: &mut Cluster,
    id: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
    group::committed(cluster, id, Some(partitions))
}

/// Sets the offsets of a group that has no members (OffsetCommit).
pub fn set_group_offsets(
    cluster: &mut Cluster,
    id: &str,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<(), ClientError> {
    for (partition, code) in group::commit(cluster, id, -1, "", offsets)? {
        outcome(format!("group \"{id}\", partition {partition}"), code, None)?;
    }
    Ok(())
}

/// Deletes the offsets of a group for some partitions (OffsetDelete).
pub fn delete_group_offsets(
    cluster: &mut Cluster,
    id: &str,
    partitions: &[TopicPartition],
) -> Result<(), ClientError> {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for p in partitions {
        let entry = OffsetDeleteRequestPartition::default().with_partition_index(p.partition);
        topics.entry(&p.topic).or_default().push(entry);
    }
    let topics = topics
        .into_iter()
        .map(|(name, p)| OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(p))
        .collect();
    let request = OffsetDeleteRequest::default().with_group_id(group_id(id)).with_topics(topics);
    let response = cluster.call_coordinator(id, &request, Duration::ZERO, |response| response.error_code)?;
    outcome(format!("group \"{id}\""), response.error_code, None)?;
    for t in &response.topics {
        for p in &t.partitions {
            let partition = TopicPartition::new(t.name.to_string(), p.partition_index);
            outcome(format!("group \"{id}\", partition {partition}"), p.error_code, None)?;
        }
    }
    Ok(())
}

fn no_group(id: &str) -> ClientError {
    ClientError::broker(format!("group \"{id}\""), ErrorCode::GROUP_ID_NOT_FOUND.0, None)
}

fn outcome(subject: String, code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match code {
        0 => Ok(()),
        code => Err(ClientError::broker(subject, code, message)),
    }
}

fn timeout_ms(cluster: &Cluster) -> i32 {
    cluster.timeout().as_millis().try_into().unwrap_or(i32::MAX)
}
