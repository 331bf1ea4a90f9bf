//! In which order the names of a frame are evaluated: what is needed first, so that a long chain of bindings is no deep
//! recursion, in whatever order its lines stand.

use super::scope::{Definition, Frame};
use crate::syntax::ast::{Expr, ExprKind};

/// The number of every name of a frame after those that it needs; names in a cycle come in some order, and are found out
/// later.
pub(super) fn order(frame: &Frame) -> Vec<usize> {
    let mut order = Vec::with_capacity(frame.len());
    let mut seen = vec![false; frame.len()];
    let mut first = |number: usize| seen.get_mut(number).is_some_and(|it| !std::mem::replace(it, true));
    let mut stack: Vec<(usize, Vec<usize>)> = Vec::new();
    for number in 0..frame.len() {
        if first(number) {
            stack.push((number, needs(frame, number)));
        }
        while let Some((number, needed)) = stack.last_mut() {
            match needed.pop() {
                Some(next) if first(next) => stack.push((next, needs(frame, next))),
                Some(_) => {}
                None => {
                    order.push(*number);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// The numbers of the names of the frame that the value of a name mentions.
fn needs(frame: &Frame, number: usize) -> Vec<usize> {
    let expr = match frame.entry(number).map(|it| it.definition) {
        Some(Definition::Param(param)) => param.default.as_ref(),
        Some(Definition::Input(input)) => input.default.as_ref(),
        Some(Definition::Binding(binding)) => Some(&binding.value),
        Some(Definition::Given) | None => None,
    };
    let mut numbers = Vec::new();
    if let Some(expr) = expr {
        mentions(expr, &mut |name| numbers.extend(frame.number(name)));
    }
    numbers
}

/// Hands over every name that an expression mentions.
fn mentions(expr: &Expr, each: &mut dyn FnMut(&str)) {
    let mut go = |it: &Expr| mentions(it, each);
    match &expr.kind {
        ExprKind::Name(name) => each(name),
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
