//! What is wrong with a recipe, and where: the one type for every complaint about source text.

use std::collections::BTreeSet;

use crate::base::{span::Span, suggest::did_you_mean};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One complaint. The message is a lowercase line without a full stop; the hint says the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// None only where no text is to blame, such as a file that cannot be read.
    pub span: Option<Span>,
    pub labels: Vec<(Span, String)>,
    pub notes: Vec<String>,
    pub hint: Option<String>,
}

impl Diagnostic {
    #[must_use]
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::without_place(message) }
    }

    /// An error that no source text is to blame for.
    #[must_use]
    pub fn without_place(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            labels: Vec::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    #[must_use]
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint where there is one to add.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }

    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Every complaint so far; parsing and checking fill it and go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    /// The places and messages of all.
    said: BTreeSet<(Option<Span>, String)>,
}

/// So many complaints are worth looking for what was meant; nobody reads as far.
const WORTH_A_SEARCH: usize = 200;

impl Diagnostics {
    /// One mistake may be met on two ways; it is said once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.said.insert((diagnostic.span, diagnostic.message.clone())) {
            self.all.push(diagnostic);
        }
    }

    pub fn extend(&mut self, other: Self) {
        other.all.into_iter().for_each(|it| self.push(it));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.all.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(|it| it.severity == Severity::Error)
    }

    /// What a person is told, in the order of the text: where there are errors, warnings may come of nothing else.
    #[must_use]
    pub fn told(mut self) -> Self {
        if self.has_errors() {
            self.all.retain(|it| it.severity == Severity::Error);
        }
        self.sorted()
    }

    /// In the order of the text, those without a place first.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.all.sort_by_key(|it| it.span);
        self
    }

    /// The nearest of many names to one that is unknown, as [`did_you_mean`]; past many complaints it is not looked for.
    #[must_use]
    pub fn suggest<'a>(&self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if self.all.len() < WORTH_A_SEARCH { did_you_mean(name, candidates) } else { None }
    }
}
