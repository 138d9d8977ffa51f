use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use quipu_protocol::primitives::Uuid;

use super::{Assignor, Partitions, Subscriber};

fn topic(number: u8) -> Uuid {
    Uuid([number; 16])
}

fn topics(sizes: &[i32]) -> BTreeMap<Uuid, i32> {
    (1..).zip(sizes).map(|(number, &size)| (topic(number), size)).collect()
}

/// Assigns to members that read the given topics and have the given partitions.
fn assign(
    assignor: Assignor,
    reads: &[&[u8]],
    currents: &[Partitions],
    topics: &BTreeMap<Uuid, i32>,
) -> Vec<Partitions> {
    let names: Vec<String> = (0..reads.len()).map(|at| format!("member-{at:03}")).collect();
    let members: Vec<Subscriber<'_>> = reads
        .iter()
        .enumerate()
        .map(|(at, reads)| Subscriber {
            name: &names[at],
            topics: Arc::new(reads.iter().map(|&number| topic(number)).collect()),
            current: &currents[at],
        })
        .collect();
    assignor.assign(&members, topics)
}

fn list(partitions: &Partitions) -> Vec<(u8, i32)> {
    partitions.iter().map(|(topic, partition)| (topic.0[0], partition)).collect()
}

#[test]
fn range_cuts_topics_of_one_size_alike() {
    let none = vec![Partitions::default(); 2];
    let given = assign(Assignor::Range, &[&[1, 2], &[1, 2]], &none, &topics(&[3, 3]));
    assert_eq!(list(&given[0]), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    assert_eq!(list(&given[1]), [(1, 2), (2, 2)]);
}

#[test]
fn range_gives_nothing_to_members_beyond_the_partitions() {
    let none = vec![Partitions::default(); 3];
    let given = assign(Assignor::Range, &[&[1], &[1], &[1]], &none, &topics(&[2]));
    assert_eq!(given.iter().map(Partitions::len).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn uniform_moves_only_what_a_new_member_needs() {
    let before = assign(Assignor::Uniform, &[&[1], &[1]], &vec![Partitions::default(); 2], &topics(&[6]));
    assert_eq!(before.iter().map(Partitions::len).collect::<Vec<_>>(), [3, 3]);
    let mut current = before.clone();
    current.push(Partitions::default());
    let after = assign(Assignor::Uniform, &[&[1], &[1], &[1]], &current, &topics(&[6]));
    assert_eq!(after.iter().map(Partitions::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(after[0].is_subset(&before[0]) && after[1].is_subset(&before[1]));
}

#[test]
fn uniform_gives_a_topic_with_one_reader_to_it() {
    let none = vec![Partitions::default(); 2];
    let given = assign(Assignor::Uniform, &[&[1, 2], &[1]], &none, &topics(&[4, 2]));
    assert_eq!(given[0].of(topic(2)).count(), 2);
    assert_eq!(given.iter().map(Partitions::len).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn what_nobody_reads_or_does_not_exist_is_nobodys() {
    for assignor in Assignor::ALL {
        assert!(assign(assignor, &[], &[], &topics(&[3])).is_empty());
        let given = assign(assignor, &[&[9], &[]], &vec![Partitions::default(); 2], &topics(&[3]));
        assert!(given.iter().all(Partitions::is_empty));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every partition that somebody reads has one owner, who reads it; uniform is balanced and stable.
    #[test]
    fn every_partition_has_one_reader(
        sizes in prop::collection::vec(0..7i32, 1..5),
        reads in prop::collection::vec(prop::collection::btree_set(1..5u8, 0..4), 1..6),
        same in any::<bool>(),
    ) {
        let topics = topics(&sizes);
        let reads: Vec<Vec<u8>> = reads
            .iter()
            .map(|own| if same { &reads[0] } else { own })
            .map(|own: &BTreeSet<u8>| own.iter().copied().collect())
            .collect();
        let reads: Vec<&[u8]> = reads.iter().map(|own| &**own).collect();
        for assignor in Assignor::ALL {
            let given = assign(assignor, &reads, &vec![Partitions::default(); reads.len()], &topics);
            let mut seen = Partitions::default();
            for (member, partitions) in given.iter().enumerate() {
                for (topic, partition) in partitions.iter() {
                    prop_assert!(reads[member].contains(&topic.0[0]));
                    prop_assert!(seen.insert(topic, partition), "two owners");
                }
            }
            let wanted = topics
                .iter()
                .filter(|(topic, _)| reads.iter().any(|own| own.contains(&topic.0[0])))
                .map(|(_, &count)| count as usize)
                .sum::<usize>();
            prop_assert_eq!(seen.len(), wanted);
            // Assigning again changes nothing.
            prop_assert_eq!(&assign(assignor, &reads, &given, &topics), &given);
            if assignor == Assignor::Uniform && same {
                let loads = given.iter().map(Partitions::len);
                prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1);
            }
        }
    }
}
