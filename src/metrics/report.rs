//! The figures of requests as a table, for the log.

use std::fmt;
use std::time::Duration;

use super::{Histogram, RequestMetrics};

/// A row for each API that was asked for, the most expensive first: how many requests and errors, the processor time
/// of all and of one, and for each part of their time the median and the 99th percentile.
impl fmt::Display for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut apis: Vec<_> = self.apis().collect();
        apis.sort_by_key(|(_, api)| std::cmp::Reverse(api.cpu()));
        write!(
            f,
            "{:<28}{:>11}{:>9}{:>9}{:>9}{:>16}{:>16}{:>16}{:>16}{:>16}{:>9}",
            "REQUEST",
            "COUNT",
            "ERRORS",
            "CPU",
            "EACH",
            "QUEUE",
            "LOCAL",
            "REMOTE",
            "SEND",
            "TOTAL",
            "LONGEST"
        )?;
        let mut accounted = Duration::ZERO;
        for (key, api) in apis {
            let requests = api.requests.get();
            let (cpu, errors) = (api.cpu(), api.errors().map(|(_, count)| count).sum::<u64>());
            accounted += cpu;
            let each = Duration::from_nanos(cpu.as_nanos() as u64 / requests.max(1));
            write!(
                f,
                "\n{:<28}{requests:>11}{errors:>9}{:>9}{:>9}{:>16}{:>16}{:>16}{:>16}{:>16}{:>9}",
                key.name(),
                short(cpu),
                short(each),
                halves(&api.queue),
                halves(&api.local),
                halves(&api.remote),
                halves(&api.send),
                halves(&api.total),
                short(api.total.times().max()),
            )?;
            for (code, count) in api.errors() {
                write!(f, "\n  {code}: {count}")?;
            }
        }
        write!(
            f,
            "\nTimes are p50/p99. The process used {} of processor time, {} of it for these requests and their answers.",
            short(self.process_cpu()),
            short(accounted)
        )
    }
}

fn halves(histogram: &Histogram) -> String {
    let times = histogram.times();
    format!("{}/{}", short(times.quantile(0.5)), short(times.quantile(0.99)))
}

/// Three digits and a unit.
fn short(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    let (value, unit) = match ns {
        ..1e3 => return format!("{ns:.0}ns"),
        1e3..1e6 => (ns / 1e3, "us"),
        1e6..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let told = [999, 1_000, 9_996, 99_960, 123_456, 1_500_000, 2_345_000_000]
            .map(|ns| short(Duration::from_nanos(ns)));
        assert_eq!(told, ["999ns", "1.00us", "10.0us", "100us", "123us", "1.50ms", "2.35s"]);
    }
}
