//! The desk between a step and the people who decide on its rows: the step's rows go there, their decisions come back.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    base::{
        decision::{Decisions, Entry},
        digest::Digest,
    },
    stages::{
        StageError,
        review::{Question, Reviews},
    },
    store::{Opening, Review, Store},
};

/// The desk of a step that runs.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) opening: Opening,
    /// What the step's key is made of.
    pub(super) fields: Value,
    pub(super) address: String,
}

impl Reviews for Desk {
    fn ask(&self, question: Question) -> Result<(), StageError> {
        let review = self.opening.review();
        if review.asked().is_none() {
            self.opening.carry(&self.earlier(question.digests, review)?)?;
        }
        Ok(self.opening.ask(&self.fields, &self.address, question.rows, question.guide)?)
    }

    fn decisions(&self) -> Result<Decisions, StageError> {
        Ok(self.opening.review().journal()?.decisions)
    }
}

impl Desk {
    /// What was decided under the same guide on rows that are there again. The newest review that knows a row has the word.
    fn earlier(&self, rows: &[Digest], review: &Review) -> Result<Vec<Entry>, StageError> {
        let mut open: BTreeSet<Digest> = rows.iter().copied().collect();
        for decision in review.journal()?.decisions.standing() {
            open.remove(&decision.row);
        }
        let mut entries = Vec::new();
        for (asked, other) in self.store.reviews() {
            if other.key() == review.key() || of_guide(&asked.fields) != of_guide(&self.fields) {
                continue;
            }
            let decisions = other.journal()?.decisions;
            let known: Vec<Digest> = open.iter().copied().filter(|row| decisions.on(row).is_some()).collect();
            for row in known {
                open.remove(&row);
                let said = decisions.all_on(&row).iter().cloned();
                entries.extend(said.map(|mut decision| {
                    decision.carried.get_or_insert(*other.key());
                    Entry::Decision(decision)
                }));
            }
        }
        Ok(entries)
    }
}

/// The digest of a step's guide.
fn of_guide(fields: &Value) -> Option<&Value> {
    fields.get("files")?.get("guide")
}

/// The desk of a step that is made once more, beside the store: what was decided on it stands.
pub(super) struct Settled(pub(super) Review);

impl Reviews for Settled {
    fn ask(&self, _: Question) -> Result<(), StageError> {
        Ok(())
    }

    fn decisions(&self) -> Result<Decisions, StageError> {
        Ok(self.0.journal()?.decisions)
    }
}
