//! `problems`: generates sums and differences with their worked solutions.

use serde::Deserialize;

use crate::{
    base::units::Amount,
    data::{
        dataset::Writer,
        problems::{Exercise, Part, generate},
        rows::Kind,
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "problems", version: 2, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    rows: Amount,
    terms_min: usize,
    terms_max: usize,
    digits: u32,
    operators: String,
    split: Part,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let problems = generate(&Exercise {
        rows: arguments.rows.count() as usize,
        terms_min: arguments.terms_min,
        terms_max: arguments.terms_max,
        digits: arguments.digits,
        operators: arguments.operators,
        part: arguments.split,
        seed: arguments.seed,
    })?;
    let mut writer = Writer::create(&context.out, Kind::Problem)?;
    for problem in &problems {
        writer.push(problem)?;
    }
    writer.finish()?;
    Ok(())
}
