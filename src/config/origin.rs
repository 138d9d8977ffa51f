//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from. Later variants go before earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table's default.
    Default,
    /// A line of a properties file, counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line on which the entry begins.
        line: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// `--override key=value`.
    Override,
    /// A flag of the command line of its own, such as `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Override => f.write_str("--override"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
