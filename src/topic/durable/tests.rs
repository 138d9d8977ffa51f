//! What is shown, told and synced, on a disk whose syncs a test holds back.

use std::io::{self, IoSlice};
use std::path::Path;
use std::thread::ThreadId;

use quipu_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use quipu_protocol::message::describe_log_dirs::DescribeLogDirsRequest;
use quipu_protocol::message::describe_producers::{DescribeProducersRequest, TopicRequest};
use quipu_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use quipu_protocol::message::find_coordinator::FindCoordinatorRequest;
use quipu_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use quipu_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use quipu_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use quipu_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use quipu_protocol::primitives::{Records, Uuid};
use quipu_protocol::record::BatchBuilder;
use quipu_storage::disk::{DirLock, Disk, DiskFile, Entry, LockError, Map, MemoryDisk, OpenMode};
use quipu_storage::{CheckedBatch, Origin};

use super::*;
use crate::api::Context;
use crate::broker::{Broker, CreateTopic};
use crate::clock::Clock;
use crate::config::{Config, Layers, Sources, TopicConfig};
use crate::security::acl::{Acl, CLUSTER_NAME, Operation, PatternType, Permission, ResourceType};
use crate::security::authorizer::ANONYMOUS;
use crate::topic::wait::Waiter;
use crate::topic::{OFFSETS_TOPIC, Topic, Topics};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the test does with syncs, and has seen of them.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    failing: bool,
    /// Nothing is tried, for want of descriptors.
    short: bool,
    waiting: usize,
    files_synced: usize,
    whole_synced: usize,
    opened: usize,
    /// No file can be opened.
    refusing: bool,
    /// Who has opened files, mapped or looked for them.
    waited: Vec<ThreadId>,
}

impl Gate {
    fn close(&self) {
        self.state.lock().closed = true;
    }

    fn open(&self) {
        self.state.lock().closed = false;
        self.changed.notify_all();
    }

    fn pass(&self, whole: bool) -> io::Result<()> {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.closed {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        if whole {
            state.whole_synced += 1;
        } else {
            state.files_synced += 1;
        }
        if state.short {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        }
        if state.failing { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }

    /// Waits until so many syncs wait here.
    fn wait_for(&self, waiting: usize) {
        let mut state = self.state.lock();
        while state.waiting < waiting {
            let timed_out = self.changed.wait_for(&mut state, PATIENCE).timed_out();
            assert!(!timed_out, "{} syncs are under way, not {waiting}", state.waiting);
        }
    }
}

/// Files in memory that count as a disk's.
#[derive(Clone, Debug, Default)]
struct GatedDisk {
    files: MemoryDisk,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile(Arc<dyn DiskFile>, Arc<Gate>);

impl Disk for GatedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.gate.state.lock().waited.push(std::thread::current().id());
        self.files.create_dir_all(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.gate.state.lock();
        state.opened += 1;
        state.waited.push(std::thread::current().id());
        if state.refusing {
            return Err(io::Error::other("the disk does not answer"));
        }
        Ok(Arc::new(GatedFile(self.files.open(path, mode)?, Arc::clone(&self.gate))))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.files.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.gate.state.lock().waited.push(std::thread::current().id());
        self.files.list(dir)
    }
    fn file_system(&self, _: &Path) -> io::Result<Arc<dyn FileSystem>> {
        Ok(Arc::new(GatedFileSystem(Arc::clone(&self.gate))))
    }
    fn lock(&self, dir: &Path) -> Result<DirLock, LockError> {
        self.files.lock(dir)
    }
}

impl DiskFile for GatedFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.0.size_bytes()
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.0.write_at(parts, position)
    }
    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.0.reserve(from, to)
    }
    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.pass(false)
    }
    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.1.state.lock().waited.push(std::thread::current().id());
        self.0.map(size_bytes)
    }
}

#[derive(Debug)]
struct GatedFileSystem(Arc<Gate>);

impl FileSystem for GatedFileSystem {
    fn sync(&self) -> io::Result<()> {
        self.0.pass(true)
    }
    fn is_own(&self) -> bool {
        true
    }
}

fn config(pairs: &[(&str, &str)]) -> TopicConfig {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TopicConfig::new(&pairs, &Layers::default())
}

fn durability(mode: &str) -> TopicConfig {
    config(&[("quipu.durability", mode)])
}

fn topics(partitions: i32, config: TopicConfig) -> (Topics, Arc<Topic>, Arc<Gate>) {
    let disk = GatedDisk::default();
    let gate = Arc::clone(&disk.gate);
    let topics = Topics::new(Arc::new(disk), "/topics".into(), 0);
    let topic = topics.insert("orders", Uuid([1; 16]), partitions, config);
    (topics, topic, gate)
}

fn append(partition: &Arc<Partition>) -> Offset {
    let mut batch = BatchBuilder::new();
    batch.push(1_000, None, Some(b"value"), &[]);
    let batch = batch.finish();
    let batch = CheckedBatch::check(&batch).unwrap();
    partition.append(&batch, Origin::Producer, 1_000).unwrap().last_offset + 1
}

fn answer(partition: &Partition, end: Offset) -> Awaited {
    let mut awaited = Awaited::default();
    partition.when_durable(end, || awaited.add());
    awaited
}

/// What is told once the disk is done, within patience.
fn told(mut awaited: Awaited) -> Result<(), ErrorCode> {
    within_patience(awaited.wait())
}

fn within_patience<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, what).await });
    outcome.expect("nobody was told")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn in_sync_nobody_is_told_or_shown_what_is_not_on_disk() {
    let (_topics, topic, gate) = topics(1, durability("sync"));
    let partition = topic.partition(0).unwrap();
    gate.close();
    let end = append(&partition);
    gate.wait_for(1);
    let waiting = answer(&partition, end);
    assert!(!waiting.is_empty(), "the answer waits");
    let shown = || partition.high_watermark(0).unwrap();
    assert_eq!((shown(), partition.reader(0).unwrap().end_offset()), (0, 1));
    assert_eq!(partition.last_stable_offset(0).unwrap(), 0);
    // What comes during a sync is not in it.
    let second = append(&partition);
    let second = answer(&partition, second);
    assert_eq!(shown(), 0);
    gate.open();
    assert_eq!((told(waiting), told(second)), (Ok(()), Ok(())));
    assert_eq!(shown(), 2);
}

#[test]
fn a_failed_sync_withholds_the_answers_for_good() {
    let (_topics, topic, gate) = topics(1, durability("sync"));
    let partition = topic.partition(0).unwrap();
    gate.state.lock().failing = true;
    gate.close();
    let end = append(&partition);
    let waiting = answer(&partition, end);
    gate.open();
    assert_eq!(told(waiting), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    gate.state.lock().failing = false;
    assert_eq!(partition.flush(), Err(ErrorCode::KAFKA_STORAGE_ERROR), "not tried again");
    assert_eq!(partition.high_watermark(0).unwrap(), 0);
}

#[test]
fn a_live_switch_shows_nothing_less_and_acknowledges_nothing_early() {
    let (topics, topic, gate) = topics(1, durability("os"));
    let partition = topic.partition(0).unwrap();
    let shown = || partition.high_watermark(0).unwrap();
    gate.close();
    let end = append(&partition);
    assert!(answer(&partition, end).is_empty(), "os waits for nothing");
    assert_eq!(shown(), 1);
    topics.reconfigure(&topic, durability("sync"));
    gate.wait_for(1);
    assert_eq!(shown(), 1, "the high watermark never goes back");
    let before = answer(&partition, end);
    assert!(!before.is_empty(), "what os left in the page cache is waited for");
    let end = append(&partition);
    let after = answer(&partition, end);
    assert_eq!(shown(), 1);
    topics.reconfigure(&topic, durability("os"));
    assert_eq!(shown(), 2);
    let end = append(&partition);
    assert!(answer(&partition, end).is_empty());
    gate.open();
    assert_eq!((told(before), told(after)), (Ok(()), Ok(())));
}

#[test]
fn a_switch_to_sync_does_not_wait_for_the_interval() {
    let hour = config(&[("quipu.durability", "interval"), ("flush.ms", "3600000")]);
    let (topics, topic, _gate) = topics(1, hour);
    let partition = topic.partition(0).unwrap();
    append(&partition);
    assert_eq!(partition.waiting.turn.load(Ordering::Acquire), SOON);
    topics.reconfigure(&topic, durability("sync"));
    let end = append(&partition);
    assert_eq!(told(answer(&partition, end)), Ok(()));
}

#[test]
fn intervals_and_record_counts_lead_to_a_sync_each_topic_by_its_own() {
    let slow = config(&[("quipu.durability", "interval"), ("flush.ms", "3600000")]);
    let (topics, slow, _gate) = topics(1, slow);
    let fast = config(&[("quipu.durability", "interval"), ("flush.ms", "1")]);
    let fast = topics.insert("fast", Uuid([2; 16]), 1, fast);
    let counted = config(&[("quipu.durability", "os"), ("flush.messages", "3")]);
    let counted = topics.insert("counted", Uuid([3; 16]), 1, counted);
    let [slow, fast, counted] = [slow, fast, counted].map(|topic| topic.partition(0).unwrap());
    let durable = |partition: &Partition| partition.reader(0).unwrap().durable_offset();
    append(&slow);
    append(&fast);
    until("a sync after a millisecond", || durable(&fast) == 1);
    append(&counted);
    append(&counted);
    assert_eq!(durable(&counted), 0);
    append(&counted);
    until("a sync after three records", || durable(&counted) == 3);
    assert_eq!(durable(&slow), 0);
}

#[test]
fn what_the_broker_must_not_lose_is_synced_whatever_the_default() {
    let (topics, _, gate) = topics(1, durability("os"));
    let offsets = topics.insert(OFFSETS_TOPIC, Uuid([4; 16]), 1, durability("os"));
    let partition = offsets.partition(0).unwrap();
    gate.close();
    for _ in 0..2 {
        let end = append(&partition);
        assert!(!answer(&partition, end).is_empty());
        topics.reconfigure(&offsets, durability("interval"));
    }
    gate.open();
}

#[test]
fn a_thousand_partitions_are_synced_side_by_side() {
    let (_topics, topic, gate) = topics(1_000, durability("sync"));
    gate.close();
    let partitions = topic.partitions();
    let answers: Vec<_> = partitions.iter().map(|partition| answer(partition, append(partition))).collect();
    gate.wait_for(THREADS_MAX);
    assert!(partitions.iter().all(|partition| partition.high_watermark(0).unwrap() == 0));
    gate.open();
    for answer in answers {
        assert_eq!(told(answer), Ok(()));
    }
    assert!(partitions.iter().all(|partition| partition.high_watermark(0).unwrap() == 1));
}

#[test]
fn one_sync_of_the_file_system_stands_for_many() {
    let (topics, topic, gate) = topics(1_000, durability("sync"));
    topics.sync_together().unwrap();
    gate.close();
    let partitions = topic.partitions();
    let answers: Vec<_> = partitions.iter().map(|partition| answer(partition, append(partition))).collect();
    gate.wait_for(1);
    assert!(partitions.iter().all(|partition| partition.high_watermark(0).unwrap() == 0));
    gate.open();
    for answer in answers {
        assert_eq!(told(answer), Ok(()));
    }
    assert!(partitions.iter().all(|partition| partition.high_watermark(0).unwrap() == 1));
    let state = gate.state.lock();
    assert!(state.whole_synced > 0 && state.whole_synced + state.files_synced < 100, "{state:?}");
}

#[test]
fn a_failed_sync_of_the_file_system_concerns_all_of_them() {
    let (topics, topic, gate) = topics(100, durability("sync"));
    topics.sync_together().unwrap();
    gate.state.lock().failing = true;
    gate.close();
    let answers: Vec<_> =
        topic.partitions().iter().map(|partition| answer(partition, append(partition))).collect();
    gate.open();
    for answer in answers {
        assert_eq!(told(answer), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    }
    for partition in topic.partitions().iter() {
        assert_eq!(partition.high_watermark(0).unwrap(), 0);
        assert!(partition.fault().is_some());
    }
    // The system reports what was lost once: a second call could vouch for it.
    gate.state.lock().failing = false;
    let before = gate.state.lock().whole_synced;
    let others = topics.insert("others", Uuid([2; 16]), 100, durability("sync"));
    gate.close();
    let answers: Vec<_> =
        others.partitions().iter().map(|partition| answer(partition, append(partition))).collect();
    gate.open();
    for answer in answers {
        assert_eq!(told(answer), Ok(()));
    }
    assert_eq!(gate.state.lock().whole_synced, before);
}

#[test]
fn who_has_waited_for_a_failed_sync_of_the_file_system_does_not_try_it_again() {
    let (topics, topic, gate) = topics(100, durability("sync"));
    topics.sync_together().unwrap();
    let shared = Arc::clone(&topics.flushers.0);
    let whole = Arc::clone(shared.whole.get().unwrap());
    // One thread is in the sync, and a second one has chosen the same way and waits for the first.
    let turn = shared.together.lock();
    let second = {
        let (shared, whole) = (Arc::clone(&shared), Arc::clone(&whole));
        std::thread::spawn(move || shared.flush_together(&*whole))
    };
    shared.whole_failed.store(true, Ordering::Release);
    gate.close();
    let answers: Vec<_> =
        topic.partitions().iter().map(|partition| answer(partition, append(partition))).collect();
    drop(turn);
    until("the second has seen that", || second.is_finished());
    gate.open();
    second.join().unwrap();
    for answer in answers {
        assert_eq!(told(answer), Ok(()));
    }
    assert_eq!(gate.state.lock().whole_synced, 0);
}

#[test]
fn want_of_descriptors_closes_no_log_and_readers_are_told_after_all() {
    let (_topics, topic, gate) = topics(1, durability("sync"));
    let partition = topic.partition(0).unwrap();
    let waiter = Waiter::new(1);
    let _place = partition.waiters.register(&waiter);
    gate.state.lock().short = true;
    gate.close();
    let end = append(&partition);
    let waiting = answer(&partition, end);
    gate.open();
    assert_eq!(told(waiting), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert!(partition.fault().is_none());
    gate.state.lock().short = false;
    // Tried again by itself.
    until("a sync after the shortage", || partition.high_watermark(0).unwrap() == 1);
    within_patience(waiter.woken());
}

#[test]
fn a_partition_waits_for_its_interval_once() {
    let endless = [("quipu.durability", "os"), ("flush.messages", "2"), ("flush.ms", "9000000000000000")];
    let (topics, topic, _gate) = topics(1, config(&endless));
    let partition = topic.partition(0).unwrap();
    for _ in 0..10 {
        append(&partition);
        let end = append(&partition);
        until("a sync after two records", || partition.reader(0).unwrap().durable_offset() == end);
        until("its end", || partition.waiting.turn.load(Ordering::Acquire) == IDLE);
    }
    append(&partition);
    assert_eq!(partition.flushers.later(), 1);
    topics.remove("orders").unwrap().end();
    assert_eq!(partition.flushers.later(), 0, "it is deleted");
}

#[test]
fn who_waits_for_a_flush_that_never_comes_is_told_of_the_deletion() {
    let (topics, topic, _gate) = topics(1, durability("sync"));
    let partition = topic.partition(0).unwrap();
    let end = append(&partition);
    assert_eq!(told(answer(&partition, end)), Ok(()));
    // It came when a flush had failed for want of descriptors, and the next try is taken out by the deletion.
    let mut waiting = Awaited::default();
    partition.waiting.wait(end + 1, || None, waiting.add());
    topics.remove("orders").unwrap().end();
    assert_eq!(told(waiting), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[test]
fn ten_thousand_partitions_start_without_a_file_each_after_a_clean_stop_alone() {
    let disk = GatedDisk::default();
    let gate = Arc::clone(&disk.gate);
    let start = || {
        gate.state.lock().opened = 0;
        let clock = Clock::manual(0, 1);
        let broker =
            Broker::open(Config::default(), Arc::new(disk.clone()), Path::new("/data"), clock).unwrap();
        (broker, gate.state.lock().opened)
    };
    let (broker, _) = start();
    for n in 0..10 {
        let asked = CreateTopic { partitions: Some(1_000), ..CreateTopic::with_defaults(&format!("t{n}")) };
        let topic = broker.create_topic(asked).unwrap();
        topic.partitions()[..50].iter().for_each(|partition| {
            append(partition);
        });
    }
    broker.close().unwrap();
    let (broker, opened) = start();
    assert!(opened < 20, "{opened} files were opened");
    assert!(broker.topics.all().iter().all(|topic| !topic.partitions().iter().any(|one| one.is_open())));
    let topic = broker.topics.by_name("t3").unwrap();
    append(&topic.partition(7).unwrap());
    drop(broker);
    // Killed: each log that there is was looked at before anybody asks.
    let (broker, _) = start();
    let topic = broker.topics.by_name("t9").unwrap();
    let open = topic.partitions().iter().filter(|partition| partition.is_open()).count();
    assert_eq!(open, 50);
}

#[test]
fn what_comes_in_a_burst_is_synced_side_by_side_though_a_flusher_is_idle() {
    let (topics, topic, gate) = topics(8, durability("sync"));
    let partitions: Vec<_> = (0..8).map(|index| topic.partition(index).unwrap()).collect();
    for partition in &partitions {
        partition.reader(0).unwrap();
    }
    append(&partitions[0]);
    until("the only flusher is idle", || {
        let queue = topics.flushers.0.queue.lock();
        queue.partitions.is_empty() && (queue.idle, queue.threads) == (1, 1)
    });
    gate.close();
    // Faster than a thread wakes up.
    let burst: Vec<_> = partitions.iter().map(|partition| (partition, append(partition))).collect();
    gate.wait_for(8);
    gate.open();
    for (partition, end) in burst {
        assert_eq!(told(answer(partition, end)), Ok(()));
    }
}

#[test]
fn whoever_looks_at_the_catalog_waits_for_no_change_of_it() {
    let disk = GatedDisk::default();
    let gate = Arc::clone(&disk.gate);
    let clock = Clock::manual(1_000, 1);
    let broker = Broker::open(Config::default(), Arc::new(disk), Path::new("/data"), clock).unwrap();
    let first = broker.next_producer_id().unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| broker.create_topic(CreateTopic::with_defaults("orders")).map(drop));
        gate.wait_for(1);
        assert!(broker.read_catalog(|state| state.topics.is_empty()), "it is not on disk yet");
        assert_eq!(broker.next_producer_id(), Ok(first + 1));
        gate.open();
        changing.join().unwrap().unwrap();
    });
    assert!(broker.read_catalog(|state| state.topics.contains_key("orders")));
}

#[test]
fn who_asks_for_what_is_not_at_hand_does_not_wait_for_the_disk() {
    let disk = GatedDisk::default();
    let gate = Arc::clone(&disk.gate);
    let start = || {
        let clock = Clock::manual(1_000, 1);
        Broker::open(Config::default(), Arc::new(disk.clone()), Path::new("/data"), clock).unwrap()
    };
    let broker = start();
    let asked = CreateTopic { partitions: Some(2), ..CreateTopic::with_defaults("orders") };
    for partition in broker.create_topic(asked).unwrap().partitions().iter() {
        append(partition);
    }
    broker.close().unwrap();
    let broker = start();
    let waited = |ask: &dyn Fn()| {
        gate.state.lock().waited.clear();
        ask();
        let own = std::thread::current().id();
        let waited = std::mem::take(&mut gate.state.lock().waited);
        (waited.contains(&own), waited.len())
    };
    let fetch = || {
        let partition = FetchPartition { partition: 0, partition_max_bytes: 1_000, ..Default::default() };
        let topics =
            vec![FetchTopic { topic: "orders".into(), partitions: vec![partition], ..Default::default() }];
        let request = FetchRequest { session_epoch: -1, max_bytes: 1_000, topics, ..Default::default() };
        let cx = Context::of_test(&broker, 12);
        let answer = within_patience(crate::api::fetch::fetch(&cx, request));
        assert!(answer.responses[0].partitions[0].records.is_some());
    };
    let (is_own, times) = waited(&fetch);
    assert!(!is_own && times > 0, "the first time it was {times} times");
    assert_eq!(waited(&fetch).1, 0, "then it is open");
    let list = || {
        let partition = ListOffsetsPartition { partition_index: 1, timestamp: 0, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: "orders".into(), partitions: vec![partition] }];
        let request = ListOffsetsRequest { topics, ..Default::default() };
        let cx = Context::of_test(&broker, 7);
        let answer = within_patience(crate::api::list_offsets::list_offsets(&cx, request));
        assert_eq!(answer.topics[0].partitions[0].offset, 0);
    };
    let (is_own, times) = waited(&list);
    assert!(!is_own && times > 0, "the first time it was {times} times");
}

fn epochs_of(broker: &Arc<Broker>, partition: i32) -> EpochEndOffset {
    let partitions = vec![OffsetForLeaderPartition { partition, ..Default::default() }];
    let topics = vec![OffsetForLeaderTopic { topic: "orders".into(), partitions }];
    let request = OffsetForLeaderEpochRequest { topics, ..Default::default() };
    let cx = Context::of_test(broker, 4);
    let mut answer = within_patience(crate::api::list_offsets::offset_for_leader_epoch(&cx, request));
    answer.topics[0].partitions.remove(0)
}

fn producers_of(broker: &Arc<Broker>, partition: i32) -> ErrorCode {
    let topics = vec![TopicRequest { name: "orders".into(), partition_indexes: vec![partition] }];
    let cx = Context::of_test(broker, 0);
    let answer =
        within_patience(crate::api::txn::describe_producers(&cx, DescribeProducersRequest { topics }));
    answer.topics[0].partitions[0].error_code
}

/// A broker with logs that nobody has used since its start.
fn unused(disk: &GatedDisk, overrides: &[&str]) -> Arc<Broker> {
    let start = || {
        let overrides = overrides.iter().map(|&one| one.to_owned()).collect();
        let (config, _) = Config::load(Sources { overrides, ..Sources::default() }).unwrap();
        Broker::open(config, Arc::new(disk.clone()), Path::new("/data"), Clock::manual(1_000, 1)).unwrap()
    };
    let broker = start();
    let asked = CreateTopic { partitions: Some(5), ..CreateTopic::with_defaults("orders") };
    for partition in broker.create_topic(asked).unwrap().partitions().iter() {
        append(partition);
    }
    broker.close().unwrap();
    start()
}

#[test]
fn no_request_opens_looks_for_or_makes_files_on_its_own_thread() {
    let disk = GatedDisk::default();
    let gate = Arc::clone(&disk.gate);
    let broker = unused(&disk, &[]);
    let mut waiting = Vec::new();
    let mut elsewhere = |what: &'static str, ask: &dyn Fn()| {
        gate.state.lock().waited.clear();
        ask();
        let waited = std::mem::take(&mut gate.state.lock().waited);
        assert!(!waited.is_empty(), "{what} asks for something at hand");
        if waited.contains(&std::thread::current().id()) {
            waiting.push(what);
        }
    };
    elsewhere("DescribeLogDirs", &|| {
        let request = DescribeLogDirsRequest { topics: None };
        let cx = Context::of_test(&broker, 4);
        let answer = within_patience(crate::api::log_dirs::describe_log_dirs(&cx, request));
        assert!(answer.results[0].topics[0].partitions.iter().all(|partition| partition.partition_size > 0));
    });
    elsewhere("DeleteRecords", &|| {
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: -1 }];
        let topics = vec![DeleteRecordsTopic { name: "orders".into(), partitions }];
        let request = DeleteRecordsRequest { topics, ..Default::default() };
        let cx = Context::of_test(&broker, 2);
        let answer = within_patience(crate::api::delete_records::delete_records(&cx, request));
        assert_eq!(answer.topics[0].partitions[0].low_watermark, 1);
    });
    elsewhere("DescribeProducers", &|| assert_eq!(producers_of(&broker, 1), ErrorCode::NONE));
    elsewhere("OffsetForLeaderEpoch", &|| assert_eq!(epochs_of(&broker, 2).end_offset, 1));
    elsewhere("Metadata", &|| {
        let topics = vec![MetadataRequestTopic {
            name: Some(OFFSETS_TOPIC.into()),
            ..MetadataRequestTopic::default()
        }];
        let request = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        let cx = Context::of_test(&broker, 9);
        let answer = within_patience(crate::api::metadata::metadata(&cx, request));
        assert_eq!(answer.topics[0].error_code, ErrorCode::NONE);
    });
    elsewhere("FindCoordinator", &|| {
        let request = FindCoordinatorRequest { key: "id".into(), key_type: 1, ..Default::default() };
        let cx = Context::of_test(&broker, 3);
        let answer = within_patience(crate::api::groups::find_coordinator(&cx, request));
        assert_eq!(answer.error_code, ErrorCode::NONE);
    });

    // A broker may ask for epochs without a right to the topics.
    drop(broker);
    let disk = GatedDisk { files: MemoryDisk::new(), gate: Arc::clone(&gate) };
    let class = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let broker = unused(&disk, &[class]);
    let right = Acl {
        resource_type: ResourceType::Cluster,
        pattern_type: PatternType::Literal,
        resource_name: CLUSTER_NAME.to_owned(),
        principal: ANONYMOUS.to_owned(),
        host: "127.0.0.1".to_owned(),
        operation: Operation::ClusterAction,
        permission: Permission::Allow,
    };
    broker.authorizer.as_ref().unwrap().set([&right]);
    elsewhere("a broker's OffsetForLeaderEpoch", &|| assert_eq!(epochs_of(&broker, 2).end_offset, 1));
    assert!(waiting.is_empty(), "{waiting:?} wait for the disk");
}

#[test]
fn a_log_that_cannot_be_opened_is_tried_once_for_each_request() {
    let disk = GatedDisk::default();
    let broker = unused(&disk, &[]);
    disk.gate.state.lock().refusing = true;
    let times = |ask: &dyn Fn() -> ErrorCode| {
        let before = broker.topics.faults.unopened.get();
        assert_eq!(ask(), ErrorCode::KAFKA_STORAGE_ERROR);
        broker.topics.faults.unopened.get() - before
    };
    let produced = times(&|| {
        let mut batch = BatchBuilder::new();
        batch.push(1_000, None, Some(b"value"), &[]);
        let batch = batch.finish();
        let records = Some(Records::Borrowed(&batch));
        let partition_data = vec![PartitionProduceData { index: 0, records }];
        let topic_data =
            vec![TopicProduceData { name: "orders".into(), partition_data, ..Default::default() }];
        let request = ProduceRequest { acks: -1, topic_data, ..Default::default() };
        let cx = Context::of_test(&broker, 9);
        let (answer, _) = within_patience(crate::api::produce::produce(&cx, request)).unwrap();
        answer.unwrap().responses[0].partition_responses[0].error_code
    });
    let listed = times(&|| {
        let partition = ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: "orders".into(), partitions: vec![partition] }];
        let request = ListOffsetsRequest { topics, ..Default::default() };
        let cx = Context::of_test(&broker, 7);
        let answer = within_patience(crate::api::list_offsets::list_offsets(&cx, request));
        answer.topics[0].partitions[0].error_code
    });
    let epochs = times(&|| epochs_of(&broker, 0).error_code);
    let producers = times(&|| producers_of(&broker, 0));
    assert_eq!((produced, listed, epochs, producers), (1, 1, 1, 1));
}
