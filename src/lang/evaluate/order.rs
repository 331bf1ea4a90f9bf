//! In which order the names of a frame are evaluated: what is needed first, so that a long chain of bindings is no deep
//! recursion, in whatever order its lines stand.

use super::scope::{Definition, Frame};
use crate::syntax::ast::{Expr, ExprKind};

/// Every name of a frame after those that it needs; names in a cycle come in some order, and are found out later.
pub(super) fn order<'a>(frame: &Frame<'a>) -> Vec<&'a str> {
    let mut order = Vec::with_capacity(frame.order.len());
    let mut seen = vec![false; frame.order.len()];
    let mut first = |number: usize| seen.get_mut(number).is_some_and(|it| !std::mem::replace(it, true));
    let mut stack: Vec<(&'a str, Vec<(usize, &'a str)>)> = Vec::new();
    for (number, &name) in frame.order.iter().enumerate() {
        if first(number) {
            stack.push((name, needs(frame, name)));
        }
        while let Some((name, needed)) = stack.last_mut() {
            match needed.pop() {
                Some((number, next)) if first(number) => stack.push((next, needs(frame, next))),
                Some(_) => {}
                None => {
                    order.push(*name);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// The names of the frame that the value of a name mentions, with their numbers.
fn needs<'a>(frame: &Frame<'a>, name: &str) -> Vec<(usize, &'a str)> {
    let expr = match frame.entries.get(name).map(|it| it.definition) {
        Some(Definition::Param(param)) => param.default.as_ref(),
        Some(Definition::Input(input)) => input.default.as_ref(),
        Some(Definition::Binding(binding)) => Some(&binding.value),
        Some(Definition::Given) | None => None,
    };
    let mut names = Vec::new();
    if let Some(expr) = expr {
        mentions(expr, &mut names);
    }
    names.into_iter().filter_map(|it| Some((frame.entries.get(it)?.number, it))).collect()
}

fn mentions<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
    let mut go = |it: &'a Expr| mentions(it, names);
    match &expr.kind {
        ExprKind::Name(name) => names.push(name),
        ExprKind::List(elements) => elements.iter().for_each(go),
        // The callee is a stage, whatever else has its name.
        ExprKind::Call { arguments, .. } => arguments.iter().for_each(|it| go(&it.value)),
        ExprKind::Field { of, .. } | ExprKind::Typed { call: of, .. } => go(of),
        ExprKind::Unary { operand, .. } => go(operand),
        ExprKind::Index { of: left, index: right }
        | ExprKind::Binary { left, right, .. }
        | ExprKind::Range { from: left, to: right } => [left, right].into_iter().for_each(|it| go(it)),
        ExprKind::Then { first, next, after } => [first, next, after].into_iter().for_each(|it| go(it)),
        ExprKind::If { condition, then, otherwise } => [condition, then, otherwise].into_iter().for_each(|it| go(it)),
        ExprKind::For { clauses, body } => {
            clauses.iter().for_each(|(_, it)| go(it));
            go(body);
        }
        ExprKind::Repeat { clause, start, body, .. } => {
            go(&clause.1);
            [start, body].into_iter().for_each(|it| go(it));
        }
        ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Text(_)
        | ExprKind::Amount { .. }
        | ExprKind::Missing => {}
    }
}
