//! The stages that read and write rows: their cost is bytes and rows.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use serde::Deserialize;

use super::{any_rows, counted, number, plain, rows};
use crate::base::{
    units::{Amount, Unit},
    work::{Estimate, Known, Made, Rows},
};

/// Seconds to read a row and to write it as it is.
const COPY: f64 = 0.15e-6;
/// Seconds to read a row into its fields and to write it from them.
const PARSE: f64 = 1.2e-6;
/// Seconds and bytes of memory to learn merges from a byte of text.
const MERGE: (f64, f64) = (90e-9, 12.0);
/// Seconds to part a byte of text into words and to look their runs up.
const WORDS: f64 = 20e-9;
/// Bytes of memory that a byte of a file becomes as rows.
const HELD: f64 = 4.0;

/// Tokens of an answer: its two tags and the token that ends it, beside the number itself.
const TAGS: f64 = 3.0;
/// Tokens of the tags around thoughts.
const THINK: f64 = 2.0;
/// Tokens of a step of a working, such as `12-7=5` with the blank before it, and tokens and bytes of a word before it.
const STEP: f64 = 7.0;
const WORD: (f64, f64) = (2.0, 5.0);

pub(super) fn problems(known: Known) -> Option<Estimate> {
    let count = counted(known, "rows", Unit::Rows)?;
    let terms = f64::midpoint(number(known, "terms_min")?, number(known, "terms_max")?);
    let digits = number(known, "digits")?;
    // A running total has about half a digit more than a term, and a sign now and then.
    let total = digits + 0.6;
    let bare = total + TAGS;
    let question = terms * (digits + 1.0) + 4.0;
    let solution = (terms - 1.0) * (2.0 * total + digits + 3.0);
    let bytes = 50.0 + question - 3.0 + total + 15.0 + solution;
    let made = Rows { rows: count, exact: true, question, answer: bare, worked: bare + THINK + solution, bytes };
    Some(plain(3.2e-6 * count, count * (bytes * 2.0 + 200.0), count * bytes, Made::Rows(made)))
}

/// The number of rows and their size are told from the beginning of the file.
pub(super) fn dataset(known: Known) -> Option<Estimate> {
    let path = known.files.get("file")?;
    let path = if path.is_dir() { path.join("rows.jsonl") } else { path.clone() };
    let size = fs::metadata(&path).ok()?.len() as f64;
    let line = line(&path)?;
    let count = (size / line).round().max(1.0);
    // A token is three to four bytes of usual text, and a question is the smaller part of its row.
    let tokens = line / 3.5;
    let worked = known.arguments.get("kind").is_some_and(|kind| **kind == *"problem");
    let (question, answer) = if worked { (0.4 * tokens, 0.6 * tokens) } else { (0.0, tokens) };
    let made = Rows { rows: count, exact: false, question, answer, worked: answer, bytes: line };
    Some(plain(2.0 * PARSE * count + 8e-9 * size, HELD * size, size, Made::Rows(made)))
}

/// The mean length of the lines that a file begins with.
fn line(path: &Path) -> Option<f64> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(1 << 16).read_to_end(&mut head).ok()?;
    let lines = head.iter().filter(|byte| **byte == b'\n').count().max(1);
    Some(head.len() as f64 / lines as f64)
}

pub(super) fn documents(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let share = number(known, "worked")?;
    let spoken = known.arguments.get("languages").and_then(|it| it.as_array()).is_some_and(|it| !it.is_empty());
    let words = if spoken { ((data.worked - data.answer - THINK) / STEP).max(0.0) } else { 0.0 };
    let worked = data.worked + words * WORD.0;
    let answer = data.answer + share * (worked - data.answer);
    let bytes = 12.0 + 5.0 + 6.0 + 8.0 + 12.0 + data.question + 19.0;
    let bytes = bytes + share * (data.worked - data.answer + 13.0 + words * WORD.1);
    let made = Rows { question: data.question + 2.0, answer, worked, bytes, ..data };
    Some(plain(2.2e-6 * data.rows, 64.0 * 1024.0, data.rows * bytes, Made::Rows(made)))
}

pub(super) fn filler(known: Known) -> Option<Estimate> {
    let count = counted(known, "rows", Unit::Rows)?;
    let [question, answer] = ["question", "answer"].map(|name| counted(known, name, Unit::Tokens));
    let (question, answer) = (question?, answer?);
    let worked = counted(known, "worked", Unit::Tokens);
    let problem = known.arguments.get("kind").is_some_and(|kind| **kind == *"problem");
    // A word of two to five letters and a space.
    let bytes = 30.0 + 4.5 * (question + answer + worked.filter(|_| problem).unwrap_or_default());
    let worked = worked.map_or(answer, |worked| worked + answer);
    let made = Rows { rows: count, exact: true, question, answer, worked, bytes };
    Some(plain(12e-9 * count * bytes, 64.0 * 1024.0, count * bytes, Made::Rows(made)))
}

pub(super) fn filter(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let made = Rows { rows: (data.rows * 0.5).max(1.0), exact: false, ..data };
    Some(plain(
        PARSE * data.rows + 3e-9 * data.rows * data.bytes,
        64.0 * 1024.0,
        made.rows * made.bytes,
        Made::Rows(made),
    ))
}

/// What a person needs is not counted: the step itself only copies rows.
pub(super) fn review(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let made = Rows { exact: false, ..data };
    let held = data.rows * (data.bytes + 96.0);
    Some(plain(2.0 * COPY * data.rows + 2e-3, held, made.rows * made.bytes, Made::Rows(made)))
}

/// `decontaminate` and `dedupe`, which leave nearly all there is.
pub(super) fn weed(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let against = rows(known, "against").map_or(0.0, |it| it.rows * it.bytes);
    let made = Rows { exact: false, ..data };
    let seconds = 1.5 * PARSE * data.rows + WORDS * (data.rows * data.bytes + against);
    Some(plain(seconds, 60.0 * data.rows + 8.0 * against, data.rows * data.bytes, Made::Rows(made)))
}

pub(super) fn mix(known: Known) -> Option<Estimate> {
    let parts = known.inputs.get("parts")?.iter().map(|made| match made {
        Made::Rows(rows) => Some(*rows),
        _ => None,
    });
    let parts = parts.collect::<Option<Vec<Rows>>>()?;
    let wanted: Option<Vec<Amount>> = known.arguments.get("rows").and_then(|it| Deserialize::deserialize(&**it).ok());
    let wanted = wanted.unwrap_or_default();
    let weights: Option<Vec<f64>> = known.arguments.get("weights").and_then(|it| Deserialize::deserialize(&**it).ok());
    let there: Vec<f64> = parts.iter().map(|it| it.rows).collect();
    let shares = weights.as_ref().unwrap_or(&there);
    let sum: f64 = shares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let most = there.iter().zip(shares).map(|(rows, share)| rows * sum / share).fold(f64::INFINITY, f64::min);
    let total = counted(known, "total", Unit::Rows).unwrap_or(most);
    let taken = |at: usize| wanted.get(at).map_or(total * shares.get(at).unwrap_or(&0.0) / sum, |it| it.value);
    let taken: Vec<f64> = (0..parts.len()).map(taken).collect();
    let total: f64 = taken.iter().sum::<f64>().max(1.0);
    let mean =
        |of: &dyn Fn(&Rows) -> f64| parts.iter().zip(&taken).map(|(part, rows)| of(part) * rows).sum::<f64>() / total;
    let made = Rows {
        rows: total,
        exact: parts.iter().all(|it| it.exact),
        question: mean(&|it| it.question),
        answer: mean(&|it| it.answer),
        worked: mean(&|it| it.worked),
        bytes: mean(&|it| it.bytes),
    };
    let read: f64 = parts.iter().map(|it| it.rows).sum();
    let held: f64 = parts.iter().map(|it| it.rows * (it.bytes + 64.0)).sum();
    Some(plain(3.0 * COPY * (read + total), 2.5 * held, total * made.bytes, Made::Rows(made)))
}

pub(super) fn split(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let share = number(known, "share")?;
    let train = known.arguments.get("part").is_none_or(|part| **part == *"train");
    let made = Rows { rows: (data.rows * if train { share } else { 1.0 - share }).max(1.0), exact: false, ..data };
    Some(plain(2.0 * PARSE * data.rows, 64.0 * 1024.0, made.rows * made.bytes, Made::Rows(made)))
}

pub(super) fn take(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let made = Rows { rows: counted(known, "rows", Unit::Rows)?, exact: true, ..data };
    let memory = data.rows * (data.bytes + 64.0);
    Some(plain(COPY * (data.rows + made.rows), memory, made.rows * made.bytes, Made::Rows(made)))
}

pub(super) fn tokenizer(known: Known) -> Option<Estimate> {
    let text = any_rows(known)?;
    let vocabulary = number(known, "vocab")?;
    let size = text.rows * text.bytes;
    let made = Made::Tokenizer { vocabulary };
    Some(plain(2e-3 + MERGE.0 * size, 4e6 + MERGE.1 * size, 1500.0 + 30.0 * vocabulary, made))
}

pub(super) fn load_tokenizer(known: Known) -> Option<Estimate> {
    let size = fs::metadata(known.files.get("file")?).ok()?.len() as f64;
    let made = Made::Tokenizer { vocabulary: (size / 50.0).max(265.0) };
    Some(plain(2e-3 + 60e-9 * size, 20.0 * size, size, made))
}
