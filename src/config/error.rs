//! What can be wrong with a configuration, said with the place and the cure.

use super::origin::Origin;
use super::value::Expected;
use std::fmt;
use std::path::PathBuf;

/// A value that a key does not accept.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidValue {
    /// The key.
    pub key: String,
    /// The value; `None` for a secret.
    pub value: Option<String>,
    /// What would have been accepted.
    pub expected: Expected,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "Invalid value {value} for configuration {}: ", self.key)?,
            None => write!(f, "Invalid value for configuration {}: ", self.key)?,
        }
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for InvalidValue {}

/// Why the broker cannot start with what it was given.
#[derive(Debug)]
pub enum ConfigError {
    /// A properties file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A properties file has a line that cannot be taken apart.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `--override` without `=`.
    Override {
        /// The argument.
        argument: String,
    },
    /// A value that its key does not accept.
    Value {
        /// Key, value and what was expected.
        invalid: Box<InvalidValue>,
        /// Where the value stands.
        origin: Origin,
        /// A value that would do.
        example: String,
    },
    /// A key that looks like one of the security keys and is none. Ignoring it could leave the broker open.
    UnknownSecurityKey {
        /// The key as written.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// Values that are fine alone but not together, or not on this machine.
    Unusable {
        /// The key that has to change.
        key: &'static str,
        /// Where its value stands.
        origin: Origin,
        /// What is wrong and what to do, as a sentence without its final stop.
        problem: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(f, "cannot read the properties file {}: {source}", path.display())
            }
            Self::Malformed { path, line, problem } => write!(f, "{}:{line}: {problem}", path.display()),
            Self::Override { argument } => {
                write!(f, "--override {argument}: expected key=value, for example num.partitions=3")
            }
            Self::Value { invalid, origin, example } => {
                write!(f, "{origin}: {}", invalid.key)?;
                if let Some(value) = &invalid.value {
                    write!(f, " = {value:?}")?;
                }
                write!(f, ": expected {}, for example {}={example}", invalid.expected, invalid.key)
            }
            Self::UnknownSecurityKey { key, origin, nearest } => {
                write!(
                    f,
                    "{origin}: {key} is not a known security key; ignoring it could leave the broker open"
                )?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => f.write_str("; correct or remove it"),
                }
            }
            Self::Unusable { key, origin, problem } => write!(f, "{origin}: {key}: {problem}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// All that is wrong, so that a file is corrected in one go. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something the user should know, though the broker can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A key that is in no table. It is kept and reported, as Kafka does, and has no effect.
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// A key that Kafka 4 no longer has.
    Retired {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What to do instead.
        instead: &'static str,
    },
    /// A value that is taken otherwise than it was given.
    Adjusted {
        /// The key.
        key: &'static str,
        /// Where its value stands.
        origin: Origin,
        /// What was made of it.
        note: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, origin, nearest: Some(nearest) } => {
                write!(f, "{origin}: unknown key {key} has no effect; did you mean {nearest}?")
            }
            Self::UnknownKey { key, origin, nearest: None } => {
                write!(f, "{origin}: unknown key {key} has no effect")
            }
            Self::Retired { key, origin, instead } => {
                write!(f, "{origin}: {key} has no effect since Kafka 4.0; {instead}")
            }
            Self::Adjusted { key, origin, note } => write!(f, "{origin}: {key}: {note}"),
        }
    }
}
