//! Progress on stderr, for work that takes a while, and only when a person sees it.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAW_PER_SECOND: u8 = 5;

/// A bar, or a count when the total is not known. It shows nothing when stderr is not a terminal, or when records
/// would scroll over it.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Counts bytes of `total`.
    pub(super) fn bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta} left",
            None => "{spinner} {bytes}  {msg}  {bytes_per_sec}",
        };
        Self::new(total, template)
    }

    /// Counts records of `total`.
    pub(super) fn records(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {human_pos}/{human_len} records  {per_sec}  {eta} left",
            None => "{spinner} {human_pos} records  {per_sec}",
        };
        Self::new(total, template)
    }

    /// Counts steps of `total`; what a step is, [`Progress::note`] says.
    pub(super) fn steps(total: u64) -> Self {
        Self::new(Some(total), "{bar:30} {msg}")
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(REDRAW_PER_SECOND));
        if !stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// Shows nothing when a person types the input or reads the output: the bar would be in the way.
    pub(super) fn unless_interactive(self) -> Self {
        if stdin().is_terminal() || stdout().is_terminal() {
            self.0.set_draw_target(ProgressDrawTarget::hidden());
        }
        self
    }

    /// Shows nothing when records go to the same terminal.
    pub(super) fn unless_output_is_terminal(self) -> Self {
        if stdout().is_terminal() {
            self.0.set_draw_target(ProgressDrawTarget::hidden());
        }
        self
    }

    pub(super) fn add(&self, n: u64) {
        self.0.inc(n);
    }

    pub(super) fn note(&self, text: String) {
        self.0.set_message(text);
    }

    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}
