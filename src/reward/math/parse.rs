//! Reads expressions: sums, products with and without a sign, powers, functions, matrices.

use num_traits::{One, Signed};

use crate::reward::math::{
    algebra::Algebra,
    expression::{Expression, Factor, Rational},
    matrix::{self, Operand},
    tokens::{Spaced, Token},
    words::is_unit,
};

/// How deep brackets may nest.
const DEEPEST: usize = 40;

/// Reads tokens from the first to the last; of plus or minus, the upper sign where `upper` is set.
pub struct Parser<'a> {
    tokens: &'a [Spaced],
    at: usize,
    depth: usize,
    upper: bool,
    /// How many bars are open, within which a bar closes.
    bars: usize,
    /// Whether degrees were met since a function began.
    degrees: bool,
    algebra: &'a mut Algebra,
}

/// The expression that all the tokens make.
pub fn expression(tokens: &[Spaced], upper: bool, algebra: &mut Algebra) -> Option<Operand> {
    let mut parser = Parser { tokens, at: 0, depth: 0, upper, bars: 0, degrees: false, algebra };
    let value = parser.sum()?;
    (parser.at == tokens.len()).then_some(value)
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn mark(&self, mark: char) -> bool {
        matches!(self.peek(), Some(Token::Mark(it)) if *it == mark)
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.mark(mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char) -> Option<()> {
        self.eat(mark).then_some(())
    }

    fn sum(&mut self) -> Option<Operand> {
        self.algebra.spend(1)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut value = self.product()?;
        loop {
            let negative = match self.peek() {
                Some(Token::Mark('+')) => false,
                Some(Token::Mark('-')) => true,
                Some(Token::PlusMinus(plus)) => *plus != self.upper,
                _ => break,
            };
            self.at += 1;
            let mut next = self.product()?;
            if negative {
                next = matrix::negate(&next, self.algebra)?;
            }
            value = matrix::add(value, &next, self.algebra)?;
        }
        self.depth -= 1;
        Some(value)
    }

    fn product(&mut self) -> Option<Operand> {
        let mut value = self.signed()?;
        loop {
            if self.eat('*') {
                let next = self.signed()?;
                value = matrix::multiply(&value, &next, self.algebra)?;
            } else if self.eat('/') || self.ratio() {
                let next = self.signed()?.scalar()?;
                let inverse = self.algebra.power(&next, &Expression::whole(-1))?;
                value = matrix::multiply(&value, &Operand::Scalar(inverse), self.algebra)?;
            } else if self.starts_factor() {
                let next = self.power()?;
                value = matrix::multiply(&value, &next, self.algebra)?;
            } else {
                return Some(value);
            }
        }
    }

    /// `7:32` is a quotient.
    fn ratio(&mut self) -> bool {
        self.depth == 1 && self.eat(':')
    }

    fn signed(&mut self) -> Option<Operand> {
        let mut negative = false;
        loop {
            match self.peek() {
                Some(Token::Mark('-')) => negative = !negative,
                Some(Token::Mark('+')) => {}
                Some(Token::PlusMinus(plus)) => negative ^= *plus != self.upper,
                _ => break,
            }
            self.at += 1;
        }
        let value = self.power()?;
        if negative { matrix::negate(&value, self.algebra) } else { Some(value) }
    }

    /// Whether what comes next multiplies what came before, without a sign between them.
    fn starts_factor(&self) -> bool {
        let after_number =
            matches!(self.at.checked_sub(1).and_then(|it| self.tokens.get(it)), Some((Token::Number(..), _)));
        match self.peek() {
            Some(Token::Number(..)) => !after_number,
            Some(Token::Letter(_) | Token::Function(_) | Token::Mark('(' | '[' | '{' | '⟦' | '⌊' | '⌈' | '∞')) => {
                true
            }
            Some(Token::Word(word)) => !(after_number && is_unit(word)),
            Some(Token::Mark('|')) => self.bars == 0,
            _ => false,
        }
    }

    fn power(&mut self) -> Option<Operand> {
        let base = self.postfix()?;
        if !self.mark('^') {
            return Some(base);
        }
        self.at += 1;
        if self.eat('°') || self.degrees_in_braces() {
            self.degrees = true;
            return Some(base);
        }
        let exponent = self.exponent()?;
        match base {
            Operand::Scalar(base) => Some(Operand::Scalar(self.algebra.power(&base, &exponent)?)),
            Operand::Matrix(_) => matrix::power(&base, exponent.as_whole()?, self.algebra),
        }
    }

    fn degrees_in_braces(&mut self) -> bool {
        let inside = self.tokens.get(self.at..self.at + 3);
        let found =
            matches!(inside, Some([(Token::Mark('{'), _), (Token::Mark('°' | '\''), _), (Token::Mark('}'), _)]));
        self.at += if found { 3 } else { 0 };
        found
    }

    fn exponent(&mut self) -> Option<Expression> {
        self.nested(|it| {
            if it.eat('-') {
                let value = it.exponent()?;
                return it.algebra.negate(&value);
            }
            it.power()?.scalar()
        })
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = read(self)?;
        self.depth -= 1;
        Some(value)
    }

    fn postfix(&mut self) -> Option<Operand> {
        let mut value = self.primary()?;
        while self.mark('!') || self.mark('°') {
            if self.eat('!') {
                value = Operand::Scalar(self.algebra.call("factorial", vec![value.scalar()?])?);
            } else {
                self.at += 1;
                self.degrees = true;
            }
        }
        Some(value)
    }

    fn primary(&mut self) -> Option<Operand> {
        let token = self.peek()?;
        self.at += 1;
        let scalar = match token {
            Token::Number(value, _) => self.number(value)?,
            Token::Letter(letter) => self.letter(*letter)?,
            Token::Word(word) => self.word(word)?,
            Token::Function(name) => self.function(name)?,
            Token::Mark('∞') => Expression::factor(Factor::Infinity),
            Token::Mark('{') => return self.closed('}'),
            Token::Mark('(') => return self.closed(')'),
            Token::Mark('[') => return self.closed(']'),
            Token::Mark('⟦') => return self.matrix(),
            Token::Mark('⌊') => self.within("floor", '⌋')?,
            Token::Mark('⌈') => self.within("ceil", '⌉')?,
            Token::Mark('|') => {
                let outer = std::mem::replace(&mut self.bars, 1);
                let value = self.within("abs", '|')?;
                self.bars = outer;
                value
            }
            _ => return None,
        };
        Some(Operand::Scalar(scalar))
    }

    fn closed(&mut self, close: char) -> Option<Operand> {
        let bars = std::mem::take(&mut self.bars);
        let value = self.sum()?;
        self.bars = bars;
        self.expect(close)?;
        Some(value)
    }

    fn within(&mut self, function: &str, close: char) -> Option<Expression> {
        let value = self.sum()?.scalar()?;
        self.expect(close)?;
        self.algebra.call(function, vec![value])
    }

    fn number(&mut self, value: &Rational) -> Option<Expression> {
        let number = Expression::number(value.clone());
        if self.mark('_') {
            let base = self.subscript()?;
            return self.algebra.call("base", vec![number, Expression::symbol(base)]);
        }
        // Two and a half, as `2\frac{1}{2}` and as `2 1/2`.
        let (start, depth) = (self.at, self.depth);
        let mixed = if matches!(self.peek(), Some(Token::Function("frac"))) {
            self.at += 1;
            self.function("frac")
        } else if let [(Token::Number(above, 0), true), (Token::Mark('/'), _), (Token::Number(below, 0), _), ..] =
            self.tokens.get(self.at..)?
        {
            self.at += 3;
            self.algebra.divide(&Expression::number(above.clone()), &Expression::number(below.clone()))
        } else {
            None
        };
        let part = mixed.and_then(|it| it.as_number()).filter(|it| it.is_positive() && it < &Rational::one());
        match part {
            Some(part) if value.is_integer() => self.algebra.add(number, &Expression::number(part)),
            _ => {
                (self.at, self.depth) = (start, depth);
                Some(number)
            }
        }
    }

    fn letter(&mut self, letter: char) -> Option<Expression> {
        let mut name = letter.to_string();
        if self.mark('_') {
            name = format!("{name}_{}", self.subscript()?);
        }
        while self.eat('\'') {
            name.push('\'');
        }
        if matches!(letter, 'f' | 'g' | 'h' | 'F' | 'G' | 'H') && self.mark('(') {
            self.at += 1;
            let argument = self.closed(')')?.scalar()?;
            return Some(Expression::factor(Factor::Call(name.chars().take(1).collect(), vec![argument])));
        }
        Some(match name.as_str() {
            "π" => Expression::factor(Factor::Pi),
            "e" => Expression::factor(Factor::Euler),
            "i" => Expression::factor(Factor::Imaginary),
            _ => Expression::symbol(name),
        })
    }

    /// Letters beside each other are multiplied; the last may carry a subscript.
    fn word(&mut self, word: &str) -> Option<Expression> {
        if word.len() > 8 {
            return Some(Expression::symbol(word));
        }
        let mut value = Expression::whole(1);
        let mut letters = word.chars().peekable();
        while let Some(letter) = letters.next() {
            let next = if letters.peek().is_none() { self.letter(letter)? } else { Expression::symbol(letter) };
            value = self.algebra.multiply(&value, &next)?;
        }
        Some(value)
    }

    /// What stands below, as text: its tokens need not make an expression.
    fn subscript(&mut self) -> Option<String> {
        self.expect('_')?;
        let start = self.at;
        self.at += 1;
        if matches!(self.tokens.get(start)?.0, Token::Mark('{')) {
            while !self.eat('}') {
                self.peek()?;
                self.at += 1;
            }
        }
        let inside = self.tokens.get(start..self.at)?.iter().map(|(token, _)| match token {
            Token::Number(value, _) => value.to_string(),
            Token::Letter(letter) => letter.to_string(),
            Token::Word(text) | Token::Text(text) => text.clone(),
            Token::Mark('{' | '}') => String::new(),
            other => format!("{other:?}"),
        });
        Some(inside.collect())
    }

    fn function(&mut self, name: &str) -> Option<Expression> {
        match name {
            "frac" => {
                let above = self.argument()?;
                let below = self.argument()?;
                self.algebra.divide(&above, &below)
            }
            "binom" => {
                let arguments = vec![self.argument()?, self.argument()?];
                self.algebra.call("binomial", arguments)
            }
            "sqrt" => {
                let degree = if self.eat('[') { self.closed(']')?.scalar()? } else { Expression::whole(2) };
                let inside = self.argument()?;
                let power = self.algebra.power(&degree, &Expression::whole(-1))?;
                self.algebra.power(&inside, &power)
            }
            _ => self.named(name),
        }
    }

    /// A function with a name: `\log_2 8`, `\sin^2 x`, `cos(2x)`.
    fn named(&mut self, name: &str) -> Option<Expression> {
        let base = if self.eat('_') { Some(self.argument()?) } else { None };
        let power = if self.eat('^') { Some(self.exponent()?) } else { None };
        let outside = std::mem::take(&mut self.degrees);
        let mut inside = self.nested(Self::operand)?;
        if std::mem::replace(&mut self.degrees, outside) {
            let degree =
                Expression::product([(Factor::Pi, Rational::one())].into(), Rational::new(1.into(), 180.into()));
            inside = self.algebra.multiply(&inside, &degree)?;
        }
        let inverse = power.as_ref().is_some_and(|it| it.as_whole() == Some(-1));
        let value = match name {
            "log" | "lg" => {
                let base = base.unwrap_or_else(|| Expression::whole(10));
                self.algebra.call("log", vec![inside, base])?
            }
            "sin" | "cos" | "tan" if inverse => {
                let name = format!("arc{name}");
                return self.algebra.call(&name, vec![inside]);
            }
            _ => self.algebra.call(name, vec![inside])?,
        };
        match power {
            Some(power) => self.algebra.power(&value, &power),
            None => Some(value),
        }
    }

    /// What a function is applied to: all that is in brackets, or what is multiplied without a sign.
    fn operand(&mut self) -> Option<Expression> {
        let bracketed = matches!(self.peek(), Some(Token::Mark('(' | '[')));
        let mut value = if self.eat('-') {
            let value = self.power()?.scalar()?;
            self.algebra.negate(&value)?
        } else if bracketed {
            return self.postfix()?.scalar();
        } else {
            self.power()?.scalar()?
        };
        while matches!(self.peek(), Some(Token::Letter(_) | Token::Word(_) | Token::Number(..))) && self.starts_factor()
        {
            let next = self.power()?.scalar()?;
            value = self.algebra.multiply(&value, &next)?;
        }
        if self.eat('/') {
            // `\sin x/2`
            let below = self.power()?.scalar()?;
            value = self.algebra.divide(&value, &below)?;
        }
        Some(value)
    }

    /// One argument of a command.
    fn argument(&mut self) -> Option<Expression> {
        self.nested(|it| it.postfix()?.scalar())
    }

    fn matrix(&mut self) -> Option<Operand> {
        let mut rows = vec![Vec::new()];
        loop {
            if self.eat('⏎') {
                rows.push(Vec::new());
            } else if self.eat('⟧') {
                rows.retain(|it| !it.is_empty());
                let width = rows.first()?.len();
                return rows.iter().all(|it| it.len() == width).then_some(Operand::Matrix(rows));
            } else if !self.eat('&') {
                let entry = self.sum()?.scalar()?;
                rows.last_mut()?.push(entry);
            }
        }
    }
}
