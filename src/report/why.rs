//! The reason that a step runs, in one phrase or at length.

use std::collections::BTreeSet;

use super::value;
use crate::{
    base::{decision::Tally, span::Sources},
    plan::{Difference, Plan, Side, StepId},
    schedule::{Prospect, Schedule, State, Why},
    store::Store,
};

/// The reason in one phrase: `lr 1e-3 -> 2e-3`, `after dev1`, `new`.
#[must_use]
pub fn phrase(why: &Why) -> String {
    match why {
        Why::New => "new".to_owned(),
        Why::Lost { object } => format!("its object {} is gone or damaged", object.short()),
        Why::After(steps) => format!("after {}", listed(steps)),
        Why::Changed(change) => {
            let more = if change.others == 0 { String::new() } else { format!(" and {} more", change.others) };
            let Difference { old, new, .. } = &change.difference;
            format!("{} {} -> {}{more}", field(&change.difference), side(old), side(new))
        }
    }
}

/// Where the present value is written, as `file:line`.
#[must_use]
pub fn place(why: &Why, sources: &Sources) -> Option<String> {
    let Why::Changed(change) = why else { return None };
    sources.place(change.span?).map(|place| format!("{}:{}", place.file, place.line))
}

/// Everything that is known of why a step would run, or that it would not.
#[must_use]
pub fn explain(plan: &Plan, schedule: &Schedule, store: &Store, id: StepId, sources: &Sources) -> String {
    let (Some(step), Some(scheduled)) = (plan.step(id), schedule.get(id)) else { return String::new() };
    let mut lines = Vec::new();
    match (scheduled.state, &scheduled.why) {
        (State::Hit, _) => {
            lines.push(format!("{} ({}) is made: nothing runs", step.address, step.stage));
            if let Some(done) = &scheduled.made {
                lines.push(format!("  key     {}", done.key));
                lines.push(format!("  object  {}", done.output));
                let made_as = store.record(&done.key).map(|record| record.address);
                lines.extend(made_as.filter(|it| *it != step.address).map(|it| format!("  it was made as {it}")));
            }
        }
        (State::Run | State::Waits, Some(Why::Changed(change))) => {
            let name = field(&change.difference);
            lines.push(format!("{} ({}) would run: `{name}` has changed", step.address, step.stage));
            lines.push(format!("  then  {}", side(&change.difference.old)));
            lines.push(format!("  now   {}", side(&change.difference.new)));
            if let Some(place) = change.span.and_then(|span| sources.place(span)) {
                let text = sources.get(change.span.unwrap_or_default().source).map_or("", |source| &source.text);
                let line = text.lines().nth(place.line - 1).unwrap_or_default().trim();
                lines.push(format!("  at    {}:{}: {line}", place.file, place.line));
            }
            lines.push(format!("  compared with record {} of {}", change.record.short(), change.than));
            if change.others > 0 {
                lines.push(format!("  {} differ as well", super::format::counted(change.others, "further field")));
            }
        }
        (State::Run | State::Waits, why) => {
            let why = match why {
                Some(Why::After(steps)) => format!("{} must be made first", listed(steps)),
                Some(Why::New) | None => "never made: this store holds nothing of its stage".to_owned(),
                Some(why) => phrase(why),
            };
            lines.push(format!("{} ({}) would run: {why}", step.address, step.stage));
        }
    }
    if let (State::Waits, Some(Why::Changed(_))) = (scheduled.state, &scheduled.why) {
        let open = open_inputs(plan, schedule, id).into_iter().filter_map(|id| plan.step(id));
        let open: Vec<String> = open.map(|step| step.address.clone()).collect();
        lines.push(format!("  {} must be made first", listed(&open)));
    }
    if scheduled.state == State::Waits {
        lines.extend(unknown(plan, schedule, id, sources));
    }
    if let Prospect::Reviewed(tally) = scheduled.prospect {
        lines.push(format!("  {}: `regimen review {}`", review(tally), step.address));
    }
    lines.join("\n") + "\n"
}

/// Of a step that waits: the inputs that are not known yet, and those steps further up that would run first, with the
/// reason of each.
fn unknown(plan: &Plan, schedule: &Schedule, id: StepId, sources: &Sources) -> Vec<String> {
    const MOST: usize = 5;
    let line = |what: &str, id: StepId| {
        let (step, why) = (plan.step(id)?, schedule.get(id)?.why.as_ref()?);
        let place = place(why, sources).map(|it| format!("  {it}")).unwrap_or_default();
        Some(format!("  {what}  {} ({}): {}{place}", step.address, step.stage, phrase(why)))
    };
    let inputs = open_inputs(plan, schedule, id);
    let (mut seen, mut open, mut first) = (inputs.clone(), inputs.clone(), BTreeSet::new());
    while let Some(id) = open.pop_first() {
        if schedule.get(id).is_some_and(|it| it.state == State::Run) {
            first.insert(id);
        }
        open.extend(open_inputs(plan, schedule, id).into_iter().filter(|it| seen.insert(*it)));
    }
    // What an input says itself need not be said again.
    first.retain(|it| !inputs.contains(it));
    let groups = [("needs ", inputs), ("begins", first)];
    let mut lines = Vec::new();
    for (what, steps) in groups {
        let more = steps.len().saturating_sub(MOST);
        lines.extend(steps.into_iter().take(MOST).filter_map(|id| line(what, id)));
        if more > 0 {
            lines.push(format!("  {what}  {}", super::format::counted(more, "further step")));
        }
    }
    lines
}

/// The inputs of a step that are not made.
fn open_inputs(plan: &Plan, schedule: &Schedule, id: StepId) -> BTreeSet<StepId> {
    let inputs = plan.step(id).into_iter().flat_map(|step| step.inputs.values().flatten());
    inputs.filter(|id| schedule.get(**id).is_none_or(|it| it.made.is_none())).copied().collect()
}

/// How far a review is, in one phrase: `waiting for a person (12 of 40 decided)`.
#[must_use]
pub fn review(tally: Tally) -> String {
    if tally.is_complete() { format!("reviewed ({tally})") } else { format!("waiting for a person ({tally})") }
}

/// An argument goes by its own name, as in the recipe.
pub(super) fn field(difference: &Difference) -> &str {
    difference.field.strip_prefix("arguments.").unwrap_or(&difference.field)
}

pub(super) fn side(side: &Side) -> String {
    match side {
        Side::Absent => value::text(None),
        Side::Value(value) => value::text(Some(value)),
        Side::Content(digest) => digest.short(),
    }
}

pub(super) fn listed(steps: &[String]) -> String {
    match steps {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        _ => steps.join(", "),
    }
}
