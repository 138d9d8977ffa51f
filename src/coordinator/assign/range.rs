//! `range`: per topic, neighbouring partitions to each subscriber, in the order of their names.
//!
//! Topics of the same size and with the same subscribers are cut alike, so that the member that has partition 3 of one
//! has partition 3 of the others: what joins need.

use std::collections::BTreeMap;

use quipu_protocol::primitives::Uuid;

use super::{Partitions, Subscriber};

pub(super) fn assign(members: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| members[at].name);
    let mut assigned = vec![Partitions::default(); members.len()];
    for (&topic, &count) in topics {
        let subscribers: Vec<usize> =
            order.iter().copied().filter(|&at| members[at].topics.contains(&topic)).collect();
        let Some(share) = count.checked_div(subscribers.len() as i32) else { continue };
        let one_more = (count % subscribers.len() as i32) as usize;
        let mut next = 0;
        for (at, member) in subscribers.into_iter().enumerate() {
            let end = next + share + i32::from(at < one_more);
            for partition in next..end {
                assigned[member].insert(topic, partition);
            }
            next = end;
        }
    }
    assigned
}
