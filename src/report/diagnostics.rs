//! Shows diagnostics: on a screen with the lines they point at, or as JSON for other programs.

use std::ops::Range;

use ariadne::{Cache, CharSet, Color, Config, IndexType, Label, Report, ReportKind};
use serde_json::{Value, json};

use crate::base::{
    diagnostic::{Diagnostic, Diagnostics, Severity},
    span::{SourceId, Sources, Span},
};

/// Whether the reader's screen shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Ansi,
}

/// How many errors, and how many warnings, fit a screen.
pub const SCREENFUL: usize = 10;

/// The first `most` errors and warnings with the lines they point at, and a count of the rest.
#[must_use]
pub fn render(diagnostics: &Diagnostics, sources: &Sources, colour: Colour, most: usize) -> String {
    let mut screen = String::new();
    for severity in [Severity::Error, Severity::Warning] {
        let all: Vec<&Diagnostic> = diagnostics.iter().filter(|it| it.severity == severity).collect();
        for diagnostic in all.iter().take(most) {
            if !screen.is_empty() {
                screen.push('\n');
            }
            screen.push_str(&one(diagnostic, sources, colour));
        }
        let more = all.len().saturating_sub(most);
        if more > 0 {
            let plural = if more == 1 { "" } else { "s" };
            screen.push_str(&format!("\nand {more} more {}{plural}\n", severity.name()));
        }
    }
    screen
}

/// `{"ok": .., "diagnostics": [..]}`, every diagnostic in the order given.
#[must_use]
pub fn to_json(diagnostics: &Diagnostics, sources: &Sources) -> Value {
    let all: Vec<Value> = diagnostics
        .iter()
        .map(|it| {
            let place = it.span.and_then(|span| sources.place(span));
            json!({
                "severity": it.severity.name(),
                "message": it.message,
                "file": place.as_ref().map(|at| &at.file),
                "line": place.as_ref().map(|at| at.line),
                "column": place.as_ref().map(|at| at.column),
                "end_line": place.as_ref().map(|at| at.end_line),
                "end_column": place.as_ref().map(|at| at.end_column),
                "hint": it.hint,
            })
        })
        .collect();
    json!({ "ok": !diagnostics.has_errors(), "diagnostics": all })
}

fn one(diagnostic: &Diagnostic, sources: &Sources, colour: Colour) -> String {
    let mut shown =
        format!("{}: {}\n", paint(diagnostic.severity.name(), tint(diagnostic), colour), diagnostic.message);
    if let Some(span) = diagnostic.span.filter(|it| sources.get(it.source).is_some()) {
        shown.push_str(&excerpt(diagnostic, span, sources, colour));
    }
    for note in &diagnostic.notes {
        shown.push_str(&remark("note", note, colour));
    }
    if let Some(hint) = &diagnostic.hint {
        shown.push_str(&remark("hint", hint, colour));
    }
    shown
}

/// The lines that a diagnostic points at, with carets under the places.
fn excerpt(diagnostic: &Diagnostic, span: Span, sources: &Sources, colour: Colour) -> String {
    let config = Config::default()
        .with_color(colour == Colour::Ansi)
        .with_index_type(IndexType::Byte)
        .with_char_set(CharSet::Ascii);
    let region = |span: Span| (span.source, visible(span, sources));
    // An empty message makes ariadne draw the carets, and the order puts them first.
    let primary = Label::new(region(span)).with_message("").with_order(-1).with_color(tint(diagnostic));
    let start = (span.source, span.start as usize..span.start as usize);
    let mut report =
        Report::build(ReportKind::Custom("", tint(diagnostic)), start).with_config(config).with_label(primary);
    // Ariadne starts a new excerpt whenever the source changes, so labels beside the place come first.
    let mut labels: Vec<_> = diagnostic.labels.iter().filter(|(at, _)| sources.get(at.source).is_some()).collect();
    labels.sort_by_key(|(at, _)| (at.source != span.source, at.source));
    for (at, text) in labels {
        report.add_label(Label::new(region(*at)).with_message(text).with_color(Color::Blue));
    }
    let mut written = Vec::new();
    if report.finish().write(Texts::new(sources), &mut written).is_err() {
        return String::new();
    }
    tidy(&String::from_utf8_lossy(&written))
}

/// Takes ariadne's frame away and leaves the lines with carets under them.
fn tidy(drawn: &str) -> String {
    let mut tidied = String::new();
    let mut follows_source = false;
    // The first line is ariadne's own heading, which is coloured whether asked or not.
    for line in drawn.lines().skip(1) {
        let bare = without_colour(line);
        let is_source = bare.trim_start().starts_with(|it: char| it.is_ascii_digit());
        let is_frame = bare.starts_with('-') || (!is_source && bare.trim_end().trim_end_matches('-').ends_with('`'));
        let line = match line.split_once('|') {
            Some((margin, carets)) if follows_source => format!("{margin}|{}", carets.replace('|', "^")),
            _ => line.to_owned(),
        };
        follows_source = is_source;
        if !is_frame {
            tidied.push_str(line.trim_end());
            tidied.push('\n');
        }
    }
    tidied
}

fn without_colour(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |bare, part| bare + part.split_once('m').map_or("", |(_, text)| text))
}

/// The bytes to underline: the first line of a span. A place without width, such as the end of a line, gets the
/// character before it.
fn visible(span: Span, sources: &Sources) -> Range<usize> {
    let text = sources.get(span.source).map_or("", |it| it.text.as_str());
    let clamp = |at: u32| text.floor_char_boundary((at as usize).min(text.len()));
    let (start, end) = (clamp(span.start), clamp(span.end));
    let line = text.get(start..end).and_then(|it| it.lines().next()).map_or(0, |it| it.trim_end().len());
    if line > 0 {
        return start..start + line;
    }
    let before = text.get(..start).and_then(|it| it.chars().next_back()).filter(|it| *it != '\n');
    match (before, text.get(start..).and_then(|it| it.chars().next())) {
        (Some(before), _) => start - before.len_utf8()..start,
        (None, Some(after)) => start..start + after.len_utf8(),
        (None, None) => start..start,
    }
}

fn tint(diagnostic: &Diagnostic) -> Color {
    match diagnostic.severity {
        Severity::Error => Color::Red,
        Severity::Warning => Color::Yellow,
    }
}

fn remark(kind: &str, text: &str, colour: Colour) -> String {
    let text = text.replace('\n', "\n           ");
    format!("   = {}: {text}\n", paint(kind, Color::Cyan, colour))
}

fn paint(text: &str, tint: Color, colour: Colour) -> String {
    use ariadne::Fmt as _;
    match colour {
        Colour::Plain => text.to_owned(),
        Colour::Ansi => text.fg(tint).to_string(),
    }
}

/// The sources as ariadne asks for them.
struct Texts<'a> {
    sources: &'a Sources,
    parsed: Vec<(SourceId, ariadne::Source<&'a str>)>,
}

impl<'a> Texts<'a> {
    fn new(sources: &'a Sources) -> Self {
        Self { sources, parsed: Vec::new() }
    }
}

impl<'a> Cache<SourceId> for Texts<'a> {
    type Storage = &'a str;

    fn fetch(&mut self, id: &SourceId) -> Result<&ariadne::Source<&'a str>, impl std::fmt::Debug> {
        let known = self.parsed.iter().position(|(known, _)| known == id);
        let at = known.unwrap_or(self.parsed.len());
        if known.is_none() {
            let source = self.sources.get(*id).ok_or("no such source")?;
            self.parsed.push((*id, ariadne::Source::from(source.text.as_str())));
        }
        self.parsed.get(at).map(|(_, source)| source).ok_or("no such source")
    }

    fn display<'b>(&self, id: &'b SourceId) -> Option<impl std::fmt::Display + 'b> {
        self.sources.get(*id).map(|it| it.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "\
input test: Dataset<problem> = \"t.jsonl\" as eval
dev1 = sft(base, mix([test, cold]),
\tlr = 3, budget = 2 steps)
";

    /// One diagnostic of each kind, in a recipe and in a library.
    fn example() -> (Sources, Diagnostics) {
        let mut sources = Sources::default();
        let recipe = sources.add("recipes/r1.rgm", RECIPE);
        let library = sources.add("std/train.rgm", "stage sft(data: Dataset as train)");
        let at = |text: &str| {
            let start = RECIPE.find(text).unwrap();
            Span::new(recipe, start, start + text.len())
        };
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(
            Diagnostic::error(at("test, "), "evaluation data reaches training")
                .label(Span::new(library, 10, 14), "this parameter trains")
                .label(at("mix"), "through here")
                .label(at("test:"), "declared `as eval` here")
                .note("the path is `test`, `mix`, `sft.data`")
                .hint("leave `test` out"),
        );
        diagnostics.push(Diagnostic::error(at("sft(base, mix([test, cold]),\n\tlr = 3"), "over two lines"));
        diagnostics.push(Diagnostic::warning(at("3"), "expected a float, found `3`").hint("write `3.0`"));
        diagnostics.push(Diagnostic::error(Span::new(recipe, RECIPE.len(), RECIPE.len()), "at the very end"));
        diagnostics.push(Diagnostic::without_place("cannot read `other.rgm`").note("no such file"));
        (sources, diagnostics)
    }

    #[test]
    fn a_screen_shows_places_labels_notes_and_hints() {
        let (sources, diagnostics) = example();
        insta::assert_snapshot!(render(&diagnostics, &sources, Colour::Plain, SCREENFUL), @r#"
    error: evaluation data reaches training
       ,-[ recipes/r1.rgm:2:23 ]
       |
     2 | dev1 = sft(base, mix([test, cold]),
       |                  ^^^  ^^^^^
       |                   |
       |                   `---------- through here
       |
       |-[ recipes/r1.rgm:2:23 ]
       |
     1 | input test: Dataset<problem> = "t.jsonl" as eval
       |       ^^^^^
       |         `---- declared `as eval` here
       |
       |-[ std/train.rgm:1:11 ]
       |
     1 | stage sft(data: Dataset as train)
       |           ^^^^
       |             `--- this parameter trains
       = note: the path is `test`, `mix`, `sft.data`
       = hint: leave `test` out

    error: over two lines
       ,-[ recipes/r1.rgm:2:8 ]
       |
     2 | dev1 = sft(base, mix([test, cold]),
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: at the very end
       ,-[ recipes/r1.rgm:3:28 ]
       |
     3 |     lr = 3, budget = 2 steps)
       |                               ^

    error: cannot read `other.rgm`
       = note: no such file

    warning: expected a float, found `3`
       ,-[ recipes/r1.rgm:3:7 ]
       |
     3 |     lr = 3, budget = 2 steps)
       |          ^
       = hint: write `3.0`
    "#);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let (sources, diagnostics) = example();
        let shown = render(&diagnostics, &sources, Colour::Plain, 1);
        assert_eq!(shown.matches("error:").count(), 1);
        assert!(shown.contains("\nand 3 more errors\n"));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let (sources, diagnostics) = example();
        let plain = render(&diagnostics, &sources, Colour::Plain, SCREENFUL);
        let ansi = render(&diagnostics, &sources, Colour::Ansi, SCREENFUL);
        let bare: String = ansi.lines().map(|line| format!("{}\n", without_colour(line).trim_end())).collect();
        assert!(!plain.contains('\u{1b}') && ansi.contains('\u{1b}'));
        assert_eq!(bare, plain);
    }

    #[test]
    fn json_has_every_diagnostic_with_its_place() {
        let (sources, mut diagnostics) = example();
        let json = to_json(&diagnostics, &sources);
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "ok": false,
      "diagnostics": [
        {
          "severity": "error",
          "message": "evaluation data reaches training",
          "file": "recipes/r1.rgm",
          "line": 2,
          "column": 23,
          "end_line": 2,
          "end_column": 29,
          "hint": "leave `test` out"
        },
        {
          "severity": "error",
          "message": "over two lines",
          "file": "recipes/r1.rgm",
          "line": 2,
          "column": 8,
          "end_line": 3,
          "end_column": 8,
          "hint": null
        },
        {
          "severity": "warning",
          "message": "expected a float, found `3`",
          "file": "recipes/r1.rgm",
          "line": 3,
          "column": 7,
          "end_line": 3,
          "end_column": 8,
          "hint": "write `3.0`"
        },
        {
          "severity": "error",
          "message": "at the very end",
          "file": "recipes/r1.rgm",
          "line": 4,
          "column": 1,
          "end_line": 4,
          "end_column": 1,
          "hint": null
        },
        {
          "severity": "error",
          "message": "cannot read `other.rgm`",
          "file": null,
          "line": null,
          "column": null,
          "end_line": null,
          "end_column": null,
          "hint": null
        }
      ]
    }
    "#);
        diagnostics = Diagnostics::default();
        assert_eq!(to_json(&diagnostics, &sources).to_string(), r#"{"ok":true,"diagnostics":[]}"#);
    }
}
