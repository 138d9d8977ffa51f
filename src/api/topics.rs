//! CreateTopics (key 19), DeleteTopics (key 20) and CreatePartitions (key 37).

use std::collections::{BTreeMap, HashMap};

use quipu_protocol::ErrorCode;
use quipu_protocol::message::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use quipu_protocol::message::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use quipu_protocol::message::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use quipu_protocol::primitives::{Str, Uuid};

use super::{Context, permission};
use crate::broker::{Broker, CreateTopic, Refused};
use crate::catalog::Resource;
use crate::config::describe_topic;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::topic::{Topic, is_internal};

/// First version that names topics to delete by id.
const DELETE_BY_ID_SINCE: i16 = 6;
/// First version whose answer tells the new topic's settings (KIP-525).
const CONFIGS_SINCE: i16 = 5;

/// Creates topics, or only checks whether they could be (versions 2–7).
pub async fn create_topics<'a>(
    cx: &Context<'_>,
    request: CreateTopicsRequest<'a>,
) -> CreateTopicsResponse<'a> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *seen.entry(topic.name.to_string()).or_default() += 1;
    }
    let may_create_all = cx.may_quietly(Operation::Create, ResourceType::Cluster, CLUSTER_NAME);
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        match seen.get_mut(&*asked.name) {
            Some(1) => {}
            // A topic named twice is refused once, whatever the two ask for.
            Some(count) if *count > 1 => {
                *count = 0;
                let refused = Refused::new(ErrorCode::INVALID_REQUEST, "the request names this topic twice");
                topics.push(refused_topic(asked.name, refused));
                continue;
            }
            _ => continue,
        }
        if !may_create_all && !cx.may(Operation::Create, ResourceType::Topic, &asked.name) {
            let refused = Refused::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, "Authorization failed.");
            topics.push(refused_topic(asked.name, refused));
            continue;
        }
        let created = match plan(&asked) {
            Ok(plan) if request.validate_only => {
                cx.broker.check_topic(&plan).map(|checked| (Uuid::ZERO, checked.partitions, checked.configs))
            }
            Ok(plan) => cx.broker.aside(|broker| create(broker, plan)).await,
            Err(refused) => Err(refused),
        };
        topics.push(match created {
            // Created, but it is not told how.
            Ok((topic_id, ..))
                if !cx.may_quietly(Operation::DescribeConfigs, ResourceType::Topic, &asked.name) =>
            {
                CreatableTopicResult {
                    name: asked.name,
                    topic_id,
                    error_message: None,
                    topic_config_error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                    num_partitions: -1,
                    replication_factor: -1,
                    ..Default::default()
                }
            }
            Ok((topic_id, num_partitions, configs)) => CreatableTopicResult {
                name: asked.name,
                topic_id,
                error_code: ErrorCode::NONE,
                error_message: None,
                num_partitions,
                replication_factor: 1,
                configs: (cx.version >= CONFIGS_SINCE).then(|| {
                    describe_topic(&configs, &cx.broker.config().layers())
                        .into_iter()
                        .map(|entry| CreatableTopicConfigs {
                            name: entry.name,
                            value: entry.value.map(Str::Owned),
                            read_only: entry.read_only,
                            config_source: entry.source as i8,
                            is_sensitive: entry.is_sensitive,
                        })
                        .collect()
                }),
                ..Default::default()
            },
            Err(refused) => refused_topic(asked.name, refused),
        });
    }
    CreateTopicsResponse { throttle_time_ms: 0, topics }
}

/// The new topic's id, its number of partitions, and what was set on it.
fn create(broker: &Broker, plan: CreateTopic) -> Result<(Uuid, i32, BTreeMap<String, String>), Refused> {
    let resource = Resource::Topic(plan.name.clone());
    let topic = broker.create_topic(plan)?;
    let configs = broker.overrides(&resource).unwrap_or_default();
    Ok((topic.id(), topic.partitions().len() as i32, configs))
}

fn refused_topic<'a>(name: Str<'a>, refused: Refused) -> CreatableTopicResult<'a> {
    CreatableTopicResult {
        name,
        error_code: refused.code,
        error_message: Some(Str::Owned(refused.message)),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

/// Reads what a client asks of a new topic.
fn plan(asked: &CreatableTopic<'_>) -> Result<CreateTopic, Refused> {
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let value = config.value.as_deref().ok_or_else(|| {
            Refused::new(
                ErrorCode::INVALID_CONFIG,
                format!("{} has no value; leave it out instead", config.name),
            )
        })?;
        configs.insert(config.name.to_string(), value.to_owned());
    }
    let (mut partitions, mut replication_factor) = (asked.num_partitions, asked.replication_factor);
    if !asked.assignments.is_empty() {
        if partitions != -1 || replication_factor != -1 {
            return Err(Refused::new(
                ErrorCode::INVALID_REQUEST,
                "a topic has either a number of partitions and replicas, or an assignment of both, not the two at once",
            ));
        }
        let mut indexes: Vec<i32> = asked.assignments.iter().map(|a| a.partition_index).collect();
        indexes.sort_unstable();
        if indexes.iter().enumerate().any(|(at, index)| *index != at as i32) {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "an assignment names the partitions 0, 1, 2 and so on, each once",
            ));
        }
        let replicas = &asked.assignments[0].broker_ids;
        if asked.assignments.iter().any(|a| a.broker_ids.len() != replicas.len() || a.broker_ids.is_empty()) {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "an assignment gives every partition the same number of replicas, at least one",
            ));
        }
        let is_repeated = |ids: &[i32]| ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id));
        if asked.assignments.iter().any(|a| is_repeated(&a.broker_ids)) {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "an assignment names a broker twice for one partition",
            ));
        }
        partitions = asked.assignments.len() as i32;
        replication_factor = replicas.len() as i16;
    }
    let assigned = asked.assignments.iter().flat_map(|a| a.broker_ids.iter().copied()).collect();
    Ok(CreateTopic {
        name: asked.name.to_string(),
        partitions: (partitions != -1).then_some(partitions),
        replication_factor: (replication_factor != -1).then_some(replication_factor),
        assigned_brokers: assigned,
        configs,
    })
}

/// Deletes topics by name or id (versions 1–6).
pub async fn delete_topics<'a>(
    cx: &Context<'_>,
    request: DeleteTopicsRequest<'a>,
) -> DeleteTopicsResponse<'a> {
    let asked: Vec<DeleteTopicState<'a>> = if cx.version >= DELETE_BY_ID_SINCE {
        request.topics
    } else {
        request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO })
            .collect()
    };
    // A topic named twice, by whatever, is refused once and stays.
    let mut times_named: HashMap<Uuid, (usize, bool)> = HashMap::new();
    for asked in &asked {
        if let Ok(topic) = find(cx, asked) {
            let (times, is_by_id) = times_named.entry(topic.id()).or_default();
            *times += 1;
            *is_by_id |= asked.name.is_none();
        }
    }
    let may_delete_all = cx.may_quietly(Operation::Delete, ResourceType::Cluster, CLUSTER_NAME);
    let mut responses = Vec::with_capacity(asked.len());
    for asked in asked {
        let found = find(cx, &asked);
        if let Ok(topic) = &found {
            match times_named.remove(&topic.id()) {
                Some((1, _)) => {}
                Some((_, is_by_id)) => {
                    responses.push(DeletableTopicResult {
                        name: Some(Str::Owned(topic.name().to_string())),
                        topic_id: if is_by_id { topic.id() } else { Uuid::ZERO },
                        error_code: ErrorCode::INVALID_REQUEST,
                        error_message: Some(Str::Borrowed("the request names this topic twice")),
                    });
                    continue;
                }
                None => continue,
            }
        }
        if let Err(name) = permit_deletion(cx, &asked, found.as_deref().ok(), may_delete_all) {
            responses.push(DeletableTopicResult {
                name,
                topic_id: asked.topic_id,
                error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                error_message: Some(Str::Borrowed(permission::message(
                    ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                ))),
            });
            continue;
        }
        let deleted = match found.and_then(|topic| may_delete(cx, topic)) {
            Ok(topic) => cx.broker.aside(move |broker| broker.delete_topic(&topic)).await,
            Err(refused) => Err(refused),
        };
        let (name, topic_id) = match &deleted {
            Ok(topic) => (Some(Str::Owned(topic.name().to_string())), topic.id()),
            Err(_) => (asked.name, asked.topic_id),
        };
        let (error_code, error_message) = match deleted {
            Ok(_) => (ErrorCode::NONE, None),
            Err(refused) => (refused.code, Some(Str::Owned(refused.message))),
        };
        responses.push(DeletableTopicResult { name, topic_id, error_code, error_message });
    }
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}

/// Whether the client may delete the topic. If not, gives the name that it may be told: its own word, and the name behind
/// an id only if it may see that topic.
fn permit_deletion<'a>(
    cx: &Context<'_>,
    asked: &DeleteTopicState<'a>,
    topic: Option<&Topic>,
    may_delete_all: bool,
) -> Result<(), Option<Str<'a>>> {
    let found = || topic.map(|topic| Str::Owned(topic.name().to_string()));
    let Some(name) = asked.name.clone().or_else(found) else { return Ok(()) };
    let is_told = asked.name.is_some() || cx.may_quietly(Operation::Describe, ResourceType::Topic, &name);
    if may_delete_all || is_told && cx.may(Operation::Delete, ResourceType::Topic, &name) {
        return Ok(());
    }
    Err(is_told.then_some(name))
}

/// The topic, if it is one that can be deleted.
fn may_delete(cx: &Context<'_>, topic: std::sync::Arc<Topic>) -> Result<std::sync::Arc<Topic>, Refused> {
    if !cx.broker.settings().topics.delete {
        return Err(Refused::new(ErrorCode::TOPIC_DELETION_DISABLED, "delete.topic.enable is false"));
    }
    if is_internal(topic.name()) {
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, "this topic is the broker's own and stays"));
    }
    Ok(topic)
}

/// The topic that is meant.
fn find(cx: &Context<'_>, asked: &DeleteTopicState<'_>) -> Result<std::sync::Arc<Topic>, Refused> {
    match asked.name.as_deref() {
        Some(_) if !asked.topic_id.is_zero() => {
            Err(Refused::new(ErrorCode::INVALID_REQUEST, "name the topic either by name or by id, not both"))
        }
        Some(name) => cx.broker.topics.by_name(name).ok_or_else(|| {
            Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"))
        }),
        None => cx.broker.topics.by_id(asked.topic_id).ok_or_else(|| {
            Refused::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("there is no topic with id {}", asked.topic_id))
        }),
    }
}

/// Adds partitions to topics (versions 0–3).
pub async fn create_partitions<'a>(
    cx: &Context<'_>,
    request: CreatePartitionsRequest<'a>,
) -> CreatePartitionsResponse<'a> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(topic.name.to_string()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        // A topic named twice is refused once.
        let grown = match counts.remove(&*asked.name) {
            None => continue,
            Some(1) => match cx.permit(Operation::Alter, ResourceType::Topic, &asked.name) {
                Ok(()) => grow(cx, &asked, request.validate_only).await,
                Err(code) => Err(permission::refused(code)),
            },
            Some(_) => Err(Refused::new(ErrorCode::INVALID_REQUEST, "the request names this topic twice")),
        };
        let (error_code, error_message) = match grown {
            Ok(()) => (ErrorCode::NONE, None),
            Err(refused) => (refused.code, Some(Str::Owned(refused.message))),
        };
        results.push(CreatePartitionsTopicResult { name: asked.name, error_code, error_message });
    }
    CreatePartitionsResponse { throttle_time_ms: 0, results }
}

async fn grow(
    cx: &Context<'_>,
    asked: &CreatePartitionsTopic<'_>,
    validate_only: bool,
) -> Result<(), Refused> {
    let topic = cx.broker.topics.by_name(&asked.name).ok_or_else(|| {
        Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {}", asked.name))
    })?;
    if let Some(assignments) = &asked.assignments {
        let added = i64::from(asked.count) - topic.partitions().len() as i64;
        if added <= 0 {
            // Nothing to assign: the count is what is wrong.
        } else if assignments.len() as i64 != added {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("{added} partitions are added, but replicas are given for {}", assignments.len()),
            ));
        }
        let node = cx.broker.node_id();
        if assignments.iter().any(|a| a.broker_ids != [node]) {
            return Err(Refused::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("the only broker is {node}; every partition has exactly that replica"),
            ));
        }
    }
    let count = asked.count;
    cx.broker.aside(move |broker| broker.add_partitions(&topic, count, validate_only)).await
}
