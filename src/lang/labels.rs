//! The label `eval`: what carries it, and the complaint when it reaches training.

use crate::base::{diagnostic::Diagnostic, span::Span};

/// That an artifact derives from evaluation data, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Where the word `eval` stands.
    pub label: Span,
    /// The names that the data went through, the labelled one first.
    pub path: Vec<String>,
}

impl Taint {
    #[must_use]
    pub fn new(name: &str, label: Span) -> Self {
        Self { label, path: vec![name.to_owned()] }
    }

    /// The same way, one name further.
    #[must_use]
    pub fn through(mut self, name: &str) -> Self {
        if self.path.last().is_none_or(|last| last != name) {
            self.path.push(name.to_owned());
        }
        self
    }

    /// The complaint that this data would be trained on.
    pub(super) fn refused(self, span: Span, stage: &str, parameter: &str, address: &str) -> Diagnostic {
        let source = self.path.first().cloned().unwrap_or_default();
        let label = self.label;
        let path = self.through(address).path.join(" -> ");
        Diagnostic::error(
            span,
            format!("evaluation data `{source}` reaches the training input `{parameter}` of `{stage}`"),
        )
        .label(label, format!("`{source}` is labelled `eval` here"))
        .note(format!("the path is {path}"))
        .hint("train on data that nothing labelled `eval` flows into")
    }
}
