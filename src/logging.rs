//! What the process logs: the one filter before all log lines, and the loggers whose levels can be changed while it runs.
//!
//! A logger is a part of the program, named as Rust names its modules. It logs at its own level, or else at that of the
//! longest name above it, or else at that of `root`. Levels are Kafka's words; a change lasts until the process ends.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt as lines, reload};

/// The logger above all others.
pub const ROOT: &str = "root";
/// The logger that tells of every request, at `DEBUG`.
pub const REQUEST: &str = "quipu::request";
/// The logger that tells of every request that was denied, at `INFO`.
pub const AUTHORIZER: &str = "quipu::authorizer";
/// The loggers that can be named.
const LOGGERS: &[&str] = &[
    ROOT,
    "quipu",
    "quipu::api",
    AUTHORIZER,
    "quipu::broker",
    "quipu::catalog",
    "quipu::config",
    "quipu::coordinator",
    "quipu::internal",
    "quipu::net",
    REQUEST,
    "quipu::server",
    "quipu::topic",
    "quipu::upkeep",
    "quipu_storage",
];

/// How much a logger tells, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What went wrong. Kafka's FATAL is this, too.
    Error,
    /// What looks wrong.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    const ALL: [(Self, &str); 6] = [
        (Self::Off, "OFF"),
        (Self::Error, "ERROR"),
        (Self::Warn, "WARN"),
        (Self::Info, "INFO"),
        (Self::Debug, "DEBUG"),
        (Self::Trace, "TRACE"),
    ];

    /// The level of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("FATAL") {
            return Some(Self::Error);
        }
        Self::ALL.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(level, _)| level)
    }
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(level, _)| level == self).map_or("OFF", |(_, name)| name);
        f.write_str(name)
    }
}

/// Levels by logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    own: BTreeMap<String, Level>,
    /// Items of the start that are not a logger with a level.
    unknown: Vec<String>,
}

impl Levels {
    /// Reads what `QUIPU_LOG` may say: `LEVEL` and `LOGGER=LEVEL` items.
    fn read(text: &str) -> Self {
        let mut levels = Self { own: BTreeMap::from([(ROOT.to_owned(), Level::Error)]), unknown: Vec::new() };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (logger, level) = item.split_once('=').unwrap_or((ROOT, item));
            match Level::named(level) {
                Some(level) if !logger.contains('[') => drop(levels.own.insert(logger.to_owned(), level)),
                _ => levels.unknown.push(item.to_owned()),
            }
        }
        levels
    }

    /// The level at which a logger logs.
    fn of(&self, logger: &str) -> Level {
        let mut name = logger;
        loop {
            if let Some(level) = self.own.get(name) {
                return *level;
            }
            name = match name.rsplit_once("::") {
                Some((above, _)) => above,
                None => ROOT,
            };
        }
    }

    fn filter(&self) -> Targets {
        let targets = self.own.iter().map(|(logger, level)| {
            // What has no name above it is below all others.
            (if logger == ROOT { "" } else { logger }, level.filter())
        });
        targets.collect()
    }
}

type Reload = Box<dyn Fn(&Levels) -> Result<(), String> + Send + Sync>;

struct Log {
    levels: Mutex<Levels>,
    reload: Reload,
}

/// The process has one log, whoever runs in it.
static LOG: OnceLock<Log> = OnceLock::new();

/// Sends log lines to stderr, in colour when that is a terminal. `QUIPU_LOG` (or `RUST_LOG`) chooses the levels, `info`
/// if it is not set.
pub fn to_stderr() {
    let given = ["QUIPU_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let text = given.unwrap_or_else(|| "info".into());
    let levels = Levels::read(&text);
    let unknown = levels.unknown.join(", ");
    let (filter, handle) = reload::Layer::new(levels.filter());
    let lines = lines::layer()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // Told by a panic otherwise: a full disk under the log must not end the broker.
        .log_internal_errors(false);
    // Whoever set up logging before us keeps it, and its levels.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let reload = move |levels: &Levels| handle.reload(levels.filter()).map_err(|error| error.to_string());
        let _ = LOG.set(Log { levels: Mutex::new(levels), reload: Box::new(reload) });
    }
    if !unknown.is_empty() {
        tracing::warn!("neither a level nor a logger with one, in QUIPU_LOG or RUST_LOG: {unknown}");
    }
}

/// The loggers with the levels at which they log; none where somebody else set up the log.
pub fn loggers() -> Vec<(String, Level)> {
    let Some(log) = LOG.get() else { return Vec::new() };
    let levels = log.levels.lock();
    let given = levels.own.keys().map(String::as_str).filter(|name| !LOGGERS.contains(name));
    let mut names: Vec<&str> = LOGGERS.iter().copied().chain(given).collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.to_owned(), levels.of(name))).collect()
}

/// Whether there is a logger of this name.
pub fn exists(logger: &str) -> bool {
    loggers().iter().any(|(name, _)| name == logger)
}

/// Gives loggers levels of their own, or with `None` takes them away.
///
/// # Errors
/// The log was set up by somebody else, or its filter refuses; nothing changed then.
pub fn set(changes: &[(String, Option<Level>)]) -> Result<(), String> {
    let log = LOG.get().ok_or("the log of this process was set up by somebody else")?;
    let mut levels = log.levels.lock();
    let mut next = levels.clone();
    for (logger, level) in changes {
        match level {
            Some(level) => drop(next.own.insert(logger.clone(), *level)),
            None => drop(next.own.remove(logger)),
        }
    }
    (log.reload)(&next)?;
    *levels = next;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logger_follows_the_longest_name_above_it() {
        let levels = Levels::read("warn,quipu=info, quipu::net=TRACE,quipu[span]=debug,nonsense=loud");
        assert_eq!(levels.of("quipu::net"), Level::Trace);
        assert_eq!(levels.of("quipu::net::conn"), Level::Trace);
        assert_eq!(levels.of("quipu::api"), Level::Info);
        assert_eq!((levels.of("quipu_storage"), levels.of(ROOT)), (Level::Warn, Level::Warn));
        assert_eq!(levels.unknown, ["quipu[span]=debug", "nonsense=loud"]);
        let filter = levels.filter();
        let tells = |target, level| filter.would_enable(target, &level);
        assert!(tells("quipu::net::conn", tracing::Level::TRACE));
        assert!(tells("quipu::api", tracing::Level::INFO) && !tells("quipu::api", tracing::Level::DEBUG));
        assert!(tells("tokio", tracing::Level::WARN) && !tells("tokio", tracing::Level::INFO));
        assert_eq!(Levels::read("").of("quipu"), Level::Error, "as the filter has it");
    }

    #[test]
    fn levels_have_kafkas_names() {
        assert_eq!(Level::named("fatal"), Some(Level::Error));
        assert_eq!(Level::named("Debug").map(|level| level.to_string()).as_deref(), Some("DEBUG"));
        assert_eq!(Level::named("verbose"), None);
        assert!(Level::Off < Level::Error && Level::Debug < Level::Trace);
    }
}
