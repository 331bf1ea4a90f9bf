//! `reject`: rejection sampling, many answers to a problem of which those are kept that meet a condition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    base::{predicate::Predicate, units::Amount},
    data::{
        dataset::{self, Summary},
        rows::{Kind, Problem},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    reward::row,
    stages::{
        Context, Progress, Stage, StageError,
        checkpoint::Course,
        context::figures,
        rollout::{Draw, Origin, Respondent, numbered},
    },
};

pub const STAGE: Stage = Stage { name: "reject", version: 2, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    n: usize,
    keep: Predicate,
    rows: Option<Amount>,
    per_prompt: Option<usize>,
    temperature: f64,
    max_length: Amount,
    seed: u64,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    kept: usize,
    /// Answers that were looked at.
    seen: usize,
    /// Answers that were not kept, by reason.
    refused: BTreeMap<String, usize>,
}

impl Known {
    fn refuse(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let respondent = Respondent::new(&Transformer::load(folder)?, &tokenizer)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    let wanted = arguments.rows.map_or(usize::MAX, |rows| rows.count() as usize);
    let cap = arguments.per_prompt.unwrap_or(usize::MAX);
    let total = problems.len() as u64;
    let draw = Draw {
        copies: arguments.n,
        temperature: arguments.temperature,
        top_p: 1.0,
        top_k: None,
        max_length: arguments.max_length.count() as usize,
        seed: arguments.seed,
        first_row: 0,
    };
    let origin = Origin { model: context.input_digest("model"), seed: arguments.seed };
    let mut course: Course<Known> = Course::begin(context, total, |_| Ok(()))?;
    for chunk in numbered(&problems, course.done).chunks(context.batch.max(1)) {
        if course.known.kept >= wanted {
            break;
        }
        let answers = respondent.answer(&context.pool, chunk, draw)?;
        for ((_, problem), answers) in chunk.iter().zip(answers.chunks(arguments.n.max(1))) {
            // Whatever was asked beyond the last problem that is needed leaves no trace.
            if course.known.kept >= wanted {
                break;
            }
            let mut taken = 0;
            for answer in answers {
                let sample = answer.traced(problem, tokenizer.prompt(&problem.question)?, origin)?;
                course.known.seen += 1;
                if let Some(reason) = row::refuse(&arguments.keep, &sample)? {
                    course.known.refuse(&reason);
                } else if taken >= cap {
                    course.known.refuse("over the limit per prompt");
                } else if course.known.kept >= wanted {
                    course.known.refuse("more than the rows wanted");
                } else {
                    taken += 1;
                    course.known.kept += 1;
                    course.push(&sample)?;
                }
            }
            course.done += 1;
        }
        let Known { kept, seen, .. } = course.known;
        let metrics = figures([("kept", kept as f64), ("acceptance", kept as f64 / seen.max(1) as f64)]);
        context.progress(Progress { done: course.done, total, unit: "problems", metrics });
        course.pause(context, &mut |_| Ok(()))?;
    }
    let Known { kept, seen, refused } = course.finish(&dataset::rows_file(&context.out))?;
    if kept == 0 || (arguments.rows.is_some() && kept < wanted) {
        let wanted = if arguments.rows.is_some() { wanted } else { 1 };
        return Err(StageError::Data(format!(
            "expected {wanted} rows, found {kept} among {seen} answers to {} problems; raise `n`, lower `rows` or relax `keep`",
            problems.len()
        )));
    }
    Ok(Summary { kind: Kind::Sample, rows: kept, counts: refused }.write(&context.out)?)
}
