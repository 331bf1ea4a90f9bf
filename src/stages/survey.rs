//! Asks a model every problem of a data set, some at a time, and goes on where it was stopped: the loop that `sample`,
//! `reject` and `eval` share.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    data::{
        dataset,
        rows::{Problem, Sample},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    stages::{
        Context, Progress, StageError,
        asking::Asking,
        checkpoint::Course,
        context::Metrics,
        rollout::{Draw, Origin, Respondent, numbered},
    },
};

/// What the answers are for.
pub trait Purpose {
    /// What the step knows beside its rows.
    type Known: Default + Serialize + DeserializeOwned;

    /// Takes what became of a problem, in the order of the problems.
    fn take(&self, course: &mut Course<Self::Known>, problem: &Problem, asked: Asked) -> Result<(), StageError>;

    /// Whether a problem is not to be asked.
    fn skips(&self, _problem: &Problem) -> bool {
        false
    }

    /// Whether a problem whose prompt leaves no room for an answer is taken as [`Asked::Crowded`]; else it is an error.
    fn takes_crowded(&self) -> bool {
        false
    }

    /// Whether no further problem needs to be asked.
    fn is_done(&self, _known: &Self::Known) -> bool {
        false
    }

    /// The figures of the moment.
    fn metrics(&self, _known: &Self::Known) -> Metrics {
        Metrics::new()
    }
}

/// What became of a problem.
pub enum Asked {
    /// Its answers.
    Answered(Vec<Sample>),
    /// Its prompt leaves no room for an answer.
    Crowded,
    /// It was not to be asked.
    Skipped,
}

/// Has the model of the port `model` answer problems, each so many times. No result depends on how many are asked at
/// once: what was asked beyond the last problem that is needed leaves no trace.
pub fn survey<P: Purpose>(
    context: &Context,
    asking: &Asking,
    copies: usize,
    problems: &[Problem],
    purpose: &P,
) -> Result<Course<P::Known>, StageError> {
    survey_of("model", context, asking, copies, problems, purpose)
}

/// As [`survey`], with the model of another port.
pub fn survey_of<P: Purpose>(
    port: &str,
    context: &Context,
    asking: &Asking,
    copies: usize,
    problems: &[Problem],
    purpose: &P,
) -> Result<Course<P::Known>, StageError> {
    let folder = context.input(port)?;
    let tokenizer = Tokenizer::load(folder)?;
    let model = Transformer::load(folder)?.on(context.device)?;
    let respondent = Respondent::asking(&model, &tokenizer, asking.form(context)?, asking)?;
    let draw = Draw {
        copies,
        temperature: asking.temperature,
        top_p: asking.top_p,
        top_k: asking.top_k,
        max_length: asking.max_length.count() as usize,
        seed: asking.seed,
        first_row: 0,
    };
    let origin = Origin { model: context.input_digest(port), seed: asking.seed };
    let total = problems.len() as u64;
    let mut course: Course<P::Known> = Course::begin(context, total, |_| Ok(()))?;
    for chunk in numbered(problems, course.done).chunks(context.batch.max(1)) {
        if purpose.is_done(&course.known) {
            break;
        }
        let mut asked = Vec::with_capacity(chunk.len());
        for numbered in chunk.iter().filter(|it| !purpose.skips(it.1)) {
            if !purpose.takes_crowded() || respondent.fits(numbered.1, draw.max_length)? {
                asked.push(*numbered);
            }
        }
        let answers = respondent.answer(&context.pool, &asked, draw)?;
        let mut answers = asked.iter().map(|it| it.0).zip(answers.chunks(copies.max(1))).peekable();
        for (number, problem) in chunk {
            if purpose.is_done(&course.known) {
                break;
            }
            let became = match answers.next_if(|(of, _)| of == number) {
                Some((_, answers)) => {
                    let prompt = respondent.prompt(&problem.question)?;
                    let rows = answers.iter().map(|it| it.traced(problem, prompt.clone(), origin));
                    Asked::Answered(rows.collect::<Result<_, _>>()?)
                }
                None if purpose.skips(problem) => Asked::Skipped,
                None => Asked::Crowded,
            };
            purpose.take(&mut course, problem, became)?;
            course.done += 1;
        }
        let metrics = purpose.metrics(&course.known);
        context.progress(Progress { done: course.done, total, unit: "problems", metrics });
        course.pause(context, &mut |_| Ok(()))?;
    }
    Ok(course)
}

/// The problems of the port `data`.
pub fn problems(context: &Context) -> Result<Vec<Problem>, StageError> {
    Ok(dataset::read(context.input("data")?)?)
}
