//! `uniform`: every member gets as many partitions as any other, as far as subscriptions allow; what a member has, it
//! keeps, as far as balance allows.

use std::collections::BTreeMap;

use quipu_protocol::primitives::Uuid;

use super::{Partitions, Subscriber};

pub(super) fn assign(members: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let Some(first) = members.first() else { return Vec::new() };
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| members[at].name);
    if members.iter().all(|member| member.topics == first.topics) {
        equal(members, &order, topics)
    } else {
        mixed(members, &order, topics)
    }
}

/// Everybody reads the same: all get `total / members`, and the rest one more each.
fn equal(members: &[Subscriber<'_>], order: &[usize], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut free: Partitions = all(members, topics).collect();
    let share = free.len() / members.len();
    let mut one_more = free.len() % members.len();
    let mut assigned = vec![Partitions::default(); members.len()];
    let mut rooms = vec![0; members.len()];
    // Who has most first: of those that have more than their share, the extra ones stay with as many as may have one.
    for &at in order {
        let mut room = share;
        for (topic, partition) in members[at].current.iter() {
            if !free.contains(topic, partition) {
                continue;
            }
            if room == 0 && one_more > 0 && assigned[at].len() == share {
                one_more -= 1;
                room = 1;
            }
            if room == 0 {
                break;
            }
            room -= 1;
            free.remove(topic, partition);
            assigned[at].insert(topic, partition);
        }
        rooms[at] = room;
    }
    let mut free = free.iter();
    for &at in order {
        for (topic, partition) in free.by_ref().take(rooms[at]) {
            assigned[at].insert(topic, partition);
        }
    }
    // What is left is one more for some of those that have just their share.
    for &at in order.iter().filter(|&&at| assigned[at].len() == share).collect::<Vec<_>>() {
        if one_more == 0 {
            break;
        }
        if let Some((topic, partition)) = free.next() {
            one_more -= 1;
            assigned[at].insert(topic, partition);
        }
    }
    assigned
}

/// Members read different topics: give what is free to whoever has least, then even out.
fn mixed(members: &[Subscriber<'_>], order: &[usize], topics: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut free: Partitions = all(members, topics).collect();
    let mut assigned = vec![Partitions::default(); members.len()];
    let mut loads = vec![0usize; members.len()];
    for &at in order {
        for (topic, partition) in members[at].current.iter() {
            if members[at].topics.contains(&topic) && free.remove(topic, partition) {
                assigned[at].insert(topic, partition);
                loads[at] += 1;
            }
        }
    }
    let subscribers: BTreeMap<Uuid, Vec<usize>> = topics
        .keys()
        .map(|&topic| {
            (topic, order.iter().copied().filter(|&at| members[at].topics.contains(&topic)).collect())
        })
        .collect();
    // Topics with few readers first: their partitions have least choice.
    let mut by_choice: Vec<Uuid> = topics.keys().copied().collect();
    by_choice.sort_by_key(|topic| subscribers[topic].len());
    for &topic in &by_choice {
        for partition in free.of(topic) {
            if let Some(&at) = subscribers[&topic].iter().min_by_key(|&&at| loads[at]) {
                assigned[at].insert(topic, partition);
                loads[at] += 1;
            }
        }
    }
    // Each move lowers the sum of the squares of the loads, so this ends.
    loop {
        let mut moved = false;
        for &topic in &by_choice {
            while let Some((from, to)) = imbalance(topic, &subscribers[&topic], &assigned, &loads) {
                let Some(partition) = assigned[from].of(topic).last() else { break };
                assigned[from].remove(topic, partition);
                assigned[to].insert(topic, partition);
                loads[from] -= 1;
                loads[to] += 1;
                moved = true;
            }
        }
        if !moved {
            return assigned;
        }
    }
}

/// Who should give a partition of the topic to whom: the most to the least loaded, if they are apart by two or more.
fn imbalance(
    topic: Uuid,
    subscribers: &[usize],
    assigned: &[Partitions],
    loads: &[usize],
) -> Option<(usize, usize)> {
    let holds = |at: &usize| assigned[*at].of(topic).next().is_some();
    let from = subscribers.iter().copied().filter(holds).max_by_key(|&at| loads[at])?;
    let to = subscribers.iter().copied().min_by_key(|&at| loads[at])?;
    (loads[from] > loads[to] + 1).then_some((from, to))
}

/// Every partition that somebody reads.
fn all<'a>(
    members: &'a [Subscriber<'_>],
    topics: &'a BTreeMap<Uuid, i32>,
) -> impl Iterator<Item = (Uuid, i32)> + 'a {
    let is_read = |topic: &Uuid| members.iter().any(|member| member.topics.contains(topic));
    topics
        .iter()
        .filter(move |(topic, _)| is_read(topic))
        .flat_map(|(&topic, &count)| (0..count).map(move |partition| (topic, partition)))
}
