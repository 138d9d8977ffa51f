//! Publishes the lines of a file, `key<TAB>value`, and waits for every acknowledgement.

use crate::{Bench, Checked, PATIENCE, same};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

#[derive(Clone)]
struct Counting(Arc<Deliveries>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.0.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                if let Ok(mut first) = self.0.first_failure.lock() {
                    first.get_or_insert_with(|| error.to_string());
                }
                self.0.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

pub fn run(bench: &Bench, topic: &str, file: &str, codec: &str) -> Checked {
    let deliveries = Arc::new(Deliveries::default());
    let producer: ThreadedProducer<Counting> =
        bench.client().set("compression.type", codec).create_with_context(Counting(deliveries.clone()))?;
    let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
    let mut line = String::new();
    let mut published = 0_u64;
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            break;
        }
        let (key, value) = line.trim_end_matches('\n').split_once('\t').ok_or("a line without a tab")?;
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        // The producer's own queue is the bound: when it is full, wait for it to drain a little.
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
        published += 1;
    }
    producer.flush(PATIENCE * 2)?;
    if let Ok(first) = deliveries.first_failure.lock()
        && let Some(error) = first.as_ref()
    {
        let failed = deliveries.failed.load(Ordering::Relaxed);
        return Err(format!("{failed} records were refused, the first with: {error}").into());
    }
    same("acknowledged records", deliveries.acknowledged.load(Ordering::Relaxed), published)?;
    println!("published {published}");
    Ok(())
}
