//! Which argument of a call fills which parameter.

use super::{Evaluator, scope::Scope};
use crate::{
    base::{
        diagnostic::Diagnostic,
        span::Span,
        suggest::{did_you_mean, nearest},
        units::Unit,
    },
    lang::{foreign, signature::Signature, types::Type},
    syntax::ast::{Argument, Expr, ExprKind},
};

impl<'a> Evaluator<'a> {
    /// The expression for each parameter, where the call gives one: inputs and files by position, the others by name.
    pub(super) fn bind(
        &mut self,
        stage: &'a Signature<'a>,
        callee: Span,
        arguments: &'a [Argument],
        scope: &Scope,
    ) -> Vec<Option<&'a Expr>> {
        let mut bound: Vec<Option<&'a Expr>> = vec![None; stage.parameters.len()];
        let mut unnamed = Vec::new();
        // Parameters that a mistyped name may have meant are not complained of again.
        let mut meant: Vec<&str> = Vec::new();
        for argument in arguments {
            let (name, span) = match (&argument.name, &argument.value.kind) {
                (Some(name), _) => (name.text.as_str(), name.span),
                // A name that is also a parameter's stands for itself.
                (None, ExprKind::Name(name)) if stage.parameters.iter().any(|it| it.name == name && !it.positional) => {
                    (name.as_str(), argument.value.span)
                }
                _ => {
                    unnamed.push(&argument.value);
                    continue;
                }
            };
            let Some(position) = stage.position(name) else {
                meant.extend(nearest(name, stage.parameters.iter().map(|it| it.name)));
                self.unknown_argument(stage, name, span);
                self.dry(|me| me.eval(&argument.value, scope));
                continue;
            };
            match bound.get_mut(position) {
                Some(Some(first)) => {
                    let complaint = Diagnostic::error(span, format!("`{name}` is given twice"));
                    self.diagnostics.push(complaint.label(first.span, "first given here"));
                }
                Some(slot) => *slot = Some(&argument.value),
                None => {}
            }
        }
        self.bind_unnamed(stage, unnamed, &mut bound, scope);
        self.check_required(stage, callee, &bound, &meant, scope);
        bound
    }

    fn bind_unnamed(
        &mut self,
        stage: &'a Signature<'a>,
        unnamed: Vec<&'a Expr>,
        bound: &mut [Option<&'a Expr>],
        scope: &Scope,
    ) {
        let mut unnamed = unnamed.into_iter();
        let slots = stage.parameters.iter().zip(bound.iter_mut());
        let free = slots.filter(|(parameter, slot)| stage.goes_by_position(parameter) && slot.is_none());
        for ((_, slot), expr) in free.zip(unnamed.by_ref()) {
            *slot = Some(expr);
        }
        for expr in unnamed {
            let inputs = stage.parameters.iter().filter(|it| stage.goes_by_position(it));
            let inputs: Vec<&str> = inputs.map(|it| it.name).collect();
            let message = match inputs.as_slice() {
                [] => format!("`{}` takes no inputs by position", stage.path),
                [one] => format!("`{}` takes one input by position, `{one}`", stage.path),
                many => format!("`{}` takes {} inputs by position: {}", stage.path, many.len(), many.join(", ")),
            };
            let named = || stage.parameters.iter().filter(|it| !it.positional);
            let likely = named().find(|it| suits(&it.ty, &expr.kind)).or_else(|| named().next());
            let hint = match (&expr.kind, likely) {
                (ExprKind::Name(name), _) => match did_you_mean(name, stage.parameters.iter().map(|it| it.name)) {
                    Some(hint) => hint,
                    None => format!("give everything else by name: `argument = {name}`"),
                },
                (_, Some(first)) => {
                    format!(
                        "give everything else by name, such as `{} = {}`",
                        first.name,
                        self.sources.slice(expr.span)
                    )
                }
                (_, None) => "leave it out".to_owned(),
            };
            if !hint.starts_with("did you mean") {
                self.dry(|me| me.eval(expr, scope));
            }
            self.diagnostics.push(Diagnostic::error(expr.span, message).hint(hint));
        }
    }

    fn unknown_argument(&mut self, stage: &Signature<'_>, name: &str, span: Span) {
        let names = || stage.parameters.iter().map(|it| it.name);
        let ours = || foreign::argument(name, |ours| names().any(|it| it == ours));
        let hint =
            ours().or_else(|| did_you_mean(name, names())).unwrap_or_else(|| match stage.parameters.is_empty() {
                true => "it takes none".to_owned(),
                false => format!("it takes {}", names().collect::<Vec<_>>().join(", ")),
            });
        self.diagnostics.push(Diagnostic::error(span, format!("`{}` has no argument `{name}`", stage.path)).hint(hint));
    }

    fn check_required(
        &mut self,
        stage: &Signature<'_>,
        callee: Span,
        bound: &[Option<&'a Expr>],
        meant: &[&str],
        scope: &Scope,
    ) {
        let open = stage.parameters.iter().zip(bound).filter(|(it, _)| !meant.contains(&it.name));
        for (parameter, given) in open {
            let target = || format!("{}.{}", scope.address, parameter.name);
            let set = || self.overrides.find(&target()).is_some() && !self.dry;
            if given.is_none() && parameter.is_required() && !set() {
                let message = format!("`{}` needs `{}: {}`", stage.path, parameter.name, parameter.ty);
                let hint = match parameter.positional {
                    true if stage.is_value() => format!("write it between the parentheses: `{}(..)`", stage.path),
                    true => format!("put a {} in its place", parameter.ty),
                    false => format!("add `{} = ..`", parameter.name),
                };
                self.diagnostics.push(Diagnostic::error(callee, message).hint(hint));
            }
        }
    }
}

/// Whether a literal is what a type asks for.
fn suits(ty: &Type, literal: &ExprKind) -> bool {
    match (ty.present(), literal) {
        (Type::Schedule(inner), literal) => suits(inner, literal),
        (Type::Amount(units), ExprKind::Amount { unit, .. }) => {
            Unit::parse(&unit.text).is_some_and(|(unit, _)| units.contains(&unit))
        }
        (Type::Int, ExprKind::Int(_)) | (Type::Float, ExprKind::Float(_)) => true,
        (Type::Text | Type::Choice(_), ExprKind::Text(_)) | (Type::Bool, ExprKind::Bool(_)) => true,
        _ => false,
    }
}
