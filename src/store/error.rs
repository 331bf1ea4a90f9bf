//! What can go wrong with the store.

use std::{
    io,
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
}
