//! What a handler asks before it does something: may this client?
//!
//! Every function of the [API table](super::table) asks where it does what it asks for, as Kafka's `KafkaApis` and
//! `ControllerApis` do. Without an authorizer each question is one branch.

use quipu_protocol::ErrorCode;

use super::Context;
use crate::broker::Refused;
use crate::coordinator::doors::Sight;
use crate::logging::AUTHORIZER;
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::security::authorizer::{ANONYMOUS, Authorizer, Subject};

/// "Not asked for" in an authorized-operations field.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;
/// Longest part of a resource's name in a log line, in characters.
const LOGGED_CHARS: usize = 256;

/// The operations that a resource of the type knows (Kafka's `AclEntry.supportedOperations`).
fn operations_of(kind: ResourceType) -> &'static [Operation] {
    use Operation::{
        Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read,
        Write,
    };
    match kind {
        ResourceType::Topic => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
        ResourceType::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
        ResourceType::Cluster => {
            &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite]
        }
        // No answer has a place for them.
        ResourceType::TransactionalId | ResourceType::DelegationToken | ResourceType::User => &[],
    }
}

/// What a client is told that may not do something with a resource of the type.
fn refusal(kind: ResourceType) -> ErrorCode {
    match kind {
        ResourceType::Topic => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ResourceType::Group => ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ResourceType::Cluster => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ResourceType::TransactionalId => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ResourceType::DelegationToken | ResourceType::User => {
            ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED
        }
    }
}

/// A refusal with Kafka's message.
pub(super) fn refused(code: ErrorCode) -> Refused {
    Refused::new(code, message(code))
}

/// Kafka's message for a refusal.
pub(super) fn message(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => "Topic authorization failed.",
        ErrorCode::GROUP_AUTHORIZATION_FAILED => "Group authorization failed.",
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => "Transactional Id authorization failed.",
        _ => "Cluster authorization failed.",
    }
}

/// A client as one who looks at topics.
struct Eyes<'a> {
    authorizer: Option<&'a Authorizer>,
    subject: Subject<'static>,
}

impl Sight for Eyes<'_> {
    fn sees(&self, topic: &str) -> bool {
        let sees = |it: &Authorizer| it.allows(self.subject, Operation::Describe, ResourceType::Topic, topic);
        self.authorizer.is_none_or(sees)
    }

    fn version(&self) -> i64 {
        self.authorizer.map_or(0, Authorizer::version)
    }
}

impl Context<'_> {
    /// Who asks. Nobody logs in yet.
    fn subject(&self) -> Subject<'static> {
        Subject { principal: ANONYMOUS, host: self.peer_addr.ip() }
    }

    /// Whether the client may do this to a resource. The authorizer's log tells of it if not, once
    /// for the request.
    pub fn may(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        match &self.broker.authorizer {
            None => true,
            Some(authorizer) => self.ask(authorizer, operation, kind, name, true),
        }
    }

    /// The same where a no is nothing to tell of: another right will do, or what is not allowed is left out.
    pub fn may_quietly(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        match &self.broker.authorizer {
            None => true,
            Some(authorizer) => self.ask(authorizer, operation, kind, name, false),
        }
    }

    /// Whether the client may do this to some resource of the type, which need not exist.
    pub fn may_to_any(&self, operation: Operation, kind: ResourceType) -> bool {
        let authorizer = self.broker.authorizer.as_ref();
        authorizer.is_none_or(|authorizer| authorizer.allows_any(self.subject(), operation, kind))
    }

    /// Which topics the client may see, for those who list them.
    pub fn sees(&self) -> impl Sight {
        Eyes { authorizer: self.broker.authorizer.as_ref(), subject: self.subject() }
    }

    /// Goes on only if the client may do this.
    ///
    /// # Errors
    /// The type's own: `TOPIC_AUTHORIZATION_FAILED` and so on.
    pub fn permit(&self, operation: Operation, kind: ResourceType, name: &str) -> Result<(), ErrorCode> {
        if self.may(operation, kind, name) { Ok(()) } else { Err(refusal(kind)) }
    }

    /// Whether the client may do this to the cluster, where a no is nothing to tell of.
    pub fn may_on_cluster(&self, operation: Operation) -> bool {
        self.may_quietly(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// Goes on only if the client may do this to the cluster.
    ///
    /// # Errors
    /// `CLUSTER_AUTHORIZATION_FAILED`.
    pub fn permit_on_cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        self.permit(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// What the client may do to a resource, as bits at the operations' numbers (KIP-430), if it `asked` for that.
    pub fn operations(&self, asked: bool, kind: ResourceType, name: &str) -> i32 {
        if asked { self.authorized_operations(kind, name) } else { NO_OPERATIONS }
    }

    /// The same, asked for or not.
    pub fn authorized_operations(&self, kind: ResourceType, name: &str) -> i32 {
        let may = operations_of(kind).iter().filter(|&&operation| self.may_quietly(operation, kind, name));
        may.map(|operation| 1 << operation.code()).sum()
    }

    /// What the client may do to the cluster, if it `asked`; nothing is told to one that may not even describe it.
    pub fn cluster_operations(&self, asked: bool) -> i32 {
        if !asked {
            return NO_OPERATIONS;
        }
        match self.permit_on_cluster(Operation::Describe) {
            Ok(()) => self.authorized_operations(ResourceType::Cluster, CLUSTER_NAME),
            Err(_) => 0,
        }
    }

    fn ask(
        &self,
        authorizer: &Authorizer,
        operation: Operation,
        kind: ResourceType,
        name: &str,
        tells: bool,
    ) -> bool {
        let subject = self.subject();
        let is_allowed = authorizer.allows(subject, operation, kind, name);
        // Once for each request, however often it asks: one Fetch may name a topic's partitions by the hundred thousand.
        let is_news = || self.denied.lock().insert((operation, kind, name.to_owned()));
        if tells && !is_allowed && is_news() {
            let name: String = name.chars().take(LOGGED_CHARS).collect();
            let (operation, kind) = (operation.name(), kind.name());
            tracing::info!(
                target: AUTHORIZER,
                principal = subject.principal,
                host = %subject.host,
                operation,
                kind,
                name,
                "denied"
            );
        }
        is_allowed
    }
}
