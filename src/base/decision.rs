//! What people decide about the rows of a data set, and what their decisions come to together.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, FieldHasher};

/// What is to become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Accept,
    Refuse,
    /// Accepted in other words.
    Edit,
    /// An earlier decision is taken back.
    Undecided,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Accept, Self::Refuse, Self::Edit, Self::Undecided];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Edit => "edit",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One person's word on one row. Rows of the same bytes are one row, and are decided together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The digest of the row as its line holds it.
    pub row: Digest,
    pub verdict: Verdict,
    /// Why it is refused, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The line that takes the row's place, where it is edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
    pub by: String,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// The key of the review that it was made in, where that was an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Digest>,
}

impl Decision {
    /// Whether two decisions come to the same, whoever made them.
    #[must_use]
    pub fn says(&self, other: &Self) -> bool {
        (self.verdict, &self.reason, &self.edited) == (other.verdict, &other.reason, &other.edited)
    }
}

/// One entry in the journal of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase")]
pub enum Entry {
    Decision(Decision),
    /// Whatever is undecided stays out.
    Done {
        by: String,
        at: u64,
    },
    /// It is not done after all.
    Reopen {
        by: String,
        at: u64,
    },
}

/// All that was decided in a review, the latest word of each person on each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// By row; of the decisions on one row the last one stands.
    rows: BTreeMap<Digest, Vec<Decision>>,
    done: bool,
}

/// How far a review is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub decided: usize,
    pub rows: usize,
    /// Whether somebody said that what is undecided stays out.
    pub done: bool,
}

impl Tally {
    /// Whether nothing is left for a person to do.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.done || self.decided == self.rows
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} decided", self.decided, self.rows)
    }
}

/// What one person contributed to a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    pub accepted: usize,
    pub refused: usize,
    pub edited: usize,
    /// Rows on which another person said something else later.
    pub overruled: usize,
    /// When the first and the last of the decisions that are counted here were made, in milliseconds since the epoch.
    pub first: u64,
    pub last: u64,
}

/// A review as the record of its step keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The digest of all decisions that stand: with the key's fields it says what the step had to make.
    pub decisions: Digest,
    /// Who decided, by name.
    pub people: Vec<Person>,
}

impl FromIterator<Entry> for Decisions {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let mut decisions = Self::default();
        entries.into_iter().for_each(|entry| decisions.add(entry));
        decisions
    }
}

impl Decisions {
    /// Takes in what was said next.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Decision(decision) => {
                let said = self.rows.entry(decision.row).or_default();
                said.retain(|earlier| earlier.by != decision.by);
                said.push(decision);
            }
            Entry::Done { .. } => self.done = true,
            Entry::Reopen { .. } => self.done = false,
        }
    }

    /// The decision on a row that stands; none where it is open.
    #[must_use]
    pub fn on(&self, row: &Digest) -> Option<&Decision> {
        self.rows.get(row)?.last().filter(|it| it.verdict != Verdict::Undecided)
    }

    /// What each person said last about a row, in the order in which they did.
    #[must_use]
    pub fn all_on(&self, row: &Digest) -> &[Decision] {
        self.rows.get(row).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every decision that stands.
    pub fn standing(&self) -> impl Iterator<Item = &Decision> {
        self.rows.keys().filter_map(|row| self.on(row))
    }

    /// How many of these rows are decided.
    #[must_use]
    pub fn tally(&self, rows: &[Digest]) -> Tally {
        let decided = rows.iter().filter(|row| self.on(row).is_some()).count();
        Tally { decided, rows: rows.len(), done: self.done }
    }

    /// Who decided what, by name.
    #[must_use]
    pub fn people(&self) -> Vec<Person> {
        let mut people: BTreeMap<&str, Person> = BTreeMap::new();
        for said in self.rows.values() {
            for decision in said {
                let person = people.entry(&decision.by).or_insert_with(|| Person {
                    name: decision.by.clone(),
                    accepted: 0,
                    refused: 0,
                    edited: 0,
                    overruled: 0,
                    first: decision.at,
                    last: decision.at,
                });
                match decision.verdict {
                    Verdict::Accept => person.accepted += 1,
                    Verdict::Refuse => person.refused += 1,
                    Verdict::Edit => person.edited += 1,
                    Verdict::Undecided => {}
                }
                person.overruled += usize::from(said.last().is_some_and(|last| !last.says(decision)));
                person.first = person.first.min(decision.at);
                person.last = person.last.max(decision.at);
            }
        }
        people.into_values().collect()
    }

    /// What a record keeps of them.
    #[must_use]
    pub fn reviewed(&self) -> Reviewed {
        let mut hasher = FieldHasher::new();
        for decision in self.standing() {
            hasher.field("row", decision.row.hex().as_bytes());
            hasher.field("verdict", decision.verdict.name().as_bytes());
            hasher.field("reason", decision.reason.as_deref().unwrap_or_default().as_bytes());
            hasher.field("edited", decision.edited.as_deref().unwrap_or_default().as_bytes());
        }
        hasher.field("done", &[u8::from(self.done)]);
        Reviewed { decisions: hasher.finish(), people: self.people() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(row: &str, verdict: Verdict, by: &str, at: u64) -> Entry {
        let row = Digest::of(row.as_bytes());
        Entry::Decision(Decision { row, verdict, reason: None, edited: None, by: by.to_owned(), at, carried: None })
    }

    #[test]
    fn the_last_word_on_a_row_stands_and_each_person_is_told_apart() {
        let rows = ["a", "b", "c", "d"].map(|row| Digest::of(row.as_bytes()));
        let mut decisions: Decisions = [
            said("a", Verdict::Accept, "ada", 10),
            said("b", Verdict::Refuse, "ada", 20),
            said("a", Verdict::Refuse, "bob", 30),
            said("c", Verdict::Accept, "bob", 40),
            said("c", Verdict::Undecided, "ada", 50),
            said("b", Verdict::Accept, "ada", 60),
        ]
        .into_iter()
        .collect();
        assert_eq!(decisions.tally(&rows), Tally { decided: 2, rows: 4, done: false });
        assert_eq!(decisions.on(&rows[0]).map(|it| (it.verdict, it.by.as_str())), Some((Verdict::Refuse, "bob")));
        assert_eq!(decisions.on(&rows[2]), None);
        let person = |name: &str, [accepted, refused, edited, overruled]: [usize; 4], first, last| Person {
            name: name.to_owned(),
            accepted,
            refused,
            edited,
            overruled,
            first,
            last,
        };
        assert_eq!(decisions.people(), [person("ada", [2, 0, 0, 1], 10, 60), person("bob", [1, 1, 0, 1], 30, 40)]);
        let before = decisions.reviewed().decisions;
        decisions.add(Entry::Done { by: "ada".to_owned(), at: 70 });
        assert!(decisions.tally(&rows).is_complete());
        assert_ne!(decisions.reviewed().decisions, before);
        // The same word once more, by somebody else and at another time, comes to the same.
        let same: Decisions = [
            said("b", Verdict::Accept, "eve", 1),
            said("a", Verdict::Refuse, "eve", 2),
            Entry::Done { by: "eve".to_owned(), at: 3 },
        ]
        .into_iter()
        .collect();
        assert_eq!(same.reviewed().decisions, decisions.reviewed().decisions);
    }
}
