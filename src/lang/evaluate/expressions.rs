//! The value of an expression.

use super::{
    Evaluator, operators,
    scope::{Frame, FrameId, Scope},
};
use crate::{
    base::{
        diagnostic::Diagnostic,
        span::Span,
        suggest::did_you_mean,
        units::{Amount, Unit},
    },
    lang::{
        figures::{Figure, is_report_field, report_fields},
        foreign,
        types::Type,
        values::{Element, Value},
    },
    syntax::ast::{Expr, ExprKind, Name},
};

impl<'a> Evaluator<'a> {
    /// The value of an expression, whatever its type.
    pub(super) fn eval(&mut self, expr: &'a Expr, scope: &Scope) -> Value {
        match &expr.kind {
            ExprKind::Missing => Value::MISTAKE,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Int(value) => Value::Int(*value),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Text(text) => Value::Text(text.clone()),
            ExprKind::Amount { value, unit } => self.amount(*value, unit),
            ExprKind::Name(name) => self.name(name, expr.span, scope),
            ExprKind::List(elements) => self.list(expr.span, elements, scope, &mut |me, it, scope| me.eval(it, scope)),
            ExprKind::Call { callee, arguments } => self.call(expr, callee, arguments, scope),
            ExprKind::Typed { call, ty } => self.typed(call, ty, scope),
            ExprKind::Field { of, name } => self.field(expr, of, name, scope),
            ExprKind::Index { of, index } => self.index(of, index, scope),
            ExprKind::Unary { op, operand } => {
                let value = self.eval(operand, scope);
                match operators::unary(*op, value) {
                    Ok(value) => self.bounded(value, expr.span),
                    Err(complaint) => self.mistake(complaint.at(expr.span, operand.span, operand.span)),
                }
            }
            ExprKind::Binary { op, left, right } => {
                let (one, other) = (self.eval(left, scope), self.eval(right, scope));
                match operators::binary(*op, one, other) {
                    Ok(value) => self.bounded(value, expr.span),
                    Err(complaint) => self.mistake(complaint.at(expr.span, left.span, right.span)),
                }
            }
            ExprKind::Range { from, to } => self.range(expr.span, from, to, scope),
            ExprKind::Then { first, next, after } => {
                let (first, next) = (self.eval(first, scope), self.eval(next, scope));
                let value = self.then(first, next, after, scope);
                self.bounded(value, expr.span)
            }
            ExprKind::If { condition, then, otherwise } => {
                let (value, other) = self
                    .branches(condition, scope, &mut |me, taken| me.eval(if taken { then } else { otherwise }, scope));
                self.same_type(expr.span, &value, &other);
                value
            }
            ExprKind::Repeat { clause, from, start, body } => self.repeat(clause, from, start, body, scope),
            ExprKind::For { clauses, body } => self.for_each(clauses, body, scope),
        }
    }

    fn amount(&mut self, value: f64, unit: &'a Name) -> Value {
        match Unit::parse(&unit.text) {
            Some((unit, scale)) => Value::Amount(Amount::new(value * scale, unit)),
            None => {
                let hint = did_you_mean(&unit.text, Unit::WORDS)
                    .unwrap_or_else(|| format!("the units are {}", Unit::ALL.map(Unit::name).join(", ")));
                self.mistake(Diagnostic::error(unit.span, format!("unknown unit `{}`", unit.text)).hint(hint))
            }
        }
    }

    /// The value of a list, each member evaluated in a scope of its own.
    pub(super) fn list(
        &mut self,
        span: Span,
        members: &'a [Expr],
        scope: &Scope,
        evaluate: &mut dyn FnMut(&mut Self, &'a Expr, &Scope) -> Value,
    ) -> Value {
        let mut elements = Vec::with_capacity(members.len());
        for (position, expr) in members.iter().enumerate() {
            let key = self.key(expr, scope).unwrap_or_else(|| position.to_string());
            let value = evaluate(self, expr, &scope.member(&key));
            if !self.count(value.parts(), span) {
                return Value::MISTAKE;
            }
            elements.push(Element { key, value });
        }
        Value::List(elements)
    }

    /// The word by which `for` and an index name what an expression stands for.
    pub(super) fn key(&self, expr: &Expr, scope: &Scope) -> Option<String> {
        Some(match &expr.kind {
            ExprKind::Name(name) => scope.local(name).map_or_else(|| name.clone(), |it| it.key.clone()),
            ExprKind::Text(text) => text.clone(),
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) | ExprKind::Amount { .. } => {
                self.sources.slice(expr.span).to_owned()
            }
            ExprKind::Index { .. } | ExprKind::Unary { .. } => self.sources.slice(expr.span).to_owned(),
            _ => return None,
        })
    }

    /// Whether a name stands for anything.
    pub(super) fn is_known(&self, name: &str, scope: &Scope) -> bool {
        let entered = || self.frame(scope.frame).is_some_and(|it| it.contains(name));
        name == "none" || scope.local(name).is_some() || entered() || self.stage(name, scope).is_some()
    }

    /// The value of a name: a variable, an item, or a stage that stands for a value.
    pub(super) fn name(&mut self, name: &str, span: Span, scope: &Scope) -> Value {
        if let Some(local) = scope.local(name) {
            return local.value.clone();
        }
        if let Some(value) = self.entry(scope.frame, name, Some(span)) {
            return value;
        }
        if name == "none" {
            return Value::None;
        }
        if let Some(stage) = self.stage(name, scope) {
            if stage.is_value() && !stage.parameters.iter().any(|it| it.is_required()) {
                return self.apply(stage, vec![None; stage.parameters.len()], span, scope);
            }
            let hint = format!("call it: `{name}(..)`");
            return self.mistake(Diagnostic::error(span, format!("`{name}` is a stage, not a value")).hint(hint));
        }
        let complaint = Diagnostic::error(span, format!("unknown name `{name}`"));
        let outside = self.frame(FrameId::RECIPE).is_some_and(|it| it.contains(name));
        if outside && scope.frame != FrameId::RECIPE && self.in_stage(scope) {
            let hint = if self.expanding.is_empty() {
                "a test sees only what stands in it, and the stages of its file".to_owned()
            } else {
                format!("a stage sees only its parameters; add `{name}` to them")
            };
            return self.mistake(complaint.hint(hint));
        }
        let values = self.stages.known(self.file(scope)).filter(|it| it.is_value()).map(|it| it.path.as_str());
        let locals = scope.locals().map(|it| it.name);
        let items = self.frame(scope.frame).into_iter().flat_map(Frame::names);
        let near = || self.diagnostics.suggest(name, locals.chain(items).chain(values));
        let hint = foreign::value(name).map(|it| format!("write `{it}`")).or_else(near);
        self.mistake(complaint.maybe_hint(hint))
    }

    /// Whether a scope stands in the body of a stage of the recipe itself.
    fn in_stage(&self, scope: &Scope) -> bool {
        self.frame(FrameId::RECIPE).is_some_and(|it| it.file == self.file(scope))
    }

    fn field(&mut self, expr: &'a Expr, of: &'a Expr, name: &'a Name, scope: &Scope) -> Value {
        let value = self.eval(of, scope);
        match value {
            Value::Artifact(artifact) if artifact.ty == Type::Report => {
                let call = artifact.step.and_then(|step| self.program.calls.get(step.0));
                let stage = call.map(|it| it.stage.as_str());
                if !artifact.foreign && !is_report_field(stage, &name.text) {
                    let fields = report_fields(stage);
                    let hint = did_you_mean(&name.text, fields.iter().copied())
                        .unwrap_or_else(|| format!("it has {}", fields.join(", ")));
                    let complaint = Diagnostic::error(name.span, format!("a report has no `{}`", name.text));
                    return self.mistake(complaint.hint(hint));
                }
                match artifact.step {
                    Some(step) => Value::Figure(Figure::Field { step, field: name.text.clone() }),
                    None => Value::MISTAKE,
                }
            }
            Value::Record(members) => match members.iter().find(|(it, _)| *it == name.text) {
                Some((_, value)) => value.clone(),
                None => {
                    let names = || members.iter().map(|(it, _)| it.as_str());
                    let hint = did_you_mean(&name.text, names())
                        .unwrap_or_else(|| format!("its outputs are {}", names().collect::<Vec<_>>().join(", ")));
                    let complaint = Diagnostic::error(name.span, format!("the recipe has no output `{}`", name.text));
                    self.mistake(complaint.hint(hint))
                }
            },
            Value::Unknown(Type::Unknown | Type::Report) => Value::MISTAKE,
            Value::Collection(_) | Value::List(_) => {
                let text = self.sources.slice(of.span);
                let hint = format!("choose one: `{text}[..].{}`", name.text);
                let complaint = Diagnostic::error(expr.span, format!("{} has no fields", value.describe()));
                self.mistake(complaint.hint(hint))
            }
            other => self.mistake(
                Diagnostic::error(expr.span, format!("{} has no fields", other.describe()))
                    .hint("only a Report has fields, such as `pass1`"),
            ),
        }
    }

    /// Decides a condition at once; both branches are evaluated, the one not taken dry. The taken one comes first.
    pub(super) fn branches(
        &mut self,
        condition: &'a Expr,
        scope: &Scope,
        evaluate: &mut dyn FnMut(&mut Self, bool) -> Value,
    ) -> (Value, Value) {
        let decided = match self.eval(condition, scope) {
            Value::Bool(value) => Some(value),
            Value::Unknown(Type::Bool | Type::Unknown) => None,
            Value::Condition(_) => {
                let complaint = Diagnostic::error(condition.span, "a figure of a report is not known before the run");
                self.mistake(complaint.hint("`if` is decided when the plan is made; use `require` for a gate"));
                None
            }
            other => {
                let message = format!("expected bool, found {}", other.describe());
                self.mistake(Diagnostic::error(condition.span, message));
                None
            }
        };
        let Some(decided) = decided else {
            let value = self.dry(|me| evaluate(me, true));
            return (value, self.dry(|me| evaluate(me, false)));
        };
        let value = evaluate(self, decided);
        let before = std::mem::replace(&mut self.untaken, true);
        let other = self.dry(|me| evaluate(me, !decided));
        self.untaken = before;
        (value, other)
    }

    fn same_type(&mut self, span: Span, one: &Value, other: &Value) {
        let ends = [one, other].map(|it| match it {
            Value::Float(_) => "int".to_owned(),
            Value::Artifact(artifact) if matches!(artifact.ty, Type::Dataset(_)) => "Dataset".to_owned(),
            it => it.describe(),
        });
        let silent = |it: &Value| matches!(it, Value::Unknown(_) | Value::None | Value::Schedule(_) | Value::List(_));
        if ends[0] != ends[1] && !silent(one) && !silent(other) {
            let message = format!("the branches of `if` differ: {} and {}", one.describe(), other.describe());
            self.diagnostics.push(Diagnostic::error(span, message).hint("give both branches one type"));
        }
    }
}
