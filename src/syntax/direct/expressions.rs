//! Reads expressions, a function for each level of precedence.
//!
//! What is read comes with its height: how deep the grammar's way of reading it would go, so that what is too deep for
//! that is not taken here either.

use super::scanner::{Scanner, is_reserved, is_word_byte};
use crate::{
    base::span::Span,
    syntax::{
        ast::{Argument, BinaryOp, Expr, ExprKind, Name, UnaryOp},
        lower,
    },
};

/// An expression and its height.
type Tall = (Expr, usize);

impl Scanner<'_> {
    /// An expression that stands in no other.
    pub fn whole_expr(&mut self) -> Option<Expr> {
        let (expr, height) = self.expr()?;
        (height <= lower::DEEPEST).then_some(expr)
    }

    /// A sum that stands in no other.
    pub fn whole_sum(&mut self) -> Option<Expr> {
        let (expr, height) = self.sum()?;
        (height <= lower::DEEPEST).then_some(expr)
    }

    /// `A then B after 3 steps then C after 5 steps`
    fn expr(&mut self) -> Option<Tall> {
        self.deeper(|it| {
            let (mut first, mut height) = it.disjunction()?;
            let mut parts = 1;
            while it.has_word("then") {
                let (next, one) = it.disjunction()?;
                it.keyword("after")?;
                let (after, other) = it.disjunction()?;
                let span = first.span.to(after.span);
                let kind = ExprKind::Then { first: Box::new(first), next: Box::new(next), after: Box::new(after) };
                first = Expr { kind, span };
                height = height.max(one).max(other);
                parts += 2;
                shallow(parts)?;
            }
            Some((first, if parts > 1 { height + parts } else { height }))
        })
    }

    fn disjunction(&mut self) -> Option<Tall> {
        self.chain(Self::conjunction, |it| it.has_word("or").then_some(BinaryOp::Or))
    }

    fn conjunction(&mut self) -> Option<Tall> {
        self.chain(Self::negation, |it| it.has_word("and").then_some(BinaryOp::And))
    }

    fn negation(&mut self) -> Option<Tall> {
        self.unary(UnaryOp::Not, Self::comparison, |it| it.has_word("not"))
    }

    /// A second comparison does not chain.
    fn comparison(&mut self) -> Option<Tall> {
        let left = self.range()?;
        let Some((op, length)) = self.comparator() else { return Some(left) };
        self.take(length);
        let right = self.range()?;
        Some(binary(op, left, right, 2))
    }

    fn comparator(&self) -> Option<(BinaryOp, usize)> {
        Some(match (self.byte(0), self.byte(1)) {
            (b'=', b'=') => (BinaryOp::Equal, 2),
            (b'!', b'=') => (BinaryOp::NotEqual, 2),
            (b'<', b'=') => (BinaryOp::LessOrEqual, 2),
            (b'>', b'=') => (BinaryOp::GreaterOrEqual, 2),
            (b'<', _) => (BinaryOp::Less, 1),
            (b'>', _) => (BinaryOp::Greater, 1),
            _ => return None,
        })
    }

    fn range(&mut self) -> Option<Tall> {
        let (from, height) = self.sum()?;
        if self.is_marks(*b"..") {
            self.take(2);
        } else if !self.has_word("to") {
            return Some((from, height));
        }
        let (to, other) = self.sum()?;
        let span = from.span.to(to.span);
        Some((Expr { kind: ExprKind::Range { from: Box::new(from), to: Box::new(to) }, span }, 2 + height.max(other)))
    }

    fn sum(&mut self) -> Option<Tall> {
        self.chain(Self::product, |it| {
            let op = match (it.byte(0), it.byte(1)) {
                (b'+', _) => BinaryOp::Add,
                (b'-', next) if next != b'>' => BinaryOp::Subtract,
                _ => return None,
            };
            it.take(1);
            Some(op)
        })
    }

    fn product(&mut self) -> Option<Tall> {
        self.chain(Self::signed, |it| {
            let op = match (it.byte(0), it.byte(1)) {
                (b'*', next) if next != b'*' => BinaryOp::Multiply,
                (b'/', _) => BinaryOp::Divide,
                _ => return None,
            };
            it.take(1);
            Some(op)
        })
    }

    fn signed(&mut self) -> Option<Tall> {
        self.unary(UnaryOp::Minus, Self::operand, |it| it.byte(0) == b'-' && it.byte(1) != b'>' && it.has(b'-'))
    }

    /// Parts with operators between them, from the left; as high as it is long.
    fn chain(
        &mut self,
        part: fn(&mut Self) -> Option<Tall>,
        operator: fn(&mut Self) -> Option<BinaryOp>,
    ) -> Option<Tall> {
        let (mut left, mut height) = part(self)?;
        let mut parts = 1;
        while let Some(op) = operator(self) {
            let (right, other) = part(self)?;
            (left, _) = binary(op, (left, 0), (right, 0), 0);
            height = height.max(other);
            parts += 1;
            shallow(parts)?;
        }
        Some((left, if parts > 1 { height + parts } else { height }))
    }

    fn unary(
        &mut self,
        op: UnaryOp,
        operand: fn(&mut Self) -> Option<Tall>,
        sign: fn(&mut Self) -> bool,
    ) -> Option<Tall> {
        let start = self.at;
        if !sign(self) {
            return operand(self);
        }
        let mut signs = vec![start];
        let mut next = self.at;
        while sign(self) {
            signs.push(next);
            next = self.at;
            shallow(signs.len())?;
        }
        let (mut value, height) = operand(self)?;
        let parts = signs.len() + 1;
        for sign in signs.into_iter().rev() {
            let span = Span::new(self.source, sign, value.span.end as usize);
            value = Expr { kind: ExprKind::Unary { op, operand: Box::new(value) }, span };
        }
        Some((value, height + parts))
    }

    /// A primary expression with its calls, indices and fields.
    fn operand(&mut self) -> Option<Tall> {
        let (mut value, mut height) = self.primary()?;
        let mut parts = 1;
        loop {
            let start = value.span.start as usize;
            let of = match self.byte(0) {
                b'(' => {
                    self.take(1);
                    let (arguments, other) = self.arguments()?;
                    height = height.max(other);
                    let ty = if self.is_marks(*b"->") {
                        self.take(2);
                        Some(self.ty()?)
                    } else {
                        None
                    };
                    let span = self.span(start);
                    let called = Expr { kind: ExprKind::Call { callee: Box::new(value), arguments }, span };
                    match ty {
                        Some(ty) => ExprKind::Typed { call: Box::new(called), ty: Box::new(ty) },
                        None => called.kind,
                    }
                }
                b'[' => {
                    self.take(1);
                    loop {
                        let (index, other) = self.expr()?;
                        height = height.max(other);
                        let (kind, span) =
                            (ExprKind::Index { of: Box::new(value), index: Box::new(index) }, self.span(start));
                        if !self.has(b',') {
                            self.mark(b']')?;
                            break kind;
                        }
                        value = Expr { kind, span };
                        parts += 1;
                        shallow(parts)?;
                    }
                }
                b'.' if self.byte(1) != b'.' => {
                    self.take(1);
                    ExprKind::Field { of: Box::new(value), name: self.word()? }
                }
                _ => break,
            };
            value = Expr { kind: of, span: self.span(start) };
            parts += 1;
            shallow(parts)?;
        }
        Some((value, if parts > 1 { height + parts } else { height }))
    }

    fn arguments(&mut self) -> Option<(Vec<Argument>, usize)> {
        let (mut arguments, mut height) = (Vec::new(), 0);
        while self.byte(0) != b')' {
            let name = self.argument_name();
            let (value, one) = self.expr()?;
            arguments.push(Argument { name, value });
            height = height.max(one);
            if !self.has(b',') {
                break;
            }
        }
        self.mark(b')')?;
        // A large recipe has hundreds of thousands of these.
        arguments.shrink_to_fit();
        Some((arguments, height))
    }

    /// The word before a `=`, taken with it.
    fn argument_name(&mut self) -> Option<Name> {
        let (at, end) = (self.at, self.end);
        let word = self.peek_word();
        if word.is_empty() {
            return None;
        }
        self.take(word.len());
        if !self.is_assign() {
            (self.at, self.end) = (at, end);
            return None;
        }
        let span = self.span(at);
        self.take(1);
        Some(Name { text: word.to_owned(), span })
    }

    fn primary(&mut self) -> Option<Tall> {
        let start = self.at;
        let (kind, height) = match self.byte(0) {
            b'"' => (ExprKind::Text(self.text()?), 0),
            b'0'..=b'9' => (self.number()?, 0),
            b'[' => {
                self.take(1);
                let (mut elements, mut height) = (Vec::new(), 0);
                while self.byte(0) != b']' {
                    let (element, one) = self.expr()?;
                    elements.push(element);
                    height = height.max(one);
                    if !self.has(b',') {
                        break;
                    }
                }
                self.mark(b']')?;
                elements.shrink_to_fit();
                (ExprKind::List(elements), height)
            }
            b'(' => {
                self.take(1);
                let (inner, height) = self.expr()?;
                self.mark(b')')?;
                (inner.kind, height)
            }
            _ => match self.peek_word() {
                word @ ("true" | "false") => {
                    self.take(word.len());
                    (ExprKind::Bool(word == "true"), 0)
                }
                "if" => return self.if_expr(),
                "for" => self.for_expr()?,
                "repeat" if self.is_repeat() => self.repeat()?,
                word if word.is_empty() || is_reserved(word) => return None,
                word => {
                    self.take(word.len());
                    (ExprKind::Name(word.to_owned()), 0)
                }
            },
        };
        Some((Expr { kind, span: self.span(start) }, height + 1))
    }

    /// `if a { b } else if c { d } else { e }`; `else if` nests in the tree.
    fn if_expr(&mut self) -> Option<Tall> {
        let mut branches = Vec::new();
        let mut height = 0;
        let otherwise = loop {
            let word = self.at;
            self.keyword("if")?;
            let ((condition, one), (then, other)) = (self.expr()?, self.block()?);
            branches.push((word, condition, then));
            shallow(branches.len())?;
            height = height.max(one).max(other);
            self.keyword("else")?;
            if self.peek_word() != "if" {
                break self.block()?;
            }
        };
        let (mut otherwise, last) = otherwise;
        let height = height.max(last) + branches.len() + 1;
        for (word, condition, then) in branches.into_iter().rev() {
            let (condition, then) = (Box::new(condition), Box::new(then));
            let kind = ExprKind::If { condition, then, otherwise: Box::new(otherwise) };
            otherwise = Expr { kind, span: self.span(word) };
        }
        Some((otherwise, height))
    }

    fn for_expr(&mut self) -> Option<(ExprKind, usize)> {
        self.keyword("for")?;
        let (mut clauses, mut height) = (Vec::new(), 0);
        loop {
            let (name, source, one) = self.clause()?;
            clauses.push((name, source));
            height = height.max(one);
            if !self.has(b',') {
                break;
            }
        }
        let (body, one) = self.block()?;
        Some((ExprKind::For { clauses, body: Box::new(body) }, height.max(one)))
    }

    /// Whether `repeat` is the word of the language here: a name must follow it.
    fn is_repeat(&self) -> bool {
        let length = "repeat".len();
        let rest = self.text.as_bytes().get(self.at + length..self.limit()).unwrap_or_default();
        let blanks = rest.iter().position(|it| !matches!(it, b' ' | b'\t')).unwrap_or(rest.len());
        let next = rest.get(blanks).copied().unwrap_or_default();
        let word = self.word_at(self.at + length + blanks);
        // Behind a comment or on the next line the grammar finds out.
        blanks > 0 && (matches!(next, b'#' | b'\r' | b'\n') || !(word.is_empty() || is_reserved(word)))
    }

    fn repeat(&mut self) -> Option<(ExprKind, usize)> {
        self.keyword("repeat")?;
        let (name, source, one) = self.clause()?;
        self.keyword("from")?;
        let from = self.name()?;
        let outside = Expr { kind: ExprKind::Name(from.text.clone()), span: from.span };
        let (start, other) = if self.is_assign() {
            self.take(1);
            self.expr()?
        } else {
            (outside, 1)
        };
        let (body, last) = self.block()?;
        let (clause, from) = (Box::new((name, source)), Box::new(from));
        let kind = ExprKind::Repeat { clause, from, start: Box::new(start), body: Box::new(body) };
        Some((kind, one.max(other).max(last)))
    }

    /// `m in [zero, r1]`
    fn clause(&mut self) -> Option<(Name, Expr, usize)> {
        let name = self.name()?;
        self.keyword("in")?;
        let (source, height) = self.expr()?;
        Some((name, source, height))
    }

    fn block(&mut self) -> Option<Tall> {
        self.mark(b'{')?;
        let made = self.expr()?;
        self.mark(b'}')?;
        Some(made)
    }

    /// A number, or an amount where a unit follows it on its line.
    fn number(&mut self) -> Option<ExprKind> {
        let start = self.at;
        let length = self.number_length()?;
        let digits = self.text.get(start..start + length)?;
        let value = lower::values::parse_number(digits)?;
        let blanks = (0..).take_while(|it| matches!(self.byte(length + it), b' ' | b'\t')).count();
        let word = if blanks > 0 { self.word_at(start + length + blanks) } else { "" };
        self.take(length);
        if word.is_empty() || is_reserved(word) || ["to", "after", "from"].contains(&word) {
            return Some(value.into_kind());
        }
        Some(ExprKind::Amount { value: value.as_float(), unit: self.word()? })
    }

    /// How many bytes the number takes that stands here.
    fn number_length(&self) -> Option<usize> {
        let mut length = self.digits(0)?;
        if self.byte(length) == b'.'
            && let Some(end) = self.digits(length + 1)
        {
            length = end;
        }
        if matches!(self.byte(length), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(length + 1), b'+' | b'-'));
            length = self.digits(length + 1 + sign).unwrap_or(length);
        }
        length += usize::from(matches!(self.byte(length), b'k' | b'M' | b'G' | b'T'));
        (!is_word_byte(self.byte(length))).then_some(length)
    }

    /// Where the digits end that start so many bytes on, `10_400`.
    fn digits(&self, start: usize) -> Option<usize> {
        let is_digit = |at: usize| self.byte(at).is_ascii_digit();
        let mut at = start;
        while is_digit(at) || (at > start && self.byte(at) == b'_' && is_digit(at + 1)) {
            at += 1;
        }
        (at > start).then_some(at)
    }

    /// What a text says; None where it is not closed, or has an escape that nobody knows.
    pub fn text(&mut self) -> Option<String> {
        let start = self.at;
        if self.byte(0) != b'"' {
            return None;
        }
        let mut length = 1;
        let mut escapes = false;
        loop {
            match self.byte(length) {
                b'"' => break,
                b'\\' => {
                    escapes = true;
                    if !matches!(self.byte(length + 1), b'n' | b't' | b'r' | b'"' | b'\\') {
                        return None;
                    }
                    length += 2;
                }
                b'\n' => return None,
                0 if start + length >= self.limit() => return None,
                _ => length += 1,
            }
        }
        let inner = self.text.get(start + 1..start + length)?;
        let text = if escapes { unescaped(inner) } else { inner.to_owned() };
        self.take(length + 1);
        Some(text)
    }
}

/// A tree as deep as a row of so many parts would not be taken, and not every walk over it, its end among them, is a loop.
fn shallow(parts: usize) -> Option<()> {
    (parts <= lower::DEEPEST).then_some(())
}

fn binary(op: BinaryOp, (left, one): Tall, (right, other): Tall, levels: usize) -> Tall {
    let span = left.span.to(right.span);
    let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) };
    (Expr { kind, span }, levels + one.max(other))
}

/// A text whose escapes are all known.
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(it) = rest.next() {
        text.push(match it {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(same) => same,
                None => it,
            },
            it => it,
        });
    }
    text
}
