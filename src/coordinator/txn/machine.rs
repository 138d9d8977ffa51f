//! The state of one transactional id as a pure machine: a request and the time go in, the next state comes out.
//!
//! ```text
//! Empty ──────────> Ongoing ──> PrepareCommit ──> CompleteCommit ──> Ongoing, Empty
//!                       └─────> PrepareAbort  ──> CompleteAbort  ──> Ongoing, Empty
//! ```
//! InitProducerId leads from Empty and Complete* to Empty, adding a partition to Ongoing, EndTxn and timeouts to
//! Prepare*, the last marker to Complete*. A client of version 2 may also abort what it never began: from Empty and
//! Complete* to PrepareAbort.
//!
//! A state is appended to the log as a whole; replaying is taking the last one. Nothing here reads a clock, waits, does
//! I/O or changes anything: what is not appended has not happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use crate::coordinator::Millis;

/// "No producer id", "no epoch".
pub const NONE: i16 = -1;
/// The greatest epoch that a producer is given. The one above is for markers of the coordinator's own.
pub const EPOCH_MAX: i16 = i16::MAX - 1;

/// The timeout of transactions that only their producer ends (KIP-939); the number is Kafka's.
pub const NEVER_MS: i32 = i32::MAX;

/// How a client ends its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Partitions are added by requests of their own; all transactions of a producer share its epoch (KIP-98).
    One,
    /// Partitions are added by what is sent to them; every transaction has an epoch of its own (KIP-890).
    Two,
}

/// Where a transaction stands. The numbers are those of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing has been added.
    Empty = 0,
    /// Partitions have been added.
    Ongoing = 1,
    /// It is committed; the markers are being written.
    PrepareCommit = 2,
    /// It is aborted; the markers are being written.
    PrepareAbort = 3,
    /// Committed, and all markers are durable.
    CompleteCommit = 4,
    /// Aborted, and all markers are durable.
    CompleteAbort = 5,
    /// The id is being forgotten. Never kept here, but known from the log.
    Dead = 6,
    /// The producer is being fenced. Never kept here, but known from the log.
    PrepareEpochFence = 7,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// Whether the outcome is known, but not all markers are there.
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A producer's identity.
pub type Identity = (i64, i16);

/// All that is kept of a transactional id (Kafka's TransactionLogValue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Producer id in use.
    pub producer_id: i64,
    /// The one before, if the last change of identity was forced by the end of its epochs; -1 otherwise.
    pub previous_producer_id: i64,
    /// The one that the producer gets when the transaction being ended has ended; -1 if it keeps this one.
    pub next_producer_id: i64,
    /// Epoch in use.
    pub producer_epoch: i16,
    /// The epoch before, as the producer knew it, for retries; -1 when no producer may come back with it.
    pub last_producer_epoch: i16,
    /// How long a transaction may be open.
    pub timeout_ms: i32,
    /// Where the transaction stands.
    pub status: Status,
    /// What is part of it.
    pub partitions: BTreeMap<Arc<str>, BTreeSet<i32>>,
    /// Wall clock of the last change.
    pub updated_ms: Millis,
    /// Wall clock of the first addition; -1 when nothing was ever added.
    pub started_ms: Millis,
    /// How the client ended its last transaction.
    pub version: Version,
}

/// What InitProducerId leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    /// This is the producer's new identity.
    Ready(Transaction),
    /// There is a transaction to abort first; the producer has to come again.
    Fence(Transaction),
}

/// What EndTxn leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Markers have to be written.
    Prepared(Transaction),
    /// It ended this way before; the producer's identity stays.
    Done,
}

/// What a transaction is that a partition holds open after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The one under way, or whose markers are being written.
    Known,
    /// The one under way, which the partition is not known to be part of: the state with it.
    Joins(Transaction),
    /// The one after that whose markers are being written.
    JoinsNext,
    /// An earlier one, whose marker is missing.
    Ended {
        /// Whether it was committed. When that is not known, it is aborted.
        is_commit: bool,
        /// Epoch of the marker.
        epoch: i16,
    },
}

/// A source of producer ids that were never used.
pub type FreshId<'a> = &'a mut dyn FnMut() -> Result<i64, ErrorCode>;

impl Transaction {
    /// A transactional id that was not known.
    fn new(producer_id: i64, timeout_ms: i32, now: Millis) -> Self {
        Self {
            producer_id,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: NONE,
            last_producer_epoch: NONE,
            timeout_ms,
            status: Status::Empty,
            partitions: BTreeMap::new(),
            updated_ms: now,
            started_ms: -1,
            version: Version::One,
        }
    }

    /// What the producer is called.
    pub fn identity(&self) -> Identity {
        (self.producer_id, self.producer_epoch)
    }

    /// Whether the partition is part of the transaction.
    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    fn is_exhausted(&self) -> bool {
        self.producer_epoch >= EPOCH_MAX
    }

    /// InitProducerId: fences whoever has used the id before, and gives the producer an identity. `expected` is the one
    /// that it believes to have (KIP-360).
    ///
    /// Errors: `CONCURRENT_TRANSACTIONS` while markers are being written, `PRODUCER_FENCED` when the id is no longer the
    /// producer's, and what `fresh` gives.
    pub fn init(
        now: Millis,
        known: Option<&Self>,
        timeout_ms: i32,
        expected: Option<Identity>,
        fresh: FreshId<'_>,
    ) -> Result<Init, ErrorCode> {
        let Some(known) = known else {
            let new = Self { producer_epoch: 0, ..Self::new(fresh()?, timeout_ms, now) };
            return Ok(Init::Ready(new));
        };
        if let Some((producer_id, epoch)) = expected {
            let is_current = producer_id == known.producer_id;
            // Perhaps it was given a new producer id and did not learn of it.
            let is_previous = producer_id == known.previous_producer_id && epoch >= EPOCH_MAX;
            if !is_current && !is_previous {
                return Err(ErrorCode::PRODUCER_FENCED);
            }
        }
        match known.status {
            Status::PrepareCommit | Status::PrepareAbort => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            Status::Ongoing => known.fence(now, fresh).map(Init::Fence),
            Status::Empty
            | Status::CompleteCommit
            | Status::CompleteAbort
            | Status::Dead
            | Status::PrepareEpochFence => {
                known.identify(now, timeout_ms, expected.map(|(_, epoch)| epoch), fresh).map(Init::Ready)
            }
        }
    }

    fn identify(
        &self,
        now: Millis,
        timeout_ms: i32,
        expected: Option<i16>,
        fresh: FreshId<'_>,
    ) -> Result<Self, ErrorCode> {
        let mut next = Self {
            next_producer_id: -1,
            timeout_ms,
            status: Status::Empty,
            partitions: BTreeMap::new(),
            updated_ms: now,
            started_ms: -1,
            ..self.clone()
        };
        if self.is_exhausted() && expected.is_none_or(|epoch| epoch == self.producer_epoch) {
            next.previous_producer_id = self.producer_id;
            next.producer_id = fresh()?;
            next.producer_epoch = 0;
            next.last_producer_epoch = expected.map_or(NONE, |_| self.producer_epoch);
            return Ok(next);
        }
        match expected {
            None => {
                next.producer_epoch = self.producer_epoch + 1;
                next.last_producer_epoch = NONE;
            }
            Some(epoch) if epoch == self.producer_epoch => {
                next.producer_epoch = epoch + 1;
                next.last_producer_epoch = epoch;
            }
            // The answer was lost: the same again.
            Some(epoch) if epoch != NONE && epoch == self.last_producer_epoch => {}
            Some(_) => return Err(ErrorCode::PRODUCER_FENCED),
        }
        Ok(next)
    }

    /// The transaction is aborted by the coordinator, under an epoch that shuts its producer out: one above (KAFKA-19367),
    /// even above [`EPOCH_MAX`] (KAFKA-20090).
    fn fence(&self, now: Millis, fresh: FreshId<'_>) -> Result<Self, ErrorCode> {
        let next_producer_id = if self.is_exhausted() { fresh()? } else { -1 };
        Ok(Self {
            producer_epoch: self.producer_epoch.saturating_add(1),
            // Whoever was shut out because it took too long may come back by this epoch (KIP-588).
            last_producer_epoch: self.producer_epoch,
            next_producer_id,
            status: Status::PrepareAbort,
            updated_ms: now,
            version: Version::Two,
            ..self.clone()
        })
    }

    /// T7: aborts a transaction that has been open for too long. `None` when there is no such.
    pub fn time_out(&self, now: Millis, fresh: FreshId<'_>) -> Result<Option<Self>, ErrorCode> {
        let is_late = self.timeout_ms != NEVER_MS
            && now.saturating_sub(self.started_ms) > Millis::from(self.timeout_ms);
        if self.status == Status::Ongoing && is_late { self.fence(now, fresh).map(Some) } else { Ok(None) }
    }

    /// Whether a request comes from the producer that has the id now.
    fn check(&self, (producer_id, epoch): Identity) -> Result<(), ErrorCode> {
        if producer_id != self.producer_id {
            Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
        } else if epoch != self.producer_epoch {
            Err(ErrorCode::PRODUCER_FENCED)
        } else if self.status.is_prepared() {
            Err(ErrorCode::CONCURRENT_TRANSACTIONS)
        } else {
            Ok(())
        }
    }

    /// Adds partitions; `None` when all of them are there.
    ///
    /// Errors: `INVALID_PRODUCER_ID_MAPPING`, `PRODUCER_FENCED`, `CONCURRENT_TRANSACTIONS`.
    pub fn add(
        &self,
        now: Millis,
        producer: Identity,
        partitions: &[(Arc<str>, i32)],
    ) -> Result<Option<Self>, ErrorCode> {
        self.check(producer)?;
        let is_ongoing = self.status == Status::Ongoing;
        if is_ongoing && partitions.iter().all(|(topic, index)| self.contains(topic, *index)) {
            return Ok(None);
        }
        let mut next = Self { status: Status::Ongoing, updated_ms: now, ..self.clone() };
        if !is_ongoing {
            next.started_ms = now;
        }
        for (topic, index) in partitions {
            next.partitions.entry(Arc::clone(topic)).or_default().insert(*index);
        }
        Ok(Some(next))
    }

    /// T5: whether records of the producer may be appended to the partition.
    ///
    /// Errors: those of [`Self::add`], and `TRANSACTION_ABORTABLE` when the partition is not part of the transaction.
    pub fn verify(&self, producer: Identity, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.check(producer)?;
        if self.status == Status::Ongoing && self.contains(topic, partition) {
            Ok(())
        } else {
            Err(ErrorCode::TRANSACTION_ABORTABLE)
        }
    }

    /// EndTxn (T3, T4).
    ///
    /// Errors: `INVALID_PRODUCER_ID_MAPPING`, `PRODUCER_FENCED`, `CONCURRENT_TRANSACTIONS` while markers are being
    /// written, `INVALID_TXN_STATE` when there is nothing to end, or it has ended otherwise.
    pub fn end(
        &self,
        now: Millis,
        (producer_id, epoch): Identity,
        is_commit: bool,
        version: Version,
        fresh: FreshId<'_>,
    ) -> Result<End, ErrorCode> {
        let is_two = version == Version::Two;
        // A repeated request carries the epoch before.
        let is_repeated = is_two
            && match self.producer_epoch {
                0 => producer_id == self.previous_producer_id && epoch == EPOCH_MAX,
                current => producer_id == self.producer_id && epoch == current - 1,
            };
        let is_current = (producer_id, epoch) == self.identity();
        if producer_id != self.producer_id && !is_repeated {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        let is_valid = match self.status {
            // The epoch was raised when the end was prepared: the current one belongs to nobody yet.
            Status::PrepareCommit | Status::PrepareAbort if is_two => is_repeated,
            Status::CompleteCommit | Status::CompleteAbort => is_repeated || is_current,
            _ => is_current,
        };
        if !is_valid {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match (self.status, is_commit) {
            (Status::Ongoing, _) => self.prepare(now, is_commit, version, fresh).map(End::Prepared),
            (Status::PrepareCommit, true) | (Status::PrepareAbort, false) => {
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            (Status::CompleteCommit, true) | (Status::CompleteAbort, false) if is_repeated || !is_two => {
                Ok(End::Done)
            }
            // Nothing was sent in this transaction; aborting it costs an epoch all the same.
            (Status::Empty | Status::CompleteCommit | Status::CompleteAbort, false)
                if is_two && !is_repeated =>
            {
                let begun = Self { started_ms: now, partitions: BTreeMap::new(), ..self.clone() };
                begun.prepare(now, false, version, fresh).map(End::Prepared)
            }
            _ => Err(ErrorCode::INVALID_TXN_STATE),
        }
    }

    fn prepare(
        &self,
        now: Millis,
        is_commit: bool,
        version: Version,
        fresh: FreshId<'_>,
    ) -> Result<Self, ErrorCode> {
        let status = if is_commit { Status::PrepareCommit } else { Status::PrepareAbort };
        let mut next = Self { status, version, updated_ms: now, ..self.clone() };
        if version == Version::Two {
            if self.is_exhausted() {
                next.next_producer_id = fresh()?;
            }
            next.last_producer_epoch = self.producer_epoch;
            next.producer_epoch = self.producer_epoch.saturating_add(1);
        }
        Ok(next)
    }

    /// All markers are durable. `None` when that does not end anything.
    pub fn complete(&self, now: Millis) -> Option<Self> {
        let status = match self.status {
            Status::PrepareCommit => Status::CompleteCommit,
            Status::PrepareAbort => Status::CompleteAbort,
            _ => return None,
        };
        let mut next = Self { status, partitions: BTreeMap::new(), updated_ms: now, ..self.clone() };
        if self.next_producer_id >= 0 {
            next.previous_producer_id = self.producer_id;
            next.producer_id = self.next_producer_id;
            next.next_producer_id = -1;
            next.producer_epoch = 0;
        }
        Some(next)
    }

    /// What the transaction is that `producer` has open in a partition. `producer` has, or had last, this id.
    ///
    /// Everything that was appended to the coordinator's log before something durable is durable, and markers are
    /// appended to a partition before the next transaction's records. So an open transaction is the current one if its
    /// epoch is. In version 1 all have the same, but each has begun durably: one that is open although none is under way
    /// is the last one, and lacks its marker. Where one is under way, an earlier one without its marker counts as part of
    /// it and ends as that does.
    pub fn found_open(&self, now: Millis, producer: Identity, topic: &str, partition: i32) -> Found {
        let is_part = self.contains(topic, partition);
        let is_of_outcome = match self.version {
            Version::One => producer == self.identity(),
            Version::Two => producer.0 == self.producer_id && producer.1 < self.producer_epoch,
        };
        if self.status.is_prepared() && is_part && is_of_outcome {
            return Found::Known;
        }
        let is_complete = matches!(self.status, Status::CompleteCommit | Status::CompleteAbort);
        if self.version == Version::One && is_complete && producer == self.identity() {
            let is_commit = self.status == Status::CompleteCommit;
            return Found::Ended { is_commit, epoch: self.producer_epoch };
        }
        if self.status.is_prepared() && producer == (self.next_producer_id, 0) {
            return Found::JoinsNext;
        }
        if producer == self.identity() {
            match self.add(now, producer, &[(topic.into(), partition)]) {
                Ok(Some(next)) => return Found::Joins(next),
                Ok(None) => return Found::Known,
                Err(_) if self.version == Version::Two => return Found::JoinsNext,
                Err(_) => {}
            }
        }
        let is_last = self.version == Version::Two && producer.1 == self.last_producer_epoch;
        Found::Ended {
            is_commit: is_last && self.status == Status::CompleteCommit,
            epoch: if producer.0 == self.producer_id {
                self.producer_epoch
            } else {
                producer.1.saturating_add(1)
            },
        }
    }

    /// T12: whether the id may be forgotten.
    pub fn is_expired(&self, now: Millis, retention_ms: Millis) -> bool {
        let is_idle = matches!(self.status, Status::Empty | Status::CompleteCommit | Status::CompleteAbort);
        is_idle && now.saturating_sub(self.updated_ms) >= retention_ms
    }
}
