//! Reads answers: quantities, lists, tuples, intervals, sets, unions, matrices, relations, words.

use num_bigint::BigInt;

use crate::reward::math::{
    algebra::Algebra,
    expression::{Expression, Factor, Rational},
    matrix::{Matrix, Operand},
    parse,
    tokens::{Sign, Spaced, Token},
    words::is_unit,
};

/// How deep lists, sets and brackets may nest.
const DEEPEST: usize = 16;

/// An answer in the form that it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Quantity(Quantity),
    Matrix(Matrix),
    /// A tuple or an interval, with its brackets as they stand.
    Bracketed {
        open: char,
        close: char,
        items: Vec<Self>,
    },
    Set(Vec<Self>),
    /// Several answers beside each other, in no bracket.
    List(Vec<Self>),
    /// Sets joined by one operator.
    Joined(char, Vec<Self>),
    /// Sides with a sign between each two.
    Relation {
        sides: Vec<Self>,
        signs: Vec<Sign>,
    },
    Words(String),
}

/// An expression, whether it was given in percent, and the most digits that follow a point in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub expression: Expression,
    pub percent: bool,
    pub places: u32,
}

impl Value {
    /// The infinite number of a sign.
    #[must_use]
    pub fn infinite(sign: i64) -> Self {
        let one = || Rational::from_integer(1.into());
        let expression = Expression::product([(Factor::Infinity, one())].into(), one() * BigInt::from(sign));
        Self::Quantity(Quantity { expression, percent: false, places: 0 })
    }
}

/// The answer that the tokens make.
pub fn parse(tokens: &[Spaced], algebra: &mut Algebra) -> Option<Value> {
    list(tokens, 0, algebra)
}

fn list(tokens: &[Spaced], depth: usize, algebra: &mut Algebra) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let tokens = trim(tokens);
    let (parts, _) = split(tokens, separates)?;
    let mut items = Vec::new();
    for part in parts.iter().map(|it| trim(it)).filter(|it| !it.is_empty()) {
        match relation(part, depth, algebra)? {
            Value::List(inner) => items.extend(inner),
            item => items.push(item),
        }
    }
    match items.len() {
        0 => None,
        1 => items.pop(),
        _ => Some(Value::List(items)),
    }
}

fn separates(token: &Token) -> bool {
    matches!(token, Token::Mark(',' | ';')) || matches!(token, Token::Text(text) if text == "and" || text == "or")
}

fn relation(tokens: &[Spaced], depth: usize, algebra: &mut Algebra) -> Option<Value> {
    let (parts, between) = split(tokens, |it| matches!(it, Token::Sign(_)))?;
    let mut sides = Vec::new();
    for part in &parts {
        sides.push(side(trim(part), depth, algebra)?);
    }
    let signs = between.iter().filter_map(|it| if let Token::Sign(sign) = it { Some(*sign) } else { None }).collect();
    if sides.len() == 1 { sides.pop() } else { Some(Value::Relation { sides, signs }) }
}

fn side(tokens: &[Spaced], depth: usize, algebra: &mut Algebra) -> Option<Value> {
    for operator in ['∪', '∩', '∖'] {
        let (parts, _) = split(tokens, |it| *it == Token::Mark(operator))?;
        if parts.len() > 1 {
            let sets = parts.iter().map(|part| side(trim(part), depth + 1, algebra)).collect::<Option<_>>()?;
            return if depth > DEEPEST { None } else { Some(Value::Joined(operator, sets)) };
        }
    }
    if let Some((open, inside, close)) = enclosed(tokens) {
        match (open, close) {
            ('⦃', '⦄') => {
                return Some(Value::Set(match list(inside, depth + 1, algebra)? {
                    Value::List(items) => items,
                    item => vec![item],
                }));
            }
            ('{', '}') => return list(inside, depth + 1, algebra),
            _ => {
                let (parts, _) = split(inside, |it| matches!(it, Token::Mark(',' | ';')))?;
                if parts.len() > 1 && depth <= DEEPEST {
                    let items = parts.iter().map(|part| list(part, depth + 1, algebra)).collect::<Option<Vec<_>>>()?;
                    return Some(Value::Bracketed { open, close, items });
                }
            }
        }
    }
    if let [(Token::Mark('∅'), _)] = tokens {
        return Some(Value::Set(Vec::new()));
    }
    if let [(Token::Text(text), _)] = tokens
        && text == "set of R"
    {
        return Some(Value::Bracketed { open: '(', close: ')', items: vec![Value::infinite(-1), Value::infinite(1)] });
    }
    if let Some(value) = quantity(tokens, algebra) {
        return Some(value);
    }
    if let Some((_, inside, _)) = enclosed(tokens) {
        return list(inside, depth + 1, algebra);
    }
    words(tokens)
}

/// An expression with its unit; two of them where it holds a plus or minus.
fn quantity(tokens: &[Spaced], algebra: &mut Algebra) -> Option<Value> {
    let (tokens, percent) = without_unit(tokens);
    let places = tokens.iter().map(|(it, _)| if let Token::Number(_, places) = it { *places } else { 0 }).max()?;
    let mut read = |upper| match parse::expression(tokens, upper, algebra)? {
        Operand::Scalar(expression) => Some(Value::Quantity(Quantity { expression, percent, places })),
        Operand::Matrix(matrix) => Some(Value::Matrix(matrix)),
    };
    if tokens.iter().any(|(it, _)| matches!(it, Token::PlusMinus(_))) {
        return Some(Value::List(vec![read(true)?, read(false)?]));
    }
    read(true)
}

/// The tokens without the words after them, and whether these said that it is a percentage.
fn without_unit(tokens: &[Spaced]) -> (&[Spaced], bool) {
    let mut rest = tokens;
    let mut percent = false;
    loop {
        rest = match rest {
            [before @ .., (Token::Mark('%'), _)] if !before.is_empty() && !percent => {
                percent = true;
                before
            }
            [before @ .., (Token::Mark('.'), _)] if !before.is_empty() => before,
            [before @ .., (Token::Text(_), _)] if is_amount(before) => before,
            [before @ .., (Token::Text(_), _), (Token::Mark('^'), _), (Token::Number(..), _)] if is_amount(before) => {
                before
            }
            [before @ .., (Token::Word(word), _), (Token::Mark('^'), _), (Token::Number(..), _)]
                if is_amount(before) && is_unit(word) =>
            {
                before
            }
            [before @ .., (Token::Word(word), _)] if is_amount(before) && is_unit(word) => before,
            _ => return (rest, percent),
        };
    }
}

fn is_amount(tokens: &[Spaced]) -> bool {
    tokens.iter().any(|(it, _)| matches!(it, Token::Number(..) | Token::Letter('π') | Token::Mark(')')))
}

/// Text of words alone, as one.
fn words(tokens: &[Spaced]) -> Option<Value> {
    let words = tokens.iter().map(|(token, _)| match token {
        Token::Text(text) | Token::Word(text) if text.chars().any(char::is_alphanumeric) => Some(text.clone()),
        Token::Letter(letter) => Some(letter.to_string()),
        _ => None,
    });
    let words = words.collect::<Option<Vec<_>>>()?.join(" ");
    if words.is_empty() { None } else { Some(Value::Words(words)) }
}

/// Takes off the punctuation around an answer.
fn trim(tokens: &[Spaced]) -> &[Spaced] {
    let outside = |token: &Spaced| matches!(token.0, Token::Mark('.' | ',' | ';' | ':' | '⏎' | '&'));
    let start = tokens.iter().position(|it| !outside(it)).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(|it| !outside(it)).map_or(start, |it| it + 1);
    tokens.get(start..end).unwrap_or_default()
}

/// The tokens within the brackets that enclose them all.
fn enclosed(tokens: &[Spaced]) -> Option<(char, &[Spaced], char)> {
    let [(Token::Mark(open @ ('(' | '[' | '{' | '⦃')), _), inside @ .., (Token::Mark(close), _)] = tokens else {
        return None;
    };
    if change(&Token::Mark(*close)) != -1 || (*open == '{') != (*close == '}') || (*open == '⦃') != (*close == '⦄')
    {
        return None;
    }
    let mut depth = 0;
    for (token, _) in inside {
        depth += change(token);
        if depth < 0 {
            return None;
        }
    }
    (depth == 0).then_some((*open, inside, *close))
}

fn change(token: &Token) -> i32 {
    match token {
        Token::Mark('(' | '[' | '{' | '⦃' | '⟦') => 1,
        Token::Mark(')' | ']' | '}' | '⦄' | '⟧') => -1,
        _ => 0,
    }
}

/// The parts between the tokens that separate them outside all brackets, and those tokens.
fn split(tokens: &[Spaced], at: impl Fn(&Token) -> bool) -> Option<(Vec<&[Spaced]>, Vec<&Token>)> {
    let (mut parts, mut between) = (Vec::new(), Vec::new());
    let (mut depth, mut start) = (0, 0);
    for (index, (token, _)) in tokens.iter().enumerate() {
        depth += change(token);
        if depth < 0 {
            return None;
        }
        if depth == 0 && at(token) {
            parts.push(tokens.get(start..index)?);
            between.push(token);
            start = index + 1;
        }
    }
    parts.push(tokens.get(start..)?);
    (depth == 0).then_some((parts, between))
}
