//! The items of a recipe: params, inputs, bindings, gates and outputs.

use super::{
    Evaluator,
    order::order,
    scope::{Definition, Entry, Frame, FrameId, Scope, State},
};
use crate::{
    base::{
        diagnostic::Diagnostic,
        span::{SourceId, Span},
    },
    lang::{
        labels::Taint,
        program::{Gate, Output, ParamValue, Pin},
        signature::{duplicate, label},
        types::Type,
        values::Value,
    },
    syntax::ast::{Binding, Expr, ExprKind, Input, Item, Name, Param, Require},
};

impl<'a> Evaluator<'a> {
    /// Opens a frame for a row of items: every name is known before any is evaluated.
    pub(super) fn open(&mut self, items: &'a [Item], prefix: String, file: SourceId) -> FrameId {
        let mut frame = Frame::new(prefix, self.dry, file);
        for item in items {
            match item {
                Item::Require(require) => frame.requires.push(require),
                Item::Output(output) => frame.outputs.push(output),
                _ => {}
            }
            let Some((name, definition)) = Definition::of(item) else { continue };
            if let Some(first) = frame.number(&name.text).and_then(|it| frame.entry(it)) {
                self.diagnostics.push(duplicate(name, first.span));
                continue;
            }
            frame.insert(Entry { name: &name.text, definition, span: name.span, state: State::Waiting });
        }
        self.frames.push(frame);
        FrameId(self.frames.len() - 1)
    }

    /// Evaluates everything in the frame of the recipe itself.
    pub(super) fn recipe(&mut self, id: FrameId) {
        self.entries(id);
        let Some(frame) = self.frame(id) else { return };
        let outputs = frame.outputs.clone();
        let lines: Vec<Option<usize>> = self.program.params.iter().map(|it| frame.number(&it.name)).collect();
        let mut params: Vec<_> = lines.into_iter().zip(std::mem::take(&mut self.program.params)).collect();
        params.sort_by_key(|(line, _)| *line);
        self.program.params = params.into_iter().map(|(_, param)| param).collect();
        let mut seen: Vec<&Name> = Vec::new();
        for name in outputs.iter().flat_map(|it| &it.names) {
            if let Some(first) = seen.iter().find(|it| it.text == name.text) {
                let complaint = Diagnostic::error(name.span, format!("`{}` is an output twice", name.text));
                self.diagnostics.push(complaint.label(first.span, "first named here"));
                continue;
            }
            seen.push(name);
            self.output(name, id);
        }
    }

    /// Evaluates every name and every gate of a frame.
    pub(super) fn entries(&mut self, id: FrameId) {
        let Some(frame) = self.frame(id) else { return };
        let (order, requires) = (order(frame), frame.requires.clone());
        for number in order {
            self.settle(id, number, None);
        }
        for (index, require) in requires.into_iter().enumerate() {
            let address = self.place(id, &format!("require[{index}]"));
            self.require(require, &Scope::new(id, &address));
        }
    }

    /// The value of a name in a frame, evaluated where this is the first use; None where there is no such name.
    pub(super) fn entry(&mut self, id: FrameId, name: &str, used: Option<Span>) -> Option<Value> {
        let number = self.frame(id)?.number(name)?;
        if let Some(cycle) = self.settle(id, number, used) {
            return Some(cycle);
        }
        match &self.frame(id)?.entry(number)?.state {
            State::Done(value) => Some(value.clone()),
            State::Waiting | State::Active => None,
        }
    }

    /// Evaluates the name of a number where nobody has; gives what stands for it where it is being evaluated just now.
    fn settle(&mut self, id: FrameId, number: usize, used: Option<Span>) -> Option<Value> {
        let frame = self.frames.get_mut(id.0)?;
        let dry = frame.dry;
        let entry = frame.entry_mut(number)?;
        let (name, definition, span) = (entry.name, entry.definition, entry.span);
        match &entry.state {
            State::Done(_) => return None,
            State::Active => return Some(self.cycle(id, name, used.unwrap_or(span))),
            State::Waiting => entry.state = State::Active,
        }
        self.path.push((id, name));
        let before = (std::mem::replace(&mut self.dry, dry), std::mem::take(&mut self.untaken));
        let address = self.place(id, name);
        let scope = Scope::new(id, &address);
        let value = match definition {
            Definition::Param(param) => self.param(param, &scope),
            Definition::Input(input) => self.input(input, &scope),
            Definition::Binding(binding) => self.binding(binding, &scope),
            Definition::Given => Value::MISTAKE,
        };
        let value = if self.count(value.parts(), span) { value } else { Value::MISTAKE };
        (self.dry, self.untaken) = before;
        self.path.pop();
        if let Some(entry) = self.frames.get_mut(id.0).and_then(|it| it.entry_mut(number)) {
            entry.state = State::Done(value);
        }
        None
    }

    fn cycle(&mut self, id: FrameId, name: &str, used: Span) -> Value {
        let inside = self.path.iter().skip_while(|it| **it != (id, name));
        let names: Vec<&str> = inside.map(|(_, name)| *name).chain([name]).collect();
        let complaint = Diagnostic::error(used, format!("`{name}` depends on itself"))
            .note(format!("the cycle is {}", names.join(" -> ")))
            .hint("give one of them a value that does not need the others");
        self.mistake(complaint)
    }

    /// The type that an item declares, anything at all where it is not understood.
    fn declared(&mut self, ty: &'a crate::syntax::ast::Type) -> Type {
        Type::read(ty).unwrap_or_else(|complaint| {
            self.diagnostics.push(complaint);
            Type::Unknown
        })
    }

    /// The value set from outside for a target of this type, or else the one in the text.
    pub(super) fn overridden(&mut self, target: &str, ty: &Type, written: Option<&'a Expr>) -> Option<&'a Expr> {
        let overrides = self.overrides;
        if overrides.is_empty() {
            return None;
        }
        if !self.dry {
            self.targets.insert(target.to_owned());
        }
        match overrides.find(target)?.value(ty.takes_bare_words()) {
            Ok(expr) => Some(expr),
            Err(complaints) => {
                self.diagnostics.extend(complaints);
                written
            }
        }
        .filter(|_| !self.dry)
    }

    fn param(&mut self, param: &'a Param, scope: &Scope) -> Value {
        let ty = self.declared(&param.ty);
        if ty.is_artifact() {
            let hint = format!("write `input {}: {ty}`", param.name.text);
            self.diagnostics.push(Diagnostic::error(param.ty.span, format!("a param cannot be a {ty}")).hint(hint));
            return Value::Unknown(ty);
        }
        // The default is checked even where another value takes its place.
        let default = param.default.as_ref().map(|it| (it, self.ranged(it, &ty, param.range.as_ref(), scope)));
        let set = self.overridden(&scope.address.to_string(), &ty, None);
        let set = set.map(|it| (it, self.ranged(it, &ty, param.range.as_ref(), scope)));
        let Some((expr, value)) = set.or(default) else {
            let name = &param.name;
            let complaint = Diagnostic::error(name.span, format!("the param `{}` has no value", name.text));
            self.diagnostics.push(complaint.hint(format!("give it a default, or `--set {}=..`", name.text)));
            return Value::Unknown(ty);
        };
        // Those of a recipe that is used are arguments there.
        if scope.frame == FrameId::RECIPE {
            self.program.params.push(ParamValue {
                name: param.name.text.clone(),
                docs: param.docs.clone(),
                ty,
                value: value.to_json(),
                span: expr.span,
            });
        }
        value
    }

    fn input(&mut self, input: &'a Input, scope: &Scope) -> Value {
        let ty = self.declared(&input.ty);
        self.diagnostics.extend(label(input.label.as_ref(), &["eval"]));
        let set = self.overridden(&scope.address.to_string(), &ty, None);
        let Some(expr) = set.or(input.default.as_ref()) else {
            let name = &input.name;
            let complaint = Diagnostic::error(name.span, format!("the input `{}` has no value", name.text));
            self.diagnostics.push(complaint.hint(format!("give it a default, or `--set {}=..`", name.text)));
            return Value::Unknown(ty);
        };
        if let (Some(pin), true, false) = (&input.pin, set.is_none(), self.dry) {
            self.pin(pin, expr);
        }
        let value = self.eval_as(expr, &ty, scope);
        named(value, &input.name, input.label.as_ref())
    }

    /// Notes what the file of an input must hold.
    fn pin(&mut self, pin: &'a Name, file: &'a Expr) {
        let ExprKind::Text(path) = &file.kind else {
            let complaint = Diagnostic::error(pin.span, "only a file can be pinned");
            self.diagnostics.push(complaint.hint("remove the pin, or name a file before it"));
            return;
        };
        let digest = pin.text.strip_prefix("blake3:").unwrap_or(&pin.text).to_ascii_lowercase();
        if digest.len() != 64 {
            let found = digest.len();
            let complaint = Diagnostic::error(pin.span, format!("expected 64 hexadecimal digits, found {found}"));
            self.diagnostics.push(complaint.hint("`regimen pin` writes the digest of what is there"));
            return;
        }
        let path = self.overrides.resolve(path.clone(), file.span).into();
        self.program.pins.push(Pin { path, digest, span: pin.span });
    }

    fn binding(&mut self, binding: &'a Binding, scope: &Scope) -> Value {
        self.diagnostics.extend(label(binding.label.as_ref(), &["eval"]));
        let value = self.eval(&binding.value, scope);
        let keyed = matches!(value, Value::List(_) | Value::Collection(_));
        if keyed && !self.dry && !scope.address.to_string().contains('.') {
            let members: Vec<_> =
                value.keyed_artifacts().into_iter().filter_map(|(key, it)| Some((key, it.step?))).collect();
            if !members.is_empty() {
                self.program.collections.insert(binding.name.text.clone(), members);
            }
        }
        named(value, &binding.name, binding.label.as_ref())
    }

    fn require(&mut self, require: &'a Require, scope: &Scope) {
        let span = require.condition.span;
        match self.eval(&require.condition, scope) {
            Value::Condition(condition) => {
                if !self.dry {
                    let text = self.sources.slice(span).to_owned();
                    self.program.gates.push(Gate { condition, text, span });
                }
            }
            // A condition on params alone is decided here and now.
            Value::Bool(true) | Value::Unknown(Type::Bool | Type::Unknown) => {}
            Value::Bool(false) if self.dry => {}
            Value::Bool(false) => {
                let text = self.sources.slice(span);
                self.diagnostics.push(Diagnostic::error(span, format!("the requirement `{text}` does not hold")));
            }
            other => {
                let message = format!("expected a condition, found {}", other.describe());
                let hint = "compare a figure of a report: `require scores[r1].pass1 >= 0.5`";
                self.diagnostics.push(Diagnostic::error(span, message).hint(hint));
            }
        }
    }

    fn output(&mut self, name: &'a Name, id: FrameId) {
        let Some(value) = self.entry(id, &name.text, Some(name.span)) else {
            let names: Vec<&str> = self.frame(id).map(Frame::names).unwrap_or_default();
            let complaint = Diagnostic::error(name.span, format!("unknown name `{}`", name.text));
            let hint = self.diagnostics.suggest(&name.text, names);
            self.diagnostics.push(complaint.maybe_hint(hint));
            return;
        };
        let members: Vec<_> =
            value.keyed_artifacts().into_iter().filter_map(|(key, it)| Some((key, it.step?))).collect();
        let output = match (&value, members.as_slice()) {
            (Value::Unknown(_), _) => return,
            // What stands in for a mistake.
            (Value::Artifact(it), _) if it.step.is_none() => return,
            (Value::Artifact(_), [(_, step)]) => Output::Step(*step),
            (Value::List(_) | Value::Collection(_), [_, ..]) => Output::Keyed(members),
            _ => {
                let message = format!("expected an artifact, found {}", value.describe());
                let hint = "an output is what a step makes, such as a Model, a Dataset or a Report";
                self.diagnostics.push(Diagnostic::error(name.span, message).hint(hint));
                return;
            }
        };
        self.program.outputs.push((name.text.clone(), output));
    }
}

/// The value under its name: what is labelled starts a path of evaluation data, what is not prolongs it.
pub(super) fn named(value: Value, name: &Name, label: Option<&Name>) -> Value {
    let label = label.filter(|it| it.text == "eval");
    value.map_artifacts(&|mut artifact| {
        artifact.taint = match (artifact.taint, label) {
            (Some(taint), _) => Some(taint.through(&name.text)),
            (None, Some(label)) => Some(Taint::new(&name.text, label.span)),
            (None, None) => None,
        };
        artifact
    })
}
