//! Random members against the group. Whatever they do, no two of them read a partition at the same time, the log tells
//! the whole state, compacted or not, and once they behave the group settles with every partition read.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::{Beat, ConsumerState};
use crate::coordinator::assign::Partitions;
use crate::coordinator::group::Committer;
use crate::coordinator::group::sim::Sim;

#[derive(Debug, Clone)]
enum Move {
    /// Joins, or joins again after having been fenced.
    Join(u8),
    /// Heartbeats; says what it has, if it does.
    Beat(u8, bool),
    /// Heartbeats, and never sees the answer.
    LoseAnswer(u8),
    /// Gives up what it was told to.
    Revoke(u8),
    /// Subscribes to these topics.
    Subscribe(u8, u8),
    Leave(u8),
    /// Stops for good without a word.
    Die(u8),
    Pass(u16),
    Grow(u8),
    Restart,
}

fn moves() -> impl Strategy<Value = Move> {
    let member = 0..5u8;
    prop_oneof![
        4 => member.clone().prop_map(Move::Join),
        8 => (member.clone(), any::<bool>()).prop_map(|(at, says)| Move::Beat(at, says)),
        2 => member.clone().prop_map(Move::LoseAnswer),
        6 => member.clone().prop_map(Move::Revoke),
        2 => (member.clone(), 0..8u8).prop_map(|(at, topics)| Move::Subscribe(at, topics)),
        1 => member.clone().prop_map(Move::Leave),
        1 => member.prop_map(Move::Die),
        3 => (0..20_000u16).prop_map(Move::Pass),
        1 => (0..3u8).prop_map(Move::Grow),
        1 => Just(Move::Restart),
    ]
}

/// A member as the client is: what it was told last, and what it still reads.
#[derive(Debug, Clone)]
struct Client {
    id: String,
    epoch: i32,
    told: Partitions,
    reads: Partitions,
    /// Until when, at most, it may believe that it is a member.
    session_until: i64,
    /// The last answer was lost or an error: say everything next.
    full: bool,
    topics: u8,
}

const NAMES: [&str; 3] = ["t", "u", "v"];

fn names(topics: u8) -> Vec<std::sync::Arc<str>> {
    (0..3).filter(|bit| topics & (1 << bit) != 0).map(|bit| NAMES[bit].into()).collect()
}

struct World {
    sim: Sim,
    clients: BTreeMap<u8, Client>,
    sizes: [i32; 3],
    made: u32,
}

impl World {
    fn new() -> Self {
        let mut sim = Sim::over(3);
        sim.topics.set("u", 2);
        sim.topics.set("v", 1);
        Self { sim, clients: BTreeMap::new(), sizes: [3, 2, 1], made: 0 }
    }

    fn join(&mut self, at: u8) {
        if self.clients.contains_key(&at) {
            return;
        }
        self.made += 1;
        let client = Client {
            id: format!("m{}", self.made),
            epoch: 0,
            told: Partitions::default(),
            reads: Partitions::default(),
            session_until: i64::MAX,
            full: false,
            topics: 7,
        };
        self.clients.insert(at, client);
        self.beat(at, true, false);
    }

    fn beat(&mut self, at: u8, says: bool, lost: bool) {
        let Some(client) = self.clients.get(&at).cloned() else { return };
        let joins = client.epoch == 0;
        let full = joins || client.full;
        let beat = Beat {
            topics: full.then(|| names(client.topics)),
            rebalance_timeout_ms: if full { 30_000 } else { -1 },
            owned: (full || says).then(|| client.reads.clone()),
            ..Sim::quiet(&client.id, client.epoch)
        };
        let answer = self.sim.beat(beat);
        let client = self.clients.get_mut(&at).expect("it is there");
        if lost {
            client.full = !joins;
            return;
        }
        match answer {
            Ok(reply) => {
                client.full = false;
                client.epoch = reply.epoch;
                client.session_until = self.sim.now.tick + 45_000;
                if let Some(told) = reply.assignment {
                    // It takes new partitions at once, and gives up old ones when it comes to it.
                    for (topic, partition) in told.iter() {
                        client.reads.insert(topic, partition);
                    }
                    client.told = told;
                }
            }
            Err(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH) => {
                // Stops reading, then joins again.
                client.reads = Partitions::default();
                client.told = Partitions::default();
                client.epoch = 0;
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn apply(&mut self, step: &Move) {
        match *step {
            Move::Join(at) => self.join(at),
            Move::Beat(at, says) => self.beat(at, says, false),
            Move::LoseAnswer(at) => self.beat(at, true, true),
            Move::Revoke(at) => {
                if let Some(client) = self.clients.get_mut(&at) {
                    client.reads = client.told.clone();
                    self.beat(at, true, false);
                }
            }
            Move::Subscribe(at, topics) => {
                if let Some(client) = self.clients.get_mut(&at) {
                    client.topics = topics;
                    client.full = true;
                    self.beat(at, true, false);
                }
            }
            Move::Leave(at) => {
                if let Some(client) = self.clients.remove(&at) {
                    let _ = self.sim.beat(Sim::quiet(&client.id, -1));
                }
            }
            Move::Die(at) => {
                self.clients.remove(&at);
            }
            Move::Pass(ms) => self.sim.pass(i64::from(ms)),
            Move::Grow(topic) => {
                let size = &mut self.sizes[usize::from(topic)];
                *size += 1;
                self.sim.topics.set(NAMES[usize::from(topic)], *size);
            }
            Move::Restart => self.sim.restart(),
        }
        self.check();
    }

    /// No partition is in two members' hands. A client that the group no longer knows, and has not heard of that yet,
    /// may still read, but can commit nothing.
    fn check(&self) {
        let group = &self.sim.group.consumer;
        let mut readers: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for client in self.clients.values() {
            let Some(member) = group.members.get(client.id.as_str()) else { continue };
            if member.current.epoch != client.epoch && member.current.previous_epoch != client.epoch {
                continue;
            }
            let committer = Committer {
                member_id: client.id.as_str().into(),
                instance_id: None,
                generation: client.epoch,
            };
            let admitted = group.admit_commit(&committer, true).expect("in its epoch or the one before");
            for partition in client.reads.iter() {
                assert_eq!(admitted.check(partition.0, partition.1), Ok(()), "it may commit what it reads");
                let before = readers.insert(partition, &client.id);
                assert_eq!(before, None, "{partition:?} is also read by {}", client.id);
            }
        }
        let mut owned = Partitions::default();
        for member in group.members.values() {
            for (topic, partition) in member.current.assigned.iter().chain(member.current.revoking.iter()) {
                assert!(owned.insert(topic, partition), "two owners of {partition}");
            }
        }
        assert_eq!(owned.len(), group.owners.len());
    }

    /// Everybody behaves from now on: soon all is assigned, and nothing moves any more.
    fn settle(&mut self) {
        self.sim.pass(50_000);
        for _ in 0..30 {
            for at in self.clients.keys().copied().collect::<Vec<_>>() {
                self.apply(&Move::Revoke(at));
            }
        }
        let group = &self.sim.group.consumer;
        if self.clients.is_empty() {
            assert!(group.is_empty());
            return;
        }
        assert_eq!(group.state(), ConsumerState::Stable);
        let wanted: i32 = (0..3)
            .filter(|bit| self.clients.values().any(|client| client.topics & (1 << bit) != 0))
            .map(|bit| self.sizes[bit])
            .sum();
        let read: usize = self.clients.values().map(|client| client.reads.len()).sum();
        assert_eq!(read as i32, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn g8_no_two_members_read_a_partition(moves in prop::collection::vec(moves(), 1..60)) {
        let mut world = World::new();
        for step in &moves {
            world.apply(step);
        }
        let group = world.sim.compacted();
        prop_assert_eq!(group.consumer.kept(), world.sim.group.consumer.kept());
        world.settle();
    }
}
