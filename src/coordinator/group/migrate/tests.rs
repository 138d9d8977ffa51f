//! Groups on their way from one protocol to the other, request by request.

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use crate::coordinator::assign::Partitions;
use crate::coordinator::group::classic::{JoinRequest, Protocol, State, SyncRequest};
use crate::coordinator::group::consumer::{Beat, ConsumerState};
use crate::coordinator::group::embedded::{read_assignment, subscription};
use crate::coordinator::group::sim::{REBALANCE_MS, SESSION_MS, Sim};
use crate::coordinator::group::{GroupKind, JoinReply, MemberId};
use crate::coordinator::settings::Migration;

/// A consumer's JoinGroup that subscribes to `t`, and owns these of its partitions.
fn consumer(member_id: &str, owned: &[i32]) -> JoinRequest {
    let owned = [("t", owned)];
    let metadata = subscription(1, &["t"], if owned[0].1.is_empty() { &[] } else { &owned });
    let protocols = vec![
        Protocol { name: "cooperative-sticky".into(), metadata: metadata.clone() },
        Protocol { name: "range".into(), metadata },
    ];
    JoinRequest { protocols, ..Sim::request(member_id, &[]) }
}

fn assignment(partitions: &[i32]) -> Bytes {
    let mut out = b"\x00\x01".to_vec();
    out.extend(1i32.to_be_bytes());
    out.extend(b"\x00\x01t");
    out.extend((partitions.len() as i32).to_be_bytes());
    out.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
    out.extend((-1i32).to_be_bytes());
    out.into()
}

/// What a member gets at SyncGroup.
fn fetch(sim: &mut Sim, member_id: &str, generation: i32) -> Result<Vec<i32>, ErrorCode> {
    let token = sim.sync(member_id, generation, &[]);
    let reply = sim.synced(token);
    if reply.error != ErrorCode::NONE {
        return Err(reply.error);
    }
    let read = read_assignment(&reply.assignment).expect("an assignment");
    Ok(read.partitions.into_iter().flat_map(|(_, partitions)| partitions).collect())
}

fn join(sim: &mut Sim, request: JoinRequest) -> JoinReply {
    let token = sim.join(request);
    sim.joined(token)
}

/// A stable classic group of two consumers: their ids, the first with partitions 0 and 1, the second with 2 and 3.
fn classic_pair(sim: &mut Sim) -> (MemberId, MemberId, i32) {
    let one = join(sim, consumer("", &[])).member_id;
    let generation = join(sim, consumer(&one, &[])).generation;
    let token = sim.sync(&one, generation, &[]);
    sim.synced(token);
    let two = join(sim, consumer("", &[])).member_id;
    let tokens = [sim.join(consumer(&two, &[])), sim.join(consumer(&one, &[]))];
    let [_, reply] = tokens.map(|token| sim.joined(token));
    let given = vec![(one.clone(), assignment(&[0, 1])), (two.clone(), assignment(&[2, 3]))];
    let lead = SyncRequest { assignments: given, ..Sim::syncing(&reply.leader, reply.generation, &[]) };
    let token = sim.sync_with(lead);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    assert_eq!(fetch(sim, &one, reply.generation), Ok(vec![0, 1]));
    assert_eq!(fetch(sim, &two, reply.generation), Ok(vec![2, 3]));
    (one, two, reply.generation)
}

fn numbers(partitions: &Partitions) -> Vec<i32> {
    partitions.iter().map(|(_, partition)| partition).collect()
}

#[test]
fn g7_a_consumer_protocol_member_makes_a_classic_group_a_consumer_group_without_taking_anything() {
    let mut sim = Sim::over(6);
    let (one, two, generation) = classic_pair(&mut sim);
    sim.commit(&one, generation, 7).unwrap();
    let new = sim.enter("new");
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
    assert_eq!(new.epoch, generation + 1);
    // Two partitions are nobody's; all others are still with those that read them.
    assert_eq!(numbers(new.assignment.as_ref().unwrap()), [4, 5]);
    assert_eq!(sim.committed(), Some(7));
    sim.restart();
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
    // They may go on committing while they are called to join again.
    sim.commit(&one, generation, 8).unwrap();
    assert_eq!(sim.commit(&one, generation + 1, 9), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(sim.heartbeat(&one, generation), ErrorCode::REBALANCE_IN_PROGRESS);
    let reply = join(&mut sim, consumer(&one, &[0, 1]));
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, generation + 1));
    assert!(reply.leader.is_empty() && reply.members.is_empty(), "nobody assigns");
    assert_eq!(reply.protocol.as_deref(), Some("cooperative-sticky"));
    assert_eq!(fetch(&mut sim, &one, reply.generation), Ok(vec![0, 1]));
    // What it has had since it was in a classic group it may commit in that generation, but no older one.
    sim.commit(&one, generation, 9).unwrap();
    assert_eq!(sim.commit(&one, generation - 1, 10), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(sim.heartbeat(&one, reply.generation), ErrorCode::NONE);
    let reply = join(&mut sim, consumer(&two, &[2, 3]));
    assert_eq!(fetch(&mut sim, &two, reply.generation), Ok(vec![2, 3]));
    assert_eq!(sim.group.consumer.state(), ConsumerState::Stable);
    let view = sim.group.consumer.view(Default::default());
    assert_eq!(view.members.iter().filter(|member| member.subscription.classic.is_some()).count(), 2);
    assert_eq!(sim.compacted().consumer.kept(), sim.group.consumer.kept());
}

#[test]
fn g7_a_classic_member_gives_up_what_it_has_to_when_it_joins_again() {
    let mut sim = Sim::over(4);
    let (one, two, _) = classic_pair(&mut sim);
    let new = sim.enter("new");
    assert!(new.assignment.as_ref().unwrap().is_empty());
    // Cooperative: the member still has everything when it joins, and is told to give up one.
    let reply = join(&mut sim, consumer(&one, &[0, 1]));
    let reply_two = join(&mut sim, consumer(&two, &[2, 3]));
    let kept = [fetch(&mut sim, &one, reply.generation), fetch(&mut sim, &two, reply_two.generation)];
    let kept = kept.map(|kept| kept.unwrap());
    assert_eq!(kept.iter().map(Vec::len).sum::<usize>(), 3, "{kept:?}");
    assert_eq!(sim.beat(Sim::quiet("new", new.epoch)).unwrap().assignment, None);
    let (giver, kept, reply) =
        if kept[0].len() == 1 { (&one, &kept[0], reply) } else { (&two, &kept[1], reply_two) };
    assert_eq!(sim.heartbeat(giver, reply.generation), ErrorCode::REBALANCE_IN_PROGRESS);
    let again = join(&mut sim, consumer(giver, kept));
    assert_eq!(again.generation, new.epoch);
    assert_eq!(fetch(&mut sim, giver, again.generation).as_ref(), Ok(kept));
    let taken = sim.beat(Sim::quiet("new", new.epoch)).unwrap().assignment.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(sim.group.consumer.state(), ConsumerState::Stable);
}

#[test]
fn g7_a_round_under_way_is_broken_off_by_an_upgrade() {
    let mut sim = Sim::over(4);
    let (one, two, _) = classic_pair(&mut sim);
    let pending = join(&mut sim, consumer("", &[])).member_id;
    let waiting = sim.join(consumer(&pending, &[]));
    let waiting_too = sim.join(consumer(&one, &[]));
    sim.enter("new");
    assert_eq!(sim.joined(waiting).error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(sim.joined(waiting_too).error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(sim.parked(), 0);
    for id in [&one, &two, &pending] {
        assert_eq!(join(&mut sim, consumer(id, &[])).error, ErrorCode::NONE);
    }
}

#[test]
fn g7_a_classic_member_that_does_not_do_its_part_in_time_is_removed() {
    let mut sim = Sim::over(4);
    let (one, two, generation) = classic_pair(&mut sim);
    sim.settings.consumer.session_timeout_ms = 10 * REBALANCE_MS as i32;
    sim.enter("new");
    let reply = join(&mut sim, consumer(&one, &[]));
    // One heartbeats and never asks for its partitions, the other never joins again.
    for _ in 0..REBALANCE_MS / SESSION_MS {
        sim.heartbeat(&one, reply.generation);
        sim.heartbeat(&two, generation);
        sim.pass(SESSION_MS - 1);
    }
    assert_ne!(sim.heartbeat(&one, reply.generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_ne!(sim.heartbeat(&two, generation), ErrorCode::UNKNOWN_MEMBER_ID);
    sim.pass(SESSION_MS - 1);
    assert_eq!(sim.heartbeat(&one, reply.generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.heartbeat(&two, generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
}

#[test]
fn g8_a_member_that_was_removed_gives_up_what_it_has_before_it_joins_again() {
    let mut sim = Sim::over(4);
    let (one, ..) = classic_pair(&mut sim);
    sim.enter("new");
    sim.pass(SESSION_MS);
    assert_eq!(join(&mut sim, consumer(&one, &[0, 1])).error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(join(&mut sim, consumer("", &[])).error, ErrorCode::MEMBER_ID_REQUIRED);
}

#[test]
fn g7_a_silent_classic_member_goes_with_its_own_session() {
    let mut sim = Sim::over(4);
    let (one, _, _) = classic_pair(&mut sim);
    sim.enter("new");
    sim.pass(SESSION_MS - 1);
    assert!(sim.group.consumer.view(Default::default()).members.iter().any(|it| it.id == one));
    sim.pass(1);
    let left = sim.group.consumer.view(Default::default()).members;
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn g7_the_last_consumer_protocol_member_leaves_a_classic_group_behind() {
    for way in ["leave", "session", "by an administrator"] {
        let mut sim = Sim::over(4);
        let (one, two, _) = classic_pair(&mut sim);
        sim.commit(&one, sim.group.classic.generation(), 7).unwrap();
        let new = sim.enter("new");
        let generation = join(&mut sim, consumer(&one, &[])).generation;
        join(&mut sim, consumer(&two, &[]));
        match way {
            "leave" => assert!(sim.beat(Sim::quiet("new", -1)).is_ok()),
            "session" => {
                for _ in 0..5 {
                    sim.pass(9_000);
                    sim.heartbeat(&one, generation);
                    sim.heartbeat(&two, generation);
                }
            }
            _ => assert_eq!(sim.leave("new", None), ErrorCode::NONE),
        }
        assert_eq!(sim.group.kind(), GroupKind::Classic, "{way}");
        assert_eq!(sim.state(), State::PreparingRebalance, "{way}");
        assert_eq!(sim.committed(), Some(7));
        assert_eq!(sim.beat(Sim::quiet("new", new.epoch)), Err(ErrorCode::GROUP_ID_NOT_FOUND));
        // A restart at this point must not forget that a round was to be.
        sim.restart();
        assert_eq!(sim.state(), State::PreparingRebalance, "{way}");
        let compacted = sim.compacted();
        assert_eq!(compacted.kept(), sim.group.kept());
        assert!(!compacted.consumer.exists());
        assert_eq!(sim.heartbeat(&one, generation), ErrorCode::REBALANCE_IN_PROGRESS);
        let tokens = [&one, &two].map(|id| sim.join(consumer(id, &[])));
        let replies = tokens.map(|token| sim.joined(token));
        assert_eq!(replies[0].generation, replies[1].generation);
        assert!(replies[0].generation > generation);
        assert_eq!(replies.iter().filter(|reply| reply.members.len() == 2).count(), 1, "one leads");
    }
}

#[test]
fn g7_a_group_of_which_nobody_is_left_stays_a_consumer_group() {
    let mut sim = Sim::over(4);
    let (one, two, _) = classic_pair(&mut sim);
    sim.enter("new");
    assert_eq!(sim.leave(&one, None), ErrorCode::NONE);
    assert_eq!(sim.leave(&two, None), ErrorCode::NONE);
    assert_eq!(sim.group.kind(), GroupKind::Consumer, "the one that is left speaks it");
    sim.beat(Sim::quiet("new", -1)).unwrap();
    assert_eq!((sim.group.kind(), sim.group.is_empty()), (GroupKind::Consumer, true));
}

#[test]
fn g7_a_group_rolls_from_one_protocol_to_the_other_and_back() {
    let mut sim = Sim::over(4);
    let (one, two, _) = classic_pair(&mut sim);
    sim.enter("a");
    assert_eq!(sim.leave(&one, None), ErrorCode::NONE);
    sim.enter("b");
    assert_eq!(sim.leave(&two, None), ErrorCode::NONE);
    for _ in 0..3 {
        for (id, epoch) in [("a", 0), ("b", 0)] {
            sim.beat(Beat { epoch, ..Sim::joining(id) }).unwrap();
        }
    }
    assert_eq!(sim.group.consumer.state(), ConsumerState::Stable);
    // And back: a classic member may join, first to get its id.
    let reply = join(&mut sim, consumer("", &[]));
    assert_eq!(reply.error, ErrorCode::MEMBER_ID_REQUIRED);
    let id = reply.member_id;
    assert_eq!(join(&mut sim, consumer(&id, &[])).error, ErrorCode::NONE);
    sim.beat(Sim::quiet("a", -1)).unwrap();
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
    sim.beat(Sim::quiet("b", -1)).unwrap();
    assert_eq!(sim.group.kind(), GroupKind::Classic);
    let reply = join(&mut sim, consumer(&id, &[]));
    assert_eq!((reply.error, reply.leader), (ErrorCode::NONE, id));
}

#[test]
fn g7_a_static_member_changes_its_protocol_in_both_directions_and_keeps_its_partitions() {
    let mut sim = Sim::over(4);
    let fixed = |id: &str| JoinRequest { instance_id: Some("pod".into()), ..consumer(id, &[]) };
    let old = join(&mut sim, fixed("")).member_id;
    let lead = SyncRequest {
        assignments: vec![(old.clone(), assignment(&[0, 1, 2, 3]))],
        ..Sim::syncing(&old, 1, &[])
    };
    let token = sim.sync_with(lead);
    assert_eq!(sim.synced(token).error, ErrorCode::NONE);
    // It need not leave first, as its old self cannot be told that it should.
    let beat = Sim::pod(Sim::joining("new"));
    let joined = sim.beat(beat).unwrap();
    assert_eq!(numbers(joined.assignment.as_ref().unwrap()), [0, 1, 2, 3]);
    assert_eq!(sim.group.consumer.view(Default::default()).members.len(), 1);
    assert_eq!(sim.heartbeat(&old, 1), ErrorCode::UNKNOWN_MEMBER_ID);

    let back = join(&mut sim, fixed(""));
    assert_eq!(back.error, ErrorCode::NONE);
    assert_eq!(sim.group.kind(), GroupKind::Classic, "nobody speaks the consumer protocol any more");
    assert_eq!(sim.beat(Sim::quiet("new", joined.epoch)), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    let again = join(&mut sim, fixed(&back.member_id));
    assert_eq!((again.error, again.leader), (ErrorCode::NONE, back.member_id));
}

#[test]
fn g7_the_policy_decides_who_may_change() {
    for (policy, up, down) in [
        (Migration::Disabled, false, false),
        (Migration::Upgrade, true, false),
        (Migration::Downgrade, false, true),
        (Migration::Bidirectional, true, true),
    ] {
        let mut sim = Sim::over(4);
        sim.settings.migration = policy;
        let (one, _, generation) = classic_pair(&mut sim);
        assert_eq!(sim.beat(Sim::joining("new")).is_ok(), up, "{policy:?}");
        if !up {
            let refused = sim.try_beat(Sim::joining("new")).unwrap_err();
            assert_eq!(refused.code, ErrorCode::GROUP_ID_NOT_FOUND);
            assert!(refused.message.contains("online upgrade is disabled"), "{}", refused.message);
            assert_eq!(sim.heartbeat(&one, generation), ErrorCode::NONE, "nothing has changed");
        }
        let mut sim = Sim::over(4);
        sim.settings.migration = policy;
        sim.enter("new");
        let asked = join(&mut sim, consumer("", &[]));
        if policy == Migration::Disabled {
            // As Kafka's throwIfClassicMemberCannotJoinConsumerGroup.
            assert_eq!(asked.error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            let again = join(&mut sim, consumer("new", &[]));
            assert_eq!((again.error, &*again.member_id), (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, ""));
            assert_eq!(sim.group.consumer.view(Default::default()).members.len(), 1);
            continue;
        }
        assert_eq!(join(&mut sim, consumer(&asked.member_id, &[])).error, ErrorCode::NONE, "{policy:?}");
        sim.beat(Sim::quiet("new", -1)).unwrap();
        assert_eq!(sim.group.kind() == GroupKind::Classic, down, "{policy:?}");
    }
}

#[test]
fn g7_what_is_not_a_consumer_is_not_upgraded() {
    let mut sim = Sim::over(4);
    let connect = JoinRequest { protocol_type: "connect".into(), ..consumer("", &[]) };
    let id = join(&mut sim, connect.clone()).member_id;
    join(&mut sim, JoinRequest { member_id: id.clone(), ..connect });
    assert_eq!(sim.beat(Sim::joining("new")), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(sim.heartbeat(&id, 1), ErrorCode::NONE);

    let mut sim = Sim::over(4);
    sim.stable(1);
    let refused = sim.try_beat(Sim::joining("new")).unwrap_err();
    assert!(refused.message.contains("malformed"), "{}", refused.message);

    let mut sim = Sim::over(4);
    sim.enter("new");
    let strange = JoinRequest { protocol_type: "connect".into(), ..consumer("", &[]) };
    assert_eq!(join(&mut sim, strange).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let id = join(&mut sim, consumer("", &[])).member_id;
    join(&mut sim, consumer(&id, &[]));
    let mut other = consumer("other", &[]);
    other.protocols.iter_mut().for_each(|protocol| protocol.name = "exotic".into());
    assert_eq!(join(&mut sim, other).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(
        join(&mut sim, Sim::request("x", &[("range", "sub")])).error,
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL
    );
}

#[test]
fn g7_a_conversion_that_cannot_be_kept_changes_nothing() {
    let mut sim = Sim::over(4);
    let (one, two, generation) = classic_pair(&mut sim);
    sim.broken = Some(ErrorCode::NOT_COORDINATOR);
    let _ = sim.beat(Sim::joining("new"));
    assert_eq!(sim.group.kind(), GroupKind::Classic);
    sim.broken = None;
    assert_eq!(sim.heartbeat(&one, generation), ErrorCode::NONE);
    sim.enter("new");
    join(&mut sim, consumer(&one, &[]));
    sim.broken = Some(ErrorCode::NOT_COORDINATOR);
    let _ = sim.beat(Sim::quiet("new", -1));
    assert_eq!(sim.group.kind(), GroupKind::Consumer);
    assert_eq!(join(&mut sim, consumer(&two, &[])).error, ErrorCode::NOT_COORDINATOR);
}

#[test]
fn a_classic_member_waits_for_the_assignment_interval_as_others_do() {
    let mut sim = Sim::over(4);
    sim.settings.consumer.assignment_interval_ms = 1_000;
    sim.enter("m");
    let id = join(&mut sim, consumer("", &[])).member_id;
    let joined = join(&mut sim, consumer(&id, &[]));
    assert_eq!((joined.error, joined.generation), (ErrorCode::NONE, 1), "the last assignment's");
    assert_eq!(fetch(&mut sim, &id, 1), Ok(vec![]), "which has nothing for it");
    sim.pass(999);
    assert_eq!(sim.heartbeat(&id, 1), ErrorCode::NONE, "it is not made to ask in vain");
    sim.pass(1);
    assert_eq!(sim.heartbeat(&id, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let joined = join(&mut sim, consumer(&id, &[]));
    assert_eq!((joined.error, joined.generation), (ErrorCode::NONE, 2));
    assert_eq!(fetch(&mut sim, &id, 2), Ok(vec![]), "the other one still has them");
    let reply = sim.beat(Beat { owned: None, ..Sim::quiet("m", 1) }).expect("stays");
    let left = reply.assignment.expect("less than before");
    sim.beat(Sim::owning("m", reply.epoch, &left)).expect("revoked");
    assert_eq!(sim.heartbeat(&id, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    let generation = join(&mut sim, consumer(&id, &[])).generation;
    assert_eq!(fetch(&mut sim, &id, generation).map(|partitions| partitions.len()), Ok(2));
}

#[test]
fn an_upgrade_makes_an_assignment_that_the_next_one_waits_for() {
    let mut sim = Sim::over(4);
    sim.settings.consumer.assignment_interval_ms = 1_000;
    let (_, _, generation) = classic_pair(&mut sim);
    assert_eq!(sim.enter("new").epoch, generation + 1);
    assert_eq!(sim.enter("other").epoch, generation + 1, "the last assignment's");
    sim.pass(1_000);
    assert_eq!(sim.beat(Sim::quiet("other", generation + 1)).unwrap().epoch, generation + 2);
}
