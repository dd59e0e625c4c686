//! The signals that `serve` obeys.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind, signal};

use super::watched::Watched;
use crate::exit;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stop, everything in order.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// SIGTERM and SIGINT, SIGHUP.
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    file: Watched,
}

impl Signals {
    /// A change of the file `configuration` asks to reload, too.
    pub fn new(configuration: &Path) -> io::Result<Self> {
        Ok(Self {
            file: Watched::new(configuration),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Dropping the future loses none.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
            () = self.file.changed() => Signal::Reload,
        }
    }

    /// From now on a signal to stop, or `patience` without one, ends the process where it is.
    pub fn end_on_the_next(&mut self, patience: Duration) {
        let again = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        // A thread of its own, so that nothing that blocks can hold it up.
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async {
                let (Ok(mut terminate), Ok(mut interrupt)) = again else { return };
                tokio::select! {
                    _ = terminate.recv() => std::process::exit(exit::INTERRUPTED.into()),
                    _ = interrupt.recv() => std::process::exit(exit::INTERRUPTED.into()),
                    () = tokio::time::sleep(patience) => {
                        tracing::warn!("stopped where it was; the journal has everything");
                        std::process::exit(exit::ANSWERED.into());
                    }
                }
            });
        });
    }
}
