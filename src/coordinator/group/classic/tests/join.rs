//! JoinGroup (G1).

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::classic::State;
use crate::coordinator::group::sim::{REBALANCE_MS, SESSION_MS, Sim};

#[test]
fn g1_a_dynamic_member_is_given_an_id_first_and_then_alone_leads_generation_1() {
    let mut sim = Sim::new();
    let id = sim.id(RANGE);
    assert_eq!(sim.state(), State::Empty);
    let token = sim.join(Sim::request(&id, RANGE));
    let reply = sim.joined(token);
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, 1));
    assert_eq!((&reply.leader, &reply.member_id), (&id, &id));
    assert_eq!(reply.protocol.as_deref(), Some("range"));
    assert_eq!(reply.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(reply.members.len(), 1);
    assert_eq!(reply.members[0].metadata, Bytes::from_static(b"sub"));
    assert_eq!(sim.state(), State::CompletingRebalance);
    assert!(sim.log.is_empty(), "a round under way is not kept");
}

#[test]
fn g1_an_old_client_joins_without_the_extra_round() {
    let mut sim = Sim::new();
    let mut request = Sim::request("", RANGE);
    request.must_know_id = false;
    let token = sim.join(request);
    let reply = sim.joined(token);
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, 1));
    assert!(!reply.member_id.is_empty());
}

#[test]
fn g1_the_protocol_is_voted_for_among_those_that_all_offer() {
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = 100;
    let offers: [&[(&str, &str)]; 3] = [
        &[("sticky", "s"), ("range", "r"), ("only-me", "o")],
        &[("range", "r"), ("sticky", "s")],
        &[("range", "r"), ("sticky", "s")],
    ];
    let tokens: Vec<_> = offers
        .iter()
        .map(|offer| {
            let id = sim.id(offer);
            sim.join(Sim::request(&id, offer))
        })
        .collect();
    sim.pass(1000);
    let replies: Vec<_> = tokens.into_iter().map(|token| sim.joined(token)).collect();
    assert!(replies.iter().all(|reply| reply.protocol.as_deref() == Some("range")));
    assert!(replies.iter().all(|reply| reply.generation == 1 && reply.leader == replies[0].leader));
    let leaders: Vec<_> = replies.iter().filter(|reply| !reply.members.is_empty()).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(leaders[0].members.len(), 3);
    assert!(leaders[0].members.iter().all(|member| member.metadata == Bytes::from_static(b"r")));
}

#[test]
fn g1_a_member_without_a_common_protocol_or_of_another_type_is_refused() {
    let mut sim = Sim::new();
    sim.stable(1);
    let token = sim.join(Sim::request("", &[("roundrobin", "")]));
    assert_eq!(sim.joined(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut request = Sim::request("", RANGE);
    request.protocol_type = "connect".into();
    let token = sim.join(request);
    assert_eq!(sim.joined(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(sim.state(), State::Stable);

    let mut sim = Sim::new();
    let token = sim.join(Sim::request("", &[]));
    assert_eq!(sim.joined(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert!(sim.group.is_forgettable());
}

#[test]
fn g1_the_initial_delay_is_extended_by_members_that_come_but_not_past_the_rebalance_timeout() {
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = 3_000;
    let join = |sim: &mut Sim| {
        let mut request = Sim::request("", RANGE);
        request.must_know_id = false;
        request.rebalance_timeout_ms = 7_000;
        sim.join(request)
    };
    let first = join(&mut sim);
    sim.pass(2_000);
    let second = join(&mut sim);
    sim.pass(1_500); // 3.5 s: the first delay is over, the second member has extended it.
    assert!(sim.is_parked(first) && sim.is_parked(second));
    let third = join(&mut sim);
    sim.pass(2_600); // 6.1 s.
    let fourth = join(&mut sim);
    sim.pass(900); // 7 s.
    for token in [first, second, third, fourth] {
        assert_eq!(sim.joined(token).generation, 1);
    }
}

#[test]
fn g1_everybody_joining_ends_the_round_at_once_except_during_the_initial_delay() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let one = sim.join(Sim::request(&ids[0], RANGE));
    assert!(sim.is_parked(one));
    let two = sim.join(Sim::request(&ids[1], RANGE));
    assert_eq!(sim.joined(one).generation, generation + 1);
    assert_eq!(sim.joined(two).generation, generation + 1);
}

#[test]
fn g1_who_does_not_join_in_time_is_out() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    for _ in 0..REBALANCE_MS / 5_000 {
        sim.pass(4_999);
        sim.heartbeat(&ids[1], generation);
    }
    assert!(sim.is_parked(token));
    sim.pass(5_000);
    let reply = sim.joined(token);
    assert_eq!((reply.error, reply.members.len()), (ErrorCode::NONE, 1));
    assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn g1_a_pending_member_holds_up_a_round_until_its_session_ends() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    sim.id(RANGE);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    assert!(sim.is_parked(token), "somebody is about to join");
    sim.pass(SESSION_MS);
    assert_eq!(sim.joined(token).generation, generation + 1);
}

#[test]
fn g1_a_group_that_is_full_refuses_new_members_and_keeps_its_own() {
    let mut sim = Sim::new();
    sim.settings.members_max = 2;
    let (ids, _) = sim.stable(2);
    let token = sim.join(Sim::request("", RANGE));
    let reply = sim.joined(token);
    assert_eq!((reply.error, &*reply.member_id), (ErrorCode::GROUP_MAX_SIZE_REACHED, ""));
    assert_eq!(sim.state(), State::Stable);
    let token = sim.join(Sim::request(&ids[1], RANGE));
    assert_eq!(sim.joined(token).error, ErrorCode::NONE);
}

#[test]
fn g1_a_lowered_limit_sheds_the_last_to_join() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(3);
    sim.settings.members_max = 2;
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, RANGE))).collect();
    let errors: Vec<_> = tokens.into_iter().map(|token| sim.joined(token).error).collect();
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::GROUP_MAX_SIZE_REACHED]);
}

#[test]
fn ids_handed_out_and_bytes_held_are_bounded() {
    let mut sim = Sim::new();
    sim.settings.pending_members_max = 2;
    sim.id(RANGE);
    sim.id(RANGE);
    let token = sim.join(Sim::request("", RANGE));
    assert_eq!(sim.joined(token).error, ErrorCode::GROUP_MAX_SIZE_REACHED);
    sim.pass(SESSION_MS);
    assert!(sim.group.is_forgettable());

    let mut sim = Sim::new();
    sim.settings.group_bytes_max = 20;
    let (ids, _) = sim.stable(2);
    let token = sim.join(Sim::request("", RANGE));
    assert_eq!(sim.joined(token).error, ErrorCode::GROUP_MAX_SIZE_REACHED);
    let token = sim.join(Sim::request(&ids[0], &[("range", "a longer subscription")]));
    assert_eq!(sim.joined(token).error, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(sim.state(), State::Stable);
}

#[test]
fn g1_joining_again_unchanged_is_no_rebalance_for_a_follower_but_for_the_leader() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let token = sim.join(Sim::request(&ids[1], RANGE));
    let reply = sim.joined(token);
    assert_eq!((reply.generation, reply.members.len()), (generation, 0));
    assert_eq!(sim.state(), State::Stable);
    let token = sim.join(Sim::request(&ids[0], RANGE));
    assert!(sim.is_parked(token));
    assert_eq!(sim.state(), State::PreparingRebalance);
    assert_eq!(sim.heartbeat(&ids[1], generation), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn g1_changed_metadata_is_a_rebalance() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let token = sim.join(Sim::request(&ids[1], &[("range", "other")]));
    assert!(sim.is_parked(token));
    assert_eq!(sim.state(), State::PreparingRebalance);
}

#[test]
fn g1_a_member_that_missed_its_answer_gets_it_again_while_the_leader_assigns() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let tokens = [&ids[0], &ids[1]].map(|id| sim.join(Sim::request(id, RANGE)));
    let replies = tokens.map(|token| sim.joined(token));
    for (id, before) in ids.iter().zip(replies) {
        let token = sim.join(Sim::request(id, RANGE));
        assert_eq!(sim.joined(token), before);
    }
    assert_eq!(sim.state(), State::CompletingRebalance);
    assert_eq!(sim.heartbeat(&ids[0], generation + 1), ErrorCode::NONE);
}

#[test]
fn a_second_join_of_the_same_member_answers_the_first() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(2);
    let first = sim.join(Sim::request(&ids[0], RANGE));
    let second = sim.join(Sim::request(&ids[0], RANGE));
    assert_eq!(sim.joined(first).error, ErrorCode::REBALANCE_IN_PROGRESS);
    let other = sim.join(Sim::request(&ids[1], RANGE));
    assert_eq!(sim.joined(second).generation, generation + 1);
    assert_eq!(sim.joined(other).generation, generation + 1);
}

#[test]
fn unknown_members_are_told_so() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    let token = sim.join(Sim::request("stranger", RANGE));
    assert_eq!(sim.joined(token).error, ErrorCode::UNKNOWN_MEMBER_ID);
    let token = sim.sync("stranger", generation, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.heartbeat("stranger", generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.leave("stranger", None), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.leave("", Some("no-instance")), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.leave("", None), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.heartbeat(&ids[0], generation), ErrorCode::NONE);
}
