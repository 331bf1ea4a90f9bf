//! Expressions as sums of products: the form in which equal expressions mostly look equal.

use std::collections::BTreeMap;

use num_rational::BigRational;
use num_traits::{One, Zero};

/// An exact fraction, kept short by whoever computes with it.
pub type Rational = BigRational;

/// Factors with their powers; a factor with power zero is left out.
pub type Product = BTreeMap<Factor, Rational>;

/// A sum of products, each with its coefficient; a product with coefficient zero is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expression(BTreeMap<Product, Rational>);

/// What a product is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    Symbol(String),
    Pi,
    /// The base of the natural logarithm.
    Euler,
    /// The root of minus one.
    Imaginary,
    Infinity,
    /// A whole number above one under a root: its power is between zero and one.
    Root(num_bigint::BigInt),
    /// A sum that is not multiplied out.
    Sum(Expression),
    /// A power whose exponent is no plain fraction, or would be too long if it were written out.
    Power(Expression, Expression),
    /// A function of some arguments.
    Call(String, Vec<Expression>),
}

impl Expression {
    #[must_use]
    pub fn number(value: Rational) -> Self {
        Self::product(Product::new(), value)
    }

    #[must_use]
    pub fn whole(value: i64) -> Self {
        Self::number(Rational::from_integer(value.into()))
    }

    #[must_use]
    pub fn factor(factor: Factor) -> Self {
        Self::product(Product::from([(factor, Rational::one())]), Rational::one())
    }

    #[must_use]
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::factor(Factor::Symbol(name.into()))
    }

    #[must_use]
    pub fn product(factors: Product, coefficient: Rational) -> Self {
        let mut sum = Self::default();
        sum.add_product(factors, coefficient);
        sum
    }

    pub fn add_product(&mut self, factors: Product, coefficient: Rational) {
        if coefficient.is_zero() {
            return;
        }
        match self.0.entry(factors) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(coefficient);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += coefficient;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
    }

    pub fn products(&self) -> impl ExactSizeIterator<Item = (&Product, &Rational)> {
        self.0.iter()
    }

    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The expression as a fraction, if that is all it is.
    #[must_use]
    pub fn as_number(&self) -> Option<Rational> {
        match self.single() {
            Some((factors, value)) if factors.is_empty() => Some(value.clone()),
            None if self.is_zero() => Some(Rational::zero()),
            _ => None,
        }
    }

    /// The expression as a short whole number.
    #[must_use]
    pub fn as_whole(&self) -> Option<i64> {
        let value = self.as_number().filter(Rational::is_integer)?;
        i64::try_from(value.numer()).ok()
    }

    /// The only product of the sum.
    #[must_use]
    pub fn single(&self) -> Option<(&Product, &Rational)> {
        if self.0.len() == 1 { self.0.first_key_value() } else { None }
    }

    /// Whether any symbol stands in it.
    #[must_use]
    pub fn has_symbols(&self) -> bool {
        self.0.keys().flat_map(BTreeMap::keys).any(|factor| match factor {
            Factor::Symbol(_) => true,
            Factor::Sum(inner) => inner.has_symbols(),
            Factor::Power(base, exponent) => base.has_symbols() || exponent.has_symbols(),
            Factor::Call(_, arguments) => arguments.iter().any(Self::has_symbols),
            Factor::Pi | Factor::Euler | Factor::Imaginary | Factor::Infinity | Factor::Root(_) => false,
        })
    }
}
