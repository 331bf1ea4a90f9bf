//! `eval`: how many held-out problems a model answers rightly, with every row counted.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::{
    data::rows::{Finish, Problem, Sample},
    reward::answer::{Verdict, judge},
    stages::{
        Context, Stage, StageError,
        asking::{Asking, SHARED},
        checkpoint::Course,
        survey::{self, Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "eval", version: 3, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    samples: usize,
}

/// What becomes `report.json`. Answers fall into exactly one of the four classes.
#[derive(Default, Serialize, Deserialize)]
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

/// What the step knows beside its answers.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    report: Report,
    tokens: u64,
}

/// An examination of so many answers to each problem.
struct Examination {
    samples: usize,
}

impl Purpose for Examination {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, problem: &Problem, asked: Asked) -> Result<(), StageError> {
        match asked {
            Asked::Answered(samples) => samples.iter().try_for_each(|it| count(course, problem, it)),
            _ => miss(course, problem, self.samples),
        }
    }

    fn takes_crowded(&self) -> bool {
        true
    }
}

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments): (Asking, Arguments) = context.shared_arguments(&SHARED)?;
    let problems = survey::problems(context)?;
    if problems.is_empty() {
        return Err(StageError::Data("the data holds no problems".to_owned()));
    }
    let course = survey(context, &asking, arguments.samples, &problems, &Examination { samples: arguments.samples })?;
    let Known { mut report, tokens } = course.finish(&context.out.join("answers.jsonl"))?;
    report.rows = problems.len() as u64;
    report.answers = report.correct + report.wrong + report.unparseable + report.truncated;
    report.pass1 = report.correct as f64 / report.answers.max(1) as f64;
    (report.pass1_low, report.pass1_high) = wilson(report.pass1, report.rows as f64);
    report.mean_length = tokens as f64 / report.answers.max(1) as f64;
    let text = serde_json::to_string_pretty(&report).map_err(|error| StageError::Data(error.to_string()))?;
    let path = context.out.join("report.json");
    fs::write(&path, text + "\n").map_err(|error| StageError::File { path, error })
}

/// Judges an answer and writes it down.
fn count(course: &mut Course<Known>, problem: &Problem, sample: &Sample) -> Result<(), StageError> {
    let report = &mut course.known.report;
    let (class, verdict) = match judge(&sample.completion, &problem.answer) {
        Verdict::Correct => (&mut report.correct, "correct"),
        _ if sample.finish == Finish::Length => (&mut report.truncated, "truncated"),
        Verdict::Wrong => (&mut report.wrong, "wrong"),
        Verdict::Unparseable => (&mut report.unparseable, "unparseable"),
    };
    *class += 1;
    course.known.tokens += sample.tokens as u64;
    let Problem { question, answer, .. } = problem;
    course.push(&AnswerRow { question, answer, completion: &sample.completion, verdict, tokens: sample.tokens })
}

/// A problem whose prompt leaves no room for an answer counts as truncated, one answer as much as the next.
fn miss(course: &mut Course<Known>, problem: &Problem, samples: usize) -> Result<(), StageError> {
    let Problem { question, answer, .. } = problem;
    for _ in 0..samples {
        course.known.report.truncated += 1;
        course.push(&AnswerRow { question, answer, completion: "", verdict: "truncated", tokens: 0 })?;
    }
    Ok(())
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
