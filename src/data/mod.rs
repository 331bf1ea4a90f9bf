//! Data: rows and the folders that hold them, tokenizers, chat templates, generated problems, packing and order.

pub mod answers;
pub mod bpe;
pub mod dataset;
pub mod error;
pub mod import;
pub mod journal;
pub mod jsonl;
pub mod order;
pub mod overlap;
pub mod packing;
pub mod problems;
pub mod python;
pub mod rows;
pub mod sheet;
pub mod template;
pub mod tokenizer;
pub mod topic;

pub use error::DataError;
