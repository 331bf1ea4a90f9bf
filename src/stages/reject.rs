//! `reject`: rejection sampling, many answers to a problem of which those are kept that meet a condition.
//!
//! Every problem stands for `n` answers, and each of them is kept or counted under one reason, so that what goes in is what
//! comes out and what was dropped: in `dataset.json` in total, and in `prompts.jsonl` problem by problem.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    base::{disk, predicate::Predicate, units::Amount},
    data::{
        DataError,
        dataset::{self, Dataset, Summary},
        overlap::{Overlap, normalized},
        rows::{Kind, Problem, Sample},
    },
    reward::{answer::is_correct, row},
    stages::{
        Context, Stage, StageError,
        asking::{self, Asking},
        checkpoint::Course,
        context::{Metrics, figures},
        decontaminate::overlap,
        survey::{self, Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "reject", version: 3, run, check: Some(check), extends: None };

/// What became of each problem's answers, one line a problem.
const PROMPTS: &str = "prompts.jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    n: usize,
    keep: Predicate,
    rows: Option<Amount>,
    per_prompt: Option<usize>,
    min_pass: f64,
    max_pass: f64,
    dedupe: Sameness,
    avoid_words: usize,
}

/// Which answers to one problem are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sameness {
    None,
    Exact,
    Normalized,
}

/// What became of the answers that a problem stands for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tally {
    /// How many were right; None where the problem was not asked.
    right: Option<usize>,
    kept: usize,
    dropped: BTreeMap<String, usize>,
}

impl Tally {
    fn drop(&mut self, reason: &str, answers: usize) {
        *self.dropped.entry(reason.to_owned()).or_default() += answers;
    }
}

/// A line of `prompts.jsonl`.
#[derive(Serialize)]
struct PromptRow<'a> {
    question: &'a str,
    answers: usize,
    #[serde(flatten)]
    tally: &'a Tally,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    kept: usize,
    /// Of every problem so far.
    tallies: Vec<Tally>,
}

/// Which answers are kept.
struct Rejection {
    arguments: Arguments,
    /// Rows wanted, and rows wanted of each problem.
    wanted: usize,
    cap: usize,
    avoid: Overlap,
}

impl Rejection {
    /// Why none of a problem's answers is kept, where they are right too seldom or too often.
    fn outside(&self, right: usize, all: usize) -> Option<String> {
        let Arguments { min_pass, max_pass, .. } = self.arguments;
        let rate = right as f64 / all.max(1) as f64;
        if rate < min_pass {
            Some(format!("pass rate below {min_pass}"))
        } else if rate > max_pass {
            Some(format!("pass rate above {max_pass}"))
        } else {
            None
        }
    }

    /// Why an answer is not kept, given the answers to its problem that are.
    fn refuse(&self, sample: &Sample, kept: &BTreeSet<String>, rows: usize) -> Result<Option<String>, StageError> {
        if let Some(reason) = row::refuse(&self.arguments.keep, sample)? {
            return Ok(Some(reason));
        }
        let reason = if self.face(sample).is_some_and(|it| kept.contains(&it)) {
            "duplicate"
        } else if kept.len() >= self.cap {
            "over the limit per prompt"
        } else if rows >= self.wanted {
            "more than the rows wanted"
        } else {
            return Ok(None);
        };
        Ok(Some(reason.to_owned()))
    }

    /// What two answers have in common where one of them is too many.
    fn face(&self, sample: &Sample) -> Option<String> {
        match self.arguments.dedupe {
            Sameness::None => None,
            Sameness::Exact => Some(sample.completion.clone()),
            Sameness::Normalized => Some(normalized(&sample.completion)),
        }
    }
}

impl Purpose for Rejection {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, _: &Problem, asked: Asked) -> Result<(), StageError> {
        let all = self.arguments.n;
        let mut tally = Tally::default();
        match asked {
            Asked::Answered(samples) => {
                let right = samples.iter().filter(|it| is_correct(&it.completion, &it.answer)).count();
                tally.right = Some(right);
                if let Some(reason) = self.outside(right, all) {
                    tally.drop(&reason, all);
                } else {
                    let mut kept = BTreeSet::new();
                    for (place, sample) in samples.iter().enumerate() {
                        if let Some(reason) = self.refuse(sample, &kept, course.known.kept)? {
                            tally.drop(&reason, 1);
                            continue;
                        }
                        // Where all answers differ, each stands for itself.
                        kept.insert(self.face(sample).unwrap_or_else(|| place.to_string()));
                        course.known.kept += 1;
                        course.push(sample)?;
                    }
                    tally.kept = kept.len();
                }
            }
            Asked::Skipped | Asked::Crowded => tally.drop("contaminated", all),
        }
        course.known.tallies.push(tally);
        Ok(())
    }

    fn skips(&self, problem: &Problem) -> bool {
        self.avoid.meets(&problem.question)
    }

    fn is_done(&self, known: &Known) -> bool {
        known.kept >= self.wanted
    }

    fn metrics(&self, known: &Known) -> Metrics {
        let asked = known.tallies.iter().filter(|it| it.right.is_some()).count() * self.arguments.n;
        figures([("kept", known.kept as f64), ("acceptance", known.kept as f64 / asked.max(1) as f64)])
    }
}

fn check(arguments: &Value, _: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    read(arguments).map(|_| ())
}

fn read(arguments: &Value) -> Result<(Asking, Arguments), StageError> {
    let (asking, arguments): (Asking, Arguments) = asking::read(arguments)?;
    row::check(&arguments.keep)?;
    if arguments.min_pass > arguments.max_pass {
        let Arguments { min_pass, max_pass, .. } = arguments;
        return Err(StageError::Arguments(format!(
            "expected `min_pass` up to `max_pass`, found {min_pass} and {max_pass}"
        )));
    }
    Ok((asking, arguments))
}

fn run(context: &Context) -> Result<(), StageError> {
    let (asking, arguments) = read(&context.arguments)?;
    let problems = survey::problems(context)?;
    let (wanted, exact) = (arguments.rows.map(|rows| rows.count() as usize), arguments.rows.is_some());
    let avoid = match context.optional_input("avoid") {
        Some(folder) => overlap(&Dataset::open(folder)?, arguments.avoid_words)?,
        None => Overlap::new(arguments.avoid_words),
    };
    let purpose = Rejection {
        wanted: wanted.unwrap_or(usize::MAX),
        cap: arguments.per_prompt.unwrap_or(usize::MAX),
        avoid,
        arguments,
    };
    let n = purpose.arguments.n;
    let course = survey(context, &asking, n, &problems, &purpose)?;
    let Known { kept, mut tallies } = course.finish(&dataset::rows_file(&context.out))?;
    while tallies.len() < problems.len() {
        let mut tally = Tally::default();
        tally.drop("not asked, as there were rows enough", n);
        tallies.push(tally);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (reason, answers) in tallies.iter().flat_map(|it| &it.dropped) {
        *counts.entry(reason.clone()).or_default() += answers;
    }
    if kept == 0 || (exact && kept < purpose.wanted) {
        let reasons: Vec<String> = counts.iter().map(|(reason, answers)| format!("{answers} {reason}")).collect();
        return Err(StageError::Data(format!(
            "expected {} rows, found {kept} among {} answers to {} problems; raise `n`, lower `rows` or relax `keep`: {}",
            wanted.unwrap_or(1),
            n * problems.len(),
            problems.len(),
            reasons.join(", ")
        )));
    }
    write_prompts(context, &problems, n, &tallies)?;
    Ok(Summary { kind: Kind::Sample, rows: kept, counts }.write(&context.out)?)
}

fn write_prompts(context: &Context, problems: &[Problem], answers: usize, tallies: &[Tally]) -> Result<(), StageError> {
    let path = context.out.join(PROMPTS);
    let mut file = disk::Writer::buffered(&path, disk::BUFFER).map_err(DataError::file(&path))?;
    for (problem, tally) in problems.iter().zip(tallies) {
        let row = PromptRow { question: &problem.question, answers, tally };
        let line = serde_json::to_string(&row).map_err(|error| StageError::Data(error.to_string()))?;
        writeln!(file, "{line}").map_err(DataError::file(&path))?;
    }
    Ok(file.flush().map_err(DataError::file(&path))?)
}
