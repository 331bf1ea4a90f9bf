//! What would run, as one aligned screen or as JSON.

use serde_json::{Value, json};

use super::{
    format::{self, Align, Columns},
    why,
};
use crate::{
    base::span::Sources,
    plan::{Plan, StepId},
    schedule::{Price, Prospect, Schedule, Scheduled, State},
};

/// Another machine that a plan is priced for; every rate is that of one device.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    pub name: String,
    pub devices: usize,
    pub training: f64,
    pub sampling: f64,
    pub stream: Option<f64>,
}

/// One line for each step under a line of totals.
#[must_use]
pub fn screen(plan: &Plan, schedule: &Schedule, sources: &Sources, elsewhere: Option<&Elsewhere>) -> String {
    let mut columns = Columns::new(&[[Align::Left; 5].as_slice(), &[Align::Right; 6]].concat());
    for (step, scheduled) in plan.steps.iter().zip(&schedule.steps) {
        let (why, price) = (scheduled.why.as_ref(), scheduled.price.as_ref());
        let reason = why.map(why::phrase).unwrap_or_default() + &beginning(&scheduled.prospect);
        let place = why.and_then(|why| why::place(why, sources)).unwrap_or_default();
        let [tokens, flops, seconds, memory, bytes] = figures(price);
        let hours = elsewhere.map(|it| it.device_hours(price)).unwrap_or_default();
        let state = format!("  {}", state(scheduled));
        columns.row(&[
            state.as_str(),
            &step.address,
            &step.stage,
            &reason,
            &place,
            &tokens,
            &flops,
            &seconds,
            &memory,
            &bytes,
            &hours,
        ]);
    }
    let machine = elsewhere.map(|it| format!("{}\n", it.line(schedule))).unwrap_or_default();
    format!("{}\n{machine}{}", totals(schedule), columns.finish())
}

/// The same where every step is made; for each its address and its stage.
#[must_use]
pub fn made<'a>(steps: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let (mut columns, mut count) = (Columns::new(&[Align::Left; 3]), 0);
    let state = format!("  {}", State::Hit.name());
    for (address, stage) in steps {
        columns.row(&[&state, address, stage]);
        count += 1;
    }
    format!("{}: {count} made\n{}", format::counted(count, "step"), columns.finish())
}

impl Elsewhere {
    /// `priced for 512 x H800: 343 TFLOP/s each in training, 183 TFLOP/s in sampling, 38 tokens/s an answer; 147k device-hours`.
    fn line(&self, schedule: &Schedule) -> String {
        let open = schedule.steps.iter().filter(|step| step.is_open()).filter_map(|step| step.price.as_ref());
        let hours = self.hours(open.map(|it| it.alone).sum());
        let [training, sampling] = [self.training, self.sampling].map(|it| format::short(it, "FLOP"));
        let stream = self.stream.map(|it| format!(", {it} tokens/s an answer")).unwrap_or_default();
        format!(
            "priced for {} x {}: {training}/s each in training, {sampling}/s in sampling{stream}; {} device-hours",
            self.devices,
            self.name,
            format::short(hours, "").trim_end()
        )
    }

    fn device_hours(&self, price: Option<&Price>) -> String {
        price.map(|it| format!("{} device-h", format::short(self.hours(it.alone), "").trim_end())).unwrap_or_default()
    }

    fn hours(&self, seconds: f64) -> f64 {
        seconds * self.devices as f64 / 3_600.0
    }
}

/// What the steps of some addresses minimise, under the plan: those that have one formula together.
#[must_use]
pub fn formulas(steps: &[(String, Vec<String>)]) -> String {
    let mut told: Vec<(&[String], Vec<&str>)> = Vec::new();
    for (address, lines) in steps {
        match told.iter_mut().find(|(known, _)| known == lines) {
            Some((_, addresses)) => addresses.push(address),
            None => told.push((lines, vec![address])),
        }
    }
    let mut text = String::new();
    for (lines, addresses) in told {
        text.push_str(&format!("\n{}\n", addresses.join(", ")));
        lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

/// `run`, or a word for a step that need not begin afresh.
fn state(scheduled: &Scheduled) -> &'static str {
    match &scheduled.prospect {
        Prospect::Resumes { .. } => "resume",
        Prospect::Extends { .. } => "extend",
        Prospect::Reviewed(tally) if !tally.is_complete() => "review",
        Prospect::Afresh | Prospect::StartsOver { .. } | Prospect::Reviewed(_) => scheduled.state.name(),
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
        Prospect::Reviewed(tally) => format!("; {}", why::review(*tally)),
    }
}

/// Tokens, floating-point operations, time, memory, disk.
pub(super) fn figures(price: Option<&Price>) -> [String; 5] {
    let Some(price) = price else { return Default::default() };
    let amount = |value: f64, unit: &str| if value > 0.0 { format::short(value, unit) } else { String::new() };
    [
        amount(price.tokens, "tokens"),
        amount(price.flops, "FLOP"),
        format::duration(price.seconds),
        price.memory.map(format::size).unwrap_or_default(),
        format::size(price.bytes),
    ]
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
        0 => format!("; about {}{}", format::duration(seconds), amounts(schedule)),
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

/// `, 5.1M tokens, 13.4 TFLOP, 96.2 MiB of memory, 3.0 MiB of disk`: what all steps that would run come to.
#[must_use]
pub fn amounts(schedule: &Schedule) -> String {
    let sum = |of: &dyn Fn(&Price) -> f64| -> f64 {
        schedule.steps.iter().filter(|step| step.is_open()).filter_map(|step| step.price.as_ref()).map(of).sum()
    };
    let (tokens, flops) = (sum(&|it| it.tokens), sum(&|it| it.flops));
    let mut text = String::new();
    for (value, unit) in [(tokens, "tokens"), (flops, "FLOP")] {
        if value > 0.0 {
            text.push_str(&format!(", {}", format::short(value, unit)));
        }
    }
    if let Some((_, memory)) = schedule.forecast.filter(|(_, memory)| *memory > 0) {
        text.push_str(&format!(", {} of memory", format::size(memory)));
    }
    text.push_str(&format!(", {} of disk", format::size(schedule.bytes())));
    text
}

/// The same for programs. A step that waits is one that runs: its state is `run`, its key null.
#[must_use]
pub fn json(plan: &Plan, schedule: &Schedule, sources: &Sources, elsewhere: Option<&Elsewhere>) -> Value {
    let address = |id: &StepId| plan.step(*id).map(|step| step.address.clone());
    let steps = plan.steps.iter().zip(&schedule.steps).map(|(step, scheduled)| {
        let inputs = step.inputs.iter().map(|(port, ids)| (port.to_string(), ids.iter().filter_map(address).collect()));
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
    let steps = steps.zip(&schedule.steps).map(|(mut step, scheduled)| {
        if let (Some(elsewhere), Some(price)) = (elsewhere, &scheduled.price) {
            step["device_hours"] = elsewhere.hours(price.alone).into();
        }
        step
    });
    let (seconds, unknown) = schedule.seconds();
    let open = || schedule.steps.iter().filter_map(|step| step.price.as_ref().filter(|_| step.is_open()));
    let total = json!({
        "seconds": seconds,
        "tokens": open().map(|it| it.tokens).sum::<f64>(),
        "flops": open().map(|it| it.flops).sum::<f64>(),
        "memory": schedule.forecast.map(|(_, memory)| memory),
        "bytes": schedule.bytes(),
        "unknown": unknown,
    });
    json!({"steps": steps.collect::<Vec<_>>(), "total": total})
}
