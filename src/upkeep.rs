//! What falls due: group timeouts, transactions, retention, compaction, checks and checkpoints of logs.
//!
//! Each is a loop of its own, which sleeps until its next deadline, so that none waits for the disk on behalf of another.
//! They run beside the accept loop, never on a network thread.

use std::sync::Arc;

use parking_lot::Mutex;
use quipu_storage::compact;
use quipu_storage::retain::Policy;
use quipu_storage::{Millis, ScrubPlace};

use crate::broker::Broker;
use crate::coordinator::Now;
use crate::internal::silence;

/// Logs that nobody has used since the start and that one round of retention opens at most.
const OPENED_PER_ROUND: usize = 100;

/// Runs until the broker stops.
pub async fn run(broker: &Arc<Broker>) {
    tokio::join!(
        run_groups(broker),
        run_retention(broker),
        run_compaction(broker),
        run_transactions(broker),
        run_scrubber(broker),
        run_checkpoints(broker),
        silence::run(broker)
    );
}

/// Writing markers waits for the disk, which nothing else here should wait for.
async fn run_transactions(broker: &Arc<Broker>) {
    let transactions = &broker.transactions;
    loop {
        tokio::select! {
            () = broker.clock.sleep_until(transactions.next_deadline()) => {}
            () = transactions.has_stranded() => {}
        }
        transactions.run_due().await;
    }
}

/// Notes now and then how far each log is on disk (`log.flush.offset.checkpoint.interval.ms`).
async fn run_checkpoints(broker: &Arc<Broker>) {
    loop {
        let interval = Millis::from(broker.settings().log.checkpoint_interval_ms.max(1));
        broker.clock.sleep_until(broker.clock.monotonic_ms() + interval).await;
        on_disk_thread(broker, |broker| {
            for topic in broker.topics.all() {
                topic.partitions().iter().for_each(|partition| partition.checkpoint());
            }
        })
        .await;
    }
}

/// How often the scrubber does its share.
const SCRUB_TICK_MS: i64 = 1_000;

/// Looks at what was written long ago, a little every second (`quipu.scrub.bytes.per.second`).
async fn run_scrubber(broker: &Arc<Broker>) {
    let mut scrubber = Scrubber::new(broker);
    loop {
        broker.clock.sleep_until(broker.clock.monotonic_ms() + SCRUB_TICK_MS).await;
        let rate = broker.settings().log.scrub_bytes_per_second;
        if rate > 0 {
            let on_disk = Arc::clone(broker);
            let step = tokio::task::spawn_blocking(move || {
                scrubber.step(&on_disk, rate);
                scrubber
            });
            match step.await {
                Ok(back) => scrubber = back,
                Err(_) => {
                    tracing::error!("the check of old segments panicked, and goes on elsewhere");
                    scrubber = Scrubber::new(broker);
                }
            }
        }
    }
}

/// Where the pass over all partitions is. Not kept over restarts: each begins somewhere else.
struct Scrubber {
    next: usize,
    place: ScrubPlace,
}

impl Scrubber {
    fn new(broker: &Broker) -> Self {
        let partitions = broker.topics.partition_count().max(1);
        let next = (broker.clock.random_u64() % partitions as u64) as usize;
        Self { next, place: ScrubPlace::default() }
    }

    fn step(&mut self, broker: &Broker, max_bytes: u64) {
        let topics = broker.topics.all();
        let partitions: Vec<_> = topics.iter().flat_map(|topic| topic.partitions().to_vec()).collect();
        let mut left = max_bytes;
        // Once round at most.
        for _ in 0..partitions.len() {
            if left == 0 || *broker.stopping().borrow() {
                return;
            }
            if self.next >= partitions.len() {
                self.next = 0;
                broker.metrics.scrub_passes.increment();
            }
            // What cannot be opened has been told by whoever tried.
            let is_finished = match partitions[self.next].scrub(&mut self.place, left, broker.clock.now_ms())
            {
                Ok(scrubbed) => {
                    broker.metrics.scrubbed_bytes.add(scrubbed.checked_bytes);
                    broker.metrics.scrubbed_damage.add(scrubbed.damage.len() as u64);
                    left = left.saturating_sub(scrubbed.checked_bytes);
                    scrubbed.is_finished
                }
                Err(_) => true,
            };
            if is_finished {
                self.next += 1;
                self.place = ScrubPlace::default();
            }
        }
    }
}

async fn run_groups(broker: &Arc<Broker>) {
    loop {
        broker.groups.expire(Now { tick: broker.clock.monotonic_ms(), wall: broker.clock.now_ms() });
        tokio::select! {
            () = broker.clock.sleep_until(broker.groups.next_deadline()) => {}
            () = broker.groups.deadline_moved() => {}
        }
    }
}

async fn run_retention(broker: &Arc<Broker>) {
    let mut next = broker.clock.monotonic_ms() + broker.settings().log.retention_check_interval_ms;
    loop {
        broker.clock.sleep_until(next).await;
        next = broker.clock.monotonic_ms() + broker.settings().log.retention_check_interval_ms.max(1);
        on_disk_thread(broker, retain).await;
    }
}

async fn run_compaction(broker: &Arc<Broker>) {
    loop {
        let pause = broker.settings().log.cleaner_backoff_ms.max(1);
        broker.clock.sleep_until(broker.clock.monotonic_ms() + pause).await;
        if broker.settings().log.cleaner {
            on_disk_thread(broker, compact_all).await;
        }
    }
}

/// Runs work that waits for the disk, away from the thread that accepts connections.
async fn on_disk_thread(broker: &Arc<Broker>, work: fn(&Broker)) {
    let on_disk = Arc::clone(broker);
    if tokio::task::spawn_blocking(move || work(&on_disk)).await.is_err() {
        tracing::error!("the upkeep of the logs panicked");
    }
}

/// Gives every compacted partition that has been used since the start its turn.
fn compact_all(broker: &Broker) {
    compact_all_at(broker, &Arc::new(Mutex::new(Rate::from(broker.clock.monotonic_ms()))));
}

fn compact_all_at(broker: &Broker, rate: &Arc<Mutex<Rate>>) {
    let map_bytes = usize::try_from(broker.settings().log.cleaner_dedupe_bytes).unwrap_or(0);
    for topic in broker.topics.all() {
        let config = topic.config();
        if !config.cleanup.compact {
            continue;
        }
        let policy = compact::Policy {
            min_lag_ms: config.min_compaction_lag_ms,
            max_lag_ms: config.max_compaction_lag_ms,
            min_dirty_ratio: config.min_cleanable_dirty_ratio,
            delete_retention_ms: config.delete_retention_ms,
            map_bytes,
        };
        for partition in topic.partitions().iter().filter(|partition| partition.is_open()) {
            if *broker.stopping().borrow() {
                return;
            }
            // What goes wrong is logged there, and tried again in the next round.
            let _ = partition.compact(&policy, pace(broker, rate), broker.clock.now_ms());
        }
    }
}

/// The longest that compaction rests at once: the broker may stop meanwhile.
const REST_MS_MAX: Millis = 300;

/// How much was read and written since when.
struct Rate {
    since: Millis,
    bytes: f64,
    resting_until: Option<Millis>,
}

impl Rate {
    fn from(now: Millis) -> Self {
        Self { since: now, bytes: 0.0, resting_until: None }
    }

    /// Until when to rest after so many more bytes, if need be, so that in the long run there are not more per second.
    fn rest(&mut self, bytes: u64, bytes_per_second: f64, now: Millis) -> Option<Millis> {
        self.bytes += bytes as f64;
        // What was not used up is not saved for later.
        let earned = (now - self.since) as f64 * bytes_per_second / 1000.0;
        if self.bytes <= earned {
            *self = Self::from(now);
            return None;
        }
        let until = self.since.saturating_add((self.bytes / bytes_per_second * 1000.0) as Millis);
        self.resting_until = (until > now).then(|| until.min(now.saturating_add(REST_MS_MAX)));
        self.resting_until
    }
}

/// Holds compaction to `log.cleaner.io.max.bytes.per.second`, all of it together, on a thread that may wait.
fn pace(broker: &Broker, rate: &Arc<Mutex<Rate>>) -> impl FnMut(u64) -> std::io::Result<()> + Send + use<> {
    let (rate, clock, stopping) = (Arc::clone(rate), broker.clock.clone(), broker.stopping());
    let per_second = broker.settings().log.cleaner_io_bytes_per_second.max(1.0);
    let runtime = tokio::runtime::Handle::try_current();
    move |mut bytes| {
        let Ok(runtime) = &runtime else { return Ok(()) };
        loop {
            let rest = rate.lock().rest(bytes, per_second, clock.monotonic_ms());
            let Some(until) = rest else { return Ok(()) };
            if *stopping.borrow() {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            runtime.block_on(clock.sleep_until(until));
            bytes = 0;
        }
    }
}

/// Deletes what the topics' retention no longer keeps, forgets idle producers, and tidies up behind rolls.
fn retain(broker: &Broker) {
    broker.topics.regain_room();
    let now: Millis = broker.clock.now_ms();
    let mut may_open = OPENED_PER_ROUND;
    let idle_since = now - Millis::from(broker.settings().transactions.producer_id_expiration_ms);
    for topic in broker.topics.all() {
        let config = topic.config();
        let policy = Policy {
            keep_ms: (config.cleanup.delete && config.retention_ms >= 0).then_some(config.retention_ms),
            keep_bytes: (config.cleanup.delete).then(|| u64::try_from(config.retention_bytes).ok()).flatten(),
        };
        for partition in topic.partitions().iter() {
            if !partition.is_open() {
                // Its files may be older than they should be. A few per round: a start with ten thousand partitions
                // must not open them all at once.
                if may_open == 0 || policy == Policy::default() {
                    continue;
                }
                may_open -= 1;
            }
            if let Err(error) = partition.retain(&policy, now) {
                tracing::error!(dir = %partition.dir().display(), "cannot delete old segments: {error}");
            }
            partition.with_open_appender(|appender| {
                appender.expire_producers(idle_since);
                appender.cool_if_idle();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use quipu_protocol::record::BatchBuilder;
    use quipu_storage::disk::{Disk, MemoryDisk, OpenMode};
    use quipu_storage::{CheckedBatch, Origin};

    use super::*;
    use crate::broker::CreateTopic;
    use crate::clock::Clock;
    use crate::config::{Config, Sources};

    #[test]
    fn compaction_keeps_to_its_rate() {
        let mut rate = Rate::from(0);
        assert_eq!((rate.rest(500, 1_000.0, 500), rate.since), (None, 500), "as much as was earned");
        assert_eq!(rate.rest(100, 1_000.0, 500), Some(600));
        assert_eq!(rate.rest(100, 1_000.0, 550), Some(700), "both, from where the first began");
        assert_eq!(rate.rest(0, 1_000.0, 700), None);
        assert_eq!(rate.rest(5_000, 1_000.0, 700), Some(700 + REST_MS_MAX));
        assert_eq!(Rate::from(0).rest(u64::MAX, f64::MAX, 0), None, "the default is no limit");

        const BYTES_PER_SECOND: u64 = 10_000;
        let sources = Sources {
            overrides: vec![format!("log.cleaner.io.max.bytes.per.second={BYTES_PER_SECOND}")],
            ..Sources::default()
        };
        let (config, _) = Config::load(sources).unwrap();
        let clock = Clock::manual(0, 1);
        let broker =
            Broker::open(config, Arc::new(MemoryDisk::new()), Path::new("/data"), clock.clone()).unwrap();
        let mut asked = CreateTopic::with_defaults("keys");
        for (key, value) in [("internal.segment.bytes", "4096"), ("cleanup.policy", "compact")] {
            asked.configs.insert(key.into(), value.into());
        }
        let partition = broker.create_topic(asked).unwrap().partition(0).unwrap();
        for _ in 0..100 {
            let mut batch = BatchBuilder::new();
            batch.push(0, Some(b"key"), Some(&[7; 300]), &[]);
            let batch = batch.finish();
            partition.append(&CheckedBatch::check(&batch).unwrap(), Origin::Producer, 0).unwrap();
        }
        // A round looks at what is on disk only.
        partition.request_flush();
        while partition.reader(0).unwrap().durable_offset() < 100 {
            std::thread::yield_now();
        }
        let before = partition.size_bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let rate = Arc::new(Mutex::new(Rate::from(0)));
            let watched = Arc::clone(&rate);
            let round = tokio::task::spawn_blocking(move || compact_all_at(&broker, &rate));
            while !round.is_finished() {
                // Time passes only while it rests.
                if watched.lock().resting_until.is_some_and(|until| until > clock.monotonic_ms()) {
                    clock.advance(10);
                }
                tokio::task::yield_now().await;
            }
        });
        let after = partition.size_bytes();
        assert!(after < before / 5, "{before} bytes, then {after}");
        // All but what is left was read twice, at least.
        let seconds = 2 * (before - after) / BYTES_PER_SECOND;
        let took = clock.monotonic_ms();
        assert!(took >= 1_000 * seconds as Millis && seconds >= 5, "{took} ms for {before} bytes twice");
    }

    #[test]
    fn rot_in_old_segments_is_found_counted_and_leaves_the_rest_readable() {
        let disk = Arc::new(MemoryDisk::new());
        let clock = Clock::manual(0, 1);
        let broker =
            Broker::open(Config::default(), Arc::clone(&disk) as _, Path::new("/data"), clock).unwrap();
        let mut asked = CreateTopic { partitions: Some(3), ..CreateTopic::with_defaults("old") };
        asked.configs.insert("internal.segment.bytes".into(), "4096".into());
        let topic = broker.create_topic(asked).unwrap();
        for partition in [0, 2] {
            let partition = topic.partition(partition).unwrap();
            for _ in 0..100 {
                let mut batch = BatchBuilder::new();
                batch.push(0, None, Some(&[7; 300]), &[]);
                let batch = batch.finish();
                let batch = CheckedBatch::check(&batch).unwrap();
                partition.append(&batch, Origin::Producer, 0).unwrap();
                partition.do_chores();
            }
        }
        let mut scrubber = Scrubber::new(&broker);
        scrubber.step(&broker, 1_000);
        let checked = broker.metrics.scrubbed_bytes.get();
        assert!((1_000..1_500).contains(&checked), "{checked} bytes, a thousand were allowed");
        scrubber.step(&broker, u64::MAX);
        let rotten = topic.partition(2).unwrap();
        assert_eq!((broker.metrics.scrubbed_damage.get(), rotten.fault()), (0, None));
        let path = rotten.dir().join(format!("{:020}.log", 0));
        let file = disk.open(&path, OpenMode::Existing).unwrap();
        file.write_at(&mut [IoSlice::new(b"rot")], 200).unwrap();
        scrubber.step(&broker, u64::MAX);
        assert_eq!(broker.metrics.scrubbed_damage.get(), 1);
        let fault = format!("{:?}", rotten.fault());
        assert!(fault.contains("position 0") && fault.contains(&*path.to_string_lossy()), "{fault}");
        assert!(topic.partition(0).unwrap().fault().is_none());
        let reader = rotten.reader(0).unwrap();
        assert_eq!(reader.read(50, 1, 100, true).unwrap().batches().count(), 1);
    }
}
