//! Foresees where the steps of a plan would begin.

use crate::{
    base::{argument, decision::Tally, digest::Digest, units::Amount},
    plan::{Difference, Plan, Side, Step},
    schedule::{Prospect, Schedule, Scheduled, State, Why},
    stages::{
        Stage,
        review::{self, rows},
    },
    store::{Review, Store},
};

/// Fills in where each step that would run begins, as far as the states that are kept tell.
pub fn foresee(schedule: &mut Schedule, plan: &Plan, store: &Store, code: &dyn Fn(&str) -> Option<&'static Stage>) {
    for (step, scheduled) in plan.steps.iter().zip(&mut schedule.steps) {
        if let Some(stage) = code(&step.stage).filter(|_| scheduled.state == State::Run) {
            scheduled.prospect = prospect(step, scheduled, stage, store);
        }
    }
}

fn prospect(step: &Step, scheduled: &Scheduled, stage: &Stage, store: &Store) -> Prospect {
    let asks = stage.name == review::STAGE.name;
    if let Some(tally) = scheduled.key.filter(|_| asks).and_then(|key| tally(&store.review(&key))) {
        return Prospect::Reviewed(tally);
    }
    if let Some(done) = scheduled.key.and_then(|key| store.position(&key)) {
        return Prospect::Resumes { done };
    }
    let Some(Why::Changed(change)) = &scheduled.why else { return Prospect::Afresh };
    let (Some((old, new)), 0, Some(extends)) = (budgets(&change.difference), change.others, stage.extends) else {
        return Prospect::Afresh;
    };
    let arguments = argument::object(&step.arguments);
    match (extends(&arguments), store.position(&change.record)) {
        _ if old.unit != new.unit || old.value >= new.value => Prospect::Afresh,
        (Err(reason), _) => Prospect::StartsOver { reason },
        (Ok(()), Some(done)) => Prospect::Extends { done, budget: old },
        (Ok(()), None) => Prospect::StartsOver { reason: "the states of the shorter run are gone".to_owned() },
    }
}

/// How far a review is; None where there is none, or where it cannot be read.
#[must_use]
pub fn tally(review: &Review) -> Option<Tally> {
    review.asked()?;
    let rows = rows(&review.rows_file()).ok()?;
    let digests: Vec<Digest> = rows.into_iter().map(|(digest, _)| digest).collect();
    Some(review.journal().ok()?.decisions.tally(&digests))
}

/// The budgets, where they are what differs.
fn budgets(difference: &Difference) -> Option<(Amount, Amount)> {
    let amount = |side: &Side| match side {
        Side::Value(value) => serde_json::from_value(value.clone()).ok(),
        _ => None,
    };
    let Difference { field, old, new } = difference;
    if field == "arguments.budget" { amount(old).zip(amount(new)) } else { None }
}
