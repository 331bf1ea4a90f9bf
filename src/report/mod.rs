//! What a person or a program sees: folds over events, records and plans. Nothing here decides anything.

pub mod cost;
pub mod diagnostics;
pub mod diff;
pub mod format;
pub mod gc;
pub mod graph;
pub mod json;
pub mod lineage;
pub mod lines;
pub mod log;
pub mod origins;
pub mod plan;
pub mod rows;
pub mod show;
pub mod status;
pub mod table;
pub mod terminal;
pub mod trace;
pub mod value;
pub mod verify;
pub mod why;
