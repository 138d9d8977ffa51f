//! Random clients against one group.
//!
//! Clients come with and without instance ids, old and new, sync, heartbeat, commit, change their subscription, leave,
//! die with or without a word, while time jumps, appends fail and the broker restarts. What must hold at every step:
//!
//! - each parked request is answered at most once, and exactly once if its connection lives (checked by the driver);
//! - everybody who joined a generation got the same protocol and leader, and only the leader got the members;
//! - everybody who synced in a generation got what the leader gave it;
//! - only who was last told that it owns the partition in the current generation can commit for it (G8);
//! - replaying the log gives the kept state (checked by the driver).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::{JoinRequest, State, SyncRequest};
use crate::coordinator::group::sim::Sim;
use crate::coordinator::group::{JoinReply, MemberId, Reply, Token};

const CLIENTS: usize = 6;
const STEPS: usize = 400;
const SEEDS: u64 = 150;

/// xorshift64*: small, and the same everywhere.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Debug, Clone)]
enum Phase {
    Out,
    Joining(Token),
    Joined(JoinReply),
    Syncing(Token, JoinReply),
    Working(i32),
}

#[derive(Debug)]
struct Client {
    instance_id: Option<Arc<str>>,
    is_old: bool,
    id: MemberId,
    subscription: String,
    phase: Phase,
}

/// What a generation agreed on, as far as it was told to anybody.
#[derive(Debug, Default)]
struct Agreed {
    protocol: Option<Arc<str>>,
    /// Members' instance ids count, as a static member's id may change within a generation.
    leader: Option<Arc<str>>,
    given: HashMap<Arc<str>, Bytes>,
    /// The assignment that was told, per member.
    told: HashMap<Arc<str>, Bytes>,
}

struct World {
    sim: Sim,
    dice: Dice,
    clients: Vec<Client>,
    agreed: BTreeMap<i32, Agreed>,
    /// Id → instance id, so that a static member is one whatever its id.
    who: HashMap<MemberId, Arc<str>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut sim = Sim::new();
        sim.settings.initial_rebalance_delay_ms = [0, 0, 3_000][dice.roll(3) as usize];
        sim.settings.members_max = 3 + dice.roll(6) as usize;
        let clients = (0..CLIENTS)
            .map(|at| Client {
                instance_id: dice.one_in(3).then(|| format!("instance-{at}").into()),
                is_old: dice.one_in(4),
                id: "".into(),
                subscription: "sub".into(),
                phase: Phase::Out,
            })
            .collect();
        Self { sim, dice, clients, agreed: BTreeMap::new(), who: HashMap::new() }
    }

    fn name(&self, id: &MemberId) -> Arc<str> {
        self.who.get(id).unwrap_or(id).clone()
    }

    fn step(&mut self) {
        match self.dice.roll(40) {
            0 => {
                self.sim.broken = [None, Some(ErrorCode::NOT_COORDINATOR)][self.dice.roll(2) as usize];
            }
            1 if self.dice.one_in(4) => self.restart(),
            2..=5 => {
                let ms = [1, 100, 3_000, 9_000, 61_000][self.dice.roll(5) as usize];
                self.sim.pass(ms);
            }
            _ => {
                let at = self.dice.roll(CLIENTS as u64) as usize;
                self.act(at);
            }
        }
        for at in 0..CLIENTS {
            self.hear(at);
        }
    }

    fn restart(&mut self) {
        self.sim.restart();
        for client in &mut self.clients {
            // Its connection broke: what was in flight is sent again.
            match client.phase.clone() {
                Phase::Joining(_) => client.phase = Phase::Out,
                Phase::Syncing(_, joined) => client.phase = Phase::Joined(joined),
                Phase::Out | Phase::Joined(_) | Phase::Working(_) => {}
            }
        }
        // What nobody was told of may be told anew, under the same number.
        let current = self.sim.group.kept().0.map_or(0, |generation| generation.id);
        self.agreed.retain(|&generation, _| generation <= current);
    }

    fn act(&mut self, at: usize) {
        match self.clients[at].phase.clone() {
            Phase::Out => self.join(at),
            Phase::Joining(token) | Phase::Syncing(token, _) => {
                if self.dice.one_in(10) {
                    self.sim.abandon(token);
                    self.clients[at].phase = Phase::Out;
                    if self.dice.one_in(2) {
                        self.clients[at].id = "".into();
                    }
                }
            }
            Phase::Joined(joined) => self.sync(at, joined),
            Phase::Working(generation) => self.work(at, generation),
        }
    }

    fn join(&mut self, at: usize) {
        let client = &self.clients[at];
        let protocols = [("range", &*client.subscription), (["sticky", "rr"][at % 2], &*client.subscription)];
        let request = JoinRequest {
            instance_id: client.instance_id.clone(),
            must_know_id: !client.is_old,
            may_skip_assignment: !client.is_old,
            ..Sim::request(&client.id, &protocols)
        };
        self.clients[at].phase = Phase::Joining(self.sim.join(request));
    }

    fn sync(&mut self, at: usize, joined: JoinReply) {
        let assignments = joined
            .members
            .iter()
            .filter(|_| !joined.skip_assignment)
            .map(|member| (member.id.clone(), Bytes::from(format!("{}:{}", joined.generation, member.id))))
            .collect::<Vec<_>>();
        if joined.leader == joined.member_id && !joined.skip_assignment {
            let given = assignments.iter().map(|(id, bytes)| (self.name(id), bytes.clone())).collect();
            self.agreed.entry(joined.generation).or_default().given = given;
        }
        let token = self.sim.sync_with(SyncRequest {
            member_id: self.clients[at].id.clone(),
            instance_id: self.clients[at].instance_id.clone(),
            generation: joined.generation,
            protocol_type: joined.protocol_type.clone(),
            protocol: joined.protocol.clone(),
            assignments,
        });
        self.clients[at].phase = Phase::Syncing(token, joined);
    }

    fn work(&mut self, at: usize, generation: i32) {
        let id = self.clients[at].id.clone();
        match self.dice.roll(20) {
            0 => {
                let instance_id = self.clients[at].instance_id.clone();
                self.sim.leave(&id, instance_id.as_deref());
                self.forget(at);
            }
            1 => self.forget(at),
            2 => {
                self.clients[at].subscription = format!("sub-{}", self.dice.roll(3));
                self.clients[at].phase = Phase::Out;
            }
            3..=8 => match self.sim.commit(&id, generation, i64::from(generation)) {
                Ok(()) => {
                    let is_member = self.sim.group.classic.members.contains_key(&id);
                    assert!(is_member && self.sim.group.classic.generation == generation);
                }
                Err(ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::NOT_COORDINATOR) => {}
                Err(error) => self.lost(at, error),
            },
            _ => match self.sim.heartbeat(&id, generation) {
                ErrorCode::NONE => {}
                error => self.lost(at, error),
            },
        }
    }

    fn forget(&mut self, at: usize) {
        self.clients[at].id = "".into();
        self.clients[at].phase = Phase::Out;
    }

    fn lost(&mut self, at: usize, error: ErrorCode) {
        match error {
            ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::GROUP_MAX_SIZE_REACHED => self.clients[at].phase = Phase::Out,
            ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::INCONSISTENT_GROUP_PROTOCOL => self.forget(at),
            other => panic!("client {at} was told {other}"),
        }
    }

    /// Takes what a client is waiting for, if it has come.
    fn hear(&mut self, at: usize) {
        match self.clients[at].phase.clone() {
            Phase::Joining(token) => {
                let Some(Reply::Join(reply)) = self.sim.reply(token) else { return };
                self.hear_join(at, reply);
            }
            Phase::Syncing(token, joined) => {
                let Some(Reply::Sync(reply)) = self.sim.reply(token) else { return };
                if reply.error != ErrorCode::NONE {
                    self.lost(at, reply.error);
                    return;
                }
                let name = self.name(&self.clients[at].id);
                let agreed = self.agreed.entry(joined.generation).or_default();
                assert_eq!(reply.protocol, agreed.protocol);
                let told = agreed.told.entry(name.clone()).or_insert_with(|| reply.assignment.clone());
                assert_eq!(*told, reply.assignment, "{name} was told two things");
                if let Some(given) = agreed.given.get(&name) {
                    assert_eq!(*given, reply.assignment);
                }
                self.clients[at].phase = Phase::Working(joined.generation);
            }
            Phase::Out | Phase::Joined(_) | Phase::Working(_) => {}
        }
    }

    fn hear_join(&mut self, at: usize, reply: JoinReply) {
        match reply.error {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.clients[at].id = reply.member_id;
                self.clients[at].phase = Phase::Out;
                return;
            }
            error => {
                self.lost(at, error);
                return;
            }
        }
        if let Some(instance_id) = &self.clients[at].instance_id {
            self.who.insert(reply.member_id.clone(), instance_id.clone());
        }
        let leader = self.name(&reply.leader);
        let agreed = self.agreed.entry(reply.generation).or_default();
        let protocol = agreed.protocol.get_or_insert_with(|| reply.protocol.clone().expect("a protocol"));
        assert_eq!(Some(&*protocol), reply.protocol.as_ref());
        if self.who.contains_key(&reply.leader) || !reply.leader.starts_with("instance") {
            // A static leader whose first answer is still under way is not known by name yet.
            let agreed_leader = agreed.leader.get_or_insert_with(|| leader.clone());
            let is_static =
                self.who.values().any(|instance| instance == agreed_leader || *instance == leader);
            assert!(*agreed_leader == leader || is_static, "{agreed_leader} and {leader} lead");
        }
        if reply.members.is_empty() {
            let old_static = self.clients[at].is_old && self.clients[at].instance_id.is_some();
            assert!(reply.leader != reply.member_id || old_static, "a leader needs the members");
        } else {
            assert_eq!(reply.leader, reply.member_id, "only the leader gets the members");
            assert!(reply.members.iter().any(|member| member.id == reply.member_id));
        }
        self.clients[at].id = reply.member_id.clone();
        self.clients[at].phase = Phase::Joined(reply);
    }

    /// Lets everybody be, and sees that nothing stays parked and that the group comes to rest.
    fn settle(&mut self) {
        self.sim.broken = None;
        self.sim.pass(20 * 60 * 1000);
        assert_eq!(self.sim.parked(), 0, "requests were left without an answer");
        assert_eq!(self.sim.state(), State::Empty);
        assert_eq!(self.sim.group.next_deadline(), None);
    }
}

#[test]
fn random_clients_agree() {
    for seed in 1..=SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
        });
        assert!(run.is_ok(), "seed {seed} failed");
    }
}
