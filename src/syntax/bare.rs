//! A syntax tree without its places, so that two texts can be told to say the same.

use crate::{
    base::span::Span,
    syntax::ast::{Expr, ExprKind, File, Item, Name, StageBody, Type, TypeKind},
};

/// The tree with every span the same.
#[must_use]
pub fn bare(mut file: File) -> File {
    file.items.iter_mut().for_each(item);
    file
}

fn item(item: &mut Item) {
    match item {
        Item::Use(it) => {
            it.path.iter_mut().chain(&mut it.names).for_each(name);
            it.file.iter_mut().flat_map(|(file, alias)| [file, alias]).for_each(name);
            it.span = Span::default();
        }
        Item::Param(it) => {
            name(&mut it.name);
            ty(&mut it.ty);
            it.default.iter_mut().for_each(expr);
            it.range.iter_mut().for_each(pair);
            it.span = Span::default();
        }
        Item::Input(it) => {
            name(&mut it.name);
            ty(&mut it.ty);
            it.default.iter_mut().for_each(expr);
            it.pin.iter_mut().for_each(name);
            it.label.iter_mut().for_each(name);
            it.span = Span::default();
        }
        Item::Binding(it) => {
            name(&mut it.name);
            expr(&mut it.value);
            it.label.iter_mut().for_each(name);
            it.span = Span::default();
        }
        Item::Stage(it) => {
            it.path.iter_mut().for_each(name);
            for param in &mut it.params {
                name(&mut param.name);
                ty(&mut param.ty);
                param.default.iter_mut().for_each(expr);
                param.range.iter_mut().for_each(pair);
                param.label.iter_mut().for_each(name);
                param.span = Span::default();
            }
            ty(&mut it.returns);
            if let StageBody::Items(items) = &mut it.body {
                items.iter_mut().for_each(self::item);
            }
            it.span = Span::default();
        }
        Item::Test(it) => {
            name(&mut it.name);
            it.items.iter_mut().for_each(self::item);
            it.span = Span::default();
        }
        Item::Require(it) => {
            expr(&mut it.condition);
            it.span = Span::default();
        }
        Item::Output(it) => {
            it.names.iter_mut().for_each(name);
            it.span = Span::default();
        }
    }
}

fn name(name: &mut Name) {
    name.span = Span::default();
}

fn pair((from, to): &mut (Expr, Expr)) {
    expr(from);
    expr(to);
}

fn ty(written: &mut Type) {
    written.span = Span::default();
    match &mut written.kind {
        TypeKind::Named { name: it, arguments } => {
            name(it);
            arguments.iter_mut().for_each(ty);
        }
        TypeKind::Union(parts) => parts.iter_mut().for_each(ty),
        TypeKind::Optional(inner) => ty(inner),
        TypeKind::Text(_) => {}
    }
}

fn expr(it: &mut Expr) {
    it.span = Span::default();
    match &mut it.kind {
        ExprKind::List(elements) => elements.iter_mut().for_each(expr),
        ExprKind::Call { callee, arguments } => {
            expr(callee);
            for argument in arguments {
                argument.name.iter_mut().for_each(name);
                expr(&mut argument.value);
            }
        }
        ExprKind::Field { of, name: it } => {
            expr(of);
            name(it);
        }
        ExprKind::Typed { call, ty: it } => {
            expr(call);
            ty(it);
        }
        ExprKind::Unary { operand, .. } => expr(operand),
        ExprKind::Index { of: left, index: right }
        | ExprKind::Binary { left, right, .. }
        | ExprKind::Range { from: left, to: right } => {
            expr(left);
            expr(right);
        }
        ExprKind::Then { first, next, after } => [first, next, after].into_iter().for_each(|it| expr(it)),
        ExprKind::If { condition, then, otherwise } => {
            [condition, then, otherwise].into_iter().for_each(|it| expr(it));
        }
        ExprKind::For { clauses, body } => {
            for (it, source) in clauses {
                name(it);
                expr(source);
            }
            expr(body);
        }
        ExprKind::Repeat { clause, from, start, body } => {
            let (it, source) = &mut **clause;
            name(it);
            name(from);
            [source, start, body].into_iter().for_each(expr);
        }
        ExprKind::Amount { unit, .. } => name(unit),
        ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Text(_)
        | ExprKind::Name(_)
        | ExprKind::Missing => {}
    }
}
