//! Equations and inequalities: what they are solved to, and when two of them say the same.

use crate::reward::math::{
    algebra::Algebra,
    compare::{self, is_constant, is_equality, is_name},
    evaluate,
    expression::{Expression, Factor},
    tokens::Sign,
    value::{Quantity, Value},
};

/// What the last side says where the others only name it or lead to it: `x = 2 + 3 = 5`.
///
/// Of an answer a sum that was worked out counts too (`2 + 3 = 5`); a right answer of that form is an equation.
#[must_use]
pub fn solution(value: &Value, of_answer: bool) -> Option<&Value> {
    let Value::Relation { sides, signs } = value else { return None };
    let (sides, signs) = without_estimate(sides, signs);
    if !signs.iter().all(|it| is_equality(*it)) {
        return None;
    }
    let (last, before) = sides.split_last()?;
    let named = before.iter().any(is_name);
    let worked = of_answer && before.iter().all(is_constant) && is_constant(last);
    (named || worked).then_some(last)
}

/// Drops what follows `≈` where something exact stands before it.
fn without_estimate<'a>(sides: &'a [Value], signs: &'a [Sign]) -> (&'a [Value], &'a [Sign]) {
    match signs.iter().position(|it| *it == Sign::Near) {
        Some(at) if at > 0 => (sides.get(..=at).unwrap_or(sides), signs.get(..at).unwrap_or(signs)),
        _ => (sides, signs),
    }
}

/// An inequality as the interval that it leaves: `0 < x <= 1` is `(0, 1]`.
#[must_use]
pub fn interval(value: &Value) -> Option<Value> {
    let Value::Relation { sides, signs } = value else { return None };
    let bracketed = |open, low: &Value, high: &Value, close| Value::Bracketed {
        open,
        close,
        items: vec![low.clone(), high.clone()],
    };
    let infinite = |sign: i64| {
        let expression =
            Expression::product([(Factor::Infinity, one())].into(), one() * num_bigint::BigInt::from(sign));
        Value::Quantity(Quantity { expression, percent: false, places: 0 })
    };
    let (sides, signs) = ascending(sides, signs)?;
    let open = |sign: Sign| if sign == Sign::Less { '(' } else { '[' };
    let close = |sign: Sign| if sign == Sign::Less { ')' } else { ']' };
    match (sides.as_slice(), signs.as_slice()) {
        ([low, name, high], [first, second]) if is_name(name) && is_constant(low) && is_constant(high) => {
            Some(bracketed(open(*first), low, high, close(*second)))
        }
        ([low, name], [sign]) if is_name(name) && is_constant(low) => {
            Some(bracketed(open(*sign), low, &infinite(1), ')'))
        }
        ([name, high], [sign]) if is_name(name) && is_constant(high) => {
            Some(bracketed('(', &infinite(-1), high, close(*sign)))
        }
        _ => None,
    }
}

fn one() -> num_rational::BigRational {
    num_rational::BigRational::from_integer(1.into())
}

/// The sides from the least to the greatest, where all signs are inequalities that point one way.
fn ascending(sides: &[Value], signs: &[Sign]) -> Option<(Vec<Value>, Vec<Sign>)> {
    if signs.iter().all(|it| matches!(it, Sign::Less | Sign::LessOrEqual)) {
        return Some((sides.to_vec(), signs.to_vec()));
    }
    let turned = signs.iter().rev().map(|it| match it {
        Sign::Greater => Some(Sign::Less),
        Sign::GreaterOrEqual => Some(Sign::LessOrEqual),
        _ => None,
    });
    Some((sides.iter().rev().cloned().collect(), turned.collect::<Option<_>>()?))
}

/// Whether two relations say the same.
pub fn equal(right: &Value, answer: &Value, algebra: &mut Algebra) -> bool {
    let (Value::Relation { sides: a, signs: a_signs }, Value::Relation { sides: b, signs: b_signs }) = (right, answer)
    else {
        return false;
    };
    let (a, a_signs) = without_estimate(a, a_signs);
    let (b, b_signs) = without_estimate(b, b_signs);
    if a_signs.iter().chain(b_signs).all(|it| is_equality(*it)) {
        let (Some((a_first, a_last)), Some((b_first, b_last))) = (ends(a), ends(b)) else { return false };
        if same_name(a_first, b_first, algebra) {
            return compare::equal(a_last, b_last, algebra);
        }
        // A list in a different order may have begun the other way round.
        return same_zeros((a_first, a_last), (b_first, b_last), false, algebra);
    }
    if let ([first, last], [first_b, last_b], [Sign::NotEqual], [Sign::NotEqual]) = (a, b, a_signs, b_signs) {
        return same_zeros((first, last), (first_b, last_b), false, algebra);
    }
    let (Some((a, a_signs)), Some((b, b_signs))) = (ascending(a, a_signs), ascending(b, b_signs)) else {
        return false;
    };
    a_signs == b_signs
        && a.len() == b.len()
        && a.windows(2).zip(b.windows(2)).all(|pair| match pair {
            ([a_low, a_high], [b_low, b_high]) => same_zeros((a_low, a_high), (b_low, b_high), true, algebra),
            _ => false,
        })
}

fn ends(sides: &[Value]) -> Option<(&Value, &Value)> {
    Some((sides.first()?, sides.last()?))
}

/// Whether both left sides name the same, be it a function of another variable.
fn same_name(left: &Value, right: &Value, algebra: &mut Algebra) -> bool {
    if !is_name(left) || !is_name(right) {
        return false;
    }
    let applied = |value: &Value| match value {
        Value::Quantity(quantity) => match quantity.expression.single()?.0.first_key_value()? {
            (Factor::Call(name, _), _) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    match (applied(left), applied(right)) {
        (Some(left), Some(right)) => left == right,
        _ => compare::equal(left, right, algebra),
    }
}

/// Whether the differences of both pairs are the same but for a factor, which is positive where `positive` asks for it.
fn same_zeros(left: (&Value, &Value), right: (&Value, &Value), positive: bool, algebra: &mut Algebra) -> bool {
    let mut difference = |(one, other): (&Value, &Value)| match (one, other) {
        (Value::Quantity(one), Value::Quantity(other)) => algebra.subtract(one.expression.clone(), &other.expression),
        _ => None,
    };
    let (Some(a), Some(b)) = (difference(left), difference(right)) else {
        return compare::equal(left.0, right.0, algebra) && compare::equal(left.1, right.1, algebra);
    };
    // An equation without symbols is true or false and has no zeros to compare.
    let constant = !a.has_symbols() || !b.has_symbols();
    !constant && evaluate::ratio(&a, &b).is_some_and(|it| !positive || it > 0.0)
}
