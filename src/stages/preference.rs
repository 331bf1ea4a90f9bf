//! Preferences as token sequences: pairs of answers of which one is preferred, and answers that are good or are not.

use std::path::Path;

use crate::{
    data::{
        dataset::{self, Dataset},
        rows::{Kind, Label, Pair},
        tokenizer::Tokenizer,
    },
    stages::{
        StageError,
        part::Sequence,
        reward_model::artifact::{Scope, sequence},
    },
};

/// Two answers to one prompt.
pub struct Couple {
    pub chosen: Sequence,
    pub rejected: Sequence,
    /// By how much the one is preferred, where the row says so.
    pub margin: f64,
}

/// An answer that is good or is not.
pub struct Rated {
    pub answer: Sequence,
    pub good: bool,
}

/// The rows of a data set of preferences.
pub enum Preferences {
    Pairs(Vec<Couple>),
    Labels(Vec<Rated>),
}

impl Preferences {
    /// Reads a data set. Of an answer only what is in scope becomes tokens; none with its prompt may be longer than
    /// `longest` tokens.
    ///
    /// # Errors
    /// Where rows are of another kind, or too long: nothing is cut in silence.
    pub fn read(folder: &Path, tokenizer: &Tokenizer, scope: Scope, longest: usize) -> Result<Self, StageError> {
        let tokens = |prompt: &str, answer: &str| sequence(tokenizer, scope, prompt, answer);
        let preferences = match Dataset::open(folder)?.summary.kind {
            Kind::Pair => {
                let rows: Vec<Pair> = dataset::read(folder)?;
                let couple = |row: &Pair| {
                    let (chosen, rejected) = (tokens(&row.prompt, &row.chosen)?, tokens(&row.prompt, &row.rejected)?);
                    Ok(Couple { chosen, rejected, margin: row.margin.unwrap_or(0.0) })
                };
                Self::Pairs(rows.iter().map(couple).collect::<Result<_, StageError>>()?)
            }
            Kind::Label => {
                let rows: Vec<Label> = dataset::read(folder)?;
                let rated = |row: &Label| Ok(Rated { answer: tokens(&row.prompt, &row.completion)?, good: row.label });
                Self::Labels(rows.iter().map(rated).collect::<Result<_, StageError>>()?)
            }
            other => {
                let message = format!("expected rows of pairs or labels, found {}", other.name());
                return Err(StageError::Data(message));
            }
        };
        preferences.check_lengths(longest)?;
        Ok(preferences)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Pairs(rows) => rows.len(),
            Self::Labels(rows) => rows.len(),
        }
    }

    /// Every answer by itself: of a pair the preferred one as good, the other as not.
    #[must_use]
    pub fn into_labels(self) -> Vec<Rated> {
        match self {
            Self::Labels(rows) => rows,
            Self::Pairs(rows) => {
                let both =
                    |it: Couple| [Rated { answer: it.chosen, good: true }, Rated { answer: it.rejected, good: false }];
                rows.into_iter().flat_map(both).collect()
            }
        }
    }

    fn check_lengths(&self, longest: usize) -> Result<(), StageError> {
        let lengths: Vec<usize> = match self {
            Self::Pairs(rows) => rows.iter().map(|it| it.chosen.ids.len().max(it.rejected.ids.len())).collect(),
            Self::Labels(rows) => rows.iter().map(|it| it.answer.ids.len()).collect(),
        };
        let over = lengths.iter().filter(|it| **it > longest).count();
        if over == 0 {
            return Ok(());
        }
        let (rows, most) = (lengths.len(), lengths.iter().max().copied().unwrap_or_default());
        Err(StageError::Data(format!(
            "{over} of {rows} rows are longer than {longest} tokens (the longest has {most}); raise `max_length` or drop them"
        )))
    }
}
