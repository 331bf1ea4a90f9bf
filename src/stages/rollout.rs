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
        tokenizer::Tokenizer,
    },
    model::{Completion, Prompt, Sampler, Sampling, Transformer},
    reward::score::Scorer,
    stages::StageError,
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
    pub prompt: Vec<u32>,
    pub completion: Completion,
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
            tokens: self.completion.ids.len(),
            finish: self.finish(),
            completion: self.text.clone(),
            lineage: Lineage::default(),
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
            model: origin.model.map(|it| it.hex()),
            prompt_digest: Some(Digest::of(sample.prompt.as_bytes())),
            seed: Some(origin.seed),
            draw: Some(self.completion.row),
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
}

impl<'a> Respondent<'a> {
    pub fn new(model: &Transformer, tokenizer: &'a Tokenizer) -> Result<Self, StageError> {
        Ok(Self { tokenizer, sampler: Sampler::new(model)?, context_length: model.config().max_positions() })
    }

    /// Whether a problem's prompt leaves room for an answer of so many tokens.
    pub fn fits(&self, problem: &Problem, max_length: usize) -> Result<bool, StageError> {
        Ok(self.tokenizer.prompt_ids(&problem.question)?.len() + max_length <= self.context_length)
    }

    /// Answers every problem `copies` times; the answers to one problem lie side by side. A problem's number says which
    /// random numbers are its own, so that no answer depends on what else is asked.
    pub fn answer(&self, pool: &ThreadPool, problems: &[Numbered], draw: Draw) -> Result<Vec<Answer>, StageError> {
        let mut prompts = Vec::with_capacity(problems.len());
        for (number, problem) in problems {
            let ids = self.tokenizer.prompt_ids(&problem.question)?;
            if !self.fits(problem, draw.max_length)? {
                return Err(StageError::Data(format!(
                    "the prompt has {} tokens and the answer may have {}, more than the model's {}; lower `max_length`: {}",
                    ids.len(),
                    draw.max_length,
                    self.context_length,
                    problem.question
                )));
            }
            prompts.push(Prompt { ids, row: draw.first_row + number * draw.copies as u64, copies: draw.copies });
        }
        let sampling = Sampling {
            temperature: draw.temperature as f32,
            top_k: draw.top_k,
            top_p: draw.top_p as f32,
            max_new: draw.max_length,
            stop: vec![self.tokenizer.eos()],
            seed: draw.seed,
        };
        let completions = self.sampler.generate(pool, &prompts, &sampling);
        let copies = draw.copies.max(1);
        let answer = |(index, completion): (usize, Completion)| {
            let prompt = prompts.get(index / copies).map(|it| it.ids.clone()).unwrap_or_default();
            Ok(Answer { prompt, text: self.tokenizer.completion(&completion.ids)?, completion })
        };
        completions.into_iter().enumerate().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_where_it_comes_from_and_old_rows_still_read() {
        let answer = Answer {
            prompt: vec![1, 2],
            completion: Completion { row: 9, ids: vec![3, 4, 5], log_probs: vec![0.0; 3], stopped: true },
            text: "<think>1 + 1 = 2</think><answer>2</answer>".to_owned(),
        };
        let problem = Problem { question: "What is 1 + 1?".to_owned(), answer: "2".to_owned(), solution: None };
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
