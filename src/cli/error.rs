//! Why a command could not do what it was asked, and how that is shown.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use crate::{
    base::{diagnostic::Diagnostics, disk, span::Sources},
    cli::Exit,
    data::DataError,
    merge::MergeError,
    model::ModelError,
    report::diagnostics::{self, Colour},
    reward::RewardError,
    run::RunError,
    store::StoreError,
};

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Complaints about a recipe, with the texts they point into.
    #[error("the recipe has errors")]
    Recipe(Box<(Diagnostics, Sources)>),
    #[error("{path}: {}", disk::describe(.error))]
    File { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Profile(String),
    #[error("{message}")]
    Unknown { message: String, hint: Option<String> },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Reward(#[from] RewardError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Run(RunError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CliError {
    /// Writes the error to standard error.
    pub fn print(&self) {
        match self {
            Self::Recipe(recipe) => {
                let (complaints, sources) = &**recipe;
                eprint!("{}", diagnostics::render(complaints, sources, colour(), diagnostics::SCREENFUL));
            }
            Self::Unknown { message, hint } => {
                eprintln!("error: {message}");
                if let Some(hint) = hint {
                    eprintln!("  hint: {hint}");
                }
            }
            Self::Merge(error) => {
                eprintln!("error: {error}");
                if let Some(hint) = error.hint() {
                    eprintln!("  hint: {hint}");
                }
            }
            Self::Store(error) | Self::Run(RunError::Store(error)) => {
                eprintln!("error: {error}");
                if let Some(hint) = error.hint() {
                    eprintln!("  hint: {hint}");
                }
            }
            other => eprintln!("error: {other}"),
        }
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Store(_) | Self::Run(RunError::Store(_)) => Exit::Store,
            Self::Run(RunError::Runtime(_)) => Exit::Step,
            Self::Run(RunError::Misfit(_)) => Exit::Misfit,
            _ => Exit::Recipe,
        }
    }
}

/// Colours where standard error is a terminal that shows them, and the person has not asked for none.
#[must_use]
pub fn colour() -> Colour {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    if wanted && io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain }
}
