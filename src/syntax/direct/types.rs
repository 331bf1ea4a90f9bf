//! Reads types: names with arguments, unions, optional types.

use super::scanner::Scanner;
use crate::syntax::ast::{Type, TypeKind};

impl Scanner<'_> {
    pub fn ty(&mut self) -> Option<Type> {
        let start = self.at;
        let first = self.ty_one()?;
        if self.byte(0) != b'|' {
            return Some(first);
        }
        let mut parts = vec![first];
        while self.has(b'|') {
            parts.push(self.ty_one()?);
        }
        Some(Type { kind: TypeKind::Union(parts), span: self.span(start) })
    }

    fn ty_one(&mut self) -> Option<Type> {
        let start = self.at;
        let inner = match self.byte(0) {
            b'"' => {
                let text = self.text()?;
                Type { kind: TypeKind::Text(text), span: self.span(start) }
            }
            b'(' => {
                self.take(1);
                let inner = self.deeper(Self::ty)?;
                self.mark(b')')?;
                inner
            }
            _ => {
                let name = self.name()?;
                let mut arguments = Vec::new();
                if self.has(b'<') {
                    arguments.push(self.deeper(Self::ty)?);
                    while self.has(b',') && self.byte(0) != b'>' {
                        arguments.push(self.deeper(Self::ty)?);
                    }
                    self.mark(b'>')?;
                }
                Type { kind: TypeKind::Named { name, arguments }, span: self.span(start) }
            }
        };
        if self.has(b'?') {
            return Some(Type { kind: TypeKind::Optional(Box::new(inner)), span: self.span(start) });
        }
        Some(inner)
    }
}
