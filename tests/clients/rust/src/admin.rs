//! Topics created, described, altered and deleted.

use crate::{Bench, Checked, PATIENCE, check, same};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::Instant;

type Admin = AdminClient<DefaultClientContext>;

pub async fn create(bench: &Bench, topic: &str, partitions: &str) -> Checked {
    let admin: Admin = bench.client().create()?;
    let new = NewTopic::new(topic, partitions.parse()?, TopicReplication::Fixed(1));
    let created = admin.create_topics([&new], &AdminOptions::new()).await?;
    same("create", created, vec![Ok(topic.to_owned())])
}

pub async fn run(bench: &Bench) -> Checked {
    let admin: Admin = bench.client().create()?;
    let options = AdminOptions::new();
    let topic = bench.name("admin");

    let new = NewTopic::new(&topic, 3, TopicReplication::Fixed(1)).set("retention.ms", "3600000");
    same("create", admin.create_topics([&new], &options).await?, vec![Ok(topic.clone())])?;
    let again = admin.create_topics([&new], &options).await?;
    same("create twice", again, vec![Err((topic.clone(), RDKafkaErrorCode::TopicAlreadyExists))])?;
    partitions(bench, &topic, 3)?;
    config(&admin, &topic, "retention.ms", "3600000", ConfigSource::DynamicTopic).await?;
    config(&admin, &topic, "cleanup.policy", "delete", ConfigSource::Default).await?;

    // AlterConfigs replaces the whole set: retention.ms falls back to its default.
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "65536");
    let altered = admin.alter_configs([&alter], &options).await?;
    check(altered.iter().all(Result::is_ok), || format!("alter: {altered:?}"))?;
    config(&admin, &topic, "max.message.bytes", "65536", ConfigSource::DynamicTopic).await?;
    config(&admin, &topic, "retention.ms", "604800000", ConfigSource::Default).await?;

    let more = admin.create_partitions([&NewPartitions::new(&topic, 5)], &options).await?;
    same("create partitions", more, vec![Ok(topic.clone())])?;
    partitions(bench, &topic, 5)?;

    same("delete", admin.delete_topics(&[&topic], &options).await?, vec![Ok(topic.clone())])?;
    let again = admin.delete_topics(&[&topic], &options).await?;
    same("delete twice", again, vec![Err((topic.clone(), RDKafkaErrorCode::UnknownTopicOrPartition))])?;

    let groups: BaseConsumer = bench.client().create()?;
    groups.fetch_group_list(None, PATIENCE)?;
    Ok(())
}

/// Waits until the topic shows `count` partitions: Kafka answers before every broker knows.
fn partitions(bench: &Bench, topic: &str, count: usize) -> Checked {
    let consumer: BaseConsumer = bench.client().create()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metadata = consumer.fetch_metadata(None, PATIENCE)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic).map(|t| t.partitions().len());
        if found == Some(count) {
            return Ok(());
        }
        check(Instant::now() < deadline, || format!("{topic} has {found:?} partitions, expected {count}"))?;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

async fn config(admin: &Admin, topic: &str, name: &str, value: &str, source: ConfigSource) -> Checked {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let described =
            admin.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await?;
        let resource = described.into_iter().next().ok_or("describe answered for no resource")?;
        let resource = resource.map_err(|code| format!("describe {topic}: {code}"))?;
        let entry = resource.get(name).ok_or_else(|| format!("{topic} has no config {name}"))?;
        let found = (entry.value.as_deref(), &entry.source);
        if found == (Some(value), &source) {
            return Ok(());
        }
        check(Instant::now() < deadline, || format!("{name} is {found:?}, expected {:?}", (value, &source)))?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
