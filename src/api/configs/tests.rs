use std::path::Path;
use std::sync::Arc;

use quipu_storage::disk::{Disk, MemoryDisk};

use super::*;
use crate::broker::CreateTopic;
use crate::clock::Clock;
use crate::config::Config;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

/// Runs `test` with a broker that has the topic "t".
fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Arc<Broker>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = open(&Arc::new(MemoryDisk::new()));
        broker.create_topic(CreateTopic::with_defaults("t")).unwrap();
        test(broker).await;
    });
}

fn open(disk: &Arc<MemoryDisk>) -> Arc<Broker> {
    disk.create_dir_all(Path::new("/data")).unwrap();
    Broker::open(Config::default(), Arc::clone(disk) as _, Path::new("/data"), Clock::manual(0, 1)).unwrap()
}

async fn describe_one(
    broker: &Arc<Broker>,
    kind: i8,
    name: &str,
    keys: Option<&[&'static str]>,
) -> DescribeConfigsResult<'static> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: Str::Owned(name.to_owned()),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::Borrowed(*key)).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: false,
    };
    describe_configs(&Context::of_test(broker, 4), request).await.results.remove(0)
}

async fn value(broker: &Arc<Broker>, kind: i8, name: &str, key: &'static str) -> (Option<String>, i8) {
    let mut described = describe_one(broker, kind, name, Some(&[key])).await;
    assert_eq!(described.configs.len(), 1, "{key}");
    let config = described.configs.remove(0);
    (config.value.map(Str::into_owned), config.config_source)
}

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource<'a>(kind: i8, name: &'a str, changes: &[Change<'a>]) -> incremental::AlterConfigsResource<'a> {
    let config = |(key, operation, value): &Change<'a>| incremental::AlterableConfig {
        name: Str::Borrowed(*key),
        config_operation: *operation,
        value: value.map(Str::Borrowed),
    };
    incremental::AlterConfigsResource {
        resource_type: kind,
        resource_name: Str::Borrowed(name),
        configs: changes.iter().map(config).collect(),
    }
}

async fn alter_all(
    broker: &Arc<Broker>,
    resources: Vec<incremental::AlterConfigsResource<'_>>,
    validate_only: bool,
) -> Vec<ErrorCode> {
    let request = incremental::IncrementalAlterConfigsRequest { resources, validate_only };
    let response = incremental_alter_configs(&Context::of_test(broker, 1), request).await;
    for answer in &response.responses {
        assert_eq!(answer.error_message.is_none(), answer.error_code.is_none(), "an error has a message");
    }
    response.responses.iter().map(|answer| answer.error_code).collect()
}

async fn alter_one(broker: &Arc<Broker>, kind: i8, name: &str, changes: &[Change<'_>]) -> ErrorCode {
    alter_all(broker, vec![resource(kind, name, changes)], false).await[0]
}

#[test]
fn every_key_is_described_unless_some_are_asked_for() {
    with_broker(|broker| async move {
        let all = describe_one(&broker, 2, "t", None).await;
        assert_eq!((all.error_code, all.configs.len()), (ErrorCode::NONE, 38));
        assert!(all.configs.iter().all(|config| config.documentation.is_none()), "not asked for");
        assert_eq!(describe_one(&broker, 2, "t", Some(&[])).await.configs.len(), 38, "no keys are all keys");
        let some = describe_one(&broker, 2, "t", Some(&["retention.ms", "no.such.key"])).await;
        assert_eq!(some.configs.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["retention.ms"]);
        assert!(describe_one(&broker, 4, "0", None).await.configs.len() > 340);
        assert_eq!(describe_one(&broker, 4, "", None).await.configs.len(), 0);
        assert_eq!(describe_one(&broker, 32, "any", None).await.configs.len(), 21);
        assert_eq!(describe_one(&broker, 16, "any", None).await.configs.len(), 3);
        assert_eq!(
            describe_one(&broker, 8, "0", None).await.configs.len(),
            0,
            "the log of tests is not ours"
        );
        assert_eq!(value(&broker, 4, "0", "cluster.id").await.0.as_deref(), Some(broker.cluster_id()));
    });
}

#[test]
fn resources_that_are_not_there_are_told_apart() {
    with_broker(|broker| async move {
        for (kind, name, code) in [
            (2, "missing", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (2, "not a name", ErrorCode::INVALID_TOPIC_EXCEPTION),
            (2, "", ErrorCode::INVALID_TOPIC_EXCEPTION),
            (4, "1", ErrorCode::INVALID_REQUEST),
            (4, "x", ErrorCode::INVALID_REQUEST),
            (8, "", ErrorCode::INVALID_REQUEST),
            (16, "", ErrorCode::INVALID_REQUEST),
            (32, "", ErrorCode::INVALID_REQUEST),
            (0, "x", ErrorCode::INVALID_REQUEST),
            (-1, "x", ErrorCode::INVALID_REQUEST),
        ] {
            let described = describe_one(&broker, kind, name, None).await;
            assert_eq!(described.error_code, code, "{kind} {name}");
            assert!(described.error_message.is_some() && described.configs.is_empty());
            assert_eq!((described.resource_type, &*described.resource_name), (kind, name));
        }
    });
}

#[test]
fn changes_take_effect_and_survive() {
    let disk = Arc::new(MemoryDisk::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = open(&disk);
        broker.create_topic(CreateTopic::with_defaults("t")).unwrap();
        let changes = [("retention.ms", SET, Some("7000")), ("cleanup.policy", APPEND, Some("compact"))];
        assert_eq!(alter_one(&broker, 2, "t", &changes).await, ErrorCode::NONE);
        assert_eq!(
            alter_one(&broker, 4, "", &[("log.segment.bytes", SET, Some("2000000"))]).await,
            ErrorCode::NONE
        );
        assert_eq!(
            alter_one(&broker, 32, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]).await,
            ErrorCode::NONE
        );
        let config = broker.topics.by_name("t").unwrap().config();
        assert_eq!(
            (config.retention_ms, config.segment_bytes, config.cleanup.compact),
            (7000, 2_000_000, true)
        );
        broker.close().unwrap();
        drop(broker);

        let broker = open(&disk);
        assert_eq!(value(&broker, 2, "t", "retention.ms").await, (Some("7000".into()), 1));
        assert_eq!(value(&broker, 2, "t", "cleanup.policy").await, (Some("delete,compact".into()), 1));
        assert_eq!(value(&broker, 2, "t", "segment.bytes").await, (Some("2000000".into()), 3));
        assert_eq!(value(&broker, 32, "g", "consumer.session.timeout.ms").await, (Some("50000".into()), 8));
        assert_eq!(alter_one(&broker, 2, "t", &[("retention.ms", DELETE, None)]).await, ErrorCode::NONE);
        assert_eq!(value(&broker, 2, "t", "retention.ms").await, (Some("604800000".into()), 5));
    });
}

#[test]
fn each_resource_succeeds_or_fails_by_itself_and_as_a_whole() {
    with_broker(|broker| async move {
        broker.create_topic(CreateTopic::with_defaults("u")).unwrap();
        let resources = vec![
            resource(2, "t", &[("retention.ms", SET, Some("1")), ("segment.ms", SET, Some("never"))]),
            resource(2, "u", &[("retention.ms", SET, Some("2"))]),
            resource(2, "missing", &[("retention.ms", SET, Some("3"))]),
            resource(4, "0", &[("num.partitions", SET, Some("3"))]),
            resource(8, "0", &[("root", SET, Some("WARN"))]),
            resource(16, "m", &[("interval.ms", SET, Some("1000"))]),
            resource(99, "x", &[]),
        ];
        assert_eq!(
            alter_all(&broker, resources, false).await,
            [
                ErrorCode::INVALID_CONFIG,
                ErrorCode::NONE,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ErrorCode::INVALID_REQUEST,
                ErrorCode::INVALID_CONFIG,
                ErrorCode::NONE,
                ErrorCode::INVALID_REQUEST,
            ]
        );
        assert_eq!(value(&broker, 2, "t", "retention.ms").await.1, 5, "nothing of it was done");
        assert_eq!(value(&broker, 2, "u", "retention.ms").await, (Some("2".into()), 1));
    });
}

#[test]
fn what_is_named_twice_is_refused_and_what_is_only_validated_changes_nothing() {
    with_broker(|broker| async move {
        let one = || resource(2, "t", &[("retention.ms", SET, Some("1"))]);
        let other = || resource(4, "", &[("log.retention.ms", SET, Some("1"))]);
        assert_eq!(
            alter_all(&broker, vec![one(), other(), one()], false).await,
            [ErrorCode::INVALID_REQUEST, ErrorCode::NONE, ErrorCode::INVALID_REQUEST]
        );
        let twice = [("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))];
        assert_eq!(alter_one(&broker, 2, "t", &twice).await, ErrorCode::INVALID_REQUEST);
        assert_eq!(
            alter_one(&broker, 2, "t", &[("retention.ms", 9, Some("1"))]).await,
            ErrorCode::INVALID_REQUEST
        );
        assert_eq!(
            alter_one(&broker, 2, "t", &[("retention.ms", SET, None)]).await,
            ErrorCode::INVALID_REQUEST
        );
        assert_eq!(alter_all(&broker, vec![one()], true).await, [ErrorCode::NONE]);
        let bad = resource(2, "t", &[("retention.ms", SET, Some("-2"))]);
        assert_eq!(alter_all(&broker, vec![bad], true).await, [ErrorCode::INVALID_CONFIG]);
        assert_eq!(value(&broker, 2, "t", "retention.ms").await, (Some("1".into()), 3));
    });
}

#[test]
fn alter_configs_forgets_what_it_does_not_name() {
    with_broker(|broker| async move {
        let before = [("retention.ms", SET, Some("1")), ("segment.ms", SET, Some("2"))];
        assert_eq!(alter_one(&broker, 2, "t", &before).await, ErrorCode::NONE);
        let request = AlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configs: vec![quipu_protocol::message::alter_configs::AlterableConfig {
                    name: "retention.ms".into(),
                    value: Some("9".into()),
                }],
            }],
            validate_only: false,
        };
        let response = alter_configs(&Context::of_test(&broker, 2), request).await;
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
        assert_eq!(value(&broker, 2, "t", "retention.ms").await, (Some("9".into()), 1));
        assert_eq!(value(&broker, 2, "t", "segment.ms").await.1, 5);
    });
}

#[test]
fn resources_with_a_configuration_are_listed_by_kind() {
    with_broker(|broker| async move {
        assert_eq!(
            alter_one(&broker, 32, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]).await,
            ErrorCode::NONE
        );
        let set = [("interval.ms", SET, Some("1000")), ("match", SET, Some("client_id=a"))];
        assert_eq!(alter_one(&broker, 16, "m", &set).await, ErrorCode::NONE);
        assert_eq!(value(&broker, 16, "m", "interval.ms").await, (Some("1000".into()), 7));
        assert_eq!(
            alter_one(&broker, 16, "m", &[("interval.ms", SET, Some("1"))]).await,
            ErrorCode::INVALID_REQUEST
        );
        let list = async |version, resource_types| {
            let request = ListConfigResourcesRequest { resource_types };
            let response = list_config_resources(&Context::of_test(&broker, version), request).await;
            let names =
                response.config_resources.iter().map(|r| format!("{}:{}", r.resource_type, r.resource_name));
            (response.error_code, names.collect::<Vec<_>>())
        };
        let ok = |names: &[&str]| (ErrorCode::NONE, names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(list(1, vec![]).await, ok(&["2:t", "4:0", "8:0", "16:m", "32:g"]));
        assert_eq!(list(1, vec![32, 2]).await, ok(&["32:g", "2:t"]));
        assert_eq!(list(0, vec![]).await, ok(&["16:m"]), "version 0 knows client metrics alone");
        alter_one(&broker, 16, "m", &[("interval.ms", DELETE, None), ("match", DELETE, None)]).await;
        assert_eq!(list(0, vec![]).await, ok(&[]), "a subscription without keys is none");
        assert_eq!(list(1, vec![3]).await, (ErrorCode::UNSUPPORTED_VERSION, vec![]));
    });
}
