//! The driver: parked requests, durability, loading, deadlines, limits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;

use super::doors::{CoordinatorClock, CoordinatorLog, Durability, DurabilitySender, Sight, TopicLookup};
use super::group::classic::{JoinRequest, Leaving, Protocol, State, SyncRequest};
use super::group::offsets::{CommitRequest, Committed};
use super::group::sim::Sim;
use super::group::{Committer, Group, JoinReply, MemberId, Record};
use super::membership::member_id;
use super::records::CoordinatorRecord;
use super::settings::GroupSettings;
use super::{GroupCoordinator, Millis, Now, Silence, records};

/// Log, topics and clock in one.
#[derive(Default)]
struct World {
    log: Mutex<Vec<CoordinatorRecord>>,
    broken: Mutex<Option<ErrorCode>>,
    /// When set, appends become durable only when told.
    is_slow: Mutex<bool>,
    pending: Mutex<Vec<DurabilitySender>>,
    tick: AtomicI64,
    random: AtomicU64,
    /// How often the topic has been replaced.
    replaced: AtomicU64,
}

fn id(number: u8) -> Uuid {
    Uuid([number; 16])
}

impl CoordinatorLog for World {
    fn append(&self, _: &str, records: Vec<CoordinatorRecord>, _: Millis) -> Result<Durability, ErrorCode> {
        if let Some(error) = *self.broken.lock() {
            return Err(error);
        }
        self.log.lock().extend(records);
        if !*self.is_slow.lock() {
            return Ok(Durability::Done);
        }
        let (sender, durability) = Durability::pending();
        self.pending.lock().push(sender);
        Ok(durability)
    }

    fn append_in_transaction(
        &self,
        group: &str,
        records: Vec<CoordinatorRecord>,
        _: (i64, i16),
        now: Millis,
    ) -> Result<Durability, ErrorCode> {
        self.append(group, records, now)
    }
}

/// Of a client that may see all topics.
struct Everything;

impl Sight for Everything {
    fn sees(&self, _: &str) -> bool {
        true
    }

    fn version(&self) -> i64 {
        0
    }
}

impl TopicLookup for World {
    fn partitions(&self, name: &str) -> Option<i32> {
        (name == "t").then_some(2)
    }

    fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        (self.id_of("t") == Some(id)).then(|| "t".into())
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        (name == "t").then(|| id(7 + self.replaced.load(Ordering::Relaxed) as u8))
    }

    fn names(&self) -> Vec<Arc<str>> {
        vec!["t".into()]
    }

    fn version(&self) -> i64 {
        0
    }
}

impl CoordinatorClock for World {
    fn now(&self) -> Now {
        let tick = self.tick.load(Ordering::Relaxed);
        Now { tick, wall: 1_700_000_000_000 + tick }
    }

    fn random_bits(&self) -> u128 {
        u128::from(self.random.fetch_add(1, Ordering::Relaxed))
    }
}

fn start(world: &Arc<World>, settings: GroupSettings) -> GroupCoordinator {
    start_after(world, settings, &[])
}

/// Starts after a life of the broker in which there were these silences.
fn start_after(world: &Arc<World>, settings: GroupSettings, silences: &[Silence]) -> GroupCoordinator {
    let groups = GroupCoordinator::new(settings, world.clone(), world.clone(), world.clone());
    for record in world.log.lock().clone() {
        groups.replay(&record.key, record.value.as_deref(), None).unwrap();
    }
    groups.finish_loading(world.now(), silences);
    groups
}

fn new() -> (Arc<World>, GroupCoordinator) {
    let world = Arc::new(World::default());
    let groups = start(&world, GroupSettings::default());
    (world, groups)
}

fn pass(world: &World, groups: &GroupCoordinator, ms: Millis) {
    world.tick.fetch_add(ms, Ordering::Relaxed);
    groups.expire(world.now());
}

fn request(member_id: &str) -> JoinRequest {
    Sim::request(member_id, &[("range", "sub")])
}

fn sync_request(member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> SyncRequest {
    Sim::syncing(member_id, generation, assignments)
}

fn nobody() -> Committer {
    Committer { member_id: "".into(), instance_id: None, generation: -1 }
}

fn commit(offset: i64) -> Vec<CommitRequest> {
    vec![CommitRequest {
        topic: "t".into(),
        topic_id: id(7),
        partition: 0,
        offset,
        leader_epoch: -1,
        metadata: "".into(),
    }]
}

/// The same by a client that knows the topic that has taken the place of the first.
fn commit_to_next(offset: i64) -> Vec<CommitRequest> {
    commit(offset).into_iter().map(|request| CommitRequest { topic_id: id(8), ..request }).collect()
}

fn committed(groups: &GroupCoordinator, group_id: &str) -> Option<i64> {
    let offset = |group: Option<&Group>| Some(group?.committed("t", 0)?.offset);
    groups.peek(group_id, offset).unwrap().0
}

/// A new member's way in, when nobody else has to join.
async fn join_alone(groups: &GroupCoordinator, group_id: &str) -> JoinReply {
    let reply = groups.join(group_id, request(""), &Everything).await;
    assert_eq!(reply.error, ErrorCode::MEMBER_ID_REQUIRED);
    groups.join(group_id, request(&reply.member_id), &Everything).await
}

/// Whether the future is still waiting after everything that could run has run.
async fn is_waiting<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}

#[test]
fn member_ids_look_like_kafkas() {
    let id = member_id("client", u128::MAX);
    assert_eq!(&*id, "client-ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(&*member_id("", 1), "-00000000-0000-4000-8000-000000000001");
}

#[tokio::test]
async fn a_group_goes_its_way_from_first_join_to_commit_and_comes_back_after_a_restart() {
    let (world, groups) = new();
    let joined = join_alone(&groups, "g").await;
    assert_eq!((joined.error, joined.generation), (ErrorCode::NONE, 1));
    let id = joined.member_id.clone();
    let synced = groups.sync("g", sync_request(&id, 1, &[(&id, "all")])).await;
    assert_eq!((synced.error, synced.assignment), (ErrorCode::NONE, Bytes::from_static(b"all")));
    let committer = Committer { member_id: id.clone(), instance_id: None, generation: 1 };
    assert_eq!(groups.commit("g", &committer, commit(42), None, true).await, Ok(vec![ErrorCode::NONE]));
    assert_eq!(groups.heartbeat("g", &id, None, 1), ErrorCode::NONE);

    let again = start(&world, GroupSettings::default());
    assert_eq!(again.heartbeat("g", &id, None, 1), ErrorCode::NONE);
    assert_eq!(committed(&again, "g"), Some(42));
    let view = again.describe("g").unwrap();
    assert_eq!((view.state, view.members.len()), (State::Stable, 1));
    assert_eq!(view.members[0].assignment, Bytes::from_static(b"all"));
    let listing = again.list().unwrap();
    assert_eq!((&*listing[0].id, &*listing[0].protocol_type), ("g", "consumer"));
    pass(&world, &again, 10_000);
    assert_eq!(again.describe("g").unwrap().state, State::Empty);
    assert_eq!(again.delete("g").await, Ok(()));
    assert_eq!(again.delete("g").await, Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(again.count(), 0);
    assert_eq!(start(&world, GroupSettings::default()).count(), 0);
}

/// A group of two stable members; gives their ids.
async fn stable_pair(groups: &GroupCoordinator) -> (MemberId, MemberId) {
    let one = join_alone(groups, "g").await.member_id;
    assert_eq!(groups.sync("g", sync_request(&one, 1, &[])).await.error, ErrorCode::NONE);
    let two = groups.join("g", request(""), &Everything).await.member_id;
    let (first, second) = tokio::join!(
        groups.join("g", request(&one), &Everything),
        groups.join("g", request(&two), &Everything)
    );
    assert_eq!((first.generation, second.generation), (2, 2));
    let leader = first.leader.clone();
    let follower = if leader == one { &two } else { &one };
    let assigned = [(&*one, "a"), (&*two, "b")];
    let (led, followed) = tokio::join!(
        groups.sync("g", sync_request(&leader, 2, &assigned)),
        groups.sync("g", sync_request(follower, 2, &[])),
    );
    assert_eq!((led.error, followed.error), (ErrorCode::NONE, ErrorCode::NONE));
    (one, two)
}

#[tokio::test]
async fn g6_kills_faster_than_the_session_do_not_keep_a_dead_member() {
    let (world, mut groups) = new();
    let (alive, _dead) = stable_pair(&groups).await;
    let mut lives = 0;
    loop {
        let silences = groups.silences(world.now()).unwrap_or_default();
        groups = start_after(&world, GroupSettings::default(), &silences);
        lives += 1;
        // Each life is shorter than the session of 10 s.
        for _ in 0..4 {
            pass(&world, &groups, 1_000);
            if groups.heartbeat("g", &alive, None, 2) == ErrorCode::REBALANCE_IN_PROGRESS {
                assert_eq!(lives, 3, "4 s and 4 s of silence, then the 2 s that are left");
                assert_eq!(groups.join("g", request(&alive), &Everything).await.members.len(), 1);
                return;
            }
        }
        assert!(lives < 5, "it is kept for ever");
    }
}

#[tokio::test]
async fn g6_who_was_heard_in_the_last_life_has_a_whole_session() {
    let (world, mut groups) = new();
    let (one, two) = stable_pair(&groups).await;
    for _ in 0..5 {
        let silences = groups.silences(world.now()).unwrap_or_default();
        groups = start_after(&world, GroupSettings::default(), &silences);
        pass(&world, &groups, 9_999);
        assert_eq!(groups.heartbeat("g", &one, None, 2), ErrorCode::NONE);
        assert_eq!(groups.heartbeat("g", &two, None, 2), ErrorCode::NONE);
        assert_eq!(groups.silences(world.now()), None, "there is nothing left to note");
    }
}

#[tokio::test]
async fn g6_a_life_in_which_nobody_is_heard_counts_for_nobody() {
    let (world, mut groups) = new();
    let (one, two) = stable_pair(&groups).await;
    for _ in 0..5 {
        groups =
            start_after(&world, GroupSettings::default(), &groups.silences(world.now()).unwrap_or_default());
        pass(&world, &groups, 4_000);
        assert_eq!(groups.silences(world.now()), Some(Vec::new()));
    }
    assert_eq!(groups.heartbeat("g", &one, None, 2), ErrorCode::NONE);
    assert_eq!(groups.heartbeat("g", &two, None, 2), ErrorCode::NONE);
    // However long somebody was silent, a quarter of the session is left to reconnect in.
    let silence = Silence { group_id: "g".into(), member_id: two.clone(), silent_ms: 60_000 };
    let groups = start_after(&world, GroupSettings::default(), &[silence]);
    pass(&world, &groups, 2_499);
    assert_eq!(groups.heartbeat("g", &two, None, 2), ErrorCode::NONE);
}

#[tokio::test]
async fn a_parked_join_is_answered_when_the_others_come_or_go() {
    let (world, groups) = new();
    let first = join_alone(&groups, "g").await.member_id;
    let second = groups.join("g", request(""), &Everything).await.member_id;
    let mut parked = pin!(groups.join("g", request(&second), &Everything));
    assert!(is_waiting(parked.as_mut()).await);
    assert_eq!(groups.heartbeat("g", &first, None, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(groups.next_deadline(), 10_000, "the first member's session");
    pass(&world, &groups, 10_000);
    let reply = parked.await;
    assert_eq!((reply.error, reply.generation, reply.members.len()), (ErrorCode::NONE, 2, 1));
}

#[tokio::test]
async fn a_dropped_request_leaves_nothing_behind() {
    let (world, groups) = new();
    let first = join_alone(&groups, "g").await.member_id;
    {
        let mut old_client = request("");
        old_client.must_know_id = false;
        let mut parked = pin!(groups.join("g", old_client, &Everything));
        assert!(is_waiting(parked.as_mut()).await);
        assert_eq!(groups.describe("g").unwrap().members.len(), 2);
    }
    assert_eq!(groups.describe("g").unwrap().members.len(), 1, "nobody can come back as that member");
    let waiters = |group: &str| groups.slots.get(group).unwrap().lock().waiters.len();
    assert_eq!(waiters("g"), 0);

    let reply = groups.join("g", request(&first), &Everything).await;
    assert_eq!(reply.error, ErrorCode::NONE);
    let second = groups.join("g", request(""), &Everything).await.member_id;
    {
        let mut parked = pin!(groups.join("g", request(&second), &Everything));
        assert!(is_waiting(parked.as_mut()).await);
    }
    assert_eq!(waiters("g"), 0);
    // It counts as joined, as it may come back; its session decides.
    let reply = groups.join("g", request(&first), &Everything).await;
    assert_eq!(reply.members.len(), 2);
    let mut parked = pin!(groups.sync("g", sync_request(&second, reply.generation, &[])));
    assert!(is_waiting(parked.as_mut()).await);
    pass(&world, &groups, 10_000);
    assert_eq!(parked.await.error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(waiters("g"), 0);
}

#[tokio::test]
async fn nothing_is_told_before_it_is_durable() {
    let (world, groups) = new();
    let leader = join_alone(&groups, "g").await.member_id;
    *world.is_slow.lock() = true;
    let mut synced = pin!(groups.sync("g", sync_request(&leader, 1, &[(&leader, "all")])));
    assert!(is_waiting(synced.as_mut()).await);
    // A second request for the assignment, which is settled in memory by now, waits just the same.
    let mut again = pin!(groups.sync("g", sync_request(&leader, 1, &[])));
    assert!(is_waiting(again.as_mut()).await);
    assert_eq!(world.pending.lock().len(), 1);
    world.pending.lock().remove(0).send(Ok(()));
    assert_eq!(synced.await.error, ErrorCode::NONE);
    assert_eq!(again.await.error, ErrorCode::NONE);

    let committer = Committer { member_id: leader, instance_id: None, generation: 1 };
    let mut committing = pin!(groups.commit("g", &committer, commit(1), None, true));
    assert!(is_waiting(committing.as_mut()).await);
    let mut looking = pin!(groups.look("g", |group| group.is_some()));
    assert!(is_waiting(looking.as_mut()).await, "who reads a commit must be able to rely on it");
    world.pending.lock().remove(0).send(Ok(()));
    assert_eq!((committing.await, looking.await), (Ok(vec![ErrorCode::NONE]), Ok(true)));

    let mut committing = pin!(groups.commit("g", &committer, commit(1), None, true));
    assert!(is_waiting(committing.as_mut()).await);
    world.pending.lock().remove(0).send(Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(committing.await, Err(ErrorCode::NOT_COORDINATOR));

    let mut committing = pin!(groups.commit("g", &committer, commit(1), None, true));
    assert!(is_waiting(committing.as_mut()).await);
    world.pending.lock().clear();
    assert_eq!(committing.await, Err(ErrorCode::NOT_COORDINATOR), "whoever should have told us is gone");
}

#[tokio::test]
async fn errors_of_the_log_are_translated_as_kafka_does() {
    let (world, groups) = new();
    for (log, told) in [
        (ErrorCode::KAFKA_STORAGE_ERROR, ErrorCode::NOT_COORDINATOR),
        (ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NOT_COORDINATOR),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::INVALID_COMMIT_OFFSET_SIZE),
    ] {
        *world.broken.lock() = Some(log);
        assert_eq!(groups.commit("g", &nobody(), commit(1), None, true).await, Err(told));
    }
    assert_eq!(groups.count(), 0, "a group that could not be kept is none");
}

#[tokio::test]
async fn g8_who_takes_a_member_out_of_a_consumer_group_hears_that_it_could_not_be_kept() {
    let (world, groups) = new();
    groups.consumer_heartbeat("g", &Sim::joining("a"), &Everything).await.unwrap();
    let leaving = [Leaving { member_id: "a".into(), instance_id: None }];
    *world.broken.lock() = Some(ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(groups.leave("g", &leaving).await, Err(ErrorCode::NOT_COORDINATOR));
    *world.broken.lock() = None;
    assert_eq!(groups.leave("g", &leaving).await, Ok(vec![ErrorCode::NONE]));
    assert_eq!(groups.leave("g", &leaving).await, Ok(vec![ErrorCode::UNKNOWN_MEMBER_ID]));
}

#[tokio::test]
async fn requests_are_refused_while_loading_and_after_the_stop() {
    let world = Arc::new(World::default());
    let groups = GroupCoordinator::new(GroupSettings::default(), world.clone(), world.clone(), world.clone());
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    assert_eq!(groups.join("g", request(""), &Everything).await.error, loading);
    assert_eq!(groups.sync("g", sync_request("a", 1, &[])).await.error, loading);
    assert_eq!(groups.commit("g", &nobody(), commit(1), None, true).await, Err(loading));
    assert_eq!(groups.list(), Err(loading));
    assert_eq!(groups.heartbeat("g", &"a".into(), None, 1), ErrorCode::NONE, "members are left in peace");
    groups.finish_loading(world.now(), &[]);

    join_alone(&groups, "g").await;
    let second = groups.join("g", request(""), &Everything).await.member_id;
    let mut parked = pin!(groups.join("g", request(&second), &Everything));
    assert!(is_waiting(parked.as_mut()).await);
    groups.stop();
    assert_eq!(parked.await.error, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(groups.join("g", request(""), &Everything).await.error, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(groups.heartbeat("g", &second, None, 1), ErrorCode::COORDINATOR_NOT_AVAILABLE);
}

#[tokio::test]
async fn requests_that_no_group_can_take_are_refused_before_there_is_one() {
    let (_, groups) = new();
    assert_eq!(groups.join("", request(""), &Everything).await.error, ErrorCode::INVALID_GROUP_ID);
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let reply = groups.join("g", JoinRequest { session_timeout_ms, ..request("") }, &Everything).await;
        assert_eq!(reply.error, ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    let many = (0..101).map(|n| Protocol { name: n.to_string().into(), metadata: Bytes::new() });
    let reply = groups.join("g", JoinRequest { protocols: many.collect(), ..request("") }, &Everything).await;
    assert_eq!(reply.error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let long: Arc<str> = "x".repeat(40_000).into();
    let reply = groups.join("g", JoinRequest { instance_id: Some(long), ..request("") }, &Everything).await;
    assert_eq!(reply.error, ErrorCode::INVALID_REQUEST);
    assert_eq!(groups.join("g", request("stranger"), &Everything).await.error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(groups.sync("g", sync_request("a", 1, &[])).await.error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(groups.heartbeat("g", &"a".into(), None, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let leaving = [Leaving { member_id: "a".into(), instance_id: None }];
    assert_eq!(groups.leave("g", &leaving).await, Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(groups.delete_offsets("g", &[]).await, Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(groups.describe("g").map(|_| ()), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    let member = Committer { generation: 1, ..nobody() };
    let refused = |code| groups.commit("g", &member, commit(1), None, code);
    assert_eq!(refused(true).await, Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(refused(false).await, Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(groups.count(), 0);
}

#[tokio::test]
async fn the_number_of_groups_is_bounded_and_unused_ones_go() {
    let world = Arc::new(World::default());
    let groups = start(&world, GroupSettings { groups_max: 2, ..GroupSettings::default() });
    groups.commit("a", &nobody(), commit(1), None, true).await.unwrap();
    assert_eq!(groups.join("b", request(""), &Everything).await.error, ErrorCode::MEMBER_ID_REQUIRED);
    assert_eq!(groups.join("c", request(""), &Everything).await.error, ErrorCode::POLICY_VIOLATION);
    let refused = groups.commit("c", &nobody(), commit(1), None, true).await;
    assert_eq!(refused, Err(ErrorCode::POLICY_VIOLATION));
    // The id handed out in b is never used.
    pass(&world, &groups, 10_000);
    assert_eq!(groups.count(), 1);
    assert_eq!(groups.join("c", request(""), &Everything).await.error, ErrorCode::MEMBER_ID_REQUIRED);
}

#[tokio::test]
async fn upkeep_hears_of_earlier_deadlines_only() {
    let (world, groups) = new();
    // Loading set the first one.
    groups.deadline_moved().await;
    assert_eq!(groups.next_deadline(), GroupSettings::default().offsets_check_interval_ms);
    let id = join_alone(&groups, "g").await.member_id;
    groups.deadline_moved().await;
    assert_eq!(groups.next_deadline(), 10_000);
    world.tick.store(5_000, Ordering::Relaxed);
    groups.heartbeat("g", &id, None, 1);
    let mut moved = pin!(groups.deadline_moved());
    assert!(is_waiting(moved.as_mut()).await, "later is no news");
    // The entry was early; looking at the group sets it right.
    world.tick.store(10_000, Ordering::Relaxed);
    groups.expire(world.now());
    assert_eq!(groups.next_deadline(), 15_000);
    assert_eq!(groups.heartbeat("g", &id, None, 1), ErrorCode::NONE);
}

#[tokio::test]
async fn offsets_go_with_their_topic_and_with_time() {
    let (world, groups) = new();
    groups.commit("g", &nobody(), commit(1), None, true).await.unwrap();
    groups.on_topic_deleted("other", id(7));
    assert_eq!(committed(&groups, "g"), Some(1));
    groups.on_topic_deleted("t", id(7));
    assert_eq!((committed(&groups, "g"), groups.count()), (None, 1), "an empty group is still there");
    pass(&world, &groups, GroupSettings::default().offsets_check_interval_ms);
    assert_eq!(groups.count(), 0);

    groups.commit("g", &nobody(), commit(1), None, true).await.unwrap();
    let deleted = groups.delete_offsets("g", &[("t".into(), 0), ("t".into(), 1)]).await;
    assert_eq!(deleted, Ok(vec![ErrorCode::NONE, ErrorCode::NONE]));
    assert_eq!(committed(&groups, "g"), None);

    groups.commit("g", &nobody(), commit(1), None, true).await.unwrap();
    let week = GroupSettings::default().offsets_retention_ms;
    pass(&world, &groups, week - 1);
    assert_eq!(committed(&groups, "g"), Some(1));
    pass(&world, &groups, GroupSettings::default().offsets_check_interval_ms);
    assert_eq!(groups.count(), 0);
    assert_eq!(start(&world, GroupSettings::default()).count(), 0);
}

#[tokio::test]
async fn offsets_of_a_topic_that_was_deleted_while_we_were_away_are_removed_at_start() {
    let (world, groups) = new();
    let missing = |topic: &str, partition| Record::Offset {
        topic: topic.into(),
        partition,
        value: Some(Committed {
            offset: 1,
            leader_epoch: -1,
            metadata: "".into(),
            commit_ms: 0,
            expire_ms: -1,
            topic_id: id(7),
        }),
    };
    groups.commit("g", &nobody(), commit(1), None, true).await.unwrap();
    for record in [missing("gone", 0), missing("t", 2)] {
        world.log.lock().push(records::encode("g", &record).unwrap());
    }
    let before = world.log.lock().len();
    let again = start(&world, GroupSettings::default());
    assert_eq!(again.look("g", |group| group.unwrap().all_committed().count()).await, Ok(1));
    assert_eq!(world.log.lock().len(), before + 2);
    world.replaced.store(1, Ordering::Relaxed);
    let again = start(&world, GroupSettings::default());
    assert_eq!(committed(&again, "g"), None, "it was of another topic");
    assert_eq!(world.log.lock().len(), before + 3);
}

#[tokio::test]
async fn a_topic_that_is_made_again_at_once_keeps_its_own_offsets() {
    let (world, groups) = new();
    groups.commit("g", &nobody(), commit(5), None, true).await.unwrap();
    groups.commit("other", &nobody(), commit(5), None, true).await.unwrap();
    world.replaced.store(1, Ordering::Relaxed);
    groups.commit("g", &nobody(), commit_to_next(1), None, true).await.unwrap();
    let late = groups.commit("g", &nobody(), commit(6), None, true).await;
    assert_eq!(late, Ok(vec![ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]), "it was for the first one");
    groups.on_topic_deleted("t", id(7));
    assert_eq!((committed(&groups, "g"), committed(&groups, "other")), (Some(1), None));
    let again = start(&world, GroupSettings::default());
    assert_eq!((committed(&again, "g"), committed(&again, "other")), (Some(1), None));
    groups.on_topic_deleted("t", id(8));
    assert_eq!(committed(&groups, "g"), None);
}

#[tokio::test]
async fn a_transaction_of_before_changes_nothing_of_the_topic_that_is_made_again() {
    let (world, groups) = new();
    let in_transaction = |producer, requests| {
        let (codes, _) = groups.commit_in_transaction("g", &nobody(), (producer, 0), requests).unwrap();
        codes[0]
    };
    assert_eq!(in_transaction(1, commit(5)), ErrorCode::NONE);
    world.replaced.store(1, Ordering::Relaxed);
    assert_eq!(in_transaction(2, commit(6)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    groups.commit("g", &nobody(), commit_to_next(1), None, true).await.unwrap();
    assert_eq!(in_transaction(3, commit_to_next(2)), ErrorCode::NONE);
    groups.on_topic_deleted("t", id(7));
    groups.end_transaction(1, true, |_| true);
    assert_eq!(committed(&groups, "g"), Some(1));
    groups.end_transaction(3, true, |_| true);
    assert_eq!(committed(&groups, "g"), Some(2));
}

#[tokio::test]
async fn damaged_and_foreign_records_are_passed_over() {
    let (world, _) = new();
    let groups = GroupCoordinator::new(GroupSettings::default(), world.clone(), world.clone(), world.clone());
    assert!(groups.replay(b"\x00\x01\x00\x05g", None, None).is_err());
    assert!(groups.replay(b"", None, None).is_err());
    assert_eq!(groups.replay(b"\x00\x04\x00\x01g", Some(b"\x00\x00"), None), Ok(()));
    // A removal of what never was leaves nothing.
    assert_eq!(groups.replay(b"\x00\x02\x00\x01g", None, None), Ok(()));
    groups.finish_loading(world.now(), &[]);
    assert_eq!(groups.count(), 0);
}

#[test]
fn many_threads_use_one_group_without_losing_a_commit() {
    let (world, groups) = new();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let groups = &groups;
            scope.spawn(move || {
                runtime().block_on(async {
                    for offset in 0..500 {
                        let group_id = format!("g{}", (thread + offset) % 3);
                        groups.commit(&group_id, &nobody(), commit(offset), None, true).await.unwrap();
                        if offset % 7 == 0 {
                            // Racing with the others, it may or may not be there.
                            let _ = groups.delete(&group_id).await;
                        }
                    }
                });
            });
        }
    });
    let live: Vec<_> = (0..3).map(|n| committed(&groups, &format!("g{n}"))).collect();
    let again = start(&world, GroupSettings::default());
    let kept: Vec<_> = (0..3).map(|n| committed(&again, &format!("g{n}"))).collect();
    assert_eq!(live, kept, "memory and log went the same way");
}
