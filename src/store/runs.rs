//! The log of each run: one event a line, in `runs/<id>.jsonl`.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::{Store, StoreError, disk};

/// The open log of a run.
pub struct RunLog {
    id: String,
    path: PathBuf,
    file: File,
}

impl Store {
    /// Starts the log of a new run. Its name sorts by time.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn start_run(&self) -> Result<RunLog, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis());
        let id = format!("{now:013}-{}", process::id());
        let path = self.run_file(&id);
        let file = disk::open_to_append(&path)?;
        // The lock says that the run is live, and falls with the process. Nobody needs it to write; those who ask
        // whether the run is live hold it for a moment.
        let _ = file.lock_shared();
        Ok(RunLog { id, path, file })
    }

    /// The names of all runs, the newest last.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root().join("runs")) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect();
        ids.sort();
        ids
    }

    /// Whether the process of a run is still at it.
    #[must_use]
    pub fn is_live(&self, id: &str) -> bool {
        let lock = File::open(self.run_file(id)).map(|file| file.try_lock());
        matches!(lock, Ok(Err(TryLockError::WouldBlock)))
    }

    /// The log of a run.
    #[must_use]
    pub fn run_file(&self, id: &str) -> PathBuf {
        self.root().join("runs").join(format!("{id}.jsonl"))
    }
}

impl RunLog {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, for those who watch the run from elsewhere to see at once.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn append(&mut self, line: &impl Serialize) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(line).map_err(|error| StoreError::file(&self.path, error.into()))?;
        text.push(b'\n');
        disk::write(&mut self.file, &self.path, &text)
    }
}
