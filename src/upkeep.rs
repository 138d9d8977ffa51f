//! The one background loop: group timeouts, retention, compaction, and what else falls due.
//!
//! It runs beside the accept loop, never on a network thread, and sleeps until the next deadline.

use std::sync::Arc;

use quipu_storage::Millis;
use quipu_storage::compact;
use quipu_storage::retain::Policy;

use crate::broker::Broker;
use crate::coordinator::Now;
use crate::internal::silence;

/// Logs that nobody has used since the start and that one round of retention opens at most.
const OPENED_PER_ROUND: usize = 100;

/// Runs until the broker stops.
pub async fn run(broker: &Arc<Broker>) {
    tokio::join!(run_logs_and_groups(broker), run_transactions(broker), silence::run(broker));
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

async fn run_logs_and_groups(broker: &Arc<Broker>) {
    let mut next_retention = broker.clock.monotonic_ms() + broker.settings().log.retention_check_interval_ms;
    let mut next_compaction = broker.clock.monotonic_ms() + broker.settings().log.cleaner_backoff_ms;
    loop {
        let now = broker.clock.monotonic_ms();
        if now >= next_compaction {
            if broker.settings().log.cleaner {
                on_disk_thread(broker, compact_all).await;
            }
            next_compaction = broker.clock.monotonic_ms() + broker.settings().log.cleaner_backoff_ms.max(1);
        }
        if now >= next_retention {
            on_disk_thread(broker, retain).await;
            next_retention = now + broker.settings().log.retention_check_interval_ms;
        }
        broker.groups.expire(Now { tick: now, wall: broker.clock.now_ms() });
        let next = broker.groups.next_deadline().min(next_retention).min(next_compaction);
        tokio::select! {
            () = broker.clock.sleep_until(next) => {}
            () = broker.groups.deadline_moved() => {}
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
            let _ = partition.compact(&policy, broker.clock.now_ms());
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
            partition.with_open_appender(|appender| appender.expire_producers(idle_since));
        }
    }
}
