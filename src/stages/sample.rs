//! `sample`: answers of a model to problems, as rows to filter and to learn from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    base::units::Amount,
    data::{
        dataset::{self, Summary},
        rows::{Kind, Problem},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    stages::{
        Context, Progress, Stage, StageError,
        checkpoint::Course,
        rollout::{Draw, Origin, Respondent, numbered},
    },
};

pub const STAGE: Stage = Stage { name: "sample", version: 2, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    n: usize,
    temperature: f64,
    top_p: f64,
    top_k: Option<usize>,
    max_length: Amount,
    seed: u64,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    rows: usize,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let respondent = Respondent::new(&Transformer::load(folder)?, &tokenizer)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    let total = problems.len() as u64;
    let draw = Draw {
        copies: arguments.n,
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        top_k: arguments.top_k,
        max_length: arguments.max_length.count() as usize,
        seed: arguments.seed,
        first_row: 0,
    };
    let origin = Origin { model: context.input_digest("model"), seed: arguments.seed };
    let mut course: Course<Known> = Course::begin(context, total, |_| Ok(()))?;
    for chunk in numbered(&problems, course.done).chunks(context.batch.max(1)) {
        let answers = respondent.answer(&context.pool, chunk, draw)?;
        for ((_, problem), answers) in chunk.iter().zip(answers.chunks(arguments.n.max(1))) {
            for answer in answers {
                course.push(&answer.traced(problem, tokenizer.prompt(&problem.question)?, origin)?)?;
                course.known.rows += 1;
            }
        }
        course.done += chunk.len() as u64;
        context.progress(Progress { done: course.done, total, unit: "problems", metrics: Vec::new() });
        course.pause(context, &mut |_| Ok(()))?;
    }
    let Known { rows } = course.finish(&dataset::rows_file(&context.out))?;
    Ok(Summary { kind: Kind::Sample, rows, counts: BTreeMap::new() }.write(&context.out)?)
}
