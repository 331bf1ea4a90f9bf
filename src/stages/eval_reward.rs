//! `eval_reward`: how often a reward model prefers what it should, on pairs or labels that it has not learnt from.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    base::disk,
    data::tokenizer::Tokenizer,
    model::{Config, Transformer},
    reward::intervals::{Interval, interval},
    stages::{
        Context, Progress, Stage, StageError,
        part::Sequence,
        preference::Preferences,
        reward_model::artifact::{Scope, scope, scores},
    },
};

pub const STAGE: Stage = Stage { name: "eval_reward", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

/// What becomes `report.json`.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    standing: Standing,
    min_reward: f64,
    mean_reward: f64,
    max_reward: f64,
}

/// How well what should be preferred is.
#[derive(Serialize)]
pub struct Standing {
    /// The share of rows in which it is.
    pub accuracy: f64,
    /// The 95 % interval of Wilson.
    pub accuracy_low: f64,
    pub accuracy_high: f64,
    /// By how much, in the mean.
    pub margin: f64,
    pub rows: usize,
}

/// A row of `answers.jsonl`: the scores of its answers, and whether they stand as they should.
#[derive(Serialize)]
struct AnswerRow {
    row: usize,
    scores: Vec<f64>,
    right: bool,
}

fn run(context: &Context) -> Result<(), StageError> {
    let Arguments {} = context.arguments()?;
    let folder = context.input("model")?;
    let longest = Config::read(folder)?.max_positions();
    let scope = scope(folder)?.unwrap_or(Scope::Whole);
    let rows = Preferences::read(context.input("data")?, &Tokenizer::load(folder)?, scope, longest)?;
    let model = Transformer::load_scoring(folder)?.on(context.device)?;
    let groups: Vec<Vec<Sequence>> = match &rows {
        Preferences::Pairs(rows) => rows.iter().map(|it| vec![it.chosen.clone(), it.rejected.clone()]).collect(),
        Preferences::Labels(rows) => rows.iter().map(|it| vec![it.answer.clone()]).collect(),
    };
    let found = in_chunks(context, &groups, &|answers| scores(&model, answers))?;
    let lead = |(at, scores): (usize, &Vec<f64>)| match (&rows, scores.as_slice()) {
        (Preferences::Pairs(_), [chosen, rejected]) => chosen - rejected,
        (Preferences::Labels(rows), [score]) if !rows.get(at).is_some_and(|it| it.good) => -score,
        (_, scores) => scores.first().copied().unwrap_or_default(),
    };
    let leads: Vec<f64> = found.iter().enumerate().map(lead).collect();
    write_answers(&context.out, &found, &leads)?;
    let all: Vec<f64> = found.concat();
    let report = Report {
        standing: Standing::new(&leads)?,
        min_reward: all.iter().copied().fold(f64::INFINITY, f64::min),
        mean_reward: all.iter().sum::<f64>() / all.len().max(1) as f64,
        max_reward: all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
    write_report(&context.out, &report)
}

impl Standing {
    /// The standing of rows by what is preferred leads in each.
    ///
    /// # Errors
    /// Where there is no row.
    pub fn new(leads: &[f64]) -> Result<Self, StageError> {
        if leads.is_empty() {
            return Err(StageError::Data("the data holds no rows to measure by".to_owned()));
        }
        let rows = leads.len();
        let led: Vec<f64> = leads.iter().map(|it| f64::from(u8::from(*it > 0.0))).collect();
        let Interval { mean: accuracy, low: accuracy_low, high: accuracy_high } = interval(&led, 1);
        Ok(Self { accuracy, accuracy_low, accuracy_high, margin: leads.iter().sum::<f64>() / rows as f64, rows })
    }
}

/// What is asked of the sequences of a group: a number for each.
type Ask<'a> = &'a (dyn Fn(&[Sequence]) -> Result<Vec<f64>, StageError> + Sync);

/// What a function says of the sequences of every group, asked of as many rows at once as the step may.
fn in_chunks(context: &Context, groups: &[Vec<Sequence>], ask: Ask) -> Result<Vec<Vec<f64>>, StageError> {
    let mut found = Vec::with_capacity(groups.len());
    for chunk in groups.chunks(context.batch.max(1) * 8) {
        context.check_cancelled()?;
        let of_group = |group: &Vec<Sequence>| ask(group);
        let answers: Vec<Result<Vec<f64>, StageError>> =
            context.pool.install(|| chunk.par_iter().map(of_group).collect());
        for answer in answers {
            found.push(answer?);
        }
        let (done, total) = (found.len() as u64, groups.len() as u64);
        context.progress(Progress { done, total, unit: "rows", metrics: Vec::new() });
    }
    Ok(found)
}

/// Writes what was found of each row to `answers.jsonl`.
pub fn write_answers(out: &Path, found: &[Vec<f64>], leads: &[f64]) -> Result<(), StageError> {
    let mut text = String::new();
    for (row, (scores, lead)) in found.iter().zip(leads).enumerate() {
        let row = AnswerRow { row, scores: scores.clone(), right: *lead > 0.0 };
        text += &serde_json::to_string(&row).map_err(|error| StageError::Data(error.to_string()))?;
        text.push('\n');
    }
    let path = out.join("answers.jsonl");
    disk::save(&path, text).map_err(|error| StageError::File { path, error })
}

/// Writes `report.json`.
pub fn write_report(out: &Path, report: &impl Serialize) -> Result<(), StageError> {
    let text = serde_json::to_string_pretty(report).map_err(|error| StageError::Data(error.to_string()))?;
    let path = out.join("report.json");
    disk::save(&path, text + "\n").map_err(|error| StageError::File { path, error })
}
