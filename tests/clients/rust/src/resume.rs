//! A consumer commits part of a topic and leaves; the next one of its group goes on exactly there.

use crate::{Bench, Checked, PATIENCE, admin, check, same};
use futures_util::future::join_all;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeSet;

const RECORDS: usize = 300;
const FIRST_SHARE: usize = 100;

pub async fn run(bench: &Bench) -> Checked {
    let topic = bench.name("resume");
    let group = bench.name("resume-group");
    admin::create(bench, &topic, "3").await?;
    let producer: FutureProducer = bench.client().create()?;
    let values: Vec<String> = (0..RECORDS).map(|n| format!("value {n}")).collect();
    let sends = values.iter().map(|value| {
        producer
            .send(FutureRecord::<str, str>::to(&topic).key(value.as_str()).payload(value.as_str()), PATIENCE)
    });
    for delivery in join_all(sends).await {
        delivery.map_err(|(error, _)| error)?;
    }

    let mut seen = BTreeSet::new();
    read(bench, &topic, &group, FIRST_SHARE, &mut seen).await?;
    read(bench, &topic, &group, RECORDS - FIRST_SHARE, &mut seen).await?;
    same("different values read", seen.len(), RECORDS)
}

/// Joins the group, takes exactly `count` records that nobody has seen, commits them and leaves.
async fn read(bench: &Bench, topic: &str, group: &str, count: usize, seen: &mut BTreeSet<String>) -> Checked {
    let consumer: StreamConsumer = bench
        .client()
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut next = std::collections::BTreeMap::new();
    for n in 0..count {
        let message = tokio::time::timeout(PATIENCE, consumer.recv())
            .await
            .map_err(|_| format!("record {n} of {count} did not arrive"))??;
        let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
        check(seen.insert(value.clone()), || format!("{value:?} was read twice in spite of its commit"))?;
        next.insert(message.partition(), message.offset() + 1);
    }
    let mut offsets = rdkafka::TopicPartitionList::new();
    for (&partition, &offset) in &next {
        offsets.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset))?;
    }
    consumer.commit(&offsets, CommitMode::Sync)?;
    let committed = consumer.committed_offsets(offsets.clone(), PATIENCE)?;
    same("committed offsets", committed, offsets)
}
