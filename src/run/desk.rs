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
    store::{Asked, Opening, Review, Store, StoreError},
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
            let same_guide = |asked: &Asked| of_guide(&asked.fields) == of_guide(&self.fields);
            self.opening.carry(&earlier(&self.store, review, question.digests, same_guide)?)?;
        }
        Ok(self.opening.ask(&self.fields, &self.address, question.rows, question.guide)?)
    }

    fn decisions(&self) -> Result<Decisions, StageError> {
        Ok(self.opening.review().journal()?.decisions)
    }
}

/// What was decided in other reviews, of which `fits` tells, on rows that are open in this one. The newest review that
/// knows a row has the word.
///
/// # Errors
/// Where a journal cannot be read.
pub fn earlier(
    store: &Store,
    review: &Review,
    rows: &[Digest],
    fits: impl Fn(&Asked) -> bool,
) -> Result<Vec<Entry>, StoreError> {
    let decided = review.journal()?.decisions;
    let mut open: BTreeSet<Digest> = rows.iter().copied().filter(|row| decided.on(row).is_none()).collect();
    let mut entries = Vec::new();
    for (asked, other) in store.reviews() {
        if other.key() == review.key() || !fits(&asked) {
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
