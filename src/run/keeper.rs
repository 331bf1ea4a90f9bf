//! Keeps the states of a running step, at the times that the run asks for.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    stages::{self, StageError, checkpoint::Fill},
    store::{Begun, Checkpoints, StoreError},
};

/// The states of one step, and when the next is due.
pub(super) struct Keeper {
    pub(super) states: Checkpoints,
    pub(super) begun: Begun,
    /// None keeps a state only where the step is asked to stop.
    pub(super) every: Option<Duration>,
    pub(super) extends: bool,
    /// Called with the position that the step goes on from.
    pub(super) resumed: Box<dyn Fn(u64) + Send + Sync>,
    /// When the latest state was kept, or the step begun.
    pub(super) since: Mutex<Instant>,
}

impl stages::Checkpoints for Keeper {
    fn workspace(&self) -> Result<PathBuf, StageError> {
        Ok(self.states.folder(&self.begun).map(Path::to_owned)?)
    }

    fn kept(&self) -> Vec<PathBuf> {
        self.states.kept().into_iter().map(|it| it.folder).collect()
    }

    fn due(&self) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.every.is_some_and(|every| since.elapsed() >= every)
    }

    fn extends(&self) -> bool {
        self.extends
    }

    fn keep(&self, position: u64, fill: Fill) -> Result<(), StageError> {
        self.states.keep(position, fill)?;
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    fn resumed(&self, position: u64) {
        (self.resumed)(position);
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::File { path, error } => Self::File { path, error },
            StoreError::Cancelled => Self::Cancelled,
            other => Self::Data(other.to_string()),
        }
    }
}
