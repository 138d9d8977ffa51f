//! Consumer groups: membership and administration.
//!
//! Each function turns one request into calls of the [coordinator](crate::coordinator) and its answers into the
//! response of that version.

mod consumer_describe;
mod consumer_heartbeat;
#[cfg(test)]
mod consumer_tests;
mod delete;
mod describe;
mod find_coordinator;
mod heartbeat;
mod join;
mod leave;
mod list;
mod sync;
#[cfg(test)]
mod tests;

pub use self::consumer_describe::consumer_group_describe;
pub use self::consumer_heartbeat::consumer_group_heartbeat;
pub use self::delete::delete_groups;
pub use self::describe::describe_groups;
pub use self::find_coordinator::find_coordinator;
pub use self::heartbeat::heartbeat;
pub use self::join::join_group;
pub use self::leave::leave_group;
pub use self::list::list_groups;
pub use self::sync::sync_group;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::ErrorCode;
use quipu_protocol::primitives::{Blob, Str};

use super::Context;
use crate::catalog::features::GROUP_VERSION;
use crate::coordinator::group::consumer::Refused;

/// Whether there are groups whose coordinator assigns (KIP-848): their feature can be switched off, and
/// `group.coordinator.rebalance.protocols` can leave them out.
fn enabled(cx: &Context<'_>) -> Result<(), Refused> {
    let is_listed = cx.broker.settings().groups.protocols.iter().any(|protocol| protocol == "consumer");
    match is_listed && cx.broker.features().level(GROUP_VERSION) > 0 {
        true => Ok(()),
        false => {
            Err(Refused::new(ErrorCode::UNSUPPORTED_VERSION, "the consumer group protocol is not enabled"))
        }
    }
}

/// A text of ours as a field of a response.
pub(super) fn text(text: &str) -> Str<'static> {
    Cow::Owned(text.to_owned())
}

/// A text that may be missing, as a field of a response.
pub(super) fn maybe_text(maybe: Option<&Arc<str>>) -> Option<Str<'static>> {
    maybe.map(|it| text(it))
}

/// Bytes of ours as a field of a response.
fn blob(bytes: &Bytes) -> Blob<'static> {
    Cow::Owned(bytes.to_vec())
}

/// A text of a request that is kept.
pub(super) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
