//! A driver for tests: one group, some topics, a log in memory, time by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::{Beat, BeatReply, Refused};
use crate::coordinator::assign::Partitions;
use crate::coordinator::doors::TopicLookup;
use crate::coordinator::group::{Group, Record, Step};
use crate::coordinator::settings::GroupSettings;
use crate::coordinator::{Now, records};

/// Rebalance timeout of [`Sim::join`].
pub(super) const REBALANCE_MS: i32 = 30_000;

#[derive(Default)]
pub(super) struct Topics {
    by_name: BTreeMap<Arc<str>, (Uuid, i32)>,
    version: i64,
}

impl Topics {
    pub(super) fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        let id = Uuid([self.version as u8; 16]);
        let entry = self.by_name.entry(name.into()).or_insert((id, partitions));
        entry.1 = partitions;
    }

    pub(super) fn remove(&mut self, name: &str) {
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

pub(super) struct Sim {
    pub(super) group: Group,
    pub(super) topics: Topics,
    pub(super) log: Vec<Record>,
    pub(super) now: Now,
    pub(super) settings: GroupSettings,
    /// Fails every append while set.
    pub(super) broken: bool,
}

impl Sim {
    /// A group over topic `t` with this many partitions.
    pub(super) fn new(partitions: i32) -> Self {
        let mut topics = Topics::default();
        topics.set("t", partitions);
        Self {
            group: Group::new("g".into()),
            topics,
            log: Vec::new(),
            now: Now { tick: 1_000, wall: 1_700_000_000_000 },
            settings: GroupSettings::default(),
            broken: false,
        }
    }

    pub(super) fn beat(&mut self, beat: Beat) -> Result<BeatReply, ErrorCode> {
        self.try_beat(beat).map_err(|refused| refused.code)
    }

    pub(super) fn try_beat(&mut self, beat: Beat) -> Result<BeatReply, Refused> {
        let times = self.settings.consumer;
        let (reply, step) =
            self.group.consumer_heartbeat(self.now, &beat, &self.topics, &self.settings, &times)?;
        self.advance(step);
        Ok(reply)
    }

    pub(super) fn advance(&mut self, mut step: Step) {
        loop {
            let appended = if self.broken { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(()) };
            if appended.is_ok() {
                self.log.extend(step.records.iter().cloned());
            }
            step = self.group.settle(self.now, step, appended);
            if step.records.is_empty() {
                break;
            }
        }
        assert_eq!(self.replayed().consumer.kept(), self.group.consumer.kept());
    }

    /// The group as its log tells it, through the stored form.
    pub(super) fn replayed(&self) -> Group {
        let mut group = Group::new("g".into());
        for record in &self.log {
            let stored = records::encode("g", record).expect("fits");
            let (_, record) =
                records::decode(&stored.key, stored.value.as_deref()).expect("reads").expect("ours");
            group.replay(&record);
        }
        group
    }

    /// The group as its log tells it after a compaction: the last record of each key, in order.
    pub(super) fn compacted(&self) -> Group {
        let stored: Vec<_> =
            self.log.iter().map(|record| records::encode("g", record).expect("fits")).collect();
        let mut group = Group::new("g".into());
        for (at, record) in stored.iter().enumerate() {
            if stored[at + 1..].iter().any(|later| later.key == record.key) {
                continue;
            }
            let (_, record) =
                records::decode(&record.key, record.value.as_deref()).expect("reads").expect("ours");
            group.replay(&record);
        }
        group
    }

    pub(super) fn restart(&mut self) {
        self.group = self.replayed();
        self.group.restore(self.now, &self.settings.consumer, |_| 0);
    }

    /// Lets time pass, firing each timer at its own moment.
    pub(super) fn pass(&mut self, ms: i64) {
        let end = self.now.tick + ms;
        while let Some(at) = self.group.next_deadline().filter(|&at| at <= end) {
            let step_ms = at.max(self.now.tick) - self.now.tick;
            self.now = Now { tick: self.now.tick + step_ms, wall: self.now.wall + step_ms };
            let step = self.group.expire(self.now, &self.settings);
            self.advance(step);
        }
        let rest = end - self.now.tick;
        self.now = Now { tick: end, wall: self.now.wall + rest };
    }

    pub(super) fn topic(&self, name: &str) -> Uuid {
        self.topics.id_of(name).expect("a topic")
    }

    /// A request to join that subscribes to `t`.
    pub(super) fn joining(id: &str) -> Beat {
        Beat {
            member_id: id.into(),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: REBALANCE_MS,
            topics: Some(vec!["t".into()]),
            owned: Some(Partitions::default()),
            ..Beat::default()
        }
    }

    /// The heartbeat of a member that has nothing to say.
    pub(super) fn quiet(id: &str, epoch: i32) -> Beat {
        Beat {
            member_id: id.into(),
            epoch,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: -1,
            ..Beat::default()
        }
    }

    pub(super) fn owning(id: &str, epoch: i32, owned: &Partitions) -> Beat {
        Beat { owned: Some(owned.clone()), ..Self::quiet(id, epoch) }
    }

    pub(super) fn join(&mut self, id: &str) -> BeatReply {
        self.beat(Self::joining(id)).expect("joins")
    }
}
