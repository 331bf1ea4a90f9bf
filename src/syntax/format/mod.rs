//! The one canonical form of a recipe. Only blanks, line ends and commas before closing brackets change; every comment
//! stays where it belongs.

mod items;
mod layout;
mod pieces;
mod spacing;

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::SourceId,
    },
    syntax::{bare::bare, chunks::Reader, parse},
};

/// No line is longer where it can be broken.
const WIDTH: usize = 120;

/// How far the inside of brackets is moved in.
const STEP: usize = 4;

/// The text in canonical form.
///
/// # Errors
/// Where the text does not parse: what is wrong with it. A form that would mean something else is never returned.
pub fn format(source: SourceId, text: &str) -> Result<String, Diagnostics> {
    let (file, complaints) = parse(source, text);
    if complaints.has_errors() {
        return Err(complaints);
    }
    let reader = Reader::new(text);
    let formatted = items::format(&reader);
    let (again, complaints) = parse(source, &formatted);
    if complaints.has_errors() || bare(again) != bare(file) {
        let mut complaints = Diagnostics::default();
        complaints.push(
            Diagnostic::without_place("the canonical form of this text would mean something else, so it is left alone")
                .hint("look for a comment at an unusual place"),
        );
        return Err(complaints);
    }
    Ok(formatted)
}
