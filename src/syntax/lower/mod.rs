//! From pest's nodes to the syntax tree.

mod expressions;
mod items;
mod types;
pub(super) mod values;

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Span},
    },
    syntax::{
        ast::Name,
        grammar::{Node, Rule},
    },
};

/// How deep an expression may nest, so that no pass over the tree can exhaust the stack.
pub(super) const DEEPEST: usize = 256;

/// Turns the nodes of one item into the tree, and complains of what the grammar alone cannot see.
pub struct Lower<'a> {
    pub source: SourceId,
    /// The whole text; the nodes were parsed from a part of it.
    pub text: &'a str,
    /// Where that part starts.
    pub base: usize,
    pub diagnostics: &'a mut Diagnostics,
    depth: usize,
}

impl<'a> Lower<'a> {
    pub fn new(source: SourceId, text: &'a str, base: usize, diagnostics: &'a mut Diagnostics) -> Self {
        Self { source, text, base, diagnostics, depth: 0 }
    }

    /// Where a node stands. Before an optional part that is absent pest has already passed over blanks and comments;
    /// the last token under the node tells its true end, for every token of the grammar is a rule.
    fn span(&self, node: &Node<'_>) -> Span {
        let mut last = node.clone();
        while let Some(inner) = last.clone().into_inner().next_back() {
            last = inner;
        }
        Span::new(self.source, self.base + node.as_span().start(), self.base + last.as_span().end())
    }

    fn name(&self, node: &Node<'_>) -> Name {
        Name { text: node.as_str().to_owned(), span: self.span(node) }
    }

    /// Every name directly under a node.
    fn names(&self, node: &Node<'_>) -> Vec<Name> {
        children(node, Rule::name).map(|it| self.name(&it)).collect()
    }

    /// The only name directly under a node.
    fn only_name(&self, node: &Node<'_>) -> Name {
        child(node, Rule::name).map_or_else(|| self.name(node), |it| self.name(&it))
    }

    fn label(&self, node: &Node<'_>) -> Option<Name> {
        let label = child(node, Rule::label)?;
        child(&label, Rule::word).map(|it| self.name(&it))
    }

    fn docs(&self, node: &Node<'_>) -> String {
        crate::syntax::docs::above(self.text, self.base + node.as_span().start())
    }

    fn complain(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

fn children<'i>(node: &Node<'i>, rule: Rule) -> impl Iterator<Item = Node<'i>> + use<'i> {
    node.clone().into_inner().filter(move |it| it.as_rule() == rule)
}

fn child<'i>(node: &Node<'i>, rule: Rule) -> Option<Node<'i>> {
    children(node, rule).next()
}
