//! What administrators do with groups: describe, list, delete.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::GroupCoordinator;
use super::group::classic::GroupView;
use super::group::{Group, GroupKind};
use super::step::log_error;

/// A line of ListGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Name.
    pub id: Arc<str>,
    /// Kind.
    pub kind: GroupKind,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// Kind of protocol, empty when it never had members.
    pub protocol_type: Arc<str>,
}

impl GroupCoordinator {
    /// DeleteGroups, for one group.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`, or the log's.
    pub async fn delete(&self, group_id: &str) -> Result<(), ErrorCode> {
        self.admit_any_name(group_id)?;
        let now = self.clock.now();
        let deleted = self.with(group_id, |slot| {
            let step = slot.group.delete()?;
            self.advance(slot, now, step)
        });
        deleted.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)??.wait().await.map_err(log_error)
    }

    /// DescribeGroups, for one group.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, or the coordinator is loading or stopped.
    pub fn describe(&self, group_id: &str) -> Result<GroupView, ErrorCode> {
        let is_classic = |group: &&Group| group.kind() == GroupKind::Classic;
        let view = |group: Option<&Group>| group.filter(is_classic).map(|group| group.classic.view());
        let (view, _) = self.peek(group_id, view)?;
        view.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)
    }

    /// ListGroups, in order of names.
    ///
    /// # Errors
    /// The coordinator is loading or stopped.
    pub fn list(&self) -> Result<Vec<GroupListing>, ErrorCode> {
        self.admit_any()?;
        let mut listings = Vec::with_capacity(self.slots.count());
        for slot in self.slots.all() {
            let slot = slot.lock();
            if !slot.removed {
                listings.push(GroupListing {
                    id: slot.group.id().clone(),
                    kind: slot.group.kind(),
                    state: slot.group.state_name(),
                    protocol_type: match slot.group.kind() {
                        GroupKind::Classic => slot.group.classic.protocol_type(),
                        GroupKind::Consumer => "consumer".into(),
                    },
                });
            }
        }
        listings.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(listings)
    }
}
