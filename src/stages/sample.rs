//! `sample`: answers of a model to problems, as rows to filter and to learn from.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::{
        dataset::{self, Summary},
        rows::{Kind, Problem},
    },
    stages::{
        Context, Stage, StageError,
        asking::{self, Asking},
        checkpoint::Course,
        survey::{self, Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "sample", version: 3, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    n: usize,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    rows: usize,
}

/// Every answer is kept.
struct All;

impl Purpose for All {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, _: &Problem, asked: Asked) -> Result<(), StageError> {
        let Asked::Answered(samples) = asked else { return Ok(()) };
        course.known.rows += samples.len();
        samples.iter().try_for_each(|it| course.push(it))
    }
}

fn check(arguments: &Value, _: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    asking::read::<Arguments>(arguments).map(|_| ())
}

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments): (Asking, Arguments) = asking::read(&context.arguments)?;
    let course = survey(context, &asking, arguments.n, &survey::problems(context)?, &All)?;
    let Known { rows } = course.finish(&dataset::rows_file(&context.out))?;
    Ok(Summary { kind: Kind::Sample, rows, counts: BTreeMap::new() }.write(&context.out)?)
}
