//! Runs of words that two texts share, by which evaluation data is found among data to learn from; and texts that are one
//! text but for case and spaces.

use std::collections::BTreeSet;

/// Runs of words that are to be found again.
///
/// Words are what spaces part, in lower case. A text shorter than a run is a run by itself, so that short questions are
/// found where they stand alone.
#[derive(Clone, Debug)]
pub struct Overlap {
    words: usize,
    runs: BTreeSet<String>,
}

impl Overlap {
    /// Nothing yet, and runs of so many words.
    #[must_use]
    pub fn new(words: usize) -> Self {
        Self { words: words.max(1), runs: BTreeSet::new() }
    }

    /// Adds every run of a text.
    pub fn add(&mut self, text: &str) {
        let runs = self.runs(text);
        self.runs.extend(runs);
    }

    /// Whether a text has a run that was added.
    #[must_use]
    pub fn meets(&self, text: &str) -> bool {
        !self.runs.is_empty() && self.runs(text).iter().any(|run| self.runs.contains(run))
    }

    fn runs(&self, text: &str) -> Vec<String> {
        let text = normalized(text);
        let words: Vec<&str> = text.split(' ').filter(|it| !it.is_empty()).collect();
        if words.is_empty() {
            return Vec::new();
        }
        words.windows(self.words.min(words.len())).map(|run| run.join(" ")).collect()
    }
}

/// A text in lower case, with one space wherever it has some.
#[must_use]
pub fn normalized(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_run_is_found_and_a_shorter_one_is_not() {
        let mut known = Overlap::new(4);
        known.add("How many apples does  Tom have, if he eats two?");
        known.add("3+5=?");
        assert!(known.meets("Today: how many\nAPPLES does Ann have?"));
        assert!(!known.meets("how many apples did Tom have, then?"));
        assert!(known.meets(" 3+5=? "));
        assert!(!known.meets("what is 3+5=? now, please"), "a short text is found where it stands alone");
        assert!(!known.meets(""));
        assert!(!Overlap::new(4).meets("3+5=?"));
    }
}
