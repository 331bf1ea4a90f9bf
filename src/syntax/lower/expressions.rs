//! Lowers expressions. The grammar has a rule for each level of precedence; a level with one part is that part.

use crate::{
    base::{diagnostic::Diagnostic, span::Span},
    syntax::{
        ast::{Argument, BinaryOp, Expr, ExprKind, UnaryOp},
        grammar::{Node, Rule},
        lower::{DEEPEST, Lower, child, children},
    },
};

impl Lower<'_> {
    /// The first expression directly under a node.
    pub fn expr_of(&mut self, node: &Node<'_>) -> Expr {
        let missing = Expr { kind: ExprKind::Missing, span: self.span(node) };
        child(node, Rule::expr).map_or(missing, |it| self.expr(&it))
    }

    /// A node of any level of precedence.
    pub fn expr(&mut self, node: &Node<'_>) -> Expr {
        let mut node = node.clone();
        // Most levels hold one part; they are passed through without a call, so that depth counts real nesting.
        loop {
            let mut inner = node.clone().into_inner();
            match (is_level(node.as_rule()), inner.next(), inner.next()) {
                (true, Some(only), None) => node = only,
                _ => break,
            }
        }
        // A chain of operators nests as deep as it is long.
        let parts = node.clone().into_inner().count();
        let nesting = match node.as_rule() {
            Rule::operand | Rule::negation | Rule::signed => parts,
            rule if is_level(rule) => 1 + parts / 2,
            _ => 1,
        };
        self.nested(nesting, &node, |lower| lower.nested_expr(&node))
    }

    fn nested(&mut self, levels: usize, node: &Node<'_>, make: impl FnOnce(&mut Self) -> Expr) -> Expr {
        if self.depth + levels > DEEPEST {
            let span = self.span(node);
            self.complain(
                Diagnostic::error(span, format!("the expression nests more than {DEEPEST} deep"))
                    .hint("give the inner parts names of their own"),
            );
            return Expr { kind: ExprKind::Missing, span };
        }
        self.depth += levels;
        let made = make(self);
        self.depth -= levels;
        made
    }

    fn nested_expr(&mut self, node: &Node<'_>) -> Expr {
        match node.as_rule() {
            Rule::expr => self.then_chain(node),
            Rule::disjunction | Rule::conjunction | Rule::comparison | Rule::range | Rule::sum | Rule::product => {
                self.binary_chain(node)
            }
            Rule::negation | Rule::signed => self.unary_chain(node),
            Rule::operand => self.operand(node),
            _ => self.primary(node),
        }
    }

    /// `A then B after 3 steps then C after 5 steps`: A for 3 steps, B up to step 5, C from there.
    fn then_chain(&mut self, node: &Node<'_>) -> Expr {
        let parts: Vec<Node<'_>> = children(node, Rule::disjunction).collect();
        let mut parts = parts.iter().map(|it| self.expr(it)).collect::<Vec<_>>().into_iter();
        let Some(mut first) = parts.next() else { return self.missing(node) };
        while let (Some(next), Some(after)) = (parts.next(), parts.next()) {
            let span = first.span.to(after.span);
            let kind = ExprKind::Then { first: Box::new(first), next: Box::new(next), after: Box::new(after) };
            first = Expr { kind, span };
        }
        first
    }

    fn binary_chain(&mut self, node: &Node<'_>) -> Expr {
        let mut inner = node.clone().into_inner();
        let Some(first) = inner.next() else { return self.missing(node) };
        let mut left = self.expr(&first);
        while let (Some(sign), Some(right)) = (inner.next(), inner.next()) {
            let right = self.expr(&right);
            let span = left.span.to(right.span);
            let (left_side, right_side) = (Box::new(left), Box::new(right));
            let kind = match (sign.as_rule(), operator(sign.as_str())) {
                (Rule::dots | Rule::kw_to, _) => ExprKind::Range { from: left_side, to: right_side },
                (_, Some(op)) => ExprKind::Binary { op, left: left_side, right: right_side },
                (_, None) => ExprKind::Missing,
            };
            left = Expr { kind, span };
        }
        left
    }

    fn unary_chain(&mut self, node: &Node<'_>) -> Expr {
        let parts: Vec<Node<'_>> = node.clone().into_inner().collect();
        let Some((operand, signs)) = parts.split_last() else { return self.missing(node) };
        let mut value = self.expr(operand);
        for sign in signs.iter().rev() {
            let op = if sign.as_rule() == Rule::kw_not { UnaryOp::Not } else { UnaryOp::Minus };
            let span = self.span(sign).to(value.span);
            value = Expr { kind: ExprKind::Unary { op, operand: Box::new(value) }, span };
        }
        value
    }

    /// `[a]`, or `[a, b]`, which is `[a][b]`.
    fn index(&mut self, of: Expr, node: &Node<'_>) -> ExprKind {
        let (start, indices) = (of.span, children(node, Rule::expr).map(|it| self.expr(&it)).collect::<Vec<_>>());
        let nested = indices.into_iter().fold(of, |of, index| {
            let span = start.to(index.span);
            Expr { kind: ExprKind::Index { of: Box::new(of), index: Box::new(index) }, span }
        });
        nested.kind
    }

    /// A primary expression with its calls, indices and fields.
    fn operand(&mut self, node: &Node<'_>) -> Expr {
        let mut inner = node.clone().into_inner();
        let Some(first) = inner.next() else { return self.missing(node) };
        let mut value = self.expr(&first);
        for it in inner {
            let span = value.span.to(self.span(&it));
            let of = Box::new(value);
            let kind = match it.as_rule() {
                Rule::call => {
                    let arguments = children(&it, Rule::argument).map(|it| self.argument(&it)).collect();
                    ExprKind::Call { callee: of, arguments }
                }
                Rule::index => self.index(*of, &it),
                _ => {
                    let name = child(&it, Rule::word).map_or_else(|| self.name(&it), |word| self.name(&word));
                    ExprKind::Field { of, name }
                }
            };
            value = Expr { kind, span };
            if let Some(ty) = child(&it, Rule::ty) {
                value = Expr { span, kind: ExprKind::Typed { call: Box::new(value), ty: Box::new(self.ty(&ty)) } };
            }
        }
        value
    }

    fn argument(&mut self, node: &Node<'_>) -> Argument {
        Argument { name: child(node, Rule::word).map(|it| self.name(&it)), value: self.expr_of(node) }
    }

    fn primary(&mut self, node: &Node<'_>) -> Expr {
        let span = self.span(node);
        let kind = match node.as_rule() {
            // The span takes the brackets in, so that a caret under it shows all of it.
            Rule::group => self.expr_of(node).kind,
            Rule::list => {
                let parts: Vec<Node<'_>> = children(node, Rule::expr).collect();
                ExprKind::List(parts.iter().map(|it| self.expr(it)).collect())
            }
            Rule::if_expr => return self.if_expr(node),
            Rule::for_expr => {
                let mut clauses = Vec::new();
                for clause in children(node, Rule::clause) {
                    clauses.push((self.only_name(&clause), self.expr_of(&clause)));
                }
                ExprKind::For { clauses, body: Box::new(self.block_of(node)) }
            }
            Rule::repeat_expr => return self.repeat(node),
            Rule::name => ExprKind::Name(node.as_str().to_owned()),
            Rule::boolean => ExprKind::Bool(node.as_str() == "true"),
            Rule::text => self.text(node),
            Rule::number => self.number(node),
            Rule::amount => self.amount(node),
            _ => ExprKind::Missing,
        };
        Expr { kind, span }
    }

    /// Every condition with its block, and the last block; `else if` nests in the tree.
    fn if_expr(&mut self, node: &Node<'_>) -> Expr {
        let conditions: Vec<Node<'_>> = children(node, Rule::expr).collect();
        let blocks: Vec<Node<'_>> = children(node, Rule::block).collect();
        let words: Vec<Span> = children(node, Rule::kw_if).map(|it| self.span(&it)).collect();
        self.nested(conditions.len(), node, |lower| {
            let Some((last, blocks)) = blocks.split_last() else { return lower.missing(node) };
            let end = lower.span(node);
            let mut otherwise = lower.expr_of(last);
            for ((condition, block), word) in conditions.iter().zip(blocks).zip(words).rev() {
                let kind = ExprKind::If {
                    condition: Box::new(lower.expr(condition)),
                    then: Box::new(lower.expr_of(block)),
                    otherwise: Box::new(otherwise),
                };
                otherwise = Expr { kind, span: word.to(Span { start: end.end, ..end }) };
            }
            otherwise
        })
    }

    /// `repeat i in 1..3 from m { .. }`; without `= ..` after it, `m` starts as what it is outside.
    fn repeat(&mut self, node: &Node<'_>) -> Expr {
        let (Some(clause), Some(from)) = (child(node, Rule::clause), child(node, Rule::name)) else {
            return self.missing(node);
        };
        let from = self.name(&from);
        let outside = Expr { kind: ExprKind::Name(from.text.clone()), span: from.span };
        let start = child(node, Rule::expr).map_or(outside, |it| self.expr(&it));
        let (clause, from) = (Box::new((self.only_name(&clause), self.expr_of(&clause))), Box::new(from));
        let body = Box::new(self.block_of(node));
        Expr { kind: ExprKind::Repeat { clause, from, start: Box::new(start), body }, span: self.span(node) }
    }

    fn block_of(&mut self, node: &Node<'_>) -> Expr {
        let missing = self.missing(node);
        child(node, Rule::block).map_or(missing, |it| self.expr_of(&it))
    }

    fn missing(&self, node: &Node<'_>) -> Expr {
        Expr { kind: ExprKind::Missing, span: self.span(node) }
    }
}

fn is_level(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::expr
            | Rule::plain
            | Rule::disjunction
            | Rule::conjunction
            | Rule::negation
            | Rule::comparison
            | Rule::range
            | Rule::sum
            | Rule::product
            | Rule::signed
            | Rule::operand
            | Rule::primary
    )
}

fn operator(sign: &str) -> Option<BinaryOp> {
    Some(match sign {
        "or" => BinaryOp::Or,
        "and" => BinaryOp::And,
        "==" => BinaryOp::Equal,
        "!=" => BinaryOp::NotEqual,
        "<" => BinaryOp::Less,
        "<=" => BinaryOp::LessOrEqual,
        ">" => BinaryOp::Greater,
        ">=" => BinaryOp::GreaterOrEqual,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Subtract,
        "*" => BinaryOp::Multiply,
        "/" => BinaryOp::Divide,
        _ => return None,
    })
}
