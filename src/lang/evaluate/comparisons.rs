//! Comparisons: of numbers and amounts at once, of fields of rows and figures of reports when those are known.

use super::operators::{Complaint, Operand, figure, unlike};
use crate::{
    base::{
        predicate::{Comparison, Predicate},
        units::Unit,
    },
    lang::{
        figures::{Condition, Figure, is_share},
        values::Value,
    },
    syntax::ast::BinaryOp,
};

/// The comparison that an operator is, where it is one.
pub(super) fn comparison(op: BinaryOp) -> Option<Comparison> {
    Some(match op {
        BinaryOp::Equal => Comparison::Equal,
        BinaryOp::NotEqual => Comparison::NotEqual,
        BinaryOp::Less => Comparison::Less,
        BinaryOp::LessOrEqual => Comparison::LessOrEqual,
        BinaryOp::Greater => Comparison::Greater,
        BinaryOp::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// The value of `left op right`.
pub(super) fn compare(op: Comparison, left: Value, right: Value) -> Result<Value, Complaint> {
    match (&left, &right) {
        // Whether an optional value is there at all.
        (Value::None, Value::None) if equality(op) => return Ok(Value::Bool(op == Comparison::Equal)),
        (Value::None, _) | (_, Value::None) if equality(op) => return Ok(Value::Bool(op == Comparison::NotEqual)),
        (Value::RowField { name, unit }, value) => {
            return row(name, *unit, op, value, Operand::Right);
        }
        (value, Value::RowField { name, unit }) => {
            return row(name, *unit, turned(op), value, Operand::Left);
        }
        (Value::Figure(_), _) | (_, Value::Figure(_)) => {
            if let (Some(left), Some(right)) = (figure(&left), figure(&right)) {
                beyond(&left, &right, Operand::Right)?;
                beyond(&right, &left, Operand::Left)?;
                return Ok(Value::Condition(Condition::Compare { op, left, right }));
            }
        }
        (Value::Amount(one), Value::Amount(other)) if one.unit == other.unit => {
            return Ok(Value::Bool(op.holds(&one.value, &other.value)));
        }
        (Value::Text(one) | Value::Path(one), Value::Text(other) | Value::Path(other)) if equality(op) => {
            return Ok(Value::Bool(op.holds(one, other)));
        }
        (Value::Bool(one), Value::Bool(other)) if equality(op) => {
            return Ok(Value::Bool(op.holds(one, other)));
        }
        (one, other) => {
            if let (Some(one), Some(other)) = (one.number(), other.number()) {
                return Ok(Value::Bool(op.holds(&one, &other)));
            }
        }
    }
    Err(unlike("compare", &left, &right))
}

/// Complains of a share that is compared with what no share comes to: that would be decided before anything is run.
fn beyond(one: &Figure, other: &Figure, operand: Operand) -> Result<(), Complaint> {
    match (one, other) {
        (Figure::Field { field, .. }, Figure::Number(number)) if is_share(field) && !(0.0..=1.0).contains(number) => {
            let complaint = Complaint::new(format!("`{field}` lies between 0 and 1, and is compared with {number}"));
            let percent = (1.0..=100.0).contains(number);
            let hint = percent.then(|| format!("write {number} percent as `{}`", number / 100.0));
            Err(hint.into_iter().fold(complaint, Complaint::hint).operand(operand))
        }
        _ => Ok(()),
    }
}

/// A field of a row against a constant of its unit.
fn row(name: &str, unit: Option<Unit>, op: Comparison, value: &Value, operand: Operand) -> Result<Value, Complaint> {
    let fits = match value {
        Value::Amount(amount) => Some(amount.unit) == unit,
        other => unit.is_none() && other.number().is_some(),
    };
    let Some(constant) = value.constant().filter(|_| fits) else {
        let expected = unit.map_or("a number", Unit::name);
        let complaint = Complaint::new(format!("expected {expected}, found {}", value.describe()));
        let complaint = complaint.hint(format!("compare `{name}` with a constant: `{name} < 200 {expected}`"));
        return Err(complaint.operand(operand));
    };
    Ok(Value::Predicate(Predicate::Compare { field: name.to_owned(), op, value: constant }))
}

fn equality(op: Comparison) -> bool {
    matches!(op, Comparison::Equal | Comparison::NotEqual)
}

/// `a < b` as `b > a`.
fn turned(op: Comparison) -> Comparison {
    match op {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}
