//! Which network thread serves a connection.
//!
//! Few connections gather on one thread as long as it has little to do: a record that is published and consumed there
//! wakes one thread, not two, which halves the processor time and takes a wake-up off the latency of a quiet broker
//! (`benches/LOG.md`). When that thread gets busy, connections leave it, one at a time and between two requests, for one
//! that is not.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Up to so many connections gather on a thread that has little to do; more are spread evenly.
const GATHERED_MAX: usize = 16;
/// A thread with less than this share of its time in use takes connections. Per mille.
const QUIET: u64 = 300;
/// A thread with more than this share in use gives one away. Per mille.
const BUSY: u64 = 600;
/// How long is measured before anything is concluded, and so how often a thread gives a connection away.
const WINDOW: Duration = Duration::from_millis(20);
/// A share that is older than this says nothing: the thread has had no request since.
const STALE: Duration = Duration::from_millis(200);

/// What is known about all network threads, by their numbers.
#[derive(Debug)]
pub(super) struct Loads {
    threads: Vec<Load>,
    epoch: Instant,
    /// The system tells threads how busy they are.
    is_measured: AtomicBool,
}

#[derive(Debug, Default)]
struct Load {
    connections: AtomicUsize,
    /// Share of the last window in use, per mille.
    share: AtomicU64,
    /// When that was measured, in microseconds after the epoch.
    measured_us: AtomicU64,
}

impl Loads {
    pub(super) fn new(threads: usize) -> Arc<Self> {
        let threads = (0..threads).map(|_| Load::default()).collect();
        Arc::new(Self { threads, epoch: Instant::now(), is_measured: AtomicBool::new(true) })
    }

    /// Counts a connection of `thread`.
    pub(super) fn opened(&self, thread: usize) {
        self.threads[thread].connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(super) fn closed(&self, thread: usize) {
        self.threads[thread].connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Open connections of all threads.
    pub(super) fn connections(&self) -> usize {
        (0..self.threads.len()).map(|thread| self.of(thread)).sum()
    }

    fn of(&self, thread: usize) -> usize {
        self.threads[thread].connections.load(Ordering::Relaxed)
    }

    /// The thread for a new connection: the first that is quiet and not crowded, else that with the fewest.
    pub(super) fn place(&self) -> usize {
        let now = Instant::now();
        let threads = 0..self.threads.len();
        let gathered_max = if self.is_measured.load(Ordering::Relaxed) { GATHERED_MAX } else { 0 };
        let gathers = |&thread: &usize| self.of(thread) < gathered_max && self.share(thread, now) < QUIET;
        let fewest = || threads.clone().min_by_key(|&thread| self.of(thread)).unwrap_or(0);
        threads.clone().find(gathers).unwrap_or_else(fewest)
    }

    fn share(&self, thread: usize, now: Instant) -> u64 {
        let load = &self.threads[thread];
        let measured = Duration::from_micros(load.measured_us.load(Ordering::Relaxed));
        if now.duration_since(self.epoch).saturating_sub(measured) > STALE {
            return 0;
        }
        load.share.load(Ordering::Relaxed)
    }

    fn note(&self, thread: usize, share: u64, now: Instant) {
        let load = &self.threads[thread];
        load.share.store(share, Ordering::Relaxed);
        load.measured_us.store(now.duration_since(self.epoch).as_micros() as u64, Ordering::Relaxed);
    }

    /// Where a connection of a busy thread is better off.
    fn quieter(&self, than: usize, now: Instant) -> Option<usize> {
        (0..self.threads.len())
            .filter(|&other| other != than && self.share(other, now) < QUIET)
            .min_by_key(|&other| self.of(other))
    }
}

/// Measures the thread it belongs to.
#[derive(Debug)]
pub(super) struct Gauge {
    loads: Arc<Loads>,
    thread: usize,
    schedstat: Option<File>,
    began: Cell<Instant>,
    used: Cell<Duration>,
    /// The connection that was served last, and whether another was in this window.
    last: Cell<u64>,
    several: Cell<bool>,
}

impl Gauge {
    /// To be made on the thread itself.
    pub(super) fn new(loads: Arc<Loads>, thread: usize) -> Self {
        let schedstat = File::open("/proc/thread-self/schedstat").ok();
        let used = schedstat.as_ref().and_then(used);
        loads.is_measured.fetch_and(used.is_some(), Ordering::Relaxed);
        let (began, used) = (Cell::new(Instant::now()), Cell::new(used.unwrap_or_default()));
        Self { loads, thread, schedstat, began, used, last: Cell::new(0), several: Cell::new(false) }
    }

    /// To be told after each turn of a connection. Says where that connection is to go on, if not here: this thread has
    /// too much to do, another has little, and this connection is not all there is to do.
    pub(super) fn turn(&self, connection: u64, now: Instant) -> Option<usize> {
        if self.last.replace(connection) != connection {
            self.several.set(true);
        }
        let elapsed = now.saturating_duration_since(self.began.get());
        if elapsed < WINDOW {
            return None;
        }
        self.began.set(now);
        let several = self.several.replace(false);
        let used = used(self.schedstat.as_ref()?)?;
        let busy = used.saturating_sub(self.used.replace(used));
        let share = (busy.as_micros() * 1_000 / elapsed.as_micros().max(1)) as u64;
        self.loads.note(self.thread, share, now);
        if share > BUSY && several { self.loads.quieter(self.thread, now) } else { None }
    }
}

/// How long a thread has run or waited for a core: a core that its clients use as well is no idle one.
fn used(schedstat: &File) -> Option<Duration> {
    let mut text = [0; 64];
    let len = schedstat.read_at(&mut text, 0).ok()?;
    let mut numbers = std::str::from_utf8(&text[..len]).ok()?.split_ascii_whitespace();
    let mut next = || Some(Duration::from_nanos(numbers.next()?.parse().ok()?));
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(loads: &Loads, after: Duration) -> Instant {
        loads.epoch + after
    }

    #[test]
    fn few_connections_gather_and_many_are_spread() {
        let loads = Loads::new(2);
        for _ in 0..GATHERED_MAX {
            let thread = loads.place();
            assert_eq!(thread, 0);
            loads.opened(thread);
        }
        for _ in 0..2 * GATHERED_MAX {
            let thread = loads.place();
            loads.opened(thread);
        }
        assert_eq!((loads.of(0) + loads.of(1), loads.connections()), (3 * GATHERED_MAX, 3 * GATHERED_MAX));
        assert!(loads.of(0).abs_diff(loads.of(1)) <= 1, "{loads:?}");
    }

    #[test]
    fn a_busy_thread_takes_none_and_an_old_figure_says_nothing() {
        let loads = Loads::new(2);
        let now = Instant::now();
        loads.note(0, BUSY + 1, now);
        assert_eq!(loads.place(), 1);
        assert_eq!(loads.share(0, now + STALE * 2), 0);
    }

    #[test]
    fn a_connection_leaves_only_for_a_thread_that_is_quiet() {
        let loads = Loads::new(3);
        let now = at(&loads, WINDOW);
        loads.note(1, QUIET + 1, now);
        assert_eq!(loads.quieter(0, now), Some(2));
        loads.note(2, 1_000, now);
        assert_eq!(loads.quieter(0, now), None);
    }

    #[test]
    fn a_thread_that_serves_one_connection_keeps_it() {
        let loads = Loads::new(2);
        let gauge = Gauge::new(Arc::clone(&loads), 0);
        let schedstat = gauge.schedstat.as_ref().expect("Linux with scheduler statistics");
        let mut now = gauge.began.get();
        let mut moved = |connections: [u64; 2]| {
            let busy = std::time::Instant::now();
            while used(schedstat).unwrap().saturating_sub(gauge.used.get()) < WINDOW {
                assert!(busy.elapsed() < Duration::from_secs(60));
            }
            assert_eq!(gauge.turn(connections[0], now), None, "too early to tell");
            now += WINDOW;
            gauge.turn(connections[1], now)
        };
        assert_eq!(moved([7, 8]), Some(1));
        assert_eq!(moved([8, 8]), None);
        assert_eq!(moved([8, 9]), Some(1));
    }
}
