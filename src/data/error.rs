//! What can be wrong with data: one type for files, rows, tokenizers and templates.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why data could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    /// A row of a file; lines count from one.
    #[error("{path}:{line}: {message}")]
    Row { path: PathBuf, line: usize, message: String },
    #[error("{path}: {message}")]
    Content { path: PathBuf, message: String },
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("chat template: {0}")]
    Template(String),
    /// What was asked for cannot be had.
    #[error("{0}")]
    Request(String),
}

impl DataError {
    /// Names the file in an error of the operating system.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), error }
    }

    #[must_use]
    pub fn row(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::Row { path: path.to_owned(), line, message: message.into() }
    }

    #[must_use]
    pub fn content(path: &Path, message: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), message: message.into() }
    }
}
