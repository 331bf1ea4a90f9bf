//! Every name in a recipe, with the place where it is defined.

use std::collections::BTreeMap;

use crate::{
    base::span::{SourceId, Span},
    lang::names::Stages,
    syntax::ast::{Argument, Expr, ExprKind, File, Item, Name, StageBody, StageItem},
};

/// The names of one recipe.
#[derive(Debug, Default)]
pub struct Index {
    pub names: Vec<Occurrence>,
}

/// A name at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub span: Span,
    /// Where the name is defined, which also tells names apart. A whole recipe is defined at its start.
    pub definition: Span,
    /// Whether it stands for an argument and its value at once, as `seed` does for `seed = seed`.
    pub is_both: bool,
}

impl Index {
    #[must_use]
    pub fn new(file: &File, source: SourceId, stages: &Stages<'_>) -> Self {
        let mut walk = Walk { stages, source, frame: BTreeMap::new(), locals: Vec::new(), found: Vec::new() };
        walk.frame = defined(&file.items);
        walk.items(&file.items);
        Self { names: walk.found }
    }

    /// The name at a byte, the narrowest where several do.
    #[must_use]
    pub fn at(&self, offset: usize) -> Option<Occurrence> {
        let holds = |it: &&Occurrence| (it.span.start as usize..=it.span.end as usize).contains(&offset);
        self.names.iter().filter(holds).min_by_key(|it| it.span.end - it.span.start).copied()
    }

    /// Every place of one name.
    pub fn of(&self, definition: Span) -> impl Iterator<Item = &Occurrence> {
        self.names.iter().filter(move |it| it.definition == definition)
    }
}

/// The names that items define.
fn defined(items: &[Item]) -> BTreeMap<String, Span> {
    let mut found = BTreeMap::new();
    for item in items {
        let name = match item {
            Item::Param(it) => &it.name,
            Item::Input(it) => &it.name,
            Item::Binding(it) => &it.name,
            _ => continue,
        };
        found.entry(name.text.clone()).or_insert(name.span);
    }
    found
}

struct Walk<'a> {
    stages: &'a Stages<'a>,
    source: SourceId,
    frame: BTreeMap<String, Span>,
    locals: Vec<(String, Span)>,
    found: Vec<Occurrence>,
}

impl Walk<'_> {
    fn add(&mut self, span: Span, definition: Span) {
        self.found.push(Occurrence { span, definition, is_both: false });
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Use(it) => {
                    if let Some((file, alias)) = &it.file
                        && let Some(signature) = self.stages.get(self.source, &alias.text)
                    {
                        self.add(file.span, signature.span);
                        self.add(alias.span, signature.span);
                    }
                    for name in &it.names {
                        self.stage(&name.text, name.span);
                    }
                }
                Item::Param(it) => {
                    self.add(it.name.span, it.name.span);
                    it.default.iter().for_each(|it| self.expr(it));
                    it.range.iter().for_each(|(low, high)| [low, high].into_iter().for_each(|it| self.expr(it)));
                }
                Item::Input(it) => {
                    self.add(it.name.span, it.name.span);
                    it.default.iter().for_each(|it| self.expr(it));
                }
                Item::Binding(it) => {
                    self.add(it.name.span, it.name.span);
                    self.expr(&it.value);
                }
                Item::Stage(it) => self.defined_stage(it),
                Item::Test(it) => {
                    let outer = std::mem::replace(&mut self.frame, defined(&it.items));
                    self.items(&it.items);
                    self.frame = outer;
                }
                Item::Require(it) => self.expr(&it.condition),
                Item::Output(it) => it.names.iter().for_each(|name| self.name(&name.text, name.span)),
            }
        }
    }

    /// A stage sees its parameters and its own names only.
    fn defined_stage(&mut self, stage: &StageItem) {
        if let Some(span) = stage.path.iter().map(|it| it.span).reduce(Span::to) {
            self.add(span, span);
        }
        for param in &stage.params {
            self.add(param.name.span, param.name.span);
            param.default.iter().for_each(|it| self.expr(it));
        }
        let StageBody::Items(items) = &stage.body else { return };
        let mut inner = defined(items);
        inner.extend(stage.params.iter().map(|it| (it.name.text.clone(), it.name.span)));
        let outer = std::mem::replace(&mut self.frame, inner);
        self.items(items);
        self.frame = outer;
    }

    fn stage(&mut self, path: &str, span: Span) {
        if let Some(signature) = self.stages.get(self.source, path) {
            self.add(span, signature.span);
        }
    }

    fn resolve(&self, name: &str) -> Option<Span> {
        let local = self.locals.iter().rev().find(|(it, _)| it == name).map(|(_, span)| *span);
        local.or_else(|| self.frame.get(name).copied())
    }

    fn name(&mut self, name: &str, span: Span) {
        match self.resolve(name) {
            Some(definition) => self.add(span, definition),
            None => self.stage(name, span),
        }
    }

    fn within(&mut self, names: &[&Name], body: &Expr) {
        let before = self.locals.len();
        for name in names {
            self.add(name.span, name.span);
            self.locals.push((name.text.clone(), name.span));
        }
        self.expr(body);
        self.locals.truncate(before);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::List(elements) => elements.iter().for_each(|it| self.expr(it)),
            ExprKind::Call { callee, arguments } => self.call(callee, arguments),
            ExprKind::Field { of, .. } | ExprKind::Typed { call: of, .. } => self.expr(of),
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Index { of: left, index: right }
            | ExprKind::Binary { left, right, .. }
            | ExprKind::Range { from: left, to: right } => [left, right].into_iter().for_each(|it| self.expr(it)),
            ExprKind::Then { first, next, after } => [first, next, after].into_iter().for_each(|it| self.expr(it)),
            ExprKind::If { condition, then, otherwise } => {
                [condition, then, otherwise].into_iter().for_each(|it| self.expr(it));
            }
            ExprKind::For { clauses, body } => {
                clauses.iter().for_each(|(_, source)| self.expr(source));
                let names: Vec<&Name> = clauses.iter().map(|(name, _)| name).collect();
                self.within(&names, body);
            }
            ExprKind::Repeat { clause, from, start, body } => {
                let (name, source) = &**clause;
                self.expr(source);
                // Without `= ..` the name stands for what it is outside as well.
                if start.span == from.span {
                    self.name(&from.text, from.span);
                } else {
                    self.expr(start);
                }
                self.within(&[name, from], body);
            }
            ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Text(_)
            | ExprKind::Amount { .. }
            | ExprKind::Missing => {}
        }
    }

    fn call(&mut self, callee: &Expr, arguments: &[Argument]) {
        let path = path(callee);
        let signature = path.as_deref().and_then(|path| self.stages.get(self.source, path));
        if let Some(signature) = signature {
            self.add(callee.span, signature.span);
        }
        for argument in arguments {
            let parameter =
                |name: &str| signature?.parameters.iter().find(|it| it.name == name).map(|it| (it.span, it.positional));
            match (&argument.name, &argument.value.kind) {
                (Some(name), _) => {
                    if let Some((definition, _)) = parameter(&name.text) {
                        self.add(name.span, definition);
                    }
                    self.expr(&argument.value);
                }
                (None, ExprKind::Name(name)) if parameter(name).is_some_and(|(_, positional)| !positional) => {
                    if let Some(definition) = self.resolve(name) {
                        self.found.push(Occurrence { span: argument.value.span, definition, is_both: true });
                    }
                }
                _ => self.expr(&argument.value),
            }
        }
    }
}

/// `sft`, or `merge.linear`.
pub fn path(callee: &Expr) -> Option<String> {
    match &callee.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Field { of, name } => Some(format!("{}.{}", path(of)?, name.text)),
        _ => None,
    }
}
