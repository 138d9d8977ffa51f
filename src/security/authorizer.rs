//! Decides who may do what: Kafka's `StandardAuthorizer` (KIP-11, KIP-290) over the access control lists of the catalog.
//!
//! A super user may do everything. For anyone else the entries count whose pattern fits the resource: by its name, by
//! the beginning of its name, or by `*`. One that denies is stronger than any that allow; without one that allows the
//! answer is no. `allow.everyone.if.no.acl.found` opens only resources that no entry fits, whoever the entry is about.
//! Some operations bring a smaller one with them when they are allowed, and take nothing along when they are denied.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// The principal of a client that did not log in.
pub const ANONYMOUS: &str = "User:ANONYMOUS";
/// In an entry, whoever it is.
const ANYONE: &str = "User:*";
/// A resource of this name stands for all of its type where Kafka asks whether anything is forbidden at all.
const NAMELESS: &str = "hardcode";

/// Who asks, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Who, as `User:name`.
    pub principal: &'a str,
    /// The client's address.
    pub host: IpAddr,
}

/// The access control lists, ordered so that a question looks only at the entries that fit its resource.
#[derive(Debug)]
pub struct Authorizer {
    super_users: HashSet<String>,
    allow_everyone: bool,
    rules: RwLock<Rules>,
    /// How often the entries were set.
    version: AtomicI64,
}

type Rules = HashMap<ResourceType, Patterns>;

/// The entries for resources of one type.
#[derive(Debug, Default)]
struct Patterns {
    literal: HashMap<String, Vec<Rule>>,
    prefixed: HashMap<String, Vec<Rule>>,
    /// How long the prefixes are, in bytes: a name is cut at each of these lengths and looked up.
    prefix_lengths: BTreeSet<usize>,
}

/// An entry without its resource.
#[derive(Debug)]
struct Rule {
    principal: String,
    host: Host,
    operation: Operation,
    permission: Permission,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    Only(IpAddr),
    /// A name: clients are known by their addresses, so that it fits nobody.
    Nobody,
}

impl Host {
    fn read(text: &str) -> Self {
        match text {
            WILDCARD => Self::Any,
            text => text.parse().map_or(Self::Nobody, |address: IpAddr| Self::Only(address.to_canonical())),
        }
    }
}

/// Whether the host of an entry is none that a client could have: neither an address (without a zone) nor `*`.
pub fn fits_nobody(host: &str) -> bool {
    Host::read(host) == Host::Nobody
}

impl Rule {
    fn is_about(&self, subject: Subject<'_>) -> bool {
        let fits_host = match &self.host {
            Host::Any => true,
            Host::Only(address) => *address == subject.host.to_canonical(),
            Host::Nobody => false,
        };
        fits_host && (self.principal == subject.principal || self.principal == ANYONE)
    }

    fn is_for(&self, asked: Operation) -> bool {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        if self.operation == Operation::All || self.operation == asked {
            return true;
        }
        self.permission == Permission::Allow
            && match asked {
                Describe => matches!(self.operation, Read | Write | Delete | Alter),
                DescribeConfigs => self.operation == AlterConfigs,
                _ => false,
            }
    }
}

impl Patterns {
    fn add(&mut self, acl: &Acl) {
        let rule = Rule {
            principal: acl.principal.clone(),
            host: Host::read(&acl.host),
            operation: acl.operation,
            permission: acl.permission,
        };
        let by_name = match acl.pattern_type {
            PatternType::Literal => &mut self.literal,
            PatternType::Prefixed => {
                self.prefix_lengths.insert(acl.resource_name.len());
                &mut self.prefixed
            }
        };
        by_name.entry(acl.resource_name.clone()).or_default().push(rule);
    }

    /// The entries that fit a resource. One named `*` meets its entries twice, which changes nothing.
    fn fitting<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rule> {
        let literal = [WILDCARD, name].into_iter().filter_map(|name| self.literal.get(name));
        literal.chain(self.beginning(name).map(|(_, rules)| rules)).flatten()
    }

    /// The prefixes that a name begins with, and their entries.
    fn beginning<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<Rule>)> {
        let prefixes = self.prefix_lengths.range(..=name.len()).filter_map(|&length| name.get(..length));
        prefixes.filter_map(|prefix| Some((prefix, self.prefixed.get(prefix)?)))
    }
}

impl Authorizer {
    /// With these super users, as `User:name`, and without any entries. `allow_everyone` opens resources that no entry
    /// fits (`allow.everyone.if.no.acl.found`).
    pub fn new(super_users: impl IntoIterator<Item = String>, allow_everyone: bool) -> Self {
        Self {
            super_users: super_users.into_iter().collect(),
            allow_everyone,
            rules: RwLock::default(),
            version: AtomicI64::new(0),
        }
    }

    /// Goes by these entries from now on.
    pub fn set(&self, acls: impl IntoIterator<Item = impl Borrow<Acl>>) {
        let mut rules = Rules::new();
        for acl in acls {
            let acl = acl.borrow();
            rules.entry(acl.resource_type).or_default().add(acl);
        }
        let old = std::mem::replace(&mut *self.rules.write(), rules);
        // Later than the entries: who remembers the old version has at worst looked too early.
        self.version.fetch_add(1, Ordering::Release);
        // Without the lock: that takes a while when there are many.
        drop(old);
    }

    /// Raised when the entries have changed. Read before asking: what is decided then goes by these entries, or by newer ones.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// True if nobody may do anything: there is neither an entry nor a super user.
    pub fn refuses_everyone(&self) -> bool {
        !self.allow_everyone && self.super_users.is_empty() && self.rules.read().is_empty()
    }

    /// Whether the operation is allowed.
    pub fn allows(&self, subject: Subject<'_>, operation: Operation, kind: ResourceType, name: &str) -> bool {
        if self.super_users.contains(subject.principal) {
            return true;
        }
        let rules = self.rules.read();
        let Some(patterns) = rules.get(&kind) else { return self.allow_everyone };
        let (mut has_entries, mut is_allowed) = (false, false);
        for rule in patterns.fitting(name) {
            has_entries = true;
            if rule.is_about(subject) && rule.is_for(operation) {
                match rule.permission {
                    Permission::Deny => return false,
                    Permission::Allow => is_allowed = true,
                }
            }
        }
        is_allowed || !has_entries && self.allow_everyone
    }

    /// Whether the operation is allowed on any resource of the type, be it there or not: an entry that allows it must not
    /// be covered by one that denies (`authorizeByResourceType`, KIP-679). Looks at all entries of the type.
    pub fn allows_any(&self, subject: Subject<'_>, operation: Operation, kind: ResourceType) -> bool {
        if self.allows(subject, operation, kind, NAMELESS) {
            return true;
        }
        let rules = self.rules.read();
        let Some(patterns) = rules.get(&kind) else { return false };
        // Here an operation does not bring others along.
        let has = |rules: &[Rule], permission| {
            rules.iter().any(|rule| {
                rule.permission == permission
                    && rule.is_about(subject)
                    && (rule.operation == operation || rule.operation == Operation::All)
            })
        };
        let is_covered = |name: &str| patterns.beginning(name).any(|(_, rules)| has(rules, Permission::Deny));
        if let Some(rules) = patterns.literal.get(WILDCARD) {
            if has(rules, Permission::Deny) {
                return false;
            }
            if has(rules, Permission::Allow) {
                return true;
            }
        }
        let literal = patterns.literal.iter().filter(|(_, rules)| !has(rules, Permission::Deny));
        let mut allowing =
            literal.chain(&patterns.prefixed).filter(|(_, rules)| has(rules, Permission::Allow));
        allowing.any(|(name, _)| !is_covered(name))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ALICE: Subject<'_> = Subject { principal: "User:alice", host: HERE };

    fn acl(pattern_type: PatternType, name: &str, operation: Operation, permission: Permission) -> Acl {
        Acl {
            resource_type: ResourceType::Topic,
            pattern_type,
            resource_name: name.to_owned(),
            principal: ALICE.principal.to_owned(),
            host: WILDCARD.to_owned(),
            operation,
            permission,
        }
    }

    fn allow(name: &str, operation: Operation) -> Acl {
        acl(PatternType::Literal, name, operation, Permission::Allow)
    }

    fn with(acls: &[Acl]) -> Authorizer {
        let authorizer = Authorizer::new([], false);
        authorizer.set(acls);
        authorizer
    }

    fn allows(acls: &[Acl], operation: Operation, name: &str) -> bool {
        with(acls).allows(ALICE, operation, ResourceType::Topic, name)
    }

    #[test]
    fn patterns_fit_by_name_by_beginning_and_all() {
        use PatternType::{Literal, Prefixed};
        for (pattern_type, pattern, fitting, other) in [
            (Literal, "orders", "orders", "orders2"),
            (Prefixed, "ord", "orders", "or"),
            (Prefixed, "ord", "ord", "borders"),
            (Literal, "*", "anything", ""),
            (Prefixed, "*", "*x", "anything"),
            // Cut in the middle of a character no prefix fits.
            (Prefixed, "a", "aü", "üa"),
        ] {
            let acls = [acl(pattern_type, pattern, Operation::Read, Permission::Allow)];
            assert!(allows(&acls, Operation::Read, fitting), "{pattern} {fitting}");
            assert!(other.is_empty() || !allows(&acls, Operation::Read, other), "{pattern} {other}");
        }
    }

    #[test]
    fn what_denies_is_stronger_wherever_it_stands() {
        use PatternType::{Literal, Prefixed};
        for (pattern_type, pattern) in [(Literal, "orders"), (Prefixed, "o"), (Literal, "*")] {
            let deny = acl(pattern_type, pattern, Operation::Read, Permission::Deny);
            for name in ["orders", "*"] {
                assert!(!allows(&[allow(name, Operation::Read), deny.clone()], Operation::Read, "orders"));
            }
            assert!(allows(&[allow("orders", Operation::All), deny], Operation::Write, "orders"));
        }
    }

    #[test]
    fn operations_bring_smaller_ones_along_only_when_allowed() {
        use Operation::{Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write};
        for operation in [Read, Write, Delete, Alter, Describe] {
            assert!(allows(&[allow("t", operation)], Describe, "t"), "{operation:?}");
            let deny = acl(PatternType::Literal, "t", operation, Permission::Deny);
            assert_eq!(allows(&[allow("t", Read), deny], Describe, "t"), operation != Describe);
        }
        assert!(allows(&[allow("t", AlterConfigs)], DescribeConfigs, "t"));
        assert!(!allows(&[allow("t", Create)], Describe, "t"));
        assert!(!allows(&[allow("t", Alter)], DescribeConfigs, "t"));
        assert!(!allows(&[allow("t", Describe)], Read, "t"));
    }

    #[test]
    fn entries_hold_for_a_principal_and_an_address() {
        let read = |principal: &str, host: &str| Acl {
            principal: principal.to_owned(),
            host: host.to_owned(),
            ..allow("t", Operation::Read)
        };
        let allowed = |acl: Acl, host: &str| {
            let subject = Subject { host: host.parse().unwrap(), ..ALICE };
            with(&[acl]).allows(subject, Operation::Read, ResourceType::Topic, "t")
        };
        assert!(allowed(read("User:*", "*"), "10.0.0.1"));
        assert!(allowed(read("User:alice", "10.0.0.1"), "10.0.0.1"));
        assert!(allowed(read("User:alice", "10.0.0.1"), "::ffff:10.0.0.1"));
        assert!(allowed(read("User:alice", "0:0:0:0:0:0:0:1"), "::1"));
        assert!(!allowed(read("User:alice", "10.0.0.1"), "10.0.0.2"));
        assert!(!allowed(read("User:alice", "localhost"), "127.0.0.1"));
        assert!(!allowed(read("User:bob", "*"), "10.0.0.1"));
        assert!(!allowed(read("Group:alice", "*"), "10.0.0.1"));
    }

    #[test]
    fn super_users_are_held_back_by_nothing() {
        let authorizer = Authorizer::new(["User:alice".to_owned()], false);
        authorizer.set([acl(PatternType::Literal, "*", Operation::All, Permission::Deny)]);
        assert!(authorizer.allows(ALICE, Operation::Write, ResourceType::Topic, "t"));
        assert!(authorizer.allows_any(ALICE, Operation::Write, ResourceType::Topic));
        let bob = Subject { principal: "User:bob", ..ALICE };
        assert!(!authorizer.allows(bob, Operation::Write, ResourceType::Topic, "t"));
    }

    #[test]
    fn only_what_no_entry_fits_is_open_to_everyone() {
        let authorizer = Authorizer::new([], true);
        let asks = |name| authorizer.allows(ALICE, Operation::Read, ResourceType::Topic, name);
        assert!(asks("t"));
        // Whoever it is about.
        authorizer.set([Acl { principal: "User:bob".to_owned(), ..allow("t", Operation::Read) }]);
        assert!(!asks("t"));
        assert!(asks("u"));
        assert!(authorizer.allows(ALICE, Operation::Read, ResourceType::Group, "t"));
    }

    #[test]
    fn nobody_may_anything_without_entries_and_super_users() {
        assert!(with(&[]).refuses_everyone());
        assert!(!with(&[allow("t", Operation::Read)]).refuses_everyone());
        assert!(!Authorizer::new([], true).refuses_everyone());
        assert!(!Authorizer::new(["User:a".to_owned()], false).refuses_everyone());
    }

    #[test]
    fn an_operation_on_any_resource_needs_one_that_is_not_covered() {
        use PatternType::{Literal, Prefixed};
        let any = |acls: &[(PatternType, &str, Permission)]| {
            let acls =
                acls.iter().map(|(kind, name, permission)| acl(*kind, name, Operation::Write, *permission));
            with(&acls.collect::<Vec<_>>()).allows_any(ALICE, Operation::Write, ResourceType::Topic)
        };
        let (yes, no) = (Permission::Allow, Permission::Deny);
        assert!(!any(&[]));
        assert!(any(&[(Literal, "t", yes)]));
        assert!(any(&[(Prefixed, "t", yes), (Literal, "t", no)]));
        assert!(!any(&[(Literal, "t", yes), (Literal, "t", no)]));
        assert!(!any(&[(Prefixed, "topic", yes), (Prefixed, "t", no)]));
        assert!(!any(&[(Literal, "t", yes), (Literal, "*", no)]));
        assert!(any(&[(Literal, "*", yes), (Prefixed, "t", no)]));
        let reading = [allow("t", Operation::Read)];
        assert!(!with(&reading).allows_any(ALICE, Operation::Describe, ResourceType::Topic));
    }

    /// The rules as a sentence, over all entries.
    fn naive(acls: &[Acl], everyone: bool, subject: Subject<'_>, operation: Operation, name: &str) -> bool {
        let fits = |acl: &&Acl| match acl.pattern_type {
            PatternType::Literal => acl.resource_name == name || acl.resource_name == "*",
            PatternType::Prefixed => name.starts_with(&acl.resource_name),
        };
        let fitting: Vec<&Acl> =
            acls.iter().filter(|acl| acl.resource_type == ResourceType::Topic).filter(fits).collect();
        let speaks = |acl: &&&Acl| {
            let implied: &[&str] = match (acl.permission, operation) {
                (Permission::Allow, Operation::Describe) => &["READ", "WRITE", "DELETE", "ALTER"],
                (Permission::Allow, Operation::DescribeConfigs) => &["ALTER_CONFIGS"],
                _ => &[],
            };
            let name = acl.operation.name();
            ["*", &subject.host.to_string()].contains(&&*acl.host)
                && ["User:*", subject.principal].contains(&&*acl.principal)
                && (name == "ALL" || name == operation.name() || implied.contains(&name))
        };
        let said: BTreeSet<_> = fitting.iter().filter(speaks).map(|acl| acl.permission.name()).collect();
        !said.contains("DENY") && (said.contains("ALLOW") || everyone && fitting.is_empty())
    }

    fn entries() -> impl Strategy<Value = Acl> {
        let names = prop::sample::select(vec!["*", "a", "ab", "abc", "b", "ü", "üa"]);
        let principals = prop::sample::select(vec!["User:alice", "User:bob", "User:*"]);
        let hosts = prop::sample::select(vec!["*", "127.0.0.1", "10.0.0.1"]);
        (
            prop::sample::select(vec![ResourceType::Topic, ResourceType::Group]),
            prop::sample::select(PatternType::ALL.to_vec()),
            names,
            principals,
            hosts,
            prop::sample::select(Operation::ALL.to_vec()),
            prop::sample::select(Permission::ALL.to_vec()),
        )
            .prop_map(
                |(resource_type, pattern_type, name, principal, host, operation, permission)| Acl {
                    resource_type,
                    pattern_type,
                    resource_name: name.to_owned(),
                    principal: principal.to_owned(),
                    host: host.to_owned(),
                    operation,
                    permission,
                },
            )
    }

    proptest! {
        /// Also after entries have come and gone (CVE-2024-27309: removing one changed what others said).
        #[test]
        fn decides_as_the_naive_model(
            acls in prop::collection::vec(entries(), 0..12),
            kept in 0_usize..12,
            everyone: bool,
        ) {
            let authorizer = Authorizer::new([], everyone);
            authorizer.set(&acls);
            let left = &acls[..kept.min(acls.len())];
            for acls in [&acls[..], left] {
                authorizer.set(acls);
                for name in ["a", "ab", "abc", "abcd", "b", "c", "ü", "üab", "*"] {
                    for host in [HERE, IpAddr::from([10, 0, 0, 1])] {
                        let subject = Subject { host, ..ALICE };
                        for &operation in Operation::ALL.iter().filter(|it| **it != Operation::All) {
                            prop_assert_eq!(
                                authorizer.allows(subject, operation, ResourceType::Topic, name),
                                naive(acls, everyone, subject, operation, name),
                                "{:?} {:?} {}", subject, operation, name
                            );
                        }
                    }
                }
            }
        }
    }
}
