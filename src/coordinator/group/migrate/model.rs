//! Random members of both protocols in one group, which so turns from the one kind into the other and back. Whatever they
//! do, no two of them read a partition and may commit for it (G8), the log tells the whole state, compacted or not, and
//! once they behave the group settles with every partition read by one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use quipu_protocol::error_code::ErrorCode;

use crate::coordinator::assign::Partitions;
use crate::coordinator::group::classic::{JoinRequest, Protocol, State, SyncRequest};
use crate::coordinator::group::consumer::Beat;
use crate::coordinator::group::embedded::{Embedded, read_assignment, subscription, write_assignment};
use crate::coordinator::group::sim::Sim;
use crate::coordinator::group::{GroupKind, JoinReply, Reply, Token};

const PARTITIONS: i32 = 6;

#[derive(Debug, Clone)]
enum Move {
    /// Comes: with the consumer protocol or the classic one.
    Come(u8, bool),
    Act(u8),
    /// Does what it does, and never sees the answer.
    LoseAnswer(u8),
    Leave(u8),
    /// Stops for good without a word.
    Die(u8),
    Pass(u16),
    Restart,
}

fn moves() -> impl Strategy<Value = Move> {
    let member = 0..5u8;
    prop_oneof![
        4 => (member.clone(), any::<bool>()).prop_map(|(at, is_new)| Move::Come(at, is_new)),
        20 => member.clone().prop_map(Move::Act),
        1 => member.clone().prop_map(Move::LoseAnswer),
        2 => member.clone().prop_map(Move::Leave),
        1 => member.prop_map(Move::Die),
        2 => (0..9_000u16).prop_map(Move::Pass),
        1 => Just(Move::Restart),
    ]
}

/// A member of the consumer protocol, as the client is.
#[derive(Debug, Clone, Default)]
struct New {
    id: String,
    epoch: i32,
    told: BTreeSet<i32>,
    full: bool,
}

#[derive(Debug, Clone)]
enum Phase {
    Out,
    Joining(Token),
    Joined(JoinReply),
    Syncing(Token),
    Working,
}

/// One of the classic protocol.
#[derive(Debug, Clone)]
struct Old {
    id: String,
    generation: i32,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Speaks {
    New(New),
    Old(Old),
}

#[derive(Debug, Clone)]
struct Client {
    speaks: Speaks,
    reads: BTreeSet<i32>,
}

struct World {
    sim: Sim,
    clients: BTreeMap<u8, Client>,
    /// Members of the classic protocol keep what they have over a round of joins.
    is_cooperative: bool,
    made: u32,
}

impl World {
    fn new(is_cooperative: bool) -> Self {
        Self { sim: Sim::over(PARTITIONS), clients: BTreeMap::new(), is_cooperative, made: 0 }
    }

    fn partitions(&self, numbers: &BTreeSet<i32>) -> Partitions {
        numbers.iter().map(|&number| (self.sim.topic("t"), number)).collect()
    }

    fn come(&mut self, at: u8, is_new: bool) {
        if self.clients.contains_key(&at) {
            return;
        }
        self.made += 1;
        let speaks = if is_new {
            Speaks::New(New { id: format!("new-{}", self.made), ..New::default() })
        } else {
            Speaks::Old(Old { id: String::new(), generation: -1, phase: Phase::Out })
        };
        self.clients.insert(at, Client { speaks, reads: BTreeSet::new() });
        self.act(at, false);
    }

    fn act(&mut self, at: u8, is_lost: bool) {
        let Some(mut client) = self.clients.remove(&at) else { return };
        match &mut client.speaks {
            Speaks::New(new) => self.beat(new, &mut client.reads, is_lost),
            Speaks::Old(old) => self.act_old(old, &mut client.reads, is_lost),
        }
        self.clients.insert(at, client);
    }

    fn beat(&mut self, new: &mut New, reads: &mut BTreeSet<i32>, is_lost: bool) {
        // It gives up what it no longer has to read when it comes to it, which is now.
        reads.retain(|partition| new.told.contains(partition));
        let joins = new.epoch == 0;
        let full = joins || new.full;
        let beat = Beat {
            topics: full.then(|| vec!["t".into()]),
            rebalance_timeout_ms: if full { 30_000 } else { -1 },
            owned: Some(self.partitions(reads)),
            ..Sim::quiet(&new.id, new.epoch)
        };
        let answer = self.sim.beat(beat);
        if is_lost {
            new.full = !joins;
            return;
        }
        match answer {
            Ok(reply) => {
                new.full = false;
                new.epoch = reply.epoch;
                if let Some(told) = reply.assignment {
                    new.told = told.iter().map(|(_, partition)| partition).collect();
                    reads.extend(&new.told);
                }
            }
            Err(
                ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::GROUP_ID_NOT_FOUND,
            ) => {
                reads.clear();
                new.told.clear();
                new.epoch = 0;
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn act_old(&mut self, old: &mut Old, reads: &mut BTreeSet<i32>, is_lost: bool) {
        match old.phase.clone() {
            Phase::Out => {
                if !self.is_cooperative {
                    reads.clear();
                }
                let owned: Vec<i32> = reads.iter().copied().collect();
                let owned: &[(&str, &[i32])] = if owned.is_empty() { &[] } else { &[("t", &owned)] };
                let metadata = subscription(1, &["t"], owned);
                let protocols = vec![Protocol { name: "some".into(), metadata }];
                let request = JoinRequest { protocols, ..Sim::request(&old.id, &[]) };
                let token = self.sim.join(request);
                if is_lost && self.sim.is_parked(token) {
                    self.sim.abandon(token);
                } else if !is_lost {
                    old.phase = Phase::Joining(token);
                }
            }
            Phase::Joining(token) => {
                let Some(Reply::Join(reply)) = self.sim.reply(token) else { return };
                match reply.error {
                    ErrorCode::NONE => {
                        old.id = reply.member_id.to_string();
                        old.generation = reply.generation;
                        old.phase = Phase::Joined(reply);
                    }
                    ErrorCode::MEMBER_ID_REQUIRED => {
                        old.id = reply.member_id.to_string();
                        old.phase = Phase::Out;
                    }
                    error => Self::lost(old, reads, error),
                }
            }
            Phase::Joined(reply) => {
                let assignments =
                    if reply.leader == reply.member_id { self.assign(&reply) } else { Vec::new() };
                let request = SyncRequest {
                    protocol: reply.protocol.clone(),
                    assignments,
                    ..Sim::syncing(&old.id, reply.generation, &[])
                };
                let token = self.sim.sync_with(request);
                if is_lost {
                    old.phase = Phase::Out;
                    if self.sim.is_parked(token) {
                        self.sim.abandon(token);
                    }
                } else {
                    old.phase = Phase::Syncing(token);
                }
            }
            Phase::Syncing(token) => {
                let Some(Reply::Sync(reply)) = self.sim.reply(token) else { return };
                if reply.error != ErrorCode::NONE {
                    Self::lost(old, reads, reply.error);
                    return;
                }
                let told = read_assignment(&reply.assignment).expect("an assignment").partitions;
                let told: BTreeSet<i32> = told.into_iter().flat_map(|(_, partitions)| partitions).collect();
                let has_revoked = reads.iter().any(|partition| !told.contains(partition));
                *reads = told;
                // A cooperative member that has given something up joins again, so that somebody else gets it.
                old.phase = if has_revoked { Phase::Out } else { Phase::Working };
            }
            Phase::Working => match self.sim.heartbeat(&old.id, old.generation) {
                ErrorCode::NONE => {}
                error => Self::lost(old, reads, error),
            },
        }
    }

    fn lost(old: &mut Old, reads: &mut BTreeSet<i32>, error: ErrorCode) {
        match error {
            ErrorCode::REBALANCE_IN_PROGRESS => {}
            ErrorCode::ILLEGAL_GENERATION => reads.clear(),
            ErrorCode::UNKNOWN_MEMBER_ID => {
                old.id.clear();
                reads.clear();
            }
            other => panic!("a classic member was told {other}"),
        }
        old.phase = Phase::Out;
    }

    /// What a leader gives: each partition to the next member in turn, but nothing that somebody else still has.
    fn assign(&self, reply: &JoinReply) -> Vec<(crate::coordinator::group::MemberId, Bytes)> {
        let owned: Vec<BTreeSet<i32>> = reply
            .members
            .iter()
            .map(|member| {
                let said = Embedded::read(&member.metadata).expect("a subscription");
                said.owned.into_iter().flat_map(|(_, partitions)| partitions).collect()
            })
            .collect();
        let given = reply.members.iter().enumerate().map(|(at, member)| {
            let mine = (0..PARTITIONS).filter(|&partition| {
                let others =
                    owned.iter().enumerate().any(|(other, has)| other != at && has.contains(&partition));
                partition as usize % reply.members.len() == at && !others
            });
            let partitions = self.partitions(&mine.collect());
            (member.id.clone(), write_assignment(1, &partitions, &self.sim.topics))
        });
        given.collect()
    }

    fn apply(&mut self, step: &Move) {
        match *step {
            Move::Come(at, is_new) => self.come(at, is_new),
            Move::Act(at) => self.act(at, false),
            Move::LoseAnswer(at) => self.act(at, true),
            Move::Leave(at) => match self.clients.remove(&at).map(|client| client.speaks) {
                Some(Speaks::New(new)) => {
                    let _ = self.sim.beat(Sim::quiet(&new.id, -1));
                }
                Some(Speaks::Old(old)) => {
                    self.abandon(&old);
                    let _ = self.sim.leave(&old.id, None);
                }
                None => {}
            },
            Move::Die(at) => {
                if let Some(Client { speaks: Speaks::Old(old), .. }) = self.clients.remove(&at) {
                    self.abandon(&old);
                }
            }
            Move::Pass(ms) => self.sim.pass(i64::from(ms)),
            Move::Restart => {
                self.sim.restart();
                for client in self.clients.values_mut() {
                    let Speaks::Old(old) = &mut client.speaks else { continue };
                    // Its connection broke: what was in flight is sent again.
                    if matches!(old.phase, Phase::Joining(_) | Phase::Syncing(_)) {
                        old.phase = Phase::Out;
                    }
                }
            }
        }
        self.check();
    }

    fn abandon(&mut self, old: &Old) {
        if let Phase::Joining(token) | Phase::Syncing(token) = old.phase
            && self.sim.is_parked(token)
        {
            self.sim.abandon(token);
        }
    }

    /// Whether what the client commits now would be taken.
    fn may_commit(&self, client: &Client) -> bool {
        let group = &self.sim.group;
        match (&client.speaks, group.kind()) {
            (Speaks::New(new), GroupKind::Consumer) => {
                let view = group.consumer.view(Default::default());
                view.members.iter().any(|member| {
                    let current = &member.current;
                    *member.id == *new.id && [current.epoch, current.previous_epoch].contains(&new.epoch)
                })
            }
            (Speaks::New(_), GroupKind::Classic) => false,
            (Speaks::Old(old), GroupKind::Consumer) => {
                let view = group.consumer.view(Default::default());
                view.members.iter().any(|it| *it.id == *old.id && it.current.epoch == old.generation)
            }
            (Speaks::Old(old), GroupKind::Classic) => {
                group.classic.members().contains_key(&*old.id)
                    && group.classic.generation() == old.generation
                    && group.classic.state() != State::CompletingRebalance
            }
        }
    }

    fn check(&self) {
        let mut readers: BTreeMap<i32, u8> = BTreeMap::new();
        for (&at, client) in &self.clients {
            if !self.may_commit(client) {
                continue;
            }
            for &partition in &client.reads {
                let before = readers.insert(partition, at);
                assert_eq!(before, None, "{partition} is also read by {at}: {:?}", self.clients);
            }
        }
    }

    /// Everybody behaves from now on: soon all is read, and by one each.
    fn settle(&mut self) {
        for _ in 0..120 {
            for at in self.clients.keys().copied().collect::<Vec<_>>() {
                self.apply(&Move::Act(at));
            }
            self.sim.pass(1_000);
        }
        if self.clients.is_empty() {
            return;
        }
        let mut read: Vec<i32> = self.clients.values().flat_map(|client| client.reads.clone()).collect();
        read.sort_unstable();
        let all: Vec<i32> = (0..PARTITIONS).collect();
        assert_eq!(read, all, "{} {:?}", self.sim.group.state_name(), self.clients);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn g8_no_two_members_of_either_protocol_read_a_partition(
        is_cooperative in any::<bool>(),
        moves in prop::collection::vec(moves(), 1..120),
    ) {
        let mut world = World::new(is_cooperative);
        for step in &moves {
            world.apply(step);
        }
        let compacted = world.sim.compacted();
        prop_assert_eq!(compacted.consumer.kept(), world.sim.group.consumer.kept());
        prop_assert_eq!(compacted.kept(), world.sim.group.kept());
        world.settle();
    }
}
