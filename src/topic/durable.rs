//! Group commit: answers that wait until what they acknowledge is on disk.
//!
//! ```text
//! append ──> ask for a flush ──> queue of partitions ──> flusher thread: sync, publish, tell who waits
//!                 (not queued twice)
//! ```
//! A flush takes all that was appended before it began; what arrives meanwhile waits for the next. No sync runs on a
//! network thread, and many partitions flush side by side, so that the file system's journal can commit them together.
//! A sync that failed is never tried again: the log is fenced and the answers are withheld.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use quipu_protocol::ErrorCode;
use quipu_storage::Offset;
use tokio::sync::oneshot;

use super::partition::Partition;

/// Most flusher threads. The journal merges what they sync at once; beyond a few dozen nothing is gained.
const THREADS_MAX: usize = 32;
/// A flusher with nothing to do ends after this long.
const THREAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long `interval` waits unless it is told otherwise.
const INTERVAL: Duration = Duration::from_millis(50);

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

/// The answers that wait for one partition.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bytes appended since the last flush began.
    unflushed_bytes: AtomicUsize,
    is_queued: AtomicBool,
    /// A transaction has ended since: fetches of committed records may have more to read than was appended.
    stable_moves: AtomicBool,
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

    /// Tells `told` once everything below `wanted` is durable, which may be now; `durable` says how far that is.
    pub(super) fn wait(&self, wanted: Offset, durable: impl FnOnce() -> Offset, told: Told) {
        let mut list = self.list.lock();
        // Looked at under the lock that `release` takes after a flush has published.
        if durable() >= wanted {
            drop(list);
            told.tell(Ok(()));
        } else {
            list.push_back((wanted, told));
        }
    }

    fn release(&self, outcome: Result<Offset, ErrorCode>) {
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
}

#[derive(Debug, Default)]
struct Later {
    partitions: Vec<Arc<Partition>>,
    has_thread: bool,
    interval: Option<Duration>,
}

#[derive(Debug, Default)]
struct Queue {
    partitions: VecDeque<Arc<Partition>>,
    threads: usize,
    idle: usize,
}

impl Flushers {
    /// Has `partition` synced soon. A partition that is already queued is not queued again: its turn will take in what
    /// was appended until then.
    pub fn request(&self, partition: &Arc<Partition>) {
        if partition.waiting.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queue = self.0.queue.lock();
        queue.partitions.push_back(Arc::clone(partition));
        if queue.idle > 0 {
            self.0.work.notify_one();
        } else if queue.threads < THREADS_MAX {
            queue.threads += 1;
            let number = queue.threads;
            let shared = Arc::clone(&self.0);
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
}

impl Flushers {
    /// Has `partition` synced within the interval. One timer thread serves all partitions in this mode.
    pub fn request_soon(&self, partition: &Arc<Partition>) {
        if partition.waiting.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut later = self.0.later.lock();
        later.partitions.push(Arc::clone(partition));
        if !later.has_thread {
            let shared = Arc::clone(&self.0);
            let started = std::thread::Builder::new()
                .name("quipu-interval".into())
                .spawn(move || shared.run_interval());
            later.has_thread = started.is_ok();
        }
    }

    /// Sets how long [`Self::request_soon`] may wait.
    pub fn set_interval(&self, interval: Duration) {
        self.0.later.lock().interval = Some(interval);
    }
}

impl Shared {
    /// Collects for one interval, flushes, and ends when there was nothing to flush.
    fn run_interval(&self) {
        loop {
            let interval = self.later.lock().interval.unwrap_or(INTERVAL);
            std::thread::sleep(interval);
            let partitions = {
                let mut later = self.later.lock();
                if later.partitions.is_empty() {
                    later.has_thread = false;
                    return;
                }
                std::mem::take(&mut later.partitions)
            };
            partitions.iter().for_each(flush);
        }
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(partition) = queue.partitions.pop_front() {
                drop(queue);
                flush(&partition);
                queue = self.queue.lock();
                continue;
            }
            queue.idle += 1;
            let timed_out = self.work.wait_for(&mut queue, THREAD_PATIENCE).timed_out();
            queue.idle -= 1;
            if timed_out && queue.partitions.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}

/// Syncs one partition, tells whoever waits for it, and does what a roll or a deletion left to do.
fn flush(partition: &Arc<Partition>) {
    let waiting = &partition.waiting;
    // Cleared first: what is appended from here on asks for a flush of its own.
    waiting.is_queued.store(false, Ordering::Release);
    let bytes = waiting.unflushed_bytes.swap(0, Ordering::AcqRel);
    let stable_moves = waiting.stable_moves.swap(false, Ordering::AcqRel);
    match partition.flush() {
        Ok(end) => {
            waiting.release(Ok(end));
            // Readers see what is durable: for them it has been appended just now.
            partition.waiters.appended(bytes);
            if stable_moves {
                partition.waiters.disturb_all();
            }
        }
        Err(code) => waiting.release(Err(code)),
    }
    partition.do_chores();
}

/// What an answer waits for before it may leave.
#[derive(Debug, Default)]
pub struct Awaited(Vec<oneshot::Receiver<Result<(), ErrorCode>>>);

impl Awaited {
    /// True when nothing has to be waited for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one more partition to wait for.
    pub fn add(&mut self) -> Told {
        let (sender, receiver) = oneshot::channel();
        self.0.push(receiver);
        Told::Answer(sender)
    }

    /// Waits for all of them; may be dropped and called again.
    ///
    /// # Errors
    /// The first sync that failed. What was appended may or may not be on disk.
    pub async fn wait(&mut self) -> Result<(), ErrorCode> {
        while let Some(last) = self.0.last_mut() {
            let outcome = last.await;
            self.0.pop();
            outcome.unwrap_or(Err(ErrorCode::KAFKA_STORAGE_ERROR))?;
        }
        Ok(())
    }
}
