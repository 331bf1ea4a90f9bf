//! `sample`: answers of a model to problems, as rows to filter and to learn from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::{self, Summary},
        rows::{Kind, Problem},
    },
    stages::{
        Context, Stage, StageError,
        asking::{Asking, SHARED},
        checkpoint::Course,
        survey::{self, Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "sample", version: 3, run, check: None, extends: None };

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

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments): (Asking, Arguments) = context.shared_arguments(&SHARED)?;
    let course = survey(context, &asking, arguments.n, &survey::problems(context)?, &All)?;
    let Known { rows } = course.finish(&dataset::rows_file(&context.out))?;
    Ok(Summary { kind: Kind::Sample, rows, counts: BTreeMap::new() }.write(&context.out)?)
}
