//! Committed offsets of groups.

mod commit;
pub(crate) mod commits;
mod delete;
mod fetch;

pub use self::commit::offset_commit;
pub use self::delete::offset_delete;
pub use self::fetch::offset_fetch;
