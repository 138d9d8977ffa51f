//! A driver for tests: one group, a log in memory, time by hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::classic::{JoinRequest, Leaving, Protocol, State, SyncRequest};
use super::consumer::{Beat, BeatReply, Refused};
use super::offsets::{Commit, CommitRequest};
use super::{Committer, Group, JoinReply, MemberId, Record, Reply, Step, SyncReply, Token};
use crate::coordinator::assign::Partitions;
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::records::CoordinatorRecord;
use crate::coordinator::settings::GroupSettings;
use crate::coordinator::{Now, records};

/// Session timeout of [`Sim::request`].
pub(crate) const SESSION_MS: i64 = 10_000;
/// Rebalance timeout of [`Sim::request`].
pub(crate) const REBALANCE_MS: i64 = 60_000;
/// Rebalance timeout of [`Sim::joining`].
pub(crate) const BEAT_REBALANCE_MS: i32 = 30_000;

#[derive(Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Arc<str>, (Uuid, i32)>,
    version: i64,
}

impl Topics {
    pub(crate) fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        let id = Uuid([self.version as u8; 16]);
        let entry = self.by_name.entry(name.into()).or_insert((id, partitions));
        entry.1 = partitions;
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.version += 1;
        self.by_name.remove(name);
    }
}

impl TopicLookup for Topics {
    fn partitions(&self, name: &str) -> Option<i32> {
        self.by_name.get(name).map(|(_, partitions)| *partitions)
    }

    fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        self.by_name.iter().find(|(_, (other, _))| *other == id).map(|(name, _)| name.clone())
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        self.by_name.get(name).map(|(id, _)| *id)
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.by_name.keys().cloned().collect()
    }

    fn version(&self) -> i64 {
        self.version
    }
}

pub(crate) struct Sim {
    pub(crate) group: Group,
    pub(crate) topics: Topics,
    pub(crate) log: Vec<Record>,
    pub(crate) now: Now,
    pub(crate) settings: GroupSettings,
    /// Fails every append while set.
    pub(crate) broken: Option<ErrorCode>,
    replies: HashMap<Token, Reply>,
    parked: HashSet<Token>,
    /// Parked requests whose connection is gone; an answer goes nowhere.
    abandoned: HashSet<Token>,
    last: u64,
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self {
            group: Group::new("g".into()),
            topics: Topics::default(),
            log: Vec::new(),
            now: Now { tick: 1_000, wall: 1_700_000_000_000 },
            settings: GroupSettings::default(),
            broken: None,
            replies: HashMap::new(),
            parked: HashSet::new(),
            abandoned: HashSet::new(),
            last: 0,
        }
    }

    /// A group over topic `t` with this many partitions.
    pub(crate) fn over(partitions: i32) -> Self {
        let mut sim = Self::new();
        sim.topics.set("t", partitions);
        sim
    }

    pub(crate) fn topic(&self, name: &str) -> Uuid {
        self.topics.id_of(name).expect("a topic")
    }

    /// A JoinGroup of the newest version by a client that wants `protocols` (name, metadata).
    pub(crate) fn request(member_id: &str, protocols: &[(&str, &str)]) -> JoinRequest {
        JoinRequest {
            member_id: member_id.into(),
            instance_id: None,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: SESSION_MS as i32,
            rebalance_timeout_ms: REBALANCE_MS as i32,
            protocol_type: "consumer".into(),
            protocols: protocols
                .iter()
                .map(|(name, metadata)| Protocol {
                    name: (*name).into(),
                    metadata: Bytes::copy_from_slice(metadata.as_bytes()),
                })
                .collect(),
            fresh_id: "".into(),
            must_know_id: true,
            may_skip_assignment: true,
        }
    }

    /// A SyncGroup with the assignment that the leader gives.
    pub(crate) fn syncing(member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> SyncRequest {
        SyncRequest {
            member_id: member_id.into(),
            instance_id: None,
            generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .iter()
                .map(|(id, bytes)| ((*id).into(), Bytes::copy_from_slice(bytes.as_bytes())))
                .collect(),
        }
    }

    pub(crate) fn fixed(member_id: &str, instance_id: &str, protocols: &[(&str, &str)]) -> JoinRequest {
        JoinRequest { instance_id: Some(instance_id.into()), ..Self::request(member_id, protocols) }
    }

    fn token(&mut self) -> Token {
        self.last += 1;
        self.parked.insert(Token(self.last));
        Token(self.last)
    }

    /// Appends, settles and takes the replies of a step; every parked request must be answered at most once.
    pub(crate) fn advance(&mut self, mut step: Step) -> Result<(), ErrorCode> {
        let mut outcome = None;
        loop {
            let appended = match self.broken {
                Some(error) if !step.records.is_empty() => Err(error),
                _ => Ok(()),
            };
            if appended.is_ok() {
                self.log.extend(step.records.iter().cloned());
            }
            outcome.get_or_insert(appended);
            step = self.group.settle(self.now, step, appended);
            if step.records.is_empty() {
                break;
            }
        }
        for (token, reply) in step.replies {
            if !self.abandoned.remove(&token) {
                assert!(self.parked.remove(&token), "{token:?} is answered twice: {reply:?}");
                self.replies.insert(token, reply);
            }
        }
        self.check_replay();
        outcome.unwrap_or(Ok(()))
    }

    /// Replaying the log, through its stored form, gives the same kept state, and restoring that gives a live group
    /// that agrees with it.
    fn check_replay(&self) {
        // The whole log each time would make long runs quadratic; a sample is enough.
        if self.log.len() > 50 && !self.last.is_multiple_of(17) {
            return;
        }
        let replayed = self.replayed();
        assert_eq!(replayed.kept(), self.group.kept());
        assert_eq!(replayed.consumer.kept(), self.group.consumer.kept());
    }

    /// The group as its log tells it, through the stored form.
    pub(crate) fn replayed(&self) -> Group {
        self.replayed_if(|_, _| true)
    }

    /// The group as its log tells it after a compaction: the last record of each key, in order.
    pub(crate) fn compacted(&self) -> Group {
        self.replayed_if(|at, stored| stored[at + 1..].iter().all(|later| later.key != stored[at].key))
    }

    fn replayed_if(&self, is_kept: impl Fn(usize, &[CoordinatorRecord]) -> bool) -> Group {
        let stored: Vec<_> =
            self.log.iter().map(|record| records::encode("g", record).expect("fits")).collect();
        let mut group = Group::new("g".into());
        for (at, record) in stored.iter().enumerate() {
            if is_kept(at, &stored) {
                let (id, record) =
                    records::decode(&record.key, record.value.as_deref()).expect("reads").expect("ours");
                assert_eq!(&*id, "g");
                group.replay(&record);
            }
        }
        group
    }

    /// The broker stops and starts: what is parked is gone, what is kept comes back.
    pub(crate) fn restart(&mut self) {
        self.restart_after(&HashMap::new());
    }

    /// The same after a life in which there were these silences.
    pub(crate) fn restart_after(&mut self, silences: &HashMap<MemberId, i64>) {
        let kept = self.group.kept();
        self.group = self.replayed();
        let silent_ms = |id: &str| silences.get(id).copied().unwrap_or(0);
        self.group.restore(self.now, &self.settings.consumer, silent_ms);
        assert_eq!(self.group.kept(), kept);
        self.parked.clear();
        self.abandoned.clear();
    }

    pub(crate) fn join(&mut self, mut request: JoinRequest) -> Token {
        let token = self.token();
        request.fresh_id = format!("fresh-{}", token.0).into();
        let step = self.group.join(self.now, token, request, &self.topics, &self.settings);
        let _ = self.advance(step);
        token
    }

    pub(crate) fn sync(&mut self, member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> Token {
        self.sync_with(Self::syncing(member_id, generation, assignments))
    }

    pub(crate) fn sync_with(&mut self, request: SyncRequest) -> Token {
        let token = self.token();
        let step = self.group.sync(self.now, token, request, &self.topics);
        let _ = self.advance(step);
        token
    }

    pub(crate) fn heartbeat(&mut self, member_id: &str, generation: i32) -> ErrorCode {
        self.group.heartbeat(self.now, &member_id.into(), None, generation)
    }

    pub(crate) fn leave(&mut self, member_id: &str, instance_id: Option<&str>) -> ErrorCode {
        let leaving = [Leaving { member_id: member_id.into(), instance_id: instance_id.map(Into::into) }];
        let (codes, step) = self.group.leave(self.now, &leaving, &self.topics, &self.settings);
        let _ = self.advance(step);
        codes[0]
    }

    pub(crate) fn abandon(&mut self, token: Token) {
        assert!(self.parked.remove(&token), "only a parked request can be abandoned");
        self.abandoned.insert(token);
        let mut step = Step::default();
        self.group.classic.abandon(self.now, token, &mut step);
        let _ = self.advance(step);
    }

    pub(crate) fn commit(&mut self, member_id: &str, generation: i32, offset: i64) -> Result<(), ErrorCode> {
        let committer = Committer { member_id: member_id.into(), instance_id: None, generation };
        if self.topics.id_of("t").is_none() {
            self.topics.set("t", 1);
        }
        let request = self.offset("t", 0, offset);
        let commit = Commit { requests: vec![request], retention_ms: None, knows_epochs: true };
        let (codes, step) = self.group.commit(self.now, &committer, commit, &self.topics, &self.settings)?;
        assert_eq!(codes, [ErrorCode::NONE]);
        self.advance(step)
    }

    /// A commit of one partition, by a client that knows the topic's id.
    pub(crate) fn offset(&self, topic: &str, partition: i32, offset: i64) -> CommitRequest {
        CommitRequest {
            topic: topic.into(),
            topic_id: self.topics.id_of(topic).unwrap_or_default(),
            partition,
            offset,
            leader_epoch: -1,
            metadata: "".into(),
        }
    }

    pub(crate) fn committed(&self) -> Option<i64> {
        self.group.committed("t", 0).map(|committed| committed.offset)
    }

    pub(crate) fn beat(&mut self, beat: Beat) -> Result<BeatReply, ErrorCode> {
        self.try_beat(beat).map_err(|refused| refused.code)
    }

    pub(crate) fn try_beat(&mut self, beat: Beat) -> Result<BeatReply, Refused> {
        let times = self.settings.consumer;
        let (reply, step) =
            self.group.consumer_heartbeat(self.now, &beat, &self.topics, &self.settings, &times)?;
        let _ = self.advance(step);
        Ok(reply)
    }

    /// A ConsumerGroupHeartbeat that joins and subscribes to `t`.
    pub(crate) fn joining(id: &str) -> Beat {
        Beat {
            rebalance_timeout_ms: BEAT_REBALANCE_MS,
            topics: Some(vec!["t".into()]),
            owned: Some(Partitions::default()),
            ..Self::quiet(id, 0)
        }
    }

    /// The heartbeat of a member that has nothing to say.
    pub(crate) fn quiet(id: &str, epoch: i32) -> Beat {
        Beat {
            member_id: id.into(),
            epoch,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: -1,
            ..Beat::default()
        }
    }

    /// The heartbeat as one of the static member "pod".
    pub(crate) fn pod(beat: Beat) -> Beat {
        Beat { instance_id: Some("pod".into()), ..beat }
    }

    pub(crate) fn owning(id: &str, epoch: i32, owned: &Partitions) -> Beat {
        Beat { owned: Some(owned.clone()), ..Self::quiet(id, epoch) }
    }

    pub(crate) fn enter(&mut self, id: &str) -> BeatReply {
        self.beat(Self::joining(id)).expect("joins")
    }

    /// Lets time pass, firing each timer at its own moment.
    pub(crate) fn pass(&mut self, ms: i64) {
        let end = self.now.tick + ms;
        loop {
            let next = self.group.next_deadline().filter(|&at| at <= end).unwrap_or(end);
            let step_ms = next.max(self.now.tick) - self.now.tick;
            self.now = Now { tick: self.now.tick + step_ms, wall: self.now.wall + step_ms };
            let step = self.group.expire(self.now, &self.topics, &self.settings);
            let _ = self.advance(step);
            if self.now.tick >= end && self.group.next_deadline().is_none_or(|at| at > end) {
                return;
            }
        }
    }

    pub(crate) fn is_parked(&self, token: Token) -> bool {
        self.parked.contains(&token)
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(crate) fn state(&self) -> State {
        self.group.classic.state()
    }

    pub(crate) fn reply(&mut self, token: Token) -> Option<Reply> {
        self.replies.remove(&token)
    }

    pub(crate) fn joined(&mut self, token: Token) -> JoinReply {
        match self.reply(token) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("expected the answer to a join, not {other:?}"),
        }
    }

    pub(crate) fn synced(&mut self, token: Token) -> SyncReply {
        match self.reply(token) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("expected the answer to a sync, not {other:?}"),
        }
    }

    /// Gets a dynamic member its id.
    pub(crate) fn id(&mut self, protocols: &[(&str, &str)]) -> MemberId {
        let token = self.join(Self::request("", protocols));
        let reply = self.joined(token);
        assert_eq!(reply.error, ErrorCode::MEMBER_ID_REQUIRED);
        reply.member_id
    }

    /// A stable group of `count` dynamic members; gives their ids, the leader's first, and the generation.
    pub(crate) fn stable(&mut self, count: usize) -> (Vec<MemberId>, i32) {
        let protocols = [("range", "sub")];
        let mut ids: Vec<MemberId> = Vec::new();
        let mut tokens = Vec::new();
        for _ in 0..count {
            // The new member starts a round, in which the earlier ones join again.
            ids.insert(0, self.id(&protocols));
            tokens = ids.iter().map(|id| self.join(Self::request(id, &protocols))).collect();
        }
        let replies: Vec<JoinReply> = tokens.into_iter().map(|token| self.joined(token)).collect();
        let generation = replies[0].generation;
        let leader = replies[0].leader.clone();
        ids.sort_by_key(|id| *id != leader);
        let assignments: Vec<(String, String)> =
            ids.iter().map(|id| (id.to_string(), format!("for {id}"))).collect();
        let assignments: Vec<(&str, &str)> =
            assignments.iter().map(|(id, bytes)| (&**id, &**bytes)).collect();
        for (at, id) in ids.clone().iter().enumerate() {
            let token = self.sync(id, generation, if at == 0 { &assignments } else { &[] });
            assert_eq!(self.synced(token).error, ErrorCode::NONE);
        }
        assert_eq!(self.state(), State::Stable);
        (ids, generation)
    }

    /// The assignment that a member gets told now.
    pub(crate) fn assignment(&mut self, member_id: &str, generation: i32) -> Arc<str> {
        let token = self.sync(member_id, generation, &[]);
        let reply = self.synced(token);
        assert_eq!(reply.error, ErrorCode::NONE);
        String::from_utf8_lossy(&reply.assignment).into()
    }
}
