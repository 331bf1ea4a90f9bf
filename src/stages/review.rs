//! `review`: a person looks at each row and accepts it, refuses it, or puts it in other words.
//!
//! The step itself only puts the rows where a person finds them, and takes up what was decided. Its result is a function
//! of its inputs, its guide, and those decisions, which stand in the record; who decided and when is in the record too,
//! and never in the rows.

use std::path::Path;

use serde::Deserialize;

use crate::{
    base::{
        decision::{Decisions, Tally, Verdict},
        digest::Digest,
    },
    data::{
        DataError,
        dataset::{Dataset, Writer},
        jsonl,
    },
    stages::{Context, Progress, Stage, StageError, context::figures},
};

pub const STAGE: Stage = Stage { name: "review", version: 1, run, check: None, extends: None };

/// Where people decide on the rows of one step.
pub trait Reviews: Send + Sync {
    /// Puts the rows and the guide where a person finds them, and takes over what was decided on the same rows under the
    /// same guide before.
    fn ask(&self, question: Question) -> Result<(), StageError>;

    /// What was decided so far.
    fn decisions(&self) -> Result<Decisions, StageError>;
}

/// What a person is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The file with the rows.
    pub rows: &'a Path,
    /// The name of each row.
    pub digests: &'a [Digest],
    pub guide: Option<&'a Path>,
}

/// Decides nothing: for a stage that is run by itself.
pub struct Nobody;

impl Reviews for Nobody {
    fn ask(&self, _: Question) -> Result<(), StageError> {
        Ok(())
    }

    fn decisions(&self) -> Result<Decisions, StageError> {
        Ok(Decisions::default())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    accept: Accept,
}

/// Who accepts rows.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Accept {
    Person,
    /// Nobody looks: every row is accepted unread, as the record says.
    All,
}

/// The rows of a file, each as its text with the digest by which decisions name it.
pub fn rows(file: &Path) -> Result<Vec<(Digest, String)>, DataError> {
    jsonl::rows(file)?.map(|line| line.map(|line| (Digest::of(line.text.as_bytes()), line.text))).collect()
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let data = Dataset::open(context.input("data")?)?;
    let rows = rows(&data.path())?;
    let mut writer = Writer::create(&context.out, data.summary.kind)?;
    if arguments.accept == Accept::All {
        rows.iter().try_for_each(|(_, line)| writer.push_line(line))?;
        writer.finish()?;
        return Ok(());
    }
    let digests: Vec<Digest> = rows.iter().map(|(digest, _)| *digest).collect();
    let guide = context.files.get("guide").map(AsRef::as_ref);
    context.reviews.ask(Question { rows: &data.path(), digests: &digests, guide })?;
    let decisions = context.reviews.decisions()?;
    let tally = decisions.tally(&digests);
    if !tally.is_complete() {
        return Err(StageError::Waiting(tally));
    }
    let edited = take(&rows, &decisions, &mut writer)?;
    let summary = writer.finish()?;
    if summary.rows == 0 {
        let counts: Vec<String> = summary.counts.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        return Err(StageError::Data(format!(
            "expected rows that a person accepted, found none among {}: {}",
            rows.len(),
            counts.join(", ")
        )));
    }
    let refused = rows.len() - summary.rows;
    tell(context, tally, [summary.rows - edited, edited, refused]);
    Ok(())
}

/// Writes the rows as they were decided on, and says how many of them are in other words than before.
fn take(rows: &[(Digest, String)], decisions: &Decisions, writer: &mut Writer) -> Result<usize, StageError> {
    let mut edited = 0;
    for (digest, line) in rows {
        let Some(decision) = decisions.on(digest) else {
            writer.count("undecided");
            continue;
        };
        match (decision.verdict, &decision.edited, &decision.reason) {
            (Verdict::Accept, ..) => writer.push_line(line)?,
            (Verdict::Edit, Some(line), _) => {
                writer.push_line(line)?;
                edited += 1;
            }
            (_, _, Some(reason)) => writer.count(&format!("refused: {reason}")),
            (_, _, None) => writer.count("refused"),
        }
    }
    Ok(edited)
}

fn tell(context: &Context, tally: Tally, [accepted, edited, refused]: [usize; 3]) {
    let metrics = figures([("accepted", accepted as f64), ("edited", edited as f64), ("refused", refused as f64)]);
    let (done, total) = (tally.rows as u64, tally.rows as u64);
    context.progress(Progress { done, total, unit: "rows", metrics });
}
