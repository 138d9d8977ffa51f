//! What a handler knows about the request besides its body.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_protocol::ErrorCode;
use quipu_protocol::primitives::Uuid;

use crate::broker::Broker;
use crate::security::acl::{Operation, ResourceType};
use crate::topic::{Topic, Turn};

/// The connection a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The broker that was reached.
    pub broker: &'a Arc<Broker>,
    /// The client's end.
    pub peer_addr: SocketAddr,
    /// Our end: the address that the client used to reach us.
    pub local_addr: SocketAddr,
    /// Where batches may be gathered; without it each is written at once.
    pub turn: Option<&'a Turn>,
}

/// One request's surroundings.
#[derive(Debug)]
pub struct Context<'a> {
    /// The broker.
    pub broker: &'a Arc<Broker>,
    /// The request's version; answers are encoded in the same one.
    pub version: i16,
    /// What the client calls itself, if anything.
    pub client_id: Option<&'a str>,
    /// Our end of the connection.
    pub local_addr: SocketAddr,
    /// The client's end of the connection.
    pub peer_addr: SocketAddr,
    /// Where batches may be gathered.
    pub turn: Option<&'a Turn>,
    /// The client's number for this request.
    pub correlation_id: i32,
    /// The refusals that the authorizer's log has been told of: operation, type of resource, name.
    pub denied: Mutex<BTreeSet<(Operation, ResourceType, String)>>,
}

#[cfg(test)]
impl<'a> Context<'a> {
    /// A request of a client called "client" on this machine.
    pub(crate) fn of_test(broker: &'a Arc<Broker>, version: i16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 9092));
        Self {
            broker,
            version,
            client_id: Some("client"),
            local_addr: address,
            peer_addr: address,
            turn: None,
            correlation_id: 0,
            denied: Mutex::default(),
        }
    }
}

/// Which topic a request means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id, from some version on.
    Id(Uuid),
}

impl Context<'_> {
    /// The topic that is meant, if the client may do this to it. Whether one exists by that name is not told otherwise.
    pub(super) fn topic(&self, operation: Operation, named: Named<'_>) -> Result<Arc<Topic>, ErrorCode> {
        let permit = |name: &str| self.permit(operation, ResourceType::Topic, name);
        match named {
            Named::Name(name) => {
                permit(name)?;
                self.broker.topics.by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
            Named::Id(id) => {
                let topic = self.broker.topics.by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
                permit(topic.name()).map(|()| topic)
            }
        }
    }

    /// A topic of the broker's own, which `create` makes on a thread that may wait if it is not there.
    pub(super) async fn internal_topic(
        &self,
        name: &str,
        create: fn(&Broker) -> Result<Arc<Topic>, ErrorCode>,
    ) -> Result<Arc<Topic>, ErrorCode> {
        match self.broker.topics.by_name(name) {
            Some(topic) => Ok(topic),
            None => {
                self.broker.aside(move |broker| Ok(create(broker))).await.map_err(|refused| refused.code)?
            }
        }
    }

    /// The host that group members are described with, in Kafka's form (`/127.0.0.1`).
    pub fn client_host(&self) -> String {
        format!("/{}", self.peer_addr.ip())
    }
}
