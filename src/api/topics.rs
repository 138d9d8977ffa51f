//! CreateTopics (key 19), DeleteTopics (key 20) and CreatePartitions (key 37).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

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
use crate::security::acl::{Operation, ResourceType};
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
    let may_create_all = cx.may_on_cluster(Operation::Create);
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
    let found = find_each(cx, asked);
    let mut responses = Vec::with_capacity(found.len());
    for found in found {
        let topic = match found {
            Ok(topic) => topic,
            Err(refused) => {
                responses.push(refused);
                continue;
            }
        };
        let (name, topic_id) = (topic.name().to_string(), topic.id());
        let deleted = match may_delete(cx, topic) {
            Ok(topic) => cx.broker.aside(move |broker| broker.delete_topic(&topic)).await,
            Err(refused) => Err(refused),
        };
        let (error_code, error_message) = match deleted {
            Ok(_) => (ErrorCode::NONE, None),
            Err(refused) => (refused.code, Some(Str::Owned(refused.message))),
        };
        responses.push(DeletableTopicResult {
            name: Some(Str::Owned(name)),
            topic_id,
            error_code,
            error_message,
        });
    }
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}

/// The topics that are meant and that the client may delete, or what it is told instead. What is asked for twice is
/// refused once; so far only the request's own words are compared, not what they stand for.
fn find_each<'a>(
    cx: &Context<'_>,
    asked: Vec<DeleteTopicState<'a>>,
) -> Vec<Result<Arc<Topic>, Undeleted<'a>>> {
    let mut times: HashMap<(Option<Str<'a>>, Uuid), usize> = HashMap::new();
    for asked in &asked {
        *times.entry((asked.name.clone(), asked.topic_id)).or_default() += 1;
    }
    let repeated_ids: HashSet<Uuid> = times
        .iter()
        .filter(|((name, _), times)| name.is_none() && **times > 1)
        .map(|((_, topic_id), _)| *topic_id)
        .collect();
    let may_delete_all = cx.may_on_cluster(Operation::Delete);
    // Where the topic of an id is, to be told when a name means the same.
    let mut by_id: HashMap<Uuid, usize> = HashMap::new();
    let mut by_name: Vec<usize> = Vec::new();
    let mut found = Vec::with_capacity(asked.len());
    for asked in asked {
        let is_valid = asked.name.is_some() == asked.topic_id.is_zero();
        match times.get_mut(&(asked.name.clone(), asked.topic_id)) {
            Some(0) => continue,
            Some(times) if *times > 1 && is_valid => {
                *times = 0;
                let what = if asked.name.is_some() { "name" } else { "id" };
                let refused = Refused::new(ErrorCode::INVALID_REQUEST, format!("Duplicate topic {what}."));
                found.push(Err(undeleted(asked.name, asked.topic_id, refused)));
                continue;
            }
            _ => {}
        }
        let is_by_id = asked.name.is_none();
        let topic = find_permitted(cx, asked, may_delete_all);
        match &topic {
            Ok(topic) if is_by_id => drop(by_id.insert(topic.id(), found.len())),
            Ok(_) => by_name.push(found.len()),
            Err(_) => {}
        }
        found.push(topic);
    }
    // A name and an id of the same topic: told to those only who may delete it, as it says what belongs together.
    let mut withdrawn = HashSet::new();
    for at in by_name {
        let Ok(topic) = &found[at] else { continue };
        let meets = by_id.get(&topic.id()).copied();
        if meets.is_some() || repeated_ids.contains(&topic.id()) {
            withdrawn.extend(meets);
            let refused = Refused::new(
                ErrorCode::INVALID_REQUEST,
                "the request names this topic by its name and by its id",
            );
            let name = Str::Owned(topic.name().to_string());
            found[at] = Err(undeleted(Some(name), topic.id(), refused));
        }
    }
    let mut at = 0..;
    found.retain(|_| at.next().is_none_or(|at| !withdrawn.contains(&at)));
    found
}

/// What is told of a topic that is not deleted.
type Undeleted<'a> = DeletableTopicResult<'a>;

fn undeleted<'a>(name: Option<Str<'a>>, topic_id: Uuid, refused: Refused) -> Undeleted<'a> {
    let error_message = Some(Str::Owned(refused.message));
    DeletableTopicResult { name, topic_id, error_code: refused.code, error_message }
}

/// The topic that is meant, if the client may delete it. By name it must also see it, before it is told whether there is
/// such a topic; the name of one that it found by id is told only if it may see it.
fn find_permitted<'a>(
    cx: &Context<'_>,
    asked: DeleteTopicState<'a>,
    may_delete_all: bool,
) -> Result<Arc<Topic>, Undeleted<'a>> {
    let DeleteTopicState { name, topic_id } = asked;
    let sees = |name: &str| may_delete_all || cx.may_quietly(Operation::Describe, ResourceType::Topic, name);
    let may = |name: &str| may_delete_all || cx.may(Operation::Delete, ResourceType::Topic, name);
    let not_permitted = || permission::refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let refused = |code, why: String| Refused::new(code, why);
    let (name, refused) = match name {
        Some(name) if !topic_id.is_zero() => {
            let why = "name the topic either by name or by id, not both".to_owned();
            (Some(name), refused(ErrorCode::INVALID_REQUEST, why))
        }
        Some(name) if !sees(&name) => (Some(name), not_permitted()),
        Some(name) => match cx.broker.topics.by_name(&name) {
            Some(topic) if may(&name) => return Ok(topic),
            Some(_) => (Some(name), not_permitted()),
            None => {
                let why = format!("there is no topic {name}");
                (Some(name), refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why))
            }
        },
        None if topic_id.is_zero() => {
            let why = "name the topic by name or by id".to_owned();
            (None, refused(ErrorCode::INVALID_REQUEST, why))
        }
        None => match cx.broker.topics.by_id(topic_id) {
            Some(topic) if may(topic.name()) => return Ok(topic),
            Some(topic) => {
                let name = sees(topic.name()).then(|| Str::Owned(topic.name().to_string()));
                (name, not_permitted())
            }
            None => {
                let why = format!("there is no topic with id {topic_id}");
                (None, refused(ErrorCode::UNKNOWN_TOPIC_ID, why))
            }
        },
    };
    Err(undeleted(name, topic_id, refused))
}

/// The topic, if it is one that can be deleted.
fn may_delete(cx: &Context<'_>, topic: Arc<Topic>) -> Result<Arc<Topic>, Refused> {
    if !cx.broker.settings().topics.delete {
        return Err(Refused::new(ErrorCode::TOPIC_DELETION_DISABLED, "delete.topic.enable is false"));
    }
    if is_internal(topic.name()) {
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, "this topic is the broker's own and stays"));
    }
    Ok(topic)
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
