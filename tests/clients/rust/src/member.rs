//! One member of a consumer group with everything at its default: prints what it reads until it is told to stop.

use crate::{Bench, Checked};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use std::io::Write;
use tokio::signal::unix::{SignalKind, signal};

pub async fn run(bench: &Bench, topic: &str, group: &str) -> Checked {
    let consumer: StreamConsumer =
        bench.client().set("group.id", group).set("auto.offset.reset", "earliest").create()?;
    consumer.subscribe(&[topic])?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut out = std::io::stdout().lock();
    loop {
        tokio::select! {
            _ = stop.recv() => return Ok(()),
            message = consumer.recv() => {
                let message = message?;
                let key = String::from_utf8_lossy(message.key().unwrap_or_default());
                writeln!(out, "record {} {} {key}", message.partition(), message.offset())?;
                out.flush()?;
            }
        }
    }
}
