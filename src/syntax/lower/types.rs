//! Lowers types: names with arguments, unions, optional types.

use crate::syntax::{
    ast::{ExprKind, Type, TypeKind},
    grammar::{Node, Rule},
    lower::{Lower, child, children},
};

impl Lower<'_> {
    pub fn ty(&mut self, node: &Node<'_>) -> Type {
        let parts: Vec<Node<'_>> = children(node, Rule::ty_one).collect();
        let mut parts: Vec<Type> = parts.iter().filter_map(|it| self.ty_one(it)).collect();
        match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                parts.extend(last);
                Type { kind: TypeKind::Union(parts), span: self.span(node) }
            }
        }
    }

    fn ty_one(&mut self, node: &Node<'_>) -> Option<Type> {
        let inner = match (child(node, Rule::ty_named), child(node, Rule::text)) {
            (Some(named), _) => {
                let name = child(&named, Rule::name).map(|it| self.name(&it))?;
                let arguments: Vec<Node<'_>> = children(&named, Rule::ty).collect();
                let arguments = arguments.iter().map(|it| self.ty(it)).collect();
                Type { kind: TypeKind::Named { name, arguments }, span: self.span(&named) }
            }
            (None, Some(word)) => {
                let ExprKind::Text(text) = self.text(&word) else { return None };
                Type { kind: TypeKind::Text(text), span: self.span(&word) }
            }
            (None, None) => self.ty(&child(node, Rule::ty)?),
        };
        Some(match child(node, Rule::optional) {
            Some(_) => Type { kind: TypeKind::Optional(Box::new(inner)), span: self.span(node) },
            None => inner,
        })
    }
}
