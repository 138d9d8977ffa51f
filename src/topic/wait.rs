//! Wakes long polls.
//!
//! A fetch that found too little registers one [`Waiter`] with every partition it asked for, *then* looks again,
//! then sleeps. An append takes its bytes off each waiter's missing count and wakes only those that have enough,
//! once: a thread that sleeps costs tens of microseconds to reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One sleeping fetch.
#[derive(Debug)]
pub struct Waiter {
    missing_bytes: AtomicI64,
    notify: Notify,
}

impl Waiter {
    /// A waiter that wakes after `missing_bytes` (at least one) have been appended.
    pub fn new(missing_bytes: i64) -> Arc<Self> {
        Arc::new(Self { missing_bytes: AtomicI64::new(missing_bytes.max(1)), notify: Notify::new() })
    }

    /// Sleeps until enough was appended, or something else happened that the fetch must see.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Sets how many bytes are still missing, before another sleep.
    pub fn rearm(&self, missing_bytes: i64) {
        self.missing_bytes.store(missing_bytes.max(1), Ordering::Release);
    }

    fn appended(&self, bytes: i64) {
        let before = self.missing_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before > 0 && before <= bytes {
            // A permit is kept when nobody sleeps yet, so a wake between "look again" and "sleep" is not lost.
            self.notify.notify_one();
        }
    }

    fn disturb(&self) {
        self.notify.notify_one();
    }
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    /// Read without the lock by every append; almost always zero.
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    /// Most fetches that may wait on one partition; above it a fetch answers at once.
    pub const MAX: usize = 10_000;

    /// Registers `waiter` until the returned place is dropped; `None` when the partition has [`Self::MAX`] already.
    pub fn register<'a>(&'a self, waiter: &Arc<Waiter>) -> Option<Place<'a>> {
        let mut list = self.list.lock();
        if list.len() >= Self::MAX {
            return None;
        }
        list.push(Arc::clone(waiter));
        // Sequentially consistent with the load in `appended`: either the append sees the waiter, or the
        // waiter's second look sees the append.
        self.count.store(list.len(), Ordering::SeqCst);
        drop(list);
        std::sync::atomic::fence(Ordering::SeqCst);
        Some(Place { waiters: self, waiter: Arc::clone(waiter) })
    }

    /// Tells the waiters that `bytes` more can be read.
    pub fn appended(&self, bytes: usize) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) > 0 {
            for waiter in self.list.lock().iter() {
                waiter.appended(bytes as i64);
            }
        }
    }

    /// Wakes everyone: the partition was deleted, its log start moved, or the broker stops.
    pub fn disturb_all(&self) {
        for waiter in self.list.lock().iter() {
            waiter.disturb();
        }
    }

    fn unregister(&self, waiter: &Arc<Waiter>) {
        let mut list = self.list.lock();
        if let Some(at) = list.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            list.swap_remove(at);
        }
        self.count.store(list.len(), Ordering::SeqCst);
    }
}

/// A waiter's registration with one partition; dropping it takes the waiter out.
#[derive(Debug)]
pub struct Place<'a> {
    waiters: &'a Waiters,
    waiter: Arc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.unregister(&self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(waiter: &Waiter) -> bool {
        let woken = waiter.woken();
        let mut woken = std::pin::pin!(woken);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        woken.as_mut().poll(&mut cx).is_ready()
    }
    use std::future::Future;

    #[test]
    fn a_waiter_wakes_once_its_minimum_is_met() {
        let waiters = Waiters::default();
        let waiter = Waiter::new(100);
        let place = waiters.register(&waiter).unwrap();
        waiters.appended(99);
        assert!(!is_woken(&waiter));
        waiters.appended(1);
        assert!(is_woken(&waiter));
        waiters.appended(500);
        assert!(!is_woken(&waiter), "woken once, not per append");
        drop(place);
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_wake_before_the_sleep_is_kept() {
        let waiters = Waiters::default();
        let waiter = Waiter::new(1);
        let _place = waiters.register(&waiter).unwrap();
        waiters.appended(10);
        assert!(is_woken(&waiter));
    }

    #[test]
    fn a_disturbance_wakes_whatever_is_missing() {
        let waiters = Waiters::default();
        let waiter = Waiter::new(i64::MAX);
        let _place = waiters.register(&waiter).unwrap();
        waiters.disturb_all();
        assert!(is_woken(&waiter));
    }
}
