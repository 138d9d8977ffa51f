//! Configuration of topics, brokers and groups: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs,
//! ListConfigResources.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use quipu_protocol::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use quipu_protocol::message::incremental_alter_configs as incremental;
use quipu_protocol::message::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::broker::{Broker, Refused};
use crate::catalog::Resource;
use crate::config::{
    AlterError, Alteration, Changes, Entry, Layers, Operation, Overrides, Source, Target,
    describe_all_brokers, describe_broker, describe_client_metrics, describe_group, describe_topic,
    plan_changes, plan_replacement,
};
use crate::logging::{self, Level};
use crate::security::acl;
use crate::topic::check_name;

/// Most groups, and most client metrics subscriptions, that have a configuration: any client may name one that does not
/// exist.
const CONFIGURED_MAX: usize = 10_000;

/// The kinds of resources, numbered as on the wire (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
enum Kind {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    fn of_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i8 == code)
    }
}

/// DescribeConfigs (key 32, versions 1–4): every key of a resource with value, source, and on request the values
/// behind it and documentation.
///
/// A broker answers for itself, by its id, and for what was set on all brokers, by the empty name; its loggers are those
/// of [`logging`]. An empty list of keys asks for all, as null does.
pub(crate) async fn describe_configs<'a>(
    cx: &Context<'_>,
    request: DescribeConfigsRequest<'a>,
) -> DescribeConfigsResponse<'a> {
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let results = request.resources.into_iter().map(|resource| {
        let permitted =
            permit(cx, acl::Operation::DescribeConfigs, resource.resource_type, &resource.resource_name);
        let described = permitted.and_then(|()| describe(cx.broker, &resource));
        let (error_code, error_message, configs) = match described {
            Ok(entries) => {
                let configs =
                    entries.into_iter().map(|entry| result(entry, synonyms, documentation)).collect();
                (ErrorCode::NONE, Some(Str::Borrowed("")), configs)
            }
            Err(refused) => (refused.code, Some(Str::Owned(refused.message)), Vec::new()),
        };
        let DescribeConfigsResource { resource_type, resource_name, .. } = resource;
        DescribeConfigsResult { error_code, error_message, resource_type, resource_name, configs }
    });
    DescribeConfigsResponse { throttle_time_ms: 0, results: results.collect() }
}

/// Whether the client may do this with a resource's configuration. What is not a topic or a group is the cluster's.
fn permit(cx: &Context<'_>, operation: acl::Operation, code: i8, name: &str) -> Result<(), Refused> {
    let permitted = match Kind::of_code(code) {
        Some(Kind::Topic) => cx.permit(operation, acl::ResourceType::Topic, name),
        Some(Kind::Group) => cx.permit(operation, acl::ResourceType::Group, name),
        Some(Kind::Broker | Kind::BrokerLogger | Kind::ClientMetrics) => cx.permit_on_cluster(operation),
        // Refused in any case.
        None => Ok(()),
    };
    permitted.map_err(permission::refused)
}

fn describe(broker: &Broker, resource: &DescribeConfigsResource<'_>) -> Result<Vec<Entry>, Refused> {
    let name = &*resource.resource_name;
    let layers = broker.config().layers();
    let entries = match Kind::of_code(resource.resource_type) {
        Some(Kind::Topic) => describe_topic(&topic_overrides(broker, name)?, &layers),
        Some(Kind::Broker) if name.is_empty() => describe_all_brokers(&layers),
        Some(Kind::Broker) => {
            is_this_broker(broker, name)?;
            let mut entries = describe_broker(&layers, &broker.settings());
            if let Some(entry) = entries.iter_mut().find(|entry| entry.name == "cluster.id") {
                // Drawn at the first start if it was not given.
                entry.value = Some(broker.cluster_id().to_owned());
            }
            entries
        }
        Some(Kind::BrokerLogger) => {
            is_this_broker(broker, name)?;
            logging::loggers().into_iter().map(logger_entry).collect()
        }
        Some(Kind::Group) => {
            not_empty(name, "a group")?;
            describe_group(&broker.overrides(&Resource::Group(name.to_owned())).unwrap_or_default(), &layers)
        }
        Some(Kind::ClientMetrics) => {
            not_empty(name, "a client metrics subscription")?;
            let resource = Resource::ClientMetrics(name.to_owned());
            describe_client_metrics(&broker.overrides(&resource).unwrap_or_default(), &layers)
        }
        None => return Err(unknown_kind(resource.resource_type)),
    };
    Ok(match resource.configuration_keys.as_deref() {
        None | Some([]) => entries,
        Some(keys) => {
            entries.into_iter().filter(|entry| keys.contains(&Str::Borrowed(&*entry.name))).collect()
        }
    })
}

fn result<'a>(entry: Entry, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult<'a> {
    let synonym = |synonym: crate::config::Synonym| DescribeConfigsSynonym {
        name: Str::Owned(synonym.name),
        value: synonym.value.map(Str::Owned),
        source: synonym.source as i8,
    };
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value.map(Str::Owned),
        read_only: entry.read_only,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
        synonyms: if synonyms { entry.synonyms.into_iter().map(synonym).collect() } else { Vec::new() },
        config_type: entry.config_type,
        documentation: entry.documentation.filter(|_| documentation),
    }
}

fn logger_entry((name, level): (String, Level)) -> Entry {
    Entry {
        name: name.into(),
        value: Some(level.to_string()),
        read_only: false,
        source: Source::BrokerLogger,
        is_sensitive: false,
        synonyms: Vec::new(),
        config_type: 0,
        documentation: None,
    }
}

/// IncrementalAlterConfigs (key 44, versions 0–1; KIP-339): sets, deletes, appends and subtracts single keys.
///
/// Each resource succeeds or fails by itself and as a whole. Levels of loggers change for this process only, as in Kafka.
pub(crate) async fn incremental_alter_configs<'a>(
    cx: &Context<'_>,
    request: incremental::IncrementalAlterConfigsRequest<'a>,
) -> incremental::IncrementalAlterConfigsResponse<'a> {
    let named = |resource: &incremental::AlterConfigsResource<'_>| {
        (resource.resource_type, resource.resource_name.to_string())
    };
    let resources: Vec<_> = request.resources.iter().map(named).collect();
    let asked: Vec<Vec<Asked>> =
        request.resources.iter().map(|resource| resource.configs.iter().map(Asked::new).collect()).collect();
    let validate_only = request.validate_only;
    let outcomes = alter_each(cx, resources, move |broker, at, code, name| {
        if code == Kind::BrokerLogger as i8 {
            is_this_broker(broker, name)?;
            return alter_loggers(&asked[at], validate_only);
        }
        alter(broker, code, name, validate_only, |target, own, layers| {
            let asked = asked[at].iter().map(Asked::alteration).collect::<Result<Vec<_>, _>>()?;
            plan_changes(target, own, &asked, layers)
        })
    });
    let responses = request.resources.into_iter().zip(outcomes.await).map(|(resource, outcome)| {
        let (error_code, error_message) = outcome_fields(outcome);
        incremental::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        }
    });
    incremental::IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() }
}

/// One asked change of a key, as it goes to another thread.
struct Asked {
    key: String,
    operation: i8,
    value: Option<String>,
}

impl Asked {
    fn new(config: &incremental::AlterableConfig<'_>) -> Self {
        Self {
            key: config.name.to_string(),
            operation: config.config_operation,
            value: config.value.as_deref().map(str::to_owned),
        }
    }

    fn alteration(&self) -> Result<Alteration<'_>, AlterError> {
        let operation = Operation::of_code(self.operation)
            .ok_or_else(|| AlterError::Request(format!("there is no operation {}", self.operation)))?;
        Ok(Alteration { key: &self.key, operation, value: self.value.as_deref() })
    }
}

/// Changes resources, each by itself, away from the network thread: every change waits for the disk. `work` is told at
/// which place a resource stands; the outcomes come in the same order.
async fn alter_each(
    cx: &Context<'_>,
    resources: Vec<(i8, String)>,
    work: impl Fn(&Broker, usize, i8, &str) -> Result<(), Refused> + Send + 'static,
) -> Vec<Result<(), Refused>> {
    let count = resources.len();
    let permit = |(code, name): &(i8, String)| permit(cx, acl::Operation::AlterConfigs, *code, name);
    let permitted: Vec<_> = resources.iter().map(permit).collect();
    let altered = cx.broker.aside(move |broker| {
        let twice = repeated(resources.iter().cloned());
        let each = resources.iter().enumerate().zip(permitted).map(|((at, (code, name)), permitted)| {
            once(&twice, *code, name)?;
            permitted?;
            work(broker, at, *code, name)
        });
        Ok(each.collect())
    });
    altered.await.unwrap_or_else(|refused| vec![Err(refused); count])
}

/// Changes levels of loggers, all or none.
fn alter_loggers(configs: &[Asked], validate_only: bool) -> Result<(), Refused> {
    let request = |message| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    let config = |message| Err(Refused::new(ErrorCode::INVALID_CONFIG, message));
    let mut changes = Vec::with_capacity(configs.len());
    for asked in configs {
        let name = &*asked.key;
        let level = match Operation::of_code(asked.operation) {
            Some(Operation::Set) => {
                let value = asked.value.as_deref().unwrap_or_default();
                let Some(level) = Level::named(value) else {
                    return config(format!(
                        "Cannot set the log level of {name} to {value} as it is not a supported log level. Valid log levels are TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF"
                    ));
                };
                Some(level)
            }
            Some(Operation::Delete) if name == logging::ROOT => {
                return request("Removing the log level of the root logger is not allowed".to_owned());
            }
            Some(Operation::Delete) => None,
            Some(_) => return request("loggers have one level each: SET or DELETE it".to_owned()),
            None => return request(format!("there is no operation {}", asked.operation)),
        };
        if !logging::exists(name) {
            return config(format!("Logger {name} does not exist!"));
        }
        changes.push((name.to_owned(), level));
    }
    if validate_only {
        return Ok(());
    }
    logging::set(&changes).or_else(request)
}

/// AlterConfigs (key 33, versions 0–2): replaces all that a resource says itself. Old tools still send it.
pub(crate) async fn alter_configs<'a>(
    cx: &Context<'_>,
    request: AlterConfigsRequest<'a>,
) -> AlterConfigsResponse<'a> {
    let named =
        |resource: &AlterConfigsResource<'_>| (resource.resource_type, resource.resource_name.to_string());
    let resources: Vec<_> = request.resources.iter().map(named).collect();
    let asked: Vec<Vec<(String, Option<String>)>> = request
        .resources
        .iter()
        .map(|resource| {
            let configs = resource.configs.iter();
            configs
                .map(|config| (config.name.to_string(), config.value.as_deref().map(str::to_owned)))
                .collect()
        })
        .collect();
    let validate_only = request.validate_only;
    let outcomes = alter_each(cx, resources, move |broker, at, code, name| {
        alter(broker, code, name, validate_only, |target, own, layers| {
            let asked: Vec<_> = asked[at].iter().map(|(key, value)| (&**key, value.as_deref())).collect();
            plan_replacement(target, own, &asked, layers)
        })
    });
    let responses = request.resources.into_iter().zip(outcomes.await).map(|(resource, outcome)| {
        let (error_code, error_message) = outcome_fields(outcome);
        let AlterConfigsResource { resource_type, resource_name, .. } = resource;
        AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() }
}

/// Changes one resource, or only looks whether it could.
fn alter(
    broker: &Broker,
    code: i8,
    name: &str,
    validate_only: bool,
    plan: impl FnOnce(Target, &Overrides, &Layers) -> Result<Changes, AlterError>,
) -> Result<(), Refused> {
    let (target, resource) = match Kind::of_code(code) {
        Some(Kind::Topic) => {
            not_empty(name, "a topic")?;
            topic_overrides(broker, name)?;
            (Target::Topic, Resource::Topic(name.to_owned()))
        }
        Some(Kind::Broker) if name.is_empty() => (Target::AllBrokers, Resource::Broker(String::new())),
        Some(Kind::Broker) => {
            is_this_broker(broker, name)?;
            // The name as we write it: "00" is this broker, too, but not under that key.
            (Target::Broker, Resource::Broker(broker.node_id().to_string()))
        }
        Some(Kind::Group) => {
            not_empty(name, "a group")?;
            room_for(&broker.configured_groups(), name, "groups")?;
            (Target::Group, Resource::Group(name.to_owned()))
        }
        Some(Kind::BrokerLogger) => {
            let message = "levels of loggers are changed one by one, with IncrementalAlterConfigs";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
        }
        Some(Kind::ClientMetrics) => {
            not_empty(name, "a client metrics subscription")?;
            room_for(&broker.client_metrics(), name, "client metrics subscriptions")?;
            (Target::ClientMetrics, Resource::ClientMetrics(name.to_owned()))
        }
        None => return Err(unknown_kind(code)),
    };
    broker.alter_configs(&resource, validate_only, |own, layers| {
        plan(target, own, layers).map_err(|error| match error {
            AlterError::Request(message) => Refused::new(ErrorCode::INVALID_REQUEST, message),
            AlterError::Config(message) => Refused::new(ErrorCode::INVALID_CONFIG, message),
        })
    })
}

/// Whether one more of these may have a configuration, unless it has one already.
fn room_for(known: &[String], name: &str, what: &str) -> Result<(), Refused> {
    if known.len() >= CONFIGURED_MAX && !known.iter().any(|one| one == name) {
        let message = format!("{CONFIGURED_MAX} {what} have a configuration of their own already");
        return Err(Refused::new(ErrorCode::POLICY_VIOLATION, message));
    }
    Ok(())
}

/// ListConfigResources (key 74; version 0 lists client metrics subscriptions alone, version 1 every kind, KIP-1142):
/// what has a configuration of its own, and every topic and broker.
pub(crate) async fn list_config_resources<'a>(
    cx: &Context<'_>,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse<'a> {
    let mut response = ListConfigResourcesResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::NONE,
        config_resources: Vec::new(),
    };
    if let Err(code) = cx.permit_on_cluster(acl::Operation::DescribeConfigs) {
        response.error_code = code;
        return response;
    }
    let kinds = match (cx.version, request.resource_types.as_slice()) {
        (0, _) => vec![Kind::ClientMetrics],
        (_, []) => Kind::ALL.to_vec(),
        (_, codes) => match codes.iter().map(|code| Kind::of_code(*code)).collect() {
            Some(kinds) => kinds,
            None => {
                response.error_code = ErrorCode::UNSUPPORTED_VERSION;
                return response;
            }
        },
    };
    for kind in kinds {
        let names = match kind {
            Kind::Topic => cx.broker.topics.all().iter().map(|topic| topic.name().to_string()).collect(),
            Kind::Broker | Kind::BrokerLogger => vec![cx.broker.node_id().to_string()],
            Kind::Group => cx.broker.configured_groups(),
            Kind::ClientMetrics => cx.broker.client_metrics(),
        };
        let resource = |name| ConfigResource { resource_name: Str::Owned(name), resource_type: kind as i8 };
        response.config_resources.extend(names.into_iter().map(resource));
    }
    response
}

fn topic_overrides(broker: &Broker, name: &str) -> Result<BTreeMap<String, String>, Refused> {
    broker.overrides(&Resource::Topic(name.to_owned())).ok_or_else(|| match check_name(name) {
        Err(problem) => Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, problem),
        Ok(()) => Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}")),
    })
}

fn is_this_broker(broker: &Broker, name: &str) -> Result<(), Refused> {
    let own = broker.node_id();
    match name.parse::<i32>() {
        Ok(id) if id == own => Ok(()),
        Ok(_) => Err(Refused::new(ErrorCode::INVALID_REQUEST, format!("this is broker {own}, not {name}"))),
        Err(_) => Err(Refused::new(
            ErrorCode::INVALID_REQUEST,
            format!("a broker is named by its id, here {own}, not {name:?}"),
        )),
    }
}

fn not_empty(name: &str, what: &str) -> Result<(), Refused> {
    if name.is_empty() {
        return Err(Refused::new(
            ErrorCode::INVALID_REQUEST,
            format!("the name of {what} must not be empty"),
        ));
    }
    Ok(())
}

fn unknown_kind(code: i8) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, format!("there is no resource type {code}"))
}

/// The resources that a request names more than once. Kafka refuses every mention of them.
fn repeated<T: Eq + Hash>(resources: impl Iterator<Item = T>) -> Vec<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for resource in resources {
        *counts.entry(resource).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(resource, _)| resource).collect()
}

fn once(twice: &[(i8, String)], code: i8, name: &str) -> Result<(), Refused> {
    if twice.iter().any(|(kind, resource)| *kind == code && *resource == name) {
        return Err(Refused::new(
            ErrorCode::INVALID_REQUEST,
            format!("the request names {name} more than once"),
        ));
    }
    Ok(())
}

/// The fields that tell of an outcome.
pub(super) fn outcome_fields<'a>(outcome: Result<(), Refused>) -> (ErrorCode, Option<Str<'a>>) {
    match outcome {
        Ok(()) => (ErrorCode::NONE, None),
        Err(refused) => (refused.code, Some(Str::Owned(refused.message))),
    }
}

#[cfg(test)]
mod tests;
