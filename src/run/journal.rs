//! Tells each event to whoever listens, and keeps it in the run's log once there is one.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Event, Logged};
use crate::store::{RunLog, Store, StoreError};

/// Where events go.
pub(super) struct Journal<'a> {
    report: &'a mut dyn FnMut(&Event),
    log: Option<RunLog>,
    /// What happened before it was known that something must run, and that there will be a log. None where there will
    /// be none.
    early: Option<Vec<Logged>>,
}

impl<'a> Journal<'a> {
    pub(super) fn new(report: &'a mut dyn FnMut(&Event)) -> Self {
        Self { report, log: None, early: Some(Vec::new()) }
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), StoreError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64);
        let logged = Logged { at, event };
        // Written first: whoever is told of an event finds it in the log.
        let written = self.log.as_mut().map_or(Ok(()), |log| log.append(&logged));
        (self.report)(&logged.event);
        if let Some(early) = self.early.as_mut().filter(|_| self.log.is_none()) {
            early.push(logged);
        }
        written
    }

    /// Nothing will run: what happens is told, and need not be kept.
    pub(super) fn needs_no_log(&mut self) {
        self.early = None;
    }

    /// Starts the log, with what happened so far.
    pub(super) fn open(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut log = store.start_run()?;
        for event in self.early.take().unwrap_or_default() {
            log.append(&event)?;
        }
        self.log = Some(log);
        Ok(())
    }

    pub(super) fn run(&self) -> Option<&str> {
        self.log.as_ref().map(RunLog::id)
    }
}
