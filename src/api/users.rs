//! DescribeUserScramCredentials (key 50) and AlterUserScramCredentials (key 51): what users log in with (KIP-554).
//!
//! Version 0 of both. Credentials are kept as Kafka keeps them, and described without their keys; nobody has to log in
//! yet.

use std::collections::{BTreeMap, BTreeSet};

use quipu_protocol::ErrorCode;
use quipu_protocol::message::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};
use quipu_protocol::message::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, UserName,
};
use quipu_protocol::primitives::Str;

use super::{Context, permission};
use crate::broker::Refused;
use crate::catalog::{Event, State};
use crate::security::acl::Operation;
use crate::security::scram::{Alteration, CREDENTIALS_MAX, Change, Mechanism};

/// Says which mechanisms users have credentials for; null and an empty list ask for all users.
pub async fn describe_user_scram_credentials<'a>(
    cx: &Context<'_>,
    request: DescribeUserScramCredentialsRequest<'a>,
) -> DescribeUserScramCredentialsResponse<'a> {
    let asked = request.users.unwrap_or_default();
    if let Err(error_code) = cx.permit_on_cluster(Operation::Describe) {
        // As Kafka does: as many results as were asked for, of nobody.
        let of_nobody = |_: &UserName<'_>| DescribeUserScramCredentialsResult {
            error_code,
            error_message: None,
            ..Default::default()
        };
        return DescribeUserScramCredentialsResponse {
            error_code,
            error_message: Some(Str::Borrowed(permission::message(error_code))),
            results: asked.iter().map(of_nobody).collect(),
            ..Default::default()
        };
    }
    let look = |state: &State| {
        if asked.is_empty() {
            let users: BTreeSet<&String> = state.credentials.keys().map(|(user, _)| user).collect();
            return users.into_iter().map(|user| describe(state, user)).collect();
        }
        // Each user once, whose name stands there twice with an error.
        let mut mentions: BTreeMap<&str, usize> = BTreeMap::new();
        asked.iter().for_each(|user| *mentions.entry(&user.name).or_default() += 1);
        let one = |(user, count): (&str, usize)| match count {
            1 => describe(state, user),
            _ => refused_user(
                user,
                ErrorCode::DUPLICATE_RESOURCE,
                format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
                ),
            ),
        };
        mentions.into_iter().map(one).collect()
    };
    DescribeUserScramCredentialsResponse {
        error_message: Some(Str::Borrowed("")),
        results: cx.broker.read_catalog(look),
        ..Default::default()
    }
}

fn describe<'a>(state: &State, user: &str) -> DescribeUserScramCredentialsResult<'a> {
    let credential_infos: Vec<CredentialInfo> = Mechanism::ALL
        .into_iter()
        .filter_map(|mechanism| {
            let credential = state.credentials.get(&(user.to_owned(), mechanism))?;
            Some(CredentialInfo { mechanism: mechanism.code(), iterations: credential.iterations })
        })
        .collect();
    if credential_infos.is_empty() {
        let message = format!("Attempt to describe a user credential that does not exist: {user}");
        return refused_user(user, ErrorCode::RESOURCE_NOT_FOUND, message);
    }
    DescribeUserScramCredentialsResult {
        user: Str::Owned(user.to_owned()),
        error_message: Some(Str::Borrowed("")),
        credential_infos,
        ..Default::default()
    }
}

fn refused_user<'a>(user: &str, code: ErrorCode, message: String) -> DescribeUserScramCredentialsResult<'a> {
    DescribeUserScramCredentialsResult {
        user: Str::Owned(user.to_owned()),
        error_code: code,
        error_message: Some(Str::Owned(message)),
        ..Default::default()
    }
}

/// Sets and deletes credentials. Each user succeeds or fails alone, and may be named once.
pub async fn alter_user_scram_credentials<'a>(
    cx: &Context<'_>,
    request: AlterUserScramCredentialsRequest<'a>,
) -> AlterUserScramCredentialsResponse<'a> {
    let deletions = request.deletions.iter().map(|deletion| Alteration::Delete {
        user: deletion.name.to_string(),
        mechanism: deletion.mechanism,
    });
    let upsertions = request.upsertions.iter().map(|upsertion| Alteration::Upsert {
        user: upsertion.name.to_string(),
        mechanism: upsertion.mechanism,
        iterations: upsertion.iterations,
        salt: upsertion.salt.to_vec(),
        salted_password: upsertion.salted_password.to_vec(),
    });
    let asked: Vec<Alteration> = deletions.chain(upsertions).collect();
    let users: BTreeSet<String> = asked.iter().map(|alteration| alteration.user().to_owned()).collect();
    let altered = match cx.permit_on_cluster(Operation::Alter) {
        Ok(()) => cx.broker.change_catalog(move |state| alter(state, &asked)).await,
        Err(code) => Err(permission::refused(code)),
    };
    let outcomes = altered
        .unwrap_or_else(|refused| users.into_iter().map(|user| (user, Err(refused.clone()))).collect());
    let results = outcomes.into_iter().map(|(user, outcome)| {
        let (error_code, error_message) = super::configs::outcome_fields(outcome);
        AlterUserScramCredentialsResult { user: Str::Owned(user), error_code, error_message }
    });
    AlterUserScramCredentialsResponse { throttle_time_ms: 0, results: results.collect() }
}

/// What a user is told.
type Outcome = (String, Result<(), Refused>);

/// What has to happen, and what is said of each user.
fn alter(state: &State, asked: &[Alteration]) -> (Vec<Event>, Vec<Outcome>) {
    let mut outcomes: BTreeMap<&str, Result<Change, Refused>> = BTreeMap::new();
    for alteration in asked {
        let planned = match outcomes.get(alteration.user()) {
            // The first error of a user stays.
            Some(Err(_)) => continue,
            Some(Ok(_)) => Err(Refused::new(
                ErrorCode::DUPLICATE_RESOURCE,
                "A user credential cannot be altered twice in the same request",
            )),
            None => alteration.plan(&state.credentials),
        };
        outcomes.insert(alteration.user(), planned);
    }
    let mut room = CREDENTIALS_MAX.saturating_sub(state.credentials.len());
    let mut events = Vec::new();
    let outcomes = outcomes.into_iter().map(|(name, planned)| {
        let outcome = planned.and_then(|(user, mechanism, credential)| {
            let key = (user, mechanism);
            if credential.is_some() && !state.credentials.contains_key(&key) {
                room = room.checked_sub(1).ok_or_else(|| {
                    let message = format!("{CREDENTIALS_MAX} credentials are kept already");
                    Refused::new(ErrorCode::POLICY_VIOLATION, message)
                })?;
            }
            events.push(Event::CredentialSet { user: key.0, mechanism, credential });
            Ok(())
        });
        (name.to_owned(), outcome)
    });
    let outcomes: Vec<_> = outcomes.collect();
    (events, outcomes)
}
