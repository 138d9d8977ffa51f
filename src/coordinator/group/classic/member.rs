//! A member of a classic group.

use std::sync::Arc;

use bytes::Bytes;

use crate::coordinator::Millis;
use crate::coordinator::group::{GenerationMember, MemberId, Token};

/// A protocol (assignor) that a member offers, with its metadata for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Name.
    pub name: Arc<str>,
    /// Opaque to us except for the topics of a consumer's subscription.
    pub metadata: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// Has not had an answer to its first JoinGroup yet.
    pub(crate) is_new: bool,
    /// The client does not know its id before its first answer (JoinGroup 0–3): when its connection is gone,
    /// nobody can ever come back as this member.
    pub(crate) is_anonymous: bool,
    pub(crate) awaiting_join: Option<Token>,
    pub(crate) awaiting_sync: Option<Token>,
}

impl Member {
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|offered| &*offered.name == protocol)
            .map_or_else(Bytes::new, |p| p.metadata.clone())
    }

    /// The bytes that this member holds in memory beyond a fixed size.
    pub(crate) fn bytes(&self) -> usize {
        bytes_of(&self.protocols)
    }

    /// Whether silence is expected now: it waits for us, not we for it.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(crate) fn session_ms(&self) -> Millis {
        Millis::from(self.session_timeout_ms)
    }

    pub(crate) fn keep(&self, id: &MemberId, protocol: &str, assignment: Bytes) -> GenerationMember {
        GenerationMember {
            id: id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub(crate) fn restore(kept: &GenerationMember, protocol: &Arc<str>) -> Self {
        Self {
            instance_id: kept.instance_id.clone(),
            client_id: kept.client_id.clone(),
            client_host: kept.client_host.clone(),
            rebalance_timeout_ms: kept.rebalance_timeout_ms,
            session_timeout_ms: kept.session_timeout_ms,
            protocols: vec![Protocol { name: protocol.clone(), metadata: kept.subscription.clone() }],
            assignment: kept.assignment.clone(),
            is_new: false,
            is_anonymous: false,
            awaiting_join: None,
            awaiting_sync: None,
        }
    }
}

/// Bytes of names and metadata together.
pub(crate) fn bytes_of(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|p| p.name.len() + p.metadata.len()).sum()
}
