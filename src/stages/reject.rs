//! `reject`: rejection sampling, many answers to a problem of which those are kept that meet a condition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    base::{predicate::Predicate, units::Amount},
    data::{
        dataset::{self, Summary},
        rows::{Kind, Problem},
    },
    reward::row,
    stages::{
        Context, Stage, StageError,
        asking::{Asking, SHARED},
        checkpoint::Course,
        context::{Metrics, figures},
        survey::{self, Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "reject", version: 3, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    n: usize,
    keep: Predicate,
    rows: Option<Amount>,
    per_prompt: Option<usize>,
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

/// Which answers are kept.
struct Rejection {
    keep: Predicate,
    wanted: usize,
    cap: usize,
}

impl Purpose for Rejection {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, _: &Problem, asked: Asked) -> Result<(), StageError> {
        let Asked::Answered(samples) = asked else { return Ok(()) };
        let mut taken = 0;
        for sample in samples {
            course.known.seen += 1;
            if let Some(reason) = row::refuse(&self.keep, &sample)? {
                course.known.refuse(&reason);
            } else if taken >= self.cap {
                course.known.refuse("over the limit per prompt");
            } else if course.known.kept >= self.wanted {
                course.known.refuse("more than the rows wanted");
            } else {
                taken += 1;
                course.known.kept += 1;
                course.push(&sample)?;
            }
        }
        Ok(())
    }

    fn is_done(&self, known: &Known) -> bool {
        known.kept >= self.wanted
    }

    fn metrics(&self, known: &Known) -> Metrics {
        let Known { kept, seen, .. } = known;
        figures([("kept", *kept as f64), ("acceptance", *kept as f64 / (*seen).max(1) as f64)])
    }
}

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments): (Asking, Arguments) = context.shared_arguments(&SHARED)?;
    let problems = survey::problems(context)?;
    let purpose = Rejection {
        keep: arguments.keep,
        wanted: arguments.rows.map_or(usize::MAX, |rows| rows.count() as usize),
        cap: arguments.per_prompt.unwrap_or(usize::MAX),
    };
    let course = survey(context, &asking, arguments.n, &problems, &purpose)?;
    let Known { kept, seen, refused } = course.finish(&dataset::rows_file(&context.out))?;
    if kept == 0 || (arguments.rows.is_some() && kept < purpose.wanted) {
        let wanted = if arguments.rows.is_some() { purpose.wanted } else { 1 };
        return Err(StageError::Data(format!(
            "expected {wanted} rows, found {kept} among {seen} answers to {} problems; raise `n`, lower `rows` or relax `keep`",
            problems.len()
        )));
    }
    Ok(Summary { kind: Kind::Sample, rows: kept, counts: refused }.write(&context.out)?)
}
