//! Equations and inequalities: what they are solved to, and when two of them say the same.

use num_traits::One;

use crate::reward::math::{
    algebra::Algebra,
    compare::{self, is_constant, is_equality, is_name},
    evaluate,
    expression::Factor,
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

/// An inequality as the set that it leaves: `0 < x <= 1` is `(0, 1]`, and `|x| <= 1` is `[-1, 1]`.
pub fn interval(value: &Value, algebra: &mut Algebra) -> Option<Value> {
    let Value::Relation { sides, signs } = value else { return None };
    let (sides, signs) = ascending(sides, signs)?;
    let (low, name, high) = match (sides.as_slice(), signs.as_slice()) {
        ([low, name, high], [first, second]) if is_constant(low) && is_constant(high) => {
            (Some((low, *first)), name, Some((high, *second)))
        }
        ([low, name], [sign]) if is_constant(low) => (Some((low, *sign)), name, None),
        ([name, high], [sign]) if is_constant(high) => (None, name, Some((high, *sign))),
        _ => return None,
    };
    let size = is_size(name);
    if !is_name(name) && !size {
        return None;
    }
    let open = |sign| if sign == Sign::Less { '(' } else { '[' };
    let close = |sign| if sign == Sign::Less { ')' } else { ']' };
    let above = |low: Option<(&Value, Sign)>, high: Option<(&Value, Sign)>| Value::Bracketed {
        open: low.map_or('(', |(_, sign)| open(sign)),
        close: high.map_or(')', |(_, sign)| close(sign)),
        items: vec![
            low.map_or_else(|| Value::infinite(-1), |(value, _)| value.clone()),
            high.map_or_else(|| Value::infinite(1), |(value, _)| value.clone()),
        ],
    };
    if !size {
        return Some(above(low, high));
    }
    let negative = |end: Option<(&Value, Sign)>, algebra: &mut Algebra| match end {
        Some((Value::Quantity(quantity), sign)) => {
            let expression = algebra.negate(&quantity.expression)?;
            Some(Some((Value::Quantity(Quantity { expression, ..quantity.clone() }), sign)))
        }
        Some(_) => None,
        None => Some(None),
    };
    let (below_low, below_high) = (negative(high, algebra)?, negative(low, algebra)?);
    let start = below_low.as_ref().map(|(value, sign)| (value, *sign));
    let end = below_high.as_ref().map(|(value, sign)| (value, *sign));
    Some(match low {
        None => above(start, high),
        Some(_) => Value::Joined('∪', vec![above(start, end), above(low, high)]),
    })
}

/// Whether a side is the absolute value of what is asked for.
fn is_size(value: &Value) -> bool {
    let Value::Quantity(quantity) = value else { return false };
    let Some((factors, coefficient)) = quantity.expression.single() else { return false };
    let only =
        factors.first_key_value().filter(|(_, power)| factors.len() == 1 && power.is_one() && coefficient.is_one());
    matches!(only, Some((Factor::Call(name, _), _)) if name == "abs")
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
