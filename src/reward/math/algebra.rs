//! Computes with expressions exactly, within a budget of work and of digits.
//!
//! What would grow too long is left as it stands: a tower of powers stays a tower, a product of long sums stays a
//! product. So no text makes the work long, and equality of what was left is still found where the forms agree.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use crate::reward::math::expression::{Expression, Factor, Product, Rational};

/// The longest number, in bits, that is written out.
pub const LONGEST: u64 = 2048;

/// The most products that two sums are multiplied out to.
const MOST_PRODUCTS: usize = 128;

/// Primes up to this one are looked for under a root.
const LARGEST_PRIME: u32 = 1000;

/// Expressions of one answer, with what may still be spent on them.
pub struct Algebra {
    fuel: u32,
}

impl Default for Algebra {
    fn default() -> Self {
        Self { fuel: 20_000 }
    }
}

/// None everywhere: the budget is spent, or the value is not defined.
impl Algebra {
    pub fn spend(&mut self, cost: usize) -> Option<()> {
        self.fuel = self.fuel.checked_sub(u32::try_from(cost).ok()?)?;
        Some(())
    }

    pub fn add(&mut self, mut left: Expression, right: &Expression) -> Option<Expression> {
        self.spend(1)?;
        for (factors, coefficient) in right.products() {
            self.spend(1 + effort(coefficient))?;
            left.add_product(factors.clone(), coefficient.clone());
        }
        if left.products().all(|(_, it)| is_short(it)) { Some(left) } else { None }
    }

    pub fn subtract(&mut self, left: Expression, right: &Expression) -> Option<Expression> {
        let right = self.negate(right)?;
        self.add(left, &right)
    }

    pub fn negate(&mut self, value: &Expression) -> Option<Expression> {
        self.multiply(value, &Expression::whole(-1))
    }

    pub fn multiply(&mut self, left: &Expression, right: &Expression) -> Option<Expression> {
        let count = left.products().len() * right.products().len();
        if count > MOST_PRODUCTS {
            self.spend(MOST_PRODUCTS)?;
            let mut factors = Product::new();
            for sum in [left, right] {
                *factors.entry(Factor::Sum(sum.clone())).or_insert_with(Rational::zero) += Rational::one();
            }
            return Some(Expression::product(factors, Rational::one()));
        }
        let mut sum = Expression::default();
        for (left, a) in left.products() {
            for (right, b) in right.products() {
                self.spend(1 + left.len() + right.len() + effort(a) + effort(b))?;
                let (factors, c) = merge(left, right)?;
                sum.add_product(factors, short(times(&times(a, b), &c))?);
            }
        }
        Some(sum)
    }

    pub fn divide(&mut self, above: &Expression, below: &Expression) -> Option<Expression> {
        let inverse = self.power(below, &Expression::whole(-1))?;
        self.multiply(above, &inverse)
    }

    pub fn power(&mut self, base: &Expression, exponent: &Expression) -> Option<Expression> {
        self.spend(8)?;
        let Some(power) = exponent.as_number() else {
            return Some(Expression::factor(Factor::Power(base.clone(), exponent.clone())));
        };
        if power.is_zero() {
            return Some(Expression::whole(1));
        }
        if base.is_zero() {
            return power.is_positive().then(Expression::default);
        }
        if power.is_one() {
            return Some(base.clone());
        }
        let written = match (base.as_number(), power.is_integer()) {
            (Some(number), false) => self.root(&number, &power)?,
            (_, true) => self.whole_power(base, &power)?,
            (None, false) => self.split_power(base, &power)?,
        };
        Some(written.unwrap_or_else(|| as_it_stands(base, &power)))
    }

    /// A function of expressions, with its exact value where that is easy.
    pub fn call(&mut self, name: &str, arguments: Vec<Expression>) -> Option<Expression> {
        self.spend(4)?;
        if let [only] = arguments.as_slice() {
            let number = only.as_number();
            match (name, number) {
                ("abs", Some(value)) => return Some(Expression::number(value.abs())),
                ("floor", Some(value)) => return Some(Expression::number(value.floor())),
                ("ceil", Some(value)) => return Some(Expression::number(value.ceil())),
                ("factorial", Some(value)) => return self.factorial(&value),
                ("exp", _) => return self.power(&Expression::factor(Factor::Euler), only),
                _ => {}
            }
        }
        if let ("binomial", [n, k]) = (name, arguments.as_slice())
            && let (Some(n), Some(k)) = (n.as_whole(), k.as_whole())
        {
            return self.binomial(n, k);
        }
        Some(Expression::factor(Factor::Call(name.to_owned(), arguments)))
    }

    /// None inside: too long to write out.
    fn whole_power(&mut self, base: &Expression, power: &Rational) -> Option<Option<Expression>> {
        let Some(times) = power.to_i32() else { return Some(None) };
        if let Some((factors, coefficient)) = base.single() {
            let bits = coefficient.numer().bits().max(coefficient.denom().bits());
            if bits.saturating_mul(u64::from(times.unsigned_abs())) > LONGEST && !coefficient.abs().is_one() {
                return Some(None);
            }
            let mut number = coefficient.pow(times);
            let mut powered = Product::new();
            for (factor, exponent) in factors {
                let exponent = short(exponent * power)?;
                let (next, c) = merge(&powered, &Product::from([(factor.clone(), exponent)]))?;
                powered = next;
                number = short(number * c)?;
            }
            return Some(Some(Expression::product(powered, number)));
        }
        let size = base.products().len();
        let most = size.checked_pow(times.unsigned_abs()).unwrap_or(usize::MAX);
        if times < 0 || most > MOST_PRODUCTS {
            return Some(None);
        }
        let mut value = base.clone();
        for _ in 1..times {
            value = self.multiply(&value, base)?;
        }
        Some(Some(value))
    }

    /// A fraction to a power that is not whole: primes come out from under the root as far as they can.
    fn root(&mut self, number: &Rational, power: &Rational) -> Option<Option<Expression>> {
        self.spend(100)?;
        let odd = |value: &BigInt| value.bit(0);
        let (above, below) = (power.numer(), power.denom());
        if below > &BigInt::from(64) || above.abs() > BigInt::from(64) {
            return Some(None);
        }
        let size = number.abs();
        let mut value = Expression::whole(1);
        for (base, sign) in [(size.numer(), 1), (size.denom(), -1)] {
            let power = power * Rational::from_integer(sign.into());
            for (prime, count) in prime_powers(base, below) {
                let product = Product::from([(Factor::Root(prime), power.clone() * Rational::from_integer(count))]);
                let (factors, c) = merge(&Product::new(), &product)?;
                value = self.multiply(&value, &Expression::product(factors, c))?;
            }
        }
        if number.is_positive() {
            return Some(Some(value));
        }
        if odd(below) {
            // The real root, as people mean it.
            return Some(Some(if odd(above) { self.negate(&value)? } else { value }));
        }
        if below == &BigInt::from(2) {
            let turn = Product::from([(Factor::Imaginary, Rational::from_integer(above.clone()))]);
            let (factors, c) = merge(&Product::new(), &turn)?;
            return Some(Some(self.multiply(&value, &Expression::product(factors, c))?));
        }
        Some(None)
    }

    /// What is surely positive leaves the root of a product; the rest stays under it.
    fn split_power(&mut self, base: &Expression, power: &Rational) -> Option<Option<Expression>> {
        let Some((factors, coefficient)) = base.single() else { return Some(None) };
        if !coefficient.is_positive() {
            return Some(None);
        }
        let mut outside = match self.root(coefficient, power)? {
            Some(number) => number,
            None => return Some(None),
        };
        let mut inside = Product::new();
        for (factor, exponent) in factors {
            if matches!(factor, Factor::Root(_) | Factor::Pi | Factor::Euler) {
                let product = Product::from([(factor.clone(), short(exponent * power)?)]);
                let (factors, c) = merge(&Product::new(), &product)?;
                outside = self.multiply(&outside, &Expression::product(factors, c))?;
            } else {
                inside.insert(factor.clone(), exponent.clone());
            }
        }
        if inside.is_empty() {
            return Some(Some(outside));
        }
        let inside = as_it_stands(&Expression::product(inside, Rational::one()), power);
        Some(Some(self.multiply(&outside, &inside)?))
    }

    fn factorial(&mut self, value: &Rational) -> Option<Expression> {
        let whole = value.is_integer().then(|| value.to_i64()).flatten();
        match whole {
            Some(n) if (0..=300).contains(&n) => {
                self.spend(n as usize)?;
                let product = (1..=n).fold(BigInt::one(), |product, factor| product * factor);
                Some(Expression::number(short(Rational::from_integer(product))?))
            }
            Some(n) if n < 0 => None,
            _ => {
                Some(Expression::factor(Factor::Call("factorial".to_owned(), vec![Expression::number(value.clone())])))
            }
        }
    }

    fn binomial(&mut self, n: i64, k: i64) -> Option<Expression> {
        if !(0..=2000).contains(&n) {
            return None;
        }
        let k = if k < 0 || k > n { return Some(Expression::default()) } else { k.min(n - k) };
        self.spend(k as usize)?;
        let mut value = BigInt::one();
        for step in 0..k {
            value = value * (n - step) / (step + 1);
        }
        Some(Expression::number(short(Rational::from_integer(value))?))
    }
}

/// A number that is not too long.
#[must_use]
pub fn short(value: Rational) -> Option<Rational> {
    is_short(&value).then_some(value)
}

fn is_short(value: &Rational) -> bool {
    value.numer().bits() <= LONGEST && value.denom().bits() <= LONGEST
}

/// What computing with a number costs: a greatest common divisor, which grows with the square of the length.
fn effort(value: &Rational) -> usize {
    let bits = usize::try_from(value.numer().bits() + value.denom().bits()).unwrap_or(usize::MAX);
    bits.saturating_mul(bits) / if value.is_integer() { 50_000 } else { 4_000 }
}

/// The product of two numbers, without looking for a common divisor where there is none to be found.
fn times(left: &Rational, right: &Rational) -> Rational {
    if left.is_integer() && right.is_integer() {
        Rational::from_integer(left.numer() * right.numer())
    } else {
        left * right
    }
}

/// A power as one factor.
fn as_it_stands(base: &Expression, power: &Rational) -> Expression {
    let factor = match base.single() {
        Some((factors, coefficient)) if coefficient.is_one() && factors.len() == 1 => match factors.first_key_value() {
            Some((factor @ Factor::Symbol(_), exponent)) if exponent.is_one() => factor.clone(),
            _ => Factor::Sum(base.clone()),
        },
        // A number whose power is too long: the exponent must not be merged with others.
        Some((factors, _)) if factors.is_empty() => {
            return Expression::factor(Factor::Power(base.clone(), Expression::number(power.clone())));
        }
        _ => Factor::Sum(base.clone()),
    };
    Expression::product(Product::from([(factor, power.clone())]), BigRational::one())
}

/// The product of two products, and the number that comes out of it.
fn merge(left: &Product, right: &Product) -> Option<(Product, Rational)> {
    let mut product = left.clone();
    let mut number = Rational::one();
    for (factor, exponent) in right {
        let power = product.remove(factor).unwrap_or_else(Rational::zero) + exponent;
        let rest = match factor {
            Factor::Imaginary if power.is_integer() => {
                let turns = (power.numer() % 4i32 + 4i32) % 4i32;
                if turns >= BigInt::from(2) {
                    number = -number;
                }
                Rational::from_integer(turns % 2i32)
            }
            Factor::Root(base) => {
                let whole = power.floor();
                let times = whole.to_i32()?;
                if base.bits().saturating_mul(u64::from(times.unsigned_abs())) > LONGEST {
                    return None;
                }
                number = short(number * Rational::from_integer(base.clone()).pow(times))?;
                power - whole
            }
            _ => power,
        };
        if !rest.is_zero() {
            product.insert(factor.clone(), short(rest)?);
        }
    }
    Some((product, number))
}

/// A positive whole number as powers of primes; of what no small prime divides, at least a full root is taken.
fn prime_powers(value: &BigInt, degree: &BigInt) -> Vec<(BigInt, BigInt)> {
    let mut rest = value.clone();
    let mut found = Vec::new();
    for prime in (2..=LARGEST_PRIME).filter(|it| it % 2 == 1 || *it == 2) {
        if rest < BigInt::from(prime) {
            break;
        }
        let mut count = 0;
        while (&rest % prime).is_zero() {
            rest /= prime;
            count += 1;
        }
        if count > 0 {
            found.push((BigInt::from(prime), BigInt::from(count)));
        }
    }
    if rest > BigInt::one() {
        let degree = degree.to_u32().unwrap_or(1);
        let root = rest.nth_root(degree);
        if Pow::pow(&root, degree) == rest {
            found.push((root, BigInt::from(degree)));
        } else {
            found.push((rest, BigInt::one()));
        }
    }
    found
}
