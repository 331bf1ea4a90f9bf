//! What an editor asks of the language: mistakes as one types, hover, completion, definitions, renaming, symbols, form.
//!
//! The server speaks the Language Server Protocol over standard input and output; the rest knows nothing of it but its
//! positions.

mod analysis;
mod complete;
mod hover;
mod index;
mod lines;
mod server;

pub use analysis::{Analysis, Files};
pub use server::{ServerError, serve};
