//! Leaving, and connections that die.

use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::classic::State;
use crate::coordinator::group::sim::{SESSION_MS, Sim};

#[test]
fn a_member_that_leaves_starts_a_rebalance_of_the_others() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    assert_eq!(sim.leave(&ids[0], None), ErrorCode::NONE);
    assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::REBALANCE_IN_PROGRESS);
    let token = sim.join(Sim::request(&ids[1], RANGE));
    let reply = sim.joined(token);
    assert_eq!((reply.generation, &reply.leader), (generation + 1, &ids[1]));
    assert_eq!(sim.leave(&ids[1], None), ErrorCode::NONE);
    assert_eq!(sim.state(), State::Empty);
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    assert_eq!(sim.leave(&ids[0], None), ErrorCode::NONE);
    assert_eq!(sim.joined(token).error, ErrorCode::UNKNOWN_MEMBER_ID);

    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[1]).generation;
    let token = sim.sync(&ids[1], generation, &[]);
    assert_eq!(sim.leave(&ids[1], None), ErrorCode::NONE);
    assert_eq!(sim.synced(token).error, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_pending_member_may_leave() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    let pending = sim.id(RANGE);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    assert!(sim.is_parked(token));
    assert_eq!(sim.leave(&pending, None), ErrorCode::NONE);
    assert_eq!(sim.joined(token).generation, generation + 1);
}

#[test]
fn a_connection_that_dies_takes_only_members_with_it_that_nobody_can_come_back_as() {
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = 1_000;
    let mut request = Sim::request("", RANGE);
    request.must_know_id = false;
    let old_client = sim.join(request);
    let id = sim.id(RANGE);
    let new_client = sim.join(Sim::request(&id, RANGE));
    sim.abandon(old_client);
    sim.abandon(new_client);
    sim.pass(2_000); // A second member came, so the delay was extended once.
    assert_eq!(sim.state(), State::CompletingRebalance);
    assert_eq!(sim.heartbeat(&id, 1), ErrorCode::NONE, "it can come back");
    assert_eq!(sim.group.classic.view().members.len(), 1);
    sim.pass(SESSION_MS);
    assert_eq!(sim.state(), State::Empty);
}
