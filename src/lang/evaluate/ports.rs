//! The ports of a command: what each may be, and how a step holds them.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value as Json;

use super::{calls::Placed, scope::Scope};
use crate::{
    base::{
        diagnostic::Diagnostic,
        named::{Name as Shared, Named},
        placeholders::{Piece, pieces},
        span::Span,
    },
    lang::{StepId, program::Call, signature::Signature, types::Type, values::Value},
    syntax::ast::{Expr, ExprKind},
};

/// What a call of `command` hands over.
pub(super) struct Port<'a> {
    pub name: &'a str,
    pub span: Span,
    pub value: Value,
    pub value_span: Span,
}

/// The step of a command.
pub(super) fn call(
    stage: &Signature<'_>,
    settings: Vec<Placed>,
    ports: &[Port<'_>],
    returns: &Type,
    span: Span,
    scope: &Scope,
) -> Call {
    let mut call = Call {
        address: scope.address.to_string(),
        stage: stage.path.clone(),
        arguments: [("returns", Json::from(returns.to_string()).into())].into_iter().collect(),
        files: BTreeMap::new(),
        inputs: Named::default(),
        returns: returns.clone(),
        span,
        argument_spans: Named::default(),
    };
    for (parameter, (value, span)) in stage.parameters.iter().zip(settings) {
        call.arguments.insert(parameter.key.clone(), value.to_json().into());
        call.argument_spans.insert(parameter.key.clone(), span);
    }
    for port in ports {
        let name: Shared = port.name.into();
        call.argument_spans.insert(name.clone(), port.value_span);
        let steps: Vec<StepId> = port.value.artifacts().filter_map(|it| it.step).collect();
        match &port.value {
            Value::Path(path) => _ = call.files.insert(name.to_string(), path.into()),
            _ if !steps.is_empty() => _ = call.inputs.insert(name, steps),
            value => _ = call.arguments.insert(name, value.to_json().into()),
        }
    }
    call
}

/// The places of a text, each with where it stands in the source where the text was written there.
pub(super) fn places(text: &str, source: &str, written: Option<&Expr>) -> Vec<(String, Option<Range<usize>>)> {
    let of = |text: &str| -> Vec<(String, Range<usize>)> {
        let places = pieces(text).into_iter();
        places.filter_map(|it| if let Piece::Place { name, at } = it { Some((name, at)) } else { None }).collect()
    };
    let found = of(text);
    // Escapes hold no braces, so that the source has the same places, only elsewhere.
    let literal = written.is_some_and(|it| matches!(it.kind, ExprKind::Text(_)));
    let there = if literal { of(source) } else { Vec::new() };
    let same = there.len() == found.len();
    (0..).zip(found).map(|(at, (name, _))| (name, there.get(at).filter(|_| same).map(|(_, at)| at.clone()))).collect()
}

/// The complaint about a value that cannot be written on a command line.
pub(super) fn unfit(value: &Value, name: &str, span: Span) -> Option<Diagnostic> {
    let is_plain = |it: &Value| {
        matches!(
            it,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Amount(_) | Value::Unknown(_)
        )
    };
    let fits = match value {
        Value::Path(_) | Value::Artifact(_) => true,
        Value::List(elements) => {
            elements.iter().all(|it| is_plain(&it.value))
                || elements.iter().all(|it| matches!(it.value, Value::Artifact(_) | Value::Unknown(_)))
        }
        Value::Collection(members) => {
            members.iter().all(|(_, it)| matches!(it, Value::Artifact(_) | Value::Unknown(_)))
        }
        other => is_plain(other),
    };
    if fits {
        return None;
    }
    let message = format!("the port `{name}` cannot be handed to a program: found {}", value.describe());
    Some(
        Diagnostic::error(span, message)
            .hint("a port is an artifact, a file, a number, a text, an amount, or a list of one of these"),
    )
}

/// The type that a value set from outside must have to stand in for this one.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Float(_) => Type::Float,
        Value::Text(_) => Type::Text,
        Value::Path(_) => Type::Path,
        Value::Amount(amount) => Type::Amount(vec![amount.unit]),
        Value::Artifact(artifact) => artifact.ty.clone(),
        Value::Unknown(ty) => ty.clone(),
        _ => Type::Unknown,
    }
}
