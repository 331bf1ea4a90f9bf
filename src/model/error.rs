//! What can go wrong on the model floor.

use std::path::{Path, PathBuf};

/// An error of the model floor. The texts name the file, the tensor or the field at fault.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Candle refused an operation.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("`{path}`: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The configuration describes a model that this program does not compute.
    #[error("{0}")]
    Config(String),
    /// The weights do not fit the configuration.
    #[error("{0}")]
    Weights(String),
    /// A batch that cannot be: ids beyond the vocabulary, rows beyond the batch, lengths that do not add up.
    #[error("{0}")]
    Batch(String),
    /// A device that is not there.
    #[error("{0}")]
    Device(String),
}

impl ModelError {
    /// A closure for `map_err` that names the file.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::File { path, error }
    }

    /// Puts the name of a file before the text of a configuration or weights error.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Config(text) => Self::Config(format!("`{}`: {text}", path.display())),
            Self::Weights(text) => Self::Weights(format!("`{}`: {text}", path.display())),
            other => other,
        }
    }
}
