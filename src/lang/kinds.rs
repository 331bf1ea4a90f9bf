//! What the rows of a data set are.

use std::fmt;

use crate::base::{diagnostic::Diagnostic, span::Span, suggest::did_you_mean};

/// What one row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Text,
    Chat,
    Problem,
    Sample,
    Pair,
    Label,
}

/// Some kinds of rows. Every artifact of a plan has its type, so this is no list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kind {
    pub const ALL: [Self; 6] = [Self::Text, Self::Chat, Self::Problem, Self::Sample, Self::Pair, Self::Label];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Chat => "chat",
            Self::Problem => "problem",
            Self::Sample => "sample",
            Self::Pair => "pair",
            Self::Label => "label",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

impl Kinds {
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn contains(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }

    /// Whether these are among others.
    #[must_use]
    pub fn are_among(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// The kind where there is but one.
    #[must_use]
    pub fn only(self) -> Option<Kind> {
        self.iter().next().filter(|kind| self == Self::from(*kind))
    }

    /// These kinds, in their order.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl From<Kind> for Kinds {
    fn from(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }
}

impl FromIterator<Self> for Kinds {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |sum, kinds| sum | kinds.0))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The complaint about a kind of rows that there is not.
pub(super) fn unknown_kind(word: &str, span: Span) -> Diagnostic {
    let names = Kind::ALL.map(Kind::name);
    Diagnostic::error(span, format!("unknown kind of rows `{word}`"))
        .hint(did_you_mean(word, names).unwrap_or_else(|| format!("the kinds are {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_a_set() {
        assert!(Kinds::ALL.iter().eq(Kind::ALL));
        for kind in Kind::ALL {
            let one = Kinds::from(kind);
            assert!(one.iter().eq([kind]) && one.contains(kind) && one.only() == Some(kind));
            assert!(one.are_among(Kinds::ALL) && !Kinds::ALL.are_among(one));
        }
        let two: Kinds = [Kind::Pair, Kind::Text].map(Kinds::from).into_iter().collect();
        assert!(two.iter().eq([Kind::Text, Kind::Pair]));
        assert_eq!((two.only(), two.contains(Kind::Chat)), (None, false));
        let none: Kinds = [].into_iter().collect();
        assert_eq!((none.is_empty(), none.only()), (true, None));
    }
}
