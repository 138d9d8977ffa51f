//! A publisher that its caller never waits for.
//!
//! Records go into a bounded channel; when it is full, the record is refused and counted, and the caller goes on.
//! A task of its own gathers what is in the channel into batches of 100, or of what has come within 100 ms, and
//! hands them to librdkafka with idempotence on, so that a retry never writes a record twice or out of order.

use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Records that wait for their batch; more are refused.
const QUEUE_RECORDS: usize = 10_000;
const BATCH_RECORDS: usize = 100;
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
    while let Some(first) = events.recv().await {
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        batch.push(first);
        let full_at = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_RECORDS {
            match timeout_at(full_at, events.recv()).await {
                Ok(Some(event)) => batch.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        let sends = batch.iter().map(|event| {
            let record = FutureRecord::to(&topic).key(&event.key).payload(&event.payload);
            producer.send(record, Timeout::After(DRAIN))
        });
        totals.batches += 1;
        for delivery in join_all(sends).await {
            match delivery {
                Ok(_) => totals.acknowledged += 1,
                Err((error, _)) => {
                    totals.failed += 1;
                    eprintln!("an event was not published: {error}");
                }
            }
        }
    }
    if let Err(error) = producer.flush(Timeout::After(DRAIN)) {
        eprintln!("not everything was flushed: {error}");
    }
    totals
}
