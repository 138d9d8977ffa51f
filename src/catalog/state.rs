//! What the catalog's events add up to. Changes only by [`State::apply`].

use std::collections::{BTreeMap, BTreeSet};

use quipu_protocol::primitives::Uuid;

use super::event::{Event, Resource};
use super::features::Features;
use super::quotas::{Entity, Quotas};
use crate::security::acl::Acl;
use crate::security::scram::Credentials;

/// Everything the cluster remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Topics by name.
    pub topics: BTreeMap<String, TopicEntry>,
    /// What is set on brokers (`""` is all of them) and groups. A topic's settings are with the topic.
    pub configs: BTreeMap<Resource, BTreeMap<String, String>>,
    /// First producer id that was never given out.
    pub next_producer_id: i64,
    /// Levels of the features.
    pub features: Features,
    /// Client quotas by whom they are for.
    pub quotas: BTreeMap<Entity, Quotas>,
    /// What users log in with.
    pub credentials: Credentials,
    /// Who may do what.
    pub acls: BTreeSet<Acl>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
    /// What was set on it.
    pub configs: BTreeMap<String, String>,
}

impl State {
    /// Takes in one event. What an event names and does not exist is ignored: the log decides, not this code.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Reset => *self = Self::default(),
            Event::TopicCreated { name, id, partitions, configs } => {
                self.topics.insert(name, TopicEntry { id, partitions, configs });
            }
            Event::TopicDeleted { name } => {
                self.topics.remove(&name);
            }
            Event::PartitionsAdded { name, partitions } => {
                if let Some(topic) = self.topics.get_mut(&name) {
                    topic.partitions = partitions;
                }
            }
            Event::ConfigSet { resource, key, value } => self.set(resource, key, value),
            Event::ProducerIdsReserved { until } => self.next_producer_id = self.next_producer_id.max(until),
            Event::FeaturesSet { epoch, levels } => self.features = Features { epoch, levels },
            Event::QuotaSet { entity, key, value: Some(value) } => {
                self.quotas.entry(entity).or_default().insert(key, value);
            }
            Event::QuotaSet { entity, key, value: None } => {
                if let Some(quotas) = self.quotas.get_mut(&entity) {
                    quotas.remove(&key);
                }
                self.quotas.retain(|_, quotas| !quotas.is_empty());
            }
            Event::CredentialSet { user, mechanism, credential: Some(credential) } => {
                self.credentials.insert((user, mechanism), credential);
            }
            Event::CredentialSet { user, mechanism, credential: None } => {
                self.credentials.remove(&(user, mechanism));
            }
            Event::AclAdded { acl } => {
                self.acls.insert(acl);
            }
            Event::AclRemoved { acl } => {
                self.acls.remove(&acl);
            }
        }
    }

    fn set(&mut self, resource: Resource, key: String, value: Option<String>) {
        let configs = match &resource {
            Resource::Topic(name) => match self.topics.get_mut(name) {
                Some(topic) => &mut topic.configs,
                None => return,
            },
            _ => self.configs.entry(resource.clone()).or_default(),
        };
        match value {
            Some(value) => configs.insert(key, value),
            None => configs.remove(&key),
        };
        if self.configs.get(&resource).is_some_and(BTreeMap::is_empty) {
            self.configs.remove(&resource);
        }
    }

    /// What is set on a resource.
    pub fn configs_of(&self, resource: &Resource) -> Option<&BTreeMap<String, String>> {
        match resource {
            Resource::Topic(name) => self.topics.get(name).map(|topic| &topic.configs),
            _ => self.configs.get(resource),
        }
    }

    /// The groups on which something was set.
    pub fn configured_groups(&self) -> Vec<String> {
        let group = |resource: &Resource| match resource {
            Resource::Group(name) => Some(name.clone()),
            Resource::Topic(_) | Resource::Broker(_) | Resource::ClientMetrics(_) => None,
        };
        self.configs.keys().filter_map(group).collect()
    }

    /// The subscriptions to the metrics of clients.
    pub fn client_metrics(&self) -> Vec<String> {
        let subscription = |resource: &Resource| match resource {
            Resource::ClientMetrics(name) => Some(name.clone()),
            Resource::Topic(_) | Resource::Broker(_) | Resource::Group(_) => None,
        };
        self.configs.keys().filter_map(subscription).collect()
    }

    /// The shortest history that leads here.
    pub fn to_events(&self) -> Vec<Event> {
        let topics = self.topics.iter().map(|(name, topic)| Event::TopicCreated {
            name: name.clone(),
            id: topic.id,
            partitions: topic.partitions,
            configs: topic.configs.clone(),
        });
        let configs = self.configs.iter().flat_map(|(resource, configs)| {
            configs.iter().map(|(key, value)| Event::ConfigSet {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            })
        });
        let ids = (self.next_producer_id > 0)
            .then_some(Event::ProducerIdsReserved { until: self.next_producer_id });
        let features = (self.features != Features::default())
            .then(|| Event::FeaturesSet { epoch: self.features.epoch, levels: self.features.levels.clone() });
        let quotas = self.quotas.iter().flat_map(|(entity, quotas)| {
            quotas.iter().map(|(key, value)| Event::QuotaSet {
                entity: entity.clone(),
                key: key.clone(),
                value: Some(*value),
            })
        });
        let credentials =
            self.credentials.iter().map(|((user, mechanism), credential)| Event::CredentialSet {
                user: user.clone(),
                mechanism: *mechanism,
                credential: Some(credential.clone()),
            });
        let acls = self.acls.iter().map(|acl| Event::AclAdded { acl: acl.clone() });
        topics
            .chain(configs)
            .chain(ids)
            .chain(features)
            .chain(quotas)
            .chain(credentials)
            .chain(acls)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::scram::{Credential, Mechanism};

    fn entity(user: &str) -> Entity {
        Entity::read([("user", Some(user)), ("client-id", None)].into_iter()).unwrap()
    }

    fn acl(name: &str) -> Acl {
        let binding = crate::security::acl::Binding {
            resource_type: 2,
            pattern_type: 4,
            resource_name: name,
            principal: "User:a",
            host: "*",
            operation: 2,
            permission: 2,
        };
        binding.check().unwrap()
    }

    #[test]
    fn the_shortest_history_leads_to_the_same_state() {
        let mut state = State::default();
        let resource = Resource::Broker(String::new());
        let mechanism = Mechanism::Sha256;
        let credential = Credential::new(mechanism, b"salted", b"salt", 4096);
        let quota =
            |user, value| Event::QuotaSet { entity: entity(user), key: "request_percentage".into(), value };
        let set = |user: &str, credential| Event::CredentialSet { user: user.into(), mechanism, credential };
        for event in [
            Event::TopicCreated {
                name: "a".into(),
                id: Uuid([1; 16]),
                partitions: 1,
                configs: BTreeMap::new(),
            },
            Event::ConfigSet {
                resource: Resource::Topic("a".into()),
                key: "k".into(),
                value: Some("v".into()),
            },
            Event::ConfigSet { resource: resource.clone(), key: "x".into(), value: Some("1".into()) },
            Event::ConfigSet { resource: resource.clone(), key: "y".into(), value: Some("2".into()) },
            Event::ConfigSet { resource: resource.clone(), key: "y".into(), value: None },
            Event::ConfigSet {
                resource: Resource::Topic("gone".into()),
                key: "k".into(),
                value: Some("v".into()),
            },
            Event::ProducerIdsReserved { until: 5_000 },
            Event::FeaturesSet { epoch: 1, levels: BTreeMap::from([("transaction.version".into(), 1)]) },
            quota("kept", Some(0.1)),
            quota("gone", Some(2.0)),
            quota("gone", None),
            quota("never", None),
            set("kept", Some(credential.clone())),
            set("gone", Some(credential)),
            set("gone", None),
            Event::AclAdded { acl: acl("kept") },
            Event::AclAdded { acl: acl("gone") },
            Event::AclRemoved { acl: acl("gone") },
        ] {
            // As it is written and read.
            let written = serde_json::to_vec(&event).unwrap();
            assert_eq!(serde_json::from_slice::<Event>(&written).unwrap(), event);
            state.apply(event);
        }
        let mut again = State::default();
        state.to_events().into_iter().for_each(|event| again.apply(event));
        assert_eq!((state.quotas.len(), state.credentials.len(), state.acls.len()), (1, 1, 1));
        assert_eq!(state.features.level("transaction.version"), 1);
        assert_eq!(again, state);
        assert_eq!(state.configs_of(&resource).unwrap().len(), 1);
        assert_eq!(state.configs_of(&Resource::Topic("a".into())).unwrap()["k"], "v");
    }
}
