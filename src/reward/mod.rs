//! Verifiers and scoring functions: pure, total on any text, and bounded in time.

pub mod accuracy;
pub mod answer;
pub mod arguments;
pub mod brevity;
pub mod code;
pub mod cosine;
pub mod extract;
pub mod format;
pub mod intervals;
pub mod language;
pub mod length;
pub mod math;
pub mod number;
pub mod overlong;
pub mod passes;
pub mod program;
pub mod readable;
pub mod repetition;
pub mod row;
pub mod sandbox;
pub mod score;
pub mod tag_count;

use crate::base::suggest::did_you_mean;

/// Why a reward or a condition cannot be evaluated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewardError {
    #[error("expected a {what}, found `{name}`; there are {known}{hint}")]
    Unknown { what: &'static str, name: String, known: String, hint: String },
    #[error("`{name}`: expected {expected}, found {found}")]
    Mismatch { name: String, expected: String, found: String },
    #[error("`{name}`: {problem}")]
    Failed { name: String, problem: String },
}

impl RewardError {
    /// A name that is not among those there are, with the nearest of them.
    fn unknown(what: &'static str, name: &str, known: &[&str]) -> Self {
        let hint = did_you_mean(name, known.iter().copied()).map(|it| format!("; {it}")).unwrap_or_default();
        let known = known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        Self::Unknown { what, name: name.to_owned(), known, hint }
    }

    fn mismatch(name: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Mismatch { name: name.to_owned(), expected: expected.into(), found: found.into() }
    }
}
