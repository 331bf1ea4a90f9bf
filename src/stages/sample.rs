//! `sample`: answers of a model to problems, as rows to filter and to learn from.

use serde::Deserialize;

use crate::{
    base::units::Amount,
    data::{
        dataset::{self, Writer},
        rows::{Kind, Problem},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    stages::{
        Context, Progress, Stage, StageError,
        rollout::{Draw, Respondent},
    },
};

pub const STAGE: Stage = Stage { name: "sample", version: 1, run, check: None };

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

/// Problems per call of the sampler: enough to fill it, few enough for progress to be seen.
const CHUNK: usize = 64;

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let respondent = Respondent::new(&Transformer::load(folder)?, &tokenizer)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    let mut writer = Writer::create(&context.out, Kind::Sample)?;
    let mut draw = Draw {
        copies: arguments.n,
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        top_k: arguments.top_k,
        max_length: arguments.max_length.count() as usize,
        seed: arguments.seed,
        first_row: 0,
    };
    let mut done = 0;
    for chunk in problems.chunks(CHUNK) {
        context.check_cancelled()?;
        let chunk: Vec<&Problem> = chunk.iter().collect();
        let answers = respondent.answer(&context.pool, &chunk, draw)?;
        for (index, answer) in answers.into_iter().enumerate() {
            let Some(problem) = chunk.get(index / arguments.n.max(1)) else { continue };
            writer.push(&answer.sample(problem, tokenizer.prompt(&problem.question)?))?;
        }
        draw.first_row += (chunk.len() * arguments.n) as u64;
        done += chunk.len() as u64;
        context.progress(Progress { done, total: problems.len() as u64, unit: "problems", metrics: Vec::new() });
    }
    writer.finish()?;
    Ok(())
}
