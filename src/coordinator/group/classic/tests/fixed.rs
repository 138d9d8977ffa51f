//! Static members (G4).

use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::classic::{State, SyncRequest};
use crate::coordinator::group::sim::{REBALANCE_MS, SESSION_MS, Sim};
use crate::coordinator::group::{Committer, MemberId};

/// A stable group of static members `a` and `b`; gives their ids, the leader's first.
fn stable_static(sim: &mut Sim) -> ([(&'static str, MemberId); 2], i32) {
    sim.settings.initial_rebalance_delay_ms = 10;
    let tokens = ["a", "b"].map(|instance| sim.join(Sim::fixed("", instance, RANGE)));
    sim.pass(20);
    let replies = tokens.map(|token| sim.joined(token));
    let generation = replies[0].generation;
    let leader = replies[0].leader.clone();
    let mut ids = ["a", "b"];
    let mut members = [0, 1].map(|at| (ids[at], replies[at].member_id.clone()));
    if members[1].1 == leader {
        members.swap(0, 1);
        ids.swap(0, 1);
    }
    let [(_, one), (_, two)] = &members;
    let token = sim.sync(one, generation, &[(one, "for leader"), (two, "for follower")]);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    assert_eq!(&*sim.assignment(two, generation), "for follower");
    sim.settings.initial_rebalance_delay_ms = 0;
    (members, generation)
}

#[test]
fn g4_a_static_member_comes_back_to_its_assignment_without_a_rebalance_and_fences_its_old_self() {
    let mut sim = Sim::new();
    let ([_, (instance, old)], generation) = stable_static(&mut sim);
    let token = sim.join(Sim::fixed("", instance, RANGE));
    let reply = sim.joined(token);
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, generation));
    assert!(!reply.skip_assignment && reply.members.is_empty());
    assert_ne!(reply.member_id, old);
    assert_eq!(sim.state(), State::Stable);
    assert_eq!(&*sim.assignment(&reply.member_id, generation), "for follower");

    let classic = &mut sim.group.classic;
    let fenced = ErrorCode::FENCED_INSTANCE_ID;
    assert_eq!(classic.heartbeat(sim.now, &old, Some(instance), generation), fenced);
    assert_eq!(sim.heartbeat(&old, generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let token = sim.join(Sim::fixed(&old, instance, RANGE));
    assert_eq!(sim.joined(token).error, fenced);
    let token = sim.sync_with(SyncRequest {
        member_id: old.clone(),
        instance_id: Some(instance.into()),
        generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    });
    assert_eq!(sim.synced(token).error, fenced);
    assert_eq!(sim.leave(&old, Some(instance)), fenced);
    let committer = Committer { member_id: old, instance_id: Some(instance.into()), generation };
    assert_eq!(sim.group.classic.admit_commit(sim.now, &committer), Err(fenced));
    // The new id is what a restart finds.
    sim.restart();
    assert_eq!(sim.heartbeat(&reply.member_id, generation), ErrorCode::NONE);
}

#[test]
fn g4_a_static_leader_that_comes_back_need_not_assign() {
    let mut sim = Sim::new();
    let ([(instance, old), _], generation) = stable_static(&mut sim);
    let token = sim.join(Sim::fixed("", instance, RANGE));
    let reply = sim.joined(token);
    assert!(reply.skip_assignment);
    assert_eq!((reply.generation, reply.members.len()), (generation, 2));
    assert_eq!(reply.leader, reply.member_id);

    let mut request = Sim::fixed("", instance, RANGE);
    request.may_skip_assignment = false;
    let token = sim.join(request);
    let again = sim.joined(token);
    assert!(!again.skip_assignment && again.members.is_empty());
    assert_eq!(again.leader, reply.member_id, "an old client is not told that it leads");
    assert_ne!(again.leader, old);
}

#[test]
fn g4_a_static_member_that_changes_its_protocol_causes_a_rebalance() {
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = 10;
    let both: &[(&str, &str)] = &[("range", "r"), ("sticky", "s")];
    let tokens = ["a", "b"].map(|instance| sim.join(Sim::fixed("", instance, both)));
    sim.pass(20);
    let replies = tokens.map(|token| sim.joined(token));
    let leader = replies[0].leader.clone();
    let token = sim.sync(&leader, 1, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    let token = sim.join(Sim::fixed("", "b", &[("sticky", "s")]));
    assert!(sim.is_parked(token));
    assert_eq!(sim.state(), State::PreparingRebalance);
}

#[test]
fn g4_a_static_member_that_comes_back_while_the_leader_assigns_starts_over() {
    let mut sim = Sim::new();
    let ([(_, leader), (instance, old)], generation) = stable_static(&mut sim);
    let lead = sim.join(Sim::request(&leader, RANGE));
    let follow = sim.join(Sim::request(&old, RANGE));
    assert_eq!(sim.joined(lead).generation, generation + 1);
    assert_eq!(sim.joined(follow).generation, generation + 1);
    let waiting = sim.sync(&old, generation + 1, &[]);
    let token = sim.join(Sim::fixed("", instance, RANGE));
    assert_eq!(sim.synced(waiting).error, ErrorCode::FENCED_INSTANCE_ID);
    assert!(sim.is_parked(token));
    let lead = sim.join(Sim::request(&leader, RANGE));
    assert_eq!(sim.joined(token).generation, generation + 2);
    assert_eq!(sim.joined(lead).generation, generation + 2);
}

#[test]
fn g4_a_static_member_that_joins_twice_fences_the_first() {
    let mut sim = Sim::new();
    let ([(_, leader), (instance, old)], generation) = stable_static(&mut sim);
    sim.join(Sim::request(&leader, &[("range", "changed")]));
    let first = sim.join(Sim::fixed(&old, instance, RANGE));
    // The round is over: both are there.
    assert_eq!(sim.joined(first).generation, generation + 1);
    sim.join(Sim::request(&leader, &[("range", "changed again")]));
    assert_eq!(sim.state(), State::PreparingRebalance);
    let pending = sim.id(RANGE);
    let second = sim.join(Sim::fixed(&old, instance, RANGE));
    assert!(sim.is_parked(second), "{pending} holds up the round");
    let third = sim.join(Sim::fixed("", instance, RANGE));
    assert_eq!(sim.joined(second).error, ErrorCode::FENCED_INSTANCE_ID);
    sim.pass(SESSION_MS);
    assert_eq!(sim.joined(third).generation, generation + 2);
}

#[test]
fn g4_static_members_survive_a_round_that_they_miss_until_their_session_ends() {
    let mut sim = Sim::new();
    let ([(_, leader), (_, follower)], generation) = stable_static(&mut sim);
    sim.pass(SESSION_MS - 1);
    assert_eq!(sim.heartbeat(&follower, generation), ErrorCode::NONE);
    let mut request = Sim::request(&leader, RANGE);
    request.rebalance_timeout_ms = 10;
    let mut short = Sim::request(&follower, RANGE);
    short.rebalance_timeout_ms = 10;
    let one = sim.join(request.clone());
    let two = sim.join(short);
    assert_eq!(sim.joined(one).error, ErrorCode::NONE);
    assert_eq!(sim.joined(two).error, ErrorCode::NONE);
    let token = sim.join(Sim::request(&leader, &[("range", "changed")]));
    // Its own rebalance timeout is the longest again.
    sim.pass(REBALANCE_MS);
    let reply = sim.joined(token);
    assert_eq!(reply.error, ErrorCode::NONE);
    assert_eq!(reply.members.len(), 1, "by then its session is over");
}

#[test]
fn g4_an_id_that_cannot_be_kept_is_taken_back() {
    let mut sim = Sim::new();
    let ([_, (instance, old)], generation) = stable_static(&mut sim);
    sim.broken = Some(ErrorCode::NOT_COORDINATOR);
    let token = sim.join(Sim::fixed("", instance, &[("range", "changed")]));
    assert_eq!(sim.joined(token).error, ErrorCode::NOT_COORDINATOR);
    assert_eq!(sim.heartbeat(&old, generation), ErrorCode::NONE);
    assert_eq!(&*sim.assignment(&old, generation), "for follower");
    sim.broken = None;
    sim.restart();
    assert_eq!(sim.heartbeat(&old, generation), ErrorCode::NONE);
}

#[test]
fn g4_an_administrator_removes_a_static_member_by_its_instance() {
    let mut sim = Sim::new();
    let ([_, (instance, old)], generation) = stable_static(&mut sim);
    assert_eq!(sim.leave("", Some(instance)), ErrorCode::NONE);
    assert_eq!(sim.state(), State::PreparingRebalance);
    assert_eq!(sim.heartbeat(&old, generation), ErrorCode::UNKNOWN_MEMBER_ID);
}
