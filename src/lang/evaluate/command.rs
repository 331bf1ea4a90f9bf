//! `command("python train.py --model {base} --out {out}", base) -> Model`: a program as a step.

use super::{
    Evaluator,
    calls::{self, Placed},
    coerce::stand_in,
    ports::{Port, call, places, type_of, unfit},
    scope::Scope,
};
use crate::{
    base::{diagnostic::Diagnostic, span::Span, suggest::did_you_mean},
    lang::{
        kinds::Kind,
        signature::Signature,
        types::Type,
        values::{Artifact, Value},
    },
    syntax::ast::{self, Argument, Expr, ExprKind},
};

/// The stage whose ports and whose type each call names for itself.
pub(super) const COMMAND: &str = "command";

/// The place of a command line that stands for the folder to fill.
const OUT: &str = "out";

impl<'a> Evaluator<'a> {
    /// A call that says what it makes.
    pub(super) fn typed(&mut self, expr: &'a Expr, ty: &'a ast::Type, scope: &Scope) -> Value {
        if let ExprKind::Call { callee, arguments } = &expr.kind
            && calls::path(callee).as_deref() == Some(COMMAND)
        {
            return self.command(expr, callee.span, arguments, Some(ty), scope);
        }
        let complaint = Diagnostic::error(ty.span, "only `command` is followed by the type of what it makes");
        self.diagnostics.push(complaint.hint("leave it out: every other stage says itself what it makes"));
        self.eval(expr, scope)
    }

    /// The step that runs a program.
    pub(super) fn command(
        &mut self,
        expr: &'a Expr,
        callee: Span,
        arguments: &'a [Argument],
        ty: Option<&'a ast::Type>,
        scope: &Scope,
    ) -> Value {
        let Some(stage) = self.stage(COMMAND, scope) else { return Value::MISTAKE };
        let returns = self.made(callee, ty);
        let (written, ports) = self.sort_out(stage, callee, arguments, scope);
        let settings = self.settings(stage, &written, callee, scope);
        let ports: Vec<Port<'a>> = ports.into_iter().map(|(name, span, it)| self.port(name, span, it, scope)).collect();
        self.check_places(stage, &settings, &written, &ports, callee);
        self.check_labels(&returns, &ports, scope);
        let artifacts = || ports.iter().flat_map(|it| it.value.artifacts());
        let taint = artifacts().find_map(|it| it.taint.clone()).filter(|_| returns != Type::Report);
        let mut call = call(stage, settings, &ports, &returns, expr.span, scope);
        call.argument_spans.insert("returns", ty.map_or(callee, |it| it.span));
        let step = if self.dry || returns == Type::Unknown { None } else { Some(self.add_call(call)) };
        match stand_in(&returns) {
            Value::Artifact(artifact) => Value::Artifact(Artifact { step, taint, foreign: true, ..artifact }),
            other => other,
        }
    }

    /// The name of a file, where nothing else says that a text is one.
    pub(super) fn named_file(&mut self, callee: Span, arguments: &'a [Argument], scope: &Scope) -> Value {
        match arguments {
            [Argument { name: None, value }] => self.eval_as(value, &Type::Path, scope),
            _ => {
                self.look_at(arguments, scope);
                let complaint = Diagnostic::error(callee, "`path` takes the name of a file");
                self.mistake(complaint.hint("write `path(\"train.py\")`"))
            }
        }
    }

    /// The type that the program's result is declared to have.
    fn made(&mut self, callee: Span, ty: Option<&'a ast::Type>) -> Type {
        let Some(written) = ty else {
            let complaint = Diagnostic::error(callee, "`command` does not say what it makes");
            self.diagnostics.push(complaint.hint("add the type at its end: `command(..) -> Model`"));
            return Type::Unknown;
        };
        let complaint = match Type::read(written) {
            Ok(ty @ (Type::Model | Type::RewardModel | Type::Tokenizer | Type::Report)) => return ty,
            Ok(Type::Dataset(kinds)) if kinds.only().is_some() => return Type::Dataset(kinds),
            Ok(Type::Dataset(_)) => Diagnostic::error(written.span, "expected a data set of one kind of rows")
                .hint(format!("say which: `Dataset<{}>`", Kind::Problem.name())),
            Ok(other) => Diagnostic::error(written.span, format!("a program cannot make {}", other.expectation()))
                .hint("it makes a Model, a RewardModel, a Tokenizer, a Report or a Dataset"),
            Err(complaint) => complaint,
        };
        self.diagnostics.push(complaint);
        Type::Unknown
    }

    /// Parts the arguments into those of the stage and the ports. The line comes first, without a name.
    #[expect(clippy::type_complexity, reason = "the two halves of a list of arguments")]
    fn sort_out(
        &mut self,
        stage: &'a Signature<'a>,
        callee: Span,
        arguments: &'a [Argument],
        scope: &Scope,
    ) -> (Vec<Option<&'a Expr>>, Vec<(&'a str, Span, &'a Expr)>) {
        let mut settings: Vec<Option<&'a Expr>> = vec![None; stage.parameters.len()];
        let mut ports: Vec<(&'a str, Span, &'a Expr)> = Vec::new();
        let mut is_line = true;
        for argument in arguments {
            let (name, span) = match (&argument.name, &argument.value.kind) {
                (Some(name), _) => (name.text.as_str(), name.span),
                (None, _) if std::mem::take(&mut is_line) => ("line", argument.value.span),
                (None, ExprKind::Name(name)) => (name.as_str(), argument.value.span),
                (None, _) => {
                    let text = self.sources.slice(argument.value.span);
                    let complaint = Diagnostic::error(argument.value.span, "a port of `command` needs a name")
                        .hint(format!("write `name = {text}`, and `{{name}}` in the line"));
                    self.diagnostics.push(complaint);
                    self.dry(|me| me.eval(&argument.value, scope));
                    continue;
                }
            };
            let taken = match stage.position(name).and_then(|at| settings.get_mut(at)) {
                Some(slot) => slot.replace(&argument.value),
                None => {
                    let taken = ports.iter().find(|(it, _, _)| *it == name).map(|(_, _, it)| *it);
                    if taken.is_none() {
                        ports.push((name, span, &argument.value));
                    }
                    taken
                }
            };
            if let Some(first) = taken {
                let complaint = Diagnostic::error(span, format!("`{name}` is given twice"));
                self.diagnostics.push(complaint.label(first.span, "first given here"));
            }
        }
        let line = stage.position("line").and_then(|at| settings.get(at)).copied().flatten();
        let set = self.overrides.find(&format!("{}.line", scope.address)).is_some() && !self.dry;
        if line.is_none() && !set {
            let complaint = Diagnostic::error(callee, "`command` needs the line that starts the program");
            self.diagnostics.push(complaint.hint("put it first: `command(\"program --out {out}\") -> Model`"));
        }
        (settings, ports)
    }

    /// The values of the stage's own arguments.
    fn settings(
        &mut self,
        stage: &'a Signature<'a>,
        written: &[Option<&'a Expr>],
        callee: Span,
        scope: &Scope,
    ) -> Vec<Placed> {
        let mut values = Vec::with_capacity(written.len());
        for (parameter, written) in stage.parameters.iter().zip(written) {
            let target = format!("{}.{}", scope.address, parameter.name);
            let set = self.overridden(&target, &parameter.ty, *written);
            values.push(self.argument(stage, parameter, set.or(*written), callee, scope));
        }
        values
    }

    /// A port with its value, or with none where no program can be handed what is written.
    fn port(&mut self, name: &'a str, span: Span, written: &'a Expr, scope: &Scope) -> Port<'a> {
        let inner = scope.argument(name);
        let target = inner.address.to_string();
        let is_set = self.overrides.find(&target).is_some() && !self.dry;
        let mut value = if is_set { self.dry(|me| me.eval(written, &inner)) } else { self.eval(written, &inner) };
        let mut value_span = written.span;
        if let Some(set) = self.overridden(&target, &type_of(&value), None) {
            value = self.eval_as(set, &type_of(&value), &inner);
            value_span = set.span;
        }
        if name == OUT {
            let complaint = Diagnostic::error(span, "`out` is the folder that the program fills, and no port");
            self.diagnostics.push(complaint.hint("give the port another name"));
        }
        if let Some(complaint) = unfit(&value, name, value_span) {
            self.diagnostics.push(complaint);
            value = Value::MISTAKE;
        }
        Port { name, span, value, value_span }
    }

    /// Every place of the line must be filled, and every port should have one.
    fn check_places(
        &mut self,
        stage: &Signature<'_>,
        settings: &[Placed],
        written: &[Option<&'a Expr>],
        ports: &[Port<'a>],
        callee: Span,
    ) {
        let setting = |name: &str| stage.position(name).and_then(|at| settings.get(at).zip(written.get(at)));
        let mut texts: Vec<(String, Span, Option<&'a Expr>)> = Vec::new();
        let Some(((line, span), written)) = setting("line") else { return };
        let Value::Text(line) = line else { return };
        texts.push((line.clone(), *span, *written));
        if let Some(((Value::List(entries), span), written)) = setting("env") {
            let parts = match written.map(|it| &it.kind) {
                Some(ExprKind::List(parts)) if parts.len() == entries.len() => parts.iter().map(Some).collect(),
                _ => vec![None; entries.len()],
            };
            for (entry, part) in entries.iter().zip(parts) {
                let Value::Text(text) = &entry.value else { return };
                let span = part.map_or(*span, |it| it.span);
                if text.split_once('=').is_none_or(|(name, _)| name.trim().is_empty()) {
                    let complaint = Diagnostic::error(span, format!("expected `NAME=VALUE`, found `{text}`"));
                    self.diagnostics.push(complaint);
                }
                texts.push((text.clone(), span, part));
            }
        }
        let mut used: Vec<String> = Vec::new();
        for (text, span, written) in &texts {
            for (name, at) in places(text, self.sources.slice(*span), *written) {
                let span = at.map_or(*span, |at| {
                    let start = span.start as usize;
                    Span::new(span.source, start + at.start, start + at.end)
                });
                if name != OUT && !ports.iter().any(|it| it.name == name) {
                    let names = ports.iter().map(|it| it.name).chain([OUT]);
                    let hint = did_you_mean(&name, names)
                        .unwrap_or_else(|| format!("add `{name} = ..`, or write `{{{{{name}}}}}` for the text itself"));
                    let complaint = Diagnostic::error(span, format!("`{{{name}}}` is no port of the command"));
                    self.diagnostics.push(complaint.hint(hint));
                }
                used.push(name);
            }
        }
        if !used.iter().any(|it| it == OUT) {
            let span = texts.first().map_or(callee, |(_, span, _)| *span);
            let complaint = Diagnostic::error(span, "the command does not mention `{out}`, the folder to fill");
            self.diagnostics.push(complaint.hint("hand it to the program, such as `--output_dir {out}`"));
        }
        for port in ports.iter().filter(|port| !used.iter().any(|it| it == port.name)) {
            let complaint = Diagnostic::warning(port.span, format!("the command does not mention `{{{}}}`", port.name));
            self.diagnostics.push(complaint.hint("the program is not told of it, but runs again when it changes"));
        }
    }

    /// What makes a model learns from its data, for all that anybody knows.
    fn check_labels(&mut self, returns: &Type, ports: &[Port<'a>], scope: &Scope) {
        if !matches!(returns, Type::Model | Type::RewardModel | Type::Tokenizer) {
            return;
        }
        for port in ports {
            let mut datasets = port.value.artifacts().filter(|it| matches!(it.ty, Type::Dataset(_)));
            let taint = datasets.find_map(|it| it.taint.clone());
            if let Some(taint) = taint {
                self.diagnostics.push(taint.refused(port.value_span, COMMAND, port.name, &scope.address.to_string()));
            }
        }
    }
}
