//! Lowers numbers with their suffixes, amounts and texts with their escapes.

use crate::{
    base::{diagnostic::Diagnostic, span::Span},
    syntax::{
        ast::ExprKind,
        grammar::{Node, Rule},
        lower::{Lower, child},
    },
};

/// Up to here every whole number is a float too.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

impl Lower<'_> {
    pub fn number(&mut self, node: &Node<'_>) -> ExprKind {
        match parse_number(node.as_str()) {
            Some(number) => number.into_kind(),
            None => {
                let span = self.span(node);
                self.complain(
                    Diagnostic::error(span, format!("the number `{}` is too large", node.as_str()))
                        .hint("whole numbers reach to 9_223_372_036_854_775_807; write larger ones with an exponent"),
                );
                ExprKind::Missing
            }
        }
    }

    pub fn amount(&mut self, node: &Node<'_>) -> ExprKind {
        let (Some(number), Some(unit)) = (child(node, Rule::number), child(node, Rule::unit)) else {
            return ExprKind::Missing;
        };
        let unit = self.name(&unit);
        match self.number(&number) {
            ExprKind::Int(value) => ExprKind::Amount { value: value as f64, unit },
            ExprKind::Float(value) => ExprKind::Amount { value, unit },
            other => other,
        }
    }

    pub fn text(&mut self, node: &Node<'_>) -> ExprKind {
        let quoted = node.as_str();
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        let mut text = String::with_capacity(inner.len());
        let mut rest = inner.char_indices();
        while let Some((at, it)) = rest.next() {
            if it != '\\' {
                text.push(it);
                continue;
            }
            match rest.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, same @ ('"' | '\\'))) => text.push(same),
                other => {
                    let start = self.span(node).start as usize + 1 + at;
                    let escaped = other.map_or(' ', |(_, it)| it);
                    let length = if escaped.is_whitespace() { 0 } else { escaped.len_utf8() };
                    let span = Span::new(self.source, start, start + 1 + length);
                    self.complain(
                        Diagnostic::error(
                            span,
                            format!("expected an escape of `n`, `t`, `r`, `\"` or `\\`, found `\\{escaped}`"),
                        )
                        .hint("write `\\\\` for a backslash"),
                    );
                    text.push(escaped);
                }
            }
        }
        ExprKind::Text(text)
    }
}

pub enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn into_kind(self) -> ExprKind {
        match self {
            Self::Int(value) => ExprKind::Int(value),
            Self::Float(value) => ExprKind::Float(value),
        }
    }

    pub fn as_float(&self) -> f64 {
        match self {
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
        }
    }
}

/// A number whose value is whole is an integer where it has no exponent: `600k`, `1.5M`.
pub fn parse_number(text: &str) -> Option<Number> {
    let text: String = text.chars().filter(|it| *it != '_').collect();
    let factor = match text.chars().last() {
        Some('k') => 1_000_i64,
        Some('M') => 1_000_000,
        Some('G') => 1_000_000_000,
        Some('T') => 1_000_000_000_000,
        _ => 1,
    };
    let digits = text.trim_end_matches(['k', 'M', 'G', 'T']);
    if !digits.contains(['.', 'e', 'E']) {
        return digits.parse::<i64>().ok()?.checked_mul(factor).map(Number::Int);
    }
    let value = digits.parse::<f64>().ok()? * factor as f64;
    let is_whole = factor > 1 && value.fract() == 0.0 && value.abs() < LARGEST_EXACT;
    match (is_whole, value.is_finite()) {
        (true, _) => Some(Number::Int(value as i64)),
        (false, true) => Some(Number::Float(value)),
        (false, false) => None,
    }
}
