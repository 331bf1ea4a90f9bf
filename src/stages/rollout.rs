//! Answers of a model to problems: the sampling that `sample`, `reject`, `eval` and `grpo` share.

use std::collections::BTreeMap;

use rayon::ThreadPool;

use crate::{
    base::{
        digest::Digest,
        reward::{Reward, Term},
    },
    data::{
        rows::{Finish, Lineage, Problem, Sample},
        template::Opening,
        tokenizer::Tokenizer,
    },
    model::{Completion, Prompt, Sampler, Sampling, Transformer},
    reward::score::Scorer,
    stages::{
        StageError,
        asking::{Asking, Form},
    },
};

/// How answers are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Answers per problem.
    pub copies: usize,
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: Option<usize>,
    /// The longest answer in tokens.
    pub max_length: usize,
    pub seed: u64,
    /// The number of the first answer; it names the random numbers, so no two draws under one seed should share any.
    pub first_row: u64,
}

/// A problem and its number.
pub type Numbered<'a> = (u64, &'a Problem);

/// The problems from one on, each with its number among all of them.
#[must_use]
pub fn numbered(problems: &[Problem], from: u64) -> Vec<Numbered<'_>> {
    (0..).zip(problems).skip(from as usize).collect()
}

/// What all answers of one step have in common.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The content of the model.
    pub model: Option<Digest>,
    pub seed: u64,
}

/// The scoring functions whose values stand beside a sample. The list is fixed, as every row holds them.
const RECORDED: [&str; 2] = ["accuracy", "format"];

/// One answer, as tokens and as text.
pub struct Answer {
    /// What the model read: the prompt, and the prefix that it was made to begin with.
    pub prompt: Vec<u32>,
    /// How many of these tokens are the prefix.
    pub prefix: usize,
    pub completion: Completion,
    /// The whole answer, the prefix included, up to the stop text that ended it.
    pub text: String,
}

impl Answer {
    #[must_use]
    pub fn finish(&self) -> Finish {
        if self.completion.stopped { Finish::Stop } else { Finish::Length }
    }

    /// The answer as a row of a data set.
    #[must_use]
    pub fn sample(&self, problem: &Problem, prompt: String) -> Sample {
        Sample {
            question: problem.question.clone(),
            answer: problem.answer.clone(),
            prompt,
            tokens: self.prefix + self.completion.ids.len(),
            finish: self.finish(),
            completion: self.text.clone(),
            lineage: Lineage { source: problem.source.clone(), level: problem.level.clone(), ..Lineage::default() },
        }
    }

    /// The answer as a row that tells where it comes from.
    pub fn traced(&self, problem: &Problem, prompt: String, origin: Origin) -> Result<Sample, StageError> {
        let mut sample = self.sample(problem, prompt);
        let mut rewards = BTreeMap::new();
        for name in RECORDED {
            let term = Term { weight: 1.0, name: name.to_owned(), arguments: Vec::new() };
            let score = Scorer::new(&Reward { terms: vec![term] })?.score(&sample)?;
            rewards.insert(name.to_owned(), score.total);
        }
        sample.lineage = Lineage {
            source: problem.source.clone(),
            level: problem.level.clone(),
            model: origin.model.map(|it| it.hex()),
            prompt_digest: Some(Digest::of(sample.prompt.as_bytes())),
            seed: Some(origin.seed),
            draw: Some(self.completion.row),
            draft: None,
            rewards,
        };
        Ok(sample)
    }
}

/// A model that answers problems.
pub struct Respondent<'a> {
    pub tokenizer: &'a Tokenizer,
    sampler: Sampler,
    context_length: usize,
    form: Form,
    prefix: Vec<u32>,
    manner: Manner,
}

/// How tokens are chosen beyond what a [`Draw`] says, and which texts end an answer.
struct Manner {
    min_p: f64,
    repetition_penalty: f64,
    stop: Vec<String>,
}

impl<'a> Respondent<'a> {
    /// One that is asked the bare question, as training does.
    pub fn new(model: &Transformer, tokenizer: &'a Tokenizer) -> Result<Self, StageError> {
        let manner = Manner { min_p: 0.0, repetition_penalty: 1.0, stop: Vec::new() };
        Self::with(model, tokenizer, Form::default(), manner)
    }

    /// One that is asked, and answers, as a stage's arguments say.
    pub fn asking(
        model: &Transformer,
        tokenizer: &'a Tokenizer,
        form: Form,
        asking: &Asking,
    ) -> Result<Self, StageError> {
        let stop = asking.stop.clone().unwrap_or_default();
        let manner = Manner { min_p: asking.min_p, repetition_penalty: asking.repetition_penalty, stop };
        let own = Self::with(model, tokenizer, form, manner)?;
        let most = asking.max_length.count() as usize;
        if !own.prefix.is_empty() && own.prefix.len() >= most {
            let message = format!(
                "expected a `prefix` shorter than the {most} tokens of `max_length`, found one of {}",
                own.prefix.len()
            );
            return Err(StageError::Arguments(message));
        }
        Ok(own)
    }

    fn with(model: &Transformer, tokenizer: &'a Tokenizer, form: Form, manner: Manner) -> Result<Self, StageError> {
        let prefix = tokenizer.encode(&form.prefix)?;
        let context_length = model.config().max_positions();
        Ok(Self { tokenizer, sampler: Sampler::new(model)?, context_length, form, prefix, manner })
    }

    /// What the model reads for a question, up to where its answer begins; the prefix is the answer's.
    pub fn prompt(&self, question: &str) -> Result<String, StageError> {
        Ok(self.tokenizer.render(&self.form.messages(question), Opening::Answer)?)
    }

    /// The tokens of the prompt.
    fn prompt_ids(&self, problem: &Problem) -> Result<Vec<u32>, StageError> {
        Ok(self.tokenizer.encode(&self.prompt(&problem.question)?)?)
    }

    /// Whether a problem's prompt leaves room for an answer of so many tokens, the prefix included.
    pub fn fits(&self, problem: &Problem, max_length: usize) -> Result<bool, StageError> {
        Ok(self.prompt_ids(problem)?.len() + max_length <= self.context_length)
    }

    /// Answers every problem `copies` times; the answers to one problem lie side by side. A problem's number says which
    /// random numbers are its own, so that no answer depends on what else is asked.
    pub fn answer(&self, pool: &ThreadPool, problems: &[Numbered], draw: Draw) -> Result<Vec<Answer>, StageError> {
        let mut prompts = Vec::with_capacity(problems.len());
        for (number, problem) in problems {
            let mut ids = self.prompt_ids(problem)?;
            if ids.len() + draw.max_length > self.context_length {
                return Err(StageError::Data(format!(
                    "the prompt has {} tokens and the answer may have {}, more than the model's {}; lower `max_length`: {}",
                    ids.len(),
                    draw.max_length,
                    self.context_length,
                    problem.question
                )));
            }
            ids.extend(&self.prefix);
            prompts.push(Prompt { ids, row: draw.first_row + number * draw.copies as u64, copies: draw.copies });
        }
        let sampling = Sampling {
            temperature: draw.temperature as f32,
            top_k: draw.top_k,
            top_p: draw.top_p as f32,
            min_p: self.manner.min_p as f32,
            repetition_penalty: self.manner.repetition_penalty as f32,
            max_new: draw.max_length.saturating_sub(self.prefix.len()),
            stop: vec![self.tokenizer.eos()],
            seed: draw.seed,
        };
        let completions = self.sampler.generate_until(pool, &prompts, &sampling, &|ids| self.ends(ids))?;
        let copies = draw.copies.max(1);
        let answer = |(index, completion): (usize, Completion)| {
            let prompt = prompts.get(index / copies).map(|it| it.ids.clone()).unwrap_or_default();
            let text = self.tokenizer.completion(&completion.ids)?;
            let text = format!("{}{}", self.form.prefix, self.up_to_the_stop(&text));
            Ok(Answer { prompt, prefix: self.prefix.len(), completion, text })
        };
        completions.into_iter().enumerate().map(answer).collect()
    }

    /// Whether the latest token completes a stop text. Every token is a byte at least, so that few of them tell.
    fn ends(&self, ids: &[u32]) -> bool {
        let Some(longest) = self.manner.stop.iter().map(String::len).max() else { return false };
        let tail = ids.get(ids.len().saturating_sub(longest)..).unwrap_or_default();
        self.tokenizer.decode(tail).is_ok_and(|text| self.manner.stop.iter().any(|stop| text.contains(stop)))
    }

    /// The text up to the end of the stop text that comes first in it.
    fn up_to_the_stop<'t>(&self, text: &'t str) -> &'t str {
        let ends = self.manner.stop.iter().filter_map(|stop| Some(text.find(stop)? + stop.len()));
        ends.min().and_then(|end| text.get(..end)).unwrap_or(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_where_it_comes_from_and_old_rows_still_read() {
        let answer = Answer {
            prompt: vec![1, 2],
            prefix: 0,
            completion: Completion { row: 9, ids: vec![3, 4, 5], log_probs: vec![0.0; 3], stopped: true },
            text: "<think>1 + 1 = 2</think><answer>2</answer>".to_owned(),
        };
        let problem = Problem { question: "What is 1 + 1?".to_owned(), answer: "2".to_owned(), ..Problem::default() };
        let origin = Origin { model: Some(Digest::of(b"model")), seed: 7 };
        let sample = answer.traced(&problem, "User: 1 + 1?".to_owned(), origin).unwrap();
        let text = serde_json::to_string(&sample).unwrap();
        let expected = format!(
            "{{\"question\":\"What is 1 + 1?\",\"answer\":\"2\",\"prompt\":\"User: 1 + 1?\",\
             \"completion\":\"<think>1 + 1 = 2</think><answer>2</answer>\",\"tokens\":3,\"finish\":\"stop\",\
             \"model\":\"{}\",\"prompt_digest\":\"{}\",\"seed\":7,\"draw\":9,\
             \"rewards\":{{\"accuracy\":1.0,\"format\":1.0}}}}",
            Digest::of(b"model"),
            Digest::of(b"User: 1 + 1?"),
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        let bare = answer.sample(&problem, "User: 1 + 1?".to_owned());
        let text = serde_json::to_string(&bare).unwrap();
        assert!(text.ends_with("\"tokens\":3,\"finish\":\"stop\"}"), "{text}");
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), bare);
    }
}
