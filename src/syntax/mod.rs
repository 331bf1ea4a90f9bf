//! From text to syntax tree: `parse` never fails, it complains and goes on.

pub mod ast;
pub mod bare;
mod chunks;
mod complaints;
mod direct;
mod docs;
pub mod format;
mod grammar;
mod hints;
mod lower;
mod parse;
pub mod tokens;

pub use format::format;
pub use parse::{parse, parse_by_grammar};

/// The words that no value, parameter or stage can have for a name.
pub const RESERVED: [&str; 17] = [
    "and", "as", "else", "false", "for", "if", "in", "input", "not", "or", "output", "param", "require", "stage",
    "then", "true", "use",
];

/// The words that start an item.
pub const ITEM_WORDS: [&str; 6] = ["use", "param", "input", "stage", "require", "output"];
