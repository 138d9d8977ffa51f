//! Ctrl-C: what was begun is taken away before the command ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::super::failure::{Failure, complain};

/// Whether the user wants no more of it.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from here on. A second one ends the process at once.
    pub(super) fn watch() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = runtime
            .block_on(async {
                io::Result::Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
            })
            .map_err(failed)?;
        let wait = move || {
            runtime.block_on(async {
                for is_first in [true, false] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    flag.store(true, Ordering::Release);
                    if is_first {
                        complain("taking away what was made; again to end at once");
                    }
                }
                std::process::exit(1);
            });
        };
        std::thread::Builder::new().name("quipu-interrupt".into()).spawn(wait).map_err(failed)?;
        Ok(Self(asked))
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Fails once the user wants no more of it.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.is_asked() { Err(Failure::failed("interrupted")) } else { Ok(()) }
    }
}
