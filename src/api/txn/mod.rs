//! Transactions: what belongs to one, how it ends, and what administrators see of it.

mod add;
mod describe;
mod end;
mod markers;
mod offsets;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use self::add::{add_offsets_to_txn, add_partitions_to_txn};
pub use self::describe::{describe_producers, describe_transactions, list_transactions};
pub use self::end::end_txn;
pub use self::markers::write_txn_markers;
pub use self::offsets::txn_offset_commit;

use std::sync::Arc;

use quipu_protocol::ErrorCode;

use super::Context;
use crate::coordinator::txn::Begun;
use crate::coordinator::txn::machine::Identity;
use crate::internal::partition_index;
use crate::topic::OFFSETS_TOPIC;

/// First version, of each of the requests below, whose clients know PRODUCER_FENCED (KIP-588).
const FENCED_SINCE: i16 = 2;

/// What a client of `version` is told.
fn told(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED if version < FENCED_SINCE => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}

/// The partition of the offsets topic that keeps the group.
fn offsets_partition(cx: &Context<'_>, group_id: &str) -> (Arc<str>, i32) {
    let existing = cx.broker.topics.by_name(OFFSETS_TOPIC).map(|topic| topic.partitions().len());
    let count = existing.unwrap_or(cx.broker.settings().offsets.topic_partitions.max(1) as usize);
    (OFFSETS_TOPIC.into(), partition_index(group_id, count))
}

/// Makes the group's offsets part of the producer's transaction.
fn add_group(
    cx: &Context<'_>,
    transactional_id: &str,
    producer: Identity,
    group_id: &str,
) -> Result<Begun, ErrorCode> {
    let partition = offsets_partition(cx, group_id);
    cx.broker.transactions.add_partitions(transactional_id, producer, &[partition])
}
