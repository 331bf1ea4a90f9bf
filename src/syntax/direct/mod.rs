//! Reads items without the grammar's help, as the grammar would, and many times as fast.
//!
//! `grammar/regimen.pest` says what a recipe is, and alone says what is wrong with one. Here the same rules are walked by
//! hand, one function for each, and nothing is made but the tree. Whatever is not read to its end without a doubt, a
//! mistake above all, is left to the grammar; so the two can differ only in time, which tests hold against the whole
//! suite and against recipes that were cut up.

mod expressions;
mod items;
mod scanner;
mod types;

use std::ops::Range;

use self::scanner::Scanner;
use crate::{
    base::span::SourceId,
    syntax::ast::{Item, StageBody, StageItem},
};

/// An item other than a stage that takes up these bytes of a text; None where the grammar has to look.
pub fn item(source: SourceId, text: &str, bytes: Range<usize>) -> Option<Item> {
    let mut scanner = Scanner::new(source, text, bytes)?;
    let item = scanner.item()?;
    scanner.is_done().then_some(item)
}

/// The head of a stage that takes up these bytes, as [`item`]; the body is None where it does not end in `= builtin`.
pub fn stage_head(source: SourceId, text: &str, bytes: Range<usize>) -> Option<(StageItem, Option<StageBody>)> {
    let mut scanner = Scanner::new(source, text, bytes)?;
    let stage = scanner.stage_head()?;
    scanner.is_done().then_some(stage)
}
