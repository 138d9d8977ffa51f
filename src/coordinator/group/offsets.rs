//! The offsets that a group has committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::Record;
use super::consumer::Admitted;
use crate::coordinator::Millis;
use crate::coordinator::doors::TopicLookup;

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset that the group will read.
    pub offset: i64,
    /// Leader epoch of the last record read; −1 when the client gave none.
    pub leader_epoch: i32,
    /// What the client attached.
    pub metadata: Arc<str>,
    /// Wall clock of the commit.
    pub commit_ms: Millis,
    /// When it may go, if the client asked for its own retention (OffsetCommit 2–4); −1 otherwise.
    pub expire_ms: Millis,
    /// Id of the topic that it was committed for; zero when that is not known: in records before Kafka 4.1, and in those
    /// with a retention of their own.
    pub topic_id: Uuid,
}

impl Committed {
    /// Whether it may count for the topic with this id, and not only for one that had the same name before
    /// (KAFKA-19154).
    pub fn is_of(&self, topic_id: Uuid) -> bool {
        self.topic_id.is_zero() || self.topic_id == topic_id
    }
}

/// A commit of one partition, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    /// Topic name.
    pub topic: Arc<str>,
    /// Id of the topic that has this name now.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch, −1 for none.
    pub leader_epoch: i32,
    /// Attached text.
    pub metadata: Arc<str>,
}

/// Commits of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Partition by partition.
    pub requests: Vec<CommitRequest>,
    /// The client's own retention (OffsetCommit 2–4).
    pub retention_ms: Option<Millis>,
    /// The client knows the errors of consumer groups (OffsetCommit 9).
    pub knows_epochs: bool,
}

/// From when the retention of a group's offsets counts (Kafka's offset expiration conditions, KIP-211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetentionFrom {
    /// From the commit of each offset.
    Commit,
    /// From the moment at which the group became empty.
    Emptied(Millis),
    /// Nothing expires now.
    Never,
}

/// Committed offsets by topic and partition. Changed only by [`Offsets::replay`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Offsets {
    by_topic: BTreeMap<Arc<str>, BTreeMap<i32, Committed>>,
    /// Commits in open transactions, by producer.
    pending: BTreeMap<i64, BTreeMap<(Arc<str>, i32), Pending>>,
    /// Pending commits so far: the order in which they were made.
    last_pending: u64,
}

/// A commit that counts once its transaction is committed, unless a later one does before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    value: Committed,
    order: u64,
    is_overtaken: bool,
}

impl Offsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_topic.get(topic)?.get(&partition)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<i32, Committed>)> {
        self.by_topic.iter()
    }

    /// Turns accepted commits into records; the answer has one error code per request, in order. One that is not
    /// `admitted` is an error for all of them. One for a topic that has gone since the request came is refused: it would
    /// be taken for the next topic of that name, or overwrite its offset.
    pub(crate) fn commit(
        requests: Vec<CommitRequest>,
        metadata_max: usize,
        retention_ms: Option<Millis>,
        wall: Millis,
        admitted: &Admitted,
        topics: &dyn TopicLookup,
    ) -> Result<(Vec<ErrorCode>, Vec<Record>), ErrorCode> {
        let mut codes = Vec::with_capacity(requests.len());
        let mut records = Vec::with_capacity(requests.len());
        for request in requests {
            if topics.id_of(&request.topic) != Some(request.topic_id) {
                codes.push(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                continue;
            }
            if is_too_long(&request.metadata, metadata_max) {
                codes.push(ErrorCode::OFFSET_METADATA_TOO_LARGE);
                continue;
            }
            admitted.check(request.topic_id, request.partition)?;
            codes.push(ErrorCode::NONE);
            let value = Committed {
                offset: request.offset,
                leader_epoch: request.leader_epoch,
                metadata: request.metadata,
                commit_ms: wall,
                expire_ms: retention_ms.map_or(-1, |retention| wall.saturating_add(retention)),
                topic_id: request.topic_id,
            };
            records.push(Record::Offset {
                topic: request.topic,
                partition: request.partition,
                value: Some(value),
            });
        }
        Ok((codes, records))
    }

    /// Tombstones for what is committed, or may be by an open transaction, in the partitions for which `is_gone` holds.
    ///
    /// A tombstone takes all that there is of a partition. Where something is left that is not gone, an offset of the
    /// next topic of that name, none is written: what is gone is hidden by its id, and overwritten or looked at again at
    /// the next start.
    pub(crate) fn remove_where(&self, is_gone: impl Fn(&str, i32, &Committed) -> bool) -> Vec<Record> {
        let committed = self
            .by_topic
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(&at, value)| (topic, at, value)));
        let pending = self.pending.values().flatten().map(|((topic, at), it)| (topic, *at, &it.value));
        let gone = committed.chain(pending).filter(|(topic, at, value)| is_gone(topic, *at, value));
        let mut gone: BTreeSet<_> = gone.map(|(topic, at, _)| (topic.clone(), at)).collect();
        gone.retain(|key| {
            let pending = self.pending.values().filter_map(|commits| Some(&commits.get(key)?.value));
            self.get(&key.0, key.1).into_iter().chain(pending).all(|value| is_gone(&key.0, key.1, value))
        });
        gone.into_iter().map(|(topic, partition)| tombstone(&topic, partition)).collect()
    }

    /// Tombstones for the offsets of one topic, but not for those of another of the same name.
    pub(crate) fn remove_topic(&self, topic: &str, id: Uuid) -> Vec<Record> {
        self.remove_where(|one, _, committed| one == topic && committed.is_of(id))
    }

    /// Tombstones for everything.
    pub(crate) fn remove_all(&self) -> Vec<Record> {
        self.remove_where(|_, _, _| true)
    }

    /// Tombstones for what has outlived its retention. Topics for which `subscribed` holds are kept.
    pub(crate) fn expired(
        &self,
        wall: Millis,
        retention_ms: Millis,
        from: RetentionFrom,
        subscribed: impl Fn(&str) -> bool,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for (topic, partitions) in &self.by_topic {
            if subscribed(topic) {
                continue;
            }
            for (&partition, committed) in partitions {
                let since = match from {
                    RetentionFrom::Never => return Vec::new(),
                    RetentionFrom::Commit => committed.commit_ms,
                    RetentionFrom::Emptied(at) => at,
                };
                if self.is_pending(topic, partition) {
                    continue;
                }
                let over = if committed.expire_ms >= 0 {
                    wall >= committed.expire_ms
                } else {
                    wall.saturating_sub(since) >= retention_ms
                };
                if over {
                    records.push(tombstone(topic, partition));
                }
            }
        }
        records
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        let key = (Arc::from(topic), partition);
        self.pending.values().any(|commits| commits.contains_key(&key))
    }

    pub(crate) fn pend(&mut self, producer: i64, topic: &Arc<str>, partition: i32, value: Committed) {
        self.last_pending += 1;
        let pending = Pending { value, order: self.last_pending, is_overtaken: false };
        self.pending.entry(producer).or_default().insert((topic.clone(), partition), pending);
    }

    /// The last commit wins, by the order in the log: one that was made before another is not brought back by its
    /// transaction.
    pub(crate) fn end_transaction(&mut self, producer: i64, is_commit: bool) {
        for ((topic, partition), pending) in self.pending.remove(&producer).unwrap_or_default() {
            if is_commit && !pending.is_overtaken {
                self.overtake(&topic, partition, pending.order);
                self.put(&topic, partition, Some(&pending.value));
            }
        }
    }

    /// Pending commits up to `order` are older than what is committed now.
    fn overtake(&mut self, topic: &Arc<str>, partition: i32, order: u64) {
        if self.pending.is_empty() {
            return;
        }
        let key = (topic.clone(), partition);
        for pending in self.pending.values_mut().filter_map(|commits| commits.get_mut(&key)) {
            pending.is_overtaken |= pending.order <= order;
        }
    }

    pub(crate) fn replay(&mut self, topic: &Arc<str>, partition: i32, value: Option<&Committed>) {
        if value.is_some() {
            self.overtake(topic, partition, self.last_pending);
        } else if !self.pending.is_empty() {
            // What was removed is not brought back by a transaction that was open then.
            let key = (topic.clone(), partition);
            self.pending.retain(|_, commits| {
                commits.remove(&key);
                !commits.is_empty()
            });
        }
        self.put(topic, partition, value);
    }

    fn put(&mut self, topic: &Arc<str>, partition: i32, value: Option<&Committed>) {
        match value {
            Some(value) => {
                if let Some(partitions) = self.by_topic.get_mut(topic.as_ref()) {
                    partitions.insert(partition, value.clone());
                } else {
                    self.by_topic.insert(topic.clone(), BTreeMap::from([(partition, value.clone())]));
                }
            }
            None => {
                if let Some(partitions) = self.by_topic.get_mut(topic.as_ref()) {
                    partitions.remove(&partition);
                    if partitions.is_empty() {
                        self.by_topic.remove(topic.as_ref());
                    }
                }
            }
        }
    }
}

/// Whether there is more than `max` of it, in the units that Kafka counts in, or than a record can hold.
fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > i16::MAX as usize || metadata.len() > max && metadata.encode_utf16().count() > max
}

fn tombstone(topic: &Arc<str>, partition: i32) -> Record {
    Record::Offset { topic: topic.clone(), partition, value: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(topic: &str, partition: i32, offset: i64, metadata: &str) -> CommitRequest {
        CommitRequest {
            topic: topic.into(),
            topic_id: ID,
            partition,
            offset,
            leader_epoch: 3,
            metadata: metadata.into(),
        }
    }

    const ID: Uuid = Uuid([1; 16]);
    /// Of the next topic of that name.
    const NEXT: Uuid = Uuid([2; 16]);

    /// Every topic is there, with this id.
    struct All(Uuid);

    impl TopicLookup for All {
        fn partitions(&self, _: &str) -> Option<i32> {
            Some(1)
        }

        fn name_of(&self, _: Uuid) -> Option<Arc<str>> {
            None
        }

        fn id_of(&self, _: &str) -> Option<Uuid> {
            Some(self.0)
        }

        fn names(&self) -> Vec<Arc<str>> {
            Vec::new()
        }

        fn version(&self) -> i64 {
            0
        }
    }

    /// As anybody.
    fn commit(
        requests: Vec<CommitRequest>,
        metadata_max: usize,
        retention_ms: Option<Millis>,
        wall: Millis,
    ) -> (Vec<ErrorCode>, Vec<Record>) {
        Offsets::commit(requests, metadata_max, retention_ms, wall, &Admitted::All, &All(ID)).unwrap()
    }

    fn replay(offsets: &mut Offsets, records: &[Record]) {
        for record in records {
            let Record::Offset { topic, partition, value } = record else { panic!("{record:?}") };
            offsets.replay(topic, *partition, value.as_ref());
        }
    }

    fn with(requests: Vec<CommitRequest>, retention: Option<Millis>, wall: Millis) -> Offsets {
        let mut offsets = Offsets::default();
        let (_, records) = commit(requests, 4096, retention, wall);
        replay(&mut offsets, &records);
        offsets
    }

    #[test]
    fn the_last_commit_wins_and_keeps_its_leader_epoch() {
        let offsets = with(vec![request("t", 0, 5, "a"), request("t", 0, 3, "b")], None, 10);
        let committed = offsets.get("t", 0).unwrap();
        assert_eq!((committed.offset, committed.leader_epoch, &*committed.metadata), (3, 3, "b"));
        assert_eq!(offsets.get("t", 1), None);
    }

    #[test]
    fn metadata_over_the_limit_is_refused_for_its_partition_only() {
        let (codes, records) =
            commit(vec![request("t", 0, 1, "12345"), request("t", 1, 1, "1234")], 4, None, 0);
        assert_eq!(codes, [ErrorCode::OFFSET_METADATA_TOO_LARGE, ErrorCode::NONE]);
        assert_eq!(records.len(), 1);
        // Four units of UTF-16, twelve bytes.
        let (codes, _) = commit(vec![request("t", 0, 1, "\u{6f22}\u{5b57}\u{6f22}\u{5b57}")], 4, None, 0);
        assert_eq!(codes, [ErrorCode::NONE]);
    }

    #[test]
    fn what_is_removed_is_not_brought_back_by_a_transaction_that_was_open() {
        let value = with(vec![request("t", 0, 5, "")], None, 0).get("t", 0).unwrap().clone();
        let mut offsets = Offsets::default();
        offsets.pend(1, &"t".into(), 0, value.clone());
        offsets.pend(1, &"u".into(), 0, value);
        let records = offsets.remove_topic("t", ID);
        assert_eq!(records.len(), 1);
        replay(&mut offsets, &records);
        assert!(!offsets.is_pending("t", 0) && offsets.is_pending("u", 0));
        offsets.end_transaction(1, true);
        assert!(offsets.get("t", 0).is_none() && offsets.get("u", 0).is_some());
    }

    #[test]
    fn what_belongs_to_the_next_topic_of_that_name_is_not_removed() {
        let old = with(vec![request("t", 0, 5, "")], None, 0).get("t", 0).unwrap().clone();
        let new = Committed { topic_id: NEXT, ..old.clone() };
        let unknown = Committed { topic_id: Uuid::ZERO, ..old.clone() };
        let t: Arc<str> = "t".into();
        // Committed, and in an open transaction; what the deletion of the old topic and of the new one removes.
        for (committed, pending, by_old, by_new) in [
            (Some(&old), None, 1, 0),
            (Some(&new), None, 0, 1),
            (Some(&unknown), None, 1, 1),
            (None, Some(&old), 1, 0),
            (None, Some(&new), 0, 1),
            (Some(&old), Some(&old), 1, 0),
            (Some(&old), Some(&unknown), 1, 0),
            // A tombstone would take both.
            (Some(&old), Some(&new), 0, 0),
            (Some(&new), Some(&old), 0, 0),
        ] {
            let mut offsets = Offsets::default();
            if let Some(pending) = pending {
                offsets.pend(1, &t, 0, pending.clone());
            }
            offsets.replay(&t, 0, committed);
            if let (None, Some(pending)) = (committed, pending) {
                offsets.pend(1, &t, 0, pending.clone());
            }
            let removed = |id| offsets.remove_topic("t", id).len();
            assert_eq!((removed(ID), removed(NEXT)), (by_old, by_new), "{committed:?} {pending:?}");
        }
    }

    #[test]
    fn a_commit_that_comes_after_its_topic_has_gone_is_refused() {
        let requests = vec![request("t", 0, 5, "")];
        let (codes, records) = Offsets::commit(requests, 0, None, 0, &Admitted::All, &All(NEXT)).unwrap();
        assert_eq!((codes, records), (vec![ErrorCode::UNKNOWN_TOPIC_OR_PARTITION], vec![]));
    }

    #[test]
    fn offsets_expire_from_the_commit_or_from_the_moment_the_group_emptied() {
        let offsets = with(vec![request("t", 0, 5, ""), request("u", 0, 5, "")], None, 100);
        let expired = |wall, from| offsets.expired(wall, 50, from, |_| false).len();
        assert_eq!(expired(149, RetentionFrom::Commit), 0);
        assert_eq!(expired(150, RetentionFrom::Commit), 2);
        assert_eq!(expired(150, RetentionFrom::Emptied(101)), 0);
        assert_eq!(expired(151, RetentionFrom::Emptied(101)), 2);
        assert_eq!(expired(i64::MAX, RetentionFrom::Never), 0);
        assert_eq!(offsets.expired(150, 50, RetentionFrom::Commit, |topic| topic == "t").len(), 1);
    }

    #[test]
    fn a_retention_asked_for_by_the_client_counts_instead() {
        let offsets = with(vec![request("t", 0, 5, "")], Some(10), 100);
        assert_eq!(offsets.expired(109, 0, RetentionFrom::Commit, |_| false).len(), 0);
        assert_eq!(offsets.expired(110, i64::MAX, RetentionFrom::Commit, |_| false).len(), 1);
    }

    #[test]
    fn tombstones_leave_nothing_behind() {
        let mut offsets = with(vec![request("t", 0, 5, ""), request("t", 1, 5, "")], None, 0);
        let records = offsets.remove_topic("t", ID);
        assert_eq!(records, offsets.remove_all());
        replay(&mut offsets, &records);
        assert!(offsets.is_empty());
        assert!(offsets.remove_topic("t", ID).is_empty());
    }

    #[test]
    fn t10_of_several_commits_the_last_one_made_wins_whichever_transaction_ends_last() {
        let pend = |offsets: &mut Offsets, producer, offset| {
            let (_, records) = commit(vec![request("t", 0, offset, "")], 4096, None, 0);
            let Record::Offset { topic, partition, value: Some(value) } = &records[0] else { panic!() };
            offsets.pend(producer, topic, *partition, value.clone());
        };
        let mut offsets = Offsets::default();
        pend(&mut offsets, 1, 10);
        pend(&mut offsets, 2, 20);
        assert!(offsets.is_pending("t", 0) && !offsets.is_pending("t", 1));
        offsets.end_transaction(2, true);
        offsets.end_transaction(1, true);
        assert_eq!(offsets.get("t", 0).unwrap().offset, 20);

        pend(&mut offsets, 1, 30);
        let (_, records) = commit(vec![request("t", 0, 40, "")], 4096, None, 0);
        replay(&mut offsets, &records);
        offsets.end_transaction(1, true);
        assert_eq!(offsets.get("t", 0).unwrap().offset, 40);

        pend(&mut offsets, 1, 50);
        offsets.end_transaction(1, false);
        assert_eq!(offsets.get("t", 0).unwrap().offset, 40);
        assert!(!offsets.has_pending());
    }

    #[test]
    fn o4_an_offset_that_a_transaction_may_still_change_does_not_expire() {
        let mut offsets = with(vec![request("t", 0, 5, "")], None, 100);
        let value = offsets.get("t", 0).unwrap().clone();
        offsets.pend(1, &"t".into(), 0, value);
        assert!(offsets.expired(i64::MAX, 50, RetentionFrom::Commit, |_| false).is_empty());
        offsets.end_transaction(1, false);
        assert_eq!(offsets.expired(i64::MAX, 50, RetentionFrom::Commit, |_| false).len(), 1);
    }
}
