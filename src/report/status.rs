//! How the newest run stands, from its log: it may be read while the run goes on.

use std::collections::BTreeMap;

use super::{
    cost::Costs,
    format::{self, Align},
    lineage::events,
    lines, why,
};
use crate::{
    base::digest::Digest,
    run::{self, Event, Logged, Status},
    store::Store,
};

/// What a run's log tells so far.
#[derive(Debug, Default)]
pub struct Standing {
    steps: usize,
    made: usize,
    /// Steps that were begun, in that order, with how each stands.
    begun: Vec<(String, String, String)>,
    places: BTreeMap<String, usize>,
    status: Option<Status>,
    started: u64,
    last: u64,
    costs: Costs,
    /// The steps that wait for a person, with their keys and with what to type.
    asking: BTreeMap<String, (Digest, String)>,
}

impl Standing {
    /// Takes the next event in.
    pub fn add(&mut self, Logged { at, event }: &Logged) {
        if self.started == 0 {
            self.started = *at;
        }
        self.last = *at;
        match event {
            Event::Plan { steps, .. } => self.steps = *steps,
            Event::StepHit { address, .. } => {
                self.made += 1;
                if self.places.contains_key(address) {
                    self.set(address, "done", "another process made it".to_owned());
                }
            }
            Event::StepStarted { address, stage, .. } => self.set(address, "run", stage.clone()),
            Event::StepWaits { address, .. } => self.set(address, "wait", "another process is making it".to_owned()),
            Event::StepResumed { address, done } => {
                self.set(address, "run", format!("goes on after {}", format::count(*done)));
            }
            Event::Progress { address, done, total, unit, metrics } => {
                let text = format!("{} of {} {unit}", format::count(*done), format::count(*total));
                let figures = lines::figures(metrics);
                self.set(address, "run", if figures.is_empty() { text } else { format!("{text}, {figures}") });
            }
            Event::StepFinished { address, seconds, cost, .. } => {
                self.made += 1;
                self.set(address, "done", format::duration(*seconds));
                if let Some(cost) = cost {
                    self.costs.add(address, *seconds, cost);
                }
            }
            Event::StepFailed { address, error, .. } => {
                self.set(address, "FAILED", error.lines().next().unwrap_or_default().to_owned());
            }
            Event::StepStopped { address } => self.set(address, "stop", String::new()),
            Event::StepAsks { address, key, tally, command } => {
                self.asking.insert(address.clone(), (*key, command.clone()));
                self.set(address, "review", format!("{}: type `{command}`", why::review(*tally)));
            }
            Event::Reviewed { address, people } => {
                let people: Vec<String> = people.iter().map(lines::person).collect();
                self.set(address, "done", format!("decided on by {}", people.join("; ")));
            }
            Event::StepSkipped { address, after } => self.set(address, "skip", format!("{after} failed")),
            Event::Finished { status, .. } => self.status = Some(*status),
            Event::Gate { .. } | Event::Note { .. } => {}
        }
    }

    /// Looks at how far the reviews are by now.
    fn look(&mut self, store: &Store) {
        for (address, (key, command)) in self.asking.clone() {
            if let Some(tally) = run::tally(&store.review(&key)) {
                let next =
                    if tally.is_complete() { "`regimen run` goes on".to_owned() } else { format!("type `{command}`") };
                self.set(&address, "review", format!("{}: {next}", why::review(tally)));
            }
        }
    }

    fn set(&mut self, address: &str, word: &str, text: String) {
        let next = self.begun.len();
        let at = *self.places.entry(address.to_owned()).or_insert(next);
        let entry = (word.to_owned(), address.to_owned(), text);
        match self.begun.get_mut(at) {
            Some(slot) => *slot = entry,
            None => self.begun.push(entry),
        }
    }

    /// How the run stands, as a headline and a line for each step that was begun.
    #[must_use]
    pub fn text(&self, id: &str, live: bool) -> String {
        let how = match (self.status, live) {
            (Some(Status::Done), _) => "is done",
            (Some(Status::Failed), _) => "failed",
            (Some(Status::GateFailed), _) => "is done, but a condition does not hold",
            (Some(Status::Waiting), _) => "waits for a person",
            (Some(Status::Interrupted), _) => "was interrupted",
            (None, true) => "is going on",
            (None, false) => "was killed; run again to go on",
        };
        let time = format::duration(self.last.saturating_sub(self.started) as f64 / 1e3);
        let rows =
            self.begun.iter().map(|(word, address, text)| vec![format!("  {word}"), address.clone(), text.clone()]);
        let rows: Vec<Vec<String>> = rows.collect();
        let head = format!("run {id} {how}: {} of {} made, {time}", self.made, format::counted(self.steps, "step"));
        let steps = format::columns(&rows, &[Align::Left, Align::Left, Align::Left]);
        let costs = self.costs.table().map(|table| format!("\n{table}")).unwrap_or_default();
        format!("{head}\n{steps}{costs}")
    }
}

/// How the newest run stands; None where there was none.
#[must_use]
pub fn newest(store: &Store) -> Option<String> {
    let (id, standing) = read(store)?;
    Some(standing.text(&id, store.is_live(&id)))
}

/// What the newest run's steps were expected to cost and what they did cost, for programs.
#[must_use]
pub fn json(store: &Store) -> Option<serde_json::Value> {
    let (id, standing) = read(store)?;
    let steps =
        standing.begun.iter().map(|(state, address, _)| serde_json::json!({"address": address, "state": state}));
    Some(serde_json::json!({
        "run": id,
        "live": store.is_live(&id),
        "status": standing.status,
        "seconds": standing.last.saturating_sub(standing.started) as f64 / 1e3,
        "steps": steps.collect::<Vec<_>>(),
        "costs": standing.costs.json(),
    }))
}

fn read(store: &Store) -> Option<(String, Standing)> {
    let id = store.runs().pop()?;
    let mut standing = Standing::default();
    events(&store.run_file(&id)).for_each(|event| standing.add(&event));
    standing.look(store);
    Some((id, standing))
}
