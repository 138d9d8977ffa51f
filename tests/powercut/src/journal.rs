//! What the clients know: which request went out and which answer came in, each with how much had happened to the
//! device by then. So for a cut at any point it can be told what must be found afterwards, and what may be.

use quipu_protocol::record::BatchBuilder;

use crate::random::Random;

/// A partition that is written to.
pub struct Place {
    pub topic: &'static str,
    pub partition: i32,
    /// Whether its topic is compacted.
    pub compacted: bool,
}

const fn place(topic: &'static str, partition: i32, compacted: bool) -> Place {
    Place { topic, partition, compacted }
}

pub const PLACES: [Place; 4] = [
    place("orders", 0, false),
    place("orders", 1, false),
    place("orders", 2, false),
    place("stock", 0, true),
];

/// Batches that a producer may have under way in one partition, as in Kafka.
pub const IN_FLIGHT: usize = 5;

fn chance(place: usize, offset: i64) -> Random {
    let mut random = Random((place as u64) << 48 ^ offset as u64);
    random.next();
    random
}

/// The key of the record that goes to an offset.
pub fn key(place: usize, offset: i64) -> Option<Vec<u8>> {
    let mut random = chance(place, offset);
    let key = random.below(20);
    (PLACES[place].compacted || key > 5).then(|| format!("key-{key}").into_bytes())
}

/// Its value: names the offset, and has any size from a few bytes to some pages.
pub fn value(place: usize, offset: i64) -> Vec<u8> {
    let mut random = chance(place, offset);
    random.next();
    let size = match random.below(30) {
        0 => random.below(20_000),
        1..5 => random.below(2_000),
        _ => random.below(200),
    };
    let mut value = format!("{place}/{offset}/").into_bytes();
    while (value.len() as u64) < size {
        value.extend(random.next().to_be_bytes());
    }
    value
}

/// Consecutive records of one partition that were sent together.
#[derive(Clone, Debug)]
pub struct Batch {
    pub first: i64,
    pub count: i64,
    /// What had happened to the device when it was sent first.
    pub sent: usize,
    /// And when its acknowledgement came.
    pub acked: Option<usize>,
}

impl Batch {
    pub fn end(&self) -> i64 {
        self.first + self.count
    }

    /// The batch as its producer sends it, always the same. Its sequence numbers are its offsets.
    pub fn bytes(&self, place: usize, producer_id: i64, now_ms: i64) -> Vec<u8> {
        let mut batch = BatchBuilder::new().producer(producer_id, 0, self.first as i32);
        for offset in self.first..self.end() {
            batch.push(now_ms, key(place, offset).as_deref(), Some(&value(place, offset)), &[]);
        }
        batch.finish()
    }
}

/// A number that only rises, by requests: until one is answered, either of the old and the new number may be found.
#[derive(Clone, Default, Debug)]
pub struct Rising {
    /// Number, position when it was asked for, position when that was answered.
    asks: Vec<(i64, usize, Option<usize>)>,
}

impl Rising {
    pub fn ask(&mut self, number: i64, at: usize) {
        self.asks.push((number, at, None));
    }

    pub fn answered(&mut self, at: usize) {
        if let Some(last) = self.asks.last_mut() {
            last.2 = Some(at);
        }
    }

    /// The least and the greatest number that may be found after a cut.
    fn range(&self, cut: usize) -> (i64, i64) {
        let done = self.asks.iter().filter(|ask| ask.2.is_some_and(|done| done <= cut));
        let asked = self.asks.iter().filter(|ask| ask.1 <= cut);
        (done.map(|ask| ask.0).max().unwrap_or(0), asked.map(|ask| ask.0).max().unwrap_or(0))
    }

    /// The greatest number that was asked for.
    pub fn top(&self) -> i64 {
        self.asks.iter().map(|ask| ask.0).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug)]
pub struct Journal {
    pub producer_id: i64,
    /// By place, in order.
    pub batches: Vec<Vec<Batch>>,
    /// Place and end of what a reader was shown, and when.
    pub seen: Vec<(usize, i64, usize)>,
    /// Steps of the setting up: 1 and 2 are the topics, 3 is the producer's id.
    pub set_up: Rising,
    /// Log start of the first place.
    pub start: Rising,
    /// How many other topics there are.
    pub topics: Rising,
    /// Offset that a group committed for the first place.
    pub committed: Rising,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            producer_id: -1,
            batches: vec![Vec::new(); PLACES.len()],
            seen: Vec::new(),
            set_up: Rising::default(),
            start: Rising::default(),
            topics: Rising::default(),
            committed: Rising::default(),
        }
    }
}

/// What may be found after a cut: of each number the least and the greatest.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub producer_id: i64,
    pub ends: Vec<(i64, i64)>,
    /// By place, what was sent and not acknowledged, in order.
    pub pending: Vec<Vec<Batch>>,
    pub set_up: (i64, i64),
    pub start: (i64, i64),
    pub topics: (i64, i64),
    pub committed: (i64, i64),
}

impl Journal {
    /// What may be found after a cut at `at`.
    pub fn bounds(&self, at: usize) -> Bounds {
        let end = |(place, batches): (usize, &Vec<Batch>)| {
            let acked =
                batches.iter().filter(|batch| batch.acked.is_some_and(|acked| acked <= at)).map(Batch::end);
            let seen = self.seen.iter().filter(|seen| seen.0 == place && seen.2 <= at).map(|seen| seen.1);
            let sent = batches.iter().filter(|batch| batch.sent <= at).map(Batch::end);
            (acked.chain(seen).max().unwrap_or(0), sent.max().unwrap_or(0))
        };
        let pending = |batches: &Vec<Batch>| {
            let pending =
                batches.iter().filter(|batch| batch.sent <= at && batch.acked.is_none_or(|acked| acked > at));
            pending.cloned().collect()
        };
        Bounds {
            producer_id: self.producer_id,
            ends: self.batches.iter().enumerate().map(end).collect(),
            pending: self.batches.iter().map(pending).collect(),
            set_up: self.set_up.range(at),
            start: self.start.range(at),
            topics: self.topics.range(at),
            committed: self.committed.range(at),
        }
    }

    /// Forgets what came after a cut: what was found there, with all that was pending sent again, is where the next run
    /// starts.
    pub fn go_on(&self, bounds: &Bounds) -> Self {
        let known = |number: i64| Rising { asks: vec![(number, 0, Some(0))] };
        let batches = bounds.ends.iter().map(|(_, end)| {
            let all = Batch { first: 0, count: *end, sent: 0, acked: Some(0) };
            if *end > 0 { vec![all] } else { Vec::new() }
        });
        Self {
            producer_id: if bounds.set_up.0 == 3 { bounds.producer_id } else { -1 },
            batches: batches.collect(),
            seen: Vec::new(),
            set_up: known(bounds.set_up.0),
            start: known(bounds.start.1),
            topics: known(bounds.topics.1),
            committed: known(bounds.committed.1),
        }
    }

    /// How many batches were acknowledged.
    pub fn acked(&self) -> usize {
        self.batches.iter().flatten().filter(|batch| batch.acked.is_some()).count()
    }
}
