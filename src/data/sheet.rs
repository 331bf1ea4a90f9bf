//! A sheet of rows for a person to decide on: a text for an editor, or JSON lines, and the way back from either.
//!
//! The text has, for each row, a line `=== row 3 of 40  3f2a9c0d1e2b` with its number and the digest of its line, a line
//! `decision: accept` (or `refuse REASON`, `edit`, `undecided`), and its parts, each below a line `--- completion`. Lines of
//! a part that begin like one of these have a backslash before them. It ends in `=== end`, so that one cut off shows.
//! As JSON lines, a row is `{"row": 3, "digest": "..", "decision": "accept", "reason": null, "by": null, "content": {..}}`.

use std::{fmt::Write, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    base::{decision::Verdict, digest::Digest, suggest::did_you_mean},
    data::{
        DataError,
        jsonl::{self, Line},
        rows::{Chat, Kind, Label, Pair, Problem, Row, Sample, Text},
    },
};

/// The rows of one data set.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    pub kind: Kind,
    /// Each row with the digest of its line.
    pub rows: &'a [(Digest, String)],
}

/// What is said of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// Its number, from one.
    pub row: usize,
    pub verdict: Verdict,
    pub reason: Option<String>,
    /// The line that takes the row's place.
    pub edited: Option<String>,
    pub by: Option<String>,
}

/// The parts of a row that a person sees, with their names.
type Parts = Vec<(String, String)>;

/// One line of the JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default)]
    row: Option<usize>,
    #[serde(default)]
    digest: Option<Digest>,
    decision: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    content: Option<Value>,
}

impl Sheet<'_> {
    /// The rows of some slips as a text for an editor; each line of the head becomes a comment.
    pub fn text(&self, head: &str, slips: &[Slip]) -> Result<String, DataError> {
        let mut text: String = head.lines().map(|line| format!("# {line}\n")).collect();
        for slip in slips {
            let (digest, line) = self.row(slip.row)?;
            let object = object(slip.edited.as_deref().unwrap_or(line))?;
            let reason = slip.reason.as_deref().map(|it| format!(" {it}")).unwrap_or_default();
            let by = slip.by.as_deref().map(|it| format!("# by {it}\n")).unwrap_or_default();
            let (row, rows) = (slip.row, self.rows.len());
            let verdict = slip.verdict;
            let _ = writeln!(text, "=== row {row} of {rows}  {}\n{by}decision: {verdict}{reason}", digest.short());
            for (name, part) in parts(self.kind, &object) {
                let _ = writeln!(text, "--- {name}");
                part.split('\n').for_each(|line| {
                    let _ = writeln!(text, "{}{line}", if is_special(line) { "\\" } else { "" });
                });
            }
        }
        Ok(text + "=== end\n")
    }

    /// The rows of some slips as JSON lines.
    pub fn json(&self, slips: &[Slip]) -> Result<String, DataError> {
        let mut text = String::new();
        for slip in slips {
            let (digest, line) = self.row(slip.row)?;
            let content = object(slip.edited.as_deref().unwrap_or(line))?;
            let (decision, reason, by) = (slip.verdict, &slip.reason, &slip.by);
            let told = json!({
                "row": slip.row, "digest": digest, "decision": decision, "reason": reason, "by": by, "content": content,
            });
            let _ = writeln!(text, "{told}");
        }
        Ok(text)
    }

    /// Reads a sheet of either form back.
    ///
    /// # Errors
    /// All that is wrong with it, each at its line.
    pub fn read(&self, path: &Path, text: &str) -> Result<Vec<Slip>, Vec<DataError>> {
        let mut reader = Reader { sheet: self, path, slips: Vec::new(), errors: Vec::new() };
        if text.trim_start().starts_with('{') {
            reader.json(text)
        } else {
            reader.text(text)
        }
        if reader.errors.is_empty() { Ok(reader.slips) } else { Err(reader.errors) }
    }

    fn row(&self, number: usize) -> Result<&(Digest, String), DataError> {
        let row = number.checked_sub(1).and_then(|at| self.rows.get(at));
        row.ok_or_else(|| {
            DataError::Request(format!("there is no row {number}: the rows are 1 to {}", self.rows.len()))
        })
    }

    /// The line that takes a row's place where its content becomes another; none where it comes to the same.
    fn edit(&self, line: &str, content: Value) -> Result<Option<String>, String> {
        match self.kind {
            Kind::Text => changed::<Text>(line, content, |_, new| filled("text", &new.text)),
            Kind::Problem => changed::<Problem>(line, content, |_, new| {
                filled("question", &new.question)?;
                filled("answer", &new.answer)
            }),
            Kind::Chat => changed::<Chat>(line, content, |_, new| {
                let roles = ["system", "user", "assistant"];
                match new.messages.iter().find(|it| !roles.contains(&it.role.as_str())) {
                    Some(message) => {
                        Err(format!("expected the role system, user or assistant, found `{}`", message.role))
                    }
                    None if new.messages.is_empty() => Err("expected at least one message, found none".to_owned()),
                    None => Ok(()),
                }
            }),
            Kind::Pair => changed::<Pair>(line, content, |_, new| filled("chosen", &new.chosen)),
            Kind::Label => changed::<Label>(line, content, |_, new| filled("completion", &new.completion)),
            Kind::Sample => changed::<Sample>(line, content, |old, new| {
                if (&new.question, &new.prompt) != (&old.question, &old.prompt) {
                    return Err("the question of a sample is what the model was asked; it stays as it is".to_owned());
                }
                filled("answer", &new.answer)?;
                // No seed draws it again, and what it was worth was said of the words before.
                new.lineage.seed = None;
                new.lineage.draw = None;
                new.lineage.rewards.clear();
                filled("completion", &new.completion)
            }),
        }
    }
}

/// The row that a content is, as its line, where it says something else than a line does. `check` may put it in order.
fn changed<T: Row + PartialEq>(
    line: &str,
    content: Value,
    check: impl FnOnce(&T, &mut T) -> Result<(), String>,
) -> Result<Option<String>, String> {
    let kind = T::KIND;
    let old: T = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut new = T::deserialize(content).map_err(|error| format!("expected a row of the kind `{kind}`: {error}"))?;
    if new == old {
        return Ok(None);
    }
    check(&old, &mut new)?;
    serde_json::to_string(&new).map(Some).map_err(|error| error.to_string())
}

fn filled(name: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(format!("expected a text in `{name}`, found none")) } else { Ok(()) }
}

fn object(line: &str) -> Result<Map<String, Value>, DataError> {
    serde_json::from_str(line).map_err(|error| DataError::Request(format!("expected a JSON object: {error}")))
}

/// What the rows of a file are, told by what the first of them holds.
#[must_use]
pub fn kind_of(rows: &[(Digest, String)]) -> Kind {
    let row = rows.first().and_then(|(_, line)| object(line).ok()).unwrap_or_default();
    let known = [
        ("messages", Kind::Chat),
        ("label", Kind::Label),
        ("completion", Kind::Sample),
        ("chosen", Kind::Pair),
        ("question", Kind::Problem),
    ];
    known.into_iter().find(|(name, _)| row.contains_key(*name)).map_or(Kind::Text, |(_, kind)| kind)
}

/// The parts of a row that a person reads and may change.
#[must_use]
pub fn parts(kind: Kind, row: &Map<String, Value>) -> Parts {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let names: &[&str] = match kind {
        Kind::Text => &["text"],
        Kind::Problem => &["question", "answer", "solution"],
        Kind::Sample => &["question", "answer", "completion"],
        Kind::Pair => &["prompt", "chosen", "rejected"],
        Kind::Label => &["prompt", "completion"],
        Kind::Chat => {
            let messages = row.get("messages").and_then(Value::as_array).into_iter().flatten();
            return messages.filter_map(|it| Some((text(it.get("role"))?, text(it.get("content"))?))).collect();
        }
    };
    names.iter().filter_map(|name| Some(((*name).to_owned(), text(row.get(*name))?))).collect()
}

/// A row with its parts put in place of those that it has.
fn with_parts(kind: Kind, mut row: Map<String, Value>, new: Parts) -> Result<Value, String> {
    if kind == Kind::Chat {
        let messages: Vec<Value> =
            new.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
        row.insert("messages".to_owned(), messages.into());
        return Ok(row.into());
    }
    let old: Vec<String> = parts(kind, &row).into_iter().map(|(name, _)| name).collect();
    let listed = |names: &[String]| names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let names: Vec<String> = new.iter().map(|(name, _)| name.clone()).collect();
    if names != old {
        return Err(format!("expected the parts {}, found {}", listed(&old), listed(&names)));
    }
    for (name, text) in new {
        row.insert(name, text.into());
    }
    Ok(row.into())
}

/// Whether a line of a part would be taken for one of the sheet's own.
fn is_special(line: &str) -> bool {
    line.starts_with("=== ") || line.starts_with("--- ") || line.starts_with('\\')
}

/// A sheet on its way back.
struct Reader<'a> {
    sheet: &'a Sheet<'a>,
    path: &'a Path,
    slips: Vec<Slip>,
    errors: Vec<DataError>,
}

/// A row of the text form, as far as it is read.
struct Open {
    /// Its number; none where its head could not be read.
    row: Option<usize>,
    at: usize,
    verdict: Option<(Verdict, Option<String>)>,
    parts: Vec<(String, Vec<String>)>,
}

impl Reader<'_> {
    fn complain(&mut self, line: usize, message: impl Into<String>) {
        self.errors.push(DataError::row(self.path, line, message));
    }

    fn text(&mut self, text: &str) {
        let crlf = text.lines().next().is_some() && text.split('\n').next().is_some_and(|it| it.ends_with('\r'));
        let mut open: Option<Open> = None;
        let mut ended = false;
        let mut last = 0;
        for (at, line) in (1..).zip(text.split('\n')) {
            last = at;
            let line = if crlf { line.strip_suffix('\r').unwrap_or(line) } else { line };
            if let Some(head) = line.strip_prefix("=== ") {
                self.close(open.take());
                if head.trim() == "end" {
                    ended = true;
                    break;
                }
                open = Some(Open { row: self.head(at, head), at, verdict: None, parts: Vec::new() });
                continue;
            }
            let Some(open) = &mut open else {
                if !line.trim().is_empty() && !line.starts_with('#') {
                    self.complain(at, "expected `=== row ..` before anything else");
                }
                continue;
            };
            if let Some(name) = line.strip_prefix("--- ") {
                open.parts.push((name.trim().to_owned(), Vec::new()));
            } else if let Some((_, lines)) = open.parts.last_mut() {
                lines.push(line.strip_prefix('\\').unwrap_or(line).to_owned());
            } else if let Some(decision) = line.strip_prefix("decision:") {
                let (word, reason) = decision.trim().split_once(char::is_whitespace).unwrap_or((decision.trim(), ""));
                let reason = Some(reason.trim().to_owned()).filter(|it| !it.is_empty());
                match verdict(word) {
                    Ok(verdict) => open.verdict = Some((verdict, reason)),
                    Err(message) => {
                        open.row = None;
                        self.complain(at, message);
                    }
                }
            } else if !line.trim().is_empty() && !line.starts_with('#') {
                self.complain(at, format!("expected `decision: ..`, found `{line}`"));
            }
        }
        self.close(open);
        if !ended {
            self.complain(last, "expected `=== end` at the end of the sheet; it has been cut off");
        }
    }

    /// The number in the head of a row.
    fn head(&mut self, at: usize, head: &str) -> Option<usize> {
        let words: Vec<&str> = head.split_whitespace().collect();
        let [_, number, .., digest] = words.as_slice() else {
            self.complain(at, format!("expected `=== row N of N  DIGEST`, found `=== {head}`"));
            return None;
        };
        match number
            .parse::<usize>()
            .map_err(|_| ())
            .and_then(|row| self.sheet.row(row).map_err(drop).map(|it| (row, it)))
        {
            Ok((row, (is, _))) if is.short() == *digest => Some(row),
            Ok((row, _)) => {
                self.complain(at, format!("row {row} is not the row that this sheet was written for"));
                None
            }
            Err(()) => {
                self.complain(at, format!("expected a row from 1 to {}, found `{number}`", self.sheet.rows.len()));
                None
            }
        }
    }

    fn close(&mut self, open: Option<Open>) {
        let Some(Open { row: Some(row), at, verdict, parts }) = open else { return };
        let Some((verdict, reason)) = verdict else {
            return self.complain(at, format!("row {row} has no line `decision: ..`"));
        };
        let parts = parts.into_iter().map(|(name, lines)| (name, lines.join("\n"))).collect();
        let content = self.sheet.row(row).and_then(|(_, line)| object(line));
        match content.map_err(|error| error.to_string()).and_then(|it| with_parts(self.sheet.kind, it, parts)) {
            Ok(content) => self.slip(at, row, (verdict, reason), Some(content), None),
            Err(message) => self.complain(at, message),
        }
    }

    fn json(&mut self, text: &str) {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let line = Line { number, text: line.to_owned() };
            let told = jsonl::object(self.path, &line).and_then(|object| {
                Told::deserialize(Value::Object(object)).map_err(|error| {
                    DataError::row(self.path, number, format!("expected a decision on a row: {error}"))
                })
            });
            let told = match told {
                Ok(told) => told,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            match self.find(&told).and_then(|row| Ok((row, verdict(&told.decision)?))) {
                Ok((row, verdict)) => self.slip(number, row, (verdict, told.reason), told.content, told.by),
                Err(message) => self.complain(number, message),
            }
        }
    }

    /// The number of the row that a line speaks of.
    fn find(&self, told: &Told) -> Result<usize, String> {
        let rows = self.sheet.rows;
        let by_digest = |digest: Digest| rows.iter().position(|(it, _)| *it == digest).map(|at| at + 1);
        match (told.row, told.digest) {
            (None, None) => Err("expected `row` or `digest`, found neither".to_owned()),
            (None, Some(digest)) => by_digest(digest).ok_or_else(|| format!("there is no row {}", digest.short())),
            (Some(row), digest) => {
                let (is, _) = self.sheet.row(row).map_err(|error| error.to_string())?;
                if digest.is_some_and(|it| it != *is) {
                    return Err(format!("row {row} is not the row that this sheet was written for"));
                }
                Ok(row)
            }
        }
    }

    fn slip(
        &mut self,
        at: usize,
        row: usize,
        (verdict, reason): (Verdict, Option<String>),
        content: Option<Value>,
        by: Option<String>,
    ) {
        let line = self.sheet.row(row).map(|(_, line)| line.clone()).unwrap_or_default();
        // What becomes of a row that is refused is of no account.
        let content = content.filter(|_| verdict != Verdict::Refuse);
        let edited = match content.map_or(Ok(None), |content| self.sheet.edit(&line, content)) {
            Ok(edited) => edited,
            Err(message) => return self.complain(at, format!("row {row}: {message}")),
        };
        let slip = match (verdict, edited) {
            (Verdict::Refuse, _) => Slip { row, verdict, reason, edited: None, by },
            // Whoever changes a row has decided on it.
            (_, Some(edited)) => Slip { row, verdict: Verdict::Edit, reason: None, edited: Some(edited), by },
            (Verdict::Undecided, None) => Slip { row, verdict, reason: None, edited: None, by },
            (_, None) => Slip { row, verdict: Verdict::Accept, reason: None, edited: None, by },
        };
        self.slips.push(slip);
    }
}

fn verdict(word: &str) -> Result<Verdict, String> {
    let found = Verdict::ALL.into_iter().find(|it| it.name() == word);
    found.ok_or_else(|| {
        let meant = did_you_mean(word, Verdict::ALL.map(Verdict::name)).map(|it| format!("; {it}")).unwrap_or_default();
        format!("expected accept, refuse, edit or undecided, found `{word}`{meant}")
    })
}
