//! How a command fails: a sentence on stderr and an exit code, never a backtrace.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::client::ClientError;

/// Why a command could not be done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed: exit code 1.
    Failed(String),
    /// What was asked for makes no sense: exit code 2.
    Usage(String),
    /// Whoever read our output has gone. Nobody is left to be told.
    ReaderGone,
    /// It failed, and what is wrong has been shown already: exit code 1.
    Shown,
}

impl Failure {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// A file that cannot be used, with its name.
    pub(super) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }

    /// How a command ends that has shown its result, or tried to. That something failed counts also when whoever read the
    /// output has gone.
    pub(super) fn unless(is_well: bool, shown: Result<(), impl Into<Self>>) -> Result<(), Self> {
        match shown.map_err(Into::into) {
            Ok(()) | Err(Self::ReaderGone) if !is_well => Err(Self::Shown),
            shown => shown,
        }
    }

    /// Tells the user and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Failed(text) => (text, 1),
            Self::Usage(text) => (text, 2),
            Self::ReaderGone => return ExitCode::SUCCESS,
            Self::Shown => return ExitCode::FAILURE,
        };
        complain(&text);
        ExitCode::from(code)
    }
}

/// Writes a sentence to stderr. A stderr that is closed is nobody's concern.
pub(super) fn complain(text: impl fmt::Display) {
    use io::Write;
    let _ = writeln!(io::stderr().lock(), "quipu: {text}");
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// For errors of our own output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(format!("cannot write the output: {error}")),
        }
    }
}
