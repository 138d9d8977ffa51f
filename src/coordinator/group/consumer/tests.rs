use std::collections::HashSet;

use quipu_protocol::error_code::ErrorCode;

use super::*;
use crate::coordinator::group::GroupKind;
use crate::coordinator::group::offsets::Commit;
use crate::coordinator::group::sim::{BEAT_REBALANCE_MS as REBALANCE_MS, Sim};

fn numbers(partitions: &Partitions) -> Vec<i32> {
    partitions.iter().map(|(_, partition)| partition).collect()
}

fn assignment(reply: &BeatReply) -> Partitions {
    reply.assignment.clone().expect("an assignment")
}

/// Two members with two partitions each: their ids, the second one's in the middle of taking over.
fn pair(sim: &mut Sim) -> (Partitions, Partitions) {
    let all = assignment(&sim.enter("a"));
    assert_eq!(numbers(&all), [0, 1, 2, 3]);
    let second = sim.enter("b");
    assert_eq!((second.epoch, assignment(&second).len()), (2, 0));
    let kept = assignment(&sim.beat(Sim::quiet("a", 1)).unwrap());
    let revoked = sim.beat(Sim::owning("a", 1, &kept)).unwrap();
    assert_eq!(revoked.epoch, 2);
    let taken = assignment(&sim.beat(Sim::quiet("b", 2)).unwrap());
    (kept, taken)
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut sim = Sim::over(3);
    let reply = sim.enter("a");
    assert_eq!((reply.epoch, reply.heartbeat_interval_ms), (1, 5_000));
    assert_eq!(numbers(&assignment(&reply)), [0, 1, 2]);
    assert_eq!(sim.group.consumer.state(), ConsumerState::Stable);
    let quiet = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((quiet.epoch, quiet.assignment), (1, None));
}

#[test]
fn g7_a_partition_moves_only_after_its_owner_has_revoked_it() {
    let mut sim = Sim::over(4);
    sim.enter("a");
    let second = sim.enter("b");
    assert_eq!(assignment(&second), Partitions::default(), "all are still with the first");
    let told = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((told.epoch, assignment(&told).len()), (1, 2), "stays in its epoch until it has revoked");
    assert_eq!(sim.group.consumer.state(), ConsumerState::Reconciling);
    assert_eq!(sim.beat(Sim::quiet("b", 2)).unwrap().assignment, None);
    // What it still reports is still its own.
    let all = [0, 1, 2, 3].map(|partition| (sim.topic("t"), partition)).into_iter().collect();
    assert_eq!(sim.beat(Sim::owning("a", 1, &all)).unwrap().epoch, 1);
    assert_eq!(sim.beat(Sim::quiet("b", 2)).unwrap().assignment, None);

    let kept = assignment(&told);
    assert_eq!(sim.beat(Sim::owning("a", 1, &kept)).unwrap().epoch, 2);
    let taken = assignment(&sim.beat(Sim::quiet("b", 2)).unwrap());
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|(topic, partition)| !kept.contains(topic, partition)));
    assert_eq!(sim.group.consumer.state(), ConsumerState::Stable);
}

#[test]
fn a_member_that_does_not_revoke_in_time_is_removed() {
    let mut sim = Sim::over(4);
    sim.enter("a");
    sim.enter("b");
    sim.beat(Sim::quiet("a", 1)).unwrap();
    for _ in 0..3 {
        sim.pass(i64::from(REBALANCE_MS) / 3 - 1);
        sim.beat(Sim::quiet("a", 1)).unwrap();
        sim.beat(Sim::quiet("b", 2)).unwrap();
    }
    sim.pass(10);
    assert_eq!(sim.beat(Sim::quiet("a", 1)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(assignment(&sim.beat(Sim::quiet("b", 2)).unwrap()).len(), 4);
}

#[test]
fn silence_ends_a_session_and_frees_its_partitions() {
    let mut sim = Sim::over(4);
    pair(&mut sim);
    sim.pass(44_000);
    sim.beat(Sim::quiet("b", 2)).unwrap();
    sim.pass(1_000);
    assert_eq!(sim.beat(Sim::quiet("a", 2)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    let reply = sim.beat(Sim::quiet("b", 2)).unwrap();
    assert_eq!((reply.epoch, assignment(&reply).len()), (3, 4));
}

#[test]
fn several_sessions_end_at_the_same_moment() {
    let mut sim = Sim::over(4);
    for id in ["a", "b", "c"] {
        sim.enter(id);
    }
    sim.pass(45_000);
    assert!(sim.group.consumer.is_empty());
    assert_eq!(sim.group.consumer.state(), ConsumerState::Empty);
}

#[test]
fn a_member_leaves() {
    let mut sim = Sim::over(4);
    pair(&mut sim);
    let left = sim.beat(Sim::quiet("a", -1)).unwrap();
    assert_eq!((left.epoch, left.assignment), (-1, None));
    assert_eq!(sim.beat(Sim::quiet("a", -1)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(assignment(&sim.beat(Sim::quiet("b", 2)).unwrap()).len(), 4);
}

#[test]
fn epochs_are_checked() {
    let mut sim = Sim::over(4);
    let (kept, _) = pair(&mut sim);
    assert_eq!(sim.beat(Sim::quiet("a", 3)), Err(ErrorCode::FENCED_MEMBER_EPOCH));
    assert_eq!(sim.beat(Sim::quiet("a", 1)), Err(ErrorCode::FENCED_MEMBER_EPOCH));
    // Our last answer was lost: the previous epoch, with nothing that is not its own.
    assert_eq!(sim.beat(Sim::owning("a", 1, &kept)).unwrap().epoch, 2);
    let all = [0, 1, 2, 3].map(|partition| (sim.topic("t"), partition)).into_iter().collect();
    assert_eq!(sim.beat(Sim::owning("b", 1, &all)), Err(ErrorCode::FENCED_MEMBER_EPOCH));
    assert_eq!(sim.beat(Sim::quiet("nobody", 1)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    let mut empty = Sim::over(1);
    assert_eq!(empty.beat(Sim::quiet("a", 1)), Err(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[test]
fn a_full_request_gets_a_full_answer() {
    let mut sim = Sim::over(2);
    let all = assignment(&sim.enter("a"));
    let full = Beat { epoch: 1, owned: Some(Partitions::default()), ..Sim::joining("a") };
    assert_eq!(assignment(&sim.beat(full).unwrap()), all);
    // A rejoin, as after being fenced, tells it again.
    assert_eq!(assignment(&sim.enter("a")), all);
}

#[test]
fn a_static_member_comes_back_to_its_place() {
    let mut sim = Sim::over(4);
    let fixed = |id| Sim::pod(Sim::joining(id));
    let first = sim.beat(fixed("a1")).unwrap();
    assert_eq!(sim.beat(fixed("a2")), Err(ErrorCode::UNRELEASED_INSTANCE_ID));
    let leave = Sim::pod(Sim::quiet("a1", -2));
    assert_eq!(sim.beat(leave).unwrap().epoch, -2);
    let epoch = sim.group.consumer.group_epoch();
    let back = sim.beat(fixed("a2")).unwrap();
    assert_eq!((back.epoch, assignment(&back)), (1, assignment(&first)));
    assert_eq!(sim.group.consumer.group_epoch(), epoch, "nobody else is disturbed");
    let old = Sim::pod(Sim::quiet("a1", 1));
    assert_eq!(sim.beat(old), Err(ErrorCode::FENCED_INSTANCE_ID));
    let unknown = Beat { instance_id: Some("other".into()), ..Sim::quiet("a2", 1) };
    assert_eq!(sim.beat(unknown), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    // Nobody comes back in time.
    sim.beat(Sim::pod(Sim::quiet("a2", -2))).unwrap();
    sim.pass(45_000);
    assert!(sim.group.consumer.is_empty());
}

#[test]
fn new_partitions_and_topics_are_assigned() {
    let mut sim = Sim::over(1);
    sim.enter("a");
    sim.topics.set("t", 3);
    let reply = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((reply.epoch, numbers(&assignment(&reply))), (2, vec![0, 1, 2]));
    // A topic that nobody reads changes nothing.
    sim.topics.set("other", 3);
    assert_eq!(sim.beat(Sim::quiet("a", 2)).unwrap().assignment, None);
    sim.topics.remove("t");
    let reply = sim.beat(Sim::quiet("a", 2)).unwrap();
    assert_eq!(assignment(&reply), Partitions::default());
}

#[test]
fn an_expression_follows_the_topics() {
    let mut sim = Sim::over(1);
    sim.topics.set("logs-a", 2);
    let regex = |pattern: &str| Beat { topics: None, regex: Some(pattern.into()), ..Sim::joining("a") };
    assert_eq!(sim.beat(regex("logs-(")), Err(ErrorCode::INVALID_REGULAR_EXPRESSION));
    assert_eq!(assignment(&sim.beat(regex("logs-.*")).unwrap()).len(), 2);
    assert!(sim.group.consumer.is_subscribed("logs-a") && !sim.group.consumer.is_subscribed("t"));
    sim.topics.set("logs-b", 3);
    let reply = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((reply.epoch, assignment(&reply).len()), (2, 5));
    // From the expression to a name: the expression is forgotten.
    let named =
        Beat { regex: Some("".into()), epoch: 2, topics: Some(vec!["t".into()]), ..Sim::quiet("a", 2) };
    sim.beat(named).unwrap();
    assert!(sim.group.consumer.regexes.is_empty());
    let reply = sim.beat(Sim::owning("a", 2, &Partitions::default())).unwrap();
    assert_eq!(assignment(&reply).len(), 1);
}

#[test]
fn most_members_choose_the_assignor() {
    let mut sim = Sim::over(4);
    let with =
        |id: &str, assignor: Option<&str>| Beat { assignor: assignor.map(Into::into), ..Sim::joining(id) };
    sim.beat(with("a", Some("range"))).unwrap();
    assert_eq!(sim.group.consumer.view(Assignor::Uniform).assignor, Assignor::Range);
    sim.beat(with("b", Some("uniform"))).unwrap();
    sim.beat(with("c", Some("uniform"))).unwrap();
    assert_eq!(sim.group.consumer.view(Assignor::Range).assignor, Assignor::Uniform);
}

#[test]
fn a_group_has_room_for_so_many() {
    let mut sim = Sim::over(1);
    sim.settings.consumer_members_max = 1;
    sim.enter("a");
    assert_eq!(sim.beat(Sim::joining("b")), Err(ErrorCode::GROUP_MAX_SIZE_REACHED));
    assert!(sim.beat(Sim::joining("a")).is_ok());
}

fn commit(sim: &mut Sim, id: &str, epoch: i32, knows_epochs: bool) -> Result<(), ErrorCode> {
    commit_all(sim, id, epoch, knows_epochs, &[0])
}

fn commit_all(
    sim: &mut Sim,
    id: &str,
    epoch: i32,
    knows_epochs: bool,
    partitions: &[i32],
) -> Result<(), ErrorCode> {
    let committer = Committer { member_id: id.into(), instance_id: None, generation: epoch };
    let requests: Vec<_> = partitions.iter().map(|&partition| sim.offset("t", partition, 1)).collect();
    let settings = sim.settings;
    let commit = Commit { requests, retention_ms: None, knows_epochs };
    let (codes, step) = sim.group.commit(sim.now, &committer, commit, &sim.topics, &settings)?;
    assert!(codes.iter().all(|code| code.is_none()), "{codes:?}");
    sim.advance(step).unwrap();
    Ok(())
}

#[test]
fn o1_offsets_are_committed_and_read_in_the_current_epoch() {
    let mut sim = Sim::over(4);
    pair(&mut sim);
    assert_eq!(commit(&mut sim, "a", 2, true), Ok(()));
    assert_eq!(commit(&mut sim, "a", 0, true), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit(&mut sim, "a", 3, true), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit(&mut sim, "x", 2, true), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(commit(&mut sim, "", -1, true), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(commit(&mut sim, "a", 2, false), Err(ErrorCode::UNSUPPORTED_VERSION));
    assert_eq!(sim.group.admit_fetch(None, -1), Ok(()));
    assert_eq!(sim.group.admit_fetch(Some("a"), 2), Ok(()));
    assert_eq!(sim.group.admit_fetch(Some("a"), 1), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(sim.group.admit_fetch(Some("x"), 1), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    sim.beat(Sim::quiet("a", -1)).unwrap();
    sim.beat(Sim::quiet("b", -1)).unwrap();
    assert_eq!(commit(&mut sim, "", -1, true), Ok(()), "an administrator, once it is empty");
}

#[test]
fn o1_what_a_member_has_had_all_along_it_may_commit_in_an_older_epoch() {
    let stale = Err(ErrorCode::STALE_MEMBER_EPOCH);
    let mut sim = Sim::over(4);
    let (kept, taken) = pair(&mut sim);
    let (kept, taken) = (numbers(&kept), numbers(&taken));
    // Both are in epoch 2; the first has had these since 1, the second since 2.
    assert_eq!(commit_all(&mut sim, "a", 1, true, &kept), Ok(()));
    assert_eq!(commit_all(&mut sim, "a", 0, true, &kept), stale);
    assert_eq!(commit_all(&mut sim, "a", 1, true, &taken), stale);
    assert_eq!(commit_all(&mut sim, "b", 1, true, &taken), stale);
    assert_eq!(commit_all(&mut sim, "a", 2, true, &taken), Ok(()), "as in Kafka, its own epoch opens all");
    // One that it may not commit refuses them all.
    sim.now.wall += 1;
    assert_eq!(commit_all(&mut sim, "a", 1, true, &[kept[0], taken[0]]), stale);
    assert!(sim.group.all_committed().all(|(_, _, committed)| committed.commit_ms < sim.now.wall));
    // Another topic of the same name is not what it has.
    sim.topics.remove("t");
    sim.topics.set("t", 4);
    assert_eq!(commit_all(&mut sim, "a", 1, true, &kept), stale);
    sim.restart();
    assert_eq!(commit_all(&mut sim, "a", 2, true, &kept), Ok(()));
}

#[test]
fn o1_what_a_member_has_to_give_up_it_may_still_commit_in_an_older_epoch() {
    let mut sim = Sim::over(6);
    sim.enter("a");
    sim.topics.set("t", 7);
    assert_eq!(sim.beat(Sim::quiet("a", 1)).unwrap().epoch, 2);
    sim.enter("b");
    let kept = assignment(&sim.beat(Sim::quiet("a", 2)).unwrap());
    let given_up: Vec<i32> = (0..6).filter(|&p| !kept.contains(sim.topic("t"), p)).collect();
    assert!(!given_up.is_empty());
    for _ in 0..2 {
        assert_eq!(commit_all(&mut sim, "a", 1, true, &given_up), Ok(()));
        assert_eq!(commit_all(&mut sim, "a", 1, true, &[6]), Err(ErrorCode::STALE_MEMBER_EPOCH));
        sim.restart();
    }
    sim.beat(Sim::owning("a", 2, &kept)).unwrap();
    assert_eq!(commit_all(&mut sim, "a", 1, true, &given_up), Err(ErrorCode::STALE_MEMBER_EPOCH));
    // What it gets back is new to it.
    sim.beat(Sim::quiet("b", -1)).unwrap();
    let back = sim.beat(Sim::quiet("a", 3)).unwrap();
    assert_eq!((back.epoch, assignment(&back).len()), (4, 7));
    assert_eq!(commit_all(&mut sim, "a", 3, true, &given_up), Err(ErrorCode::STALE_MEMBER_EPOCH));
    let kept: Vec<i32> = numbers(&kept).into_iter().filter(|&p| p < 6).collect();
    assert_eq!(commit_all(&mut sim, "a", 1, true, &kept), Ok(()));
}

#[test]
fn o1_a_static_member_that_comes_back_may_commit_in_any_older_epoch() {
    let mut sim = Sim::over(2);
    let fixed = |id, epoch| Sim::pod(Sim::quiet(id, epoch));
    let joining = |id| Sim::pod(Sim::joining(id));
    sim.beat(joining("a1")).unwrap();
    sim.topics.set("t", 3);
    sim.beat(fixed("a1", 1)).unwrap();
    assert_eq!(commit_all(&mut sim, "a1", 1, true, &[2]), Err(ErrorCode::STALE_MEMBER_EPOCH));
    sim.beat(fixed("a1", -2)).unwrap();
    for epoch in [-1, 0, 1, 2] {
        assert_eq!(commit(&mut sim, "a1", epoch, true), Err(ErrorCode::STALE_MEMBER_EPOCH), "it is away");
    }
    let back = sim.beat(joining("a2")).unwrap();
    assert_eq!((back.epoch, assignment(&back).len()), (2, 3));
    for epoch in [0, 1, 2] {
        assert_eq!(commit_all(&mut sim, "a2", epoch, true, &[0, 1, 2]), Ok(()));
    }
    assert_eq!(commit(&mut sim, "a2", -1, true), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit(&mut sim, "a2", 3, true), Err(ErrorCode::STALE_MEMBER_EPOCH));
}

#[test]
fn o1_t10_transactions_commit_in_an_older_epoch_by_the_same_rule() {
    let mut sim = Sim::over(4);
    let (kept, taken) = pair(&mut sim);
    let mut commit = |id: &str, epoch: i32, partition: i32| {
        let committer = Committer { member_id: id.into(), instance_id: None, generation: epoch };
        let request = sim.offset("t", partition, 1);
        let settings = sim.settings;
        let taken =
            sim.group.commit_in_transaction(sim.now, &committer, vec![request], &sim.topics, &settings);
        taken.map(|(_, records)| records.len())
    };
    let (kept, taken) = (numbers(&kept)[0], numbers(&taken)[0]);
    assert_eq!(commit("a", 1, kept), Ok(1));
    assert_eq!(commit("a", 1, taken), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit("b", 1, taken), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit("b", 2, taken), Ok(1));
    assert_eq!(commit("", -1, taken), Ok(1), "a producer of before KIP-447");
    assert_eq!(commit("", -2, taken), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn an_empty_group_is_deleted_with_its_offsets() {
    let mut sim = Sim::over(1);
    sim.enter("a");
    commit(&mut sim, "a", 1, true).unwrap();
    assert_eq!(sim.group.delete().err(), Some(ErrorCode::NON_EMPTY_GROUP));
    sim.beat(Sim::quiet("a", -1)).unwrap();
    let step = sim.group.delete().unwrap();
    sim.advance(step).unwrap();
    assert!(sim.group.is_forgettable());
}

#[test]
fn offsets_of_an_empty_group_expire_and_take_it_along() {
    let mut sim = Sim::over(1);
    sim.enter("a");
    commit(&mut sim, "a", 1, true).unwrap();
    let later = sim.now.wall + 8 * 24 * 3_600_000;
    assert!(sim.group.expire_offsets(later, &sim.settings).records.is_empty(), "it is read");
    sim.beat(Sim::quiet("a", -1)).unwrap();
    let step = sim.group.expire_offsets(later, &sim.settings);
    sim.advance(step).unwrap();
    assert!(sim.group.is_forgettable());
}

#[test]
fn an_empty_group_changes_its_kind_and_keeps_its_offsets() {
    let mut sim = Sim::over(1);
    sim.enter("a");
    commit(&mut sim, "a", 1, true).unwrap();
    sim.beat(Sim::quiet("a", -1)).unwrap();
    let id = sim.id(&[("range", "sub")]);
    assert_eq!(sim.group.kind(), GroupKind::Classic);
    assert!(sim.group.committed("t", 0).is_some());
    assert_eq!(sim.leave(&id, None), ErrorCode::NONE);
    sim.enter("b");
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
    assert!(sim.group.committed("t", 0).is_some());
}

#[test]
fn what_changes_within_the_assignment_interval_is_assigned_together() {
    let mut sim = Sim::over(6);
    sim.settings.consumer.assignment_interval_ms = 1_000;
    assert_eq!(assignment(&sim.enter("a")).len(), 6, "the first member waits for nobody");
    let second = sim.enter("b");
    assert_eq!((second.epoch, assignment(&second).len()), (1, 0));
    sim.pass(999);
    sim.enter("c");
    assert_eq!(sim.beat(Sim::quiet("a", 1)).unwrap().assignment, None, "nothing moves yet");
    assert_eq!(sim.group.consumer.state(), ConsumerState::Assigning);
    sim.pass(1);
    let told = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!(assignment(&told).len(), 2, "one assignment for both");
    // A restart does not forget when that was, so nobody waits for more or less than without one.
    sim.pass(300);
    sim.restart();
    sim.beat(Sim::quiet("c", -1)).unwrap();
    sim.pass(699);
    let epoch = sim.beat(Sim::quiet("b", 1)).unwrap().epoch;
    assert_eq!(sim.group.consumer.state(), ConsumerState::Assigning);
    sim.pass(1);
    sim.beat(Sim::quiet("b", epoch)).unwrap();
    assert_ne!(sim.group.consumer.state(), ConsumerState::Assigning);
}

#[test]
fn members_go_on_after_a_restart() {
    let mut sim = Sim::over(4);
    pair(&mut sim);
    sim.pass(44_000);
    sim.restart();
    sim.pass(44_000);
    let quiet = sim.beat(Sim::quiet("a", 2)).unwrap();
    assert_eq!((quiet.epoch, quiet.assignment), (2, None));
    sim.pass(2_000);
    assert_eq!(sim.beat(Sim::quiet("b", 2)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn what_could_not_be_kept_has_not_happened() {
    let mut sim = Sim::over(4);
    sim.settings.consumer.assignment_interval_ms = 1_000;
    sim.enter("a");
    // An assignment is due again, and one that did not come to be puts no other off.
    sim.pass(1_000);
    sim.broken = Some(ErrorCode::KAFKA_STORAGE_ERROR);
    sim.topics.set("t", 6);
    let _ = sim.beat(Sim::joining("b"));
    let _ = sim.beat(Sim::quiet("a", 1));
    sim.broken = None;
    assert_eq!(sim.beat(Sim::quiet("b", 2)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    let reply = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((reply.epoch, assignment(&reply).len()), (2, 6));
}

#[test]
fn g8_a_member_that_could_not_be_let_go_goes_when_its_session_ends() {
    let full = Some(ErrorCode::KAFKA_STORAGE_ERROR);
    let says_so = |sim: &mut Sim| drop(sim.beat(Sim::quiet("a", -1)));
    let is_taken_out = |sim: &mut Sim| {
        let _ = sim.leave("a", None);
    };
    for leave in [says_so as fn(&mut Sim), is_taken_out] {
        let mut sim = Sim::over(4);
        pair(&mut sim);
        sim.broken = full;
        leave(&mut sim);
        sim.broken = None;
        sim.pass(44_000);
        sim.beat(Sim::quiet("b", 2)).unwrap();
        assert_eq!(sim.group.consumer.members.len(), 2, "it may still be there");
        sim.pass(1_000);
        assert_eq!(assignment(&sim.beat(Sim::quiet("b", 2)).unwrap()).len(), 4);
    }
}

#[test]
fn g8_a_static_member_whose_return_could_not_be_kept_goes_when_its_session_ends() {
    let mut sim = Sim::over(4);
    let fixed = |id| Sim::pod(Sim::joining(id));
    sim.beat(fixed("a1")).unwrap();
    sim.beat(Sim::pod(Sim::quiet("a1", -2))).unwrap();
    sim.broken = Some(ErrorCode::KAFKA_STORAGE_ERROR);
    let _ = sim.beat(fixed("a2"));
    sim.broken = None;
    sim.pass(45_000);
    assert!(sim.group.consumer.is_empty());
    // The same id is no other member: it has a whole session from its return on.
    sim.beat(fixed("a1")).unwrap();
    sim.pass(30_000);
    sim.beat(Sim::pod(Sim::quiet("a1", -2))).unwrap();
    sim.beat(fixed("a1")).unwrap();
    sim.pass(44_999);
    assert!(!sim.group.consumer.is_empty());
    sim.pass(1);
    assert!(sim.group.consumer.is_empty());
}

#[test]
fn a_second_revocation_leaves_the_member_in_its_epoch() {
    let mut sim = Sim::over(6);
    sim.enter("a");
    sim.enter("b");
    let told = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((told.epoch, assignment(&told).len()), (1, 3));
    sim.enter("c");
    let told = sim.beat(Sim::owning("a", 1, &assignment(&told))).unwrap();
    assert_eq!((told.epoch, assignment(&told).len()), (1, 2));
    assert_eq!(sim.beat(Sim::owning("a", 1, &assignment(&told))).unwrap().epoch, 3);
}

#[test]
fn a_member_gives_up_at_once_what_it_no_longer_subscribes_to() {
    let mut sim = Sim::over(2);
    sim.topics.set("u", 2);
    sim.settings.consumer.assignment_interval_ms = 1_000;
    let (t, u) = (sim.topic("t"), sim.topic("u"));
    let reading = |epoch: i32, topics: &[&str]| Beat {
        topics: Some(topics.iter().map(|&name| name.into()).collect()),
        ..Sim::quiet("a", epoch)
    };
    let both = Beat { topics: Some(vec!["t".into(), "u".into()]), ..Sim::joining("a") };
    assert_eq!(assignment(&sim.beat(both).unwrap()).len(), 4);
    // The assignment that follows from it has to wait; this does not.
    let told = sim.beat(reading(1, &["t"])).unwrap();
    assert_eq!((told.epoch, assignment(&told).of(u).count()), (1, 0));
    assert_eq!(sim.group.consumer.state(), ConsumerState::Assigning);
    // Neither does it wait for another revocation.
    let told = sim.beat(reading(1, &[])).unwrap();
    assert_eq!((told.epoch, assignment(&told)), (1, Partitions::default()));
    let told = sim.beat(Beat { owned: Some(Partitions::default()), ..reading(1, &["u"]) }).unwrap();
    let told = (told.epoch, assignment(&told));
    assert_eq!((told.0, told.1.of(t).count(), told.1.of(u).count()), (1, 0, 2), "the old target has both");
    sim.pass(1_000);
    let quiet = sim.beat(Sim::quiet("a", 1)).unwrap();
    assert_eq!((quiet.epoch, quiet.assignment), (4, None));
}

#[test]
fn nobody_stays_behind_in_the_books() {
    let mut sim = Sim::over(4);
    pair(&mut sim);
    for id in ["a", "b"] {
        sim.beat(Sim::quiet(id, -1)).unwrap();
    }
    let group = &sim.group.consumer;
    assert!(group.owners.is_empty() && group.targets.is_empty() && group.static_members.is_empty());
    assert_eq!(group.timers.next(), None);
    assert_eq!(group.target_epoch, group.group_epoch(), "nothing is left to be assigned");
    let ids: HashSet<_> = group.members.keys().collect();
    assert!(ids.is_empty());
}
