//! Commits (O1, O3, G8).

use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::sim::{SESSION_MS, Sim};

#[test]
fn o1_commits_are_taken_from_members_of_the_generation_only() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    sim.commit(&ids[0], generation, 5).unwrap();
    assert_eq!(sim.commit(&ids[0], generation - 1, 6), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(sim.commit(&ids[0], -1, 6), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(sim.commit("stranger", generation, 6), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(sim.commit("", -1, 6), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(sim.committed(), Some(5));
    sim.leave(&ids[0], None);
    sim.commit("", -1, 6).unwrap();
    sim.commit("anybody", -1, 3).unwrap();
    assert_eq!(sim.commit(&ids[0], generation, 9), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(sim.committed(), Some(3), "the last commit wins");
}

#[test]
fn o1_commits_go_on_while_members_are_called_to_join_but_not_while_the_leader_assigns() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let one = sim.join(Sim::request(&ids[0], RANGE));
    sim.commit(&ids[1], generation, 5).unwrap();
    let two = sim.join(Sim::request(&ids[1], RANGE));
    assert_eq!(sim.joined(one).error, ErrorCode::NONE);
    assert_eq!(sim.joined(two).error, ErrorCode::NONE);
    assert_eq!(sim.commit(&ids[1], generation, 6), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(sim.commit(&ids[1], generation + 1, 6), Err(ErrorCode::REBALANCE_IN_PROGRESS));
}

#[test]
fn g8_a_member_that_was_removed_cannot_commit_any_more() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    sim.pass(SESSION_MS - 1);
    sim.heartbeat(&ids[0], generation);
    sim.pass(1);
    assert_eq!(sim.commit(&ids[1], generation, 6), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn o3_a_commit_that_cannot_be_kept_changes_nothing() {
    let mut sim = Sim::new();
    sim.commit("", -1, 5).unwrap();
    sim.broken = Some(ErrorCode::NOT_COORDINATOR);
    assert_eq!(sim.commit("", -1, 6), Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(sim.committed(), Some(5));
    sim.restart();
    assert_eq!(sim.committed(), Some(5));
}
