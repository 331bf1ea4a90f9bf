//! `eval`: how many held-out problems a model answers rightly, with every row counted.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    base::units::Amount,
    data::{dataset, rows::Finish, rows::Problem, tokenizer::Tokenizer},
    model::Transformer,
    reward::answer::{Verdict, judge},
    stages::{
        Context, Progress, Stage, StageError,
        rollout::{Draw, Respondent},
    },
};

pub const STAGE: Stage = Stage { name: "eval", version: 1, run, check: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    samples: usize,
    temperature: f64,
    top_p: f64,
    max_length: Amount,
    seed: u64,
}

/// What becomes `report.json`. Answers fall into exactly one of the four classes.
#[derive(Default, Serialize)]
struct Report {
    /// The share of answers that are right: the mean over problems of the mean over a problem's answers.
    pass1: f64,
    /// The 95 % interval of Wilson over problems.
    pass1_low: f64,
    pass1_high: f64,
    rows: u64,
    answers: u64,
    correct: u64,
    wrong: u64,
    unparseable: u64,
    truncated: u64,
    /// In tokens, the end token included.
    mean_length: f64,
}

#[derive(Serialize)]
struct AnswerRow<'a> {
    question: &'a str,
    answer: &'a str,
    completion: &'a str,
    verdict: &'a str,
    tokens: usize,
}

const CHUNK: usize = 128;

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let respondent = Respondent::new(&Transformer::load(folder)?, &tokenizer)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    if problems.is_empty() {
        return Err(StageError::Data("the data holds no problems".to_owned()));
    }
    let mut draw = Draw {
        copies: arguments.samples,
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        top_k: None,
        max_length: arguments.max_length.count() as usize,
        seed: arguments.seed,
        first_row: 0,
    };
    let mut report = Report { rows: problems.len() as u64, ..Report::default() };
    let mut lines = String::new();
    let mut tokens = 0;
    let mut done = 0;
    for chunk in problems.chunks(CHUNK) {
        context.check_cancelled()?;
        let size = chunk.len();
        let chunk = fitting(&respondent, chunk, draw, &mut report, &mut lines)?;
        for (index, answer) in respondent.answer(&context.pool, &chunk, draw)?.into_iter().enumerate() {
            let Some(problem) = chunk.get(index / arguments.samples.max(1)) else { continue };
            let verdict = match judge(&answer.text, &problem.answer) {
                Verdict::Correct => (&mut report.correct, "correct"),
                _ if answer.finish() == Finish::Length => (&mut report.truncated, "truncated"),
                Verdict::Wrong => (&mut report.wrong, "wrong"),
                Verdict::Unparseable => (&mut report.unparseable, "unparseable"),
            };
            *verdict.0 += 1;
            tokens += answer.completion.ids.len();
            let row = AnswerRow {
                question: &problem.question,
                answer: &problem.answer,
                completion: &answer.text,
                verdict: verdict.1,
                tokens: answer.completion.ids.len(),
            };
            lines.push_str(&row.line()?);
        }
        draw.first_row += (size * arguments.samples) as u64;
        done += size as u64;
        context.progress(Progress { done, total: report.rows, unit: "problems", metrics: Vec::new() });
    }
    report.answers = report.correct + report.wrong + report.unparseable + report.truncated;
    report.pass1 = report.correct as f64 / report.answers.max(1) as f64;
    (report.pass1_low, report.pass1_high) = wilson(report.pass1, report.rows as f64);
    report.mean_length = tokens as f64 / report.answers.max(1) as f64;
    let text = serde_json::to_string_pretty(&report).map_err(|error| StageError::Data(error.to_string()))?;
    write(&context.out.join("report.json"), &(text + "\n"))?;
    write(&context.out.join("answers.jsonl"), &lines)
}

/// The problems whose prompts leave room for an answer. The others count as truncated, one answer as much as the next.
fn fitting<'a>(
    respondent: &Respondent,
    problems: &'a [Problem],
    draw: Draw,
    report: &mut Report,
    lines: &mut String,
) -> Result<Vec<&'a Problem>, StageError> {
    let mut fitting = Vec::with_capacity(problems.len());
    for problem in problems {
        if respondent.fits(problem, draw.max_length)? {
            fitting.push(problem);
            continue;
        }
        report.truncated += draw.copies as u64;
        let Problem { question, answer, .. } = problem;
        let row = AnswerRow { question, answer, completion: "", verdict: "truncated", tokens: 0 };
        for _ in 0..draw.copies {
            lines.push_str(&row.line()?);
        }
    }
    Ok(fitting)
}

impl AnswerRow<'_> {
    fn line(&self) -> Result<String, StageError> {
        let text = serde_json::to_string(self).map_err(|error| StageError::Data(error.to_string()))?;
        Ok(text + "\n")
    }
}

fn write(path: &Path, text: &str) -> Result<(), StageError> {
    fs::write(path, text).map_err(|error| StageError::File { path: path.to_owned(), error })
}

/// The 95 % score interval of Wilson (1927) for a share seen in `n` trials.
///
/// Several answers to one problem are not independent, so problems are the trials, which errs on the wide side.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let centre = share + Z * Z / (2.0 * n);
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of the interval are the shares whose own standard error puts 0.45 just 1.96 of it away.
    #[test]
    fn the_interval_is_that_of_wilson() {
        let (low, high) = wilson(0.45, 100.0);
        for end in [low, high] {
            let error = (end * (1.0 - end) / 100.0).sqrt();
            assert!(((0.45 - end).abs() / error - 1.959_964).abs() < 1e-5, "{end}");
        }
        assert_eq!(wilson(0.0, 10.0).0, 0.0);
    }
}
