//! Restarts (G6).

use quipu_protocol::error_code::ErrorCode;

use crate::coordinator::group::classic::State;
use crate::coordinator::group::sim::{SESSION_MS, Sim};

#[test]
fn g6_members_go_on_after_a_restart_within_a_fresh_session() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(3);
    sim.commit(&ids[0], generation, 7).unwrap();
    sim.pass(SESSION_MS - 1);
    sim.restart();
    assert_eq!(sim.state(), State::Stable);
    sim.pass(SESSION_MS - 1);
    for id in &ids {
        assert_eq!(sim.heartbeat(id, generation), ErrorCode::NONE);
        assert_eq!(&*sim.assignment(id, generation), &*format!("for {id}"));
    }
    assert_eq!(sim.committed(), Some(7));
    sim.pass(SESSION_MS);
    assert_eq!(sim.state(), State::Empty, "nobody came back");
}

#[test]
fn g6_a_round_under_way_is_forgotten_by_a_restart() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    sim.join(Sim::request(&ids[0], &[("range", "changed")]));
    sim.restart();
    assert_eq!(sim.state(), State::Stable);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::NONE);
}
