//! What differs between two recipes, step by step, and what it costs to make it anew.

use serde_json::{Value, json};

use super::{
    format::{self, Align},
    plan as screen, why,
};
use crate::{
    base::span::{Sources, Span},
    plan::{Change, Changes, Plan, Step, StepId},
    schedule::{Schedule, State},
};

/// One of two recipes.
#[derive(Clone, Copy)]
pub struct Recipe<'a> {
    pub name: &'a str,
    pub plan: &'a Plan,
    pub sources: &'a Sources,
}

/// Two recipes, what differs between them, and what of the new one is made.
#[derive(Clone, Copy)]
pub struct Diff<'a> {
    pub old: Recipe<'a>,
    pub new: Recipe<'a>,
    pub changes: &'a Changes,
    /// How the steps of the new recipe stand to the store.
    pub made: &'a Schedule,
    /// What would run, and at what price, were all that is the same made.
    pub price: &'a Schedule,
}

impl Recipe<'_> {
    fn place(&self, span: Span) -> Option<String> {
        self.sources.place(span).map(|place| format!("{}:{}", place.file, place.line))
    }
}

impl Diff<'_> {
    /// One line for each step that differs, under a line of totals.
    #[must_use]
    pub fn screen(&self) -> String {
        let rows = self.new.plan.steps.iter().zip(&self.changes.steps).filter_map(|(step, change)| {
            let (word, what, place) = match change {
                Change::Same { .. } => return None,
                Change::Changed { .. } => ("changed", self.phrase(change), self.places(step, change)),
                Change::Follows { .. } => ("follows", self.phrase(change), None),
                Change::New => ("new", String::new(), self.new.place(step.span)),
            };
            let hit = self.made.get(step.id).is_some_and(|it| it.state == State::Hit);
            let what = if hit { format!("{what}, made already").trim_start_matches(", ").to_owned() } else { what };
            let mut row = vec![format!("  {word}"), step.address.clone(), step.stage.clone(), what];
            row.push(place.unwrap_or_default());
            row.extend(screen::figures(self.price.get(step.id).and_then(|it| it.price.as_ref()).filter(|_| !hit)));
            Some(row)
        });
        let gone = self.changes.gone.iter().filter_map(|id| self.old.plan.step(*id)).map(|step| {
            let place = self.old.place(step.span).unwrap_or_default();
            vec!["  gone".to_owned(), step.address.clone(), step.stage.clone(), String::new(), place]
        });
        let rows: Vec<Vec<String>> = rows.chain(gone).collect();
        let aligns = [[Align::Left; 5], [Align::Right; 5]].concat();
        format!("{}\n{}", self.totals(), format::columns(&rows, &aligns))
    }

    /// `a.rgm -> b.rgm: 20 steps the same, 1 changed, 5 follow; about 3 min 20 s, ..`.
    fn totals(&self) -> String {
        let count = |of: &dyn Fn(&Change) -> bool| self.changes.steps.iter().filter(|it| of(it)).count();
        let same = count(&|it| matches!(it, Change::Same { .. }));
        let counts = [
            (count(&|it| matches!(it, Change::Changed { .. })), "changed"),
            (count(&|it| matches!(it, Change::Follows { .. })), "following"),
            (count(&|it| matches!(it, Change::New)), "new"),
            (self.changes.gone.len(), "gone"),
        ];
        let mut text = format!("{} -> {}: {} the same", self.old.name, self.new.name, format::counted(same, "step"));
        for (count, word) in counts.iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!(", {count} {word}"));
        }
        let open = self.price.steps.iter().filter(|it| it.is_open()).count();
        if open > 0 {
            let (seconds, unknown) = self.price.seconds();
            let rest = match unknown {
                0 => String::new(),
                _ => format!(" and what {} of unknown cost take", format::counted(unknown, "step")),
            };
            text.push_str(&format!(
                "; {} to run: about {}{}{rest}",
                format::counted(open, "step"),
                format::duration(seconds),
                screen::amounts(self.price)
            ));
        }
        text
    }

    /// What differs in one phrase.
    fn phrase(&self, change: &Change) -> String {
        match change {
            Change::Changed { differences, .. } => {
                let Some(first) = differences.first() else { return String::new() };
                let more = match differences.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{} {} -> {}{more}", why::field(first), why::side(&first.old), why::side(&first.new))
            }
            Change::Follows { after, .. } => format!("after {}", why::listed(&self.names(after))),
            Change::Same { .. } | Change::New => String::new(),
        }
    }

    fn names(&self, steps: &[StepId]) -> Vec<String> {
        steps.iter().filter_map(|id| self.new.plan.step(*id)).map(|step| step.address.clone()).collect()
    }

    /// Where both values of the first difference are written.
    fn places(&self, step: &Step, change: &Change) -> Option<String> {
        let Change::Changed { old, differences } = change else { return None };
        let first = differences.first()?;
        let name = first.argument().or(first.input().map(|(port, _)| port))?;
        let span = |step: &Step| step.argument_spans.get(name).copied().unwrap_or(step.span);
        let then = self.old.plan.step(*old).and_then(|step| self.old.place(span(step)));
        let now = self.new.place(span(step));
        match (then, now) {
            (Some(then), Some(now)) if then == now => Some(now),
            (Some(then), Some(now)) => Some(format!("{then} -> {now}")),
            (then, now) => then.or(now),
        }
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let steps = self.new.plan.steps.iter().zip(&self.changes.steps).map(|(step, change)| {
            let old = change.old().and_then(|id| self.old.plan.step(id)).map(|it| it.address.clone());
            let differences = match change {
                Change::Changed { differences, .. } => differences.as_slice(),
                _ => &[],
            };
            let differences = differences
                .iter()
                .map(|it| json!({"field": it.field, "old": why::side(&it.old), "new": why::side(&it.new)}));
            let (word, after) = match change {
                Change::Same { .. } => ("same", Vec::new()),
                Change::Changed { .. } => ("changed", Vec::new()),
                Change::Follows { after, .. } => ("follows", self.names(after)),
                Change::New => ("new", Vec::new()),
            };
            json!({
                "address": step.address,
                "was": old,
                "stage": step.stage,
                "change": word,
                "differences": differences.collect::<Vec<_>>(),
                "place": self.places(step, change),
                "after": after,
                "made": self.made.get(step.id).is_some_and(|it| it.state == State::Hit),
                "estimate": self.price.get(step.id).filter(|it| it.is_open()).and_then(|it| it.price.as_ref()),
            })
        });
        let gone: Vec<String> =
            self.changes.gone.iter().filter_map(|id| self.old.plan.step(*id)).map(|it| it.address.clone()).collect();
        let (seconds, unknown) = self.price.seconds();
        json!({
            "steps": steps.collect::<Vec<_>>(),
            "gone": gone,
            "total": {"seconds": seconds, "bytes": self.price.bytes(), "unknown": unknown},
        })
    }
}
