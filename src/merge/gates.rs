//! The router of a mixture that was made of dense models: random, or the directions in which its experts' prompts lie.

use super::{MergeError, checkpoint::Checkpoint, methods::dot, upcycle::Expert};
use crate::{
    base::rng::Stream,
    data::tokenizer::Tokenizer,
    model::{Packed, Transformer},
};

/// What the rows of the routers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Of the standard normal distribution.
    Random,
    /// Evenly spread over `1 / sqrt(width)` to both sides of nought.
    Uniform,
    /// The embeddings of the prompts' tokens, the same for each layer.
    Embedding,
    /// What the base's layers read at the end of the prompts.
    Last,
    /// What the base's layers read, on average over the prompts.
    Average,
}

/// Makes rows of routers.
pub struct Gates<'a> {
    base: &'a Checkpoint,
    mode: Mode,
    seed: u64,
    width: usize,
    tokenizer: Option<Tokenizer>,
    model: Option<Transformer>,
    embedding: Vec<f32>,
}

impl Mode {
    pub fn parse(word: &str) -> Result<Self, String> {
        match word {
            "random" => Ok(Self::Random),
            "uniform_random" => Ok(Self::Uniform),
            "cheap_embed" => Ok(Self::Embedding),
            "hidden" | "hidden_last" => Ok(Self::Last),
            "hidden_avg" => Ok(Self::Average),
            other => Err(format!(
                "expected hidden, hidden_avg, hidden_last, cheap_embed, random or uniform_random, found `{other}`"
            )),
        }
    }

    #[must_use]
    pub fn needs_prompts(self) -> bool {
        !matches!(self, Self::Random | Self::Uniform)
    }
}

impl<'a> Gates<'a> {
    /// Loads what the mode needs: nothing, the embedding, or the base itself.
    pub fn new(base: &'a Checkpoint, mode: Mode, seed: u64) -> Result<Self, MergeError> {
        let width = base
            .size(&["hidden_size"])
            .ok_or_else(|| MergeError::model(&base.folder, "`config.json` has no `hidden_size`"))?;
        let tokenizer = if mode.needs_prompts() { Some(Tokenizer::load(&base.folder)?) } else { None };
        let model = match mode {
            Mode::Last | Mode::Average => Some(Transformer::load(&base.folder)?),
            _ => None,
        };
        let embedding = if mode == Mode::Embedding { base.read("model.embed_tokens.weight")? } else { Vec::new() };
        Ok(Self { base, mode, seed, width, tokenizer, model, embedding })
    }

    /// The rows of one layer, one for each expert; `module` names the random numbers.
    pub fn rows(&self, experts: &[Expert], layer: usize, module: &str) -> Result<Vec<f32>, MergeError> {
        let mut rows = Vec::with_capacity(experts.len() * self.width);
        for (at, expert) in experts.iter().enumerate() {
            let stream = Stream::new(self.seed, &format!("{module}.gate.weight"));
            let place = |column: usize| (at as u64, column as u64);
            match self.mode {
                Mode::Random => rows.extend((0..self.width).map(|it| {
                    let (row, column) = place(it);
                    stream.normal(row, column) as f32
                })),
                Mode::Uniform => rows.extend((0..self.width).map(|it| {
                    let (row, column) = place(it);
                    ((2.0 * stream.uniform(row, column) - 1.0) / (self.width as f64).sqrt()) as f32
                })),
                Mode::Embedding => {
                    // The negatives' direction is taken off the positives', each of length one.
                    let mut row = unit(self.embedded(&expert.positive)?);
                    if !expert.negative.is_empty() {
                        let away = unit(self.embedded(&expert.negative)?);
                        row.iter_mut().zip(away).for_each(|(row, away)| *row -= away);
                    }
                    rows.extend(unit(row));
                }
                Mode::Last | Mode::Average => {
                    let mut row = self.states(&expert.positive, layer)?;
                    if !expert.negative.is_empty() {
                        let away = self.states(&expert.negative, layer)?;
                        row.iter_mut().zip(away).for_each(|(row, away)| *row -= away);
                    }
                    rows.extend(unit(row));
                }
            }
        }
        Ok(rows)
    }

    /// The sum of the embeddings of all tokens.
    fn embedded(&self, prompts: &[String]) -> Result<Vec<f32>, MergeError> {
        let mut sum = vec![0.0; self.width];
        for prompt in prompts {
            for id in self.tokens(prompt)? {
                let start = id as usize * self.width;
                let row = self.embedding.get(start..start + self.width).ok_or_else(|| {
                    MergeError::model(&self.base.folder, format!("the tokenizer's token {id} has no embedding"))
                })?;
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
        Ok(sum)
    }

    /// What the layer reads, on average over the prompts.
    fn states(&self, prompts: &[String], layer: usize) -> Result<Vec<f32>, MergeError> {
        let mut sum = vec![0.0; self.width];
        let Some(model) = &self.model else { return Ok(sum) };
        for prompt in prompts {
            let ids = self.tokens(prompt)?;
            let states = model.states(&Packed::new([ids.as_slice()]), layer)?;
            let rows = states.chunks(self.width);
            let chosen = if self.mode == Mode::Last { rows.skip(ids.len() - 1) } else { rows.skip(0) };
            let count = if self.mode == Mode::Last { 1 } else { ids.len() };
            for row in chosen {
                let share = 1.0 / (count * prompts.len()) as f32;
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
            }
        }
        Ok(sum)
    }

    /// The tokens of a prompt, after the one that begins texts.
    fn tokens(&self, prompt: &str) -> Result<Vec<u32>, MergeError> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(Vec::new()) };
        let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
        ids.extend(tokenizer.encode(prompt)?);
        if ids.is_empty() {
            return Err(MergeError::request("a prompt of an expert is empty"));
        }
        Ok(ids)
    }
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let norm = dot(&values, &values).sqrt().max(1e-8) as f32;
    values.iter_mut().for_each(|value| *value /= norm);
    values
}
