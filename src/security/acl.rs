//! Access control lists: who may, or may not, do what on which resource, coming from where (KIP-11, KIP-290). What they
//! add up to is decided by the [authorizer](super::authorizer).
//!
//! The rules are those of Kafka's `AclControlManager` and `AclBindingFilter`.

use quipu_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::broker::Refused;
use crate::catalog::NAME_BYTES_MAX;

/// Most entries that are kept.
pub const ACLS_MAX: usize = 10_000;
/// The one resource of type CLUSTER.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// A literal pattern of this name fits every resource of its type.
pub const WILDCARD: &str = "*";

macro_rules! coded {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $code:literal $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $text)] $name),*
        }

        impl $type {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number on the wire.
            pub fn code(self) -> i8 {
                match self { $(Self::$name => $code),* }
            }

            /// Kafka's name of it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The one with this number; `None` also for the numbers of "any", which only filters have.
            pub fn of_code(code: i8) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

coded! {
    /// What kind of thing something is done to (`ResourceType`).
    ResourceType {
        /// A topic.
        Topic = 2 "TOPIC",
        /// A consumer group.
        Group = 3 "GROUP",
        /// The cluster as a whole.
        Cluster = 4 "CLUSTER",
        /// A transactional id.
        TransactionalId = 5 "TRANSACTIONAL_ID",
        /// A delegation token.
        DelegationToken = 6 "DELEGATION_TOKEN",
        /// A user, to act for.
        User = 7 "USER",
    }
}

coded! {
    /// How a pattern's name is compared with a resource's (`PatternType`).
    PatternType {
        /// It is the same, or the pattern is `*`.
        Literal = 3 "LITERAL",
        /// The resource's name begins with it.
        Prefixed = 4 "PREFIXED",
    }
}

coded! {
    /// What is done (`AclOperation`).
    Operation {
        /// Everything.
        All = 2 "ALL",
        /// Reading records.
        Read = 3 "READ",
        /// Writing records.
        Write = 4 "WRITE",
        /// Bringing it into being.
        Create = 5 "CREATE",
        /// Ending it.
        Delete = 6 "DELETE",
        /// Changing it.
        Alter = 7 "ALTER",
        /// Looking at it.
        Describe = 8 "DESCRIBE",
        /// What brokers do among themselves.
        ClusterAction = 9 "CLUSTER_ACTION",
        /// Reading its configuration.
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        /// Changing its configuration.
        AlterConfigs = 11 "ALTER_CONFIGS",
        /// Writing with an idempotent producer.
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        /// Making delegation tokens.
        CreateTokens = 13 "CREATE_TOKENS",
        /// Looking at delegation tokens.
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        /// Committing a transaction in two phases.
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

coded! {
    /// What follows (`AclPermissionType`).
    Permission {
        /// It is forbidden, whatever else is allowed.
        Deny = 2 "DENY",
        /// It is allowed.
        Allow = 3 "ALLOW",
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acl {
    /// Kind of resource.
    pub resource_type: ResourceType,
    /// How the name is compared.
    pub pattern_type: PatternType,
    /// The pattern's name.
    pub resource_name: String,
    /// Who, as `User:name`.
    pub principal: String,
    /// From where; `*` is anywhere.
    pub host: String,
    /// What is done.
    pub operation: Operation,
    /// What follows.
    pub permission: Permission,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::new(ErrorCode::INVALID_REQUEST, message))
}

/// An entry as it came, with Kafka's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `PatternType`.
    pub pattern_type: i8,
    /// The pattern's name.
    pub resource_name: &'a str,
    /// Who.
    pub principal: &'a str,
    /// From where.
    pub host: &'a str,
    /// `AclOperation`.
    pub operation: i8,
    /// `AclPermissionType`.
    pub permission: i8,
}

impl Binding<'_> {
    /// Checks an entry that is to be kept.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, in Kafka's words.
    pub fn check(&self) -> Result<Acl, Refused> {
        let Some(resource_type) = ResourceType::of_code(self.resource_type) else {
            return refuse(format!("Invalid resourceType {}", any_or_unknown(self.resource_type)));
        };
        if resource_type == ResourceType::Cluster && self.resource_name != CLUSTER_NAME {
            return refuse(format!("The only valid name for the CLUSTER resource is {CLUSTER_NAME}"));
        }
        if self.resource_name.is_empty() {
            return refuse("Invalid empty resource name");
        }
        let Some(pattern_type) = PatternType::of_code(self.pattern_type) else {
            let name = if self.pattern_type == MATCH { "MATCH" } else { any_or_unknown(self.pattern_type) };
            return refuse(format!("Invalid patternType {name}"));
        };
        let Some(operation) = Operation::of_code(self.operation) else {
            return refuse(format!("Invalid operation {}", any_or_unknown(self.operation)));
        };
        let Some(permission) = Permission::of_code(self.permission) else {
            return refuse(format!("Invalid permissionType {}", any_or_unknown(self.permission)));
        };
        if !self.principal.contains(':') {
            return refuse(format!(
                "Could not parse principal from `{}` (no colon is present separating the principal type from the principal name)",
                self.principal
            ));
        }
        if [self.resource_name, self.principal, self.host].iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return refuse(format!("a name, principal or host is at most {NAME_BYTES_MAX} bytes long here"));
        }
        Ok(Acl {
            resource_type,
            pattern_type,
            resource_name: self.resource_name.to_owned(),
            principal: self.principal.to_owned(),
            host: self.host.to_owned(),
            operation,
            permission,
        })
    }
}

/// "Any", in every enumeration of a filter.
const ANY: i8 = 1;
/// A filter's pattern type: whatever pattern fits the name.
const MATCH: i8 = 2;

fn any_or_unknown(code: i8) -> &'static str {
    if code == ANY { "ANY" } else { "UNKNOWN" }
}

/// Which entries are meant. `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclFilter {
    resource_type: Option<ResourceType>,
    pattern: Pattern,
    resource_name: Option<String>,
    principal: Option<String>,
    host: Option<String>,
    operation: Option<Operation>,
    permission: Option<Permission>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Match,
    Only(PatternType),
}

/// A filter as it came, with Kafka's numbers; a missing name is any.
#[derive(Clone, Copy, Debug)]
pub struct FilterFields<'a> {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `PatternType`.
    pub pattern_type: i8,
    /// Name of the resource or pattern.
    pub resource_name: Option<&'a str>,
    /// Who.
    pub principal: Option<&'a str>,
    /// From where.
    pub host: Option<&'a str>,
    /// `AclOperation`.
    pub operation: i8,
    /// `AclPermissionType`.
    pub permission: i8,
}

impl AclFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `INVALID_REQUEST`: a number in it means nothing.
    pub fn read(fields: FilterFields<'_>) -> Result<Self, Refused> {
        fn any_or<T>(code: i8, of_code: impl Fn(i8) -> Option<T>, what: &str) -> Result<Option<T>, Refused> {
            match (code, of_code(code)) {
                (ANY, _) => Ok(None),
                (_, Some(one)) => Ok(Some(one)),
                (_, None) => refuse(format!("the filter has an unknown {what}, {code}")),
            }
        }
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            resource_type: any_or(fields.resource_type, ResourceType::of_code, "resource type")?,
            pattern: match (fields.pattern_type, PatternType::of_code(fields.pattern_type)) {
                (ANY, _) => Pattern::Any,
                (MATCH, _) => Pattern::Match,
                (_, Some(only)) => Pattern::Only(only),
                (code, None) => return refuse(format!("the filter has an unknown pattern type, {code}")),
            },
            resource_name: text(fields.resource_name),
            principal: text(fields.principal),
            host: text(fields.host),
            operation: any_or(fields.operation, Operation::of_code, "operation")?,
            permission: any_or(fields.permission, Permission::of_code, "permission type")?,
        })
    }

    /// Whether the entry is one of those that are meant.
    pub fn matches(&self, acl: &Acl) -> bool {
        self.resource_type.is_none_or(|kind| kind == acl.resource_type)
            && self.matches_name(acl)
            && self.principal.as_ref().is_none_or(|principal| *principal == acl.principal)
            && self.host.as_ref().is_none_or(|host| *host == acl.host)
            && self.operation.is_none_or(|operation| operation == acl.operation)
            && self.permission.is_none_or(|permission| permission == acl.permission)
    }

    fn matches_name(&self, acl: &Acl) -> bool {
        if let Pattern::Only(kind) = self.pattern
            && kind != acl.pattern_type
        {
            return false;
        }
        let Some(name) = &self.resource_name else { return true };
        match (self.pattern, acl.pattern_type) {
            (Pattern::Any | Pattern::Only(_), _) => *name == acl.resource_name,
            (Pattern::Match, PatternType::Literal) => {
                *name == acl.resource_name || acl.resource_name == WILDCARD
            }
            (Pattern::Match, PatternType::Prefixed) => name.starts_with(&acl.resource_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding<'_> = Binding {
        resource_type: 2,
        pattern_type: 3,
        resource_name: "orders",
        principal: "User:alice",
        host: "*",
        operation: 3,
        permission: 3,
    };

    const ANYTHING: FilterFields<'_> = FilterFields {
        resource_type: ANY,
        pattern_type: ANY,
        resource_name: None,
        principal: None,
        host: None,
        operation: ANY,
        permission: ANY,
    };

    #[test]
    fn entries_are_checked_in_kafkas_words() {
        assert_eq!(BINDING.check().unwrap().operation, Operation::Read);
        assert!(Binding { resource_type: 4, resource_name: "kafka-cluster", ..BINDING }.check().is_ok());
        for (binding, why) in [
            (Binding { resource_type: 1, ..BINDING }, "Invalid resourceType ANY"),
            (Binding { resource_type: 99, ..BINDING }, "Invalid resourceType UNKNOWN"),
            (
                Binding { resource_type: 4, ..BINDING },
                "The only valid name for the CLUSTER resource is kafka-cluster",
            ),
            (Binding { resource_name: "", ..BINDING }, "Invalid empty resource name"),
            (Binding { pattern_type: 1, ..BINDING }, "Invalid patternType ANY"),
            (Binding { pattern_type: 2, ..BINDING }, "Invalid patternType MATCH"),
            (Binding { operation: 1, ..BINDING }, "Invalid operation ANY"),
            (Binding { operation: 0, ..BINDING }, "Invalid operation UNKNOWN"),
            (Binding { permission: 1, ..BINDING }, "Invalid permissionType ANY"),
            (
                Binding { principal: "alice", ..BINDING },
                "Could not parse principal from `alice` (no colon is present separating the principal type from the principal name)",
            ),
        ] {
            assert_eq!(binding.check(), refuse(why), "{why}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert!(Binding { resource_name: &long, ..BINDING }.check().is_err());
    }

    #[test]
    fn filters_find_patterns_by_name_and_by_what_they_fit() {
        let acl =
            |pattern_type, resource_name| Binding { pattern_type, resource_name, ..BINDING }.check().unwrap();
        let acls = [acl(3, "orders"), acl(3, "*"), acl(4, "ord"), acl(4, "orders"), acl(3, "ord")];
        let found = |pattern_type, name| {
            let filter =
                AclFilter::read(FilterFields { pattern_type, resource_name: name, ..ANYTHING }).unwrap();
            let places = acls.iter().enumerate().filter(|(_, acl)| filter.matches(acl));
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(found(ANY, None), [0, 1, 2, 3, 4]);
        assert_eq!(found(ANY, Some("orders")), [0, 3]);
        assert_eq!(found(3, Some("orders")), [0]);
        assert_eq!(found(4, Some("orders")), [3]);
        assert_eq!(found(4, None), [2, 3]);
        assert_eq!(found(MATCH, Some("orders")), [0, 1, 2, 3]);
        assert_eq!(found(MATCH, Some("ord")), [1, 2, 4]);
        assert_eq!(found(MATCH, Some("*")), [1]);
    }

    #[test]
    fn filters_compare_every_field() {
        let acl = BINDING.check().unwrap();
        let fits = |fields| AclFilter::read(fields).unwrap().matches(&acl);
        assert!(fits(FilterFields {
            resource_type: 2,
            pattern_type: 3,
            resource_name: Some("orders"),
            principal: Some("User:alice"),
            host: Some("*"),
            operation: 3,
            permission: 3,
        }));
        for other in [
            FilterFields { resource_type: 3, ..ANYTHING },
            FilterFields { principal: Some("User:bob"), ..ANYTHING },
            FilterFields { host: Some("10.0.0.1"), ..ANYTHING },
            FilterFields { operation: 4, ..ANYTHING },
            // ALL is an operation of its own here, not "any".
            FilterFields { operation: 2, ..ANYTHING },
            FilterFields { permission: 2, ..ANYTHING },
        ] {
            assert!(!fits(other), "{other:?}");
        }
        for wrong in [
            FilterFields { resource_type: 0, ..ANYTHING },
            FilterFields { pattern_type: 5, ..ANYTHING },
            FilterFields { operation: 16, ..ANYTHING },
            FilterFields { permission: 4, ..ANYTHING },
        ] {
            assert_eq!(AclFilter::read(wrong).unwrap_err().code, ErrorCode::INVALID_REQUEST, "{wrong:?}");
        }
    }

    #[test]
    fn the_stored_form_has_kafkas_names() {
        let text = serde_json::to_string(&BINDING.check().unwrap()).unwrap();
        assert!(text.contains(r#""resource_type":"TOPIC","pattern_type":"LITERAL""#), "{text}");
        assert_eq!(serde_json::from_str::<Acl>(&text).unwrap(), BINDING.check().unwrap());
    }
}
