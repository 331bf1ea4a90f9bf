//! `eval`: how many held-out problems a model answers rightly, with every answer kept and counted.

mod report;
mod tally;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    base::disk,
    data::rows::{Finish, Problem, Sample},
    reward::language::of_language,
    stages::{
        Context, Stage, StageError,
        asking::{self, Asking},
        checkpoint::Course,
        context::{Metrics, figures},
        survey::{self, Asked, Purpose, survey},
    },
};
use tally::{Graded, Tally};

pub const STAGE: Stage = Stage { name: "eval", version: 3, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    samples: usize,
    pass_at: Option<Vec<usize>>,
    language: Option<String>,
}

/// A line of `answers.jsonl`.
#[derive(Serialize)]
struct AnswerRow<'a> {
    question: &'a str,
    answer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: &'a Option<String>,
    completion: &'a str,
    verdict: &'a str,
    tokens: usize,
    finish: Finish,
    format: bool,
    language: f64,
}

/// What the step knows beside its answers.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Of every problem so far.
    tallies: Vec<Tally>,
}

/// An examination of so many answers to each problem.
struct Examination {
    arguments: Arguments,
}

impl Purpose for Examination {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, problem: &Problem, asked: Asked) -> Result<(), StageError> {
        let Arguments { samples, language, .. } = &self.arguments;
        let answers = match asked {
            Asked::Answered(answers) => answers,
            // A problem whose prompt leaves no room for an answer counts as so many that were cut off at once.
            Asked::Crowded | Asked::Skipped => vec![nothing(problem); *samples],
        };
        let graded: Vec<Graded> = answers.iter().map(|it| Graded::new(it, language.as_deref())).collect();
        for (sample, graded) in answers.iter().zip(&graded) {
            course.push(&AnswerRow {
                question: &problem.question,
                answer: &problem.answer,
                source: &problem.source,
                level: &problem.level,
                completion: &sample.completion,
                verdict: graded.verdict.name(),
                tokens: sample.tokens,
                finish: sample.finish,
                format: graded.format,
                language: graded.language,
            })?;
        }
        course.known.tallies.push(Tally::new(&answers, &graded));
        Ok(())
    }

    fn takes_crowded(&self) -> bool {
        true
    }

    fn metrics(&self, known: &Known) -> Metrics {
        let answers = known.tallies.iter().map(Tally::answers).sum::<usize>();
        let correct = known.tallies.iter().map(|it| it.correct).sum::<usize>();
        figures([("pass1", correct as f64 / answers.max(1) as f64)])
    }
}

fn check(arguments: &Value, _: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    read(arguments).map(|_| ())
}

fn read(arguments: &Value) -> Result<(Asking, Arguments), StageError> {
    let (asking, arguments): (Asking, Arguments) = asking::read(arguments)?;
    let Arguments { samples, pass_at, language } = &arguments;
    if let Some(most) = pass_at.iter().flatten().find(|it| !(1..=*samples).contains(*it)) {
        let message = format!("expected `pass_at` from 1 to `samples`, which is {samples}, found {most}");
        return Err(StageError::Arguments(message));
    }
    if let Some(language) = language.as_ref().filter(|it| of_language("", it).is_none()) {
        let message = format!("expected `language` to be a code such as `en` or `zh`, found `{language}`");
        return Err(StageError::Arguments(message));
    }
    Ok((asking, arguments))
}

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments) = read(&context.arguments)?;
    let problems = survey::problems(context)?;
    if problems.is_empty() {
        return Err(StageError::Data("the data holds no problems".to_owned()));
    }
    let examination = Examination { arguments };
    let samples = examination.arguments.samples;
    let course = survey(context, &asking, samples, &problems, &examination)?;
    let Known { tallies } = course.finish(&context.out.join("answers.jsonl"))?;
    let pass_at = examination.arguments.pass_at.unwrap_or_default();
    let report = report::report(&problems, &tallies, samples, &pass_at);
    let text = serde_json::to_string_pretty(&report).map_err(|error| StageError::Data(error.to_string()))?;
    let path = context.out.join("report.json");
    disk::save(&path, text + "\n").map_err(|error| StageError::File { path, error })
}

/// No answer at all, for want of room.
fn nothing(problem: &Problem) -> Sample {
    Sample {
        question: problem.question.clone(),
        answer: problem.answer.clone(),
        prompt: String::new(),
        completion: String::new(),
        tokens: 0,
        finish: Finish::Length,
        lineage: Default::default(),
    }
}
