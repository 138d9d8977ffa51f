//! Progress on stderr, for work that takes a while, and only when a person sees it.

use std::cell::RefCell;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::time::{Duration, Instant};

/// How long a line stays before the next one takes its place.
const REDRAW: Duration = Duration::from_millis(200);
const BAR_CELLS: u64 = 30;
const ERASE_TO_END: &str = "\x1b[K";

/// A bar, or a count when the total is not known. It shows nothing when stderr is not a terminal, or when records
/// would scroll over it.
#[derive(Debug)]
pub(super) struct Progress {
    /// `None` when nobody sees it.
    line: Option<RefCell<Line>>,
}

#[derive(Debug)]
struct Line {
    counts: Counts,
    total: Option<u64>,
    done: u64,
    note: String,
    began: Instant,
    drawn: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Bytes,
    Records,
    Steps,
}

impl Progress {
    /// Counts bytes of `total`.
    pub(super) fn bytes(total: Option<u64>) -> Self {
        Self::new(Counts::Bytes, total)
    }

    /// Counts records of `total`.
    pub(super) fn records(total: Option<u64>) -> Self {
        Self::new(Counts::Records, total)
    }

    /// Counts steps of `total`; what a step is, [`Progress::note`] says.
    pub(super) fn steps(total: u64) -> Self {
        Self::new(Counts::Steps, Some(total))
    }

    fn new(counts: Counts, total: Option<u64>) -> Self {
        let line = Line::new(counts, total, Instant::now());
        Self { line: stderr().is_terminal().then(|| RefCell::new(line)) }
    }

    /// Shows nothing when a person types the input or reads the output: the bar would be in the way.
    pub(super) fn unless_interactive(self) -> Self {
        if stdin().is_terminal() { Self { line: None } } else { self.unless_output_is_terminal() }
    }

    /// Shows nothing when records go to the same terminal.
    pub(super) fn unless_output_is_terminal(self) -> Self {
        if stdout().is_terminal() { Self { line: None } } else { self }
    }

    pub(super) fn add(&self, n: u64) {
        self.change(|line| line.done = line.done.saturating_add(n));
    }

    pub(super) fn note(&self, text: String) {
        self.change(|line| line.note = text);
    }

    pub(super) fn done(&self) {
        let drawn = self.line.as_ref().and_then(|line| line.borrow_mut().drawn.take());
        if drawn.is_some() {
            write(&format!("\r{ERASE_TO_END}"));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Line)) {
        let Some(line) = &self.line else { return };
        let mut line = line.borrow_mut();
        change(&mut line);
        let now = Instant::now();
        if line.drawn.is_none_or(|drawn| now.duration_since(drawn) >= REDRAW) {
            line.drawn = Some(now);
            let told = rustix::termios::tcgetwinsize(stderr()).ok().map(|size| size.ws_col);
            let text: String = line.text(now).chars().take(room(told)).collect();
            write(&format!("\r{text}{ERASE_TO_END}"));
        }
    }
}

/// How long a line may be on a terminal that tells so many columns; a serial line, or one in a container, tells 0.
fn room(columns: Option<u16>) -> usize {
    // The last column stays free: some terminals go to the next line once it is written.
    usize::from(columns.filter(|columns| *columns > 0).unwrap_or(80)) - 1
}

/// Progress that cannot be shown is no reason to fail.
fn write(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

impl Line {
    fn new(counts: Counts, total: Option<u64>, began: Instant) -> Self {
        Self { counts, total, done: 0, note: String::new(), began, drawn: None }
    }

    fn text(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        let seconds = now.duration_since(self.began).as_secs_f64();
        let per_second = if seconds > 0.0 { self.done as f64 / seconds } else { 0.0 };
        let count = |n: u64| match self.counts {
            Counts::Bytes => bytes(n as f64),
            Counts::Records | Counts::Steps => n.to_string(),
        };
        let unit = if self.counts == Counts::Records { " records" } else { "" };
        match self.total {
            Some(_) if self.counts == Counts::Steps => {}
            Some(total) => parts.push(format!("{}/{}{unit}", count(self.done), count(total))),
            None => parts.push(format!("{}{unit}", count(self.done))),
        }
        if !self.note.is_empty() {
            parts.push(self.note.clone());
        }
        if self.counts != Counts::Steps {
            parts.push(format!("{}/s", count(per_second as u64)));
            if let Some(total) = self.total
                && per_second > 0.0
            {
                let left = total.saturating_sub(self.done) as f64 / per_second;
                parts.push(format!("{} left", duration(left as u64)));
            }
        }
        match self.total {
            Some(total) => format!("{} {}", bar(self.done, total), parts.join("  ")),
            None => parts.join("  "),
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = done.min(total).saturating_mul(BAR_CELLS).checked_div(total).unwrap_or(BAR_CELLS);
    let cells = |sign: &str, n: u64| sign.repeat(n as usize);
    cells("█", filled) + &cells("░", BAR_CELLS - filled)
}

fn bytes(n: f64) -> String {
    let (mut n, mut units) = (n, ["B", "KiB", "MiB", "GiB", "TiB"].iter());
    let mut unit = units.next().unwrap_or(&"");
    while n >= 1024.0
        && let Some(larger) = units.next()
    {
        n /= 1024.0;
        unit = larger;
    }
    if *unit == "B" { format!("{n:.0} B") } else { format!("{n:.2} {unit}") }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(counts: Counts, total: Option<u64>, done: u64, seconds: u64) -> String {
        let began = Instant::now();
        let mut line = Line::new(counts, total, began);
        (line.done, line.note) = (done, "some".into());
        line.text(began + Duration::from_secs(seconds))
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let half = after(Counts::Bytes, Some(4 << 20), 1 << 20, 2);
        assert_eq!(
            half,
            format!("{}{} 1.00 MiB/4.00 MiB  some  512.00 KiB/s  6s left", "█".repeat(7), "░".repeat(23))
        );
        assert_eq!(after(Counts::Records, None, 1_000, 10), "1000 records  some  100/s");
        assert_eq!(after(Counts::Steps, Some(6), 6, 1), format!("{} some", "█".repeat(30)));
    }

    #[test]
    fn more_than_all_and_nothing_at_all_are_no_fault() {
        assert_eq!(bar(7, 5), bar(5, 5));
        assert_eq!(bar(0, 0).chars().count() as u64, BAR_CELLS);
        assert_eq!(after(Counts::Bytes, Some(0), 0, 0), format!("{} 0 B/0 B  some  0 B/s", "█".repeat(30)));
    }

    #[test]
    fn a_terminal_that_does_not_know_its_width_has_room() {
        assert_eq!([Some(120), Some(1), Some(0), None].map(room), [119, 0, 79, 79]);
    }

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!([59, 61, 7_260].map(duration), ["59s", "1m 1s", "2h 1m"]);
        assert_eq!([0.0, 1_023.0, 1_536.0].map(bytes), ["0 B", "1023 B", "1.50 KiB"]);
    }
}
