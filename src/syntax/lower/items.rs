//! Lowers items: uses, parameters, inputs, bindings, the heads of stages, requirements and outputs.

use crate::syntax::{
    ast::{Binding, Expr, ExprKind, Input, Item, Output, Param, Require, StageParam, Test, Type, TypeKind, Use},
    ast::{Name, StageBody, StageItem},
    grammar::{Node, Rule},
    lower::{Lower, child, children},
};

impl Lower<'_> {
    /// An item other than a stage.
    pub fn item(&mut self, node: &Node<'_>) -> Option<Item> {
        let node = if node.as_rule() == Rule::item { node.clone().into_inner().next()? } else { node.clone() };
        let span = self.span(&node);
        Some(match node.as_rule() {
            Rule::use_item => {
                let file = child(&node, Rule::file).map(|it| self.name(&it));
                match file {
                    Some(file) => {
                        let alias = self.only_name(&node);
                        Item::Use(Use { file: Some((file, alias)), path: Vec::new(), names: Vec::new(), span })
                    }
                    None => Item::Use(Use { file: None, path: self.path(&node), names: self.names(&node), span }),
                }
            }
            Rule::param => Item::Param(Box::new(Param {
                docs: self.docs(&node),
                name: self.only_name(&node),
                ty: self.ty_of(&node),
                default: self.default(&node),
                range: self.bounds(&node),
                span,
            })),
            Rule::input => Item::Input(Box::new(Input {
                docs: self.docs(&node),
                name: self.only_name(&node),
                ty: self.ty_of(&node),
                default: self.default(&node),
                pin: self.pin(&node),
                label: self.label(&node),
                span,
            })),
            Rule::binding => Item::Binding(Binding {
                docs: self.docs(&node),
                name: self.only_name(&node),
                value: self.expr_of(&node),
                label: self.label(&node),
                span,
            }),
            Rule::require => Item::Require(Require { condition: self.expr_of(&node), span }),
            Rule::output => Item::Output(Output { names: self.names(&node), span }),
            _ => return None,
        })
    }

    /// The head of a stage; the body is None where the head does not end in `= builtin`.
    pub fn stage_head(&mut self, node: &Node<'_>) -> (StageItem, Option<StageBody>) {
        let mut params = Vec::new();
        for it in children(node, Rule::stage_param) {
            params.push(StageParam {
                docs: self.docs(&it),
                name: self.only_name(&it),
                ty: self.ty_of(&it),
                default: self.default(&it),
                range: self.bounds(&it),
                label: self.label(&it),
                span: self.span(&it),
            });
        }
        let stage = StageItem {
            docs: self.docs(node),
            path: self.path(node),
            params,
            returns: self.ty_of(node),
            body: StageBody::Items(Vec::new()),
            span: self.span(node),
        };
        (stage, child(node, Rule::kw_builtin).map(|_| StageBody::Builtin))
    }

    /// The head of a test.
    pub fn test_head(&mut self, node: &Node<'_>) -> Test {
        let text = child(node, Rule::text);
        let name = text.map(|it| (self.text(&it), self.span(&it)));
        let name = match name {
            Some((ExprKind::Text(text), span)) => Name { text, span },
            _ => Name { text: String::new(), span: self.span(node) },
        };
        Test { docs: self.docs(node), name, items: Vec::new(), span: self.span(node) }
    }

    /// What a broken item still declares, so that its name is known elsewhere.
    pub fn declared(&mut self, node: &Node<'_>) -> Option<Item> {
        let (name, span, docs) = (self.only_name(node), self.span(node), self.docs(node));
        let missing = Expr { kind: ExprKind::Missing, span };
        let Some(ty) = child(node, Rule::ty).map(|it| self.ty(&it)) else {
            return Some(Item::Binding(Binding { docs, name, value: missing, label: None, span }));
        };
        Some(if child(node, Rule::kw_param).is_some() {
            Item::Param(Box::new(Param { docs, name, ty, default: Some(missing), range: None, span }))
        } else {
            Item::Input(Box::new(Input { docs, name, ty, default: Some(missing), pin: None, label: None, span }))
        })
    }

    fn pin(&self, node: &Node<'_>) -> Option<Name> {
        let pin = child(node, Rule::pin)?;
        child(&pin, Rule::hash).map(|it| self.name(&it))
    }

    fn path(&self, node: &Node<'_>) -> Vec<Name> {
        child(node, Rule::path).map(|it| self.names(&it)).unwrap_or_default()
    }

    fn ty_of(&mut self, node: &Node<'_>) -> Type {
        let missing = Type { kind: TypeKind::Union(Vec::new()), span: self.span(node) };
        child(node, Rule::ty).map_or(missing, |it| self.ty(&it))
    }

    fn default(&mut self, node: &Node<'_>) -> Option<Expr> {
        child(node, Rule::default).map(|it| self.expr_of(&it))
    }

    fn bounds(&mut self, node: &Node<'_>) -> Option<(Expr, Expr)> {
        let bounds = child(node, Rule::bounds)?;
        let mut ends = children(&bounds, Rule::sum);
        let (from, to) = (ends.next()?, ends.next()?);
        Some((self.expr(&from), self.expr(&to)))
    }
}
