//! Where the time of requests goes, for each API: what Kafka calls RequestMetrics.
//!
//! ```text
//! read ──> queue ──> local ──────> remote ─────────────────> send ──> written
//!          behind    decode, act,  waits for records, the    behind other answers,
//!          others    encode        disk, a group             into the socket
//! ```
//! Off unless `quipu.request.metrics` is on, and then a connection pays for one look at a flag per turn. When on, a
//! request costs a few readings of the clock and a dozen additions, and no allocation: an API's histograms are made when
//! it is asked for first, a connection's notes in its first turn.

use std::array;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::time::ClockId;
use quipu_protocol::primitives::Frame;
use quipu_protocol::{ApiKey, ErrorCode};

use super::{Counter, Histogram};
use crate::broker::Broker;

/// Reading a thread's processor time is a system call, so one request in so many is measured. A prime, so that no
/// client's rhythm falls in with it.
const SAMPLED: u32 = 17;
/// Of an API that is seldom asked for, so many requests are measured whatever the rhythm.
const SAMPLED_FIRST: u64 = 32;
/// Above every key that has a name.
const KEYS: usize = 128;
/// Every code that has a name, and one place for those without.
const CODES: usize = ErrorCode::ALL.len() + 1;

/// Where the time of requests goes.
#[derive(Debug)]
pub struct RequestMetrics {
    is_on: AtomicBool,
    apis: Box<[OnceLock<Box<ApiMetrics>>]>,
    next_sample: AtomicU32,
    /// Processor time of the process when it was switched on, in nanoseconds.
    process_ns: AtomicU64,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            apis: (0..KEYS).map(|_| OnceLock::new()).collect(),
            next_sample: AtomicU32::new(0),
            process_ns: AtomicU64::new(0),
        }
    }
}

/// One API's figures since they were switched on.
#[derive(Debug)]
pub struct ApiMetrics {
    /// Requests answered (Kafka: `RequestsPerSec`); those without an answer by their own wish included.
    pub requests: Counter,
    /// Bytes of the requests, without their length (`RequestBytes`).
    pub request_bytes: Counter,
    /// Bytes of the answers.
    pub response_bytes: Counter,
    /// From the read that brought the end of a request until its turn: behind others of its connection
    /// (`RequestQueueTimeMs`).
    pub queue: Histogram,
    /// Decoding, acting, encoding: while a network thread was at it (`LocalTimeMs`).
    pub local: Histogram,
    /// Waiting: for records to fetch, for the disk, for the members of a group, for answers in front (`RemoteTimeMs`).
    pub remote: Histogram,
    /// From the moment when the answer could leave until the socket had taken it, behind others of the same turn
    /// (`ResponseQueueTimeMs` and `ResponseSendTimeMs`).
    pub send: Histogram,
    /// All of it (`TotalTimeMs`).
    pub total: Histogram,
    /// Nanoseconds of processor time of the network threads, with the writes to the socket and without the reads: an
    /// estimate from some of the requests.
    cpu_ns: Counter,
    errors: [Counter; CODES],
}

impl Default for ApiMetrics {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            queue: Histogram::default(),
            local: Histogram::default(),
            remote: Histogram::default(),
            send: Histogram::default(),
            total: Histogram::default(),
            cpu_ns: Counter::default(),
            errors: array::from_fn(|_| Counter::default()),
        }
    }
}

impl ApiMetrics {
    /// Answers by the first error code in them that is one (`ErrorsPerSec`, which counts every code in an answer). Codes
    /// without a name count as [`ErrorCode::UNKNOWN_SERVER_ERROR`].
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let named = ErrorCode::ALL.iter().copied().chain([ErrorCode::UNKNOWN_SERVER_ERROR]);
        named.zip(&self.errors).map(|(code, count)| (code, count.get())).filter(|(_, count)| *count > 0)
    }

    /// Processor time of the network threads: the requests' handling and the writes of their answers, estimated from
    /// one in 17. Reading from sockets and waiting for them is nobody's, flushing belongs to other threads.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.get())
    }

    fn clear(&self) {
        for histogram in [&self.queue, &self.local, &self.remote, &self.send, &self.total] {
            histogram.clear();
        }
        let counters = [&self.requests, &self.request_bytes, &self.response_bytes, &self.cpu_ns];
        for counter in counters.into_iter().chain(&self.errors) {
            counter.clear();
        }
    }

    fn record(&self, sample: &Sample, sent: Instant) {
        let total = sent.saturating_duration_since(sample.arrived);
        let queue = sample.began.saturating_duration_since(sample.arrived);
        let send = sent.saturating_duration_since(sample.released);
        self.requests.increment();
        self.request_bytes.add(sample.request_bytes);
        self.response_bytes.add(sample.response_bytes);
        self.queue.record(queue);
        self.local.record(sample.local);
        self.remote.record(total.saturating_sub(queue + sample.local + send));
        self.send.record(send);
        self.total.record(total);
        self.cpu_ns.add(sample.cpu_ns * u64::from(sample.weight));
        if sample.error != ErrorCode::NONE {
            let place = usize::try_from(sample.error.0 + 1).unwrap_or(CODES).min(CODES - 1);
            self.errors[place].increment();
        }
    }
}

impl RequestMetrics {
    /// Whether requests are measured.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins to measure, from nothing, or ends it; what was measured can still be looked at.
    pub fn switch(&self, on: bool) {
        if on && !self.is_on() {
            self.apis.iter().filter_map(OnceLock::get).for_each(|api| api.clear());
            self.process_ns.store(cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID), Ordering::Relaxed);
        }
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// The APIs that were asked for since it was switched on, in the order of their keys.
    pub fn apis(&self) -> impl Iterator<Item = (ApiKey, &ApiMetrics)> {
        let used = self.apis.iter().enumerate().filter_map(|(key, api)| Some((key, api.get()?)));
        used.filter(|(_, api)| api.requests.get() > 0)
            .filter_map(|(key, api)| Some((ApiKey::try_from(key as i16).ok()?, &**api)))
    }

    /// Processor time of the whole process since it was switched on.
    pub fn process_cpu(&self) -> Duration {
        let began = self.process_ns.load(Ordering::Relaxed);
        Duration::from_nanos(cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(began))
    }

    fn api(&self, key: i16) -> Option<&ApiMetrics> {
        Some(self.apis.get(usize::try_from(key).ok()?)?.get_or_init(Box::default))
    }

    /// How many requests the next sample of processor time stands for; 0 if it is not to be taken.
    fn weight(&self, api: &ApiMetrics) -> u32 {
        if api.requests.get() < SAMPLED_FIRST {
            return 1;
        }
        let next = self.next_sample.fetch_add(1, Ordering::Relaxed);
        if next.is_multiple_of(SAMPLED) { SAMPLED } else { 0 }
    }
}

/// Through the C library: rustix would ask the kernel's own page of code, which is not there under valgrind.
fn cpu_ns(clock: ClockId) -> u64 {
    clock.now().map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// Processor time of the thread that asks.
pub(crate) fn thread_cpu() -> Duration {
    Duration::from_nanos(cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID))
}

/// What is known of one request that is being answered.
#[derive(Debug)]
pub(crate) struct Sample {
    key: i16,
    arrived: Instant,
    began: Instant,
    local: Duration,
    /// When its answer could leave.
    released: Instant,
    request_bytes: u64,
    response_bytes: u64,
    error: ErrorCode,
    /// How many requests its processor time stands for; 0 if that is not measured.
    weight: u32,
    cpu_ns: u64,
}

impl Sample {
    fn cpu_ns(&self) -> u64 {
        if self.weight > 0 { cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID) } else { 0 }
    }
}

/// The requests of one connection that have begun and whose answers are not written yet.
#[derive(Debug)]
pub(crate) struct Watch {
    broker: Arc<Broker>,
    notes: RefCell<Notes>,
}

#[derive(Debug)]
struct Notes {
    arrived: Instant,
    /// That which is being answered.
    current: Option<Sample>,
    /// Those that are answered, in their order.
    samples: VecDeque<Sample>,
    /// So many of them, from the front, may leave.
    released: usize,
}

impl Watch {
    /// To be called at the beginning of each turn, before its requests are answered; `is_owing` says that answers to
    /// earlier ones are still held, which a watch that begins now would take for its own.
    #[inline]
    pub(crate) fn turn(watch: &mut Option<Rc<Self>>, broker: &Arc<Broker>, is_owing: bool) {
        if broker.metrics.by_api.is_on() || watch.is_some() {
            Self::turn_on(watch, broker, is_owing);
        }
    }

    #[cold]
    fn turn_on(watch: &mut Option<Rc<Self>>, broker: &Arc<Broker>, is_owing: bool) {
        if !broker.metrics.by_api.is_on() {
            *watch = None;
            return;
        }
        let arrived = Instant::now();
        match watch {
            Some(watch) => watch.notes.borrow_mut().arrived = arrived,
            None if is_owing => {}
            None => {
                let notes = Notes { arrived, current: None, samples: VecDeque::new(), released: 0 };
                *watch = Some(Rc::new(Self { broker: Arc::clone(broker), notes: RefCell::new(notes) }));
            }
        }
    }

    /// A request is about to be answered; `frame` is what followed its length. The result is for [`Watch::after_work`].
    #[cold]
    pub(crate) fn begin(&self, frame: &[u8]) -> (Instant, u64) {
        let by_api = &self.broker.metrics.by_api;
        let mut notes = self.notes.borrow_mut();
        let notes = &mut *notes;
        notes.current = frame.first_chunk().map(|key| i16::from_be_bytes(*key)).map(|key| Sample {
            key,
            arrived: notes.arrived,
            began: notes.arrived,
            local: Duration::ZERO,
            released: notes.arrived,
            request_bytes: frame.len() as u64,
            response_bytes: 0,
            error: ErrorCode::NONE,
            weight: by_api.api(key).map_or(0, |api| by_api.weight(api)),
            cpu_ns: 0,
        });
        let Some(sample) = &mut notes.current else { return (notes.arrived, 0) };
        sample.began = Instant::now();
        (sample.began, sample.cpu_ns())
    }

    /// Work on it goes on: the time, and the thread's processor time if that is measured.
    #[cold]
    fn before_work(&self) -> (Instant, u64) {
        (Instant::now(), self.notes.borrow().current.as_ref().map_or(0, Sample::cpu_ns))
    }

    #[cold]
    pub(crate) fn after_work(&self, (began, cpu_ns): (Instant, u64), is_answered: bool) {
        let notes = &mut *self.notes.borrow_mut();
        if let Some(sample) = &mut notes.current {
            sample.local += began.elapsed();
            sample.cpu_ns += sample.cpu_ns().saturating_sub(cpu_ns);
        }
        if is_answered {
            notes.samples.extend(notes.current.take());
        }
    }

    /// The next answer in order may leave.
    #[cold]
    pub(crate) fn release(&self, frame: Option<&Frame>) {
        let notes = &mut *self.notes.borrow_mut();
        if let Some(sample) = notes.samples.get_mut(notes.released) {
            sample.released = Instant::now();
            if let Some(frame) = frame {
                sample.response_bytes = frame.len() as u64;
                sample.error = frame.error;
            }
            notes.released += 1;
        }
    }

    /// Answers are about to be written: the processor time of this thread, if somebody wants to know.
    #[cold]
    pub(crate) fn before_write(&self) -> Option<u64> {
        let notes = self.notes.borrow();
        let wanted = notes.samples.iter().take(notes.released).any(|sample| sample.weight > 0);
        wanted.then(|| cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID))
    }

    /// A write took the thread's processor time since `before`: for all answers that may leave.
    #[cold]
    pub(crate) fn after_write(&self, before: u64) {
        let notes = &mut *self.notes.borrow_mut();
        let share =
            cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID).saturating_sub(before) / notes.released.max(1) as u64;
        for sample in notes.samples.iter_mut().take(notes.released).filter(|sample| sample.weight > 0) {
            sample.cpu_ns += share;
        }
    }

    /// All answers that could leave are written.
    #[cold]
    pub(crate) fn sent(&self) {
        let notes = &mut *self.notes.borrow_mut();
        if notes.released == 0 {
            return;
        }
        let sent = Instant::now();
        for sample in notes.samples.drain(..notes.released) {
            if let Some(api) = self.broker.metrics.by_api.api(sample.key) {
                api.record(&sample, sent);
            }
        }
        notes.released = 0;
    }
}

/// A request whose answer could not be given at once, with the time that work on it takes.
pub(crate) struct Watched<'a, F> {
    answer: Pin<&'a mut F>,
    watch: Option<Rc<Watch>>,
}

impl<'a, F> Watched<'a, F> {
    pub(crate) fn new(answer: Pin<&'a mut F>, watch: Option<&Rc<Watch>>) -> Self {
        Self { answer, watch: watch.map(Rc::clone) }
    }
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = self.watch.as_ref().map(|watch| watch.before_work());
        let polled = self.answer.as_mut().poll(cx);
        if let (Some(watch), Some(before)) = (&self.watch, before) {
            watch.after_work(before, polled.is_ready());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quipu_storage::disk::MemoryDisk;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, Sources};

    fn broker() -> Arc<Broker> {
        let (config, _) = Config::load(Sources::default()).unwrap();
        Broker::open(config, Arc::new(MemoryDisk::new()), Path::new("/data"), Clock::manual(0, 1)).unwrap()
    }

    /// A request of an API that was answered at once; its answer waits to leave.
    fn answered(watch: &Rc<Watch>, api: ApiKey) {
        let frame = [&api.key().to_be_bytes()[..], &[0; 8]].concat();
        let began = watch.begin(&frame);
        watch.after_work(began, false);
        let mut future = std::future::ready(());
        let mut watched = Watched::new(Pin::new(&mut future), Some(watch));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut watched).poll(&mut cx).is_ready());
    }

    fn counts(broker: &Broker) -> Vec<(ApiKey, u64)> {
        broker.metrics.by_api.apis().map(|(key, api)| (key, api.requests.get())).collect()
    }

    #[test]
    fn answers_count_once_they_are_written_in_their_order() {
        let broker = broker();
        let by_api = &broker.metrics.by_api;
        by_api.switch(true);
        let mut watch = None;
        Watch::turn(&mut watch, &broker, false);
        let watch = watch.as_ref().unwrap();
        for api in [ApiKey::Produce, ApiKey::Metadata, ApiKey::Produce] {
            answered(watch, api);
        }
        watch.sent();
        assert_eq!(counts(&broker), [], "nothing may leave yet");
        let mut failed = Frame { head: vec![0; 7], ..Frame::default() };
        failed.error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        watch.release(Some(&failed));
        watch.release(None);
        watch.sent();
        assert_eq!(counts(&broker), [(ApiKey::Produce, 1), (ApiKey::Metadata, 1)]);
        watch.release(None);
        watch.release(None);
        watch.sent();
        assert_eq!(counts(&broker), [(ApiKey::Produce, 2), (ApiKey::Metadata, 1)]);
        let (_, produce) = by_api.apis().next().unwrap();
        assert_eq!((produce.request_bytes.get(), produce.response_bytes.get()), (20, 7));
        let errors: Vec<_> = produce.errors().collect();
        assert_eq!(errors, [(ErrorCode::NOT_LEADER_OR_FOLLOWER, 1)]);
        let parts = [&produce.queue, &produce.local, &produce.remote, &produce.send].map(|h| h.times().sum());
        assert_eq!(
            parts.iter().sum::<Duration>(),
            produce.total.times().sum(),
            "the parts make up the whole"
        );
    }

    #[test]
    fn what_is_owed_when_it_is_switched_on_is_not_measured() {
        let broker = broker();
        let mut watch = None;
        Watch::turn(&mut watch, &broker, false);
        assert!(watch.is_none(), "off until it is switched on");
        broker.metrics.by_api.switch(true);
        Watch::turn(&mut watch, &broker, true);
        assert!(watch.is_none());
        Watch::turn(&mut watch, &broker, false);
        assert!(watch.is_some());
        broker.metrics.by_api.switch(false);
        Watch::turn(&mut watch, &broker, false);
        assert!(watch.is_none());
    }

    #[test]
    fn switching_it_on_again_starts_from_nothing() {
        let broker = broker();
        let by_api = &broker.metrics.by_api;
        by_api.switch(true);
        let mut watch = None;
        Watch::turn(&mut watch, &broker, false);
        let watch = watch.as_ref().unwrap();
        answered(watch, ApiKey::Fetch);
        watch.release(None);
        watch.sent();
        by_api.switch(true);
        assert_eq!(counts(&broker), [(ApiKey::Fetch, 1)], "it was on already");
        by_api.switch(false);
        assert_eq!(counts(&broker), [(ApiKey::Fetch, 1)]);
        by_api.switch(true);
        assert_eq!(counts(&broker), []);
    }

    #[test]
    fn a_key_that_is_none_is_not_counted() {
        let broker = broker();
        broker.metrics.by_api.switch(true);
        for key in [-1_i16, i16::MIN, i16::MAX, KEYS as i16] {
            assert!(broker.metrics.by_api.api(key).is_none(), "{key}");
        }
        assert!(ApiKey::ALL.iter().all(|key| (key.key() as usize) < KEYS));
    }
}
