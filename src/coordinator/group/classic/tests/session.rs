//! Sessions and heartbeats (G3).

use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::Record;
use crate::coordinator::group::classic::State;
use crate::coordinator::group::sim::{SESSION_MS, Sim};
use crate::coordinator::settings::NEW_MEMBER_WAIT_MS;

#[test]
fn g3_a_silent_member_is_removed_and_the_others_rebalance() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    sim.pass(SESSION_MS - 1);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::NONE);
    assert_eq!(sim.state(), State::Stable);
    sim.pass(1);
    assert_eq!(sim.state(), State::PreparingRebalance);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    assert_eq!(sim.joined(token).generation, generation + 1);
}

#[test]
fn g3_the_last_member_to_go_leaves_an_empty_generation_in_the_log() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    sim.pass(SESSION_MS);
    assert_eq!(sim.state(), State::Empty);
    let Some(Record::Generation(Some(kept))) = sim.log.last() else { panic!("{:?}", sim.log.last()) };
    assert_eq!((kept.id, kept.members.len(), &*kept.protocol_type), (generation + 1, 0, "consumer"));
    assert_eq!(kept.state_since_ms, sim.now.wall);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.group.next_deadline(), None);
}

#[test]
fn g3_a_member_that_waits_for_us_does_not_time_out() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    for _ in 0..5 {
        sim.pass(SESSION_MS - 1);
        sim.heartbeat(&ids[1], generation);
    }
    assert!(sim.is_parked(token));
    let other = sim.join(Sim::request(&ids[1], RANGE));
    assert_eq!(sim.joined(token).error, ErrorCode::NONE);
    assert_eq!(sim.joined(other).error, ErrorCode::NONE);
    // And its session begins anew with the answer.
    sim.pass(SESSION_MS - 1);
    assert_eq!(sim.heartbeat(&ids[0], generation + 1), ErrorCode::NONE);
}

#[test]
fn g3_a_new_member_may_wait_five_minutes_for_its_first_answer() {
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = i32::MAX;
    let mut request = Sim::request("", RANGE);
    request.must_know_id = false;
    let token = sim.join(request);
    sim.pass(NEW_MEMBER_WAIT_MS - 1);
    assert!(sim.is_parked(token));
    sim.pass(1);
    let reply = sim.joined(token);
    assert_eq!((reply.error, &*reply.member_id), (ErrorCode::UNKNOWN_MEMBER_ID, ""));
}

#[test]
fn g3_commits_count_as_a_sign_of_life() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    sim.pass(SESSION_MS - 1);
    sim.commit(&ids[0], generation, 1).unwrap();
    sim.pass(SESSION_MS - 1);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::NONE);
}

#[test]
fn a_heartbeat_of_another_generation_is_refused() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    assert_eq!(sim.heartbeat(&ids[0], generation + 1), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(sim.heartbeat(&ids[0], -1), ErrorCode::ILLEGAL_GENERATION);
}
