//! SyncGroup (G2).

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::classic::{State, SyncRequest};
use crate::coordinator::group::sim::{REBALANCE_MS, Sim};

#[test]
fn g2_followers_get_their_assignment_with_the_leaders_and_late_ones_get_it_stored() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(3);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[0]).generation;
    let early = sim.sync(&ids[1], generation, &[]);
    assert!(sim.is_parked(early));
    let leader = sim.sync(&ids[0], generation, &[(&ids[0], "a"), (&ids[1], "b"), (&ids[2], "c")]);
    assert_eq!(sim.synced(leader).assignment, Bytes::from_static(b"a"));
    let reply = sim.synced(early);
    assert_eq!(reply.assignment, Bytes::from_static(b"b"));
    assert_eq!(reply.protocol.as_deref(), Some("range"));
    assert_eq!(&*sim.assignment(&ids[2], generation), "c");
    assert_eq!(&*sim.assignment(&ids[2], generation), "c");
}

#[test]
fn g2_who_the_leader_forgot_gets_an_empty_assignment() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[0]).generation;
    let leader = sim.sync(&ids[0], generation, &[(&ids[0], "a"), ("stranger", "x")]);
    assert_eq!(sim.synced(leader).error, ErrorCode::NONE);
    assert_eq!(&*sim.assignment(&ids[1], generation), "");
}

#[test]
fn g2_a_sync_of_another_generation_or_protocol_is_refused() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    let token = sim.sync(&ids[0], generation - 1, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::ILLEGAL_GENERATION);
    let request = SyncRequest {
        member_id: ids[0].clone(),
        instance_id: None,
        generation,
        protocol_type: Some("consumer".into()),
        protocol: Some("range".into()),
        assignments: Vec::new(),
    };
    let token = sim.sync_with(request.clone());
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    let token = sim.sync_with(SyncRequest { protocol: Some("sticky".into()), ..request.clone() });
    assert_eq!(sim.synced(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let token = sim.sync_with(SyncRequest { protocol_type: Some("connect".into()), ..request });
    assert_eq!(sim.synced(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn g2_a_rebalance_sends_waiting_members_back_to_join() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[0]).generation;
    let waiting = sim.sync(&ids[1], generation, &[]);
    let again = sim.sync(&ids[1], generation, &[]);
    assert_eq!(sim.synced(waiting).error, ErrorCode::REBALANCE_IN_PROGRESS);
    sim.join(Sim::request(&ids[0], &[("range", "changed")]));
    assert_eq!(sim.synced(again).error, ErrorCode::REBALANCE_IN_PROGRESS);
    let token = sim.sync(&ids[1], generation, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn g2_members_that_never_sync_are_removed() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[0]).generation;
    let leader = sim.sync(&ids[0], generation, &[]);
    assert_eq!(sim.synced(leader).error, ErrorCode::NONE);
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::NONE);
        assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::NONE);
        sim.pass(5_000);
    }
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_assignment_that_cannot_be_kept_is_not_told_to_anybody() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let generation = sim.joined(tokens[0]).generation;
    let follower = sim.sync(&ids[1], generation, &[]);
    sim.broken = Some(ErrorCode::NOT_COORDINATOR);
    let leader = sim.sync(&ids[0], generation, &[(&ids[1], "b")]);
    for token in [leader, follower] {
        let reply = sim.synced(token);
        assert_eq!((reply.error, reply.assignment), (ErrorCode::NOT_COORDINATOR, Bytes::new()));
    }
    assert_eq!(sim.state(), State::PreparingRebalance);
    sim.broken = None;
    sim.restart();
    assert_eq!(sim.heartbeat(&ids[0], generation - 1), ErrorCode::NONE);
}
