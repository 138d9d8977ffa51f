//! What clients did and were told, and what readers may therefore see.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quipu_protocol::message::fetch::PartitionData;
use quipu_protocol::record::{Batches, Records};

/// What is known of how a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody asked for its commit.
    Open,
    /// Its commit was asked for, and the answer is not known.
    Unsure,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) producer: usize,
    pub(super) outcome: Outcome,
    pub(super) began_ms: i64,
    /// Its abort was asked for, by its producer or by one that came after it.
    pub(super) is_doomed: bool,
    /// Records that were acknowledged: partition and offset by value.
    pub(super) taken: BTreeMap<u64, (i32, i64)>,
    /// The offset that was committed in it, and acknowledged.
    pub(super) offset: Option<i64>,
}

/// All transactions ever begun, by their number, and all values ever sent.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) transactions: Vec<Told>,
    /// The transaction of each value; none for those that were sent under an identity of the past.
    owners: Vec<Option<usize>>,
    /// Values that were refused at the first attempt.
    refused: BTreeSet<u64>,
    /// What was ever seen at an offset: a value, or a marker.
    seen: HashMap<(i32, i64), Option<u64>>,
    /// High watermark and last stable offset by partition, as last seen.
    ends: HashMap<i32, (i64, i64)>,
}

/// One entry of a log.
#[derive(Debug)]
struct Entry {
    offset: i64,
    producer_id: i64,
    /// `None` is a marker of a commit or an abort.
    value: Result<u64, bool>,
}

impl History {
    pub(super) fn begin(&mut self, producer: usize, now_ms: i64) -> usize {
        self.transactions.push(Told {
            producer,
            outcome: Outcome::Open,
            began_ms: now_ms,
            is_doomed: false,
            taken: BTreeMap::new(),
            offset: None,
        });
        self.transactions.len() - 1
    }

    pub(super) fn of(&self, producer: usize) -> impl Iterator<Item = &Told> {
        self.transactions.iter().filter(move |told| told.producer == producer)
    }

    /// A new value, for a transaction or for nobody to see.
    pub(super) fn value(&mut self, transaction: Option<usize>) -> u64 {
        self.owners.push(transaction);
        self.owners.len() as u64 - 1
    }

    pub(super) fn taken(&mut self, value: u64, partition: i32, offset: i64) {
        let owner = self.owners[value as usize].expect("a value that nobody may see was taken");
        let before = self.transactions[owner].taken.insert(value, (partition, offset));
        assert!(
            before.is_none_or(|before| before == (partition, offset)),
            "{value}: one record, two offsets"
        );
    }

    pub(super) fn refused(&mut self, value: u64) {
        self.refused.insert(value);
    }

    /// The producer of the transaction got a new identity, or the answer that it can never be committed.
    pub(super) fn fenced(&mut self, transaction: usize) {
        let outcome = &mut self.transactions[transaction].outcome;
        if *outcome == Outcome::Open {
            *outcome = Outcome::Aborted;
        }
    }

    /// Holds what readers of both isolation levels get from the start of a partition against the history. Gives the
    /// values that readers of committed records see.
    pub(super) fn check(
        &mut self,
        partition: i32,
        all: &PartitionData<'_>,
        committed: &PartitionData<'_>,
        is_late: impl Fn(i64) -> bool,
    ) -> BTreeSet<u64> {
        let log = entries(all);
        let (high, stable) = (all.high_watermark, committed.last_stable_offset);
        assert_eq!(log.last().map_or(0, |entry| entry.offset + 1), high, "the log does not reach its end");

        // Kept for good: one value at an offset, one offset for a value, ends that only grow (L2, L4).
        let mut places = BTreeMap::new();
        for entry in &log {
            let seen = *self.seen.entry((partition, entry.offset)).or_insert(entry.value.ok());
            assert_eq!(seen, entry.value.ok(), "another record at offset {} than before", entry.offset);
            if let Ok(value) = entry.value {
                assert_eq!(places.insert(value, entry.offset), None, "{value} is there twice");
                assert!(!self.refused.contains(&value), "{value} was refused and is there");
                assert!(self.owners[value as usize].is_some(), "{value} was sent by a producer of the past");
            }
        }
        let before = self.ends.insert(partition, (high, stable)).unwrap_or_default();
        assert!(high >= before.0 && stable >= before.1, "{high} {stable} after {before:?}");

        // T8, T9 by brute force.
        let (first_open, aborted) = replay(&log);
        assert_eq!(stable, first_open.unwrap_or(high), "last stable offset");
        let told: BTreeSet<_> = committed
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| (aborted.first_offset, aborted.producer_id))
            .collect();
        let expected: BTreeSet<_> = aborted.into_iter().filter(|(first, _)| *first < stable).collect();
        assert_eq!(told, expected, "aborted transactions below {stable}");

        let visible = read_committed(committed, &told);
        for (value, offset) in &visible {
            assert_eq!(places.get(value), Some(offset), "{value} at {offset} is only seen by some");
            let owner = self.owners[*value as usize].expect("checked above");
            let outcome = self.transactions[owner].outcome;
            assert!(
                matches!(outcome, Outcome::Committed | Outcome::Unsure),
                "{value} is seen, its transaction {owner} is {outcome:?}"
            );
        }
        for (number, told) in self.transactions.iter().enumerate() {
            for (value, &(home, offset)) in &told.taken {
                if home != partition {
                    continue;
                }
                assert_eq!(places.get(value), Some(&offset), "{value} was acknowledged at {offset}");
                match told.outcome {
                    Outcome::Committed if offset < stable => {
                        assert!(
                            visible.contains_key(value),
                            "{value} of {number} was committed, and is not seen"
                        );
                    }
                    Outcome::Open if !told.is_doomed && !is_late(told.began_ms) => {
                        assert!(stable <= offset, "{stable} is beyond {offset} of {number}, which is open");
                    }
                    _ => {}
                }
            }
        }
        visible.into_keys().collect()
    }
}

fn entries(found: &PartitionData<'_>) -> Vec<Entry> {
    let bytes = found.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
    let mut entries = Vec::new();
    for batch in Batches::new(&bytes) {
        let header = batch.header();
        assert_eq!(batch.computed_crc(), header.crc);
        for record in Records::new(batch.payload(), header.records_count) {
            let record = record.unwrap();
            let value = if header.attributes.is_control() {
                // Version and type: 0 aborts, 1 commits.
                Err(record.key.unwrap()[3] == 1)
            } else {
                Ok(u64::from_be_bytes(record.value.unwrap().try_into().unwrap()))
            };
            let offset = header.base_offset + i64::from(record.offset_delta);
            entries.push(Entry { offset, producer_id: header.producer_id, value });
        }
    }
    assert!(entries.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets out of order");
    entries
}

/// The first offset of what is open, and of everything aborted, with its producer.
fn replay(log: &[Entry]) -> (Option<i64>, Vec<(i64, i64)>) {
    let mut open = BTreeMap::new();
    let mut aborted = Vec::new();
    for entry in log {
        match entry.value {
            Ok(_) => {
                open.entry(entry.producer_id).or_insert(entry.offset);
            }
            Err(is_commit) => {
                if let Some(first) = open.remove(&entry.producer_id)
                    && !is_commit
                {
                    aborted.push((first, entry.producer_id));
                }
            }
        }
    }
    (open.into_values().min(), aborted)
}

/// What a consumer keeps of an answer, as all clients do it: by value, with its offset.
fn read_committed(found: &PartitionData<'_>, aborted: &BTreeSet<(i64, i64)>) -> BTreeMap<u64, i64> {
    let mut coming = aborted.iter().peekable();
    let mut passed_over = BTreeSet::new();
    let mut kept = BTreeMap::new();
    for entry in entries(found) {
        while let Some((_, producer)) = coming.next_if(|(first, _)| *first <= entry.offset) {
            passed_over.insert(*producer);
        }
        match entry.value {
            Err(is_commit) => {
                if !is_commit {
                    passed_over.remove(&entry.producer_id);
                }
            }
            Ok(value) if !passed_over.contains(&entry.producer_id) => {
                kept.insert(value, entry.offset);
            }
            Ok(_) => {}
        }
    }
    kept
}
