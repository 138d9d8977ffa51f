//! Expiry and removal of offsets and groups (O4).

use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::sim::Sim;

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
    let mut sim = Sim::over(1);
    sim.commit("", -1, 5).unwrap();
    let id = sim.topic("t");
    assert!(sim.group.remove_missing(&sim.topics).records.is_empty());
    assert!(sim.group.remove_topic("u", id).records.is_empty());
    sim.topics.set("t", 0);
    let missing = sim.group.remove_missing(&sim.topics);
    sim.topics.remove("t");
    assert_eq!(missing.records, sim.group.remove_missing(&sim.topics).records);
    sim.topics.set("t", 1);
    assert_eq!(missing.records, sim.group.remove_missing(&sim.topics).records, "it is another one");
    assert!(sim.group.remove_topic("t", sim.topic("t")).records.is_empty());
    assert_eq!(missing.records, sim.group.remove_topic("t", id).records);
    sim.advance(missing).unwrap();
    assert_eq!(sim.committed(), None);
}
