//! Amounts with a unit: `600k rows`, `20M tokens`, `2 h`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an amount counts. Sizes are counted in bytes and durations in seconds, whatever the text said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Bytes,
    Epochs,
    Rows,
    Samples,
    Seconds,
    Steps,
    Tokens,
}

impl Unit {
    pub const ALL: [Self; 7] =
        [Self::Bytes, Self::Epochs, Self::Rows, Self::Samples, Self::Seconds, Self::Steps, Self::Tokens];

    /// The name of the dimension, which is also its type in the language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Epochs => "epochs",
            Self::Rows => "rows",
            Self::Samples => "samples",
            Self::Seconds => "seconds",
            Self::Steps => "steps",
            Self::Tokens => "tokens",
        }
    }

    /// The unit that a word in a recipe names, and how many base units one of it is.
    #[must_use]
    pub fn parse(word: &str) -> Option<(Self, f64)> {
        Some(match word {
            "token" | "tokens" => (Self::Tokens, 1.0),
            "sample" | "samples" => (Self::Samples, 1.0),
            "row" | "rows" => (Self::Rows, 1.0),
            "step" | "steps" => (Self::Steps, 1.0),
            "epoch" | "epochs" => (Self::Epochs, 1.0),
            "byte" | "bytes" | "B" => (Self::Bytes, 1.0),
            "kB" => (Self::Bytes, 1e3),
            "MB" => (Self::Bytes, 1e6),
            "GB" => (Self::Bytes, 1e9),
            "KiB" => (Self::Bytes, 1024.0),
            "MiB" => (Self::Bytes, 1024.0 * 1024.0),
            "GiB" => (Self::Bytes, 1024.0 * 1024.0 * 1024.0),
            "s" | "second" | "seconds" => (Self::Seconds, 1.0),
            "min" | "minute" | "minutes" => (Self::Seconds, 60.0),
            "h" | "hour" | "hours" => (Self::Seconds, 3600.0),
            "d" | "day" | "days" => (Self::Seconds, 86400.0),
            _ => return None,
        })
    }

    /// Every word that [`Unit::parse`] knows, for suggestions.
    pub const WORDS: [&'static str; 28] = [
        "token", "tokens", "sample", "samples", "row", "rows", "step", "steps", "epoch", "epochs", "byte", "bytes",
        "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "s", "second", "seconds", "min", "minute", "minutes", "h", "hours",
        "days",
    ];
}

/// A number of base units of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    pub value: f64,
    pub unit: Unit,
}

impl Amount {
    #[must_use]
    pub fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }

    /// The amount as a whole count, rounded down; amounts are never negative.
    #[must_use]
    pub fn count(self) -> u64 {
        self.value.max(0.0) as u64
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_unit() {
        assert!(Unit::WORDS.iter().all(|word| Unit::parse(word).is_some()));
        assert_eq!(Unit::parse("GiB"), Some((Unit::Bytes, 1073741824.0)));
        assert_eq!(Unit::parse("parsec"), None);
    }
}
