//! What the catalog's log says.

use std::collections::BTreeMap;
use std::fmt;

use quipu_protocol::primitives::Uuid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::quotas::Entity;
use crate::security::acl::Acl;
use crate::security::scram::{Credential, Mechanism};

/// One change. The JSON form is a stored format: fields may be added with a default, never renamed or removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// Forget everything before: what follows in the same batch is the whole state.
    Reset,
    /// A topic came to be.
    TopicCreated {
        /// Its name.
        name: String,
        /// Its id, in Kafka's base64 text.
        #[serde(serialize_with = "id_to_text", deserialize_with = "id_from_text")]
        id: Uuid,
        /// How many partitions it has.
        partitions: i32,
        /// What was set on it.
        configs: BTreeMap<String, String>,
    },
    /// A topic ended.
    TopicDeleted {
        /// Its name.
        name: String,
    },
    /// A topic grew.
    PartitionsAdded {
        /// Its name.
        name: String,
        /// How many partitions it has now.
        partitions: i32,
    },
    /// Something was configured, or (`value` null) went back to its default.
    ConfigSet {
        /// On what.
        resource: Resource,
        /// Which key.
        key: String,
        /// The new value.
        value: Option<String>,
    },
    /// Producer ids below `until` are given out or may have been.
    ProducerIdsReserved {
        /// First id that is still free.
        until: i64,
    },
    /// Features have these levels from now on.
    FeaturesSet {
        /// Higher than any before.
        epoch: i64,
        /// All that were ever chosen.
        levels: BTreeMap<String, i16>,
    },
    /// A client quota was set, or (`value` null) taken away.
    QuotaSet {
        /// For whom.
        entity: Entity,
        /// Which quota.
        key: String,
        /// How much.
        value: Option<f64>,
    },
    /// A user's credential was set, or (`credential` null) forgotten.
    CredentialSet {
        /// Whose.
        user: String,
        /// For which mechanism.
        mechanism: Mechanism,
        /// The keys.
        credential: Option<Credential>,
    },
    /// Something was allowed or forbidden.
    AclAdded {
        /// What.
        acl: Acl,
    },
    /// And is no more.
    AclRemoved {
        /// What.
        acl: Acl,
    },
}

/// What a config is set on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "name", rename_all = "kebab-case")]
pub enum Resource {
    /// A topic, by name.
    Topic(String),
    /// A broker by its id, or all of them (empty name).
    Broker(String),
    /// A group, by its id.
    Group(String),
    /// A subscription to the metrics of clients, by name.
    ClientMetrics(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(name) if name.is_empty() => f.write_str("all brokers"),
            Self::Broker(name) => write!(f, "broker {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::ClientMetrics(name) => write!(f, "client metrics subscription {name}"),
        }
    }
}

fn id_to_text<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn id_from_text<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is not a topic id")))
}
