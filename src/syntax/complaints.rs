//! Makes a complaint of where pest stopped: what was expected, what was found, and what the writer may have meant.

use pest::error::{Error, ErrorVariant, InputLocation};

use crate::{
    base::{
        diagnostic::Diagnostic,
        span::{SourceId, Span},
    },
    syntax::{
        chunks::{Chunk, Reader},
        grammar::Rule,
        hints,
        tokens::{Kind, Token, closer},
    },
};

/// Where an item stopped making sense.
pub struct Place<'a> {
    source: SourceId,
    reader: &'a Reader<'a>,
    chunk: &'a Chunk,
    /// What could have come there.
    expected: Vec<Rule>,
    /// The token that came instead, None at the end of the item.
    at: Option<usize>,
    /// The brackets open there, outermost first.
    open: Vec<usize>,
}

impl<'a> Place<'a> {
    /// `base` is where the parsed part of the text starts.
    pub fn new(source: SourceId, reader: &'a Reader<'a>, chunk: &'a Chunk, base: usize, error: &Error<Rule>) -> Self {
        let expected = match &error.variant {
            ErrorVariant::ParsingError { positives, .. } => positives.clone(),
            ErrorVariant::CustomError { .. } => Vec::new(),
        };
        let offset = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => base + at,
        };
        let at = reader
            .speaking(chunk.tokens.clone())
            .find(|it| reader.tokens.get(*it).is_some_and(|token| token.end() > offset));
        let mut open = Vec::new();
        for it in chunk.tokens.start..at.unwrap_or(chunk.tokens.end) {
            match reader.tokens.get(it).map(|token| token.kind) {
                Some(Kind::Open) => open.push(it),
                Some(Kind::Close) => reader.close(&mut open, it),
                _ => {}
            }
        }
        Self { source, reader, chunk, expected, at, open }
    }

    pub fn complaint(&self) -> Diagnostic {
        self.bracket_complaint().unwrap_or_else(|| self.general_complaint())
    }

    /// Brackets that are never closed or never opened; these mislead most where they are not named.
    fn bracket_complaint(&self) -> Option<Diagnostic> {
        if let Some(found) = self.found() {
            let is_stray = found.kind == Kind::Close && self.open.is_empty();
            return (is_stray && !self.expects_value() && !self.expects(Rule::angle_close)).then(|| {
                Diagnostic::error(self.span(found), format!("this `{}` closes nothing", found.text))
                    .hint("remove it, or open a bracket before it")
            });
        }
        let open = self.reader.tokens.get(*self.chunk.open.last()?)?;
        let close = closer(open.text)?;
        let end = self.end();
        let label = format!("expected `{close}` by here");
        let same_line = !self.reader.text.get(open.start()..end.start as usize).unwrap_or_default().contains('\n');
        let diagnostic = Diagnostic::error(self.span(open), format!("this `{}` is never closed", open.text))
            .hint(format!("add `{close}`"));
        Some(if same_line { diagnostic } else { diagnostic.label(end, label) })
    }

    fn general_complaint(&self) -> Diagnostic {
        let Some(found) = self.found() else {
            let message = format!("expected {}, found the end of the line", self.expectation());
            return Diagnostic::error(self.end(), message).maybe_hint(hints::hint(self));
        };
        if found.kind == Kind::OpenText {
            return Diagnostic::error(self.span(found), "this text is never closed").hint("add `\"` at its end");
        }
        let message = format!("expected {}, found {}", self.expectation(), describe(found));
        let diagnostic = Diagnostic::error(self.span(found), message).maybe_hint(hints::hint(self));
        let open = self.open.last().and_then(|it| self.reader.tokens.get(*it));
        match open {
            // A bracket of another kind: show which one is open.
            Some(open) if found.kind == Kind::Close && !found.closes(open) => {
                diagnostic.label(self.span(open), format!("this `{}` is open", open.text))
            }
            _ => diagnostic,
        }
    }

    /// What could have come, as a phrase.
    fn expectation(&self) -> String {
        if self.expects(Rule::assign) && self.is_argument_name() && self.found().is_some_and(|it| it.is_symbol(":")) {
            return "`=`".to_owned();
        }
        let must = [Rule::kw_after, Rule::kw_from, Rule::bound_dots, Rule::brace_open]
            .into_iter()
            .filter(|_| self.follows_value());
        if let Some(words) = must.into_iter().find(|it| self.expects(*it)).and_then(phrase) {
            return words.to_owned();
        }
        if self.expects_value() {
            return "an expression".to_owned();
        }
        if self.follows_value() && self.expects(Rule::EOI) {
            return "a new line".to_owned();
        }
        // What may come but need not would only lengthen the message, where something says what must come.
        let must_come = self.expected.iter().any(|it| closes(*it) || *it == Rule::EOI);
        let is_certain = |rule: Rule| closes(rule) || !(self.follows_value() || (must_come && may_come(rule)));
        let mut phrases: Vec<&str> = Vec::new();
        for rule in self.expected.iter().filter(|it| is_certain(**it) && **it != Rule::EOI) {
            phrases.extend(phrase(*rule).filter(|it| !phrases.contains(it)));
        }
        phrases.extend(phrase(Rule::EOI).filter(|_| self.expects(Rule::EOI)));
        match phrases.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "something else".to_owned(),
        }
    }

    pub fn expects(&self, rule: Rule) -> bool {
        self.expected.contains(&rule)
    }

    /// Whether an expression could have started here.
    pub fn expects_value(&self) -> bool {
        let starts = [
            Rule::expr,
            Rule::disjunction,
            Rule::conjunction,
            Rule::negation,
            Rule::comparison,
            Rule::range,
            Rule::sum,
            Rule::product,
            Rule::signed,
            Rule::operand,
            Rule::primary,
            Rule::argument,
            Rule::number,
            Rule::amount,
        ];
        starts.into_iter().any(|it| self.expects(it))
    }

    /// Whether an expression has just ended here.
    pub fn follows_value(&self) -> bool {
        [Rule::call, Rule::addition, Rule::multiplication].into_iter().any(|it| self.expects(it))
    }

    /// Whether the token before is a word that starts an argument.
    pub fn is_argument_name(&self) -> bool {
        let before = |steps: isize| self.nearby(-steps);
        before(1).is_some_and(|it| it.kind == Kind::Word)
            && before(2).is_some_and(|it| it.text == "(" || it.is_symbol(","))
            && self.bracket() == Some("(")
    }

    /// The innermost bracket that is open here.
    pub fn bracket(&self) -> Option<&'a str> {
        self.open.last().and_then(|it| self.reader.tokens.get(*it)).map(|it| it.text)
    }

    pub fn found(&self) -> Option<&'a Token<'a>> {
        self.reader.tokens.get(self.at?)
    }

    /// The first token of the item.
    pub fn first(&self) -> Option<&'a Token<'a>> {
        self.reader.tokens.get(self.chunk.tokens.start)
    }

    /// The token so many speaking tokens after the one found, before it where negative.
    pub fn nearby(&self, steps: isize) -> Option<&'a Token<'a>> {
        let end = self.chunk.tokens.end;
        let at = self.at.unwrap_or(end);
        let index = if steps < 0 {
            self.reader.speaking(self.chunk.tokens.start..at).nth_back(steps.unsigned_abs() - 1)
        } else {
            self.reader.speaking(at..end).nth(steps.unsigned_abs())
        };
        self.reader.tokens.get(index?)
    }

    fn span(&self, token: &Token<'_>) -> Span {
        Span::new(self.source, token.start(), token.end())
    }

    /// The place just after the item.
    fn end(&self) -> Span {
        let end = self.reader.bytes(self.chunk.tokens.clone()).end;
        Span::new(self.source, end, end)
    }
}

fn describe(token: &Token<'_>) -> String {
    match token.text {
        "\u{a0}" => "a no-break space".to_owned(),
        "\u{200b}" | "\u{feff}" => "an invisible character".to_owned(),
        text if token.is_reserved() => format!("the keyword `{text}`"),
        text if text.chars().any(char::is_control) => format!("`{}`", text.escape_debug()),
        text => format!("`{text}`"),
    }
}

/// Rules that end a part, or divide it from the next.
fn closes(rule: Rule) -> bool {
    use Rule::{angle_close, brace_close, bracket_close, comma, paren_close};
    matches!(rule, comma | paren_close | bracket_close | brace_close | angle_close)
}

/// Rules for parts that can be left away.
fn may_come(rule: Rule) -> bool {
    use Rule::{angle_open, assign, at, bar, bounds, default, kw_as, kw_in, label, optional, pin};
    matches!(rule, bar | optional | angle_open | default | assign | bounds | kw_in | label | kw_as | pin | at)
}

/// A rule in words; None for those that would only lengthen the message.
fn phrase(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::item => "an item",
        Rule::name | Rule::word | Rule::path => "a name",
        Rule::ty | Rule::ty_one | Rule::ty_named => "a type",
        Rule::stage_param => "a parameter",
        Rule::clause => "a name",
        Rule::EOI => "a new line",
        Rule::assign | Rule::default => "`=`",
        Rule::label | Rule::kw_as => "`as`",
        Rule::bounds | Rule::kw_in => "`in`",
        Rule::kw_else => "`else`",
        Rule::kw_after => "`after`",
        Rule::kw_from => "`from`",
        Rule::kw_builtin => "`builtin`",
        Rule::colon => "`:`",
        Rule::comma => "`,`",
        Rule::dot => "`.`",
        Rule::at | Rule::pin => "`@`",
        Rule::hash => "a digest, such as `blake3:9f86..`",
        Rule::file => "a file, such as `./other.rgm`",
        Rule::bound_dots => "`..`",
        Rule::arrow => "`->`",
        Rule::bar => "`|`",
        Rule::optional => "`?`",
        Rule::angle_open => "`<`",
        Rule::angle_close => "`>`",
        Rule::paren_open => "`(`",
        Rule::paren_close => "`)`",
        Rule::bracket_open => "`[`",
        Rule::bracket_close => "`]`",
        Rule::brace_open | Rule::block => "`{`",
        Rule::brace_close => "`}`",
        _ => return None,
    })
}
