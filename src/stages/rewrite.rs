//! `rewrite`: a model puts answers in other words, so that a person can read them, and their final answers stay.
//!
//! A rewriting counts where the model ended it by itself, where the verifier finds the draft's final answer in it, and
//! where it meets the condition. Of several tries the first that counts is taken. Where none does, the row stays as it
//! was or goes, as `lost` says, and is counted by the reason of its first try.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        digest::Digest,
        placeholders::{Piece, fill, pieces},
        predicate::Predicate,
    },
    data::{
        dataset::{self, Dataset, Summary},
        jsonl,
        rows::{Finish, Kind, Lineage, Problem, Sample},
        tokenizer::Tokenizer,
    },
    reward::{
        answer::{Verdict, is_correct, judge},
        extract::candidates,
        row,
    },
    stages::{
        Context, Stage, StageError,
        asking::{Asking, SHARED},
        checkpoint::Course,
        context::{Metrics, figures},
        survey::{Asked, Purpose, survey_of},
    },
};

pub const STAGE: Stage = Stage { name: "rewrite", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    tries: usize,
    lost: Lost,
    #[serde(rename = "where")]
    condition: Option<Predicate>,
}

/// What becomes of a row whose rewriting does not count.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lost {
    Keep,
    Drop,
}

/// What the step knows beside its rows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    rows: usize,
    rewritten: usize,
    /// Rows without a rewriting that counts, by reason.
    lost: BTreeMap<String, usize>,
}

/// A row to put in other words, as its text and as a value.
struct Draft {
    line: String,
    sample: Sample,
}

struct Rewriting<'a> {
    drafts: &'a [Draft],
    arguments: &'a Arguments,
    tokenizer: Tokenizer,
}

impl Purpose for Rewriting<'_> {
    type Known = Known;

    fn take(&self, course: &mut Course<Known>, _: &Problem, asked: Asked) -> Result<(), StageError> {
        let Some(draft) = self.drafts.get(course.done as usize) else { return Ok(()) };
        let found = match asked {
            Asked::Answered(tries) => self.first_that_counts(draft, tries)?,
            Asked::Crowded | Asked::Skipped => Err("too long for the model".to_owned()),
        };
        match found {
            Ok(sample) => {
                course.known.rewritten += 1;
                course.known.rows += 1;
                course.push(&sample)
            }
            Err(reason) => {
                *course.known.lost.entry(reason).or_default() += 1;
                if self.arguments.lost == Lost::Drop {
                    return Ok(());
                }
                course.known.rows += 1;
                course.push(&draft.sample)
            }
        }
    }

    fn takes_crowded(&self) -> bool {
        true
    }

    fn metrics(&self, known: &Known) -> Metrics {
        let lost: usize = known.lost.values().sum();
        figures([("rewritten", known.rewritten as f64), ("lost", lost as f64)])
    }
}

impl Rewriting<'_> {
    /// The first try that counts, or why the first of all does not.
    fn first_that_counts(&self, draft: &Draft, tries: Vec<Sample>) -> Result<Result<Sample, String>, StageError> {
        let mut why = None;
        for try_ in tries {
            let sample = self.row(draft, try_)?;
            match self.fault(&draft.sample, &sample)? {
                None => return Ok(Ok(sample)),
                Some(fault) => _ = why.get_or_insert(fault),
            }
        }
        Ok(Err(why.unwrap_or_else(|| "no rewriting".to_owned())))
    }

    /// A try as an answer to the draft's question: its prompt is the bare question, as the one who wrote it is asked.
    fn row(&self, draft: &Draft, mut sample: Sample) -> Result<Sample, StageError> {
        let old = &draft.sample;
        sample.prompt = self.tokenizer.prompt(&old.question)?;
        sample.question.clone_from(&old.question);
        sample.lineage = Lineage {
            source: old.lineage.source.clone(),
            level: old.lineage.level.clone(),
            prompt_digest: Some(Digest::of(sample.prompt.as_bytes())),
            draft: Some(Digest::of(draft.line.as_bytes())),
            ..sample.lineage
        };
        Ok(sample)
    }

    /// Why a rewriting does not count.
    fn fault(&self, old: &Sample, new: &Sample) -> Result<Option<String>, StageError> {
        if new.finish != Finish::Stop {
            return Ok(Some("rewriting cut off".to_owned()));
        }
        if !keeps_the_answer(old, new) {
            return Ok(Some("rewriting lost the answer".to_owned()));
        }
        let condition = self.arguments.condition.as_ref();
        let refused = condition.map_or(Ok(None), |condition| row::refuse(condition, new))?;
        Ok(refused.map(|reason| format!("rewriting {reason}")))
    }
}

/// Whether the final answer is what it was: the right one where the draft had that, else the draft's own.
fn keeps_the_answer(old: &Sample, new: &Sample) -> bool {
    if is_correct(&old.text(), &old.answer) {
        return is_correct(&new.text(), &old.answer);
    }
    let own = candidates(&old.text()).into_iter().next();
    own.is_some_and(|own| judge(&new.text(), &own.text) == Verdict::Correct)
}

/// A text with the parts of a sample in their places.
pub fn filled(text: &str, sample: &Sample) -> Result<String, StageError> {
    let unknown = pieces(text).into_iter().find_map(|piece| match piece {
        Piece::Place { name, .. } => (!["question", "answer", "completion"].contains(&name.as_str())).then_some(name),
        Piece::Text(_) => None,
    });
    if let Some(name) = unknown {
        let message =
            format!("expected `{{question}}`, `{{answer}}` or `{{completion}}`, found `{{{name}}}`: {text:?}");
        return Err(StageError::Arguments(message));
    }
    Ok(fill(text, &|name| match name {
        "question" => sample.question.clone(),
        "answer" => sample.answer.clone(),
        _ => sample.text().into_owned(),
    }))
}

fn run(context: &Context) -> Result<(), StageError> {
    let (mut asking, arguments): (Asking, Arguments) = context.shared_arguments(&SHARED)?;
    let data = Dataset::open(context.input("data")?)?;
    let path = data.path();
    let mut drafts = Vec::new();
    for line in data.lines()? {
        let line = line?;
        let sample = jsonl::parse(&path, &line, "a row of the kind `sample`")?;
        drafts.push(Draft { line: line.text, sample });
    }
    // The place of the question is filled here, with all other places.
    let prompt = asking.prompt.take().unwrap_or_else(|| "{completion}".to_owned());
    let problem = |draft: &Draft| {
        let question = filled(&prompt, &draft.sample)?;
        Ok(Problem { question, answer: draft.sample.answer.clone(), ..Problem::default() })
    };
    let problems = drafts.iter().map(problem).collect::<Result<Vec<_>, StageError>>()?;
    let tokenizer = Tokenizer::load(context.input("with")?)?;
    let rewriting = Rewriting { drafts: &drafts, arguments: &arguments, tokenizer };
    let course = survey_of("with", context, &asking, arguments.tries, &problems, &rewriting)?;
    let Known { rows, lost, .. } = course.finish(&dataset::rows_file(&context.out))?;
    if rows == 0 {
        let counts: Vec<String> = lost.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        return Err(StageError::Data(format!(
            "expected rewritings that keep the answer, found none among {}: {}; raise `tries`, or keep the drafts with `lost = \"keep\"`",
            drafts.len(),
            counts.join(", ")
        )));
    }
    let counts = if arguments.lost == Lost::Drop { lost } else { BTreeMap::new() };
    Ok(Summary { kind: Kind::Sample, rows, counts }.write(&context.out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(completion: &str, answer: &str) -> Sample {
        serde_json::from_value(serde_json::json!({
            "question": "1+1=?", "answer": answer, "prompt": "1+1=?", "completion": completion, "tokens": 5, "finish": "stop",
        }))
        .unwrap()
    }

    #[test]
    fn the_final_answer_stays_right_or_stays_what_it_was() {
        let draft = |completion: &str| sample(completion, "2");
        let right = draft("<think>1 und 1</think><answer>2</answer>");
        let wrong = draft("<think>1 und 1</think><answer>3</answer>");
        let none = draft("<think>1 und 1");
        let new = |answer: &str| draft(&format!("<think>one and one</think><answer>{answer}</answer>"));
        assert_eq!(["2", "2.0", "3"].map(|it| keeps_the_answer(&right, &new(it))), [true, true, false]);
        assert_eq!(["2", "3", "4"].map(|it| keeps_the_answer(&wrong, &new(it))), [false, true, false]);
        assert!(!keeps_the_answer(&none, &new("2")));
        // What the template of the prompt opened belongs to the answer.
        let mut opened = draft("1 und 1</think><answer>2</answer>");
        opened.prompt = "1+1=?<think>".to_owned();
        assert!(keeps_the_answer(&opened, &new("2")));
    }

    #[test]
    fn places_are_filled_and_others_are_named() {
        let row = sample("<answer>2</answer>", "2");
        assert_eq!(filled("Q {question} A {completion} {{x}}", &row).unwrap(), "Q 1+1=? A <answer>2</answer> {x}");
        let error = filled("{solution}", &row).unwrap_err().to_string();
        assert_eq!(error, "expected `{question}`, `{answer}` or `{completion}`, found `{solution}`: \"{solution}\"");
    }
}
