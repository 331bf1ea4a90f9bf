//! What can go wrong in a merge, and where.

use std::path::{Path, PathBuf};

use crate::{data::DataError, model::ModelError};

/// Why models could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A mistake in a configuration, at its line and column.
    #[error("{path}:{line}:{column}: {message}")]
    Configuration { path: PathBuf, line: usize, column: usize, message: String, hint: Option<String> },
    /// A mistake in a model's folder.
    #[error("`{folder}`: {message}")]
    Model { folder: PathBuf, message: String },
    /// A tensor that cannot be merged.
    #[error("`{folder}`: tensor `{tensor}`: {message}")]
    Tensor { folder: PathBuf, tensor: String, message: String },
    /// A method that cannot compute a tensor.
    #[error("{method}: tensor `{tensor}`: {message}")]
    Method { method: &'static str, tensor: String, message: String },
    /// What was asked for cannot be done, whatever the files hold.
    #[error("{message}")]
    Request { message: String, hint: Option<String> },
    #[error("`{path}`: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Weights(#[from] ModelError),
    #[error("interrupted")]
    Cancelled,
}

impl MergeError {
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    #[must_use]
    pub fn model(folder: &Path, message: impl Into<String>) -> Self {
        Self::Model { folder: folder.to_owned(), message: message.into() }
    }

    #[must_use]
    pub fn tensor(folder: &Path, tensor: &str, message: impl Into<String>) -> Self {
        Self::Tensor { folder: folder.to_owned(), tensor: tensor.to_owned(), message: message.into() }
    }

    #[must_use]
    pub fn request(message: impl Into<String>) -> Self {
        Self::Request { message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Request { hint, .. } | Self::Configuration { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// The fix, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Configuration { hint, .. } | Self::Request { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
