//! `documents`: writes problems out as text to pretrain on, some with their working and the others bare.

use serde::Deserialize;

use crate::{
    base::rng::Stream,
    data::{
        bpe,
        dataset::{Dataset, Writer},
        rows::{Kind, Problem, Text},
        template::{self, Template},
        tokenizer::Tokenizer,
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "documents", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The share of the problems whose working is written out.
    worked: f64,
    /// The share of the bare answers that are a little off, as hasty answers are; those worked out never are.
    slips: f64,
    /// The languages that the steps of a working are put in; none leaves them as they are.
    languages: Vec<String>,
    /// The share of the worked documents that change their language from step to step.
    mixing: f64,
    seed: u64,
}

/// The words that lead a document's first step and its later ones, for each language.
const WORDS: [(&str, &str, &str); 3] = [("en", "first", "then"), ("ru", "сначала", "затем"), ("zh", "先", "再")];

/// Writes a question and a completion as one document.
type Render = Box<dyn Fn(&str, &str) -> Result<String, StageError>>;

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let shares = [("worked", arguments.worked), ("slips", arguments.slips), ("mixing", arguments.mixing)];
    for (name, share) in shares {
        if !(0.0..=1.0).contains(&share) {
            return Err(StageError::Arguments(format!("expected `{name}` from 0 to 1, found {share}")));
        }
    }
    let speakers = speakers(&arguments.languages)?;
    let render = renderer(context)?;
    let stream = Stream::new(arguments.seed, "documents");
    let mut writer = Writer::create(&context.out, Kind::Text)?;
    for (row, problem) in (0..).zip(Dataset::open(context.input("data")?)?.rows::<Problem>()?) {
        context.check_cancelled()?;
        let problem = problem?;
        let worked = stream.uniform(row, 0) < arguments.worked;
        let completion = match problem.worked() {
            Some(working) if worked && speakers.is_empty() => working,
            Some(_) if worked => spoken(&problem, &speakers, arguments.mixing, &stream, row),
            other => {
                if other.is_none() && worked {
                    writer.count("bare for want of a solution");
                }
                let slips = stream.uniform(row, 1) < arguments.slips;
                if slips { slip(&problem, stream.below(6, row, 2)).bare() } else { problem.bare() }
            }
        };
        writer.push(&Text { text: render(&problem.question, &completion)? })?;
    }
    writer.finish()?;
    Ok(())
}

/// The words of the languages that are asked for.
fn speakers(languages: &[String]) -> Result<Vec<(&'static str, &'static str)>, StageError> {
    let speaker = |code: &String| {
        let found = WORDS.iter().find(|(known, ..)| known == code);
        found.map(|(_, first, later)| (*first, *later)).ok_or_else(|| {
            let known = WORDS.map(|(known, ..)| format!("`{known}`")).join(", ");
            StageError::Arguments(format!("expected `languages` out of {known}, found `{code}`"))
        })
    };
    languages.iter().map(speaker).collect()
}

/// The problem worked out, with a word before each step: those of one language, or, in a share of the documents, each of
/// any.
fn spoken(problem: &Problem, speakers: &[(&str, &str)], mixing: f64, stream: &Stream, row: u64) -> String {
    let choose = |place| speakers.get(stream.below(speakers.len() as u64, row, place) as usize).copied();
    let mixed = stream.uniform(row, 3) < mixing;
    let solution = problem.solution.as_deref().unwrap_or_default();
    let steps = solution.split_whitespace().zip(0..).map(|(step, at): (&str, u64)| {
        let (first, later) = choose(if mixed { 5 + at } else { 4 }).unwrap_or_default();
        format!("{} {step}", if at == 0 { first } else { later })
    });
    let solution = steps.collect::<Vec<_>>().join(" ");
    Problem { solution: Some(solution), ..problem.clone() }.worked().unwrap_or_default()
}

/// The problem with its answer one, two or three too small or too great; an answer that is no whole number stays.
fn slip(problem: &Problem, choice: u64) -> Problem {
    let error = [-3, -2, -1, 1, 2, 3].get(choice as usize).copied().unwrap_or(1);
    let off = problem.answer.parse::<i64>().ok().and_then(|answer| answer.checked_add(error));
    let answer = off.map_or_else(|| problem.answer.clone(), |answer| answer.to_string());
    Problem { answer, ..problem.clone() }
}

/// By the template of the tokenizer that was given; without one, as the tokenizers trained here will read it.
fn renderer(context: &Context) -> Result<Render, StageError> {
    if let Some(folder) = context.optional_input("tokenizer") {
        let tokenizer = Tokenizer::load(folder)?;
        return Ok(Box::new(move |question, completion| Ok(tokenizer.answered(question, completion)?)));
    }
    let template = Template::new(template::DEFAULT)?;
    Ok(Box::new(move |question, completion| {
        let prompt = template::prompt(&template, question, bpe::BOS, bpe::EOS)?;
        Ok(format!("{prompt}{completion}{}", bpe::EOS))
    }))
}
