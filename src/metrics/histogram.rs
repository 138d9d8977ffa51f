//! How often something took how long.
//!
//! ```text
//! nanoseconds   0 ─ 16 ─ … ─ 256 ─ 272 ─ … ─ 512 ─ 544 ─ … ─ 1,024 ─ …   … ─ 68.7 s
//! steps of          16            16            32             64
//! ```
//! Sixteen buckets for each doubling: a quantile is at most 6 % above the truth. The borders include every power of two
//! from 256 ns on, which is what [`Times::cumulative`] gives a scraper, since it can merge those without an error.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each doubling, as a power of two; also the resolution in nanoseconds, as one.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Longer times count as this long.
const MAX_NS: u64 = (1 << 36) - 1;
const BUCKETS: usize = bucket_of(MAX_NS) + 1;

const fn bucket_of(ns: u64) -> usize {
    let units = ns >> STEP_BITS;
    if units < STEPS as u64 {
        return units as usize;
    }
    let doublings = units.ilog2() - STEP_BITS;
    ((doublings as usize + 1) << STEP_BITS) + ((units >> doublings) as usize & (STEPS - 1))
}

/// The least time of a bucket, in nanoseconds.
const fn floor_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return (bucket as u64) << STEP_BITS;
    }
    let doublings = (bucket >> STEP_BITS) - 1;
    (((STEPS + (bucket & (STEPS - 1))) as u64) << doublings) << STEP_BITS
}

/// Times, counted by many threads at once.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one time.
    pub fn record(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(MAX_NS).min(MAX_NS);
        self.buckets[bucket_of(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        // Mostly a read: a new longest time is rare.
        if ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.fetch_max(ns, Ordering::Relaxed);
        }
    }

    /// What was counted so far. What other threads count meanwhile may be in part of it.
    pub fn times(&self) -> Times {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        Times {
            count: buckets.iter().sum(),
            buckets,
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            max_ns: self.max_ns.load(Ordering::Relaxed),
        }
    }

    /// Starts again from nothing.
    pub fn clear(&self) {
        for number in self.buckets.iter().chain([&self.sum_ns, &self.max_ns]) {
            number.store(0, Ordering::Relaxed);
        }
    }
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Times {
    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// Their mean; zero if there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.checked_div(self.count).unwrap_or(0))
    }

    /// The time that a share of all, from 0 to 1, did not exceed; at most 6 % above the true one. Zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos((floor_of(bucket + 1) - 1).min(self.max_ns));
            }
        }
        self.max()
    }

    /// How many times were shorter than each power of two of nanoseconds, from 256 ns on: the buckets of a Prometheus
    /// histogram but for the last, which is [`Times::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut seen = 0;
        self.buckets.chunks(STEPS).enumerate().map(move |(doubling, chunk)| {
            seen += chunk.iter().sum::<u64>();
            (Duration::from_nanos(floor_of((doubling + 1) << STEP_BITS)), seen)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        for bucket in 0..BUCKETS {
            let (floor, next) = (floor_of(bucket), floor_of(bucket + 1));
            assert_eq!((bucket_of(floor), bucket_of(next - 1)), (bucket, bucket));
            assert!(next - floor <= (floor / STEPS as u64).max(STEPS as u64), "{bucket}");
        }
        assert_eq!(floor_of(BUCKETS), MAX_NS + 1);
    }

    #[test]
    fn quantiles_are_close_to_those_of_a_sorted_list() {
        let histogram = Histogram::default();
        let mut all: Vec<u64> = (0..10_000_u64).map(|n| (n * n * 7919) % 50_000_017 + n).collect();
        for ns in &all {
            histogram.record(Duration::from_nanos(*ns));
        }
        all.sort_unstable();
        let times = histogram.times();
        for share in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((all.len() as f64 * share).ceil() as usize).max(1);
            let (exact, told) = (all[rank - 1], times.quantile(share).as_nanos() as u64);
            assert!(told >= exact && told <= exact + (exact / 16).max(16), "{share}: {told} for {exact}");
        }
        assert_eq!(times.max().as_nanos() as u64, all[all.len() - 1]);
        assert_eq!((times.count(), times.sum().as_nanos() as u64), (10_000, all.iter().sum()));
    }

    #[test]
    fn cumulative_counts_are_exact_at_their_borders() {
        let histogram = Histogram::default();
        let all = [0, 255, 256, 511, 512, 1_000_000, 1 << 40];
        for ns in all {
            histogram.record(Duration::from_nanos(ns));
        }
        for (border, count) in histogram.times().cumulative() {
            let exact =
                all.iter().filter(|ns| u128::from(**ns).min(MAX_NS.into()) < border.as_nanos()).count();
            assert_eq!(count, exact as u64, "{border:?}");
        }
        histogram.clear();
        assert_eq!((histogram.times().count(), histogram.times().quantile(0.5)), (0, Duration::ZERO));
    }
}
