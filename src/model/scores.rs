//! Models that score a text: the layers of a language model under a head of one number.

use candle_core::Tensor;

use super::config::Config;
use super::error::ModelError;
use super::ops;
use super::packed::Packed;
use super::transformer::Transformer;
use super::weights::Plan;
use crate::base::rng::Stream;

/// The scores of chosen rows.
pub struct Scores {
    /// One number for each row, `[rows]`; gradients flow through it.
    pub scores: Tensor,
    /// How many tokens each expert saw, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
}

impl Transformer {
    /// The language model's layers under a fresh head of one number, normal with the configuration's deviation as in
    /// transformers. What predicts tokens, the output head and the layers that look ahead, is left behind.
    ///
    /// `padding` fills up a batch where the configuration names no token for it: without one, transformers scores one
    /// text at a time.
    pub fn into_scoring(self, seed: u64, padding: Option<u32>) -> Result<Self, ModelError> {
        let mut config = self.config().clone();
        let tokens = config.special_tokens_mut();
        tokens.pad = tokens.pad.or(padding);
        if let Config::DeepseekV3(config) = &mut config {
            config.num_nextn_predict_layers = 0;
        }
        let plan = Plan::scoring(&config);
        let stream = Stream::new(seed, "score.weight");
        let range = config.initializer_range();
        let mut values = Vec::with_capacity(plan.variables.len());
        for (at, variable) in plan.variables.iter().enumerate() {
            values.push(if at == plan.head {
                (0..variable.len() as u64).map(|at| (stream.normal(0, at) * range) as f32).collect()
            } else {
                let own = self.plan().variables.iter().position(|it| it.name == variable.name);
                let own = own.and_then(|at| self.variables().get(at));
                let (_, var) =
                    own.ok_or_else(|| ModelError::Weights(format!("the model has no variable `{}`", variable.name)))?;
                ops::read(var, <[f32]>::to_vec)?
            });
        }
        // The routers of the layers that look ahead come last, and go with them.
        let biases = self.router_biases().iter().take(plan.biases.len()).cloned().collect();
        Self::from_parts_on(self.device(), config, plan, values, biases)
    }

    /// Whether the head gives a score instead of logits.
    #[must_use]
    pub fn is_scoring(&self) -> bool {
        self.plan().scoring
    }

    /// The scores at chosen rows of the batch; rows count through all sequences.
    ///
    /// # Errors
    /// Where the model is one of language, or the batch does not fit it.
    pub fn scores(&self, packed: &Packed, rows: &[u32]) -> Result<Scores, ModelError> {
        if !self.is_scoring() {
            return Err(ModelError::Batch("expected a model that scores, found one of language".to_owned()));
        }
        let found = self.forward(packed, rows)?;
        Ok(Scores { scores: found.logits.squeeze(1)?, loads: found.loads })
    }
}
