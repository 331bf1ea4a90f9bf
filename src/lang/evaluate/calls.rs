//! Calls: which stage is meant, and what its arguments come to.

use serde_json::{Value as Json, json};

use super::{
    Evaluator,
    coerce::each,
    command::COMMAND,
    constants,
    items::named,
    scope::{FrameId, Scope},
};
use crate::{
    base::{
        diagnostic::Diagnostic,
        predicate::Predicate,
        reward::{Reward, Term},
        span::Span,
        suggest::did_you_mean,
    },
    lang::{
        StepId, foreign,
        labels::Taint,
        names::FUNCTIONS,
        signature::{Parameter, Signature},
        types::Type,
        values::Value,
    },
    syntax::ast::{Argument, Expr, ExprKind, Name},
};

/// The value of an argument, and where it was written.
pub(super) type Placed = (Value, Span);

impl<'a> Evaluator<'a> {
    pub(super) fn call(&mut self, expr: &'a Expr, callee: &'a Expr, arguments: &'a [Argument], scope: &Scope) -> Value {
        let Some(path) = path(callee) else {
            self.look_at(arguments, scope);
            let hint = "a call names a stage, such as `sft(..)` or `merge.linear(..)`";
            return self.mistake(Diagnostic::error(callee.span, "expected the name of a stage").hint(hint));
        };
        if path == COMMAND {
            return self.command(expr, callee.span, arguments, None, scope);
        }
        if let Some(stage) = self.stage(&path, scope) {
            if stage.is_recipe && stage.body.is_none() {
                self.look_at(arguments, scope);
                return Value::MISTAKE;
            }
            let written = self.bind(stage, callee.span, arguments, scope);
            return self.apply(stage, written, expr.span, scope);
        }
        match path.as_str() {
            "cosine" | "linear" => self.curve(&path, callee.span, arguments, scope),
            "path" => self.named_file(callee.span, arguments, scope),
            "refresh" => self.refresh(callee.span, arguments, scope),
            _ => {
                self.look_at(arguments, scope);
                let defined = self.frame(scope.frame).is_some_and(|it| it.contains(&path));
                let complaint = if defined {
                    Diagnostic::error(callee.span, format!("`{path}` is not a stage"))
                } else {
                    Diagnostic::error(callee.span, format!("unknown stage `{path}`"))
                };
                let near = || did_you_mean(&path, self.paths(scope).chain(FUNCTIONS));
                let elsewhere = foreign::function(&path).map(str::to_owned);
                let hint = elsewhere.or_else(near).or_else(|| self.by_last_word(&path, scope));
                self.mistake(complaint.maybe_hint(hint))
            }
        }
    }

    /// `linear_merge` is far from `merge.linear`, but they share two words; `merge.ties` and `ties` share one.
    fn by_last_word(&self, path: &str, scope: &Scope) -> Option<String> {
        let words: Vec<&str> = path.split(['.', '_']).collect();
        let shared = |it: &str| it.split(['.', '_']).filter(|word| words.contains(word)).count();
        let length = |it: &str| it.split(['.', '_']).count();
        let paths = self.paths(scope).filter(|it| shared(it) > 0);
        let nearest = paths.min_by_key(|it| (std::cmp::Reverse(shared(it)), length(it)));
        nearest.map(|it| format!("did you mean `{it}`?"))
    }

    /// The paths of all stages that are known in a scope.
    fn paths(&self, scope: &Scope) -> impl Iterator<Item = &'a str> + use<'a> {
        let stages = self.stages;
        stages.known(self.file(scope)).map(|it| it.path.as_str())
    }

    /// The value of a stage used with these arguments: a step, the result of a composite, or a plain value.
    pub(super) fn apply(
        &mut self,
        stage: &'a Signature<'a>,
        written: Vec<Option<&'a Expr>>,
        span: Span,
        scope: &Scope,
    ) -> Value {
        if stage.is_recipe {
            return self.apply_recipe(stage, written, span, scope);
        }
        let mut values = Vec::with_capacity(written.len());
        for (parameter, written) in stage.parameters.iter().zip(written) {
            let set = if stage.is_value() || self.overrides.is_empty() {
                None
            } else {
                let target = format!("{}.{}", scope.address, parameter.name);
                self.overridden(&target, &parameter.ty, written)
            };
            values.push(self.argument(stage, parameter, set.or(written), span, scope));
        }
        self.invoke(stage, values, span, scope)
    }

    /// The value of a stage used with values that are known.
    pub(super) fn invoke(&mut self, stage: &'a Signature<'a>, values: Vec<Placed>, span: Span, scope: &Scope) -> Value {
        match (&stage.returns, stage.body) {
            (_, Some(body)) => self.expand(stage, body, values.into_iter().map(Some).collect(), span, scope),
            (Type::Reward, None) => {
                let arguments = values.iter().map(|(value, _)| self.argument_of_term(value)).collect();
                let terms = vec![Term { weight: 1.0, name: stage.path.clone(), arguments }];
                Value::Reward(Reward { terms })
            }
            (Type::Predicate, None) => Value::Predicate(Predicate::Is(stage.path.clone())),
            (Type::Amount(units), None) => Value::RowField { name: stage.path.clone(), unit: units.first().copied() },
            (_, None) => self.step(stage, values, span, scope),
        }
    }

    /// The value of one argument: as written or set, or else the default.
    pub(super) fn argument(
        &mut self,
        stage: &'a Signature<'a>,
        parameter: &Parameter<'a>,
        written: Option<&'a Expr>,
        call: Span,
        scope: &Scope,
    ) -> Placed {
        let (value, span) = match (written, parameter.default) {
            (Some(expr), _) => {
                let inner = scope.argument(parameter.name);
                (self.ranged(expr, &parameter.ty, parameter.range, &inner), expr.span)
            }
            (None, Some(default)) => {
                let known = self.constants.known(default.span).cloned();
                let value = known.unwrap_or_else(|| {
                    // Defaults see no names of the recipe.
                    let outside = Scope::new(FrameId::EMPTY, "");
                    let value = self.eval_as(default, &parameter.ty, &outside);
                    if constants::is_kept(&parameter.ty) {
                        self.constants.keep(default.span, &value);
                    }
                    value
                });
                (value, default.span)
            }
            (None, None) if parameter.is_required() => (super::coerce::stand_in(&parameter.ty), call),
            (None, None) => (Value::None, call),
        };
        // Within a stage of its own language a label is what it is on an input.
        if parameter.examines && stage.body.is_some() {
            let label = Name { text: "eval".to_owned(), span: parameter.span };
            let name = Name { text: parameter.name.to_owned(), span: parameter.span };
            return (named(value, &name, Some(&label)), span);
        }
        if parameter.trains
            && let Some(taint) = self.taint(&value)
        {
            self.diagnostics.push(taint.refused(span, &stage.path, parameter.name, &scope.address.to_string()));
        }
        (value, span)
    }

    /// An artifact in a term of a reward stands there as its step, until the step that uses the reward takes it in.
    fn argument_of_term(&mut self, value: &Value) -> Json {
        match value {
            Value::Artifact(artifact) => {
                if let (Some(step), Some(taint)) = (artifact.step, &artifact.taint) {
                    self.tainted.insert(step, taint.clone());
                }
                json!({ STEP: artifact.step.map(|it| it.0) })
            }
            other => other.to_json(),
        }
    }

    /// By which way evaluation data flows into a value: as an artifact in it, or as what a reward asks.
    pub(super) fn taint(&self, value: &Value) -> Option<Taint> {
        match value {
            Value::Reward(reward) => {
                let arguments = reward.terms.iter().flat_map(|term| &term.arguments);
                let mut steps = arguments.filter_map(|it| it.get(STEP)?.as_u64());
                steps.find_map(|step| self.tainted.get(&StepId(step as usize)).cloned())
            }
            Value::Schedule(schedule) => {
                let mut found = None;
                each(schedule, &mut |value| found = found.take().or_else(|| self.taint(value)));
                found
            }
            other => other.artifacts().find_map(|artifact| artifact.taint.clone()),
        }
    }

    /// Evaluates arguments that go nowhere, for the mistakes in them.
    pub(super) fn look_at(&mut self, arguments: &'a [Argument], scope: &Scope) {
        self.dry(|me| arguments.iter().for_each(|it| drop(me.eval(&it.value, scope))));
    }
}

/// The member that marks a step among the arguments of a reward's term.
pub(super) const STEP: &str = "step";

/// `sft`, or `merge.linear`.
pub(super) fn path(callee: &Expr) -> Option<String> {
    match &callee.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Field { of, name } => Some(format!("{}.{}", path(of)?, name.text)),
        _ => None,
    }
}
