//! Evaluates expressions at points: exactly where everything is rational, else in complex numbers of double precision.

use num_complex::Complex64;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};

use crate::{
    base::rng::Stream,
    reward::math::{
        algebra::short,
        expression::{Expression, Factor, Rational},
    },
};

/// Two values are one if they differ by less than this share of what they are made of.
const TOLERANCE: f64 = 1e-11;

/// How many factors are multiplied exactly at one point.
const EXACT_STEPS: u32 = 200;

/// How many points an expression is looked at, and how many must give a value.
const POINTS: u64 = 6;
const ENOUGH: usize = 3;

/// Whether an expression is zero wherever it can be evaluated.
#[must_use]
pub fn is_zero(expression: &Expression) -> bool {
    if let Some(value) = expression.as_number() {
        return value.is_zero();
    }
    let points = if expression.has_symbols() { POINTS } else { 1 };
    let mut seen = 0;
    for point in 0..points {
        let zero = match exactly(expression, point, &mut { EXACT_STEPS }) {
            Some(value) => Some(value.is_zero()),
            None => numerically(expression, point).map(|(value, scale)| value.norm() <= TOLERANCE * scale),
        };
        match zero {
            Some(false) => return false,
            Some(true) => seen += 1,
            None => {}
        }
    }
    seen >= ENOUGH.min(points as usize)
}

/// The ratio of two expressions, if it is the same real number at every point.
#[must_use]
pub fn ratio(left: &Expression, right: &Expression) -> Option<f64> {
    let mut ratios = Vec::new();
    for point in 0..POINTS {
        let (Some((left, _)), Some((right, scale))) = (numerically(left, point), numerically(right, point)) else {
            continue;
        };
        if right.norm() <= TOLERANCE * scale {
            continue;
        }
        ratios.push(left / right);
    }
    let first = *ratios.first().filter(|_| ratios.len() >= ENOUGH)?;
    let same = ratios.iter().all(|it| (it - first).norm() <= 1e-9 * first.norm());
    (same && first.im.abs() <= 1e-9 * first.norm() && first.norm() > 0.0).then_some(first.re)
}

/// A number without symbols, if it is real.
#[must_use]
pub fn real(expression: &Expression) -> Option<f64> {
    let (value, scale) = numerically(expression, 0).filter(|_| !expression.has_symbols())?;
    (value.im.abs() <= TOLERANCE * scale).then_some(value.re)
}

/// The exact value at a point, of rational functions alone, and of those that take few steps.
fn exactly(expression: &Expression, point: u64, steps: &mut u32) -> Option<Rational> {
    let mut sum = Rational::zero();
    for (factors, coefficient) in expression.products() {
        let mut product = coefficient.clone();
        for (factor, power) in factors {
            let base = match factor {
                Factor::Symbol(name) => place(name, point),
                Factor::Sum(inner) => exactly(inner, point, steps)?,
                _ => return None,
            };
            let power = power.to_i32().filter(|it| power.is_integer() && it.abs() <= 32)?;
            *steps = steps.checked_sub(1 + power.unsigned_abs())?;
            if base.is_zero() && power < 0 {
                return None;
            }
            product = short(product * short(base)?.pow(power))?;
        }
        sum = short(sum + product)?;
    }
    Some(sum)
}

/// Where a symbol stands at a point: of either sign, not whole, and not far from one.
fn place(name: &str, point: u64) -> Rational {
    let stream = Stream::new(point, name);
    let above = 307 + stream.below(2000, 0, 0) as i64;
    let sign = if stream.below(2, 0, 1) == 0 { 1 } else { -1 };
    BigRational::new((sign * above).into(), 997.into())
}

/// The value at a point, and the sum of the sizes of what it is made of.
fn numerically(expression: &Expression, point: u64) -> Option<(Complex64, f64)> {
    let mut sum = Complex64::zero();
    let mut scale = 0.0;
    for (factors, coefficient) in expression.products() {
        let mut product = Complex64::new(coefficient.to_f64()?, 0.0);
        for (factor, power) in factors {
            product *= raise(value(factor, point)?, Complex64::new(power.to_f64()?, 0.0))?;
        }
        sum += product;
        scale += product.norm();
    }
    (sum.is_finite() && scale.is_finite()).then_some((sum, scale))
}

fn value(factor: &Factor, point: u64) -> Option<Complex64> {
    let real = |value: f64| Some(Complex64::new(value, 0.0));
    match factor {
        Factor::Symbol(name) => real(place(name, point).to_f64()?),
        Factor::Pi => real(std::f64::consts::PI),
        Factor::Euler => real(std::f64::consts::E),
        Factor::Imaginary => Some(Complex64::i()),
        Factor::Infinity => None,
        Factor::Root(whole) => real(whole.to_f64()?),
        Factor::Sum(inner) => settled(numerically(inner, point)?),
        Factor::Power(base, exponent) => raise(numerically(base, point)?.0, numerically(exponent, point)?.0),
        Factor::Call(name, arguments) => {
            let values = arguments.iter().map(|it| settled(numerically(it, point)?)).collect::<Option<Vec<_>>>()?;
            apply(name, &values, point)
        }
    }
}

/// What cancelled but for rounding is zero.
fn settled((value, scale): (Complex64, f64)) -> Option<Complex64> {
    Some(if value.norm() <= 1e-14 * scale { Complex64::zero() } else { value })
}

/// The principal power.
fn raise(base: Complex64, power: Complex64) -> Option<Complex64> {
    if power == Complex64::one() {
        return Some(base);
    }
    if base.is_zero() {
        return if power.re > 0.0 { Some(Complex64::zero()) } else { None };
    }
    let result = if power.im == 0.0 && power.re.fract() == 0.0 && power.re.abs() <= 1e6 {
        base.powi(power.re as i32)
    } else if base.im == 0.0 && base.re > 0.0 && power.im == 0.0 {
        Complex64::new(base.re.powf(power.re), 0.0)
    } else {
        base.powc(power)
    };
    result.is_finite().then_some(result)
}

fn apply(name: &str, values: &[Complex64], point: u64) -> Option<Complex64> {
    let real = |value: f64| Some(Complex64::new(value, 0.0));
    let result = match (name, values) {
        ("sin", [x]) => x.sin(),
        ("cos", [x]) => x.cos(),
        ("tan", [x]) => x.tan(),
        ("cot", [x]) => x.tan().inv(),
        ("sec", [x]) => x.cos().inv(),
        ("csc", [x]) => x.sin().inv(),
        ("arcsin", [x]) => x.asin(),
        ("arccos", [x]) => x.acos(),
        ("arctan", [x]) => x.atan(),
        ("sinh", [x]) => x.sinh(),
        ("cosh", [x]) => x.cosh(),
        ("tanh", [x]) => x.tanh(),
        ("ln", [x]) if !x.is_zero() => x.ln(),
        ("log", [x, base]) if !x.is_zero() && !base.is_zero() => x.ln() / base.ln(),
        ("abs", [x]) => return real(x.norm()),
        ("floor", [x]) => return real((x.re + 1e-12).floor()),
        ("ceil", [x]) => return real((x.re - 1e-12).ceil()),
        // The values of a function that nobody knows: the same for the same arguments.
        (_, values) if name.chars().count() == 1 || name == "factorial" || name == "binomial" || name == "base" => {
            let digits: Vec<String> = values.iter().map(|it| format!("{:.9e},{:.9e}", it.re, it.im)).collect();
            return real(place(&format!("{name}({})", digits.join(";")), point).to_f64()?);
        }
        _ => return None,
    };
    result.is_finite().then_some(result)
}
