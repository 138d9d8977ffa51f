//! What the process logs: the one filter before all log lines, and the loggers whose levels can be changed while it runs.
//!
//! A logger is a part of the program, named as Rust names its modules. It logs at its own level, or else at that of the
//! longest name above it, or else at that of `root`. Levels are Kafka's words; a change lasts until the process ends.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

/// The logger above all others.
pub const ROOT: &str = "root";
/// The logger that tells of every request, at `DEBUG`.
pub const REQUEST: &str = "quipu::request";
/// The loggers that can be named.
const LOGGERS: &[&str] = &[
    ROOT,
    "quipu",
    "quipu::api",
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
    /// Directives of the start that are not a logger with a level, such as those for spans: kept as they are.
    others: Vec<String>,
}

impl Levels {
    /// Reads what `QUIPU_LOG` may say: `LEVEL` and `LOGGER=LEVEL` items.
    fn read(text: &str) -> Self {
        let mut levels = Self { own: BTreeMap::from([(ROOT.to_owned(), Level::Error)]), others: Vec::new() };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (logger, level) = item.split_once('=').unwrap_or((ROOT, item));
            match Level::named(level) {
                Some(level) if !logger.contains('[') => drop(levels.own.insert(logger.to_owned(), level)),
                _ => levels.others.push(item.to_owned()),
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

    /// The filter's own words for it.
    fn directives(&self) -> String {
        let own = self.own.iter().map(|(logger, level)| {
            let level = level.to_string().to_ascii_lowercase();
            if logger == ROOT { level } else { format!("{logger}={level}") }
        });
        own.chain(self.others.iter().cloned()).collect::<Vec<_>>().join(",")
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
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(&text))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // Told by a panic otherwise: a full disk under the log must not end the broker.
        .log_internal_errors(false)
        .with_filter_reloading();
    let handle = lines.reload_handle();
    // Whoever set up logging before us keeps it, and its levels.
    if lines.try_init().is_ok() {
        let reload = move |levels: &Levels| {
            let filter = EnvFilter::try_new(levels.directives()).map_err(|error| error.to_string())?;
            handle.reload(filter).map_err(|error| error.to_string())
        };
        let _ = LOG.set(Log { levels: Mutex::new(Levels::read(&text)), reload: Box::new(reload) });
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
        assert_eq!(levels.directives(), "quipu=info,quipu::net=trace,warn,quipu[span]=debug,nonsense=loud");
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
