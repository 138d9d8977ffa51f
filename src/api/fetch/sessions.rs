//! Fetch sessions (KIP-227): a client names its partitions once; later requests and answers carry changes only.
//!
//! A request opens a session (epoch 0), continues one (epoch n, answered once, then n+1) or does without
//! (epoch −1). Slots are bounded; when all are taken the least recently used is given up if it has been idle for
//! two minutes, else the client goes without.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use quipu_protocol::ErrorCode;
use quipu_protocol::message::fetch::FetchRequest;
use quipu_protocol::primitives::Uuid;
use quipu_storage::{Millis, Offset};

use super::{Found, Reader, TOPIC_IDS_SINCE, Wanted, partition_of};
use crate::api::Context;
use crate::topic::Topic;

/// First version with sessions.
const SESSIONS_SINCE: i16 = 7;
/// Epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// Epoch of a request that wants none, or closes the one it names.
const FINAL_EPOCH: i32 = -1;
/// Partitions that all sessions together remember at most, some hundred bytes each. Above it a client goes without one.
const PARTITIONS_MAX: usize = 500_000;
/// A session used less than this long ago is not given up (`min.incremental.fetch.session.eviction.ms`).
const IDLE_BEFORE_EVICTION_MS: Millis = 120_000;

/// How a request is to be answered.
#[derive(Debug)]
pub enum Opened {
    /// Every partition, and nothing is remembered.
    Sessionless(Vec<Wanted>),
    /// The session's partitions in its order; the session chooses what to tell.
    Session(Vec<Wanted>, Session),
}

/// The broker's sessions.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    sessions: Mutex<HashMap<i32, Arc<Mutex<State>>>>,
    /// Of all sessions.
    partitions: Arc<AtomicUsize>,
}

/// What a session has of [`PARTITIONS_MAX`].
#[derive(Debug)]
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Share {
    /// Takes as much as is needed in all; `false` if there is not that much.
    fn becomes(&mut self, own: usize) -> bool {
        // At once: what does not fit must not stand in anybody's way, not even for a moment.
        let changed = |all: usize| {
            let all = all - self.own + own;
            (own <= self.own || all <= PARTITIONS_MAX).then_some(all)
        };
        let fits = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).is_ok();
        if fits {
            self.own = own;
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// A handle on the session that a request belongs to.
#[derive(Debug)]
pub struct Session {
    id: i32,
    is_full: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The epoch that the next request must carry.
    next_epoch: i32,
    by_id: bool,
    last_used: Millis,
    /// In order of service: a partition that gave data goes to the end, so that none is starved by the limit.
    partitions: Vec<Entry>,
    share: Share,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    /// This request has just said what is wanted, and found its topic.
    is_fresh: bool,
    told: Option<(Offset, Offset)>,
}

/// Which topic is meant. By id the name is only a label, and the other way round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Which {
    Id(Uuid),
    Name(Arc<str>),
}

impl Wanted {
    fn which(&self) -> Which {
        if self.topic_id.is_zero() { Which::Name(Arc::clone(&self.topic)) } else { Which::Id(self.topic_id) }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.index == other.index
            && self.topic_id == other.topic_id
            && (!self.topic_id.is_zero() || self.topic == other.topic)
    }
}

/// A topic as a request finds it: its name, if it is there, and itself, if it may be read.
struct Looked {
    name: Option<Arc<str>>,
    topic: Result<Arc<Topic>, ErrorCode>,
}

impl Looked {
    fn at(cx: &Context<'_>, reader: Reader, wanted: &Wanted) -> Self {
        let by_id = !wanted.topic_id.is_zero();
        let topic = if by_id {
            cx.broker.topics.by_id(wanted.topic_id)
        } else {
            cx.broker.topics.by_name(&wanted.topic)
        };
        let name = topic.as_ref().map(|topic| Arc::clone(topic.name()));
        let topic = reader.permitted(cx, name.as_ref().unwrap_or(&wanted.topic), topic, by_id);
        Self { name, topic }
    }
}

impl FetchSessions {
    /// Room for `slots` sessions.
    pub fn new(slots: usize) -> Self {
        Self { slots, sessions: Mutex::default(), partitions: Arc::default() }
    }

    /// Finds or makes the session of `request`, and takes in its changes.
    pub fn open(
        &self,
        cx: &Context<'_>,
        request: &FetchRequest<'_>,
        now: Millis,
    ) -> Result<Opened, ErrorCode> {
        let reader = Reader::of(cx, request);
        if cx.version < SESSIONS_SINCE {
            return Ok(Opened::Sessionless(all_wanted(cx, reader, request)));
        }
        match request.session_epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.sessions.lock().remove(&request.session_id);
                let wanted = all_wanted(cx, reader, request);
                if request.session_epoch == FINAL_EPOCH || wanted.is_empty() {
                    return Ok(Opened::Sessionless(wanted));
                }
                match self.create(cx, &wanted, now) {
                    Some(session) => Ok(Opened::Session(wanted, session)),
                    None => Ok(Opened::Sessionless(wanted)),
                }
            }
            _ => self.resume(cx, reader, request, now),
        }
    }

    fn create(&self, cx: &Context<'_>, wanted: &[Wanted], now: Millis) -> Option<Session> {
        if wanted.len() > PARTITIONS_MAX {
            return None;
        }
        let mut sessions = self.sessions.lock();
        let mut share = Share { all: Arc::clone(&self.partitions), own: 0 };
        while sessions.len() >= self.slots || !share.becomes(wanted.len()) {
            let (id, used) =
                sessions.iter().map(|(id, s)| (*id, s.lock().last_used)).min_by_key(|(_, used)| *used)?;
            if now - used < IDLE_BEFORE_EVICTION_MS {
                return None;
            }
            sessions.remove(&id);
        }
        let id = loop {
            let id = (cx.broker.clock.random_u64() >> 33) as i32;
            if id != 0 && !sessions.contains_key(&id) {
                break id;
            }
        };
        let state = Arc::new(Mutex::new(State {
            next_epoch: 1,
            by_id: cx.version >= TOPIC_IDS_SINCE,
            last_used: now,
            partitions: wanted
                .iter()
                .map(|wanted| Entry { wanted: wanted.clone(), is_fresh: false, told: None })
                .collect(),
            share,
        }));
        sessions.insert(id, Arc::clone(&state));
        Some(Session { id, is_full: true, state })
    }

    fn resume(
        &self,
        cx: &Context<'_>,
        reader: Reader,
        request: &FetchRequest<'_>,
        now: Millis,
    ) -> Result<Opened, ErrorCode> {
        let state = self.sessions.lock().get(&request.session_id).cloned();
        let state = state.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let wanted = {
            let mut session = state.lock();
            if session.next_epoch != request.session_epoch {
                return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
            }
            if session.by_id != (cx.version >= TOPIC_IDS_SINCE) {
                return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
            }
            // The epoch after the last is 1 again: 0 would open a session.
            session.next_epoch = if session.next_epoch == i32::MAX { 1 } else { session.next_epoch + 1 };
            session.last_used = now;
            if let Err(code) = session.take_changes(cx, reader, request) {
                drop(session);
                self.sessions.lock().remove(&request.session_id);
                return Err(code);
            }
            if session.partitions.is_empty() {
                // Nothing is left to remember: the session ends, as in Kafka.
                drop(session);
                self.sessions.lock().remove(&request.session_id);
                return Ok(Opened::Sessionless(Vec::new()));
            }
            session.refreshed(|wanted| Looked::at(cx, reader, wanted))
        };
        Ok(Opened::Session(wanted, Session { id: request.session_id, is_full: false, state }))
    }
}

/// Most partitions that a session grows to by incremental requests.
const SESSION_PARTITIONS_MAX: usize = 200_000;

impl State {
    /// Takes in what a request adds and forgets. One that adds too much ends the session: the client begins anew, with all
    /// that it wants in one request.
    fn take_changes(
        &mut self,
        cx: &Context<'_>,
        reader: Reader,
        request: &FetchRequest<'_>,
    ) -> Result<(), ErrorCode> {
        let changes = all_wanted(cx, reader, request);
        if !changes.is_empty() {
            let place = |(at, entry): (usize, &Entry)| ((entry.wanted.which(), entry.wanted.index), at);
            let mut places: HashMap<(Which, i32), usize> =
                self.partitions.iter().enumerate().map(place).collect();
            for wanted in changes {
                match places.entry((wanted.which(), wanted.index)) {
                    Place::Occupied(at) => {
                        let entry = &mut self.partitions[*at.get()];
                        (entry.wanted, entry.is_fresh) = (wanted, true);
                    }
                    Place::Vacant(_) if self.partitions.len() >= SESSION_PARTITIONS_MAX => {
                        return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
                    }
                    Place::Vacant(place) => {
                        place.insert(self.partitions.len());
                        self.partitions.push(Entry { wanted, is_fresh: true, told: None });
                    }
                }
            }
        }
        for topic in &request.forgotten_topics_data {
            let by_id = self.by_id;
            self.partitions.retain(|entry| {
                let wanted = &entry.wanted;
                let same =
                    if by_id { wanted.topic_id == topic.topic_id } else { *wanted.topic == *topic.topic };
                !(same && topic.partitions.contains(&wanted.index))
            });
        }
        // As when it adds too much by itself.
        let fits = self.share.becomes(self.partitions.len());
        if fits { Ok(()) } else { Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND) }
    }

    /// The partitions as they are now: what was missing may have been created, what was there may be gone, and so may
    /// rights. Looks at each topic once.
    fn refreshed(&mut self, mut look: impl FnMut(&Wanted) -> Looked) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::with_capacity(self.partitions.len());
        let mut last: Option<(Which, Looked)> = None;
        // Those before the last one. Most sessions have one topic, or its partitions side by side.
        let mut others: HashMap<Which, Looked> = HashMap::new();
        for entry in &mut self.partitions {
            if !std::mem::take(&mut entry.is_fresh) {
                let wanted = &mut entry.wanted;
                let which = wanted.which();
                let (_, looked) = match &last {
                    Some(known) if known.0 == which => known,
                    _ => {
                        let next = others.remove(&which).unwrap_or_else(|| look(wanted));
                        others.extend(last.take());
                        last.insert((which, next))
                    }
                };
                if let Some(name) = looked.name.as_ref().filter(|_| !wanted.topic_id.is_zero()) {
                    wanted.topic = Arc::clone(name);
                }
                wanted.partition = partition_of(&looked.topic, wanted.index);
            }
            all.push(entry.wanted.clone());
        }
        all
    }
}

impl Session {
    /// The session's id, as the answer carries it.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Which partitions the answer names: all in a full fetch; later those with data, an error, or a high
    /// watermark or log start that the client has not been told (L9).
    pub(super) fn choose(&self, wanted: &[Wanted], found: &[Found]) -> Vec<bool> {
        let mut state = self.state.lock();
        let mut told = vec![true; wanted.len()];
        let same = state.partitions.len() == wanted.len();
        for (at, (wanted, found)) in wanted.iter().zip(found).enumerate() {
            // The session is in the order of `wanted`, unless its client has not waited for this answer: the next
            // request may have changed it then, and what has lost its place is told as it is.
            let Some(entry) =
                state.partitions.get_mut(at).filter(|entry| same && entry.wanted.is_same(wanted))
            else {
                continue;
            };
            let now = (found.high_watermark, found.log_start_offset);
            let has_news = found.bytes > 0
                || !found.error_code.is_none()
                || found.diverging_epoch.is_some()
                || entry.told != Some(now);
            told[at] = self.is_full || has_news;
            if told[at] {
                // An error is told again each time, and so is what follows it.
                entry.told = found.error_code.is_none().then_some(now);
            }
        }
        if same && found.iter().any(|f| f.bytes > 0) {
            let mut served = found.iter().map(|f| f.bytes > 0);
            let (last, first): (Vec<_>, Vec<_>) = std::mem::take(&mut state.partitions)
                .into_iter()
                .partition(|_| served.next().unwrap_or(false));
            state.partitions = first.into_iter().chain(last).collect();
        }
        told
    }
}

fn all_wanted(cx: &Context<'_>, reader: Reader, request: &FetchRequest<'_>) -> Vec<Wanted> {
    request.topics.iter().flat_map(|topic| Wanted::resolve(cx, reader, topic)).collect()
}

#[cfg(test)]
mod tests {
    use quipu_protocol::message::fetch::{FetchPartition, FetchTopic};

    use super::*;

    #[test]
    fn all_sessions_together_remember_so_much_and_no_more() {
        let all = Arc::default();
        let share = || Share { all: Arc::clone(&all), own: 0 };
        let (mut one, mut other) = (share(), share());
        assert!(one.becomes(PARTITIONS_MAX - 10));
        assert!(other.becomes(10));
        assert!(!other.becomes(11) && !one.becomes(PARTITIONS_MAX - 9));
        assert!(one.becomes(5) && other.becomes(11));
        drop((one, other));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_asks_for_too_much_takes_nothing_from_others_meanwhile() {
        let all = Arc::default();
        let share = || Share { all: Arc::clone(&all), own: 0 };
        let (mut greedy, mut modest) = (share(), share());
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| (0..200_000).all(|_| !greedy.becomes(PARTITIONS_MAX + 1)));
            assert!((0..200_000).all(|_| modest.becomes(10) && modest.becomes(0)));
            assert!(asking.join().unwrap());
        });
    }

    #[test]
    fn a_topic_is_looked_for_once_for_each_request() {
        let entry = |name: &str, index, is_fresh| {
            let asked = Wanted {
                topic: name.into(),
                topic_id: Uuid::ZERO,
                index,
                fetch_offset: 0,
                max_bytes: 1,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                partition: Err(ErrorCode::NONE),
            };
            Entry { wanted: asked, is_fresh, told: None }
        };
        let mut state = State {
            next_epoch: 1,
            by_id: false,
            last_used: 0,
            partitions: vec![
                entry("a", 0, false),
                entry("a", 1, false),
                entry("b", 0, false),
                entry("a", 2, false),
                entry("new", 0, true),
                entry("b", 1, false),
            ],
            share: Share { all: Arc::default(), own: 0 },
        };
        let mut looked = Vec::new();
        let mut refresh = |state: &mut State| {
            let look = |wanted: &Wanted| {
                looked.push(wanted.topic.to_string());
                Looked { name: None, topic: Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) }
            };
            let wanted = state.refreshed(look);
            (wanted, std::mem::take(&mut looked))
        };
        let (wanted, looked) = refresh(&mut state);
        assert_eq!(looked, ["a", "b"]);
        let codes = wanted.iter().map(|wanted| wanted.partition.as_ref().err().copied().unwrap());
        let unknown = |code| code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(codes.map(unknown).collect::<Vec<_>>(), [true, true, true, true, false, true]);
        assert_eq!(refresh(&mut state).1, ["a", "b", "new"], "what was new has been there since");
    }

    #[test]
    fn idle_sessions_make_room_for_others() {
        use std::path::Path;

        use quipu_storage::disk::MemoryDisk;

        use crate::broker::Broker;
        use crate::clock::Clock;
        use crate::config::Config;

        let disk = Arc::new(MemoryDisk::new());
        let broker = Broker::open(Config::default(), disk, Path::new("/data"), Clock::manual(0, 1)).unwrap();
        let cx = Context::of_test(&broker, 12);
        let sessions = FetchSessions::new(10);
        let wanted = |count: usize| {
            let partitions = vec![FetchPartition::default(); count];
            let asked = FetchTopic { topic: "none".into(), partitions, ..Default::default() };
            Wanted::resolve(&cx, Reader::Consumer, &asked).collect::<Vec<_>>()
        };
        let half = wanted(PARTITIONS_MAX / 2);
        assert!(sessions.create(&cx, &half, 0).is_some());
        assert!(sessions.create(&cx, &half, 1).is_some());
        assert!(sessions.create(&cx, &half, IDLE_BEFORE_EVICTION_MS - 1).is_none(), "nobody is idle");
        assert!(sessions.create(&cx, &half, IDLE_BEFORE_EVICTION_MS).is_some());
        assert_eq!(sessions.sessions.lock().len(), 2);
        assert!(sessions.create(&cx, &wanted(PARTITIONS_MAX + 1), Millis::MAX).is_none());
    }
}
