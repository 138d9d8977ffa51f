//! The load while the tape runs: one idempotent producer with five requests per partition under way, and beside it one
//! client that reads behind it, moves a log start, makes topics and commits offsets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::client::Client;
use crate::journal::{Batch, IN_FLIGHT, Journal, PLACES, Rising};
use crate::process::{Broker, Program};
use crate::random::Random;
use crate::wire::{self, Answer, Failure, wrong};

/// The group that commits.
pub const GROUP: &str = "readers";

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Runs brokers one after the other over the file system at `root`, each under load until it is killed or stopped.
pub fn run(
    program: &Program,
    root: &std::path::Path,
    journal: &mut Journal,
    position: &(impl Fn() -> usize + Sync),
    random: &mut Random,
) -> Result<(), String> {
    for _ in 0..1 + random.below(3) {
        let broker = program.serve(root)?;
        // Counted in what the device does, so that a busy machine makes the run longer and not smaller.
        let until = position() + 100 + random.below(1_500) as usize;
        live(broker, until, journal, position, random).map_err(Failure::into_text)?;
    }
    Ok(())
}

/// The longest that one broker lives.
const LONGEST: Duration = Duration::from_secs(5);

fn live(
    broker: Broker,
    until: usize,
    journal: &mut Journal,
    position: &(impl Fn() -> usize + Sync),
    random: &mut Random,
) -> Answer<()> {
    let mut client = Client::new(&broker);
    let mut observer = Observer {
        client: Client::new(&broker),
        next: vec![0; PLACES.len()],
        seen: Vec::new(),
        start: journal.start.clone(),
        topics: journal.topics.clone(),
        committed: journal.committed.clone(),
        random: Random(random.next()),
    };
    // Whether the broker is to end in the middle of its work.
    let is_killed = !random.one_in(4);
    let is_over = AtomicBool::new(false);
    let deadline = Instant::now() + LONGEST;
    let goes_on = || position() < until && Instant::now() < deadline;
    let address = broker.address;
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let done = observer.run(&is_over, position);
            (observer, done)
        });
        let ending = scope.spawn(|| {
            if !is_killed {
                return Some(broker);
            }
            while goes_on() {
                std::thread::sleep(Duration::from_micros(200));
            }
            broker.kill();
            None
        });
        let written = set_up(&mut client, journal, position)
            .and_then(|()| write(&mut client, journal, &|| is_killed || goes_on(), position, random));
        is_over.store(true, Ordering::Release);
        let left = ending.join().map_err(|_| Failure::Wrong("the killer panicked".to_owned()))?;
        let (observer, watched) =
            watching.join().map_err(|_| Failure::Wrong("the reader panicked".to_owned()))?;
        journal.seen.extend(observer.seen);
        (journal.start, journal.topics, journal.committed) =
            (observer.start, observer.topics, observer.committed);
        for done in [written, watched] {
            match done {
                Err(Failure::Gone(error)) if !is_killed => {
                    return wrong(format!("the broker at {address} left: {error}"));
                }
                Err(Failure::Wrong(text)) => return wrong(text),
                _ => {}
            }
        }
        left.map_or(Ok(()), Broker::stop).map_err(Failure::Wrong)
    })
}

/// What is to be there before anything is written.
fn set_up(client: &mut Client, journal: &mut Journal, position: &impl Fn() -> usize) -> Answer<()> {
    // Small segments, so that some are sealed in every run.
    const ORDERS: [(&str, &str); 1] = [("internal.segment.bytes", "50000")];
    const STOCK: [(&str, &str); 3] = [
        ("internal.segment.bytes", "30000"),
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    while journal.set_up.top() < 3 || journal.producer_id < 0 {
        let step = (journal.set_up.top() + 1).min(3);
        journal.set_up.ask(step, position());
        match step {
            1 => {
                // Again and again, if an answer was lost.
                wire::create_topic(client, PLACES[0].topic, 3, &ORDERS)?;
            }
            2 => wire::create_topic(client, PLACES[3].topic, 1, &STOCK)?,
            _ => journal.producer_id = wire::producer_id(client)?,
        }
        journal.set_up.answered(position());
    }
    Ok(())
}

/// Sends again what is not acknowledged, then more and more.
fn write(
    client: &mut Client,
    journal: &mut Journal,
    goes_on: &impl Fn() -> bool,
    position: &impl Fn() -> usize,
    random: &mut Random,
) -> Answer<()> {
    let id = journal.producer_id;
    let mut awaited = VecDeque::new();
    let mut frames = Vec::new();
    for (place, batches) in journal.batches.iter().enumerate() {
        for (number, batch) in batches.iter().enumerate().filter(|(_, batch)| batch.acked.is_none()) {
            frames.extend(wire::produce_frame(client, &PLACES[place], &batch.bytes(place, id, now_ms())));
            awaited.push_back((place, number));
        }
    }
    client.try_send_bytes(&frames).map_err(Failure::Gone)?;
    // Not every partition has five on its way all the time: now and then the broker is to be idle.
    let lanes: Vec<_> = (0..PLACES.len()).map(|_| 1 + random.below(IN_FLIGHT as u64) as usize).collect();
    loop {
        let goes_on = goes_on();
        for (place, batches) in journal.batches.iter_mut().enumerate() {
            while goes_on && awaited.iter().filter(|awaited| awaited.0 == place).count() < lanes[place] {
                let first = batches.last().map_or(0, Batch::end);
                let count = 1 + random.below(4) as i64;
                let batch = Batch { first, count, sent: position(), acked: None };
                let frame = wire::produce_frame(client, &PLACES[place], &batch.bytes(place, id, now_ms()));
                awaited.push_back((place, batches.len()));
                batches.push(batch);
                client.try_send_bytes(&frame).map_err(Failure::Gone)?;
            }
        }
        let Some((place, number)) = awaited.pop_front() else { return Ok(()) };
        let answer = client.try_receive().map_err(Failure::Gone)?;
        let at = position();
        let batch = &mut journal.batches[place][number];
        let offset = wire::produced(&answer, &PLACES[place])?;
        if offset != batch.first {
            let Batch { first, .. } = batch;
            return wrong(format!("place {place}: the batch for {first} is acknowledged at {offset}"));
        }
        batch.acked = Some(at);
    }
}

struct Observer {
    client: Client,
    next: Vec<i64>,
    seen: Vec<(usize, i64, usize)>,
    start: Rising,
    topics: Rising,
    committed: Rising,
    random: Random,
}

impl Observer {
    fn run(&mut self, is_over: &AtomicBool, position: &impl Fn() -> usize) -> Answer<()> {
        let names = wire::topics(&mut self.client)?;
        if PLACES.iter().any(|place| names.iter().all(|name| name != place.topic)) {
            // They come in this life; the next one reads them.
            return Ok(());
        }
        while !is_over.load(Ordering::Acquire) {
            for place in 0..PLACES.len() {
                let Some(read) = wire::fetch(&mut self.client, place, self.next[place], 1)? else {
                    if place != 0 || self.next[0] >= self.start.top() {
                        return wrong(format!("place {place}: {} is out of range", self.next[place]));
                    }
                    self.next[0] = self.start.top();
                    continue;
                };
                if let Some(last) = read.offsets.last() {
                    self.next[place] = last + 1;
                    self.seen.push((place, last + 1, position()));
                }
            }
            match self.random.below(30) {
                0..4 => {
                    let offset = self.committed.top().max(self.next[0]);
                    self.committed.ask(offset, position());
                    wire::commit_offset(&mut self.client, GROUP, &PLACES[0], offset)?;
                    self.committed.answered(position());
                }
                4 => {
                    let count = self.topics.top() + 1;
                    self.topics.ask(count, position());
                    wire::create_topic(&mut self.client, &format!("t-{count}"), 1, &[])?;
                    self.topics.answered(position());
                }
                5 => {
                    let start = self.start.top();
                    let to = start + self.random.below((self.next[0] - start).max(0) as u64 + 1) as i64;
                    self.start.ask(to, position());
                    let told = wire::delete_records(&mut self.client, &PLACES[0], to)?;
                    if told != to {
                        return wrong(format!("records below {to} are to go, those below {told} went"));
                    }
                    self.start.answered(position());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
