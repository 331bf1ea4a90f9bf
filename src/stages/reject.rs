//! `reject`: rejection sampling, many answers to a problem of which those are kept that meet a condition.

use serde::Deserialize;

use crate::{
    base::{predicate::Predicate, units::Amount},
    data::{
        dataset::{self, Writer},
        rows::{Kind, Problem},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    reward::row,
    stages::{
        Context, Progress, Stage, StageError,
        rollout::{Draw, Respondent},
    },
};

pub const STAGE: Stage = Stage { name: "reject", version: 1, run, check: None };

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

/// Problems per call of the sampler. Sampling stops after the chunk in which the wanted rows are full, so this is part
/// of what the stage does, and not a matter of speed alone.
const CHUNK: usize = 64;

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let respondent = Respondent::new(&Transformer::load(folder)?, &tokenizer)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    let wanted = arguments.rows.map_or(usize::MAX, |rows| rows.count() as usize);
    let cap = arguments.per_prompt.unwrap_or(usize::MAX);
    let mut writer = Writer::create(&context.out, Kind::Sample)?;
    let mut draw = Draw {
        copies: arguments.n,
        temperature: arguments.temperature,
        top_p: 1.0,
        top_k: None,
        max_length: arguments.max_length.count() as usize,
        seed: arguments.seed,
        first_row: 0,
    };
    let (mut kept, mut seen, mut done) = (0, 0, 0);
    for chunk in problems.chunks(CHUNK) {
        if kept >= wanted {
            break;
        }
        context.check_cancelled()?;
        let chunk: Vec<&Problem> = chunk.iter().collect();
        let answers = respondent.answer(&context.pool, &chunk, draw)?;
        let mut of_prompt = vec![0; chunk.len()];
        for (index, answer) in answers.into_iter().enumerate() {
            let at = index / arguments.n.max(1);
            let (Some(problem), Some(taken)) = (chunk.get(at), of_prompt.get_mut(at)) else { continue };
            let sample = answer.sample(problem, tokenizer.prompt(&problem.question)?);
            seen += 1;
            if let Some(reason) = row::refuse(&arguments.keep, &sample)? {
                writer.count(&reason);
            } else if *taken >= cap {
                writer.count("over the limit per prompt");
            } else if kept >= wanted {
                writer.count("more than the rows wanted");
            } else {
                *taken += 1;
                kept += 1;
                writer.push(&sample)?;
            }
        }
        draw.first_row += (chunk.len() * arguments.n) as u64;
        done += chunk.len() as u64;
        let share = f64::from(kept as u32) / f64::from(seen.max(1) as u32);
        context.progress(Progress {
            done,
            total: problems.len() as u64,
            unit: "problems",
            metrics: vec![("kept", kept as f64), ("acceptance", share)],
        });
    }
    if kept == 0 || (arguments.rows.is_some() && kept < wanted) {
        let wanted = if arguments.rows.is_some() { wanted } else { 1 };
        return Err(StageError::Data(format!(
            "expected {wanted} rows, found {kept} among {seen} answers to {} problems; raise `n`, lower `rows` or relax `keep`",
            problems.len()
        )));
    }
    writer.finish()?;
    Ok(())
}
