//! Signals: from when they are taken, SIGINT and SIGTERM are an orderly stop, and SIGHUP is what the command says.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failure};

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Read the configuration again: of a service.
    Reload,
    /// The terminal was closed: of a command that somebody runs in one.
    Stop,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Stop; the exit code says why.
    Stop(Exit),
    /// Read the configuration again.
    Reload,
}

/// The signals of this process. Made before anybody is told that the node is ready.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    on_hangup: Hangup,
}

impl Signals {
    /// Takes them. Must be called within a runtime.
    ///
    /// # Errors
    /// The system does not let them be taken.
    pub fn new(on_hangup: Hangup) -> Result<Self, Failure> {
        let take = |kind| signal(kind).map_err(|error| Failure::new(Exit::Bug, format!("cannot take signals: {error}")));
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: take(SignalKind::hangup())?,
            on_hangup,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop(Exit::Interrupted),
            _ = self.terminate.recv() => Told::Stop(Exit::Terminated),
            _ = self.hangup.recv() => match self.on_hangup {
                Hangup::Reload => Told::Reload,
                Hangup::Stop => Told::Stop(Exit::Terminated),
            },
        }
    }

    /// The next one that means stop.
    pub async fn next_stop(&mut self) -> Exit {
        loop {
            if let Told::Stop(exit) = self.next().await {
                return exit;
            }
        }
    }
}
