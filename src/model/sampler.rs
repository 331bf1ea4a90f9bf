//! The sampler: completions of prompts, each a function of the weights, the prompt, the settings and the row's name.
//!
//! The work is shared by the threads of a pool, row by row. What a row becomes depends neither on the number of threads
//! nor on the rows beside it: every sum runs in an order of its own, and random numbers are named by seed, row and token.

use rayon::prelude::*;

use super::decode::{Decoder, Queue, Shard, plain};
use super::error::ModelError;
use super::transformer::Transformer;

/// How tokens are chosen, and when a completion ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Choose among so many likeliest tokens.
    pub top_k: Option<usize>,
    /// Choose among the likeliest tokens that together hold this share of probability; 1 keeps all.
    pub top_p: f32,
    /// Choose among the tokens that are at least this share as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Makes tokens that the prompt or the completion holds already less likely (Keskar et al. 2019, CTRL, section 4.1):
    /// a positive logit of theirs is divided by it, a negative one multiplied; 1 leaves them.
    pub repetition_penalty: f32,
    /// The most tokens of a completion.
    pub max_new: usize,
    /// Tokens that end a completion.
    pub stop: Vec<u32>,
    /// Names the random numbers, together with a row and the place of a token in its completion.
    pub seed: u64,
}

impl Default for Sampling {
    /// Plain sampling, of no token at all until `max_new` is given.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new: 0,
            stop: Vec::new(),
            seed: 0,
        }
    }
}

/// Tells of the tokens of a completion so far, the latest included, whether they end it.
pub type Ended<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// A prompt to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens, all below the vocabulary's size.
    pub ids: Vec<u32>,
    /// Names the random numbers of the first copy; copy `c` has the name `row + c`.
    pub row: u64,
    /// How many completions to make.
    pub copies: usize,
}

/// What a prompt was completed with.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The name of the row's random numbers.
    pub row: u64,
    /// The new tokens, a stop token included where one was met.
    pub ids: Vec<u32>,
    /// The log-probability of each new token at the temperature, before the choice is narrowed and repetition penalised:
    /// what training computes of it.
    pub log_probs: Vec<f32>,
    /// Whether a stop token was met, or the completion ended otherwise than by its length.
    pub stopped: bool,
}

/// A model laid out for sampling; it keeps the weights as they were when it was made.
pub struct Sampler {
    reader: Reader,
}

/// What reads tokens.
enum Reader {
    Packed(Box<Decoder>),
    /// On other devices than the CPU.
    Plain(Box<Transformer>),
}

impl Sampler {
    /// Packs the weights of a model; on another device than the CPU, copies the model.
    pub fn new(model: &Transformer) -> Result<Self, ModelError> {
        if model.device().is_plain() {
            return Ok(Self { reader: Reader::Plain(Box::new(model.copy()?)) });
        }
        let find = |name: &str| model.weight(name).map(|weight| weight.values);
        Ok(Self { reader: Reader::Packed(Box::new(Decoder::pack(model.config(), &find)?)) })
    }

    /// Completes prompts, in the order of prompts and copies. A prompt without tokens is completed by nothing.
    ///
    /// # Errors
    /// Where the device fails, which the CPU does not.
    pub fn generate(
        &self,
        pool: &rayon::ThreadPool,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Completion>, ModelError> {
        self.generate_until(pool, prompts, sampling, &|_| false)
    }

    /// The same, where a completion also ends when `ended` says so of its tokens.
    ///
    /// # Errors
    /// As [`Sampler::generate`].
    pub fn generate_until(
        &self,
        pool: &rayon::ThreadPool,
        prompts: &[Prompt],
        sampling: &Sampling,
        ended: Ended,
    ) -> Result<Vec<Completion>, ModelError> {
        let decoder = match &self.reader {
            Reader::Plain(model) => return plain::generate(model, pool, prompts, sampling, ended),
            Reader::Packed(decoder) => &**decoder,
        };
        let rows = prompts.iter().map(|prompt| prompt.copies).sum();
        let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0);
        let terms = decoder.terms(longest + sampling.max_new, sampling.temperature);
        let queue = Queue::new(prompts);
        let shards = pool.current_num_threads();
        let done: Vec<Vec<_>> = pool.install(|| {
            let shards = (0..shards)
                .into_par_iter()
                .with_max_len(1)
                .map(|_| Shard::new(decoder, sampling, ended, &terms, rows, shards).run(&queue));
            shards.collect()
        });
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_unstable_by_key(|(slot, _)| *slot);
        Ok(done.into_iter().map(|(_, completion)| completion).collect())
    }
}
