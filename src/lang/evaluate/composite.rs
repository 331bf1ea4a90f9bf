//! Composite stages: a call expands into the steps of the body, at addresses below the call's own.

use super::{
    Evaluator,
    calls::Placed,
    coerce::stand_in,
    items::named,
    scope::{Definition, Entry, FrameId, Scope, State},
};
use crate::{
    base::{diagnostic::Diagnostic, span::Span},
    lang::{
        signature::{Signature, duplicate},
        types::Type,
        values::Value,
    },
    syntax::ast::{Expr, File, Item, Name},
};

/// Stages that use stages twice, and those again, double with each line; a slip should not make a million steps.
const MOST_EXPANSIONS: usize = 10_000;

impl<'a> Evaluator<'a> {
    /// Checks every definition by itself, so that a stage that is never called has its mistakes found too.
    pub(super) fn check_stages(&mut self) {
        let stages = self.stages;
        for stage in stages.iter() {
            let outside = Scope::new(FrameId::EMPTY, "");
            for parameter in stage.parameters.iter().filter(|_| !stage.is_recipe) {
                if let Some(default) = parameter.default {
                    self.dry(|me| me.ranged(default, &parameter.ty, parameter.range, &outside));
                }
            }
            let Some(body) = stage.body else { continue };
            if stage.is_recipe {
                let written = vec![None; stage.parameters.len()];
                let scope = Scope::new(FrameId::EMPTY, &stage.path);
                self.dry(|me| me.apply_recipe(stage, written, stage.span, &scope));
                continue;
            }
            for item in body {
                self.check_item(item, "a stage");
            }
            let values = stage.parameters.iter().map(|it| Some((stand_in(&it.ty), it.span))).collect();
            let scope = Scope::new(FrameId::EMPTY, &stage.path);
            self.dry(|me| me.expand(stage, body, values, stage.span, &scope));
        }
    }

    /// Checks the body of every test, and gives their names.
    pub(super) fn check_tests(&mut self, recipe: &'a File) -> Vec<String> {
        let mut names: Vec<&Name> = Vec::new();
        for item in &recipe.items {
            let Item::Test(test) = item else { continue };
            if let Some(first) = names.iter().find(|it| it.text == test.name.text) {
                self.diagnostics.push(duplicate(&test.name, first.span));
            }
            names.push(&test.name);
            for item in &test.items {
                self.check_item(item, "a test");
            }
            self.dry(|me| {
                let id = me.open(&test.items, String::new(), recipe.source());
                me.entries(id);
            });
        }
        names.into_iter().map(|it| it.text.clone()).collect()
    }

    fn check_item(&mut self, item: &'a Item, place: &str) {
        let (span, word, hint) = match item {
            Item::Param(param) if place == "a stage" => (param.span, "param", "write it between the parentheses"),
            Item::Input(input) if place == "a stage" => (input.span, "input", "write it between the parentheses"),
            Item::Param(param) => (param.span, "param", "give the value a name: `name = ..`"),
            Item::Input(input) => (input.span, "input", "give the data a name: `name = ..`"),
            Item::Stage(stage) => (stage.span, "stage", "define it beside this one"),
            Item::Test(test) => (test.name.span, "test", "write it beside this one"),
            Item::Use(item) => (item.span, "use", "write it at the head of the file"),
            Item::Binding(_) | Item::Require(_) | Item::Output(_) => return,
        };
        let complaint = Diagnostic::error(span, format!("`{word}` cannot stand in the body of {place}"));
        self.diagnostics.push(complaint.hint(hint));
    }

    /// The result of a composite stage, its steps added.
    pub(super) fn expand(
        &mut self,
        stage: &'a Signature<'a>,
        body: &'a [Item],
        values: Vec<Option<Placed>>,
        span: Span,
        scope: &Scope,
    ) -> Value {
        if let Some(at) = self.expanding.iter().position(|it| *it == stage.path) {
            let path: Vec<&str> = self.expanding.iter().skip(at).copied().chain([stage.path.as_str()]).collect();
            let complaint = Diagnostic::error(span, format!("the stage `{}` uses itself", stage.path))
                .note(format!("the cycle is {}", path.join(" -> ")));
            self.diagnostics.push(complaint);
            return stand_in(&stage.returns);
        }
        self.expansions += 1;
        if self.expansions > MOST_EXPANSIONS {
            let message = format!("the recipe expands into more than {MOST_EXPANSIONS} uses of its own stages");
            self.diagnostics.push(Diagnostic::error(stage.span, message).hint("use fewer stages within stages"));
            return stand_in(&stage.returns);
        }
        let id = self.open(body, format!("{}.", scope.address), stage.span.source);
        self.give(id, stage, values);
        self.expanding.push(&stage.path);
        // Names of the caller are no part of a cycle in here.
        let path = std::mem::take(&mut self.path);
        self.entries(id);
        // A recipe without outputs is of use for its stages; only a call of it is a mistake.
        let is_called = !(stage.is_recipe && scope.frame == FrameId::EMPTY);
        let value = if is_called { self.result(id, stage, span) } else { Value::MISTAKE };
        self.path = path;
        self.expanding.pop();
        value
    }

    /// The result of a recipe used as a stage. Params and inputs that are not given keep what the recipe gives them.
    pub(super) fn apply_recipe(
        &mut self,
        stage: &'a Signature<'a>,
        written: Vec<Option<&'a Expr>>,
        span: Span,
        scope: &Scope,
    ) -> Value {
        let Some(body) = stage.body else { return Value::MISTAKE };
        let mut values = Vec::with_capacity(written.len());
        for (parameter, written) in stage.parameters.iter().zip(written) {
            let target = format!("{}.{}", scope.address, parameter.name);
            let given = self.overridden(&target, &parameter.ty, None).or(written);
            values.push(match given {
                Some(_) => Some(self.argument(stage, parameter, given, span, scope)),
                None if parameter.default.is_none() => Some((stand_in(&parameter.ty), span)),
                None => None,
            });
        }
        let inputs = body.iter().filter_map(|it| if let Item::Input(input) = it { Some(input) } else { None });
        for input in inputs {
            let Some(at) = stage.position(&input.name.text) else { continue };
            if let Some(Some((value, _))) = values.get_mut(at) {
                *value = named(std::mem::replace(value, Value::None), &input.name, input.label.as_ref());
            }
        }
        self.expand(stage, body, values, span, scope)
    }

    /// Puts the parameters into the frame of the body.
    fn give(&mut self, id: FrameId, stage: &'a Signature<'a>, values: Vec<Option<Placed>>) {
        for (parameter, value) in stage.parameters.iter().zip(values) {
            let Some((value, span)) = value else { continue };
            let (name, definition) = (parameter.name, Definition::Given);
            let Some(frame) = self.frames.get_mut(id.0) else { return };
            let taken = frame.insert(Entry { name, definition, span, state: State::Done(value) });
            if let Some(taken) = taken.filter(|_| !stage.is_recipe) {
                let name = Name { text: parameter.name.to_owned(), span: taken.span };
                self.diagnostics.push(duplicate(&name, parameter.span));
            }
        }
    }

    /// What the body's one output is.
    fn result(&mut self, id: FrameId, stage: &Signature<'a>, span: Span) -> Value {
        let outputs = self.frame(id).map(|it| it.outputs.clone()).unwrap_or_default();
        let names: Vec<&'a Name> = outputs.iter().flat_map(|it| &it.names).collect();
        if stage.is_recipe && names.len() > 1 {
            let mut value = |name: &&'a Name| {
                let address = self.place(id, &name.text);
                (name.text.clone(), self.name(&name.text, name.span, &Scope::new(id, &address)))
            };
            return Value::Record(names.iter().map(&mut value).collect());
        }
        if stage.is_recipe && names.is_empty() {
            let complaint = Diagnostic::error(span, format!("the recipe `{}` has no output", stage.path));
            return self.mistake(complaint.hint("add `output name` to it"));
        }
        let [name] = names.as_slice() else {
            let (span, message) = match names.get(1) {
                Some(second) => (second.span, format!("the stage `{}` has more than one output", stage.path)),
                None => (stage.span, format!("the stage `{}` has no output", stage.path)),
            };
            let hint = format!("end the body with `output name`, the {} that it gives", stage.returns);
            self.diagnostics.push(Diagnostic::error(span, message).hint(hint));
            return stand_in(&stage.returns);
        };
        let address = self.place(id, &name.text);
        let scope = Scope::new(id, &address);
        let value = self.name(&name.text, name.span, &scope);
        // `Dataset` without a kind leaves it to the body what the rows are.
        match (&stage.returns, value) {
            (Type::Dataset(_), Value::Artifact(artifact)) if stage.returns.accepts(&artifact.ty) => {
                Value::Artifact(artifact)
            }
            (returns, value) => self.coerce(value, returns, name.span, &scope),
        }
    }
}
