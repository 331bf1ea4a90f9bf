//! Fits values to the types that are asked for.

use super::{
    Evaluator,
    scope::{FrameId, Scope},
};
use crate::{
    base::{
        diagnostic::Diagnostic,
        schedule::Schedule,
        span::Span,
        suggest::did_you_mean,
        units::{Amount, Unit},
    },
    lang::{
        kinds::Kinds,
        signature::Signature,
        types::Type,
        values::{Artifact, Element, Value},
    },
    syntax::ast::{Expr, ExprKind},
};

impl<'a> Evaluator<'a> {
    /// The value of an expression of which the type is known, so that mistakes are found at its very parts.
    pub(super) fn eval_as(&mut self, expr: &'a Expr, ty: &Type, scope: &Scope) -> Value {
        match (&expr.kind, ty) {
            (ExprKind::If { condition, then, otherwise }, _) => {
                let mut branch = |me: &mut Self, taken| me.eval_as(if taken { then } else { otherwise }, ty, scope);
                self.branches(condition, scope, &mut branch).0
            }
            (ExprKind::List(_) | ExprKind::Then { .. }, Type::Optional(inner)) => self.eval_as(expr, inner, scope),
            (ExprKind::List(elements), Type::List(inner)) => {
                self.list(expr.span, elements, scope, &mut |me, it, scope| me.eval_as(it, inner, scope))
            }
            (ExprKind::Then { first, next, after }, Type::Schedule(_)) => {
                let (first, next) = (self.eval_as(first, ty, scope), self.eval_as(next, ty, scope));
                let value = self.then(first, next, after, scope);
                self.bounded(value, expr.span)
            }
            (ExprKind::Name(word), Type::Text | Type::Choice(_)) if !self.is_known(word, scope) => {
                let hint = format!("a text stands between double quotes: `\"{word}\"`");
                self.mistake(Diagnostic::error(expr.span, format!("unknown name `{word}`")).hint(hint))
            }
            _ => {
                let value = self.eval(expr, scope);
                self.coerce(value, ty, expr.span, scope)
            }
        }
    }

    /// The value of an expression within the range that its parameter allows.
    pub(super) fn ranged(
        &mut self,
        expr: &'a Expr,
        ty: &Type,
        range: Option<&'a (Expr, Expr)>,
        scope: &Scope,
    ) -> Value {
        let value = self.eval_as(expr, ty, scope);
        if let Some(range) = range {
            self.check_range(&value, range, expr.span);
        }
        value
    }

    /// Complains where a value, or any value of a schedule, lies outside a range.
    pub(super) fn check_range(&mut self, value: &Value, (low, high): &'a (Expr, Expr), span: Span) {
        let bounds = Scope::new(FrameId::EMPTY, "");
        let (low, high) = (self.eval(low, &bounds), self.eval(high, &bounds));
        let number = |value: &Value| match value {
            Value::Amount(amount) => Some(amount.value),
            other => other.number(),
        };
        let (Some(from), Some(to)) = (number(&low), number(&high)) else { return };
        let mut outside = None;
        let mut look = |value: &Value| {
            if let Some(found) = number(value).filter(|it| !(from..=to).contains(it)) {
                outside.get_or_insert((found, value.clone()));
            }
        };
        match value {
            Value::Schedule(schedule) => each(schedule, &mut look),
            Value::List(elements) => elements.iter().for_each(|it| look(&it.value)),
            other => look(other),
        }
        if let Some((_, found)) = outside {
            let text = |value: &Value| match value {
                Value::Amount(amount) => amount.to_string(),
                other => other.number().unwrap_or_default().to_string(),
            };
            let message = format!("expected a value from {} to {}, found {}", text(&low), text(&high), text(&found));
            self.diagnostics.push(Diagnostic::error(span, message));
        }
    }

    /// The value as one of the type, or a complaint and a stand-in of the type.
    pub(super) fn coerce(&mut self, value: Value, ty: &Type, span: Span, scope: &Scope) -> Value {
        match (ty, value) {
            (Type::Unknown, value) => value,
            (ty, value) if value.is_mistake() => stand_in(ty),
            (ty, Value::Unknown(found)) if ty.accepts(found.present()) => stand_in(ty),
            (Type::Optional(_), Value::None) => Value::None,
            // `if x == none { .. } else { use(x) }` is decided, but the branch not taken still sees no `x`.
            (ty, Value::None) if self.untaken => stand_in(ty),
            (Type::Optional(inner), value) => self.coerce(value, inner, span, scope),
            (Type::Schedule(inner), Value::Schedule(schedule)) => {
                Value::Schedule(Box::new(self.coerce_schedule(*schedule, inner, span, scope)))
            }
            (Type::Schedule(inner), value) => {
                let value = self.coerce(value, inner, span, scope);
                Value::Schedule(Box::new(Schedule::Constant(value)))
            }
            (Type::List(inner), Value::List(elements)) => Value::List(
                elements
                    .into_iter()
                    .map(|it| Element { value: self.coerce(it.value, inner, span, scope), key: it.key })
                    .collect(),
            ),
            (Type::List(inner), Value::Collection(members)) => Value::List(
                members
                    .into_iter()
                    .map(|(key, it)| Element { key: key.join(", "), value: self.coerce(it, inner, span, scope) })
                    .collect(),
            ),
            (Type::Float, Value::Int(value)) => Value::Float(value as f64),
            (Type::Amount(units), Value::Amount(amount)) if units.contains(&amount.unit) => self.counted(amount, span),
            (
                ty @ (Type::Model | Type::RewardModel | Type::Tokenizer | Type::Dataset(_)),
                Value::Text(path) | Value::Path(path),
            ) => self.load(ty, path, span, scope),
            (ty, Value::Artifact(artifact)) if ty.accepts(&artifact.ty) => Value::Artifact(artifact),
            (Type::Path, Value::Text(path)) => Value::Path(self.overrides.resolve(path, span)),
            (Type::Text, Value::Path(path)) => Value::Text(path),
            (Type::Choice(words), Value::Text(word)) if words.contains(&word) => Value::Text(word),
            (Type::Bool, value @ Value::Bool(_))
            | (Type::Int, value @ Value::Int(_))
            | (Type::Float, value @ Value::Float(_))
            | (Type::Text, value @ Value::Text(_))
            | (Type::Path, value @ Value::Path(_))
            | (Type::Reward, value @ Value::Reward(_))
            | (Type::Predicate, value @ Value::Predicate(_)) => value,
            (ty, value) => self.mismatch(ty, &value, span),
        }
    }

    fn coerce_schedule(&mut self, schedule: Schedule<Value>, ty: &Type, span: Span, scope: &Scope) -> Schedule<Value> {
        if let Schedule::Cosine { .. } | Schedule::Linear { .. } = schedule
            && *ty != Type::Float
        {
            let message = format!("only numbers follow a curve, expected {}", ty.expectation());
            let hint = "change it in phases: `a then b after 100 steps`";
            self.mistake(Diagnostic::error(span, message).hint(hint));
            return Schedule::Constant(stand_in(ty));
        }
        match schedule {
            Schedule::Constant(value) => Schedule::Constant(self.coerce(value, ty, span, scope)),
            Schedule::Cosine { from, to, warmup, decay } => Schedule::Cosine {
                from: self.coerce(from, ty, span, scope),
                to: self.coerce(to, ty, span, scope),
                warmup,
                decay,
            },
            Schedule::Linear { from, to, warmup, decay } => Schedule::Linear {
                from: self.coerce(from, ty, span, scope),
                to: self.coerce(to, ty, span, scope),
                warmup,
                decay,
            },
            Schedule::Then { first, next, after } => Schedule::Then {
                first: Box::new(self.coerce_schedule(*first, ty, span, scope)),
                next: Box::new(self.coerce_schedule(*next, ty, span, scope)),
                after,
            },
        }
    }

    /// An amount that is a count where its unit is one.
    fn counted(&mut self, amount: Amount, span: Span) -> Value {
        let unit = amount.unit.name();
        if amount.value < 0.0 {
            self.mistake(Diagnostic::error(span, format!("expected a number of {unit} from 0 up, found {amount}")));
        } else if !matches!(amount.unit, Unit::Epochs | Unit::Seconds) && amount.value.fract() != 0.0 {
            self.mistake(Diagnostic::error(span, format!("expected a whole number of {unit}, found {amount}")));
        }
        Value::Amount(amount)
    }

    fn mismatch(&mut self, ty: &Type, value: &Value, span: Span) -> Value {
        let found = value.describe();
        let found = match (ty, value) {
            (Type::Choice(_), Value::Text(word)) => format!("`\"{word}\"`"),
            _ => found,
        };
        let complaint = Diagnostic::error(span, format!("expected {}, found {found}", ty.expectation()));
        let hint = match (ty, value) {
            (Type::Choice(words), Value::Text(word)) => did_you_mean(word, words.iter().map(String::as_str)),
            (Type::Amount(units), value) if value.number().is_some() => {
                Some(with_unit(units, value.number().unwrap_or_default(), self.sources.slice(span)))
            }
            (Type::Reward, Value::Text(word)) if self.is_reward(word) => {
                Some(format!("leave out the quotes: `{word}`"))
            }
            (Type::Schedule(inner), Value::List(_)) if !inner.is_artifact() => Some(SWEEP.to_owned()),
            (Type::Bool | Type::Int | Type::Float | Type::Amount(_) | Type::Text, Value::List(_)) => {
                Some(SWEEP.to_owned())
            }
            (Type::Int | Type::Float, Value::Amount(amount)) => {
                Some(format!("write the bare number: `{}`", amount.value))
            }
            (Type::Int, Value::Float(_)) => Some("write a whole number".to_owned()),
            (ty, Value::Schedule(_)) => Some(format!("what changes over the steps needs the type `Schedule<{ty}>`")),
            (Type::List(_), Value::Artifact(_)) => Some(format!("write a list: `[{}]`", self.sources.slice(span))),
            (Type::RewardModel, Value::Artifact(artifact)) if artifact.ty == Type::Model => {
                Some("train one on preferences: `reward_model(model, pairs)`".to_owned())
            }
            (Type::Dataset(_), Value::List(_)) => Some("put data sets together with `mix([..])`".to_owned()),
            (ty, Value::Collection(_)) if ty.is_artifact() => {
                let name = self.sources.slice(span);
                Some(format!("choose one of them, `{name}[key]`, or go over them: `for x in {name} {{ .. }}`"))
            }
            (ty, Value::Artifact(artifact)) => self.makers(ty, &artifact.ty),
            (Type::Predicate, Value::RowField { name, unit }) => {
                let unit = unit.map_or("", Unit::name);
                Some(format!("compare it with a constant: `{name} < 200 {unit}`"))
            }
            (Type::Predicate, Value::Condition(_) | Value::Figure(_)) => {
                Some("a condition on rows reads fields such as `correct` and `length`".to_owned())
            }
            _ => None,
        };
        self.mistake(complaint.maybe_hint(hint));
        stand_in(ty)
    }

    fn is_reward(&self, name: &str) -> bool {
        self.stages.library().any(|it| it.path == name && it.returns == Type::Reward)
    }

    /// The stages of the library that make what is wanted of what is there, or else those that take it.
    fn makers(&self, wanted: &Type, found: &Type) -> Option<String> {
        // What goes in and comes out of any kind tells nothing.
        let says = |ty: &Type| match ty {
            Type::Dataset(kinds) => *kinds != Kinds::ALL,
            ty => !matches!(ty, Type::Artifact | Type::List(_)) && ty.is_artifact(),
        };
        let takes = |stage: &Signature<'_>| {
            let mut required = stage.parameters.iter().filter(|it| it.is_required() && says(&it.ty));
            required.any(|it| it.ty.accepts(found))
        };
        let all: Vec<_> = self.stages.library().filter(|it| !it.path.contains('.') && takes(it)).collect();
        // What needs one to make one, as training does, is no beginning.
        let needs =
            |stage: &Signature<'_>| stage.parameters.iter().any(|it| it.is_required() && wanted.accepts(&it.ty));
        let makers = all.iter().filter(|it| says(&it.returns) && wanted.accepts(&it.returns) && !needs(it));
        let named = |stages: Vec<&str>| (1..=3).contains(&stages.len()).then(|| format!("`{}`", stages.join("` or `")));
        let made = named(makers.map(|it| it.path.as_str()).collect()).map(|it| format!("{it} makes it of a {found}"));
        made.or_else(|| {
            let takers = all.iter().filter(|_| matches!(found, Type::Dataset(_)));
            named(takers.map(|it| it.path.as_str()).collect()).map(|it| format!("a {found} goes into {it}"))
        })
    }
}

/// How a number would be written as an amount.
fn with_unit(units: &[Unit], number: f64, written: &str) -> String {
    let fits = |unit: &&Unit| number.fract() == 0.0 || matches!(unit, Unit::Epochs | Unit::Seconds);
    let units: Vec<&str> = units.iter().filter(fits).map(|it| it.name()).collect();
    let literal = written.starts_with(|it: char| it.is_ascii_digit());
    let amounts = |text: &dyn Fn(&str) -> String| units.iter().map(|it| text(it)).collect::<Vec<_>>().join(" or ");
    match units.as_slice() {
        [] => "write a whole number with its unit".to_owned(),
        _ if literal => format!("add the unit: {}", amounts(&|unit| format!("`{number} {unit}`"))),
        _ => format!("give it the unit: {}", amounts(&|unit| format!("`{written} * 1 {unit}`"))),
    }
}

/// What to do with several values where one is wanted.
const SWEEP: &str = "each step takes one; try several with `for x in [..] { .. }`";

/// A value of the type of which nothing more is known.
pub(super) fn stand_in(ty: &Type) -> Value {
    match ty {
        Type::Artifact | Type::Model | Type::RewardModel | Type::Tokenizer | Type::Report | Type::Dataset(_) => {
            Value::Artifact(Artifact {
                step: None,
                ty: ty.clone(),
                taint: None,
                tokenizer: None,
                shape: None,
                origin: None,
                foreign: false,
            })
        }
        _ => Value::Unknown(ty.clone()),
    }
}

/// Looks at every value in a schedule.
pub(super) fn each(schedule: &Schedule<Value>, look: &mut dyn FnMut(&Value)) {
    match schedule {
        Schedule::Constant(value) => look(value),
        Schedule::Cosine { from, to, .. } | Schedule::Linear { from, to, .. } => {
            look(from);
            look(to);
        }
        Schedule::Then { first, next, .. } => {
            each(first, look);
            each(next, look);
        }
    }
}
