//! Group commit: answers that wait until what they acknowledge is on disk.
//!
//! ```text
//! append ──> ask for a flush ──> queue of partitions ──> flusher thread: sync, publish, tell who waits
//!   └──> ask for one soon ──> timer ──┘  (not queued twice)
//! ```
//! A flush takes all that was appended before it began; what arrives meanwhile waits for the next. No sync runs on a
//! network thread, and many partitions flush side by side, so that the file system's journal can commit them together.
//! A sync that failed is never tried again: the log is fenced and the answers are withheld.
//!
//! Where the data directory has a file system of its own (`quipu.sync.method`), many partitions that wait together are
//! synced by one call for all of it. An error then concerns all of them: the call does not say whose bytes are lost.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use quipu_protocol::ErrorCode;
use quipu_storage::disk::FileSystem;
use quipu_storage::{Flush, Offset};
use tokio::sync::oneshot;

use super::partition::Partition;
use crate::coordinator::doors::Durability;

#[cfg(test)]
mod tests;

/// Most flusher threads. The journal merges what they sync at once; beyond a few dozen nothing is gained.
const THREADS_MAX: usize = 32;
/// A flusher with nothing to do ends after this long.
const THREAD_PATIENCE: Duration = Duration::from_secs(10);

/// From this many waiting partitions on, one sync of the whole file system is cheaper than one for each.
const TOGETHER_MIN: usize = 8;

/// When an answer to acks=all may leave, as a partition keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// After the data was synced; readers see what is synced.
    Sync,
    /// At once; a sync follows soon.
    Interval,
    /// At once; the operating system writes when it likes.
    Os,
}

impl Mode {
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Sync,
            1 => Self::Interval,
            _ => Self::Os,
        }
    }
}

/// How the records of a partition become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When an answer may leave.
    pub mode: Mode,
    /// For [`Mode::Interval`]: the longest that a record waits for a sync.
    pub interval: Duration,
    /// So many records may wait for a sync, whatever the mode; [`i64::MAX`] is no limit (`flush.messages`).
    pub records: i64,
}

/// A partition that nobody is going to flush.
const IDLE: u8 = 0;
/// It waits for its time.
const SOON: u8 = 1;
/// It waits for a flusher.
const QUEUED: u8 = 2;

/// The answers that wait for one partition.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bytes appended since the last flush began.
    unflushed_bytes: AtomicUsize,
    /// [`IDLE`], [`SOON`] or [`QUEUED`].
    turn: AtomicU8,
    /// A transaction has ended since: fetches of committed records may have more to read than was appended.
    stable_moves: AtomicBool,
    /// Where it stands among those that are flushed later. Changed with their lock held.
    due: Mutex<Option<(Instant, u64)>>,
    list: Mutex<VecDeque<(Offset, Told)>>,
}

/// Who is told that an offset is durable.
pub enum Told {
    /// An answer that a connection holds back.
    Answer(oneshot::Sender<Result<(), ErrorCode>>),
    /// The group coordinator.
    Coordinator(crate::coordinator::doors::DurabilitySender),
}

impl Told {
    fn tell(self, outcome: Result<(), ErrorCode>) {
        match self {
            // Nobody listening is fine: the connection is gone.
            Self::Answer(answer) => drop(answer.send(outcome)),
            Self::Coordinator(coordinator) => coordinator.send(outcome),
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::Coordinator(_) => "Coordinator",
        })
    }
}

impl Waiting {
    pub(super) fn appended(&self, bytes: usize) {
        self.unflushed_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn stable_moves(&self) {
        self.stable_moves.store(true, Ordering::Release);
    }

    /// Tells `told` once everything below `wanted` is durable, or once it is known that it will not be; `known` says
    /// whether it is by now.
    pub(super) fn wait(
        &self,
        wanted: Offset,
        known: impl FnOnce() -> Option<Result<(), ErrorCode>>,
        told: Told,
    ) {
        let mut list = self.list.lock();
        // Looked at under the lock that `release` takes after a flush has published, or failed.
        if let Some(outcome) = known() {
            drop(list);
            told.tell(outcome);
        } else {
            list.push_back((wanted, told));
        }
    }

    /// Tells those whom a flush up to the offset concerns, or all of a failure.
    pub(super) fn release(&self, outcome: Result<Offset, ErrorCode>) {
        let mut ready = Vec::new();
        {
            let mut list = self.list.lock();
            match outcome {
                // Not in strict order: a retried batch waits for the offset of its first copy.
                Ok(end) => {
                    for _ in 0..list.len() {
                        let Some((wanted, told)) = list.pop_front() else { break };
                        if wanted <= end {
                            ready.push(told);
                        } else {
                            list.push_back((wanted, told));
                        }
                    }
                }
                Err(_) => ready.extend(list.drain(..).map(|(_, told)| told)),
            }
        }
        for told in ready {
            told.tell(outcome.map(|_| ()));
        }
    }
}

/// The threads that sync.
#[derive(Clone, Debug, Default)]
pub struct Flushers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    later: Mutex<Later>,
    sooner: Condvar,
    /// Set where one sync may stand for many.
    whole: OnceLock<Arc<dyn FileSystem>>,
    /// Such a sync has failed. The system tells of a lost write once, and it may have been one of a partition that did not
    /// take part; that one's own files tell of it, too.
    whole_failed: AtomicBool,
    /// Held while many partitions are synced together: each of them is locked then, and two who lock several would
    /// wait for each other.
    together: Mutex<()>,
}

#[derive(Debug, Default)]
struct Later {
    /// By the time of the flush, and in order of arrival.
    due: BTreeMap<(Instant, u64), Arc<Partition>>,
    arrivals: u64,
    has_thread: bool,
}

#[derive(Debug, Default)]
struct Queue {
    partitions: VecDeque<Arc<Partition>>,
    threads: usize,
    idle: usize,
    /// How many of the idle threads have been called and are on their way.
    called: usize,
}

impl Flushers {
    /// Has many partitions that wait together synced by one call. Takes effect once; the first one stays.
    pub fn sync_together(&self, whole: Arc<dyn FileSystem>) {
        let _ = self.0.whole.set(whole);
    }

    /// Has `partition` synced soon. A partition that is already queued is not queued again: its turn will take in what
    /// was appended until then.
    pub fn request(&self, partition: &Arc<Partition>) {
        if partition.waiting.turn.swap(QUEUED, Ordering::AcqRel) != QUEUED {
            Shared::enqueue(&self.0, Arc::clone(partition));
        }
    }

    /// Has `partition` synced within `interval`. One timer thread serves all partitions; it syncs nothing itself.
    pub fn request_within(&self, partition: &Arc<Partition>, interval: Duration) {
        let turn = &partition.waiting.turn;
        if turn.compare_exchange(IDLE, SOON, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let Some(when) = Instant::now().checked_add(interval) else { return };
        let mut later = self.0.later.lock();
        if partition.is_deleted() {
            // After [`Self::forget`] nobody would take it out.
            return;
        }
        later.arrivals += 1;
        let arrival = later.arrivals;
        let is_first = later.due.first_key_value().is_none_or(|(first, _)| when < first.0);
        // One entry for each partition: that of a flush which somebody asked for sooner would pile up.
        if let Some(before) = partition.waiting.due.lock().replace((when, arrival)) {
            later.due.remove(&before);
        }
        later.due.insert((when, arrival), Arc::clone(partition));
        if !later.has_thread {
            let shared = Arc::clone(&self.0);
            let started = std::thread::Builder::new()
                .name("quipu-interval".into())
                .spawn(move || Shared::run_timer(&shared));
            later.has_thread = started.is_ok();
            if let Err(error) = started {
                tracing::error!(%error, "cannot start the thread that syncs at intervals");
                later.due.remove(&(when, arrival));
                drop(later);
                self.request(partition);
            }
        } else if is_first {
            self.0.sooner.notify_one();
        }
    }

    /// Forgets a partition that is deleted: its interval may be as long as anybody likes.
    pub(super) fn forget(&self, partition: &Partition) {
        let mut later = self.0.later.lock();
        if let Some(due) = partition.waiting.due.lock().take() {
            later.due.remove(&due);
        }
    }

    #[cfg(test)]
    fn later(&self) -> usize {
        self.0.later.lock().due.len()
    }
}

impl Shared {
    fn enqueue(this: &Arc<Self>, partition: Arc<Partition>) {
        let mut queue = this.queue.lock();
        queue.partitions.push_back(partition);
        // A thread that has been called is idle until it gets the lock: of partitions that come in a burst each needs one
        // of its own, or they would be synced one after the other.
        if queue.idle > queue.called {
            queue.called += 1;
            this.work.notify_one();
        } else if queue.threads < THREADS_MAX {
            queue.threads += 1;
            let number = queue.threads;
            let shared = Arc::clone(this);
            let started =
                std::thread::Builder::new().name(format!("quipu-flush-{number}")).spawn(move || shared.run());
            if let Err(error) = started {
                tracing::error!(%error, "cannot start a flusher thread");
                queue.threads -= 1;
                if queue.threads == 0 {
                    // Nobody else will do it. Rare enough to do it here, on the caller's thread.
                    let left: Vec<_> = queue.partitions.drain(..).collect();
                    drop(queue);
                    left.iter().for_each(flush);
                }
            }
        }
    }

    /// Queues each partition when its time has come, and ends when none has come for a while.
    fn run_timer(this: &Arc<Self>) {
        let mut later = this.later.lock();
        loop {
            let Some((&(when, arrival), _)) = later.due.first_key_value() else {
                let timed_out = this.sooner.wait_for(&mut later, THREAD_PATIENCE).timed_out();
                if timed_out && later.due.is_empty() {
                    later.has_thread = false;
                    return;
                }
                continue;
            };
            if Instant::now() < when {
                this.sooner.wait_until(&mut later, when);
                continue;
            }
            let Some(partition) = later.due.remove(&(when, arrival)) else { continue };
            *partition.waiting.due.lock() = None;
            // It may have been flushed since, because somebody asked for that at once.
            let turn = &partition.waiting.turn;
            if turn.compare_exchange(SOON, QUEUED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                drop(later);
                Self::enqueue(this, partition);
                later = this.later.lock();
            }
        }
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            let may_together =
                queue.partitions.len() >= TOGETHER_MIN && !self.whole_failed.load(Ordering::Acquire);
            let whole = self.whole.get().filter(|_| may_together);
            if let Some(whole) = whole {
                drop(queue);
                self.flush_together(&**whole);
                queue = self.queue.lock();
                continue;
            }
            if let Some(partition) = queue.partitions.pop_front() {
                drop(queue);
                flush(&partition);
                queue = self.queue.lock();
                continue;
            }
            queue.idle += 1;
            let timed_out = self.work.wait_for(&mut queue, THREAD_PATIENCE).timed_out();
            queue.idle -= 1;
            queue.called = queue.called.saturating_sub(1);
            if timed_out && queue.partitions.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }

    /// Syncs whatever waits by one sync of the file system.
    fn flush_together(&self, whole: &dyn FileSystem) {
        let _one_at_a_time = self.together.lock();
        // Of what the sync before this one has lost, the system does not speak a second time.
        if self.whole_failed.load(Ordering::Acquire) {
            return;
        }
        // Taken now: what came while another sync ran is in it, or was, and nothing is left.
        let partitions: Vec<_> = self.queue.lock().partitions.drain(..).collect();
        if partitions.is_empty() {
            return;
        }
        let mut begun = Vec::with_capacity(partitions.len());
        let mut flushes = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let moved = begin(&partition);
            match partition.begin_flush() {
                Some(flush) => {
                    begun.push((partition, moved));
                    flushes.push(flush);
                }
                None => settle(&partition, &moved, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            }
        }
        let outcomes = Flush::run_together(flushes, || {
            whole.sync().inspect_err(|error| {
                self.whole_failed.store(true, Ordering::Release);
                tracing::error!(%error, "syncing the whole file system failed: from here on each file is synced by itself");
            })
        });
        for ((partition, moved), outcome) in begun.iter().zip(outcomes) {
            settle(partition, moved, partition.flushed(outcome));
        }
    }
}

/// What readers will be told once a flush has gone through.
struct Moved {
    bytes: usize,
    stable: bool,
}

fn begin(partition: &Arc<Partition>) -> Moved {
    let waiting = &partition.waiting;
    // Cleared first: what is appended from here on asks for a flush of its own.
    waiting.turn.store(IDLE, Ordering::Release);
    Moved {
        bytes: waiting.unflushed_bytes.swap(0, Ordering::AcqRel),
        stable: waiting.stable_moves.swap(false, Ordering::AcqRel),
    }
}

/// Tells whoever waits how a flush went, and does what a roll or a deletion left to do.
fn settle(partition: &Arc<Partition>, moved: &Moved, outcome: Result<Offset, ErrorCode>) {
    let waiting = &partition.waiting;
    match outcome {
        Ok(end) => {
            waiting.release(Ok(end));
            // Readers see what is durable: for them it has been appended just now.
            partition.waiters.appended(moved.bytes);
            if moved.stable {
                partition.waiters.disturb_all();
            }
        }
        Err(code) => {
            waiting.release(Err(code));
            // Readers have not been told of it yet.
            waiting.unflushed_bytes.fetch_add(moved.bytes, Ordering::AcqRel);
            waiting.stable_moves.fetch_or(moved.stable, Ordering::AcqRel);
            partition.flush_again();
        }
    }
    partition.do_chores();
}

/// Syncs one partition.
fn flush(partition: &Arc<Partition>) {
    let moved = begin(partition);
    settle(partition, &moved, partition.flush());
}

/// What an answer waits for before it may leave.
#[derive(Debug, Default)]
pub struct Awaited(Vec<Waited>);

#[derive(Debug)]
enum Waited {
    Partition(oneshot::Receiver<Result<(), ErrorCode>>),
    Coordinator(Durability),
}

impl Awaited {
    /// True when nothing has to be waited for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one more partition to wait for.
    pub fn add(&mut self) -> Told {
        let (sender, receiver) = oneshot::channel();
        self.0.push(Waited::Partition(receiver));
        Told::Answer(sender)
    }

    /// Adds what a coordinator has appended.
    pub fn add_coordinator(&mut self, durability: Durability) {
        if let Durability::Pending(_) = durability {
            self.0.push(Waited::Coordinator(durability));
        }
    }

    /// Waits for all of them; may be dropped and called again.
    ///
    /// # Errors
    /// The first sync that failed. What was appended may or may not be on disk.
    pub async fn wait(&mut self) -> Result<(), ErrorCode> {
        while let Some(last) = self.0.last_mut() {
            let outcome = match last {
                Waited::Partition(told) => told.await.unwrap_or(Err(ErrorCode::KAFKA_STORAGE_ERROR)),
                Waited::Coordinator(durability) => durability.clone().wait().await,
            };
            self.0.pop();
            outcome?;
        }
        Ok(())
    }
}
