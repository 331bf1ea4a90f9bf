//! What would run, as one aligned screen or as JSON.

use serde_json::{Value, json};

use super::{
    format::{self, Align},
    why,
};
use crate::{
    base::span::Sources,
    plan::{Plan, StepId},
    schedule::{Prospect, Schedule, Scheduled, State},
};

/// One line for each step under a line of totals.
#[must_use]
pub fn screen(plan: &Plan, schedule: &Schedule, sources: &Sources) -> String {
    let rows = plan.steps.iter().zip(&schedule.steps).map(|(step, scheduled)| {
        let why = scheduled.why.as_ref();
        vec![
            format!("  {}", state(scheduled)),
            step.address.clone(),
            step.stage.clone(),
            why.map(why::phrase).unwrap_or_default() + &beginning(&scheduled.prospect),
            why.and_then(|why| why::place(why, sources)).unwrap_or_default(),
            scheduled.price.as_ref().map(|price| format::duration(price.seconds)).unwrap_or_default(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let aligns = [Align::Left, Align::Left, Align::Left, Align::Left, Align::Left, Align::Right];
    format!("{}\n{}", totals(schedule), format::columns(&rows, &aligns))
}

/// `run`, or a word for a step that need not begin afresh.
fn state(scheduled: &Scheduled) -> &'static str {
    match &scheduled.prospect {
        Prospect::Resumes { .. } => "resume",
        Prospect::Extends { .. } => "extend",
        Prospect::Afresh | Prospect::StartsOver { .. } => scheduled.state.name(),
    }
}

/// Where the step begins, said behind the reason that it runs.
fn beginning(prospect: &Prospect) -> String {
    match prospect {
        Prospect::Afresh => String::new(),
        Prospect::Resumes { done } => format!("; goes on after {}", format::count(*done)),
        Prospect::Extends { done, .. } => {
            format!("; goes on after {}, where the shorter run ended", format::count(*done))
        }
        Prospect::StartsOver { reason } => format!("; starts over: {reason}"),
    }
}

/// `12 steps: 3 made, 2 to run, 7 waiting; about 12 min 30 s`.
#[must_use]
pub fn totals(schedule: &Schedule) -> String {
    let states = [(State::Hit, "made"), (State::Run, "to run"), (State::Waits, "waiting")];
    let states = states.map(|(state, name)| (schedule.count(state), name));
    let states: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let steps = format::counted(schedule.steps.len(), "step");
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    let open = schedule.steps.iter().filter(|step| step.state != State::Hit);
    let (seconds, unknown) = schedule.seconds();
    let price = match unknown {
        0 if open.clone().count() == 0 => String::new(),
        0 => {
            let bytes = open.filter_map(|step| step.price.as_ref()).map(|price| price.bytes).sum();
            format!("; about {}, {}", format::duration(seconds), format::size(bytes))
        }
        _ if seconds > 0.0 => {
            format!(
                "; about {} and what {} of unknown cost take",
                format::duration(seconds),
                format::counted(unknown, "step")
            )
        }
        _ => String::new(),
    };
    format!("{steps}{states}{price}")
}

/// The same for programs. A step that waits is one that runs: its state is `run`, its key null.
#[must_use]
pub fn json(plan: &Plan, schedule: &Schedule, sources: &Sources) -> Value {
    let address = |id: &StepId| plan.step(*id).map(|step| step.address.clone());
    let steps = plan.steps.iter().zip(&schedule.steps).map(|(step, scheduled)| {
        let inputs = step.inputs.iter().map(|(port, ids)| (port.clone(), ids.iter().filter_map(address).collect()));
        let inputs: serde_json::Map<String, Value> = inputs.collect();
        let why = scheduled.why.as_ref();
        json!({
            "address": step.address,
            "stage": step.stage,
            "state": if scheduled.state == State::Hit { "hit" } else { "run" },
            "prospect": scheduled.prospect,
            "key": scheduled.key,
            "inputs": inputs,
            "why": why.map(why::phrase),
            "place": why.and_then(|why| why::place(why, sources)),
            "estimate": scheduled.price,
        })
    });
    json!({"steps": steps.collect::<Vec<_>>()})
}
