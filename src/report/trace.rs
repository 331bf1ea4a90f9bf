//! The way from an artifact or a row back to its sources, as a tree.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

use serde_json::{Value, json};

use super::{
    format,
    lineage::{Lineage, Source, SourceKind},
};
use crate::{
    base::digest::Digest,
    store::{self, Record},
};

/// How much of a row's text a line shows.
const SHOWN: usize = 72;

/// An artifact and all that it was made from, one step or file a line. What was shown is not shown again.
#[must_use]
pub fn tree(lineage: &Lineage<'_>, record: &Record) -> String {
    let mut text = format!("{}\n", headline(lineage, record));
    let mut seen = BTreeSet::from([record.output]);
    // What is still to be shown, the next last: a source, what stands before its line, and whether it is the last there.
    let mut open: Vec<(Source, String, bool)> = Vec::new();
    expand(&mut open, lineage.sources(record), "");
    while let Some((source, indent, last)) = open.pop() {
        let branch = if last { "`- " } else { "|- " };
        let maker = lineage.maker(&source.digest).filter(|_| source.kind == SourceKind::Artifact);
        let repeated = maker.is_some_and(|it| !seen.insert(it.output) && !lineage.sources(it).is_empty());
        let tail = if repeated { " (as above)" } else { "" };
        text.push_str(&format!("{indent}{branch}{}: {}{tail}\n", source.name, described(lineage, &source)));
        if let (Some(maker), false) = (maker, repeated) {
            let deeper = format!("{indent}{}", if last { "   " } else { "|  " });
            expand(&mut open, lineage.sources(maker), &deeper);
        }
    }
    text
}

fn expand(open: &mut Vec<(Source, String, bool)>, sources: Vec<Source>, indent: &str) {
    let last = sources.len().saturating_sub(1);
    let sources = sources.into_iter().enumerate().rev();
    open.extend(sources.map(|(at, source)| (source, indent.to_owned(), at == last)));
}

/// The same as one JSON object: every step once, by the digest of what it made.
#[must_use]
pub fn json(lineage: &Lineage<'_>, record: &Record) -> Value {
    let mut steps = serde_json::Map::new();
    let mut open = vec![record];
    while let Some(record) = open.pop() {
        let sources = lineage.sources(record);
        let inputs: Vec<Value> = sources
            .iter()
            .map(|source| match &source.kind {
                SourceKind::Artifact => json!({"port": source.name, "object": source.digest}),
                SourceKind::File(path) => json!({"argument": source.name, "file": source.digest, "path": path}),
            })
            .collect();
        let step = json!({
            "address": record.address, "stage": record.stage, "key": record.key, "run": record.run,
            "rows": lineage.rows(&record.output), "sources": inputs,
        });
        steps.insert(record.output.hex(), step);
        let makers = sources.iter().filter(|it| it.kind == SourceKind::Artifact).rev();
        let makers = makers.filter_map(|it| lineage.maker(&it.digest));
        open.extend(makers.filter(|it| !steps.contains_key(&it.output.hex())));
    }
    json!({"object": record.output, "steps": steps})
}

/// Where one row comes from: the row itself, what it says of its making, and the rows before it, the nearest first.
/// None where there is no such row; rows count from one.
#[must_use]
pub fn row(lineage: &Lineage<'_>, record: &Record, number: usize) -> Option<String> {
    let mut line = nth(&lineage.folder(&record.output).join("rows.jsonl"), number)?;
    let mut text = format!("row {number} of {}: {}\n", named(record), excerpt(&line));
    text.push_str(&origin(lineage, &line));
    let (mut record, mut number) = (record, number);
    // Steps that hand on all they get make equal objects, so that records alone could lead in a circle.
    let mut seen = BTreeSet::from([record.key]);
    while let Some((source, found)) = before(lineage, record, &line)
        && let Some(maker) = lineage.maker(&source.digest)
        && seen.insert(maker.key)
    {
        let word = found.like.words();
        text.push_str(&format!("from {}: row {} of {}{word}\n", source.name, found.number, named(maker)));
        (record, number, line) = (maker, found.number, found.line);
        if found.like != Like::Same {
            text.push_str(&origin(lineage, &line));
        }
    }
    text.push_str(&files(lineage, record, number));
    Some(text)
}

/// A row of an input that became another.
struct Found {
    number: usize,
    line: String,
    like: Like,
}

/// How a row is like the one that became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Like {
    /// It says all the same.
    Same,
    /// It says it in other words.
    Draft,
    /// It only asks the same.
    Question,
}

impl Like {
    fn words(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Draft => ", in other words",
            Self::Question => ", which asks the same",
        }
    }
}

/// The row of an input that a row was: one that says the same, the draft that it names, or else the first that asks the
/// same question.
fn before(lineage: &Lineage<'_>, record: &Record, line: &str) -> Option<(Source, Found)> {
    let value = |line: &str| serde_json::from_str::<Value>(line).ok();
    let question = |line: &str| value(line)?.get("question").cloned();
    let (wanted, asked) = (value(line), question(line));
    let artifacts = || lineage.sources(record).into_iter().filter(|it| it.kind == SourceKind::Artifact);
    let draft = wanted.as_ref().and_then(|it| it.get("draft")?.as_str()?.parse::<Digest>().ok());
    let search = |like: Like| {
        artifacts().find_map(|source| {
            let rows = lines(&lineage.folder(&source.digest).join("rows.jsonl"));
            // The same values may be written in another way.
            let is_same = |it: &str| it == line || (wanted.is_some() && value(it) == wanted);
            let matches = |it: &(usize, String)| match like {
                Like::Same => is_same(&it.1),
                Like::Draft => Some(Digest::of(it.1.as_bytes())) == draft,
                Like::Question => question(&it.1) == asked,
            };
            let (number, line) = rows.into_iter().find(matches)?;
            Some((source, Found { number, line, like }))
        })
    };
    let of_draft = || draft.and_then(|_| search(Like::Draft));
    search(Like::Same).or_else(of_draft).or_else(|| asked.as_ref().and_then(|_| search(Like::Question)))
}

/// What a sampled row says of its making.
fn origin(lineage: &Lineage<'_>, line: &str) -> String {
    let Ok(row) = serde_json::from_str::<Value>(line) else { return String::new() };
    let mut facts: Vec<Vec<String>> = Vec::new();
    let mut fact = |name: &str, value: String| facts.push(vec![format!("  {name}"), value]);
    if let Some(model) = row.get("model").and_then(Value::as_str) {
        let digest = model.parse::<Digest>().ok();
        let maker = digest.and_then(|it| lineage.maker(&it));
        fact("model", maker.map_or_else(|| model.to_owned(), named));
    }
    for name in ["prompt_digest", "seed", "draw"] {
        if let Some(value) = row.get(name).filter(|it| !it.is_null()) {
            fact(name.trim_end_matches("_digest"), super::value::text(Some(value)));
        }
    }
    for (name, value) in row.get("rewards").and_then(Value::as_object).into_iter().flatten() {
        fact(name, super::value::text(Some(value)));
    }
    format::columns(&facts, &[format::Align::Left, format::Align::Left])
}

/// The files that the first step of a row's way read, with the line where that can be told.
fn files(lineage: &Lineage<'_>, record: &Record, number: usize) -> String {
    let mut text = String::new();
    for source in lineage.sources(record) {
        let SourceKind::File(Some(path)) = &source.kind else { continue };
        let same = path.is_file() && store::digest_file(path).is_ok_and(|digest| digest == source.digest);
        let place = if same { line_of(path, number) } else { None };
        let place = place.map(|line| format!(":{line}")).unwrap_or_default();
        text.push_str(&format!("from {}: {}{place} ({})\n", source.name, path.display(), source.digest.short()));
    }
    text
}

/// The line of a file of JSON rows that holds the row of that number.
fn line_of(path: &Path, number: usize) -> Option<usize> {
    let is_rows = path.extension().is_some_and(|it| it == "jsonl" || it == "ndjson");
    let file = fs::File::open(path).ok().filter(|_| is_rows)?;
    let lines = (1..).zip(BufReader::new(file).lines().map_while(Result::ok));
    lines.filter(|(_, line)| !line.trim().is_empty()).nth(number.checked_sub(1)?).map(|(at, _)| at)
}

/// `few (take) 3f2a9c01b7de`.
fn named(record: &Record) -> String {
    format!("{} ({}) {}", record.address, record.stage, record.output.short())
}

/// `few (take) 3f2a9c01b7de, 800 rows`.
fn headline(lineage: &Lineage<'_>, record: &Record) -> String {
    let rows = lineage.rows(&record.output).map(|rows| format!(", {}", format::counted(rows as usize, "row")));
    format!("{}{}", named(record), rows.unwrap_or_default())
}

/// A source in words.
#[must_use]
pub fn described(lineage: &Lineage<'_>, source: &Source) -> String {
    match (&source.kind, lineage.maker(&source.digest)) {
        (SourceKind::Artifact, Some(maker)) => headline(lineage, maker),
        (SourceKind::Artifact, None) => format!("{}, whose record is gone", source.digest.short()),
        (SourceKind::File(Some(path)), _) => format!("{} {}", path.display(), source.digest.short()),
        (SourceKind::File(None), _) => format!("a file {}", source.digest.short()),
    }
}

/// Every row of a data set with its number; none where there is no data set.
fn lines(path: &Path) -> impl Iterator<Item = (usize, String)> + use<> {
    let file = fs::File::open(path).ok();
    let lines = file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    (1..).zip(lines)
}

fn nth(path: &Path, number: usize) -> Option<String> {
    lines(path).nth(number.checked_sub(1)?).map(|(_, line)| line)
}

/// The beginning of a row.
fn excerpt(line: &str) -> String {
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", line.get(..at).unwrap_or_default()),
        None => line.to_owned(),
    }
}
