//! What OffsetCommit and TxnOffsetCommit share: partitions that do not exist are refused one by one, the others go to the
//! coordinator, and the answer has a code for each in the order of the request.

use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::primitives::Uuid;

use crate::api::Context;
use crate::api::groups::shared;
use crate::coordinator::group::offsets::CommitRequest;
use crate::security::acl::{Operation, ResourceType};

/// A partition's offset as it came.
pub(crate) struct Asked<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<&'a str>,
}

/// The offsets of a request.
pub(crate) struct Commits {
    /// Why none of them is taken.
    refused: Option<ErrorCode>,
    /// What the coordinator decides, in order.
    pub(crate) requests: Vec<CommitRequest>,
    /// By topic the codes of what is refused here; NONE stands for what the coordinator decides.
    codes: Vec<Vec<ErrorCode>>,
}

impl Commits {
    /// Nothing yet; if the client has no right to commit at all, all that comes is refused with that.
    pub(crate) fn new(permitted: Result<(), ErrorCode>) -> Self {
        Self { refused: permitted.err(), requests: Vec::new(), codes: Vec::new() }
    }

    /// Takes the partitions of a topic, which goes by its id in requests that have one.
    pub(crate) fn topic<'a>(
        &mut self,
        cx: &Context<'_>,
        name: &str,
        id: Option<Uuid>,
        partitions: impl Iterator<Item = Asked<'a>>,
    ) {
        let (name, topic_id, count, unknown) = match self.refused {
            Some(code) => (shared(name), Uuid::ZERO, 0, code),
            None => resolve(cx, name, id),
        };
        let requests = &mut self.requests;
        let codes = partitions.map(|asked| {
            if !(0..count).contains(&asked.partition) {
                return unknown;
            }
            requests.push(CommitRequest {
                topic: name.clone(),
                topic_id,
                partition: asked.partition,
                offset: asked.offset,
                leader_epoch: asked.leader_epoch,
                metadata: shared(asked.metadata.unwrap_or_default()),
            });
            ErrorCode::NONE
        });
        self.codes.push(codes.collect());
    }

    /// Every partition's code by topic, given what the coordinator decided; an error of the group is every partition's.
    pub(crate) fn codes(self, decided: Result<Vec<ErrorCode>, ErrorCode>) -> Vec<Vec<ErrorCode>> {
        let mut codes = self.codes;
        let mut decided = decided.map(Vec::into_iter);
        for code in codes.iter_mut().flatten().filter(|code| code.is_none()) {
            *code = match &mut decided {
                Ok(codes) => codes.next().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR),
                Err(error) => *error,
            };
        }
        codes
    }
}

/// The topic's name and id, how many partitions it has (0 if it does not exist or is not for the client), and what to
/// call one that it lacks.
fn resolve(cx: &Context<'_>, name: &str, id: Option<Uuid>) -> (Arc<str>, Uuid, i32, ErrorCode) {
    let topics = cx.broker.groups.topics();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let name = match id.map(|id| topics.name_of(id)) {
        None => shared(name),
        Some(Some(name)) => name,
        Some(None) => return (shared(""), Uuid::ZERO, 0, ErrorCode::UNKNOWN_TOPIC_ID),
    };
    if let Err(code) = cx.permit(Operation::Read, ResourceType::Topic, &name) {
        return (name, Uuid::ZERO, 0, code);
    }
    let count = topics.partitions(&name).unwrap_or(0);
    let id = id.or_else(|| topics.id_of(&name)).unwrap_or(Uuid::ZERO);
    (name, id, count, unknown)
}
