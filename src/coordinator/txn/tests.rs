//! The machine by its invariants (T1 to T12), and the driver with markers that fail or hang.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use quipu_protocol::error_code::ErrorCode;
use quipu_storage::Marker;

use super::machine::{EPOCH_MAX, End, Found, Identity, Init, NONE, Status, Transaction, Version};
use super::{TransactionCoordinator, TransactionDoors, TransactionsSettings, records};
use crate::coordinator::doors::{CoordinatorClock, Durability, DurabilitySender};
use crate::coordinator::records::CoordinatorRecord;
use crate::coordinator::{Millis, Now};

fn ids(from: i64) -> impl FnMut() -> Result<i64, ErrorCode> {
    let mut next = from - 1;
    move || {
        next += 1;
        Ok(next)
    }
}

fn init(known: Option<&Transaction>, expected: Option<Identity>) -> Result<Transaction, ErrorCode> {
    match Transaction::init(0, known, 60_000, expected, &mut ids(100))? {
        Init::Ready(next) => Ok(next),
        Init::Fence(next) => panic!("fenced: {next:?}"),
    }
}

fn ongoing(epoch: i16) -> Transaction {
    let new = Transaction { producer_epoch: epoch, ..init(None, None).unwrap() };
    new.add(5, (100, epoch), &[("t".into(), 0)]).unwrap().unwrap()
}

fn end(
    state: &Transaction,
    producer: Identity,
    is_commit: bool,
    version: Version,
) -> Result<Transaction, ErrorCode> {
    match state.end(10, producer, is_commit, version, &mut ids(200))? {
        End::Prepared(next) => Ok(next),
        End::Done => Ok(state.clone()),
    }
}

fn ended(state: &Transaction, is_commit: bool, version: Version) -> Transaction {
    end(state, state.identity(), is_commit, version).unwrap().complete(11).unwrap()
}

#[test]
fn t2_an_id_gets_a_producer_id_once_and_an_epoch_each_time() {
    let first = init(None, None).unwrap();
    assert_eq!((first.identity(), first.status), ((100, 0), Status::Empty));
    let second = init(Some(&first), None).unwrap();
    assert_eq!(second.identity(), (100, 1));
    assert_eq!(first.add(0, (100, 1), &[]), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(second.add(0, (100, 0), &[]), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(second.add(0, (7, 1), &[]), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
}

#[test]
fn t2_a_retry_with_the_identity_before_gets_the_same_answer() {
    let first = init(None, None).unwrap();
    let second = init(Some(&first), Some((100, 0))).unwrap();
    assert_eq!(second.identity(), (100, 1));
    assert_eq!(init(Some(&second), Some((100, 0))).unwrap().identity(), (100, 1));
    let third = init(Some(&second), Some((100, 1))).unwrap();
    assert_eq!(init(Some(&third), Some((100, 0))), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(init(Some(&third), Some((5, 0))), Err(ErrorCode::PRODUCER_FENCED));
    // Somebody else came without knowing anything: whoever was there is out.
    let other = init(Some(&third), None).unwrap();
    assert_eq!(init(Some(&other), Some((100, 2))), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn t2_an_open_transaction_is_aborted_first_and_its_producer_shut_out_by_one_epoch() {
    let open = ongoing(3);
    let Ok(Init::Fence(fenced)) = Transaction::init(9, Some(&open), 60_000, None, &mut ids(1)) else {
        panic!("not fenced")
    };
    assert_eq!((fenced.status, fenced.identity()), (Status::PrepareAbort, (100, 4)));
    assert_eq!(init(Some(&fenced), None), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    // KAFKA-19367: one epoch for the fence, not another one for the abort.
    let done = fenced.complete(10).unwrap();
    assert_eq!((done.status, done.identity()), (Status::CompleteAbort, (100, 4)));
    assert_eq!(init(Some(&done), None).unwrap().identity(), (100, 5));
    assert_eq!(end(&done, (100, 3), true, Version::One), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(end(&done, (100, 3), true, Version::Two), Err(ErrorCode::INVALID_TXN_STATE));
}

#[test]
fn t1_no_producer_is_ever_given_the_greatest_epoch() {
    let last = Transaction { producer_epoch: EPOCH_MAX, ..init(None, None).unwrap() };
    let rotated = init(Some(&last), None).unwrap();
    assert_eq!((rotated.identity(), rotated.previous_producer_id), ((100, 0), 100));

    let rotated = Transaction::init(0, Some(&last), 1, Some((100, EPOCH_MAX)), &mut ids(300));
    let Ok(Init::Ready(rotated)) = rotated else { panic!("{rotated:?}") };
    assert_eq!(rotated.identity(), (300, 0));
    // The answer was lost; KAFKA-20357: also after a restart.
    let bytes = records::encode("id", Some(&rotated)).unwrap();
    let (_, restored) = records::decode(&bytes.key, bytes.value.as_deref()).unwrap().unwrap();
    let again = init(restored.as_ref(), Some((100, EPOCH_MAX))).unwrap();
    assert_eq!(again.identity(), (300, 0));
}

#[test]
fn t1_the_last_epoch_ends_in_a_new_producer_id() {
    let open = ongoing(EPOCH_MAX);
    let prepared = end(&open, (100, EPOCH_MAX), true, Version::Two).unwrap();
    // The marker's epoch, which nobody is given.
    assert_eq!((prepared.identity(), prepared.next_producer_id), ((100, i16::MAX), 200));
    assert_eq!(end(&prepared, (100, EPOCH_MAX), true, Version::Two), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    let done = prepared.complete(0).unwrap();
    assert_eq!(done.identity(), (200, 0));
    assert_eq!(end(&done, (100, EPOCH_MAX), true, Version::Two), Ok(done.clone()));
    assert_eq!(end(&done, (100, EPOCH_MAX), false, Version::Two), Err(ErrorCode::INVALID_TXN_STATE));

    // KAFKA-20090: fencing at the last epoch works too, and leaves a usable id.
    let late = open.time_out(100_000, &mut ids(400)).unwrap().unwrap();
    assert_eq!(late.identity(), (100, i16::MAX));
    let done = late.complete(0).unwrap();
    assert_eq!(done.identity(), (400, 0));
    assert_eq!(init(Some(&done), None).unwrap().identity(), (400, 1));
}

#[test]
fn t3_ending_twice_alike_succeeds_and_otherwise_does_not() {
    for is_commit in [true, false] {
        for version in [Version::One, Version::Two] {
            let open = ongoing(0);
            let prepared = end(&open, (100, 0), is_commit, version).unwrap();
            assert_eq!(end(&prepared, (100, 0), is_commit, version), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
            assert_eq!(end(&prepared, (100, 0), !is_commit, version), Err(ErrorCode::INVALID_TXN_STATE));
            let done = prepared.complete(0).unwrap();
            assert_eq!(end(&done, (100, 0), is_commit, version), Ok(done.clone()));
            assert_eq!(end(&done, (100, 0), !is_commit, version), Err(ErrorCode::INVALID_TXN_STATE));
        }
    }
}

#[test]
fn t3_what_was_never_begun_can_be_aborted_in_version_two_only() {
    let empty = init(None, None).unwrap();
    for is_commit in [true, false] {
        assert_eq!(end(&empty, (100, 0), is_commit, Version::One), Err(ErrorCode::INVALID_TXN_STATE));
    }
    assert_eq!(end(&empty, (100, 0), true, Version::Two), Err(ErrorCode::INVALID_TXN_STATE));
    assert_eq!(ended(&empty, false, Version::Two).identity(), (100, 1));
    let committed = ended(&ongoing(0), true, Version::Two);
    assert_eq!(end(&committed, (100, 1), true, Version::Two), Err(ErrorCode::INVALID_TXN_STATE));
    assert_eq!(ended(&committed, false, Version::Two).identity(), (100, 2));
}

#[test]
fn t4_in_version_two_what_is_late_meets_another_epoch() {
    let done = ended(&ongoing(0), true, Version::Two);
    assert_eq!(done.identity(), (100, 1));
    let next = done.add(20, (100, 1), &[("t".into(), 0)]).unwrap().unwrap();
    for is_commit in [true, false] {
        let late = end(&next, (100, 0), is_commit, Version::Two);
        assert_eq!(late, Err(ErrorCode::PRODUCER_FENCED));
    }
    assert_eq!(next.verify((100, 0), "t", 0), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(ended(&ongoing(0), true, Version::One).identity(), (100, 0));
}

#[test]
fn t5_only_what_was_added_is_part_of_a_transaction_and_only_while_it_is_open() {
    let open = ongoing(0);
    assert_eq!(open.verify((100, 0), "t", 0), Ok(()));
    assert_eq!(open.verify((100, 0), "t", 1), Err(ErrorCode::TRANSACTION_ABORTABLE));
    assert_eq!(open.add(6, (100, 0), &[("t".into(), 0)]), Ok(None));
    let prepared = end(&open, (100, 0), true, Version::One).unwrap();
    assert_eq!(prepared.verify((100, 0), "t", 0), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    assert_eq!(prepared.add(6, (100, 0), &[]), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    let done = prepared.complete(0).unwrap();
    assert_eq!(done.verify((100, 0), "t", 0), Err(ErrorCode::TRANSACTION_ABORTABLE));
}

#[test]
fn t5_what_a_crash_left_open_belongs_to_the_transaction_under_way_or_ends_as_its_own_did() {
    let found = |state: &Transaction, epoch, partition| state.found_open(9, (100, epoch), "t", partition);
    let open = ongoing(3);
    assert_eq!(found(&open, 3, 0), Found::Known);
    let Found::Joins(joined) = found(&open, 3, 1) else { panic!("a lost addition") };
    assert!(joined.contains("t", 0) && joined.contains("t", 1) && joined.started_ms == open.started_ms);
    let empty = Transaction { producer_epoch: 3, ..init(None, None).unwrap() };
    let Found::Joins(joined) = found(&empty, 3, 0) else { panic!("a lost beginning") };
    assert_eq!((joined.status, joined.started_ms, joined.identity()), (Status::Ongoing, 9, (100, 3)));

    for is_commit in [true, false] {
        let prepared = end(&open, (100, 3), is_commit, Version::Two).unwrap();
        assert_eq!(found(&prepared, 3, 0), Found::Known);
        // That it has ended was lost, and the beginning of the next.
        assert_eq!(found(&prepared, 4, 0), Found::JoinsNext);
        let done = prepared.complete(10).unwrap();
        assert_eq!(found(&done, 3, 0), Found::Ended { is_commit, epoch: 4 });
        // Which outcome that one had nobody knows any more.
        assert_eq!(found(&done, 2, 0), Found::Ended { is_commit: false, epoch: 4 });
        assert!(matches!(found(&done, 4, 0), Found::Joins(_)));

        let prepared = end(&open, (100, 3), is_commit, Version::One).unwrap();
        assert_eq!(found(&prepared, 3, 0), Found::Known);
        assert_eq!(found(&prepared, 3, 1), Found::Ended { is_commit: false, epoch: 3 });
        // The next one would have begun durably.
        let done = prepared.complete(10).unwrap();
        assert_eq!(found(&done, 3, 0), Found::Ended { is_commit, epoch: 3 });
    }

    let prepared = end(&ongoing(EPOCH_MAX), (100, EPOCH_MAX), true, Version::Two).unwrap();
    assert_eq!(prepared.found_open(9, (200, 0), "t", 0), Found::JoinsNext);
    let last = prepared.complete(10).unwrap();
    assert_eq!(last.identity(), (200, 0));
    assert_eq!(found(&last, EPOCH_MAX, 0), Found::Ended { is_commit: true, epoch: i16::MAX });
}

#[test]
fn t7_t12_time_ends_what_is_open_and_forgets_what_is_not() {
    let open = ongoing(0);
    assert_eq!(open.time_out(5 + 60_000, &mut ids(1)), Ok(None));
    let late = open.time_out(5 + 60_001, &mut ids(1)).unwrap().unwrap();
    assert_eq!((late.status, late.identity()), (Status::PrepareAbort, (100, 1)));
    assert!(!open.is_expired(i64::MAX, 0) && !late.is_expired(i64::MAX, 0));
    let done = late.complete(500).unwrap();
    assert!(!done.is_expired(599, 100) && done.is_expired(600, 100));
}

// ---- The driver ----

#[derive(Default)]
struct World {
    now: AtomicI64,
    next_id: AtomicI64,
    log: Mutex<Vec<CoordinatorRecord>>,
    /// Markers that are there.
    markers: Mutex<Vec<(String, i32, Marker)>>,
    /// Every partition fails.
    broken: Mutex<bool>,
    /// The partitions of this topic fail.
    broken_topic: Mutex<Option<&'static str>>,
    /// The coordinator's own log takes nothing.
    full: Mutex<bool>,
    /// What the next to wait for the coordinator's own log gets.
    outcome: Mutex<Option<Durability>>,
    /// Markers become durable when their senders are told.
    hanging: Mutex<Option<Vec<DurabilitySender>>>,
}

impl TransactionDoors for World {
    fn append(&self, _: &str, record: CoordinatorRecord, _: Millis) -> Result<(), ErrorCode> {
        if *self.full.lock() {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
        self.log.lock().push(record);
        Ok(())
    }

    fn durable(&self, _: &str) -> Durability {
        self.outcome.lock().take().unwrap_or(Durability::Done)
    }

    fn fresh_producer_id(&self) -> Result<i64, ErrorCode> {
        Ok(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn write_marker(&self, topic: &str, partition: i32, marker: &Marker) -> Result<Durability, ErrorCode> {
        if *self.broken.lock() || *self.broken_topic.lock() == Some(topic) {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
        self.markers.lock().push((topic.to_owned(), partition, *marker));
        match &mut *self.hanging.lock() {
            None => Ok(Durability::Done),
            Some(senders) => {
                let (sender, durability) = Durability::pending();
                senders.push(sender);
                Ok(durability)
            }
        }
    }
}

impl CoordinatorClock for World {
    fn now(&self) -> Now {
        let now = self.now.load(Ordering::Relaxed);
        Now { tick: now, wall: now }
    }

    fn random_bits(&self) -> u128 {
        4
    }
}

fn coordinator(world: &Arc<World>) -> TransactionCoordinator {
    let doors = Arc::clone(world) as Arc<dyn TransactionDoors>;
    let clock = Arc::clone(world) as Arc<dyn CoordinatorClock>;
    let coordinator = TransactionCoordinator::new(TransactionsSettings::default(), doors, clock);
    for record in world.log.lock().iter() {
        coordinator.replay(&record.key, record.value.as_deref()).unwrap();
    }
    coordinator.finish_loading(world.now());
    coordinator
}

/// A transaction of "id" that holds these partitions.
async fn begun(partitions: &[(&str, i32)]) -> (Arc<World>, TransactionCoordinator, Identity) {
    let world = Arc::new(World::default());
    let coordinator = coordinator(&world);
    let producer = coordinator.init("id", Some(1_000), None).await.unwrap();
    let partitions: Vec<_> = partitions.iter().map(|(topic, index)| (Arc::from(*topic), *index)).collect();
    let _ = coordinator.add_partitions("id", producer, &partitions).unwrap();
    (world, coordinator, producer)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Polls a few times and gives up, as a connection does that goes away.
async fn abandon<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    for _ in 0..3 {
        std::future::poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
}

fn status(coordinator: &TransactionCoordinator) -> Status {
    coordinator.describe("id").unwrap().status
}

#[test]
fn markers_are_there_when_a_transaction_has_ended() {
    run(async {
        let (world, coordinator, producer) = begun(&[("t", 0), ("u", 3)]).await;
        assert_eq!(coordinator.within("id", producer, "u", 3, || 7), Ok(7));
        let next = coordinator.end("id", producer, true, Version::Two).await.unwrap();
        assert_eq!(next, (producer.0, producer.1 + 1));
        let markers = world.markers.lock().clone();
        assert_eq!(markers.len(), 2);
        assert!(markers.iter().all(|(_, _, marker)| marker.is_commit && marker.producer_epoch == next.1));
        assert_eq!(status(&coordinator), Status::CompleteCommit);
        // Again: the same answer, nothing written.
        assert_eq!(coordinator.end("id", producer, true, Version::Two).await, Ok(next));
        assert_eq!(world.markers.lock().len(), 2);
    });
}

#[test]
fn markers_that_failed_are_written_by_the_next_scan_and_those_of_a_lost_connection_at_once() {
    run(async {
        let (world, coordinator, producer) = begun(&[("t", 0)]).await;
        *world.broken.lock() = true;
        let refused = coordinator.end("id", producer, false, Version::Two).await;
        assert_eq!(refused, Err(ErrorCode::NOT_COORDINATOR));
        assert_eq!(status(&coordinator), Status::PrepareAbort);
        assert_eq!(
            coordinator.end("id", producer, false, Version::Two).await,
            Err(ErrorCode::CONCURRENT_TRANSACTIONS)
        );
        *world.broken.lock() = false;
        coordinator.run_due().await;
        assert_eq!(status(&coordinator), Status::CompleteAbort);

        let producer = coordinator.end("id", producer, false, Version::Two).await.unwrap();
        let _ = coordinator.add_partitions("id", producer, &[("t".into(), 0)]).unwrap();
        coordinator.has_stranded().await;
        *world.hanging.lock() = Some(Vec::new());
        abandon(coordinator.end("id", producer, true, Version::Two)).await;
        assert_eq!(status(&coordinator), Status::PrepareCommit);
        coordinator.has_stranded().await;
        *world.hanging.lock() = None;
        coordinator.run_due().await;
        assert_eq!(status(&coordinator), Status::CompleteCommit);
    });
}

#[test]
fn a_partition_that_refuses_its_marker_keeps_no_other_from_having_one() {
    run(async {
        let (world, coordinator, producer) = begun(&[("a", 0), ("t", 0), ("u", 3)]).await;
        *world.broken_topic.lock() = Some("t");
        assert!(coordinator.end("id", producer, true, Version::One).await.is_err());
        let marked = || world.markers.lock().iter().map(|(topic, ..)| topic.clone()).collect::<Vec<_>>();
        assert_eq!(marked(), ["a", "u"]);
        // In version 1 another marker would be another record.
        coordinator.run_due().await;
        assert_eq!(marked(), ["a", "u"]);
        *world.broken_topic.lock() = None;
        // Nor is one written again when it is their end that cannot be kept.
        *world.full.lock() = true;
        coordinator.run_due().await;
        assert_eq!((marked().len(), status(&coordinator)), (3, Status::PrepareCommit));
        *world.full.lock() = false;
        coordinator.run_due().await;
        assert_eq!(marked(), ["a", "u", "t"]);
        assert_eq!(status(&coordinator), Status::CompleteCommit);
        // The next transaction has markers of its own.
        let partitions: [(Arc<str>, i32); 3] = [("a".into(), 0), ("t".into(), 0), ("u".into(), 3)];
        let _ = coordinator.add_partitions("id", producer, &partitions).unwrap();
        coordinator.end("id", producer, true, Version::One).await.unwrap();
        assert_eq!(marked().len(), 6);
    });
}

#[test]
fn who_has_told_an_outcome_has_let_go_of_the_id() {
    run(async {
        let (world, coordinator, producer) = begun(&[("t", 0)]).await;
        let completing = |shared: &_, slot: &mut _| Ok(coordinator.begin_completing(shared, slot));
        let prepare = || {
            coordinator.with("id", |shared, slot| {
                let state = slot.state.as_ref().unwrap();
                let next = end(state, producer, true, Version::One)?;
                coordinator.advance(slot, Some(next), world.now())?;
                completing(shared, slot)
            })
        };
        let mut first = prepare().unwrap();
        first.see_through().await.unwrap();
        assert_eq!(status(&coordinator), Status::CompleteCommit);
        // The next transaction is being ended before the thread that has ended this one comes to let go.
        let _ = coordinator.add_partitions("id", producer, &[("t".into(), 0)]).unwrap();
        let second = prepare().unwrap();
        drop(first);
        coordinator.run_due().await;
        assert_eq!(world.markers.lock().len(), 1, "somebody is writing these already");
        second.run().await.unwrap();
        assert_eq!(world.markers.lock().len(), 2);
        assert_eq!(status(&coordinator), Status::CompleteCommit);
    });
}

/// Its markers, in version 1, could end a part of the next transaction.
#[test]
fn an_outcome_that_somebody_else_has_told_meanwhile_gets_no_markers() {
    run(async {
        let (world, coordinator, producer) = begun(&[("t", 0)]).await;
        let (sender, outcome) = Durability::pending();
        *world.outcome.lock() = Some(outcome);
        let mut late = std::pin::pin!(coordinator.end("id", producer, true, Version::One));
        std::future::poll_fn(|cx| {
            assert!(late.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let told = coordinator.with("id", |_, slot| {
            let done = slot.state.as_ref().unwrap().complete(0);
            coordinator.advance(slot, done, world.now())
        });
        told.unwrap();
        sender.send(Ok(()));
        late.await.unwrap();
        assert!(world.markers.lock().is_empty());
    });
}

#[test]
fn t7_a_scan_ends_many_side_by_side() {
    run(async {
        let world = Arc::new(World::default());
        let coordinator = coordinator(&world);
        for n in 0..10 {
            let id = format!("id-{n}");
            let producer = coordinator.init(&id, Some(1_000), None).await.unwrap();
            let _ = coordinator.add_partitions(&id, producer, &[("t".into(), n)]).unwrap();
        }
        *world.hanging.lock() = Some(Vec::new());
        world.now.store(100_000, Ordering::Relaxed);
        abandon(coordinator.run_due()).await;
        assert_eq!(world.markers.lock().len(), 10);
    });
}

#[test]
fn an_id_that_could_not_be_kept_is_not_there() {
    run(async {
        let world = Arc::new(World::default());
        let coordinator = coordinator(&world);
        *world.full.lock() = true;
        assert!(coordinator.init("id", Some(1_000), None).await.is_err());
        assert!(coordinator.slots.read().is_empty());
        *world.full.lock() = false;
        coordinator.init("id", Some(1_000), None).await.unwrap();
    });
}

#[test]
fn markers_are_written_again_after_a_restart() {
    run(async {
        let world = Arc::new(World::default());
        let first = coordinator(&world);
        let producer = first.init("id", Some(1_000), None).await.unwrap();
        let _ = first.add_partitions("id", producer, &[("t".into(), 0)]).unwrap();
        *world.hanging.lock() = Some(Vec::new());
        abandon(first.end("id", producer, true, Version::Two)).await;
        *world.hanging.lock() = None;
        let second = coordinator(&world);
        assert_eq!(second.list(), first.list());
        second.has_stranded().await;
        second.run_due().await;
        assert_eq!(status(&second), Status::CompleteCommit);
        let markers = world.markers.lock().clone();
        // KAFKA-19999: twice the same, of which the log takes one.
        assert_eq!((markers.len(), &markers[0]), (2, &markers[1]));
        let next = second.end("id", producer, true, Version::Two).await.unwrap();
        assert_eq!(next, (producer.0, producer.1 + 1));
    });
}

/// KAFKA-20090: a transaction at the last epoch is fenced with the one above, and neither that nor a restart in between
/// keeps its markers from being written, or the id from being used again.
#[test]
fn t6_the_greatest_epoch_is_seen_through_after_a_restart() {
    run(async {
        let world = Arc::new(World::default());
        world.next_id.store(7, Ordering::Relaxed);
        let last = Transaction { producer_id: 5, ..ongoing(EPOCH_MAX) };
        world.log.lock().push(records::encode("id", Some(&last)).unwrap());
        let first = coordinator(&world);
        *world.broken.lock() = true;
        assert!(first.init("id", Some(1_000), None).await.is_err());
        assert_eq!(status(&first), Status::PrepareAbort);
        *world.broken.lock() = false;

        let second = coordinator(&world);
        second.run_due().await;
        assert_eq!(status(&second), Status::CompleteAbort);
        let marker = world.markers.lock()[0].2;
        assert_eq!((marker.producer_id, marker.producer_epoch, marker.is_commit), (5, i16::MAX, false));
        let (producer_id, epoch) = second.init("id", Some(1_000), None).await.unwrap();
        assert_eq!((producer_id, epoch), (7, 1));
    });
}

/// KAFKA-20357: the answer that gave the producer its new id was lost, and the coordinator started again meanwhile.
#[test]
fn t1_the_last_epoch_is_remembered_across_a_restart() {
    run(async {
        let world = Arc::new(World::default());
        world.next_id.store(7, Ordering::Relaxed);
        let last = Transaction { producer_id: 5, ..ongoing(EPOCH_MAX) };
        world.log.lock().push(records::encode("id", Some(&last)).unwrap());
        let producer = (5, EPOCH_MAX);
        let told = coordinator(&world).end("id", producer, true, Version::Two).await.unwrap();
        assert_eq!(told, (7, 0));
        // The same request again gets the same answer, and so does a producer that only asks who it is.
        let again = coordinator(&world).end("id", producer, true, Version::Two).await;
        assert_eq!(again, Ok((7, 0)));
        let asked = coordinator(&world).init("id", Some(1_000), Some(producer)).await;
        assert_eq!(asked, Ok((7, 0)));
    });
}

#[test]
fn t7_a_scan_aborts_what_took_too_long_and_t12_forgets_what_is_not_used() {
    run(async {
        let (world, coordinator, producer) = begun(&[("t", 0)]).await;
        world.now.store(coordinator.next_deadline(), Ordering::Relaxed);
        coordinator.run_due().await;
        assert_eq!(status(&coordinator), Status::CompleteAbort);
        assert_eq!(
            coordinator.end("id", producer, true, Version::One).await,
            Err(ErrorCode::PRODUCER_FENCED)
        );
        world.now.fetch_add(8 * 24 * 3_600_000, Ordering::Relaxed);
        coordinator.run_due().await;
        assert_eq!(coordinator.describe("id"), Err(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND));
        assert!(world.log.lock().last().unwrap().value.is_none());
        // It may come back, as somebody new.
        assert_ne!(coordinator.init("id", Some(1_000), None).await.unwrap().0, producer.0);
    });
}

#[test]
fn t2_timeouts_and_names_have_bounds() {
    run(async {
        let world = Arc::new(World::default());
        let coordinator = coordinator(&world);
        for timeout in [0, -1, 15 * 60 * 1000 + 1] {
            assert_eq!(
                coordinator.init("id", Some(timeout), None).await,
                Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT)
            );
        }
        assert_eq!(coordinator.init("", Some(1), None).await, Err(ErrorCode::INVALID_REQUEST));
        let unknown = coordinator.add_partitions("x", (0, 0), &[]);
        assert_eq!(unknown, Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    });
}

// ---- Any sequence of requests ----

#[derive(Clone, Debug)]
enum Op {
    Init(bool),
    Add(i32),
    End { is_commit: bool, is_two: bool, epochs_back: i16 },
    Wait(i64),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => any::<bool>().prop_map(Op::Init),
        4 => (0..3i32).prop_map(Op::Add),
        4 => (any::<bool>(), any::<bool>(), 0..2i16)
            .prop_map(|(is_commit, is_two, epochs_back)| Op::End { is_commit, is_two, epochs_back }),
        1 => (0..20_000i64).prop_map(Op::Wait),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Replaying the log gives the same state; an outcome, once told, is the only one; no identity is given twice.
    #[test]
    fn replay_equals_state_and_outcomes_are_final(ops in prop::collection::vec(op(), 1..60)) {
        run(async {
            let world = Arc::new(World::default());
            let mut driver = coordinator(&world);
            let mut producer = driver.init("id", Some(1_000), None).await.unwrap();
            let mut given = BTreeSet::from([producer]);
            for op in ops {
                match op {
                    Op::Init(knows) => {
                        let expected = knows.then_some(producer);
                        match driver.init("id", Some(1_000), expected).await {
                            Ok(next) => {
                                assert!(given.insert(next), "{next:?} was given before");
                                producer = next;
                            }
                            Err(ErrorCode::CONCURRENT_TRANSACTIONS | ErrorCode::PRODUCER_FENCED) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    Op::Add(partition) => {
                        let _ = driver.add_partitions("id", producer, &[("t".into(), partition)]);
                    }
                    Op::End { is_commit, is_two, epochs_back } => {
                        let version = if is_two { Version::Two } else { Version::One };
                        let before = driver.describe("id").unwrap();
                        let asked = (producer.0, producer.1 - epochs_back);
                        let ended = driver.end("id", asked, is_commit, version).await;
                        if before.status == Status::Ongoing && asked == before.identity() {
                            producer = ended.unwrap();
                            if is_two { given.insert(producer); }
                        } else if before.status == Status::Ongoing {
                            assert_eq!(ended, Err(ErrorCode::PRODUCER_FENCED));
                        } else if let Ok(next) = ended {
                            given.insert(next);
                            producer = next;
                        }
                    }
                    Op::Wait(ms) => {
                        world.now.fetch_add(ms, Ordering::Relaxed);
                        driver.run_due().await;
                    }
                    Op::Restart => {
                        let before = driver.list().unwrap();
                        driver = coordinator(&world);
                        assert_eq!(driver.list().unwrap(), before);
                    }
                }
                let state = driver.describe("id").unwrap();
                assert!(!state.status.is_prepared(), "nothing hangs");
                assert!((0..=EPOCH_MAX).contains(&state.producer_epoch) || state.producer_epoch == NONE);
            }
            // Of one identity a partition has seen one outcome, however often it was told.
            let mut outcomes = BTreeMap::new();
            for (_, partition, marker) in world.markers.lock().iter().filter(|(_, _, m)| m.has_own_epoch) {
                let key = (*partition, marker.producer_id, marker.producer_epoch);
                assert_eq!(*outcomes.entry(key).or_insert(marker.is_commit), marker.is_commit);
            }
        });
    }
}
