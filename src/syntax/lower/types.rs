//! Lowers types: names with arguments, unions, optional types.

use crate::syntax::{
    ast::{Type, TypeKind},
    grammar::{Node, Rule},
    lower::{Lower, child, children},
};

impl Lower<'_> {
    pub fn ty(&self, node: &Node<'_>) -> Type {
        let mut parts: Vec<Type> = children(node, Rule::ty_one).filter_map(|it| self.ty_one(&it)).collect();
        match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                parts.extend(last);
                Type { kind: TypeKind::Union(parts), span: self.span(node) }
            }
        }
    }

    fn ty_one(&self, node: &Node<'_>) -> Option<Type> {
        let inner = match child(node, Rule::ty_named) {
            Some(named) => Type {
                kind: TypeKind::Named {
                    name: child(&named, Rule::name).map(|it| self.name(&it))?,
                    arguments: children(&named, Rule::ty).map(|it| self.ty(&it)).collect(),
                },
                span: self.span(&named),
            },
            None => self.ty(&child(node, Rule::ty)?),
        };
        Some(match child(node, Rule::optional) {
            Some(_) => Type { kind: TypeKind::Optional(Box::new(inner)), span: self.span(node) },
            None => inner,
        })
    }
}
