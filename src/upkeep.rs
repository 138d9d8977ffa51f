//! The one background loop: group timeouts, retention, and what else falls due.
//!
//! It runs beside the accept loop, never on a network thread, and sleeps until the next deadline.

use std::sync::Arc;

use quipu_storage::Millis;
use quipu_storage::retain::Policy;

use crate::broker::Broker;
use crate::coordinator::Now;

/// Logs that nobody has used since the start and that one round of retention opens at most.
const OPENED_PER_ROUND: usize = 100;

/// Runs until the broker stops.
pub async fn run(broker: &Arc<Broker>) {
    let mut next_retention = broker.clock.monotonic_ms() + broker.settings().log.retention_check_interval_ms;
    loop {
        let now = broker.clock.monotonic_ms();
        if now >= next_retention {
            // It waits for the disk: not on the thread that accepts connections.
            let on_disk = Arc::clone(broker);
            if tokio::task::spawn_blocking(move || retain(&on_disk)).await.is_err() {
                tracing::error!("the upkeep of the logs panicked");
            }
            next_retention = now + broker.settings().log.retention_check_interval_ms;
        }
        broker.groups.expire(Now { tick: now, wall: broker.clock.now_ms() });
        let next = broker.groups.next_deadline().min(next_retention);
        tokio::select! {
            () = broker.clock.sleep_until(next) => {}
            () = broker.groups.deadline_moved() => {}
        }
    }
}

/// Deletes what the topics' retention no longer keeps, forgets idle producers, and tidies up behind rolls.
fn retain(broker: &Broker) {
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
