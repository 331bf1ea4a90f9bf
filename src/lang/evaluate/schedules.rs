//! Values that change over the steps of a stage: curves, phases, and how often something is refreshed.

use super::{Evaluator, calls::Placed, scope::Scope};
use crate::{
    base::{diagnostic::Diagnostic, schedule::Schedule, span::Span, suggest::did_you_mean, units::Unit},
    lang::{signature::Signature, types::Type, values::Value},
    syntax::ast::{Argument, Expr, ExprKind},
};

impl<'a> Evaluator<'a> {
    /// `cosine(5e-5 to 5e-6, warmup = 20 steps, decay = 100 steps)` or `linear(..)`.
    pub(super) fn curve(&mut self, name: &str, callee: Span, arguments: &'a [Argument], scope: &Scope) -> Value {
        let (mut ends, mut warmup, mut decay) = (None, 0, None);
        for argument in arguments {
            match (&argument.name, &argument.value.kind) {
                (None, ExprKind::Range { from, to }) if ends.is_none() => {
                    let number = |me: &mut Self, it: &'a Expr| me.eval_as(it, &Type::Float, scope);
                    ends = Some((number(self, from), number(self, to)));
                }
                (Some(word), _) if word.text == "warmup" => warmup = self.steps(&argument.value, scope).unwrap_or(0),
                (Some(word), _) if word.text == "decay" => decay = self.steps(&argument.value, scope),
                (Some(word), _) => {
                    let hint = did_you_mean(&word.text, ["warmup", "decay"])
                        .unwrap_or_else(|| "it takes `warmup` and `decay`".into());
                    let message = format!("`{name}` has no argument `{}`", word.text);
                    self.diagnostics.push(Diagnostic::error(word.span, message).hint(hint));
                }
                (None, _) => {
                    let message = format!("`{name}` goes from one number to another");
                    let hint = format!("write `{name}(1e-3 to 1e-4)`");
                    self.diagnostics.push(Diagnostic::error(argument.value.span, message).hint(hint));
                    ends.get_or_insert((Value::MISTAKE, Value::MISTAKE));
                }
            }
        }
        let Some((from, to)) = ends else {
            let complaint = Diagnostic::error(callee, format!("`{name}` needs the two ends of the curve"));
            return self.mistake(complaint.hint(format!("write `{name}(1e-3 to 1e-4)`")));
        };
        Value::Schedule(Box::new(match name {
            "cosine" => Schedule::Cosine { from, to, warmup, decay },
            _ => Schedule::Linear { from, to, warmup, decay },
        }))
    }

    /// `refresh(400 steps)`: how often, as the number of steps between.
    pub(super) fn refresh(&mut self, callee: Span, arguments: &'a [Argument], scope: &Scope) -> Value {
        match arguments {
            [Argument { name: None, value }] => self.eval_as(value, &Type::Amount(vec![Unit::Steps]), scope),
            _ => {
                let complaint = Diagnostic::error(callee, "`refresh` takes the number of steps between");
                self.mistake(complaint.hint("write `refresh(400 steps)`"))
            }
        }
    }

    /// `first then next after N steps`.
    pub(super) fn then(&mut self, first: Value, next: Value, after: &'a Expr, scope: &Scope) -> Value {
        let after = self.steps(after, scope);
        if first.is_mistake() || next.is_mistake() {
            return Value::MISTAKE;
        }
        let phase = |value| match value {
            Value::Schedule(schedule) => schedule,
            other => Box::new(Schedule::Constant(other)),
        };
        match after {
            Some(after) => Value::Schedule(Box::new(Schedule::Then { first: phase(first), next: phase(next), after })),
            None => Value::MISTAKE,
        }
    }

    /// Warns where a curve or a phase takes longer than the stage has steps: the rest of the schedule is never reached.
    pub(super) fn check_lengths(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        let budget = stage.position("budget").and_then(|at| values.get(at));
        let Some((Value::Amount(budget), _)) = budget.filter(|(value, _)| is_in_steps(value)) else { return };
        // A default of the library is meant for stages of any length.
        for (value, span) in values.iter().filter(|(_, span)| !span.source.is_library()) {
            let Value::Schedule(schedule) = value else { continue };
            if let Some(message) = outlasts(schedule, budget.count(), "the stage") {
                let hint = "what comes after is never reached: raise the budget or begin earlier";
                self.diagnostics.push(Diagnostic::warning(*span, message).hint(hint));
            }
        }
    }

    /// A whole number of steps.
    fn steps(&mut self, expr: &'a Expr, scope: &Scope) -> Option<u64> {
        match self.eval_as(expr, &Type::Amount(vec![Unit::Steps]), scope) {
            Value::Amount(amount) => Some(amount.count()),
            _ => None,
        }
    }
}

fn is_in_steps(value: &Value) -> bool {
    matches!(value, Value::Amount(amount) if amount.unit == Unit::Steps)
}

/// What of a schedule takes longer than the so many steps of what it is for.
fn outlasts(schedule: &Schedule<Value>, total: u64, of: &str) -> Option<String> {
    match schedule {
        Schedule::Constant(_) => None,
        Schedule::Cosine { warmup, .. } | Schedule::Linear { warmup, .. } => {
            (*warmup > total).then(|| format!("the warm-up takes {warmup} steps, {of} has {total}"))
        }
        Schedule::Then { after, .. } if *after >= total => {
            Some(format!("the next phase begins after {after} steps, {of} has {total}"))
        }
        Schedule::Then { first, next, after } => {
            outlasts(first, *after, "its phase").or_else(|| outlasts(next, total - after, "its phase"))
        }
    }
}
