//! Names that nothing uses. They are no errors, but a step that nobody asked for costs as much as one that somebody did.

use std::collections::HashSet;

use crate::{
    base::diagnostic::{Diagnostic, Diagnostics},
    syntax::ast::{Expr, ExprKind, File, Item, Name, StageBody, StageItem},
};

/// A warning for each name of a recipe, and of the stages that it defines, that has no use.
#[must_use]
pub fn unused(recipe: &File) -> Diagnostics {
    let mut used = Used::default();
    used.items(&recipe.items);
    // Without an output it is not said what the recipe is for.
    let has_outputs = recipe.items.iter().any(|it| matches!(it, Item::Output(_)));
    for item in &recipe.items {
        match item {
            Item::Param(param) => used.expect(&param.name, "the param"),
            Item::Input(input) => used.expect(&input.name, "the input"),
            Item::Binding(binding) if has_outputs => used.expect_output(&binding.name),
            Item::Use(item) => item.file.iter().for_each(|(_, alias)| used.expect(alias, "the recipe")),
            Item::Stage(stage) => used.stage(stage),
            _ => {}
        }
    }
    used.warnings
}

/// What is used in some items, and what is not.
#[derive(Default)]
struct Used<'a> {
    /// Only ever asked whether they hold a name.
    names: HashSet<&'a str>,
    warnings: Diagnostics,
}

impl<'a> Used<'a> {
    fn expect(&mut self, name: &Name, what: &str) {
        if !self.names.contains(name.text.as_str()) {
            let message = format!("nothing uses {what} `{}`", name.text);
            self.warnings.push(Diagnostic::warning(name.span, message).hint("use it or remove it"));
        }
    }

    fn expect_output(&mut self, name: &Name) {
        if !self.names.contains(name.text.as_str()) {
            let message = format!("nothing uses `{}`, and it is no output", name.text);
            let hint = format!("write `output {}` if it is wanted, or remove it", name.text);
            self.warnings.push(Diagnostic::warning(name.span, message).hint(hint));
        }
    }

    /// What a stage defines for itself.
    fn stage(&mut self, stage: &'a StageItem) {
        let StageBody::Items(items) = &stage.body else { return };
        let mut used = Used::default();
        used.items(items);
        stage.params.iter().for_each(|it| used.expect(&it.name, "the parameter"));
        for item in items {
            if let Item::Binding(binding) = item {
                used.expect_output(&binding.name);
            }
        }
        self.warnings.extend(used.warnings);
    }

    fn items(&mut self, items: &'a [Item]) {
        for item in items {
            match item {
                Item::Param(param) => {
                    self.exprs(&param.default);
                    self.exprs(param.range.iter().flat_map(|(low, high)| [low, high]));
                }
                Item::Input(input) => self.exprs(&input.default),
                Item::Binding(binding) => self.expr(&binding.value),
                Item::Require(require) => self.expr(&require.condition),
                Item::Output(output) => self.names.extend(output.names.iter().map(|it| it.text.as_str())),
                // The items of these have a scope of their own, in which only stages are seen from outside.
                Item::Stage(stage) => {
                    if let StageBody::Items(items) = &stage.body {
                        self.inner(items);
                    }
                }
                Item::Test(test) => self.inner(&test.items),
                Item::Use(_) => {}
            }
        }
    }

    /// Items of another scope: what they call is used here.
    fn inner(&mut self, items: &'a [Item]) {
        let mut used = Used::default();
        used.items(items);
        let own: HashSet<&str> = items.iter().filter_map(defined).collect();
        self.names.extend(used.names.difference(&own));
        self.warnings.extend(used.warnings);
    }

    fn exprs(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) {
        exprs.into_iter().for_each(|it| self.expr(it));
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Bool(_) | ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Text(_) => {}
            ExprKind::Amount { .. } | ExprKind::Missing => {}
            ExprKind::Name(name) => drop(self.names.insert(name)),
            ExprKind::List(members) => self.exprs(members),
            ExprKind::Call { callee, arguments } => {
                self.expr(callee);
                self.exprs(arguments.iter().map(|it| &it.value));
            }
            ExprKind::Typed { call: of, .. } | ExprKind::Field { of, .. } | ExprKind::Unary { operand: of, .. } => {
                self.expr(of);
            }
            ExprKind::Index { of, index } => self.exprs([&**of, index]),
            ExprKind::Binary { left, right, .. } => self.exprs([&**left, right]),
            ExprKind::Range { from, to } => self.exprs([&**from, to]),
            ExprKind::Then { first, next, after } => self.exprs([&**first, next, after]),
            ExprKind::If { condition, then, otherwise } => self.exprs([&**condition, then, otherwise]),
            ExprKind::For { clauses, body } => {
                self.exprs(clauses.iter().map(|(_, over)| over));
                let used = self.body(body);
                for (name, _) in clauses.iter().filter(|(name, _)| !used.contains(name.text.as_str())) {
                    let message = format!("the body does not use `{}`", name.text);
                    let hint = format!("each member is the same step; hand it on, such as `{0} = {0}`", name.text);
                    self.warnings.push(Diagnostic::warning(name.span, message).hint(hint));
                }
            }
            ExprKind::Repeat { clause, from, start, body } => {
                self.exprs([&clause.1, start]);
                if !self.body(body).contains(from.text.as_str()) {
                    let message = format!("the body does not use `{}`", from.text);
                    let hint = "no round goes on from the one before";
                    self.warnings.push(Diagnostic::warning(from.span, message).hint(hint));
                }
            }
        }
    }

    /// What the body of a loop uses.
    fn body(&mut self, body: &'a Expr) -> HashSet<&'a str> {
        let mut used = Used::default();
        used.expr(body);
        self.names.extend(&used.names);
        self.warnings.extend(used.warnings);
        used.names
    }
}

/// The name that an item defines, where it defines one.
fn defined(item: &Item) -> Option<&str> {
    match item {
        Item::Param(it) => Some(&it.name.text),
        Item::Input(it) => Some(&it.name.text),
        Item::Binding(it) => Some(&it.name.text),
        _ => None,
    }
}
