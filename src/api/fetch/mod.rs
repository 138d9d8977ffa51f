//! Fetch (key 1): read record batches.
//!
//! Versions 4–18: 5 carries the log start, 7 sessions (KIP-227), 9 and 12 leader epochs and divergence (KIP-320,
//! KIP-595), 13 topic ids (KIP-516), 15 replica state (KIP-903). There are no followers here: who says to be one reads as
//! a consumer, but needs another broker's right to the cluster for it, as in Kafka, and none to topics.
//!
//! Answers are slices of the mapped segments: whole batches, the first one even when it is larger than the limit. What is
//! not in memory is read elsewhere, so that nobody else whom this thread serves waits for the disk. Too little to read:
//! register as a waiter first, look again, then sleep until woken or the deadline.

pub mod sessions;

use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::ErrorCode;
use quipu_protocol::message::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    PartitionData,
};
use quipu_protocol::primitives::{Records, Str, Uuid};
use quipu_storage::{Aborted, Millis, Offset, ReadError};

use super::Context;
use crate::broker::Broker;
use crate::security::acl::{Operation, ResourceType};
use crate::topic::wait::{Place, Waiter};
use crate::topic::{LEADER_EPOCH, Partition, Topic};
use sessions::{Opened, Session};

/// First version that names topics by id (KIP-516).
const TOPIC_IDS_SINCE: i16 = 13;
/// First version that has the replica's id in the replica state (KIP-903).
const REPLICA_STATE_SINCE: i16 = 15;
/// `isolation_level` of a consumer that wants committed records only.
pub(super) const READ_COMMITTED: i8 = 1;

/// One partition that is to be read.
#[derive(Clone, Debug)]
pub struct Wanted {
    topic: Arc<str>,
    topic_id: Uuid,
    index: i32,
    fetch_offset: Offset,
    max_bytes: usize,
    current_leader_epoch: i32,
    last_fetched_epoch: i32,
    /// The partition, or why there is none.
    partition: Result<Arc<Partition>, ErrorCode>,
}

/// What reading one partition gave.
#[derive(Debug)]
struct Found {
    error_code: ErrorCode,
    high_watermark: Offset,
    last_stable_offset: Offset,
    log_start_offset: Offset,
    diverging_epoch: Option<EpochEndOffset>,
    /// For consumers of committed records, and empty where there is no partition.
    aborted: Option<Vec<AbortedTransaction>>,
    slices: Vec<Bytes>,
    bytes: usize,
}

/// Reads each partition asked for, waiting for data if there is too little.
pub async fn fetch<'a>(cx: &Context<'_>, request: FetchRequest<'a>) -> FetchResponse<'a> {
    let broker = cx.broker;
    let opened = match broker.fetch_sessions.open(cx, &request, broker.clock.monotonic_ms()) {
        Ok(opened) => opened,
        Err(code) => return FetchResponse { error_code: code, ..Default::default() },
    };
    let (wanted, session) = match opened {
        Opened::Sessionless(wanted) => (wanted, None),
        Opened::Session(wanted, session) => (wanted, Some(session)),
    };
    let settings = broker.settings();
    let limit = (request.max_bytes.max(0) as usize).min(settings.network.fetch_max_bytes.max(0) as usize);
    let min_bytes = (request.min_bytes.max(0) as usize).min(limit);
    let deadline = broker.clock.monotonic_ms() + Millis::from(request.max_wait_ms.max(0));

    let isolation_level = request.isolation_level;
    let mut read = read_all(broker, &wanted, isolation_level, limit).await;
    if let Ok(found) = &mut read
        && request.max_wait_ms > 0
        && is_too_little(&wanted, found, min_bytes)
    {
        let first = std::mem::take(found);
        read = wait_for_more(cx, &wanted, isolation_level, (limit, min_bytes), deadline, first).await;
    }
    let found = match read {
        Ok(found) => found,
        Err(code) => return FetchResponse { error_code: code, ..Default::default() },
    };
    let read: usize = found.iter().map(|f| f.bytes).sum();
    broker.metrics.fetched(read as u64);
    respond(cx, wanted, found, session)
}

/// True when a long poll should go on: no error to tell, and fewer bytes than the client wants. Partitions that are not
/// there or not for the client end it only where there are no others; nothing that it waits for changes them.
fn is_too_little(wanted: &[Wanted], found: &[Found], min_bytes: usize) -> bool {
    let mut read = wanted.iter().zip(found).filter(|(w, _)| w.partition.is_ok()).map(|(_, f)| f).peekable();
    read.peek().is_some()
        && read.all(|f| f.error_code.is_none() && f.diverging_epoch.is_none())
        && found.iter().map(|f| f.bytes).sum::<usize>() < min_bytes
}

async fn wait_for_more(
    cx: &Context<'_>,
    wanted: &[Wanted],
    isolation_level: i8,
    (limit, min_bytes): (usize, usize),
    deadline: Millis,
    mut found: Vec<Found>,
) -> Result<Vec<Found>, ErrorCode> {
    let missing = |found: &[Found]| min_bytes as i64 - found.iter().map(|f| f.bytes as i64).sum::<i64>();
    let waiter = Waiter::new(missing(&found));
    let places: Option<Vec<Place<'_>>> = wanted
        .iter()
        .filter_map(|w| w.partition.as_ref().ok())
        .map(|p| p.waiters.register(&waiter))
        .collect();
    if places.is_none() {
        return Ok(found);
    }
    let mut stopping = cx.broker.stopping();
    loop {
        // Armed first, then looked again: what is appended from here on is counted. If the look shows more than the
        // one before, some of it may have come before the arming and not be counted: arm and look once more.
        let before = missing(&found);
        waiter.rearm(before);
        found = read_all(cx.broker, wanted, isolation_level, limit).await?;
        if !is_too_little(wanted, &found, min_bytes) {
            return Ok(found);
        }
        if missing(&found) < before {
            continue;
        }
        tokio::select! {
            () = waiter.woken() => {}
            () = cx.broker.clock.sleep_until(deadline) => {
                return read_all(cx.broker, wanted, isolation_level, limit).await;
            }
            _ = stopping.wait_for(|stop| *stop) => return Ok(found),
        }
    }
}

/// Reads every partition once, in order, within `limit` bytes.
async fn read_all(
    broker: &Arc<Broker>,
    wanted: &[Wanted],
    isolation_level: i8,
    limit: usize,
) -> Result<Vec<Found>, ErrorCode> {
    let now = broker.clock.now_ms();
    let mut reading = Reading::new(isolation_level, limit);
    if reading.go_on(wanted, now, Patience::None) {
        return Ok(reading.found);
    }
    // Others are served by this thread who want nothing from the disk.
    let wanted = wanted.to_vec();
    let read = broker.aside(move |_| {
        reading.go_on(&wanted, now, Patience::ForTheDisk);
        Ok(reading.found)
    });
    read.await.map_err(|refused| refused.code)
}

/// What may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    None,
    ForTheDisk,
}

/// How far the partitions of a request have been read, in order. The first that has data gives at least one batch.
struct Reading {
    isolation_level: i8,
    room: usize,
    nothing_yet: bool,
    found: Vec<Found>,
}

impl Reading {
    fn new(isolation_level: i8, limit: usize) -> Self {
        Self { isolation_level, room: limit, nothing_yet: true, found: Vec::new() }
    }

    /// Reads the partitions that are left, up to the first that would have to be waited for. True when all are read.
    fn go_on(&mut self, wanted: &[Wanted], now: Millis, patience: Patience) -> bool {
        self.found.reserve_exact(wanted.len() - self.found.len());
        for wanted in &wanted[self.found.len()..] {
            let bytes = self.room.min(wanted.max_bytes);
            let read = wanted.read(self.isolation_level, bytes, self.nothing_yet, now, patience);
            let found = match read {
                Ok(found) => found,
                Err(Unread::Refused(code)) => wanted.refused(code),
                Err(Unread::NotInMemory) => return false,
            };
            self.room = self.room.saturating_sub(found.bytes);
            self.nothing_yet &= found.bytes == 0;
            self.found.push(found);
        }
        true
    }
}

/// Why nothing was read of a partition.
enum Unread {
    Refused(ErrorCode),
    NotInMemory,
}

impl From<ErrorCode> for Unread {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl Wanted {
    fn refused(&self, error_code: ErrorCode) -> Found {
        Found {
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            // Kafka lists no transactions where there is no partition, and has no list where reading one failed.
            aborted: self.partition.is_err().then(Vec::new),
            slices: Vec::new(),
            bytes: 0,
        }
    }

    fn read(
        &self,
        isolation_level: i8,
        max_bytes: usize,
        at_least_one: bool,
        now: Millis,
        patience: Patience,
    ) -> Result<Found, Unread> {
        let partition = self.partition.as_ref().map_err(|code| *code)?;
        check_leader_epoch(self.current_leader_epoch)?;
        if patience == Patience::None && !partition.is_open() {
            return Err(Unread::NotInMemory);
        }
        let high_watermark = partition.high_watermark(now)?;
        let waiting = partition.reader(now)?;
        let at_once = (patience == Patience::None).then(|| waiting.at_once());
        let reader = at_once.as_ref().unwrap_or(waiting);
        let unread = |error: ReadError| match error {
            ReadError::NotInMemory => Unread::NotInMemory,
            ReadError::OutOfRange { .. } => Unread::Refused(ErrorCode::OFFSET_OUT_OF_RANGE),
            error => Unread::Refused(partition.read_failed(&error)),
        };
        let last_stable_offset = reader.last_stable_offset(high_watermark);
        let is_committed = isolation_level == READ_COMMITTED;
        let upto = if is_committed { last_stable_offset } else { high_watermark };
        let mut found = Found {
            error_code: ErrorCode::NONE,
            high_watermark,
            last_stable_offset,
            log_start_offset: reader.log_start_offset(),
            diverging_epoch: None,
            aborted: is_committed.then(Vec::new),
            slices: Vec::new(),
            bytes: 0,
        };
        if self.last_fetched_epoch > LEADER_EPOCH {
            // Nobody has ever led in that epoch: nothing can be said of what was read in it.
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE.into());
        }
        if self.last_fetched_epoch >= 0 && self.fetch_offset > high_watermark {
            // The client has read what this log does not have (KIP-595): tell where the two part.
            found.diverging_epoch = Some(EpochEndOffset { epoch: LEADER_EPOCH, end_offset: high_watermark });
            return Ok(found);
        }
        let read = reader.read(self.fetch_offset, max_bytes, upto, at_least_one).map_err(unread)?;
        if is_committed && !read.slices.is_empty() {
            // Asked for after the last stable offset: whatever has ended below it is listed (T9).
            let listed = reader.aborted(self.fetch_offset, read.next_offset).map_err(unread)?;
            let told = |aborted: Aborted| AbortedTransaction {
                producer_id: aborted.producer_id,
                first_offset: aborted.first_offset,
            };
            found.aborted = Some(listed.into_iter().map(told).collect());
        }
        found.bytes = read.slices.iter().map(Bytes::len).sum();
        found.slices = read.slices;
        Ok(found)
    }
}

/// KIP-320: a client whose metadata is newer or older than ours must refresh it.
pub(super) fn check_leader_epoch(current: i32) -> Result<(), ErrorCode> {
    match current {
        epoch if epoch < 0 || epoch == LEADER_EPOCH => Ok(()),
        epoch if epoch > LEADER_EPOCH => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Err(ErrorCode::FENCED_LEADER_EPOCH),
    }
}

fn respond<'a>(
    cx: &Context<'_>,
    wanted: Vec<Wanted>,
    found: Vec<Found>,
    session: Option<Session>,
) -> FetchResponse<'a> {
    let mut responses: Vec<FetchableTopicResponse<'a>> = Vec::new();
    let mut last: Option<(Uuid, Arc<str>)> = None;
    let told = session.as_ref().map(|session| session.choose(&wanted, &found));
    for (at, (wanted, found)) in wanted.into_iter().zip(found).enumerate() {
        if told.as_ref().is_some_and(|told| !told[at]) {
            continue;
        }
        // Partitions of one topic stand together.
        if !last.as_ref().is_some_and(|(id, name)| *id == wanted.topic_id && *name == wanted.topic) {
            let name = if cx.version < TOPIC_IDS_SINCE { wanted.topic.to_string() } else { String::new() };
            responses.push(FetchableTopicResponse {
                topic: Str::Owned(name),
                topic_id: wanted.topic_id,
                partitions: Vec::new(),
            });
            last = Some((wanted.topic_id, Arc::clone(&wanted.topic)));
        }
        let partitions = &mut responses.last_mut().expect("pushed above").partitions;
        partitions.push(PartitionData {
            partition_index: wanted.index,
            error_code: found.error_code,
            high_watermark: found.high_watermark,
            last_stable_offset: found.last_stable_offset,
            log_start_offset: found.log_start_offset,
            diverging_epoch: found.diverging_epoch.unwrap_or_default(),
            aborted_transactions: found.aborted,
            preferred_read_replica: -1,
            records: Some(Records::Shared(found.slices)),
            ..Default::default()
        });
    }
    FetchResponse { session_id: session.map_or(0, |session| session.id()), responses, ..Default::default() }
}

/// Who reads: that decides which right it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A consumer: the right to each topic.
    Consumer,
    /// Another broker, as it says, and has the right to act in the cluster: none to topics.
    Broker,
    /// One that says so, and has not.
    NoBroker,
}

impl Reader {
    fn of(cx: &Context<'_>, request: &FetchRequest<'_>) -> Self {
        let in_state = cx.version >= REPLICA_STATE_SINCE;
        let id = if in_state { request.replica_state.replica_id } else { request.replica_id };
        // Below 0 are consumers, among them those that look for faults (−2).
        if id < 0 {
            Self::Consumer
        } else if cx.permit_on_cluster(Operation::ClusterAction).is_ok() {
            Self::Broker
        } else {
            Self::NoBroker
        }
    }

    /// The topic, if it may be read. Whether a topic exists by that name is not told otherwise.
    fn permitted(
        self,
        cx: &Context<'_>,
        name: &str,
        topic: Option<Arc<Topic>>,
        by_id: bool,
    ) -> Result<Arc<Topic>, ErrorCode> {
        if self == Self::NoBroker {
            return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        }
        if by_id && topic.is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        if self == Self::Consumer {
            cx.permit(Operation::Read, ResourceType::Topic, name)?;
        }
        topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }
}

fn partition_of(topic: &Result<Arc<Topic>, ErrorCode>, index: i32) -> Result<Arc<Partition>, ErrorCode> {
    let topic = topic.as_ref().map_err(|code| *code)?;
    topic.partition(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

impl Wanted {
    /// Resolves what a request says of a topic's partitions.
    fn resolve<'a>(
        cx: &Context<'_>,
        reader: Reader,
        asked: &'a FetchTopic<'_>,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let by_id = cx.version >= TOPIC_IDS_SINCE;
        let topics = &cx.broker.topics;
        let found = if by_id { topics.by_id(asked.topic_id) } else { topics.by_name(&asked.topic) };
        let name: Arc<str> = match &found {
            Some(topic) => Arc::clone(topic.name()),
            None => (*asked.topic).into(),
        };
        let topic_id = if by_id { asked.topic_id } else { Uuid::ZERO };
        let topic = reader.permitted(cx, &name, found, by_id);
        asked.partitions.iter().map(move |asked| Self {
            topic: Arc::clone(&name),
            topic_id,
            index: asked.partition,
            fetch_offset: asked.fetch_offset,
            max_bytes: asked.partition_max_bytes.max(0) as usize,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            partition: partition_of(&topic, asked.partition),
        })
    }
}
