//! Prices by symbol, published to a topic that nobody created, read back field by field.

use crate::{Bench, Checked, PATIENCE, check, same};
use futures_util::future::join_all;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeMap;
use std::time::Instant;

/// The time stamp of the first record; each later one is a second on.
const FIRST_TIMESTAMP: i64 = 946_684_800_000;

type Row = (String, String, i64);

pub async fn run(bench: &Bench, csv: &str) -> Checked {
    let topic = bench.name("stocks");
    let rows: Vec<Row> = std::fs::read_to_string(csv)?
        .lines()
        .skip(1)
        .enumerate()
        .filter_map(|(row, line)| {
            let symbol = line.split(',').next()?;
            Some((symbol.to_owned(), line.to_owned(), FIRST_TIMESTAMP + row as i64 * 1000))
        })
        .collect();
    check(rows.len() > 500, || format!("{csv} has only {} rows", rows.len()))?;
    let expected_at = publish(bench, &topic, &rows).await?;
    read_back(bench, &topic, &rows, expected_at)
}

/// Publishes every row and returns which one was acknowledged at which place.
async fn publish(bench: &Bench, topic: &str, rows: &[Row]) -> Checked<BTreeMap<(i32, i64), usize>> {
    let producer: FutureProducer = bench.client().create()?;
    let sends = rows.iter().enumerate().map(|(row, (symbol, line, timestamp))| {
        let source = Header { key: "source", value: Some("vega-datasets") };
        let number = row.to_string();
        let headers = OwnedHeaders::new()
            .insert(source)
            .insert(Header { key: "row", value: Some(&number) })
            .insert(Header { key: "nothing", value: None::<&str> });
        let record = FutureRecord::to(topic).key(symbol).payload(line).timestamp(*timestamp).headers(headers);
        producer.send(record, PATIENCE)
    });
    let mut placed = BTreeMap::new();
    for (row, delivery) in join_all(sends).await.into_iter().enumerate() {
        let delivery = delivery.map_err(|(error, _)| format!("row {row} was not acknowledged: {error}"))?;
        let earlier = placed.insert((delivery.partition, delivery.offset), row);
        check(earlier.is_none(), || format!("two records were acknowledged at {delivery:?}"))?;
    }
    Ok(placed)
}

fn read_back(bench: &Bench, topic: &str, rows: &[Row], mut missing: BTreeMap<(i32, i64), usize>) -> Checked {
    let consumer: BaseConsumer = bench.client().set("group.id", bench.name("stocks")).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)?;
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        let written = missing.keys().filter(|(p, _)| *p == partition).count() as i64;
        same(&format!("offsets of partition {partition}"), (low, high), (0, written))?;
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + PATIENCE;
    let mut last_row: BTreeMap<String, usize> = BTreeMap::new();
    while !missing.is_empty() {
        let Some(message) = consumer.poll(deadline.saturating_duration_since(Instant::now())) else {
            return Err(format!("{} records never arrived", missing.len()).into());
        };
        let message = message?;
        let place = (message.partition(), message.offset());
        let row = missing.remove(&place).ok_or_else(|| format!("nobody wrote a record at {place:?}"))?;
        let (symbol, line, timestamp) = &rows[row];
        same("key", message.key(), Some(symbol.as_bytes()))?;
        same("value", message.payload(), Some(line.as_bytes()))?;
        same("timestamp", message.timestamp().to_millis(), Some(*timestamp))?;
        let headers = message.headers().ok_or("a record came back without its headers")?;
        let found: Vec<_> = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
        let expected = [
            ("source".to_owned(), Some(b"vega-datasets".to_vec())),
            ("row".to_owned(), Some(row.to_string().into_bytes())),
            ("nothing".to_owned(), None),
        ];
        same("headers", found.as_slice(), expected.as_slice())?;
        let earlier = last_row.insert(symbol.clone(), row);
        check(earlier < Some(row), || format!("{symbol}: row {row} came after row {earlier:?}"))?;
    }
    by_time(&consumer, topic, rows, &partitions)
}

/// Asks for the first record of the second half by its time stamp.
fn by_time(consumer: &BaseConsumer, topic: &str, rows: &[Row], partitions: &[i32]) -> Checked {
    if let [partition] = partitions {
        let half = rows.len() / 2;
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(rows[half].2))?;
        let found = consumer.offsets_for_times(at, PATIENCE)?;
        let offset = found.elements()[0].offset();
        check(matches!(offset, rdkafka::Offset::Offset(o) if (1..=half as i64).contains(&o)), || {
            format!("the offset for the time of row {half} is {offset:?}")
        })?;
    }
    Ok(())
}
