//! Client quotas: how much whom may use (KIP-13, KIP-546, KIP-612). Kept and described; nothing holds clients to them yet.
//!
//! The rules are those of Kafka's `ClientQuotaControlManager` and `ClientQuotasImage`, except that an address has to be
//! given as one: Kafka looks names up, which could hold up everybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use quipu_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use super::{Event, NAME_BYTES_MAX};
use crate::broker::Refused;

/// Most entities that have quotas.
pub const ENTITIES_MAX: usize = 10_000;

/// What a quota is for. In the order in which Kafka's tools name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityType {
    /// Who is logged in.
    User,
    /// What a client calls itself.
    ClientId,
    /// Where a connection comes from.
    Ip,
}

impl EntityType {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::User, Self::ClientId, Self::Ip].into_iter().find(|kind| kind.name() == name)
    }
}

/// Whom a quota is for: a name for each type; `None` stands for all that have no quota of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entity(pub BTreeMap<EntityType, Option<String>>);

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (kind, name)) in self.0.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}={}", kind.name(), name.as_deref().unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

/// The quotas of one entity, by key.
pub type Quotas = BTreeMap<String, f64>;

/// A quota that is to be set, or with `None` taken away.
pub type Operation = (String, Option<f64>);

fn refuse(message: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, message)
}

impl Entity {
    /// Reads an entity from its parts on the wire.
    ///
    /// # Errors
    /// `INVALID_REQUEST`: there is no such entity.
    pub fn read<'a>(parts: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self, Refused> {
        let mut entity = Self::default();
        for (kind, name) in parts {
            let known = EntityType::named(kind)
                .ok_or_else(|| refuse(format!("Unhandled client quota entity type: {kind}")))?;
            if name == Some("") {
                return Err(refuse(format!("Empty {kind} not supported")));
            }
            if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                return Err(refuse(format!("a {kind} is at most {NAME_BYTES_MAX} bytes long here")));
            }
            if entity.0.insert(known, name.map(str::to_owned)).is_some() {
                return Err(refuse(format!("Invalid client quota entity, duplicate entity entry {kind}")));
            }
        }
        if entity.0.is_empty() {
            return Err(refuse("Invalid empty client quota entity"));
        }
        match entity.0.get(&EntityType::Ip) {
            Some(_) if entity.0.len() > 1 => {
                Err(refuse("Invalid quota entity combination: an IP stands alone, without user or client id"))
            }
            Some(Some(ip)) if ip.parse::<IpAddr>().is_err() => {
                Err(refuse(format!("{ip} is not a valid IP address")))
            }
            _ => Ok(entity),
        }
    }

    /// What has to happen so that the entity, which has `current`, is as wished.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, and nothing is to happen: a key that this kind of entity has not, or a value out of its range.
    pub fn plan(&self, current: Option<&Quotas>, asked: &[Operation]) -> Result<Vec<Event>, Refused> {
        let mut events = Vec::new();
        let mut seen = BTreeSet::new();
        for (key, value) in asked {
            if !seen.insert(key) {
                return Err(refuse(format!(
                    "Duplicate quota key {key} not updating quota for this entity {self}"
                )));
            }
            let now = current.and_then(|quotas| quotas.get(key)).copied();
            if let Some(value) = value {
                check(self.0.contains_key(&EntityType::Ip), key, *value)?;
            }
            if now != *value {
                events.push(Event::QuotaSet { entity: self.clone(), key: key.clone(), value: *value });
            }
        }
        Ok(events)
    }
}

/// How a value of a key has to be: whole and not above a limit, or any number.
fn highest_whole(is_ip: bool, key: &str) -> Option<Option<f64>> {
    match (is_ip, key) {
        (false, "producer_byte_rate" | "consumer_byte_rate") => Some(Some(i64::MAX as f64)),
        (false, "request_percentage" | "controller_mutation_rate") => Some(None),
        (true, "connection_creation_rate") => Some(Some(f64::from(i32::MAX))),
        _ => None,
    }
}

fn check(is_ip: bool, key: &str, value: f64) -> Result<(), Refused> {
    let highest =
        highest_whole(is_ip, key).ok_or_else(|| refuse(format!("Invalid configuration key {key}")))?;
    // Also what is not a number. Kafka would keep that, and JSON cannot.
    if !(value > 0.0 && value.is_finite()) {
        return Err(refuse(format!("Quota {key} must be greater than 0")));
    }
    match highest {
        Some(highest) if value > highest => {
            Err(refuse(format!("Proposed value for {key} is too large: {value}")))
        }
        Some(_) if (value - value.round()).abs() > 1e-6 => {
            Err(refuse(format!("{key} cannot be a fractional value.")))
        }
        _ => Ok(()),
    }
}

/// What a component of a filter asks of one type of entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The entity has exactly this name, or with `None` is the default.
    Exact(Option<String>),
    /// The entity has the type, whatever its name.
    Any,
}

/// Which entities to describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter {
    components: BTreeMap<EntityType, Match>,
    strict: bool,
}

impl QuotaFilter {
    /// Reads a filter from its components on the wire: type of the entity, kind of match (0 exact, 1 default, 2 any),
    /// name. With `strict` an entity has no types but those asked for.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, or `UNSUPPORTED_VERSION` for a type of entity that nobody knows.
    pub fn read<'a>(
        components: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
        strict: bool,
    ) -> Result<Self, Refused> {
        let mut filter = Self { components: BTreeMap::new(), strict };
        for (kind, code, name) in components {
            if kind.is_empty() {
                return Err(refuse("Invalid empty entity type."));
            }
            let known = EntityType::named(kind).ok_or_else(|| {
                Refused::new(ErrorCode::UNSUPPORTED_VERSION, format!("Unsupported entity type {kind}"))
            })?;
            let wanted = match (code, name) {
                (0, Some(name)) => Match::Exact(Some(name.to_owned())),
                (0, None) => return Err(refuse("an exact match was asked for, but no name was given")),
                (1, None) => Match::Exact(None),
                (2, None) => Match::Any,
                (1 | 2, Some(_)) => {
                    return Err(refuse("a name was given for a match that is not an exact one"));
                }
                _ => return Err(refuse(format!("Unknown match type {code}"))),
            };
            if filter.components.insert(known, wanted).is_some() {
                return Err(refuse(format!(
                    "Entity type {kind} cannot appear more than once in the filter."
                )));
            }
        }
        if filter.components.contains_key(&EntityType::Ip) && filter.components.len() > 1 {
            return Err(refuse(
                "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.",
            ));
        }
        Ok(filter)
    }

    /// Whether the entity is one of those to describe. A strict filter without components finds none.
    pub fn matches(&self, entity: &Entity) -> bool {
        let fits = |(kind, wanted): (&EntityType, &Match)| match (entity.0.get(kind), wanted) {
            (Some(name), Match::Exact(wanted)) => name == wanted,
            (Some(_), Match::Any) => true,
            (None, _) => false,
        };
        self.components.iter().all(fits) && (!self.strict || entity.0.len() == self.components.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> Result<Entity, Refused> {
        Entity::read(parts.iter().copied())
    }

    fn refused<T: fmt::Debug>(result: Result<T, Refused>) -> String {
        let refused = result.unwrap_err();
        assert_eq!(refused.code, ErrorCode::INVALID_REQUEST, "{refused:?}");
        refused.message
    }

    #[test]
    fn entities_have_types_and_names() {
        let both = entity(&[("client-id", None), ("user", Some("alice"))]).unwrap();
        assert_eq!(both.to_string(), "user=alice, client-id=<default>");
        assert!(entity(&[("ip", Some("::1"))]).is_ok() && entity(&[("ip", None)]).is_ok());
        for (wrong, why) in [
            (&[][..], "Invalid empty client quota entity"),
            (&[("group", Some("g"))], "Unhandled client quota entity type: group"),
            (&[("user", Some(""))], "Empty user not supported"),
            (&[("user", Some("a")), ("user", None)], "duplicate entity entry user"),
            (&[("ip", None), ("user", None)], "an IP stands alone"),
            (&[("ip", Some("somewhere"))], "somewhere is not a valid IP"),
        ] {
            assert!(refused(entity(wrong)).contains(why), "{why}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert!(refused(entity(&[("user", Some(&long))])).contains("bytes long"));
    }

    #[test]
    fn quotas_have_keys_and_ranges() {
        let user = entity(&[("user", Some("a"))]).unwrap();
        let ip = entity(&[("ip", None)]).unwrap();
        let set = |entity: &Entity, key: &str, value| entity.plan(None, &[(key.to_owned(), Some(value))]);
        assert_eq!(set(&user, "producer_byte_rate", 1024.0).unwrap().len(), 1);
        assert_eq!(set(&user, "request_percentage", 0.5).unwrap().len(), 1);
        assert_eq!(set(&ip, "connection_creation_rate", 5.0).unwrap().len(), 1);
        for (entity, key, value, why) in [
            (&user, "connection_creation_rate", 5.0, "Invalid configuration key"),
            (&ip, "producer_byte_rate", 5.0, "Invalid configuration key"),
            (&user, "SCRAM-SHA-256", 5.0, "Invalid configuration key"),
            (&user, "consumer_byte_rate", 0.0, "must be greater than 0"),
            (&user, "consumer_byte_rate", f64::NAN, "must be greater than 0"),
            (&user, "consumer_byte_rate", f64::INFINITY, "must be greater than 0"),
            (&user, "consumer_byte_rate", 1.5, "cannot be a fractional value"),
            (&user, "consumer_byte_rate", 1e19, "too large"),
            (&ip, "connection_creation_rate", 3e9, "too large"),
        ] {
            assert!(refused(set(entity, key, value)).contains(why), "{key}={value}");
        }
        let twice = [("request_percentage".to_owned(), Some(1.0)), ("request_percentage".to_owned(), None)];
        assert!(refused(user.plan(None, &twice)).contains("Duplicate quota key"));
    }

    #[test]
    fn only_what_changes_is_recorded() {
        let user = entity(&[("user", None)]).unwrap();
        let current = Quotas::from([("request_percentage".to_owned(), 10.0)]);
        let plan = |key: &str, value| user.plan(Some(&current), &[(key.to_owned(), value)]).unwrap().len();
        assert_eq!(plan("request_percentage", Some(10.0)), 0);
        assert_eq!(plan("request_percentage", Some(11.0)), 1);
        assert_eq!(plan("request_percentage", None), 1);
        assert_eq!(plan("producer_byte_rate", None), 0);
    }

    #[test]
    fn filters_find_what_they_ask_for() {
        let entities: Vec<Entity> = [
            &[("user", Some("a"))][..],
            &[("user", None)],
            &[("user", Some("a")), ("client-id", Some("c"))],
            &[("user", Some("a")), ("client-id", None)],
            &[("client-id", Some("c"))],
            &[("ip", Some("10.0.0.1"))],
        ]
        .iter()
        .map(|parts| entity(parts).unwrap())
        .collect();
        let found = |components: &[(&str, i8, Option<&str>)], strict| {
            let filter = QuotaFilter::read(components.iter().copied(), strict).unwrap();
            let places = entities.iter().enumerate().filter(|(_, entity)| filter.matches(entity));
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(found(&[], false), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found(&[], true), [0; 0]);
        assert_eq!(found(&[("user", 0, Some("a"))], false), [0, 2, 3]);
        assert_eq!(found(&[("user", 0, Some("a"))], true), [0]);
        assert_eq!(found(&[("user", 1, None)], false), [1]);
        assert_eq!(found(&[("user", 2, None)], true), [0, 1]);
        assert_eq!(found(&[("user", 2, None), ("client-id", 1, None)], true), [3]);
        assert_eq!(found(&[("user", 2, None), ("client-id", 2, None)], false), [2, 3]);
        assert_eq!(found(&[("ip", 2, None)], true), [5]);
        let read =
            |components: &[(&str, i8, Option<&str>)]| QuotaFilter::read(components.iter().copied(), false);
        for (wrong, why) in [
            (&[("", 2, None)][..], "empty entity type"),
            (&[("user", 0, None)], "no name was given"),
            (&[("user", 1, Some("a"))], "not an exact one"),
            (&[("user", 2, Some("a"))], "not an exact one"),
            (&[("user", 3, None)], "Unknown match type 3"),
            (&[("user", 2, None), ("user", 1, None)], "more than once"),
            (&[("user", 2, None), ("ip", 2, None)], "IP filter component"),
        ] {
            assert!(refused(read(wrong)).contains(why), "{why}");
        }
        assert_eq!(read(&[("group", 2, None)]).unwrap_err().code, ErrorCode::UNSUPPORTED_VERSION);
    }
}
