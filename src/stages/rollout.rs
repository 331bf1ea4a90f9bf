//! Answers of a model to problems: the sampling that `sample`, `reject`, `eval` and `grpo` share.

use rayon::ThreadPool;

use crate::{
    data::{
        rows::{Finish, Problem, Sample},
        tokenizer::Tokenizer,
    },
    model::{Completion, Prompt, Sampler, Sampling, Transformer},
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
        }
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
