//! A publisher that its caller never waits for.
//!
//! Records go into a bounded channel; when it is full, the record is refused and counted, and the caller goes on.
//! A task of its own gathers what is in the channel into batches of 100, or of what has come within 100 ms, and
//! hands them to librdkafka with idempotence on, so that a retry never writes a record twice or out of order.
//! Several batches are under way at once: the next is gathered while the broker still syncs the ones before.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Records that wait for their batch; more are refused.
const QUEUE_RECORDS: usize = 10_000;
const BATCH_RECORDS: usize = 100;
/// Records handed over and not acknowledged yet; more wait in the channel.
const UNDER_WAY_RECORDS: usize = 5 * BATCH_RECORDS;
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// The longest that shutdown waits for acknowledgements that are still out.
const DRAIN: Duration = Duration::from_secs(30);

/// One record to publish.
pub struct Event {
    /// Decides the partition: events of one key stay in order.
    pub key: String,
    pub payload: String,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Given up by the producer after its own retries.
    pub failed: u64,
    pub batches: u64,
}

/// Why an event was not taken. The event is lost, unless the caller keeps it.
#[derive(Debug, PartialEq)]
pub enum Refused {
    /// The channel holds 10,000 events already.
    Full,
    /// The task that publishes has ended.
    Stopped,
}

pub struct Publisher {
    queue: mpsc::Sender<Event>,
    task: JoinHandle<Totals>,
}

impl Publisher {
    /// Connects in the background; the first event can be published at once.
    pub fn start(bootstrap: &str, topic: &str) -> Result<Self, KafkaError> {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("compression.type", "snappy")
            .set("batch.num.messages", BATCH_RECORDS.to_string())
            .create()?;
        let (queue, events) = mpsc::channel(QUEUE_RECORDS);
        let task = tokio::spawn(publish_batches(producer, topic.to_owned(), events));
        Ok(Self { queue, task })
    }

    /// Takes an event, or refuses it. Never waits.
    pub fn publish(&self, event: Event) -> Result<(), Refused> {
        self.queue.try_send(event).map_err(|refused| match refused {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Closed(_) => Refused::Stopped,
        })
    }

    /// Publishes what was taken so far, waits for its acknowledgements, and ends.
    pub async fn drain(self) -> Totals {
        drop(self.queue);
        self.task.await.unwrap_or_default()
    }
}

async fn publish_batches(
    producer: FutureProducer,
    topic: String,
    mut events: mpsc::Receiver<Event>,
) -> Totals {
    let mut totals = Totals::default();
    let mut deliveries = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(BATCH_RECORDS);
    let mut due = Instant::now();
    let mut open = true;
    while open || !deliveries.is_empty() {
        let room = deliveries.len() < UNDER_WAY_RECORDS;
        tokio::select! {
            event = events.recv(), if open && room => match event {
                Some(event) => {
                    if batch.is_empty() {
                        due = Instant::now() + BATCH_WAIT;
                    }
                    batch.push(event);
                }
                None => open = false,
            },
            Some(delivery) = deliveries.next() => totals.count(delivery),
            () = sleep_until(due), if !batch.is_empty() => {}
        }
        if batch.len() == BATCH_RECORDS || (!batch.is_empty() && (!open || Instant::now() >= due)) {
            totals.batches += 1;
            for Event { key, payload } in batch.drain(..) {
                // Handed over at once, in this order; only the acknowledgement is waited for.
                match producer.send_result(FutureRecord::to(&topic).key(&key).payload(&payload)) {
                    Ok(delivery) => deliveries.push(delivery),
                    Err((error, _)) => totals.fail(&error),
                }
            }
        }
    }
    if let Err(error) = producer.flush(Timeout::After(DRAIN)) {
        eprintln!("not everything was flushed: {error}");
    }
    totals
}

impl Totals {
    fn count<C>(&mut self, delivery: Result<OwnedDeliveryResult, C>) {
        match delivery {
            Ok(Ok(_)) => self.acknowledged += 1,
            Ok(Err((error, _))) => self.fail(&error),
            Err(_producer_gone) => self.fail(&KafkaError::Canceled),
        }
    }

    fn fail(&mut self, error: &KafkaError) {
        self.failed += 1;
        eprintln!("an event was not published: {error}");
    }
}
