//! What a coordinator cannot know because the partition that keeps it could not be read at the start.

use std::fmt;
use std::sync::OnceLock;

use quipu_protocol::error_code::ErrorCode;

type IsLost = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Groups, or transactional ids, that are not served until the next start. Working on without their past would give
/// offsets and epochs away a second time.
#[derive(Default)]
pub(super) struct Lost(OnceLock<IsLost>);

impl Lost {
    /// To be called once, before anything is served.
    pub(super) fn set(&self, is_lost: impl Fn(&str) -> bool + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(is_lost));
    }

    /// Answers as Kafka's coordinator does for a partition whose loading has failed (`CoordinatorState.FAILED`).
    pub(super) fn check(&self, id: &str) -> Result<(), ErrorCode> {
        match self.0.get() {
            Some(is_lost) if is_lost(id) => Err(ErrorCode::NOT_COORDINATOR),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lost").field("is_set", &self.0.get().is_some()).finish()
    }
}
