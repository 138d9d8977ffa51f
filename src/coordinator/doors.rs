//! What the coordinator needs from the broker around it.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;
use tokio::sync::watch;

use super::records::CoordinatorRecord;
use super::{Millis, Now};

/// The log that the coordinator's records go to (`__consumer_offsets`).
pub trait CoordinatorLog: Send + Sync {
    /// Appends the records together, in order, to the partition that keeps `group_id`. Called under the group's lock:
    /// it must not wait for the disk's cache to be flushed, and must not call back into the coordinator. What the
    /// caller may tell anybody only after the records are durable waits for the answer.
    ///
    /// # Errors
    /// Nothing was appended. The code is one that Kafka's log gives: `NOT_LEADER_OR_FOLLOWER`,
    /// `KAFKA_STORAGE_ERROR`, `MESSAGE_TOO_LARGE` and so on.
    fn append(
        &self,
        group_id: &str,
        records: Vec<CoordinatorRecord>,
        now_ms: Millis,
    ) -> Result<Durability, ErrorCode>;

    /// The same as part of `producer`'s transaction: the records count once it is committed.
    ///
    /// # Errors
    /// As above.
    fn append_in_transaction(
        &self,
        group_id: &str,
        records: Vec<CoordinatorRecord>,
        producer: (i64, i16),
        now_ms: Millis,
    ) -> Result<Durability, ErrorCode>;
}

/// Which topics there are.
pub trait TopicLookup: Send + Sync {
    /// Number of partitions; `None` for a topic that does not exist.
    fn partitions(&self, name: &str) -> Option<i32>;
    /// Name of the topic with this id.
    fn name_of(&self, id: Uuid) -> Option<Arc<str>>;
    /// Id of the topic with this name.
    fn id_of(&self, name: &str) -> Option<Uuid>;
    /// Names of all topics, in any order.
    fn names(&self) -> Vec<Arc<str>>;
    /// Whether whoever asks may see this one.
    fn shows(&self, _name: &str) -> bool {
        true
    }
    /// Changes whenever a topic comes, goes or grows.
    fn version(&self) -> i64;
}

/// Which of the topics a client may see.
pub trait Sight: Sync {
    /// Whether it may see this one, be it there or not.
    fn sees(&self, topic: &str) -> bool;
    /// Raised after what anybody may see has changed.
    fn version(&self) -> i64;
}

/// Time and randomness.
pub trait CoordinatorClock: Send + Sync {
    /// Both clocks.
    fn now(&self) -> Now;
    /// 128 random bits, for member ids.
    fn random_bits(&self) -> u128;
}

/// Whether what was appended is durable, as far as the log's mode asks for it.
#[derive(Debug, Clone)]
pub enum Durability {
    /// It is.
    Done,
    /// It will be, or a flush will fail.
    Pending(watch::Receiver<Option<Result<(), ErrorCode>>>),
}

/// The other end of [`Durability::Pending`].
#[derive(Debug)]
pub struct DurabilitySender(watch::Sender<Option<Result<(), ErrorCode>>>);

impl Durability {
    /// A durability that somebody else will tell.
    pub fn pending() -> (DurabilitySender, Self) {
        let (sender, receiver) = watch::channel(None);
        (DurabilitySender(sender), Self::Pending(receiver))
    }

    /// Waits until the outcome is known.
    ///
    /// # Errors
    /// The flush failed; nobody may be told that it succeeded.
    pub async fn wait(self) -> Result<(), ErrorCode> {
        match self {
            Self::Done => Ok(()),
            Self::Pending(mut outcome) => match outcome.wait_for(Option::is_some).await {
                Ok(outcome) => (*outcome).unwrap_or(Ok(())),
                // Whoever should have told us is gone.
                Err(_) => Err(ErrorCode::KAFKA_STORAGE_ERROR),
            },
        }
    }
}

impl DurabilitySender {
    /// Tells everybody who waits.
    pub fn send(self, outcome: Result<(), ErrorCode>) {
        // Nobody waiting is fine.
        let _ = self.0.send(Some(outcome));
    }
}
