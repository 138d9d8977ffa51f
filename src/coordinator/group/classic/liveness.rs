//! Clients that always go on, while members and the broker are killed at any step.
//!
//! They do as Kafka's Java consumer: a heartbeat a second from the answer to JoinGroup on, the same request again after a
//! lost connection, and a subscription that is never the same twice (as Kafka Streams'). Once nobody is killed any more,
//! the group has to be stable, with exactly those who live, when the sessions of the dead have run out: nothing may wait
//! for the rebalance timeout, which for some clients is five minutes.

use std::collections::{BTreeSet, HashMap};

use quipu_protocol::error_code::ErrorCode;

use super::model::Dice;
use super::{State, SyncRequest};
use crate::coordinator::group::sim::{REBALANCE_MS, SESSION_MS, Sim};
use crate::coordinator::group::{JoinReply, MemberId, Reply, Token};

const CLIENTS: usize = 4;
const SEEDS: u64 = 300;
/// So many things happen, a step or a kill each, before peace comes.
const STEPS: usize = 200;
/// How long a client takes for its next step, and heartbeats.
const TICK_MS: i64 = 250;
const HEARTBEAT_MS: i64 = 1_000;

/// A member may have joined just before it died, been elected leader, and be missed only then: two sessions, and a
/// little for the steps in between.
const PEACE_MS: i64 = 2 * SESSION_MS + 20 * TICK_MS;
const _: () = assert!(PEACE_MS < REBALANCE_MS);

#[derive(Debug, Clone)]
enum Phase {
    Out,
    Joining(Token),
    Joined(JoinReply),
    Syncing(Token, i32),
    Working(i32),
}

#[derive(Debug)]
struct Client {
    id: MemberId,
    phase: Phase,
    /// Counts its requests to join, which are all different if it is one of Kafka Streams.
    joins: usize,
    is_streams: bool,
    next_heartbeat: i64,
}

impl Client {
    fn new(is_streams: bool) -> Self {
        Self { id: "".into(), phase: Phase::Out, joins: 0, is_streams, next_heartbeat: 0 }
    }
}

struct World {
    sim: Sim,
    dice: Dice,
    clients: Vec<Client>,
    born: i64,
    silences: HashMap<MemberId, i64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let clients = (0..CLIENTS).map(|_| Client::new(dice.one_in(2))).collect();
        Self { sim: Sim::new(), dice, clients, born: 0, silences: HashMap::new() }
    }

    /// One client's step, a kill, or a while in which nothing happens.
    fn step(&mut self) {
        let at = self.dice.roll(CLIENTS as u64) as usize;
        match self.dice.roll(40) {
            0 => self.restart(),
            1 | 2 => self.replace(at),
            3..=8 => {
                let ms = [10, 100, 1_000, 4_000][self.dice.roll(4) as usize];
                self.pass(ms);
            }
            _ => self.act(at),
        }
    }

    /// The client is killed, and started again.
    fn replace(&mut self, at: usize) {
        if let Phase::Joining(token) | Phase::Syncing(token, _) = self.clients[at].phase
            && self.sim.is_parked(token)
        {
            self.sim.abandon(token);
        }
        self.clients[at] = Client::new(self.dice.one_in(2));
    }

    fn restart(&mut self) {
        self.note_silences();
        self.sim.restart_after(&self.silences);
        self.born = self.sim.now.tick;
        for client in &mut self.clients {
            // A lost answer to either request has the client join again.
            if let Phase::Joining(_) | Phase::Joined(_) | Phase::Syncing(..) = client.phase {
                client.phase = Phase::Out;
            }
        }
    }

    fn note_silences(&mut self) {
        let uptime = self.sim.now.tick - self.born;
        self.silences = self.sim.group.silences(uptime).map(|(id, ms)| (id.clone(), ms)).collect();
    }

    /// Time passes, in which heartbeats are sent.
    fn pass(&mut self, ms: i64) {
        let until = self.sim.now.tick + ms;
        while self.sim.now.tick < until {
            self.sim.pass(TICK_MS.min(until - self.sim.now.tick));
            for at in 0..CLIENTS {
                self.beat(at);
            }
        }
    }

    fn beat(&mut self, at: usize) {
        let now = self.sim.now.tick;
        let client = &mut self.clients[at];
        let generation = match &client.phase {
            Phase::Working(generation) | Phase::Syncing(_, generation) => *generation,
            Phase::Joined(joined) => joined.generation,
            Phase::Out | Phase::Joining(_) => return,
        };
        if now < client.next_heartbeat {
            return;
        }
        client.next_heartbeat = now + HEARTBEAT_MS;
        let id = client.id.clone();
        let answer = self.sim.heartbeat(&id, generation);
        // While it waits for its assignment the client leaves it to that request to tell it of an error.
        if answer != ErrorCode::NONE && !matches!(self.clients[at].phase, Phase::Syncing(..)) {
            self.refused(at, answer);
        }
    }

    fn act(&mut self, at: usize) {
        match self.clients[at].phase.clone() {
            Phase::Out => {
                let client = &mut self.clients[at];
                client.joins += usize::from(client.is_streams);
                let subscription = format!("sub-{}", client.joins);
                let request = Sim::request(&client.id.clone(), &[("range", &subscription)]);
                let token = self.sim.join(request);
                self.clients[at].phase = Phase::Joining(token);
            }
            Phase::Joining(token) => {
                let Some(Reply::Join(reply)) = self.sim.reply(token) else { return };
                match reply.error {
                    ErrorCode::NONE => {
                        self.clients[at].id = reply.member_id.clone();
                        self.clients[at].phase = Phase::Joined(reply);
                    }
                    ErrorCode::MEMBER_ID_REQUIRED => {
                        self.clients[at].id = reply.member_id;
                        self.clients[at].phase = Phase::Out;
                    }
                    error => self.refused(at, error),
                }
            }
            Phase::Joined(joined) => {
                let assignments =
                    joined.members.iter().map(|member| (member.id.clone(), bytes::Bytes::new())).collect();
                let token = self.sim.sync_with(SyncRequest {
                    member_id: self.clients[at].id.clone(),
                    instance_id: None,
                    generation: joined.generation,
                    protocol_type: joined.protocol_type.clone(),
                    protocol: joined.protocol.clone(),
                    assignments,
                });
                self.clients[at].phase = Phase::Syncing(token, joined.generation);
            }
            Phase::Syncing(token, generation) => {
                let Some(Reply::Sync(reply)) = self.sim.reply(token) else { return };
                match reply.error {
                    ErrorCode::NONE => self.clients[at].phase = Phase::Working(generation),
                    error => self.refused(at, error),
                }
            }
            Phase::Working(_) => {}
        }
    }

    fn refused(&mut self, at: usize, error: ErrorCode) {
        match error {
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => {}
            ErrorCode::UNKNOWN_MEMBER_ID => self.clients[at].id = "".into(),
            other => panic!("client {at} was told {other}"),
        }
        self.clients[at].phase = Phase::Out;
    }

    /// Nobody is killed any more: every client takes its steps, and the sessions of the dead run out.
    fn make_peace(&mut self) {
        let until = self.sim.now.tick + PEACE_MS;
        while self.sim.now.tick < until {
            for at in 0..CLIENTS {
                self.act(at);
            }
            self.pass(TICK_MS);
        }
        let live: BTreeSet<MemberId> = self.clients.iter().map(|client| client.id.clone()).collect();
        let members: BTreeSet<MemberId> = self.sim.group.classic.members.keys().cloned().collect();
        assert_eq!((self.sim.state(), members), (State::Stable, live), "{:?}", self.clients);
        let generation = self.sim.group.classic.generation;
        let is_working = |client: &Client| matches!(client.phase, Phase::Working(in_) if in_ == generation);
        assert!(self.clients.iter().all(is_working), "{:?}", self.clients);
    }
}

#[test]
fn g6_a_group_comes_to_rest_once_nobody_is_killed_any_more() {
    for seed in 1..=SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.make_peace();
        });
        assert!(run.is_ok(), "seed {seed} failed");
    }
}
