//! How large the values of a recipe may grow, so that no short text fills the memory: a list of a list of a list doubles
//! with each line, and so does a sum of a sum.

use super::Evaluator;
use crate::{
    base::{diagnostic::Diagnostic, span::Span},
    lang::values::Value,
};

/// Parts of all values together; a step counts as [`PARTS_OF_A_STEP`] of them.
const MOST_PARTS: usize = 4_000_000;
pub(super) const PARTS_OF_A_STEP: usize = 8;

/// Members of one `for`, over all its lists.
const MOST_MEMBERS: usize = 100_000;

/// Parts of one sum or condition.
const MOST_TERMS: usize = 1_000;

impl Evaluator<'_> {
    /// Counts what is made; false where it is too much, which is complained of once.
    pub(super) fn count(&mut self, parts: usize, span: Span) -> bool {
        let fitted = self.fits();
        self.parts = self.parts.saturating_add(parts);
        if fitted && !self.fits() {
            let complaint = Diagnostic::error(span, format!("the recipe comes to more than {MOST_PARTS} values"));
            self.diagnostics.push(complaint.hint("shorten the lists, or use fewer of them within each other"));
        }
        self.fits()
    }

    /// Whether a `for` has no more members than may be; where it has, nothing more is made of the recipe.
    pub(super) fn fans_out(&mut self, members: usize, span: Span) -> bool {
        if members > MOST_MEMBERS {
            let complaint = Diagnostic::error(span, format!("the `for` has more than {MOST_MEMBERS} members"));
            self.diagnostics.push(complaint.hint("each member of a list is tried with each of the others"));
            self.parts = usize::MAX;
        }
        self.fits()
    }

    /// Whether all that was made so far is not too much.
    pub(super) fn fits(&self) -> bool {
        self.parts <= MOST_PARTS
    }

    /// The value of an operation, where it is not made of too many.
    pub(super) fn bounded(&mut self, value: Value, span: Span) -> Value {
        if matches!(value, Value::List(_) | Value::Collection(_)) || value.parts() <= MOST_TERMS {
            return value;
        }
        let complaint = Diagnostic::error(span, format!("the expression has more than {MOST_TERMS} parts"));
        self.mistake(complaint.hint("write a shorter one"))
    }
}
