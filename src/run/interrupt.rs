//! Ctrl-C, and the polite end that a queue asks for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Interrupts;

/// The ears of a run.
pub(super) struct Listener {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Listener {
    /// Listens from now on; where the system refuses, signals do what they do to any process.
    pub(super) fn new(interrupts: Interrupts) -> Self {
        let listen = |kind| if interrupts == Interrupts::Heed { signal(kind).ok() } else { None };
        Self { interrupt: listen(SignalKind::interrupt()), terminate: listen(SignalKind::terminate()) }
    }

    /// Waits until the person or the system asks for the run's end. No request is lost between two calls.
    pub(super) async fn asked_to_stop(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending().await
    }
}
