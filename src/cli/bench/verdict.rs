//! What the figures say, in words, in a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::output::{Rows, number, text};
use super::disk::Disk;
use super::load::{IN_FLIGHT, Sent};
use super::phases::{Consumed, Findings};
use crate::client::Acks;
use crate::metrics::Times;

/// Busy for this share of the time: there is no more to be had from a thread.
const BUSY: f64 = 0.85;
/// Near enough to what was asked for, or to what a disk can do.
const NEAR: f64 = 0.95;
const DISK_NEAR: f64 = 0.7;

/// What holds everything up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The time that the disk takes, for a sync or for the amount.
    Disk,
    /// Going there and back, waking up at both ends included.
    Network,
    /// What the broker does in between.
    Broker,
    /// This process.
    Client,
    /// The pace that was asked for.
    Rate,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Broker => "broker",
            Self::Client => "client",
            Self::Rate => "rate",
        }
    }
}

/// The conclusion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Of one acknowledgement; none if nobody acknowledges.
    pub(super) latency: Option<Limit>,
    pub(super) produce: Limit,
    pub(super) consume: Limit,
    pub(super) sentences: Vec<String>,
}

/// Draws the conclusion.
pub(super) fn of(found: &Findings) -> Verdict {
    let mut sentences = Vec::new();
    sentences.extend(found.disk.as_ref().map(|disk| about_disk(disk, found.syncs())));
    if found.disk.is_none() {
        sentences.push(
            "Disk: not measured, the broker's directory cannot be used from here. Run this on its machine, with --data-dir."
                .into(),
        );
    }
    let latency = found.one_by_one.as_ref().map(|alone| {
        let (limit, sentence) = about_latency(found, p50(alone));
        sentences.push(sentence);
        limit
    });
    let (produce, sentence) = about_produce(found, latency);
    sentences.push(sentence);
    sentences.extend(about_memory(found));
    let (consume, sentence) = about_consume(&found.consume);
    sentences.push(sentence);
    Verdict { latency, produce, consume, sentences }
}

fn found_any(times: &Times) -> bool {
    times.count() > 0
}

fn p50(times: &Times) -> Duration {
    times.quantile(0.5)
}

fn about_disk(disk: &Disk, syncs: bool) -> String {
    if disk.is_memory {
        return format!(
            "Disk: {} is in memory, where syncs cost and mean nothing. Name a directory on a disk with --data-dir.",
            disk.dir.display()
        );
    }
    let (sync, times) = (p50(&disk.small.times), tell(p50(&disk.small.times)));
    let is_meant = if syncs { "" } else { ", should you want it" };
    match sync.as_micros() {
        ..300 => format!(
            "Disk: good for durability \"sync\"{is_meant}: {times} for each sync. So fast a disk has a cache that survives the loss of power, or says so wrongly."
        ),
        300..3_000 => format!("Disk: good for durability \"sync\"{is_meant}: {times} for each sync."),
        3_000..10_000 => format!(
            "Disk: fair for durability \"sync\"{is_meant}: {times} for each sync. Writes that wait together share one."
        ),
        _ => format!(
            "Disk: slow for durability \"sync\"{is_meant}: {times} for each sync, as a spinning or a shared disk. quipu.durability=interval does not wait for it, and may lose the last second with the power."
        ),
    }
}

fn about_latency(found: &Findings, ack: Duration) -> (Limit, String) {
    let trip = p50(&found.round_trip);
    let sync = match &found.disk {
        Some(disk) if found.syncs() => p50(&disk.record),
        _ => Duration::ZERO,
    };
    let rest = ack.saturating_sub(trip + sync);
    let limit = match () {
        () if sync >= trip.max(rest) && !sync.is_zero() => Limit::Disk,
        () if trip >= rest => Limit::Network,
        // A sync that could not be measured is in the rest.
        () if found.syncs() && found.disk.is_none() => Limit::Disk,
        () => Limit::Broker,
    };
    let by_itself = match sync.is_zero() {
        true => format!("a round trip alone takes {}", tell(trip)),
        false => {
            format!("to sync such a record alone takes the disk {}, a round trip {}", tell(sync), tell(trip))
        }
    };
    let of_rest = match (rest.is_zero(), found.syncs() && found.disk.is_none()) {
        (true, _) => String::new(),
        (false, true) => {
            format!(", which leaves {} to the broker with its disk, and to this client", tell(rest))
        }
        (false, false) => format!(", which leaves {} to the broker and this client", tell(rest)),
    };
    let conclusion = match limit {
        Limit::Disk => "The disk decides",
        Limit::Network => "The way there and back decides",
        _ => "Broker and client decide",
    };
    (limit, format!("Latency: an acknowledgement takes {}; {by_itself}{of_rest}. {conclusion}.", tell(ack)))
}

fn about_produce(found: &Findings, latency: Option<Limit>) -> (Limit, String) {
    let sent = &found.produce;
    let seconds = sent.elapsed.as_secs_f64().max(1e-9);
    let (busy, waited) = (sent.cpu.as_secs_f64() / seconds, sent.waited.as_secs_f64() / seconds);
    let per_second = sent.records as f64 / seconds;
    let on_disk = sent.batch_bytes as f64 / seconds;
    if let Some(rate) = found.rate
        && per_second >= rate as f64 * NEAR
    {
        return (
            Limit::Rate,
            "Produce: the pace that was asked for holds; there may be room for more.".into(),
        );
    }
    if busy >= BUSY {
        let sentence = format!(
            "Produce: this client is the limit: its one thread was busy for {} of the time. More producers send more.",
            percent(busy)
        );
        return (Limit::Client, sentence);
    }
    let of_disk = found.disk.as_ref().map_or(0.0, |disk| on_disk / disk.bytes_per_second.max(1.0));
    if let Some(disk) = &found.disk
        && found.syncs()
        && of_disk >= DISK_NEAR
    {
        let sentence = format!(
            "Produce: the disk is the limit: {} of the {} that it writes in a row. --compression makes less of it.",
            bytes_per_second(on_disk),
            bytes_per_second(disk.bytes_per_second)
        );
        return (Limit::Disk, sentence);
    }
    let window = IN_FLIGHT as u64 * sent.batch_bytes / sent.requests.max(1);
    let limit = latency.unwrap_or(Limit::Broker);
    let sentence = format!(
        "Produce: waiting for acknowledgements is the limit, for {} of the time with {} in flight; {} decides how long that is. Larger batches, or more producers, send more.",
        percent(waited),
        bytes(window as f64),
        match limit {
            Limit::Disk => "the disk's sync",
            Limit::Network => "the way there and back",
            _ => "the broker",
        }
    );
    (limit, sentence)
}

/// Without syncs, records go faster than the disk takes them, for a while.
fn about_memory(found: &Findings) -> Option<String> {
    let on_disk = rate(found.produce.batch_bytes, found.produce.elapsed);
    let disk = found.disk.as_ref().filter(|disk| !disk.is_memory && on_disk > disk.bytes_per_second)?;
    Some(format!(
        "That is {}, more than the {} that the disk writes in a row: memory takes it for now, and cannot for long.",
        bytes_per_second(on_disk),
        bytes_per_second(disk.bytes_per_second)
    ))
}

fn about_consume(read: &Consumed) -> (Limit, String) {
    let busy = read.cpu.as_secs_f64() / read.elapsed.as_secs_f64().max(1e-9);
    if busy >= BUSY / 2.0 {
        let sentence = format!(
            "Consume: this client is the limit: it checked and counted records for {} of the time, and fetched in the rest.",
            percent(busy)
        );
        return (Limit::Client, sentence);
    }
    (
        Limit::Broker,
        format!("Consume: fetching is the limit; this client was busy for {} of the time.", percent(busy)),
    )
}

impl Findings {
    /// Whether an acknowledgement waits for the disk.
    fn syncs(&self) -> bool {
        self.acks == Acks::All && self.durability.as_deref() == Some("sync")
    }

    /// What was measured, in a line.
    pub(super) fn heading(&self) -> String {
        let broker = match self.is_own {
            true => "a broker of its own in this process".to_owned(),
            false => format!("the broker at {}", self.broker),
        };
        let durability = self.durability.as_ref().map(|d| format!(", durability {d}")).unwrap_or_default();
        let acks = match self.acks {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        };
        let partitions = match self.partitions {
            1 => "one partition".to_owned(),
            several => format!("{several} partitions"),
        };
        format!(
            "Records of {} bytes in batches of {}, acks={acks}, {partitions}; {broker}{durability}.",
            self.record_bytes,
            bytes(self.batch_bytes as f64)
        )
    }

    /// The figures, for a person.
    pub(super) fn rows(&self) -> Rows {
        let columns = [
            text("measured"),
            number("rate"),
            number("p50"),
            number("p99"),
            number("p99.9"),
            number("longest"),
        ];
        let mut rows = Rows::new(columns);
        let mut row = |name: &str, rate: String, times: Option<&Times>| {
            let at = |share: f64| times.map_or_else(String::new, |times| tell(times.quantile(share)));
            let longest = times.map_or_else(String::new, |times| tell(times.max()));
            rows.push([
                json!(name),
                json!(rate),
                json!(at(0.5)),
                json!(at(0.99)),
                json!(at(0.999)),
                json!(longest),
            ]);
        };
        if let Some(disk) = &self.disk {
            if found_any(&disk.record) {
                row("disk: append a record and sync", String::new(), Some(&disk.record));
            }
            row("disk: append 4 KiB and sync", per_second(disk.small.per_second), Some(&disk.small.times));
            row("disk: append 64 KiB and sync", per_second(disk.large.per_second), Some(&disk.large.times));
            row("disk: write in a row", bytes_per_second(disk.bytes_per_second), None);
        }
        row("round trip", String::new(), Some(&self.round_trip));
        if let Some(alone) = &self.one_by_one {
            row("acknowledgement, one by one", String::new(), Some(alone));
        }
        let sent = &self.produce;
        let acks = (self.acks != Acks::None).then_some(&sent.acks);
        let records = per_second(rate(sent.records, sent.elapsed));
        row("produce", records, acks);
        row("produce, values", bytes_per_second(rate(sent.value_bytes, sent.elapsed)), None);
        let read = &self.consume;
        row("consume", per_second(rate(read.records, read.elapsed)), None);
        row("consume, values", bytes_per_second(rate(read.value_bytes, read.elapsed)), None);
        let (times, pace) = &self.end_to_end;
        row("end to end", per_second(*pace as f64), Some(times));
        rows
    }

    /// Everything, for a program. Times are in microseconds.
    pub(super) fn to_json(&self, verdict: &Verdict) -> Value {
        let disk = self.disk.as_ref().map(|disk| {
            let synced = |synced: &super::disk::Synced| {
                let mut value = quantiles(&synced.times);
                value["per_second"] = json!(synced.per_second.round());
                value
            };
            json!({
                "dir": disk.dir.display().to_string(),
                "in_memory": disk.is_memory,
                "sync_record": found_any(&disk.record).then(|| quantiles(&disk.record)),
                "sync_4k": synced(&disk.small),
                "sync_64k": synced(&disk.large),
                "sequential_bytes_per_second": disk.bytes_per_second.round(),
            })
        });
        let load = |sent: &Sent| {
            json!({
                "records": sent.records,
                "requests": sent.requests,
                "seconds": sent.elapsed.as_secs_f64(),
                "records_per_second": rate(sent.records, sent.elapsed).round(),
                "bytes_per_second": rate(sent.value_bytes, sent.elapsed).round(),
                "batch_bytes": sent.batch_bytes,
                "client_busy": sent.cpu.as_secs_f64() / sent.elapsed.as_secs_f64().max(1e-9),
                "ack": (self.acks != Acks::None).then(|| quantiles(&sent.acks)),
            })
        };
        let read = &self.consume;
        let (end_to_end, pace) = &self.end_to_end;
        let mut end_to_end = quantiles(end_to_end);
        end_to_end["records_per_second"] = json!(pace);
        json!({
            "broker": self.broker,
            "started_for_this": self.is_own,
            "durability": self.durability,
            "acks": self.acks.number(),
            "record_size": self.record_bytes,
            "batch_size": self.batch_bytes,
            "partitions": self.partitions,
            "throughput": self.rate,
            "disk": disk,
            "round_trip": quantiles(&self.round_trip),
            "one_by_one": self.one_by_one.as_ref().map(quantiles),
            "produce": load(&self.produce),
            "consume": {
                "records": read.records,
                "seconds": read.elapsed.as_secs_f64(),
                "records_per_second": rate(read.records, read.elapsed).round(),
                "bytes_per_second": rate(read.value_bytes, read.elapsed).round(),
                "client_busy": read.cpu.as_secs_f64() / read.elapsed.as_secs_f64().max(1e-9),
            },
            "end_to_end": end_to_end,
            "limit": {
                "latency": verdict.latency.map(Limit::name),
                "produce": verdict.produce.name(),
                "consume": verdict.consume.name(),
            },
            "conclusion": verdict.sentences,
        })
    }
}

fn quantiles(times: &Times) -> Value {
    let us = |time: Duration| (time.as_nanos() as f64 / 100.0).round() / 10.0;
    json!({
        "count": times.count(),
        "p50_us": us(times.quantile(0.5)),
        "p99_us": us(times.quantile(0.99)),
        "p999_us": us(times.quantile(0.999)),
        "max_us": us(times.max()),
    })
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// A time with three digits and a unit.
fn tell(time: Duration) -> String {
    let us = time.as_nanos() as f64 / 1e3;
    match us {
        ..1e3 => format!("{} us", digits(us)),
        1e3..1e6 => format!("{} ms", digits(us / 1e3)),
        _ => format!("{} s", digits(us / 1e6)),
    }
}

fn digits(value: f64) -> String {
    let places = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.places$}")
}

fn bytes(value: f64) -> String {
    match value {
        ..1e3 => format!("{value:.0} B"),
        1e3..1e6 => format!("{} kB", digits(value / 1e3)),
        1e6..1e9 => format!("{} MB", digits(value / 1e6)),
        _ => format!("{} GB", digits(value / 1e9)),
    }
}

fn bytes_per_second(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// A count per second, its thousands apart.
fn per_second(value: f64) -> String {
    let whole = format!("{value:.0}");
    let mut told = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told + "/s"
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::bench::disk::Synced;
    use crate::metrics::Histogram;

    fn always(us: u64) -> Times {
        let histogram = Histogram::default();
        for _ in 0..100 {
            histogram.record(Duration::from_micros(us));
        }
        histogram.times()
    }

    fn sent(ack_us: u64, busy: f64) -> Sent {
        Sent {
            records: 100_000,
            value_bytes: 10_000_000,
            batch_bytes: 11_000_000,
            requests: 700,
            elapsed: Duration::from_secs(1),
            acks: always(ack_us),
            cpu: Duration::from_secs_f64(busy),
            waited: Duration::from_secs_f64(1.0 - busy),
        }
    }

    fn found(sync_us: u64, trip_us: u64, ack_us: u64) -> Findings {
        let synced = || Synced { times: always(sync_us), per_second: 1e6 / sync_us as f64 };
        Findings {
            broker: "127.0.0.1:9092".into(),
            is_own: false,
            durability: Some("sync".into()),
            acks: Acks::All,
            record_bytes: 100,
            batch_bytes: 16_384,
            rate: None,
            partitions: 1,
            disk: Some(Disk {
                dir: PathBuf::from("/data"),
                is_memory: false,
                record: always(sync_us),
                small: synced(),
                large: synced(),
                bytes_per_second: 1e9,
            }),
            round_trip: always(trip_us),
            one_by_one: Some(always(ack_us)),
            produce: sent(ack_us, 0.5),
            consume: Consumed {
                records: 100_000,
                value_bytes: 10_000_000,
                elapsed: Duration::from_secs(1),
                cpu: Duration::from_millis(100),
            },
            end_to_end: (always(ack_us), 1_000),
        }
    }

    #[test]
    fn what_takes_most_of_an_acknowledgement_decides() {
        let limit = |found: &Findings| of(found).latency.unwrap();
        assert_eq!(limit(&found(1_700, 60, 1_900)), Limit::Disk);
        assert_eq!(limit(&found(100, 5_000, 5_300)), Limit::Network);
        assert_eq!(limit(&found(100, 50, 900)), Limit::Broker);
        let lax = Findings { durability: Some("os".into()), ..found(1_700, 60, 90) };
        assert_eq!(limit(&lax), Limit::Network, "nobody waits for the disk");
        let leader = Findings { acks: Acks::Leader, ..found(1_700, 60, 90) };
        assert_eq!(limit(&leader), Limit::Network);
        let unseen = Findings { disk: None, ..found(1, 60, 1_900) };
        assert_eq!(limit(&unseen), Limit::Disk, "what else would it wait for");
        let sentences = of(&found(1_700, 60, 1_900)).sentences.join("\n");
        assert!(
            sentences.contains("alone takes the disk 1.")
                && sentences.contains(" to the broker and this client")
                && sentences.contains("The disk decides"),
            "{sentences}"
        );
    }

    #[test]
    fn what_is_used_up_decides_how_much_is_produced() {
        let limit = |found: &Findings| of(found).produce;
        assert_eq!(limit(&found(1_700, 60, 1_900)), Limit::Disk, "its sync");
        assert_eq!(limit(&found(10, 50, 900)), Limit::Broker);
        assert_eq!(limit(&Findings { produce: sent(1, 0.97), ..found(1_700, 60, 1_900) }), Limit::Client);
        assert_eq!(limit(&Findings { rate: Some(100_000), ..found(1_700, 60, 1_900) }), Limit::Rate);
        assert_eq!(limit(&Findings { rate: Some(200_000), ..found(10, 50, 900) }), Limit::Broker);
        let mut slow = found(10, 50, 900);
        slow.disk.as_mut().unwrap().bytes_per_second = 12e6;
        assert_eq!(limit(&slow), Limit::Disk, "its amount");
        assert_eq!(about_memory(&slow), None, "12 of 11 MB/s");
        slow.durability = Some("os".into());
        slow.disk.as_mut().unwrap().bytes_per_second = 10e6;
        assert_eq!(limit(&slow), Limit::Broker, "nobody waits for the disk");
        assert!(about_memory(&slow).is_some());
        let unheard = Findings { acks: Acks::None, one_by_one: None, ..found(10, 50, 900) };
        assert_eq!((of(&unheard).latency, of(&unheard).produce), (None, Limit::Broker));
    }

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!(
            [0.0, 999.4, 1_000.0, 1_234_567.0].map(per_second),
            ["0/s", "999/s", "1,000/s", "1,234,567/s"]
        );
        assert_eq!([999.0, 16_384.0, 1.5e6, 2e9].map(bytes), ["999 B", "16.4 kB", "1.50 MB", "2.00 GB"]);
        assert_eq!([1_500, 999_000].map(|ns| tell(Duration::from_nanos(ns))), ["1.50 us", "999 us"]);
    }

    #[test]
    fn a_program_finds_every_figure() {
        let found = found(1_700, 60, 1_900);
        let value = found.to_json(&of(&found));
        assert_eq!(value["limit"], json!({ "latency": "disk", "produce": "disk", "consume": "broker" }));
        assert_eq!(value["produce"]["records_per_second"], json!(100_000.0));
        assert!(
            value["disk"]["sync_4k"]["p50_us"].as_f64().is_some_and(|us| (1_700.0..1_810.0).contains(&us)),
            "{value}"
        );
    }
}
