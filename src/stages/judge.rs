//! `judge`: a model says of each answer whether it meets a rubric, and the row keeps its verdict.
//!
//! With `form = "choice"` the verdict is read off the probabilities of two words. Let p(w) be the probability that the
//! model, asked the rubric, answers with the text w, the product over its tokens. The verdict is
//! p(yes) / (p(yes) + p(no)), from 0 to 1: a function of the row, the model and the rubric alone, with nothing drawn.
//! With `form = "json"` the model writes an object with `analysis` and `correctness`, as the judge of DeepSeek-R1 does
//! (supplement of doi 10.1038/s41586-025-09422-z, Listing 4), at the likeliest tokens; the verdict is 1 or 0.

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    base::{device::Device, units::Amount},
    data::{
        dataset::{self, Summary},
        rows::{Kind, Message, Problem, Sample},
        template::Opening,
        tokenizer::Tokenizer,
    },
    model::{ModelError, Transformer},
    stages::{
        Context, Progress, Stage, StageError,
        asking::Asking,
        checkpoint::Course,
        context::{Metrics, figures},
        part::{Part, Sequence, parts},
        rewrite::filled,
        survey::{Asked, Purpose, survey},
    },
};

pub const STAGE: Stage = Stage { name: "judge", version: 1, run, check: None, extends: None };

/// Under which name a row keeps its verdict, among its rewards.
const NAME: &str = "judge";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    rubric: String,
    form: Form,
    yes: String,
    no: String,
    least: Option<f64>,
    max_length: Amount,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Choice,
    Json,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    rows: usize,
    /// The sum of all verdicts, and how many there were.
    sum: f64,
    judged: usize,
    refused: BTreeMap<String, usize>,
}

impl Known {
    fn metrics(&self) -> Metrics {
        figures([("judged", self.judged as f64), ("verdict", self.sum / self.judged.max(1) as f64)])
    }
}

/// What a judge is asked, and the two words it may say.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub rubric: &'a str,
    pub yes: &'a str,
    pub no: &'a str,
}

/// A model that judges by the probabilities of two words.
pub struct Judge {
    model: Transformer,
    tokenizer: Tokenizer,
}

impl Judge {
    /// Opens the folder of a model, which computes on a device.
    pub fn load(folder: &Path, device: Device) -> Result<Self, StageError> {
        Ok(Self { model: Transformer::load(folder)?.on(device)?, tokenizer: Tokenizer::load(folder)? })
    }

    /// The verdict on a sample; none where it is too long for the model. It depends on nothing else that is judged.
    pub fn verdict(&self, sample: &Sample, question: Question) -> Result<Option<f64>, StageError> {
        let messages = [Message::new("user", filled(question.rubric, sample)?)];
        let prompt = self.tokenizer.encode(&self.tokenizer.render(&messages, Opening::Answer)?)?;
        let words = [question.yes, question.no].map(|word| self.tokenizer.encode(word));
        let [yes, no] = words;
        let (yes, no) = (yes?, no?);
        // Of two words of which one begins the other, the shorter would always be the likelier.
        if yes.starts_with(&no) || no.starts_with(&yes) {
            return Err(StageError::Arguments(format!(
                "expected words for `yes` and `no` of which neither begins the other, found `{}` and `{}`",
                question.yes, question.no
            )));
        }
        if prompt.len() + yes.len().max(no.len()) > self.model.config().max_positions() {
            return Ok(None);
        }
        let (yes, no) = (self.log_probability(&prompt, &yes)?, self.log_probability(&prompt, &no)?);
        Ok(Some(1.0 / (1.0 + (no - yes).exp())))
    }

    /// The logarithm of the probability that the model says a word.
    fn log_probability(&self, prompt: &[u32], word: &[u32]) -> Result<f64, StageError> {
        let sequence = Sequence { ids: [prompt, word].concat(), from: prompt.len() };
        let mut sum = 0.0;
        for Part { packed, rows, targets, .. } in parts(&[sequence]) {
            let scored = self.model.log_probs(&packed, &rows, &targets)?;
            let values = scored.log_probs.to_vec1::<f32>().map_err(ModelError::from)?;
            sum += values.into_iter().map(f64::from).sum::<f64>();
        }
        Ok(sum)
    }
}

/// Keeps a row with its verdict, or counts it.
fn take(
    course: &mut Course<Known>,
    sample: &Sample,
    verdict: Result<f64, &str>,
    least: Option<f64>,
) -> Result<(), StageError> {
    let reason = match verdict {
        Err(reason) => reason.to_owned(),
        Ok(verdict) => {
            course.known.judged += 1;
            course.known.sum += verdict;
            match least {
                Some(least) if verdict < least => format!("judged below {least}"),
                _ => {
                    let mut sample = sample.clone();
                    sample.lineage.rewards.insert(NAME.to_owned(), verdict);
                    course.known.rows += 1;
                    return course.push(&sample);
                }
            }
        }
    };
    *course.known.refused.entry(reason).or_default() += 1;
    Ok(())
}

/// Judges every sample by the probabilities of two words, some at a time.
fn choose(context: &Context, arguments: &Arguments, samples: &[Sample]) -> Result<Course<Known>, StageError> {
    let judge = Judge::load(context.input("model")?, context.device)?;
    let question = Question { rubric: &arguments.rubric, yes: &arguments.yes, no: &arguments.no };
    let total = samples.len() as u64;
    let mut course: Course<Known> = Course::begin(context, total, |_| Ok(()))?;
    for chunk in samples.get(course.done as usize..).unwrap_or_default().chunks(context.batch.max(1)) {
        let verdicts: Vec<Result<Option<f64>, StageError>> =
            context.pool.install(|| chunk.par_iter().map(|sample| judge.verdict(sample, question)).collect());
        for (sample, verdict) in chunk.iter().zip(verdicts) {
            take(&mut course, sample, verdict?.ok_or("too long for the model"), arguments.least)?;
            course.done += 1;
        }
        context.progress(Progress { done: course.done, total, unit: "rows", metrics: course.known.metrics() });
        course.pause(context, &mut |_| Ok(()))?;
    }
    Ok(course)
}

/// Judging in writing.
struct Writing<'a> {
    samples: &'a [Sample],
    least: Option<f64>,
}

impl Purpose for Writing<'_> {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, _: &Problem, asked: Asked) -> Result<(), StageError> {
        let Some(sample) = self.samples.get(course.done as usize) else { return Ok(()) };
        let verdict = match asked {
            Asked::Answered(answers) => {
                let written = answers.first().and_then(|it| written(&it.completion));
                written.map(|right| f64::from(u8::from(right))).ok_or("no verdict")
            }
            Asked::Crowded | Asked::Skipped => Err("too long for the model"),
        };
        take(course, sample, verdict, self.least)
    }

    fn takes_crowded(&self) -> bool {
        true
    }

    fn metrics(&self, known: &Known) -> Metrics {
        known.metrics()
    }
}

/// What `correctness` says in the first JSON object of a text that has such a member.
fn written(text: &str) -> Option<bool> {
    let objects = text.match_indices('{').filter_map(|(at, _)| {
        let object = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<Value>().next()?.ok()?;
        object.get("correctness").cloned()
    });
    match objects.into_iter().next()? {
        Value::Bool(right) => Some(right),
        Value::String(word) => match word.trim().to_lowercase().as_str() {
            "correct" | "yes" | "true" => Some(true),
            "incorrect" | "no" | "false" | "wrong" => Some(false),
            _ => None,
        },
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Has the model write its verdicts, at the likeliest tokens.
fn write(context: &Context, arguments: &Arguments, samples: &[Sample]) -> Result<Course<Known>, StageError> {
    let problem = |sample: &Sample| {
        Ok(Problem {
            question: filled(&arguments.rubric, sample)?,
            answer: sample.answer.clone(),
            ..Problem::default()
        })
    };
    let problems = samples.iter().map(problem).collect::<Result<Vec<_>, StageError>>()?;
    let asking = Asking {
        temperature: 0.0,
        top_p: 1.0,
        top_k: None,
        min_p: 0.0,
        repetition_penalty: 1.0,
        max_length: arguments.max_length,
        stop: None,
        prefix: None,
        instruction: None,
        prompt: None,
        shots: None,
        seed: 0,
    };
    survey(context, &asking, 1, &problems, &Writing { samples, least: arguments.least })
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let samples: Vec<Sample> = dataset::read(context.input("data")?)?;
    let course = match arguments.form {
        Form::Choice => choose(context, &arguments, &samples)?,
        Form::Json => write(context, &arguments, &samples)?,
    };
    let Known { rows, refused, .. } = course.finish(&dataset::rows_file(&context.out))?;
    if rows == 0 {
        let counts: Vec<String> = refused.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        let message =
            format!("expected rows that the judge keeps, found none among {}: {}", samples.len(), counts.join(", "));
        return Err(StageError::Data(message));
    }
    Ok(Summary { kind: Kind::Sample, rows, counts: refused }.write(&context.out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_verdict_is_read_wherever_it_stands() {
        let cases = [
            ("{\"analysis\": \"2 is right\", \"correctness\": \"correct\"}", Some(true)),
            ("Well. ```json\n{\"analysis\": \"{no}\", \"correctness\": \"Incorrect\"}\n```", Some(false)),
            ("{\"analysis\": 1} {\"correctness\": true}", Some(true)),
            ("{\"correctness\": 0}", Some(false)),
            ("{\"correctness\": \"perhaps\"}", None),
            ("{\"correctness\": \"correct\"", None),
            ("correct", None),
        ];
        for (text, expected) in cases {
            assert_eq!(written(text), expected, "{text}");
        }
    }
}
