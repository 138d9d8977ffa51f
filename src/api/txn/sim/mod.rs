//! Producers of both versions, their ghosts and a broker that is killed at any of its writes, at random, at times with
//! the power cut; everything that readers see is held against what the producers were told ([`history`]).
//!
//! A seed gives the same run again: `QUIPU_TXN_SEED=7 cargo test --lib api::txn::sim` plays one, `QUIPU_TXN_SEEDS=5000`
//! as many.

mod disk;
mod history;

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_protocol::message::add_offsets_to_txn::AddOffsetsToTxnRequest;
use quipu_protocol::message::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use quipu_protocol::message::end_txn::EndTxnRequest;
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use quipu_protocol::message::init_producer_id::InitProducerIdRequest;
use quipu_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use quipu_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use quipu_protocol::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use quipu_protocol::primitives::Records;
use quipu_protocol::record::{Attributes, BatchBuilder};
use quipu_storage::disk::{Disk, MemoryDisk, OpenMode};

use self::disk::MortalDisk;
use self::history::{History, Outcome, Told};
use super::{add_offsets_to_txn, add_partitions_to_txn, end_txn, txn_offset_commit};
use crate::api::Context;
use crate::broker::{Broker, CreateTopic};
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::txn::machine::{Identity, Version};
use crate::topic::TRANSACTIONS_TOPIC;

const SEEDS: u64 = 25;
const STEPS: u64 = 300;
const PARTITIONS: i32 = 2;
const TIMEOUT_MS: i32 = 1_000;
/// After this much time the coordinator has looked for late transactions.
const SCAN_MS: i64 = 10_001;

/// Random numbers from a seed (splitmix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A request whose answer never came.
#[derive(Clone, Copy)]
enum Unanswered {
    Produce { partition: i32, value: u64 },
    End { is_commit: bool },
}

struct Producer {
    id: String,
    version: Version,
    identity: Option<Identity>,
    sequences: [i32; PARTITIONS as usize],
    /// Partitions that a producer of version 1 has added.
    added: BTreeSet<i32>,
    current: Option<usize>,
    unanswered: Option<Unanswered>,
    next_offset: i64,
}

/// A producer that lost its identity, or a request that is late; and how it ended its last transaction.
struct Ghost {
    producer: usize,
    identity: Identity,
    ended: Option<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    cuts: u64,
    restarts: u64,
    committed: u64,
    aborted: u64,
    unsure: u64,
    repeated: u64,
    ghosts: u64,
}

struct World {
    rng: Rng,
    files: MemoryDisk,
    disk: MortalDisk,
    /// Where the coordinator's log is, once there is one.
    coordinator_dir: Option<PathBuf>,
    broker: Arc<Broker>,
    clock: Clock,
    producers: Vec<Producer>,
    ghosts: Vec<Ghost>,
    history: History,
    counts: Counts,
}

fn open(disk: &MortalDisk, clock: &Clock) -> Option<Arc<Broker>> {
    Broker::open(Config::default(), Arc::new(disk.clone()), Path::new("/data"), clock.clone()).ok()
}

fn is_retriable(code: ErrorCode) -> bool {
    [
        ErrorCode::CONCURRENT_TRANSACTIONS,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ]
    .contains(&code)
}

impl World {
    fn new(seed: u64) -> Self {
        let files = MemoryDisk::new();
        let disk = MortalDisk::new(&files);
        let clock = Clock::manual(0, seed);
        let broker = open(&disk, &clock).expect("an empty disk");
        broker
            .create_topic(CreateTopic { partitions: Some(PARTITIONS), ..CreateTopic::with_defaults("t") })
            .unwrap();
        let producer = |n| Producer {
            id: format!("p{n}"),
            version: if n == 0 { Version::One } else { Version::Two },
            identity: None,
            sequences: Default::default(),
            added: BTreeSet::new(),
            current: None,
            unanswered: None,
            next_offset: 1,
        };
        Self {
            rng: Rng(seed),
            files,
            disk,
            coordinator_dir: None,
            broker,
            clock,
            producers: (0..3).map(producer).collect(),
            ghosts: Vec::new(),
            history: History::default(),
            counts: Counts::default(),
        }
    }

    async fn run(mut self) -> Counts {
        for step in 0..STEPS {
            self.step().await;
            if let Some(topic) = self.broker.topics.by_name(TRANSACTIONS_TOPIC)
                && self.coordinator_dir.is_none()
            {
                let dir = self.broker.topics.topic_dir(topic.id());
                self.disk.is_unsure(&dir);
                self.coordinator_dir = Some(dir);
            }
            if self.disk.is_dead() {
                self.counts.kills += 1;
                self.restart();
                self.check().await;
            } else if step % 8 == 0 {
                self.check().await;
            }
        }
        self.settle().await;
        self.counts
    }

    async fn step(&mut self) {
        match self.rng.below(100) {
            0..=1 => self.disk.kill(),
            2..=7 => {
                let (changes, torn) = (self.rng.below(10), self.rng.below(1001));
                self.disk.kill_after(changes, torn);
            }
            8 => {
                self.disk.spare();
                self.broker.close().expect("a disk that lives");
                self.disk.is_sure();
                self.restart();
            }
            9..=11 => {
                self.clock.advance(self.rng.below(2 * TIMEOUT_MS as u64) as i64);
                self.broker.transactions.run_due().await;
            }
            12 => {
                self.clock.advance(SCAN_MS);
                self.broker.transactions.run_due().await;
            }
            13..=20 if !self.ghosts.is_empty() => self.haunt().await,
            _ => {
                let producer = self.rng.below(self.producers.len() as u64) as usize;
                self.act(producer).await;
            }
        }
    }

    /// Starts again on what is left, and perhaps dies again before it is up.
    fn restart(&mut self) {
        self.counts.restarts += 1;
        self.disk.kill();
        loop {
            let unsure = self.disk.unsure() as u64;
            if unsure > 0 && self.rng.one_in(2) {
                let kept = self.rng.below(unsure);
                self.disk.cut_power(kept as usize);
                self.counts.cuts += 1;
            }
            self.disk = MortalDisk::new(&self.files);
            if let Some(dir) = &self.coordinator_dir {
                self.disk.is_unsure(dir);
            }
            if self.rng.one_in(4) {
                let (changes, torn) = (self.rng.below(8), self.rng.below(1001));
                self.disk.kill_after(changes, torn);
            }
            let opened = open(&self.disk, &self.clock);
            self.disk.spare();
            if self.disk.is_dead() {
                self.counts.kills += 1;
                continue;
            }
            self.broker = opened.expect("nothing was in the way");
            return;
        }
    }

    async fn act(&mut self, p: usize) {
        let choice = self.rng.below(12);
        let producer = &self.producers[p];
        match (producer.identity, producer.unanswered, producer.current) {
            (None, ..) => self.init(p).await,
            (Some(_), Some(_), _) if choice < 3 => self.leave(p),
            (Some(_), Some(Unanswered::Produce { partition, value }), _) => {
                self.counts.repeated += 1;
                self.send(p, partition, value, true).await;
            }
            (Some(_), Some(Unanswered::End { is_commit }), _) => {
                self.counts.repeated += 1;
                self.end(p, is_commit, true).await;
            }
            (Some(_), None, None) => {
                let now = self.clock.now_ms();
                self.producers[p].current = Some(self.history.begin(p, now));
                self.produce(p).await;
            }
            (Some(_), None, Some(current)) => {
                let told = &self.history.transactions[current];
                let is_empty = told.taken.is_empty() && told.offset.is_none();
                match choice {
                    0 => self.leave(p),
                    1..=5 => self.produce(p).await,
                    6..=7 => self.commit_offset(p).await,
                    _ if is_empty => self.produce(p).await,
                    8 => self.end(p, false, false).await,
                    _ => self.end(p, true, false).await,
                }
            }
        }
    }

    /// The producer is gone, or gives up; one with its transactional id comes later.
    fn leave(&mut self, p: usize) {
        let producer = &mut self.producers[p];
        producer.unanswered = None;
        if let Some(identity) = producer.identity.take() {
            self.ghosts.push(Ghost { producer: p, identity, ended: None });
        }
    }

    async fn init(&mut self, p: usize) {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.producers[p].id.as_str().into()),
            transaction_timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        if let Some(current) = self.producers[p].current {
            self.history.transactions[current].is_doomed = true;
        }
        let answer =
            crate::api::producers::init_producer_id(&Context::of_test(&self.broker, 5), request).await;
        if self.disk.is_dead() {
            return;
        }
        match answer.error_code {
            ErrorCode::NONE => {
                self.disk.is_sure();
                let producer = &mut self.producers[p];
                producer.identity = Some((answer.producer_id, answer.producer_epoch));
                producer.sequences = Default::default();
                producer.added.clear();
                if let Some(current) = producer.current.take() {
                    self.history.fenced(current);
                }
            }
            code => assert_eq!(code, ErrorCode::CONCURRENT_TRANSACTIONS),
        }
    }

    async fn produce(&mut self, p: usize) {
        let partition = self.rng.below(PARTITIONS as u64) as i32;
        let value = self.history.value(self.producers[p].current);
        self.send(p, partition, value, false).await;
    }

    async fn send(&mut self, p: usize, partition: i32, value: u64, is_again: bool) {
        let producer = &self.producers[p];
        let identity = producer.identity.expect("checked by the caller");
        if producer.version == Version::One && !producer.added.contains(&partition) {
            let code = self.add(p, identity, partition).await;
            if self.disk.is_dead() || !self.is_taken(p, code, is_again.then_some(value)) {
                return;
            }
            self.disk.is_sure();
            self.producers[p].added.insert(partition);
        }
        let sequence = self.producers[p].sequences[partition as usize];
        let (code, offset) = self.append(p, identity, partition, sequence, value).await;
        if self.disk.is_dead() {
            self.producers[p].unanswered = Some(Unanswered::Produce { partition, value });
        } else if self.is_taken(p, code, Some(value).filter(|_| !is_again)) {
            self.producers[p].unanswered = None;
            self.producers[p].sequences[partition as usize] += 1;
            self.history.taken(value, partition, offset);
        }
    }

    /// Sorts the codes of what belongs to a transaction. `value` was sent for the first time.
    fn is_taken(&mut self, p: usize, code: ErrorCode, value: Option<u64>) -> bool {
        if code.is_none() {
            return true;
        }
        if let Some(value) = value {
            self.history.refused(value);
        }
        if !is_retriable(code) {
            let fenced = [
                ErrorCode::INVALID_PRODUCER_EPOCH,
                ErrorCode::PRODUCER_FENCED,
                ErrorCode::INVALID_PRODUCER_ID_MAPPING,
                ErrorCode::INVALID_TXN_STATE,
                ErrorCode::TRANSACTION_ABORTABLE,
            ];
            assert!(fenced.contains(&code), "{code}");
            self.leave(p);
        }
        false
    }

    async fn add(&self, p: usize, (producer_id, epoch): Identity, partition: i32) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.producers[p].id.as_str().into(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: "t".into(),
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        let answer = add_partitions_to_txn(&Context::of_test(&self.broker, 3), request).await;
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    async fn append(
        &self,
        p: usize,
        (producer_id, epoch): Identity,
        index: i32,
        sequence: i32,
        value: u64,
    ) -> (ErrorCode, i64) {
        let version = if self.producers[p].version == Version::One { 11 } else { 12 };
        let attributes = Attributes::default().with_transactional(true);
        let mut batch = BatchBuilder::new().producer(producer_id, epoch, sequence).attributes(attributes);
        batch.push(0, None, Some(&value.to_be_bytes()), &[]);
        let bytes = batch.finish();
        let partition = PartitionProduceData { index, records: Some(Records::Borrowed(&bytes)) };
        let request = ProduceRequest {
            transactional_id: Some(self.producers[p].id.as_str().into()),
            acks: -1,
            topic_data: vec![TopicProduceData {
                name: "t".into(),
                partition_data: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let (answer, mut awaited) =
            crate::api::produce::produce(&Context::of_test(&self.broker, version), request).await.unwrap();
        if awaited.wait().await.is_err() {
            return (ErrorCode::KAFKA_STORAGE_ERROR, -1);
        }
        let answer = answer.unwrap();
        let partition = &answer.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }

    async fn commit_offset(&mut self, p: usize) {
        let producer = &mut self.producers[p];
        let (producer_id, producer_epoch) = producer.identity.expect("checked by the caller");
        let current = producer.current.expect("checked by the caller");
        let offset = producer.next_offset;
        producer.next_offset += 1;
        let id = producer.id.clone();
        let is_one = producer.version == Version::One;
        if is_one {
            let request = AddOffsetsToTxnRequest {
                transactional_id: id.as_str().into(),
                producer_id,
                producer_epoch,
                group_id: id.as_str().into(),
            };
            let code = add_offsets_to_txn(&Context::of_test(&self.broker, 3), request).await.error_code;
            if self.disk.is_dead() || !self.is_taken(p, code, None) {
                return;
            }
        }
        let partition = TxnOffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
        let topic = TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: id.as_str().into(),
            group_id: id.as_str().into(),
            producer_id,
            producer_epoch,
            topics: vec![topic],
            ..Default::default()
        };
        let version = if is_one { 4 } else { 5 };
        let answer = txn_offset_commit(&Context::of_test(&self.broker, version), request).await;
        if self.disk.is_dead() {
            // Nobody knows whether it is there: a producer that gives up aborts it.
            self.leave(p);
        } else if self.is_taken(p, answer.topics[0].partitions[0].error_code, None) {
            self.disk.is_sure();
            self.history.transactions[current].offset = Some(offset);
        }
    }

    async fn end(&mut self, p: usize, is_commit: bool, is_again: bool) {
        let current = self.producers[p].current.expect("checked by the caller");
        let identity = self.producers[p].identity.expect("checked by the caller");
        let told = &mut self.history.transactions[current];
        if is_commit {
            told.outcome = Outcome::Unsure;
        } else {
            told.is_doomed = true;
        }
        let (code, next) = self.end_as(p, identity, is_commit).await;
        if self.disk.is_dead() || is_retriable(code) {
            self.producers[p].unanswered = Some(Unanswered::End { is_commit });
            if !self.disk.is_dead() {
                // Somebody else does that in a running broker.
                self.broker.transactions.run_due().await;
            }
            return;
        }
        if code.is_none() {
            // The outcome has been waited for, but not that its markers are there.
            self.disk.is_sure_but_for_one();
            let told = &mut self.history.transactions[current].outcome;
            *told = if is_commit { Outcome::Committed } else { Outcome::Aborted };
            *(if is_commit { &mut self.counts.committed } else { &mut self.counts.aborted }) += 1;
            let producer = &mut self.producers[p];
            producer.unanswered = None;
            producer.current = None;
            producer.added.clear();
            if producer.version == Version::Two {
                assert_ne!(next, identity, "every transaction has an epoch of its own");
                producer.identity = Some(next);
                producer.sequences = Default::default();
                self.ghosts.push(Ghost { producer: p, identity, ended: Some(is_commit) });
            }
            return;
        }
        if is_commit && !is_again {
            // Refused before anything happened: it cannot be committed any more.
            self.history.transactions[current].outcome = Outcome::Open;
        }
        assert!(!self.is_taken(p, code, None));
    }

    async fn end_as(
        &self,
        p: usize,
        (producer_id, producer_epoch): Identity,
        committed: bool,
    ) -> (ErrorCode, Identity) {
        let producer = &self.producers[p];
        let transactional_id = producer.id.as_str().into();
        let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
        let version = if producer.version == Version::One { 4 } else { 5 };
        let answer = end_txn(&Context::of_test(&self.broker, version), request).await;
        (answer.error_code, (answer.producer_id, answer.producer_epoch))
    }

    /// T4: something of the past arrives late. It changes nothing, whatever it is told.
    async fn haunt(&mut self) {
        let chosen = self.rng.below(self.ghosts.len() as u64) as usize;
        let Ghost { producer: p, identity, ended } = self.ghosts[chosen];
        if self.producers[p].identity.is_none() {
            // Nobody has the id yet: it is no ghost.
            return;
        }
        self.counts.ghosts += 1;
        if let Some(is_commit) = ended
            && self.rng.one_in(2)
        {
            let _ = self.end_as(p, identity, is_commit).await;
            return;
        }
        let value = self.history.value(None);
        let partition = self.rng.below(PARTITIONS as u64) as i32;
        let sequence = self.rng.below(3) as i32;
        let (code, _) = self.append(p, identity, partition, sequence, value).await;
        assert_ne!(code, ErrorCode::NONE, "a producer of the past could write");
    }

    async fn fetch(&self, partition: i32, isolation_level: i8) -> PartitionData<'static> {
        let partition = FetchPartition { partition, partition_max_bytes: 1 << 24, ..Default::default() };
        let request = FetchRequest {
            isolation_level,
            session_epoch: -1,
            max_bytes: 1 << 24,
            topics: vec![FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() }],
            ..Default::default()
        };
        let mut answer = crate::api::fetch::fetch(&Context::of_test(&self.broker, 12), request).await;
        answer.responses.remove(0).partitions.remove(0)
    }

    async fn check(&mut self) -> BTreeSet<u64> {
        // A kill that is due happens later, not in here.
        let due = self.disk.spare();
        let mut visible = BTreeSet::new();
        for partition in 0..PARTITIONS {
            let (all, committed) = (self.fetch(partition, 0).await, self.fetch(partition, 1).await);
            let now = self.clock.now_ms();
            let is_late = |began: i64| now - began > i64::from(TIMEOUT_MS);
            visible.extend(self.history.check(partition, &all, &committed, is_late));
        }
        if let Some((changes, torn)) = due {
            self.disk.kill_after(changes, torn);
        }
        visible
    }

    /// Time ends what is open; then nothing is in doubt any more.
    async fn settle(&mut self) {
        self.disk.spare();
        for _ in 0..3 {
            self.clock.advance(SCAN_MS);
            self.broker.transactions.run_due().await;
        }
        let visible = self.check().await;
        for partition in 0..PARTITIONS {
            let found = self.fetch(partition, 1).await;
            assert_eq!(found.last_stable_offset, found.high_watermark, "something hangs in {partition}");
        }
        for (number, told) in self.history.transactions.iter().enumerate() {
            let seen = told.taken.keys().filter(|value| visible.contains(value)).count();
            match told.outcome {
                Outcome::Unsure => {
                    self.counts.unsure += 1;
                    assert!(seen == 0 || seen == told.taken.len(), "{number} is half there");
                }
                Outcome::Committed => assert_eq!(seen, told.taken.len(), "{number} is not all there"),
                Outcome::Open | Outcome::Aborted => assert_eq!(seen, 0, "{number} is there"),
            }
        }
        self.check_offsets(&visible).await;
    }

    /// T10: of each producer's group the offset of its last committed transaction counts.
    async fn check_offsets(&self, visible: &BTreeSet<u64>) {
        for (p, producer) in self.producers.iter().enumerate() {
            let topic = OffsetFetchRequestTopics {
                name: "t".into(),
                partition_indexes: vec![0],
                ..Default::default()
            };
            let group = OffsetFetchRequestGroup {
                group_id: producer.id.as_str().into(),
                topics: Some(vec![topic]),
                ..Default::default()
            };
            let request =
                OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
            let answer = crate::api::offsets::offset_fetch(&Context::of_test(&self.broker, 8), request).await;
            let found = &answer.groups[0].topics[0].partitions[0];
            assert_eq!(found.error_code, ErrorCode::NONE, "the offset of {p} is in doubt");
            let surely = self.history.of(p).filter(|told| {
                told.outcome == Outcome::Committed
                    || told.outcome == Outcome::Unsure
                        && told.taken.keys().any(|value| visible.contains(value))
            });
            let least = surely.filter_map(|told| told.offset).max().unwrap_or(-1);
            // Without a record there is no telling whether one in doubt was committed.
            let in_doubt = |told: &&Told| told.outcome == Outcome::Unsure && told.taken.is_empty();
            let allowed: Vec<_> = self
                .history
                .of(p)
                .filter(in_doubt)
                .filter_map(|told| told.offset)
                .filter(|offset| *offset > least)
                .chain([least])
                .collect();
            assert!(
                allowed.contains(&found.committed_offset),
                "{p}: {} of {allowed:?}",
                found.committed_offset
            );
        }
    }
}

#[test]
fn whoever_is_killed_when_readers_see_committed_transactions_whole_and_nothing_else() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let one = number("QUIPU_TXN_SEED");
    let seeds = one.map_or(0..number("QUIPU_TXN_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut sum = Counts::default();
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(World::new(seed).run()));
        let counts = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            eprintln!("QUIPU_TXN_SEED={seed} plays this again");
            std::panic::resume_unwind(panic)
        });
        sum.kills += counts.kills;
        sum.cuts += counts.cuts;
        sum.restarts += counts.restarts;
        sum.committed += counts.committed;
        sum.aborted += counts.aborted;
        sum.unsure += counts.unsure;
        sum.repeated += counts.repeated;
        sum.ghosts += counts.ghosts;
    }
    println!("{sum:?}");
    // A run in which some of this never happens shows nothing.
    let Counts { kills, cuts, restarts, committed, aborted, unsure, repeated, ghosts } = sum;
    if one.is_none() {
        assert!(
            [kills, cuts, restarts, committed, aborted, unsure, repeated, ghosts]
                .iter()
                .all(|count| *count > 10)
        );
    }
}

/// In `os`, an outcome may outlive the markers that it led to.
#[test]
fn markers_that_a_power_cut_took_are_written_again_as_the_outcome_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for is_commit in [true, false] {
        runtime.block_on(async {
            let mut world = World::new(1);
            let two = 1;
            world.init(two).await;
            let now = world.clock.now_ms();
            world.producers[two].current = Some(world.history.begin(two, now));
            let value = world.history.value(world.producers[two].current);
            world.send(two, 0, value, false).await;
            let partition = world.broker.topics.by_name("t").unwrap().partition(0).unwrap();
            let log = partition.dir().join("00000000000000000000.log");
            let log = world.files.open(&log, OpenMode::Existing).unwrap();
            let mut before = vec![0; log.size_bytes().unwrap() as usize];
            log.read_at(&mut before, 0).unwrap();
            world.end(two, is_commit, false).await;
            world.disk.kill();
            world.disk.is_sure();
            log.write_at(&mut [IoSlice::new(&before)], 0).unwrap();
            world.restart();
            // Holds what readers see against what the producer was told, and that nothing hangs.
            world.settle().await;
        });
    }
}
