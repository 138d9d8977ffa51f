//! The only reader of time and randomness.
//!
//! Two clocks tick here. The *wall* clock stamps records and decides retention; it may jump. The *monotonic*
//! clock runs timeouts; it never goes back. A manual clock holds both for tests: time passes when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quipu_protocol::primitives::Uuid;
use quipu_storage::Millis;
use tokio::sync::Notify;

use crate::coordinator::Now;
use crate::coordinator::doors::CoordinatorClock;

/// A handle on time and randomness; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
struct Source {
    time: Time,
    random: AtomicU64,
}

#[derive(Debug)]
enum Time {
    Real { start: Instant },
    Manual { wall_ms: AtomicI64, monotonic_ms: AtomicI64, moved: Notify },
}

impl Clock {
    /// The machine's clocks, and randomness seeded by the kernel.
    pub fn real() -> Self {
        let mut seed = [0; 8];
        // The kernel's generator does not fail once it is seeded; the clock mixes in for systems without it.
        let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
        let seed = u64::from_le_bytes(seed) ^ wall_nanos();
        Self(Arc::new(Source { time: Time::Real { start: Instant::now() }, random: AtomicU64::new(seed) }))
    }

    /// A clock that stands still at `wall_ms` until [`Clock::advance`] moves it; `seed` fixes the randomness.
    pub fn manual(wall_ms: Millis, seed: u64) -> Self {
        let time = Time::Manual {
            wall_ms: AtomicI64::new(wall_ms),
            monotonic_ms: AtomicI64::new(0),
            moved: Notify::new(),
        };
        Self(Arc::new(Source { time, random: AtomicU64::new(seed) }))
    }

    /// Wall-clock milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> Millis {
        match &self.0.time {
            Time::Real { .. } => (wall_nanos() / 1_000_000) as Millis,
            Time::Manual { wall_ms, .. } => wall_ms.load(Ordering::Acquire),
        }
    }

    /// Milliseconds since this clock was made; never decreases.
    pub fn monotonic_ms(&self) -> Millis {
        match &self.0.time {
            Time::Real { start } => start.elapsed().as_millis() as Millis,
            Time::Manual { monotonic_ms, .. } => monotonic_ms.load(Ordering::Acquire),
        }
    }

    /// Moves a manual clock forward by `ms` and wakes its sleepers. A real clock is left alone.
    pub fn advance(&self, ms: Millis) {
        if let Time::Manual { wall_ms, monotonic_ms, moved } = &self.0.time {
            wall_ms.fetch_add(ms, Ordering::AcqRel);
            monotonic_ms.fetch_add(ms, Ordering::AcqRel);
            moved.notify_waiters();
        }
    }

    /// Sleeps until the monotonic clock shows `deadline_ms`.
    pub async fn sleep_until(&self, deadline_ms: Millis) {
        match &self.0.time {
            Time::Real { start } => {
                let until = *start + Duration::from_millis(deadline_ms.max(0) as u64);
                tokio::time::sleep_until(until.into()).await;
            }
            Time::Manual { monotonic_ms, moved, .. } => loop {
                let notified = moved.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if monotonic_ms.load(Ordering::Acquire) >= deadline_ms {
                    return;
                }
                notified.await;
            },
        }
    }

    /// A random number (splitmix64 over the seed).
    pub fn random_u64(&self) -> u64 {
        let mut z = self.0.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random topic, cluster or member id. As in Kafka (`Uuid.randomUuid`), its text never starts with a dash,
    /// which tools would take for an option, and it is none of the reserved ids.
    pub fn random_uuid(&self) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.random_u64().to_be_bytes());
            bytes[8..].copy_from_slice(&self.random_u64().to_be_bytes());
            // RFC 9562, version 4, as Java's generator makes them.
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Uuid(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

impl CoordinatorClock for Clock {
    fn now(&self) -> Now {
        Now { tick: self.monotonic_ms(), wall: self.now_ms() }
    }

    fn random_bits(&self) -> u128 {
        u128::from(self.random_u64()) << 64 | u128::from(self.random_u64())
    }
}

fn wall_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000, 7);
        assert_eq!((clock.now_ms(), clock.monotonic_ms()), (1_000, 0));
        clock.advance(250);
        assert_eq!((clock.now_ms(), clock.monotonic_ms()), (1_250, 250));
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (a, b) = (Clock::manual(0, 42), Clock::manual(0, 42));
        for _ in 0..1_000 {
            let id = a.random_uuid();
            assert_eq!(id.0, b.random_uuid().0);
            assert!(!id.to_string().starts_with('-'));
        }
    }

    #[test]
    fn sleepers_wake_when_the_clock_passes_their_deadline() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = Clock::manual(0, 1);
            let sleeper = clock.sleep_until(100);
            tokio::pin!(sleeper);
            clock.advance(99);
            assert!(futures_poll(sleeper.as_mut()).await.is_none());
            clock.advance(1);
            sleeper.await;
        });
    }

    /// Polls once.
    async fn futures_poll<F: std::future::Future>(mut f: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match f.as_mut().poll(cx) {
                std::task::Poll::Ready(v) => Some(v),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
