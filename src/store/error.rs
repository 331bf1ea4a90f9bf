//! What can go wrong with the store.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: expected a file or a folder, found neither")]
    Odd { path: PathBuf },
    #[error("{path}: expected a name in UTF-8")]
    Name { path: PathBuf },
    #[error("the stage wrote nothing")]
    Nothing,
    #[error("interrupted")]
    Cancelled,
}

impl StoreError {
    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let Self::File { error, .. } = self else { return None };
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some("free some space, for instance by `regimen gc`, and run again: what is made stays made")
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Some("to run, the store must be writable: `--store DIR` names another")
            }
            _ => None,
        }
    }
}
