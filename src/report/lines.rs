//! Each event as one line of text.

use std::collections::BTreeMap;

use super::{format, why};
use crate::{
    base::decision::Person,
    run::{Event, Status},
};

/// The figures that a person watches, the most telling first.
const WATCHED: [&str; 8] =
    ["loss", "reward", "accuracy", "completions/mean_length", "pass1", "acceptance", "rows/dropped", "rows/truncated"];

/// The line of an event. Progress and finds have none of their own: there are too many.
#[must_use]
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Progress { .. } | Event::StepHit { .. } => return None,
        Event::Plan { steps, hits, runs, waits, seconds, .. } => {
            let price = seconds.filter(|_| runs + waits > 0).map(|it| format!("; about {}", format::duration(it)));
            let steps = format::counted(*steps, "step");
            format!("{steps}: {hits} made, {} to run{}", runs + waits, price.unwrap_or_default())
        }
        Event::StepWaits { address, process } => {
            let who = process.map(|id| format!("process {id} is making it"));
            entry("wait", address, &who.unwrap_or_else(|| "it is being made already".to_owned()))
        }
        Event::StepResumed { address, done } => {
            entry("resume", address, &format!("goes on after {}", format::count(*done)))
        }
        Event::StepStarted { address, stage, seconds, .. } => {
            let price = seconds.map(|it| format!(", about {}", format::duration(it))).unwrap_or_default();
            entry("start", address, &format!("{stage}{price}"))
        }
        Event::StepFinished { address, seconds, bytes, metrics, .. } => {
            let figures = figures(metrics);
            let figures = if figures.is_empty() { figures } else { format!(", {figures}") };
            entry("done", address, &format!("{}, {}{figures}", format::duration(*seconds), format::size(*bytes)))
        }
        Event::StepFailed { address, error, log, metrics } => {
            let figures = figures(metrics);
            let figures = if figures.is_empty() { None } else { Some(format!("the last figures are {figures}")) };
            let log = log.as_ref().map(|it| format!("its log is {}", it.display()));
            // What belongs to the line above is set in from it.
            let lines = error.split('\n').map(str::to_owned).chain(figures).chain(log);
            entry("FAILED", address, &lines.collect::<Vec<_>>().join("\n          "))
        }
        Event::StepStopped { address } => entry("stop", address, ""),
        Event::StepAsks { address, tally, command, .. } => {
            entry("review", address, &format!("{}: type `{command}`", why::review(*tally)))
        }
        Event::Reviewed { address, people } => {
            let people: Vec<String> = people.iter().map(person).collect();
            entry("people", address, &people.join("; "))
        }
        Event::StepSkipped { address, after } => entry("skip", address, &format!("{after} failed")),
        Event::Gate { text, passed, figures } => {
            let figures: Vec<String> =
                figures.iter().map(|(name, value)| format!("{name} = {}", format::figure(*value))).collect();
            let word = if *passed { "holds" } else { "FAILED" };
            // Only the report of a program may lack a figure.
            let figures = if figures.is_empty() { "no such figure".to_owned() } else { figures.join(", ") };
            entry(word, &format!("require {text}"), &figures)
        }
        Event::Note { text } => format!("note: {text}"),
        Event::Finished { status, seconds, .. } => {
            let time = format::duration(*seconds);
            match status {
                Status::Done => format!("done in {time}"),
                Status::Failed => format!("failed after {time}: what does not depend on the failed steps is made"),
                Status::GateFailed => format!("done in {time}, but a condition does not hold"),
                Status::Waiting => {
                    format!("waiting for a person after {time}: what does not build on the review is made")
                }
                Status::Interrupted => format!("interrupted after {time}: run again to go on"),
            }
        }
    })
}

/// What a person decided: `ada 12 accepted, 3 refused (2026-01-31 10:20:00 to 2026-01-31 11:00:00)`.
#[must_use]
pub fn person(person: &Person) -> String {
    let counts = [(person.accepted, "accepted"), (person.edited, "edited"), (person.refused, "refused")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> =
        counts.map(|(count, word)| format!("{} {word}", format::count(*count as u64))).collect();
    if person.overruled > 0 {
        parts.push(format!("{} decided otherwise by another", format::count(person.overruled as u64)));
    }
    let (first, last) = (format::date(person.first), format::date(person.last));
    let when = if first == last { first } else { format!("{first} to {last}") };
    format!("{} {} ({when} UTC)", person.name, parts.join(", "))
}

/// How far a step is: `40 %  zero  400 of 1,000 steps, reward 0.6312`.
#[must_use]
pub fn progress(address: &str, done: u64, total: u64, unit: &str, metrics: &BTreeMap<String, f64>) -> String {
    let percent = format!("{} %", done * 100 / total.max(1));
    let figures = figures(metrics);
    let figures = if figures.is_empty() { figures } else { format!(", {figures}") };
    entry(&percent, address, &format!("{} of {} {unit}{figures}", format::count(done), format::count(total)))
}

/// Up to three of the figures that a person watches.
#[must_use]
pub fn figures(metrics: &BTreeMap<String, f64>) -> String {
    let watched = WATCHED.iter().filter_map(|name| Some((name, metrics.get(*name)?)));
    let texts = watched.take(3).map(|(name, value)| {
        let name = name.rsplit('/').next().unwrap_or(name).replace('_', " ");
        format!("{name} {}", format::figure(*value))
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// A line about one step.
pub(super) fn entry(word: &str, address: &str, text: &str) -> String {
    format!("  {word:<6}  {address:<16}  {text}").trim_end().to_owned()
}
