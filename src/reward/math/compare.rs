//! Whether an answer is the right one, whatever form both were given in.

use num_traits::{One, ToPrimitive};

use crate::reward::math::{
    algebra::Algebra,
    evaluate,
    expression::{Expression, Factor, Rational},
    relation,
    tokens::Sign,
    value::{Quantity, Value},
};

/// A decimal with at least so many places is equal to what rounds to it.
const PLACES: u32 = 6;

/// The most comparisons between the items of two lists.
const MOST_PAIRS: usize = 1024;

/// Whether both are the same. The right answer comes first: of `x = 5` the figure alone is enough, but an equation
/// is not answered by its right side.
pub fn equal(right: &Value, answer: &Value, algebra: &mut Algebra) -> bool {
    if right == answer {
        return true;
    }
    match (right, answer) {
        (Value::Quantity(right), Value::Quantity(answer)) => same_quantity(right, answer, algebra),
        (Value::Matrix(right), Value::Matrix(answer)) => {
            right.len() == answer.len()
                && right.iter().zip(answer).all(|(right, answer)| {
                    right.len() == answer.len()
                        && right.iter().zip(answer).all(|(right, answer)| same(right, answer, algebra))
                })
        }
        (Value::Relation { .. }, Value::Relation { .. }) => {
            relation::equal(right, answer, algebra) || same_set(right, answer, algebra)
        }
        (Value::Relation { .. }, other) => match relation::solution(right, false) {
            Some(solution) => equal(solution, other, algebra),
            None => relation::interval(right, algebra).is_some_and(|it| equal(&it, other, algebra)),
        },
        (other, Value::Relation { .. }) => match relation::solution(answer, true) {
            Some(solution) => equal(other, solution, algebra),
            None => relation::interval(answer, algebra).is_some_and(|it| equal(other, &it, algebra)),
        },
        (
            Value::Bracketed { open, close, items },
            Value::Bracketed { open: other_open, close: other_close, items: other },
        ) => {
            // Of two numbers the brackets say which ends belong to an interval.
            (items.len() != 2 || (open == other_open && close == other_close)) && in_order(items, other, algebra)
        }
        (Value::Bracketed { items, .. }, Value::List(other))
        | (Value::List(items), Value::Bracketed { items: other, .. }) => in_order(items, other, algebra),
        (Value::Set(items) | Value::List(items), Value::Set(other) | Value::List(other)) => {
            in_any_order(items, other, algebra)
        }
        (Value::Set(items) | Value::List(items), other) => in_any_order(items, std::slice::from_ref(other), algebra),
        (other, Value::Set(items)) => in_any_order(std::slice::from_ref(other), items, algebra),
        (Value::Joined(operator, items), Value::Joined(other_operator, other)) => {
            operator == other_operator
                && if *operator == '∖' {
                    in_order(items, other, algebra)
                } else {
                    in_any_order(items, other, algebra)
                }
        }
        (Value::Words(right), Value::Words(answer)) => right.to_lowercase() == answer.to_lowercase(),
        _ => false,
    }
}

/// Whether an inequality and a membership say the same: `|x| < 1` and `x \in (-1, 1)`.
fn same_set(left: &Value, right: &Value, algebra: &mut Algebra) -> bool {
    [(left, right), (right, left)].iter().any(|(inequality, membership)| {
        let set = relation::solution(membership, false).filter(|it| !matches!(it, Value::Relation { .. }));
        set.is_some_and(|set| relation::interval(inequality, algebra).is_some_and(|it| equal(&it, set, algebra)))
    })
}

/// Whether two expressions have the same value wherever they have one.
pub fn same(left: &Expression, right: &Expression, algebra: &mut Algebra) -> bool {
    left == right || algebra.subtract(left.clone(), right).is_some_and(|it| evaluate::is_zero(&it))
}

fn same_quantity(right: &Quantity, answer: &Quantity, algebra: &mut Algebra) -> bool {
    if same(&right.expression, &answer.expression, algebra) {
        return true;
    }
    if right.percent != answer.percent {
        let (percentage, plain) = if right.percent { (right, answer) } else { (answer, right) };
        let share = Rational::new(1.into(), 100.into());
        let Some(share) = algebra.multiply(&percentage.expression, &Expression::number(share)) else { return false };
        if same(&share, &plain.expression, algebra) {
            return true;
        }
    }
    [(right, answer), (answer, right)].iter().any(|(decimal, other)| {
        decimal.places >= PLACES
            && decimal.expression.as_number().is_some_and(|value| rounds_to(&other.expression, &value))
    })
}

/// Whether a value and a decimal agree to six places; a decimal that small is held to be exact.
fn rounds_to(value: &Expression, decimal: &Rational) -> bool {
    let scale = Rational::from_integer(10i64.pow(PLACES).into());
    if (decimal * &scale).to_f64().is_none_or(|it| it.abs() < 1000.0) {
        return false;
    }
    match value.as_number() {
        Some(value) => (value * &scale).round() == (decimal * &scale).round(),
        None => match (evaluate::real(value), decimal.to_f64()) {
            (Some(value), Some(decimal)) => (value * 1e6).round() == (decimal * 1e6).round(),
            _ => false,
        },
    }
}

fn in_order(right: &[Value], answer: &[Value], algebra: &mut Algebra) -> bool {
    right.len() == answer.len() && right.iter().zip(answer).all(|(right, answer)| equal(right, answer, algebra))
}

/// Whether each item of one is found in the other, and the other way round.
fn in_any_order(right: &[Value], answer: &[Value], algebra: &mut Algebra) -> bool {
    if right.len() * answer.len() > MOST_PAIRS {
        return in_order(right, answer, algebra);
    }
    let mut found = vec![false; answer.len()];
    for item in right {
        let mut any = false;
        for (other, found) in answer.iter().zip(&mut found) {
            if algebra.spend(4).is_some() && (!any || !*found) && equal(item, other, algebra) {
                any = true;
                *found = true;
            }
        }
        if !any {
            return false;
        }
    }
    found.into_iter().all(|it| it)
}

/// Whether a side of a relation only names what is asked for: `x`, `AB`, `f(x)`, `(p, q)`, `S_1 : S_2`.
#[must_use]
pub fn is_name(value: &Value) -> bool {
    match value {
        Value::Words(_) => true,
        Value::Bracketed { items, .. } => items.iter().all(is_name),
        Value::Quantity(quantity) => quantity.expression.single().is_some_and(|(factors, coefficient)| {
            coefficient.is_one()
                && !factors.is_empty()
                && factors.iter().all(|(factor, power)| {
                    let plain = power.is_one() || *power == -Rational::one();
                    plain && matches!(factor, Factor::Symbol(_) | Factor::Call(..) | Factor::Euler | Factor::Imaginary)
                })
        }),
        _ => false,
    }
}

/// Whether a value is a number, or infinite.
#[must_use]
pub fn is_constant(value: &Value) -> bool {
    matches!(value, Value::Quantity(quantity) if !quantity.expression.has_symbols())
}

/// The signs that say that both sides are the same.
#[must_use]
pub fn is_equality(sign: Sign) -> bool {
    matches!(sign, Sign::Equal | Sign::Near | Sign::In)
}
