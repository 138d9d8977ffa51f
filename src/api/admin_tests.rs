//! Features, client quotas, users and access control lists, against a broker in memory.

use std::path::Path;
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_client_quotas::{AlterClientQuotasRequest, EntityData, EntryData, OpData};
use quipu_protocol::message::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use quipu_protocol::message::api_versions::ApiVersionsRequest;
use quipu_protocol::message::consumer_group_describe::ConsumerGroupDescribeRequest;
use quipu_protocol::message::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use quipu_protocol::message::create_acls::{AclCreation, CreateAclsRequest};
use quipu_protocol::message::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use quipu_protocol::message::describe_acls::DescribeAclsRequest;
use quipu_protocol::message::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use quipu_protocol::message::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};
use quipu_protocol::message::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use quipu_storage::disk::{Disk, MemoryDisk};

use super::{Context, acls, features, groups, quotas, users, versions};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{Config, Sources};

const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";

fn open(disk: &Arc<MemoryDisk>, overrides: &[&str]) -> Arc<Broker> {
    disk.create_dir_all(Path::new("/data")).unwrap();
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    let (config, _) = Config::load(Sources { overrides, ..Sources::default() }).unwrap();
    Broker::open(config, Arc::clone(disk) as _, Path::new("/data"), Clock::manual(0, 1)).unwrap()
}

/// Runs `test` with a broker, and then `after` with one that was started again.
fn across_a_restart<F: Future<Output = ()>, G: Future<Output = ()>>(
    overrides: &[&str],
    test: impl FnOnce(Arc<Broker>) -> F,
    after: impl FnOnce(Arc<Broker>) -> G,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let disk = Arc::new(MemoryDisk::new());
        let broker = open(&disk, overrides);
        test(Arc::clone(&broker)).await;
        broker.stop();
        broker.close().unwrap();
        after(open(&disk, overrides)).await;
    });
}

async fn nothing(_: Arc<Broker>) {}

/// The levels that a client of ApiVersions `version` is told, and their epoch.
async fn told(broker: &Arc<Broker>, version: i16) -> (Vec<(String, i16)>, i64) {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let response = versions::api_versions(&Context::of_test(broker, version), request).await;
    let level = |key: quipu_protocol::message::api_versions::FinalizedFeatureKey<'_>| {
        assert_eq!(key.max_version_level, key.min_version_level);
        (key.name.into_owned(), key.max_version_level)
    };
    (response.finalized_features.into_iter().map(level).collect(), response.finalized_features_epoch)
}

async fn update(
    broker: &Arc<Broker>,
    version: i16,
    (feature, level, upgrade_type): (&'static str, i16, i8),
    validate_only: bool,
) -> (ErrorCode, usize) {
    let update = FeatureUpdateKey {
        feature: feature.into(),
        max_version_level: level,
        allow_downgrade: upgrade_type > 1,
        upgrade_type,
    };
    let request =
        UpdateFeaturesRequest { feature_updates: vec![update], validate_only, ..Default::default() };
    let response = features::update_features(&Context::of_test(broker, version), request).await;
    assert_eq!(response.error_message.is_some(), !response.error_code.is_none());
    (response.error_code, response.results.len())
}

#[test]
fn clients_are_told_of_features_that_were_switched() {
    let levels = |levels: &[(&str, i16)]| -> Vec<(String, i16)> {
        levels.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect()
    };
    let (metadata, groups, transactions) = ("metadata.version", "group.version", "transaction.version");
    let switched = levels(&[(metadata, 30), (groups, 1), (transactions, 1)]);
    across_a_restart(
        &[],
        |broker| async move {
            let all = levels(&[(metadata, 30), (groups, 1), (transactions, 2)]);
            assert_eq!(told(&broker, 4).await, (all.clone(), 0));
            assert_eq!(update(&broker, 2, (transactions, 1, 2), true).await, (ErrorCode::NONE, 1));
            assert_eq!(told(&broker, 4).await, (all.clone(), 0), "it was only asked");
            let refused = (ErrorCode::INVALID_UPDATE_VERSION, 0);
            assert_eq!(update(&broker, 2, (transactions, 1, 1), false).await, refused);
            assert_eq!(update(&broker, 0, (transactions, 1, 1), false).await, refused);
            assert_eq!(update(&broker, 1, (transactions, 1, 4), false).await, refused);
            assert_eq!(update(&broker, 1, (metadata, 29, 3), false).await, refused);
            assert_eq!(told(&broker, 4).await, (all, 0));
            assert_eq!(update(&broker, 1, (transactions, 0, 3), false).await, (ErrorCode::NONE, 1));
            let off = levels(&[(metadata, 30), (groups, 1)]);
            assert_eq!(told(&broker, 3).await, (off, 1), "what is off is not told of");
            assert_eq!(update(&broker, 0, (transactions, 1, 1), false).await, (ErrorCode::NONE, 1));
        },
        |broker| async move { assert_eq!(told(&broker, 4).await, (switched, 2)) },
    );
}

#[test]
fn consumer_groups_can_be_switched_off() {
    async fn codes(broker: &Arc<Broker>) -> [ErrorCode; 2] {
        let beat = ConsumerGroupHeartbeatRequest { group_id: "g".into(), ..Default::default() };
        let beat = groups::consumer_group_heartbeat(&Context::of_test(broker, 1), beat).await.error_code;
        let asked = ConsumerGroupDescribeRequest { group_ids: vec!["g".into()], ..Default::default() };
        let shown =
            groups::consumer_group_describe(&Context::of_test(broker, 1), asked).await.groups[0].error_code;
        [beat, shown]
    }
    const OFF: [ErrorCode; 2] = [ErrorCode::UNSUPPORTED_VERSION; 2];
    across_a_restart(
        &[],
        |broker| async move {
            assert_eq!(codes(&broker).await, [ErrorCode::INVALID_REQUEST, ErrorCode::GROUP_ID_NOT_FOUND]);
            update(&broker, 2, ("group.version", 0, 2), false).await;
            assert_eq!(codes(&broker).await, OFF);
        },
        nothing,
    );
    across_a_restart(
        &["group.coordinator.rebalance.protocols=classic"],
        |broker| async move { assert_eq!(codes(&broker).await, OFF) },
        nothing,
    );
}

fn quota(
    entity: &[(&'static str, Option<&'static str>)],
    key: &'static str,
    value: Option<f64>,
) -> EntryData<'static> {
    let part = |(kind, name): &(&'static str, Option<&'static str>)| EntityData {
        entity_type: (*kind).into(),
        entity_name: name.map(Into::into),
    };
    let op = OpData { key: key.into(), value: value.unwrap_or_default(), remove: value.is_none() };
    EntryData { entity: entity.iter().map(part).collect(), ops: vec![op] }
}

async fn alter_quotas(
    broker: &Arc<Broker>,
    entries: Vec<EntryData<'static>>,
    validate_only: bool,
) -> Vec<ErrorCode> {
    let request = AlterClientQuotasRequest { entries, validate_only };
    let response = quotas::alter_client_quotas(&Context::of_test(broker, 1), request).await;
    response.entries.iter().map(|entry| entry.error_code).collect()
}

/// `user=a,client-id=- key=value` of each entity that the filter finds.
async fn described(
    broker: &Arc<Broker>,
    components: &[(&'static str, i8, Option<&'static str>)],
    strict: bool,
) -> Result<Vec<String>, ErrorCode> {
    let component = |(kind, code, name): &(&'static str, i8, Option<&'static str>)| ComponentData {
        entity_type: (*kind).into(),
        match_type: *code,
        r#match: name.map(Into::into),
    };
    let request =
        DescribeClientQuotasRequest { components: components.iter().map(component).collect(), strict };
    let response = quotas::describe_client_quotas(&Context::of_test(broker, 1), request).await;
    let Some(entries) = response.entries else { return Err(response.error_code) };
    let line = |entry: &quipu_protocol::message::describe_client_quotas::EntryData<'_>| {
        let parts = entry
            .entity
            .iter()
            .map(|part| format!("{}={}", part.entity_type, part.entity_name.as_deref().unwrap_or("-")));
        let values = entry.values.iter().map(|value| format!(" {}={}", value.key, value.value));
        parts.collect::<Vec<_>>().join(",") + &values.collect::<String>()
    };
    Ok(entries.iter().map(line).collect())
}

#[test]
fn quotas_are_set_found_and_taken_away() {
    const RATE: &str = "consumer_byte_rate";
    across_a_restart(
        &[],
        |broker| async move {
            let set = vec![
                quota(&[("user", Some("a"))], RATE, Some(1024.0)),
                quota(&[("user", Some("a")), ("client-id", None)], "request_percentage", Some(12.5)),
                quota(&[("ip", Some("10.0.0.1"))], "connection_creation_rate", Some(7.0)),
                quota(&[("user", Some("b"))], RATE, Some(-1.0)),
                quota(&[], RATE, Some(1.0)),
                quota(&[("client-id", Some("twice"))], RATE, Some(1.0)),
                quota(&[("client-id", Some("twice"))], RATE, Some(2.0)),
            ];
            let (fine, wrong) = (ErrorCode::NONE, ErrorCode::INVALID_REQUEST);
            let outcomes = [fine, fine, fine, wrong, wrong, wrong, wrong];
            assert_eq!(alter_quotas(&broker, set.clone(), true).await, outcomes);
            assert_eq!(described(&broker, &[], false).await, Ok(Vec::new()), "it was only asked");
            assert_eq!(alter_quotas(&broker, set, false).await, outcomes);
        },
        |broker| async move {
            let all = [
                "user=a consumer_byte_rate=1024",
                "user=a,client-id=- request_percentage=12.5",
                "ip=10.0.0.1 connection_creation_rate=7",
            ];
            assert_eq!(described(&broker, &[], false).await, Ok(all.map(str::to_owned).to_vec()));
            let found = described(&broker, &[("user", 0, Some("a"))], true).await.unwrap();
            assert_eq!(found, all[..1]);
            let found = described(&broker, &[("client-id", 1, None)], false).await.unwrap();
            assert_eq!(found, all[1..2]);
            assert_eq!(
                described(&broker, &[("group", 2, None)], false).await,
                Err(ErrorCode::UNSUPPORTED_VERSION)
            );
            assert_eq!(
                described(&broker, &[("user", 0, None)], false).await,
                Err(ErrorCode::INVALID_REQUEST)
            );
            alter_quotas(&broker, vec![quota(&[("user", Some("a"))], RATE, None)], false).await;
            let left = described(&broker, &[], false).await.unwrap();
            assert_eq!(left, all[1..], "an entity without quotas is gone");
        },
    );
}

fn upsertion(name: &'static str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion<'static> {
    ScramCredentialUpsertion {
        name: name.into(),
        mechanism,
        iterations,
        salt: b"salt"[..].into(),
        salted_password: b"salted"[..].into(),
    }
}

async fn alter_users(
    broker: &Arc<Broker>,
    deletions: &[(&'static str, i8)],
    upsertions: Vec<ScramCredentialUpsertion<'static>>,
) -> Vec<(String, ErrorCode)> {
    let deletion = |(name, mechanism): &(&'static str, i8)| ScramCredentialDeletion {
        name: (*name).into(),
        mechanism: *mechanism,
    };
    let deletions = deletions.iter().map(deletion).collect();
    let request = AlterUserScramCredentialsRequest { deletions, upsertions };
    let response = users::alter_user_scram_credentials(&Context::of_test(broker, 0), request).await;
    response.results.into_iter().map(|result| (result.user.into_owned(), result.error_code)).collect()
}

type User = (String, ErrorCode, Vec<(i8, i32)>);

async fn describe_users(broker: &Arc<Broker>, names: Option<&[&'static str]>) -> Vec<User> {
    let users = names.map(|names| names.iter().map(|name| UserName { name: (*name).into() }).collect());
    let request = DescribeUserScramCredentialsRequest { users };
    let response = users::describe_user_scram_credentials(&Context::of_test(broker, 0), request).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
    let user = |result: quipu_protocol::message::describe_user_scram_credentials::DescribeUserScramCredentialsResult<'_>| {
        let infos = result.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
        (result.user.into_owned(), result.error_code, infos)
    };
    response.results.into_iter().map(user).collect()
}

#[test]
fn users_are_set_described_and_deleted() {
    let told = |outcomes: &[(&str, ErrorCode)]| -> Vec<(String, ErrorCode)> {
        outcomes.iter().map(|(user, code)| ((*user).to_owned(), *code)).collect()
    };
    let user = |name: &str, code, infos: &[(i8, i32)]| (name.to_owned(), code, infos.to_vec());
    across_a_restart(
        &[],
        |broker| async move {
            let outcome = alter_users(
                &broker,
                &[("nobody", 1)],
                vec![
                    upsertion("alice", 1, 4096),
                    upsertion("bob", 2, 8192),
                    upsertion("few", 1, 1),
                    upsertion("odd", 9, 4096),
                    upsertion("twice", 1, 4096),
                    upsertion("twice", 2, 4096),
                ],
            )
            .await;
            assert_eq!(
                outcome,
                told(&[
                    ("alice", ErrorCode::NONE),
                    ("bob", ErrorCode::NONE),
                    ("few", ErrorCode::UNACCEPTABLE_CREDENTIAL),
                    ("nobody", ErrorCode::RESOURCE_NOT_FOUND),
                    ("odd", ErrorCode::UNSUPPORTED_SASL_MECHANISM),
                    ("twice", ErrorCode::DUPLICATE_RESOURCE),
                ])
            );
            alter_users(&broker, &[], vec![upsertion("alice", 2, 5000)]).await;
        },
        |broker| async move {
            let alice = user("alice", ErrorCode::NONE, &[(1, 4096), (2, 5000)]);
            let bob = user("bob", ErrorCode::NONE, &[(2, 8192)]);
            assert_eq!(describe_users(&broker, None).await, [alice.clone(), bob.clone()]);
            assert_eq!(describe_users(&broker, Some(&[])).await, [alice.clone(), bob]);
            assert_eq!(
                describe_users(&broker, Some(&["bob", "carol", "bob", "alice"])).await,
                [
                    alice,
                    user("bob", ErrorCode::DUPLICATE_RESOURCE, &[]),
                    user("carol", ErrorCode::RESOURCE_NOT_FOUND, &[]),
                ]
            );
            // A change and a deletion of one user in one request: neither happens.
            let both = alter_users(&broker, &[("alice", 1)], vec![upsertion("alice", 1, 9000)]).await;
            assert_eq!(both, told(&[("alice", ErrorCode::DUPLICATE_RESOURCE)]));
            alter_users(&broker, &[("alice", 1)], Vec::new()).await;
            assert_eq!(
                describe_users(&broker, Some(&["alice"])).await,
                [user("alice", ErrorCode::NONE, &[(2, 5000)])]
            );
        },
    );
}

fn creation(pattern: i8, name: &'static str, operation: i8) -> AclCreation<'static> {
    AclCreation {
        resource_type: 2,
        resource_name: name.into(),
        resource_pattern_type: pattern,
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission_type: 3,
    }
}

async fn create(broker: &Arc<Broker>, creations: Vec<AclCreation<'static>>) -> Vec<ErrorCode> {
    let response = acls::create_acls(&Context::of_test(broker, 3), CreateAclsRequest { creations }).await;
    response.results.iter().map(|result| result.error_code).collect()
}

/// Patterns with their operations.
async fn describe_acls(
    broker: &Arc<Broker>,
    pattern: i8,
    name: Option<&'static str>,
) -> Result<Vec<(String, Vec<i8>)>, ErrorCode> {
    let request = DescribeAclsRequest {
        resource_type_filter: 1,
        resource_name_filter: name.map(Into::into),
        pattern_type_filter: pattern,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let response = acls::describe_acls(&Context::of_test(broker, 3), request).await;
    if !response.error_code.is_none() {
        return Err(response.error_code);
    }
    let resource = |resource: &quipu_protocol::message::describe_acls::DescribeAclsResource<'_>| {
        let operations = resource.acls.iter().map(|acl| acl.operation).collect();
        (format!("{}{}", resource.pattern_type, resource.resource_name), operations)
    };
    Ok(response.resources.iter().map(resource).collect())
}

fn deletion(name: Option<&'static str>, resource_type: i8) -> DeleteAclsFilter<'static> {
    DeleteAclsFilter {
        resource_type_filter: resource_type,
        resource_name_filter: name.map(Into::into),
        pattern_type_filter: 1,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    }
}

async fn delete(broker: &Arc<Broker>, filters: Vec<DeleteAclsFilter<'static>>) -> Vec<(ErrorCode, usize)> {
    let response = acls::delete_acls(&Context::of_test(broker, 3), DeleteAclsRequest { filters }).await;
    response.filter_results.iter().map(|result| (result.error_code, result.matching_acls.len())).collect()
}

#[test]
fn without_an_authorizer_there_are_no_acls() {
    const OFF: ErrorCode = ErrorCode::SECURITY_DISABLED;
    across_a_restart(
        &[],
        |broker| async move {
            assert_eq!(describe_acls(&broker, 1, None).await, Err(OFF));
            assert_eq!(create(&broker, vec![creation(3, "t", 3)]).await, [OFF]);
            assert_eq!(delete(&broker, vec![deletion(None, 1)]).await, [(OFF, 0)]);
        },
        nothing,
    );
}

#[test]
fn acls_are_created_found_and_deleted() {
    let patterns = |patterns: &[(&str, &[i8])]| -> Result<Vec<(String, Vec<i8>)>, ErrorCode> {
        Ok(patterns.iter().map(|(name, operations)| ((*name).to_owned(), operations.to_vec())).collect())
    };
    across_a_restart(
        &[AUTHORIZER, "super.users=User:ANONYMOUS"],
        |broker| async move {
            let (fine, wrong) = (ErrorCode::NONE, ErrorCode::INVALID_REQUEST);
            let asked = vec![
                creation(3, "orders", 3),
                creation(3, "orders", 4),
                creation(3, "orders", 3),
                creation(4, "ord", 3),
                creation(3, "*", 8),
                creation(2, "orders", 3),
                creation(3, "", 3),
            ];
            assert_eq!(create(&broker, asked).await, [fine, fine, fine, fine, fine, wrong, wrong]);
        },
        |broker| async move {
            let all = patterns(&[("3*", &[8]), ("3orders", &[3, 4]), ("4ord", &[3])]);
            assert_eq!(describe_acls(&broker, 1, None).await, all);
            assert_eq!(describe_acls(&broker, 2, Some("orders")).await, all);
            assert_eq!(describe_acls(&broker, 3, Some("orders")).await, patterns(&[("3orders", &[3, 4])]));
            assert_eq!(describe_acls(&broker, 0, None).await, Err(ErrorCode::INVALID_REQUEST));
            let filters = vec![deletion(Some("orders"), 2), deletion(Some("orders"), 1), deletion(None, 0)];
            assert_eq!(
                delete(&broker, filters).await,
                [(ErrorCode::NONE, 2), (ErrorCode::NONE, 2), (ErrorCode::INVALID_REQUEST, 0)],
                "what two filters find is named twice"
            );
            assert_eq!(describe_acls(&broker, 1, None).await, patterns(&[("3*", &[8]), ("4ord", &[3])]));
            let many = (0..1_001).map(|_| deletion(None, 1)).collect();
            assert!(delete(&broker, many).await.iter().all(|(code, _)| *code == ErrorCode::INVALID_REQUEST));
        },
    );
}
