//! What is shown, and how much a large group costs.

use std::collections::HashSet;

use bytes::Bytes;
use quipu_protocol::error_code::ErrorCode;

use super::RANGE;
use crate::coordinator::group::Reply;
use crate::coordinator::group::sim::Sim;
use crate::coordinator::group::timers::Timer;

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
