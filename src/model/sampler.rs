//! The sampler: completions of prompts, each a function of the weights, the prompt, the settings and the row's name.
//!
//! The work is shared by the threads of a pool, row by row. What a row becomes depends neither on the number of threads
//! nor on the rows beside it: every sum runs in an order of its own, and random numbers are named by seed, row and token.

use rayon::prelude::*;

use super::decode::{Decoder, Queue, Shard};
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
    /// The most tokens of a completion.
    pub max_new: usize,
    /// Tokens that end a completion.
    pub stop: Vec<u32>,
    /// Names the random numbers, together with a row and the place of a token in its completion.
    pub seed: u64,
}

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
    /// The log-probability of each new token at the temperature, before top-k and top-p: what training computes of it.
    pub log_probs: Vec<f32>,
    /// Whether a stop token was met.
    pub stopped: bool,
}

/// A model laid out for sampling; it keeps the weights as they were when it was made.
#[derive(Clone, Debug)]
pub struct Sampler {
    decoder: Decoder,
}

impl Sampler {
    /// Packs the weights of a model.
    pub fn new(model: &Transformer) -> Result<Self, ModelError> {
        let find = |name: &str| model.weight(name).map(|weight| weight.values);
        Ok(Self { decoder: Decoder::pack(model.config(), &find)? })
    }

    /// Completes prompts, in the order of prompts and copies. A prompt without tokens is completed by nothing.
    #[must_use]
    pub fn generate(&self, pool: &rayon::ThreadPool, prompts: &[Prompt], sampling: &Sampling) -> Vec<Completion> {
        let rows = prompts.iter().map(|prompt| prompt.copies).sum();
        let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0);
        let terms = self.decoder.terms(longest + sampling.max_new, sampling.temperature);
        let queue = Queue::new(prompts);
        let shards = pool.current_num_threads();
        let done: Vec<Vec<_>> = pool.install(|| {
            let shards = (0..shards)
                .into_par_iter()
                .with_max_len(1)
                .map(|_| Shard::new(&self.decoder, sampling, &terms, rows, shards).run(&queue));
            shards.collect()
        });
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_unstable_by_key(|(slot, _)| *slot);
        done.into_iter().map(|(_, completion)| completion).collect()
    }
}
