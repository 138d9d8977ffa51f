//! The rules of classic groups, one by one. Names of invariants (G1, O1, …) are those of the semantics reference.

use std::collections::HashSet;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::{State, SyncRequest};
use crate::coordinator::group::sim::{REBALANCE_MS, SESSION_MS, Sim};
use crate::coordinator::group::timers::Timer;
use crate::coordinator::group::{Record, Reply};
use crate::coordinator::settings::NEW_MEMBER_WAIT_MS;

const RANGE: &[(&str, &str)] = &[("range", "sub")];

// ---- G1: joining ----

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

// ---- G2: syncing ----

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

// ---- G3: sessions ----

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

// ---- G4: static members ----

/// A stable group of static members `a` and `b`; gives their ids, the leader's first.
fn stable_static(sim: &mut Sim) -> ([(&'static str, crate::coordinator::group::MemberId); 2], i32) {
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
    let committer = crate::coordinator::group::Committer {
        member_id: old,
        instance_id: Some(instance.into()),
        generation,
    };
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

// ---- Leaving ----

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

// ---- G6: restart ----

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

// ---- O1 and G8: commits ----

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

// ---- O4: expiry and removal ----

#[test]
fn o4_a_consumer_group_keeps_its_offsets_from_the_moment_it_is_empty() {
    let mut sim = Sim::new();
    let week = sim.settings.offsets_retention_ms;
    let (ids, generation) = sim.stable(1);
    sim.commit(&ids[0], generation, 5).unwrap();
    // The subscription of these members cannot be read: nothing expires while they are there.
    assert!(sim.group.expire_offsets(sim.now.wall + 2 * week, &sim.settings).records.is_empty());
    sim.pass(1_000);
    sim.leave(&ids[0], None);
    let emptied = sim.now.wall;
    assert!(sim.group.expire_offsets(emptied + week - 1, &sim.settings).records.is_empty());
    sim.restart();
    let step = sim.group.expire_offsets(emptied + week, &sim.settings);
    assert_eq!(step.records.len(), 2, "the offset, and then the group itself");
    sim.advance(step).unwrap();
    assert!(sim.group.is_forgettable());
}

#[test]
fn o4_a_standalone_consumers_offsets_expire_from_their_commit() {
    let mut sim = Sim::new();
    let week = sim.settings.offsets_retention_ms;
    sim.commit("", -1, 5).unwrap();
    assert!(sim.group.expire_offsets(sim.now.wall + week - 1, &sim.settings).records.is_empty());
    let step = sim.group.expire_offsets(sim.now.wall + week, &sim.settings);
    sim.advance(step).unwrap();
    assert!(sim.group.is_forgettable());
}

#[test]
fn o4_a_stable_group_loses_offsets_of_topics_that_it_no_longer_reads() {
    let mut sim = Sim::new();
    let week = sim.settings.offsets_retention_ms;
    let reads = |topic: &str| format!("\0\0\0\0\0\u{1}\0\u{1}{topic}");
    let (t, u) = (reads("t"), reads("u"));
    let id = sim.id(&[("range", &t)]);
    let token = sim.join(Sim::request(&id, &[("range", &t)]));
    assert_eq!(sim.joined(token).generation, 1);
    let token = sim.sync(&id, 1, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    sim.commit(&id, 1, 5).unwrap();
    let later = sim.now.wall + week;
    assert!(sim.group.expire_offsets(later, &sim.settings).records.is_empty());
    let (codes, step) = sim.group.delete_offsets(&[("t".into(), 0), ("u".into(), 0)]).unwrap();
    assert_eq!(codes, [ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode::NONE]);
    assert!(step.records.is_empty());

    let token = sim.join(Sim::request(&id, &[("range", &u)]));
    assert_eq!(sim.joined(token).generation, 2);
    assert!(sim.group.expire_offsets(later, &sim.settings).records.is_empty(), "not while rebalancing");
    let token = sim.sync(&id, 2, &[]);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    let (codes, step) = sim.group.delete_offsets(&[("t".into(), 0)]).unwrap();
    assert_eq!((codes, step.records.len()), (vec![ErrorCode::NONE], 1));
    let step = sim.group.expire_offsets(later, &sim.settings);
    assert_eq!(step.records.len(), 1, "the offset but not the group");
    sim.advance(step).unwrap();
    assert_eq!(sim.committed(), None);
}

#[test]
fn offsets_of_a_group_that_is_no_consumers_are_not_deleted_under_it() {
    let mut sim = Sim::new();
    let mut request = Sim::request("", RANGE);
    request.must_know_id = false;
    request.protocol_type = "connect".into();
    sim.join(request);
    let refused = sim.group.delete_offsets(&[("t".into(), 0)]).map(|_| ());
    assert_eq!(refused, Err(ErrorCode::NON_EMPTY_GROUP));
}

#[test]
fn a_group_is_deleted_with_its_offsets_once_it_is_empty() {
    let mut sim = Sim::new();
    let (ids, generation) = sim.stable(1);
    sim.commit(&ids[0], generation, 5).unwrap();
    assert_eq!(sim.group.delete().map(|_| ()), Err(ErrorCode::NON_EMPTY_GROUP));
    sim.leave(&ids[0], None);
    let step = sim.group.delete().unwrap();
    sim.advance(step).unwrap();
    assert!(sim.group.is_forgettable());
    assert_eq!(sim.replayed().kept(), sim.group.kept());
}

#[test]
fn offsets_of_missing_partitions_are_removed() {
    let mut sim = Sim::new();
    sim.commit("", -1, 5).unwrap();
    assert!(sim.group.remove_missing(|topic, partition| topic == "t" && partition == 0).records.is_empty());
    assert!(sim.group.remove_topic("u").records.is_empty());
    let step = sim.group.remove_missing(|_, partition| partition > 0);
    assert_eq!(step.records, sim.group.remove_topic("t").records);
    sim.advance(step).unwrap();
    assert_eq!(sim.committed(), None);
}

// ---- The whole ----

#[test]
fn what_is_shown_of_members_while_rebalancing_is_what_they_had_but_not_what_they_ask_for() {
    let mut sim = Sim::new();
    let (ids, _) = sim.stable(2);
    let view = sim.group.classic.view();
    assert_eq!((view.state.name(), &*view.protocol_type, &*view.protocol), ("Stable", "consumer", "range"));
    assert_eq!(view.members[0].metadata, Bytes::from_static(b"sub"));
    assert!(!view.members[0].assignment.is_empty());
    sim.join(Sim::request(&ids[0], RANGE));
    let view = sim.group.classic.view();
    assert_eq!((view.state.name(), &*view.protocol), ("PreparingRebalance", ""));
    assert_eq!(view.members.len(), 2);
    assert!(view.members.iter().all(|member| member.metadata.is_empty() && !member.assignment.is_empty()));
}

#[test]
fn a_thousand_members_share_their_metadata_and_only_the_leader_gets_everybodys() {
    const MEMBERS: usize = 1_000;
    let mut sim = Sim::new();
    sim.settings.initial_rebalance_delay_ms = 1_000;
    let metadata = "m".repeat(2_000);
    let offer = [("range", &*metadata)];
    let ids: Vec<_> = (0..MEMBERS).map(|_| sim.id(&offer)).collect();
    let tokens: Vec<_> = ids.iter().map(|id| sim.join(Sim::request(id, &offer))).collect();
    sim.pass(2_000);
    let replies: Vec<_> = tokens.into_iter().map(|token| sim.joined(token)).collect();
    let leads: Vec<_> = replies.iter().filter(|reply| !reply.members.is_empty()).collect();
    assert_eq!(leads.len(), 1);
    assert_eq!(leads[0].members.len(), MEMBERS);
    let copies: HashSet<_> = leads[0].members.iter().map(|member| member.metadata.as_ptr()).collect();
    assert_eq!(copies.len(), MEMBERS, "one buffer a member");

    let leader = leads[0].member_id.clone();
    let given: Vec<_> = ids.iter().map(|id| (id.to_string(), id.to_string())).collect();
    let given: Vec<_> = given.iter().map(|(id, bytes)| (&**id, &**bytes)).collect();
    let waiting: Vec<_> =
        ids.iter().filter(|id| **id != leader).map(|id| (id, sim.sync(id, 1, &[]))).collect();
    assert_eq!(sim.parked(), MEMBERS - 1);
    let token = sim.sync(&leader, 1, &given);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    for (id, token) in waiting {
        let Some(Reply::Sync(reply)) = sim.reply(token) else { panic!("{id} got no answer") };
        assert_eq!(reply.assignment, Bytes::copy_from_slice(id.as_bytes()));
    }
    assert_eq!(sim.log.len(), 1, "one record a generation");
    // The buffers that the members came with are those that are kept.
    let kept = sim.group.kept().0.unwrap();
    assert!(kept.members.iter().all(|member| copies.contains(&member.subscription.as_ptr())));
    assert!(ids.iter().all(|id| sim.group.classic.timers.at(&Timer::Session(id.clone())).is_some()));
}
