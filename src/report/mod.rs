//! What a person or a program sees: folds over events, records and plans. Nothing here decides anything.

pub mod diagnostics;
pub mod format;
pub mod graph;
pub mod json;
pub mod lines;
pub mod origins;
pub mod plan;
pub mod show;
pub mod status;
pub mod table;
pub mod terminal;
pub mod value;
pub mod why;
