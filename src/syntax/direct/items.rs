//! Reads items: uses, parameters, inputs, bindings, the heads of stages, requirements and outputs.

use super::scanner::{Scanner, is_word_byte};
use crate::syntax::ast::{
    Binding, Expr, Input, Item, Name, Output, Param, Require, StageBody, StageItem, StageParam, Use,
};

impl Scanner<'_> {
    /// An item other than a stage.
    pub fn item(&mut self) -> Option<Item> {
        let start = self.at;
        match self.peek_word() {
            "use" => self.use_item(start),
            "param" => self.param(start),
            "input" => self.input(start),
            "require" => {
                self.keyword("require")?;
                let condition = self.whole_expr()?;
                Some(Item::Require(Require { condition, span: self.span(start) }))
            }
            "output" => {
                self.keyword("output")?;
                let names = self.names(0)?;
                Some(Item::Output(Output { names, span: self.span(start) }))
            }
            _ => {
                let name = self.name()?;
                self.assign()?;
                let (value, label) = (self.whole_expr()?, self.label()?);
                Some(Item::Binding(Binding { docs: self.docs(start), name, value, label, span: self.span(start) }))
            }
        }
    }

    fn use_item(&mut self, start: usize) -> Option<Item> {
        self.keyword("use")?;
        if self.byte(0) == b'.' {
            let file = self.file()?;
            self.keyword("as")?;
            let alias = self.name()?;
            let (path, names, span) = (Vec::new(), Vec::new(), self.span(start));
            return Some(Item::Use(Use { file: Some((file, alias)), path, names, span }));
        }
        let path = self.path()?;
        let mut names = Vec::new();
        if self.has(b'{') {
            names = self.names(b'}')?;
            self.mark(b'}')?;
        }
        Some(Item::Use(Use { file: None, path, names, span: self.span(start) }))
    }

    /// `./other.rgm`
    fn file(&mut self) -> Option<Name> {
        let (start, rest) = (self.at, self.text.as_bytes().get(self.at..self.limit())?);
        let root = ["./", "../"].into_iter().find(|it| rest.starts_with(it.as_bytes()))?.len();
        let is_part = |it: &u8| is_word_byte(*it) || matches!(it, b'.' | b'-' | b'/');
        let length = rest.iter().position(|it| !is_part(it)).unwrap_or(rest.len());
        if length <= root {
            return None;
        }
        let text = self.text.get(start..start + length)?.to_owned();
        self.take(length);
        Some(Name { text, span: self.span(start) })
    }

    fn param(&mut self, start: usize) -> Option<Item> {
        self.keyword("param")?;
        let name = self.name()?;
        self.mark(b':')?;
        let (ty, default, range) = (self.ty()?, self.default()?, self.bounds()?);
        Some(Item::Param(Box::new(Param { docs: self.docs(start), name, ty, default, range, span: self.span(start) })))
    }

    fn input(&mut self, start: usize) -> Option<Item> {
        self.keyword("input")?;
        let name = self.name()?;
        self.mark(b':')?;
        let (ty, default, pin, label) = (self.ty()?, self.default()?, self.pin()?, self.label()?);
        Some(Item::Input(Box::new(Input {
            docs: self.docs(start),
            name,
            ty,
            default,
            pin,
            label,
            span: self.span(start),
        })))
    }

    /// The head of a stage; the body is None where the head does not end in `= builtin`.
    pub fn stage_head(&mut self) -> Option<(StageItem, Option<StageBody>)> {
        let start = self.at;
        self.keyword("stage")?;
        let path = self.path()?;
        self.mark(b'(')?;
        let mut params = Vec::new();
        while self.byte(0) != b')' {
            params.push(self.stage_param()?);
            if !self.has(b',') {
                break;
            }
        }
        self.mark(b')')?;
        self.marks(*b"->")?;
        let returns = self.ty()?;
        let builtin = if self.is_assign() {
            self.take(1);
            self.keyword("builtin")?;
            Some(StageBody::Builtin)
        } else {
            None
        };
        let (docs, body, span) = (self.docs(start), StageBody::Items(Vec::new()), self.span(start));
        Some((StageItem { docs, path, params, returns, body, span }, builtin))
    }

    fn stage_param(&mut self) -> Option<StageParam> {
        let start = self.at;
        let name = self.name()?;
        self.mark(b':')?;
        let (ty, default, range, label) = (self.ty()?, self.default()?, self.bounds()?, self.label()?);
        Some(StageParam { docs: self.docs(start), name, ty, default, range, label, span: self.span(start) })
    }

    /// `std.reward`
    fn path(&mut self) -> Option<Vec<Name>> {
        let mut path = vec![self.name()?];
        while self.byte(0) == b'.' && self.byte(1) != b'.' {
            self.take(1);
            path.push(self.name()?);
        }
        Some(path)
    }

    /// One name or more with commas between them, and perhaps one before the closing mark, or before the end.
    fn names(&mut self, closing: u8) -> Option<Vec<Name>> {
        let mut names = vec![self.name()?];
        while self.has(b',') && self.byte(0) != closing {
            names.push(self.name()?);
        }
        Some(names)
    }

    /// The value where none is given; the outer None is a mistake.
    fn default(&mut self) -> Option<Option<Expr>> {
        if !self.is_assign() {
            return Some(None);
        }
        self.take(1);
        self.whole_expr().map(Some)
    }

    fn bounds(&mut self) -> Option<Option<(Expr, Expr)>> {
        if !self.has_word("in") {
            return Some(None);
        }
        let from = self.whole_sum()?;
        self.marks(*b"..")?;
        Some(Some((from, self.whole_sum()?)))
    }

    fn label(&mut self) -> Option<Option<Name>> {
        if self.has_word("as") { self.word().map(Some) } else { Some(None) }
    }

    /// `@ blake3:9f86..`
    fn pin(&mut self) -> Option<Option<Name>> {
        const KIND: &str = "blake3:";
        if !self.has(b'@') {
            return Some(None);
        }
        let (start, rest) = (self.at, self.text.get(self.at..self.limit())?);
        let digits = rest.strip_prefix(KIND)?.bytes().take_while(u8::is_ascii_hexdigit).count();
        let length = KIND.len() + digits;
        if digits == 0 || is_word_byte(self.byte(length)) {
            return None;
        }
        let text = rest.get(..length)?.to_owned();
        self.take(length);
        Some(Some(Name { text, span: self.span(start) }))
    }
}
