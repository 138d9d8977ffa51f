//! Publishes stock prices to `market-intel-analytics`: `market-publisher BOOTSTRAP STOCKS.CSV [ROUNDS]`.
//!
//! Stops early on SIGTERM or ctrl-c; either way everything that was taken is published before it ends.
//! The last line says what became of the events: `taken … refused … acknowledged … failed … batches …`.

mod publisher;

use publisher::{Event, Publisher, Refused};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const TOPIC: &str = "market-intel-analytics";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (bootstrap, csv, rounds) = match arguments.as_slice() {
        [bootstrap, csv] => (bootstrap, csv, 1),
        [bootstrap, csv, rounds] => (bootstrap, csv, rounds.parse()?),
        _ => {
            eprintln!("usage: market-publisher BOOTSTRAP STOCKS.CSV [ROUNDS]");
            return Ok(ExitCode::from(2));
        }
    };
    let prices: Vec<String> = std::fs::read_to_string(csv)?.lines().skip(1).map(str::to_owned).collect();
    let publisher = Publisher::start(bootstrap, TOPIC)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let (mut taken, mut refused) = (0_u64, 0_u64);

    'rounds: for round in 0..rounds {
        for price in &prices {
            let symbol = price.split(',').next().unwrap_or_default();
            let payload = format!(r#"{{"round":{round},"sequence":{taken},"price":"{price}"}}"#);
            match publisher.publish(Event { key: symbol.to_owned(), payload }) {
                Ok(()) => taken += 1,
                Err(Refused::Full) => refused += 1,
                Err(Refused::Stopped) => break 'rounds,
            }
        }
        // The market's tick: between two rounds the runtime has time for the publisher's task.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(25)) => {}
            _ = tokio::signal::ctrl_c() => break 'rounds,
            _ = terminated.recv() => break 'rounds,
        }
    }

    let totals = publisher.drain().await;
    println!(
        "taken {taken} refused {refused} acknowledged {} failed {} batches {}",
        totals.acknowledged, totals.failed, totals.batches
    );
    let complete = totals.acknowledged == taken && totals.failed == 0;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
