//! What operators do to values: numbers, amounts of one unit, rewards, conditions on rows, figures of reports.

use super::comparisons::{compare, comparison};
use crate::{
    base::{diagnostic::Diagnostic, predicate::Predicate, reward::Reward, span::Span, units::Amount},
    lang::{
        figures::{Condition, Figure},
        types::Type,
        values::Value,
    },
    syntax::ast::{BinaryOp, UnaryOp},
};

/// A mistake whose place the caller knows.
pub(super) struct Complaint {
    message: String,
    hint: Option<String>,
    /// Which operand is at fault; None where it is the two together.
    operand: Option<Operand>,
}

#[derive(Clone, Copy)]
pub(super) enum Operand {
    Left,
    Right,
}

impl Complaint {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, operand: None }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub fn operand(self, operand: Operand) -> Self {
        Self { operand: Some(operand), ..self }
    }

    /// The complaint about an expression with these operands.
    pub fn at(self, whole: Span, left: Span, right: Span) -> Diagnostic {
        let span = match self.operand {
            None => whole,
            Some(Operand::Left) => left,
            Some(Operand::Right) => right,
        };
        Diagnostic::error(span, self.message).maybe_hint(self.hint)
    }
}

/// The value of `-a` or `not a`.
pub(super) fn unary(op: UnaryOp, value: Value) -> Result<Value, Complaint> {
    Ok(match (op, value) {
        (_, Value::Unknown(ty)) => Value::Unknown(ty),
        (UnaryOp::Minus, Value::Int(value)) => Value::Int(value.checked_neg().ok_or_else(overflow)?),
        (UnaryOp::Minus, Value::Float(value)) => Value::Float(-value),
        (UnaryOp::Minus, Value::Reward(reward)) => Value::Reward(scaled(reward, -1.0)),
        (UnaryOp::Minus, Value::Figure(figure)) => Value::Figure(Figure::Negate(Box::new(figure))),
        (UnaryOp::Not, Value::Bool(value)) => Value::Bool(!value),
        (UnaryOp::Not, Value::Predicate(predicate)) => Value::Predicate(Predicate::Not(Box::new(predicate))),
        (UnaryOp::Not, Value::Condition(condition)) => Value::Condition(Condition::Not(Box::new(condition))),
        (op, value) => {
            let sign = if op == UnaryOp::Minus { "-" } else { "not" };
            return Err(Complaint::new(format!("`{sign}` does not apply to {}", value.describe())));
        }
    })
}

/// The value of `a op b`.
pub(super) fn binary(op: BinaryOp, left: Value, right: Value) -> Result<Value, Complaint> {
    if let (Value::Unknown(_), _) | (_, Value::Unknown(_)) = (&left, &right) {
        return Ok(unknown(op, &left, &right));
    }
    if let Some(comparison) = comparison(op) {
        return compare(comparison, left, right);
    }
    match op {
        BinaryOp::And | BinaryOp::Or => logic(op, left, right),
        _ => arithmetic(op, left, right),
    }
}

/// What is known of a result when an operand is not known.
fn unknown(op: BinaryOp, left: &Value, right: &Value) -> Value {
    let known = if let Value::Unknown(_) = left { right } else { left };
    match (op, known) {
        (_, Value::Unknown(Type::Unknown) | Value::RowField { .. } | Value::Figure(_)) => Value::MISTAKE,
        (op, _) if comparison(op).is_some() => Value::Unknown(Type::Bool),
        (BinaryOp::And | BinaryOp::Or, Value::Bool(_)) => Value::Unknown(Type::Bool),
        (BinaryOp::And | BinaryOp::Or, Value::Predicate(_)) => Value::Unknown(Type::Predicate),
        (BinaryOp::Add | BinaryOp::Subtract, Value::Amount(amount)) => Value::Unknown(Type::Amount(vec![amount.unit])),
        _ => Value::MISTAKE,
    }
}

fn logic(op: BinaryOp, left: Value, right: Value) -> Result<Value, Complaint> {
    let and = op == BinaryOp::And;
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Value::Bool(if and { left && right } else { left || right }),
        (Value::Predicate(left), Value::Predicate(right)) => Value::Predicate(joined(and, left, right)),
        (Value::Condition(left), Value::Condition(right)) => {
            let (left, right) = (Box::new(left), Box::new(right));
            Value::Condition(if and { Condition::All(left, right) } else { Condition::Any(left, right) })
        }
        // What is decided at once either decides the whole or leaves it to the other side.
        (Value::Bool(decided), Value::Condition(open)) | (Value::Condition(open), Value::Bool(decided)) => {
            if decided == and { Value::Condition(open) } else { Value::Bool(decided) }
        }
        (left, right) => {
            let word = if and { "and" } else { "or" };
            let message = format!("`{word}` does not join {} and {}", left.describe(), right.describe());
            return Err(Complaint::new(message).hint("both sides must be conditions of one sort"));
        }
    })
}

/// `a and b and c` is one condition of three parts, however it is nested.
fn joined(and: bool, left: Predicate, right: Predicate) -> Predicate {
    let parts = |it: Predicate| match it {
        Predicate::All(parts) if and => parts,
        Predicate::Any(parts) if !and => parts,
        other => vec![other],
    };
    let all = [parts(left), parts(right)].concat();
    if and { Predicate::All(all) } else { Predicate::Any(all) }
}

fn arithmetic(op: BinaryOp, left: Value, right: Value) -> Result<Value, Complaint> {
    Ok(match (op, left, right) {
        (_, Value::Int(left), Value::Int(right)) => whole(op, left, right)?,
        (BinaryOp::Add, Value::Amount(one), Value::Amount(other)) if one.unit == other.unit => {
            Value::Amount(Amount::new(one.value + other.value, one.unit))
        }
        (BinaryOp::Subtract, Value::Amount(one), Value::Amount(other)) if one.unit == other.unit => {
            Value::Amount(Amount::new(one.value - other.value, one.unit))
        }
        (BinaryOp::Divide, Value::Amount(one), Value::Amount(other)) if one.unit == other.unit => {
            Value::Float(real(op, one.value, other.value)?)
        }
        (BinaryOp::Add, Value::Reward(one), Value::Reward(other)) => Value::Reward(sum(one, other)),
        (BinaryOp::Subtract, Value::Reward(one), Value::Reward(other)) => Value::Reward(sum(one, scaled(other, -1.0))),
        (op, Value::Figure(left), right) if let Some(right) = figure(&right) => {
            Value::Figure(combined(op, left, right))
        }
        (op, left, Value::Figure(right)) if let Some(left) = figure(&left) => Value::Figure(combined(op, left, right)),
        (op, left, right) => match (op, left.number(), right.number(), &left, &right) {
            (_, Some(one), Some(other), ..) => Value::Float(real(op, one, other)?),
            (BinaryOp::Multiply, Some(factor), _, _, Value::Amount(amount))
            | (BinaryOp::Multiply, _, Some(factor), Value::Amount(amount), _) => {
                Value::Amount(Amount::new(amount.value * factor, amount.unit))
            }
            (BinaryOp::Divide, _, Some(factor), Value::Amount(amount), _) => {
                Value::Amount(Amount::new(real(op, amount.value, factor)?, amount.unit))
            }
            (BinaryOp::Multiply, Some(factor), _, _, Value::Reward(reward))
            | (BinaryOp::Multiply, _, Some(factor), Value::Reward(reward), _) => {
                Value::Reward(scaled(reward.clone(), factor))
            }
            (BinaryOp::Divide, _, Some(factor), Value::Reward(reward), _) => {
                Value::Reward(scaled(reward.clone(), real(op, 1.0, factor)?))
            }
            _ => return Err(unlike(verb(op), &left, &right)),
        },
    })
}

pub(super) fn figure(value: &Value) -> Option<Figure> {
    match value {
        Value::Figure(figure) => Some(figure.clone()),
        other => other.number().map(Figure::Number),
    }
}

fn combined(op: BinaryOp, left: Figure, right: Figure) -> Figure {
    let (left, right) = (Box::new(left), Box::new(right));
    match op {
        BinaryOp::Add => Figure::Add(left, right),
        BinaryOp::Subtract => Figure::Subtract(left, right),
        BinaryOp::Multiply => Figure::Multiply(left, right),
        _ => Figure::Divide(left, right),
    }
}

/// Whole numbers stay whole; a quotient does where it comes out even.
fn whole(op: BinaryOp, left: i64, right: i64) -> Result<Value, Complaint> {
    let result = match op {
        BinaryOp::Add => left.checked_add(right),
        BinaryOp::Subtract => left.checked_sub(right),
        BinaryOp::Multiply => left.checked_mul(right),
        _ if right != 0 && left.checked_rem(right) == Some(0) => left.checked_div(right),
        _ => return Ok(Value::Float(real(op, left as f64, right as f64)?)),
    };
    Ok(Value::Int(result.ok_or_else(overflow)?))
}

fn real(op: BinaryOp, left: f64, right: f64) -> Result<f64, Complaint> {
    let result = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        _ if right == 0.0 => return Err(Complaint::new("division by zero")),
        _ => left / right,
    };
    if result.is_finite() { Ok(result) } else { Err(overflow()) }
}

fn sum(mut one: Reward, other: Reward) -> Reward {
    one.terms.extend(other.terms);
    one
}

fn scaled(mut reward: Reward, factor: f64) -> Reward {
    reward.terms.iter_mut().for_each(|term| term.weight *= factor);
    reward
}

fn overflow() -> Complaint {
    Complaint::new("the result is too large")
}

pub(super) fn unlike(verb: &str, left: &Value, right: &Value) -> Complaint {
    let complaint = Complaint::new(format!("cannot {verb} {} and {}", left.describe(), right.describe()));
    match (left, right) {
        (Value::Amount(amount), other) | (other, Value::Amount(amount)) if other.number().is_some() => {
            let number = other.number().unwrap_or_default();
            complaint.hint(format!("add the unit: `{number} {}`", amount.unit.name()))
        }
        (Value::Artifact(one), Value::Artifact(two))
            if [one, two].iter().all(|it| matches!(it.ty, Type::Dataset(_))) && verb == "add" =>
        {
            complaint.hint("put data sets together with `mix([a, b])`")
        }
        (Value::Artifact(it), _) | (_, Value::Artifact(it)) if it.ty == Type::Report => {
            complaint.hint("a report is a set of figures; name one of them, such as `.pass1`")
        }
        (Value::Amount(one), Value::Amount(other)) if one.unit != other.unit => {
            complaint.hint("both sides must count the same")
        }
        _ => complaint,
    }
}

fn verb(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Subtract => "subtract",
        BinaryOp::Multiply => "multiply",
        _ => "divide",
    }
}
