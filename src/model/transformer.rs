//! The model: its weights, and what they compute of a packed batch.

use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::balance::Balance;
use super::config::Config;
use super::error::ModelError;
use super::layers::{self, Context, Notes, Tensors};
use super::ops;
use super::packed::Packed;
use super::recompute::{Finish, Layers};
use super::sink::Room;
use super::weights::{LayerPlan, Plan, Weight};
use crate::base::device::Device;
use crate::base::precision::Precision;
use crate::base::rng::Stream;

/// A language model with trainable weights.
pub struct Transformer {
    config: Config,
    device: Device,
    plan: Plan,
    variables: Vec<(String, Var)>,
    /// The routers' biases, one list for each sparse layer: moved by the load of the experts, not by gradients.
    biases: Vec<Vec<f32>>,
    /// Whether the backward pass computes the activations of layers again instead of keeping them.
    recompute: bool,
    /// Where gradients were, to be used again.
    room: Arc<Room>,
}

/// The log-probabilities of chosen tokens, and the entropies of what they were chosen from.
pub struct PolicyProbs {
    /// The log-probability of each row's target, `[rows]`.
    pub log_probs: Tensor,
    /// The entropy of each row in nats, `[rows]`.
    pub entropy: Tensor,
    pub loads: Vec<Vec<u64>>,
}

/// What a forward pass gives.
pub struct Forward {
    /// The logits of the chosen rows, `[rows, vocabulary]`.
    pub logits: Tensor,
    /// How many tokens each expert saw, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
}

/// The log-probabilities of chosen tokens.
pub struct LogProbs {
    /// The log-probability of each row's target, `[rows]`; gradients flow through it.
    pub log_probs: Tensor,
    /// The entropy of each row's distribution, in nats; no gradient flows through it.
    pub entropy: Vec<f32>,
    /// Whether no other token was likelier than each row's target.
    pub hits: Vec<bool>,
    /// How many tokens each expert saw, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
}

/// What the layers computed on the way.
pub struct Trace {
    /// The residual stream, `[rows, width]`: the embedding, then the stream after each layer, the last of them normed (as
    /// transformers gives them).
    pub hidden: Vec<Tensor>,
    /// For each sparse layer the chosen experts and their weights, `[rows, experts per token]`.
    pub routes: Vec<(ops::Choice, Tensor)>,
}

/// One way through the layers.
pub(super) struct Pass {
    tensors: Arc<Tensors>,
    recompute: Option<Layers>,
    /// The loss that balances the experts, where one is asked for.
    pub balance: Option<Balance>,
    pub notes: Notes,
    /// Says which operations the pass is made of, as long as it lives.
    _plainly: ops::Plainly,
}

impl Transformer {
    /// A fresh model: normal weights, norms of one, biases of zero. A tensor's numbers depend on the seed and on
    /// its name only.
    pub fn init(config: Config, seed: u64) -> Result<Self, ModelError> {
        let plan = Plan::new(&config);
        let range = config.initializer_range();
        let fill = |variable: &super::weights::Variable| {
            let mut values = vec![if variable.is_bias() { 0.0 } else { 1.0 }; variable.len()];
            if variable.is_matrix() {
                for tensor in &variable.tensors {
                    let stream = Stream::new(seed, &tensor.name);
                    for (at, value) in values[tensor.range()].iter_mut().enumerate() {
                        *value = (stream.normal(0, at as u64) * range) as f32;
                    }
                }
            }
            values
        };
        let values = plan.variables.iter().map(fill).collect();
        let biases = plan.biases.iter().map(|bias| vec![0.0; bias.range().len()]).collect();
        Self::from_parts(config, plan, values, biases)
    }

    /// A model from the numbers of its variables and router biases, in the order of the plan, on the CPU.
    pub(super) fn from_parts(
        config: Config,
        plan: Plan,
        values: Vec<Vec<f32>>,
        biases: Vec<Vec<f32>>,
    ) -> Result<Self, ModelError> {
        Self::from_parts_on(Device::Cpu, config, plan, values, biases)
    }

    /// As [`Transformer::from_parts`], on some device.
    pub(super) fn from_parts_on(
        device: Device,
        config: Config,
        plan: Plan,
        values: Vec<Vec<f32>>,
        biases: Vec<Vec<f32>>,
    ) -> Result<Self, ModelError> {
        let place = device.open()?;
        let variables = plan.variables.iter().zip(values).map(|(variable, values)| {
            let var = Var::from_vec(values, variable.shape.as_slice(), &place)?;
            Ok((variable.name.clone(), var))
        });
        let variables = variables.collect::<Result<_, candle_core::Error>>()?;
        Ok(Self { config, device, plan, variables, biases, recompute: false, room: Arc::default() })
    }

    /// The same model on a device.
    ///
    /// # Errors
    /// Where the device is not there, or has no room.
    pub fn on(self, device: Device) -> Result<Self, ModelError> {
        if device == self.device {
            return Ok(self);
        }
        let place = device.open()?;
        let variables = self.variables.iter().map(|(name, var)| {
            let moved = var.as_tensor().detach().to_device(&place)?;
            Ok((name.clone(), Var::from_tensor(&moved)?))
        });
        let variables = variables.collect::<Result<_, candle_core::Error>>()?;
        Ok(Self { device, variables, ..self })
    }

    /// Rounds every weight to what some precision holds; the biases of routers stay as they are. All is computed in f32 as
    /// before.
    pub fn round(&mut self, precision: Precision) -> Result<(), ModelError> {
        let round = |values: &[f32]| values.iter().map(|value| precision.round(*value)).collect();
        let values = self.variables.iter().map(|(_, var)| ops::read(var, round));
        let values = values.collect::<Result<_, candle_core::Error>>()?;
        self.replace(values, self.biases.clone())
    }

    /// Where the model computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// A model of its own with the same weights: training one leaves the other as it is.
    pub fn copy(&self) -> Result<Self, ModelError> {
        let values = self.variables.iter().map(|(_, var)| ops::read(var, <[f32]>::to_vec));
        let values = values.collect::<Result<_, candle_core::Error>>()?;
        Self::from_parts_on(self.device, self.config.clone(), self.plan.clone(), values, self.biases.clone())
    }

    /// Puts other numbers in place of the weights and router biases, in the order of the plan.
    pub(super) fn replace(&mut self, values: Vec<Vec<f32>>, biases: Vec<Vec<f32>>) -> Result<(), ModelError> {
        let other = Self::from_parts_on(self.device, self.config.clone(), self.plan.clone(), values, biases)?;
        *self = Self { recompute: self.recompute, ..other };
        Ok(())
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which tensors the model has and where they lie.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every trainable variable, in the order of the plan.
    #[must_use]
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// The routers' biases, one list for each sparse layer.
    #[must_use]
    pub fn router_biases(&self) -> &[Vec<f32>] {
        &self.biases
    }

    /// Whether a training step keeps only what each layer reads and computes its activations again in the backward
    /// pass: less memory, more work, the same bits. Gradients are then taken by [`super::gradients`] only. Plain
    /// compositions keep what Candle keeps of them: on other devices than the CPU it is not followed.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// Copies one tensor by its name on the hub.
    pub fn weight(&self, name: &str) -> Result<Weight, ModelError> {
        let name = self.plan.copies.iter().find(|(copy, _)| copy == name).map_or(name, |(_, of)| of);
        if let Some(at) = self.plan.biases.iter().position(|bias| bias.name == name) {
            return Ok(Weight { shape: self.plan.biases[at].shape.clone(), values: self.biases[at].clone() });
        }
        let (at, tensor) =
            self.plan.find(name).ok_or_else(|| ModelError::Weights(format!("the model has no tensor `{name}`")))?;
        let values = ops::read(&self.variables[at].1, |values| values[tensor.range()].to_vec())?;
        Ok(Weight { shape: tensor.shape.clone(), values })
    }

    /// The logits of chosen rows of the batch; rows count through all sequences.
    pub fn forward(&self, packed: &Packed, rows: &[u32]) -> Result<Forward, ModelError> {
        packed.check(self.config.vocab_size(), rows)?;
        let mut pass = self.pass();
        let hidden = pass.read(self, packed, rows)?;
        let logits = ops::linear(&hidden, self.variable(self.plan.head))?;
        Ok(Forward { logits, loads: pass.notes.loads })
    }

    /// The logits of chosen rows, divided by a temperature above zero, outside of autograd: `[rows, vocabulary]` end to end.
    pub(super) fn logits(&self, packed: &Packed, rows: &[u32], temperature: f32) -> Result<Vec<f32>, ModelError> {
        packed.check(self.config.vocab_size(), rows)?;
        let mut pass = self.pass().detached();
        let mut hidden = pass.read(self, packed, rows)?;
        if temperature > 0.0 && temperature != 1.0 {
            hidden = (hidden / f64::from(temperature))?;
        }
        let logits = ops::linear(&hidden, pass.tensors.variable(self.plan.head))?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// What the layers computed of a batch on the way: for comparing with other programs.
    pub fn trace(&self, packed: &Packed) -> Result<Trace, ModelError> {
        packed.check(self.config.vocab_size(), &[0])?;
        let mut pass = self.pass();
        pass.notes.routes = Some(Vec::new());
        let mut hidden = vec![ops::select_rows(self.variable(self.plan.embedding), &packed.ids)?];
        let context = Arc::new(Context::new(&self.config, &packed.lengths));
        let mut x = hidden[0].clone();
        for layer in &self.plan.layers {
            x = layers::layer(&pass.tensors, layer, &context, &x, &mut pass.notes)?;
            hidden.push(x.clone());
        }
        if let Some(last) = hidden.last_mut() {
            *last = layers::norm(&pass.tensors, self.plan.norm, &context, &x)?;
        }
        Ok(Trace { hidden, routes: pass.notes.routes.unwrap_or_default() })
    }

    /// The residual stream before a layer, or after the last one, without the final norm: [tokens, width] end to end.
    pub fn states(&self, packed: &Packed, layer: usize) -> Result<Vec<f32>, ModelError> {
        packed.check(self.config.vocab_size(), &[0])?;
        let mut pass = self.pass();
        let context = Context::new(&self.config, &packed.lengths);
        let mut x = ops::select_rows(self.variable(self.plan.embedding), &packed.ids)?;
        for plan in self.plan.layers.iter().take(layer) {
            x = layers::layer(&pass.tensors, plan, &context, &x, &mut pass.notes)?;
        }
        Ok(x.flatten_all()?.to_vec1()?)
    }

    /// The log-probability of `targets[i]` at `rows[i]`. The output head is computed on those rows only.
    pub fn log_probs(&self, packed: &Packed, rows: &[u32], targets: &[u32]) -> Result<LogProbs, ModelError> {
        self.log_probs_at(packed, rows, targets, 1.0)
    }

    /// As [`Transformer::log_probs`], of the logits divided by a temperature.
    pub fn log_probs_at(
        &self,
        packed: &Packed,
        rows: &[u32],
        targets: &[u32],
        temperature: f32,
    ) -> Result<LogProbs, ModelError> {
        self.scored(&mut self.pass(), packed, rows, targets, temperature)
    }

    pub(super) fn scored(
        &self,
        pass: &mut Pass,
        packed: &Packed,
        rows: &[u32],
        targets: &[u32],
        temperature: f32,
    ) -> Result<LogProbs, ModelError> {
        self.check_targets(packed, rows, targets)?;
        let mut hidden = pass.read(self, packed, rows)?;
        if temperature != 1.0 {
            // The head is linear, so that dividing what it reads divides the logits.
            hidden = (hidden / f64::from(temperature))?;
        }
        let (log_probs, entropy, hits) = ops::log_prob_and_hits(&hidden, self.variable(self.plan.head), targets)?;
        Ok(LogProbs { log_probs, entropy, hits, loads: std::mem::take(&mut pass.notes.loads) })
    }

    /// How many tokens of a batch each expert sees, for each sparse layer; nothing is kept for a backward pass.
    pub fn loads(&self, packed: &Packed) -> Result<Vec<Vec<u64>>, ModelError> {
        packed.check(self.config.vocab_size(), &[0])?;
        let mut pass = self.pass().detached();
        let context = Context::new(&self.config, &packed.lengths);
        let mut x = ops::select_rows(pass.tensors.variable(self.plan.embedding), &packed.ids)?;
        for plan in &self.plan.layers {
            x = layers::layer(&pass.tensors, plan, &context, &x, &mut pass.notes)?;
        }
        Ok(pass.notes.loads)
    }

    /// As [`Transformer::log_probs_at`], with an entropy of each row through which gradients flow as well.
    pub fn log_probs_and_entropy(
        &self,
        packed: &Packed,
        rows: &[u32],
        targets: &[u32],
        temperature: f32,
    ) -> Result<PolicyProbs, ModelError> {
        self.check_targets(packed, rows, targets)?;
        let mut pass = self.pass();
        let hidden = (pass.read(self, packed, rows)? / f64::from(temperature))?;
        let (log_probs, entropy) = ops::log_prob_and_entropy(&hidden, self.variable(self.plan.head), targets)?;
        Ok(PolicyProbs { log_probs, entropy, loads: std::mem::take(&mut pass.notes.loads) })
    }

    /// Comes nearer to another model of the same plan: each weight by a share of the way to the other's.
    pub fn approach(&mut self, other: &Self, share: f64) -> Result<(), ModelError> {
        let nearer = |mine: &[f32], theirs: &[f32]| {
            let pairs = mine.iter().zip(theirs);
            pairs.map(|(mine, theirs)| (f64::from(*mine) * (1.0 - share) + f64::from(*theirs) * share) as f32).collect()
        };
        let variables = self.variables.iter().zip(&other.variables);
        let values = variables
            .map(|((_, mine), (_, theirs))| ops::read(mine, |mine| ops::read(theirs, |theirs| nearer(mine, theirs)))?);
        let values = values.collect::<Result<Vec<Vec<f32>>, candle_core::Error>>()?;
        let biases = self.biases.iter().zip(&other.biases).map(|(mine, theirs)| nearer(mine, theirs)).collect();
        self.replace(values, biases)
    }

    /// Moves the routers' biases towards an even load: up for experts that saw less than the mean, down for those that
    /// saw more (the auxiliary-loss-free balancing of DeepSeek-V3).
    pub fn update_router_bias(&mut self, loads: &[Vec<u64>], gamma: f32) {
        for (bias, load) in self.biases.iter_mut().zip(loads) {
            let total: u64 = load.iter().sum();
            let experts = load.len() as u64;
            for (bias, count) in bias.iter_mut().zip(load) {
                // Compared as whole numbers, so that the mean is not rounded.
                match (count * experts).cmp(&total) {
                    std::cmp::Ordering::Less => *bias += gamma,
                    std::cmp::Ordering::Greater => *bias -= gamma,
                    std::cmp::Ordering::Equal => {}
                }
            }
        }
    }

    pub(super) fn check_targets(&self, packed: &Packed, rows: &[u32], targets: &[u32]) -> Result<(), ModelError> {
        if targets.len() != rows.len() {
            let text = format!("expected as many targets as rows, {}, found {}", rows.len(), targets.len());
            return Err(ModelError::Batch(text));
        }
        let vocab = self.config.vocab_size();
        if let Some(id) = targets.iter().find(|id| **id as usize >= vocab) {
            return Err(ModelError::Batch(format!("expected targets below the vocabulary's size {vocab}, found {id}")));
        }
        packed.check(vocab, rows)
    }

    pub(super) fn pass(&self) -> Pass {
        let variables = self.variables.iter().map(|(_, var)| var.as_tensor().clone()).collect();
        let tensors = Arc::new(Tensors { variables, biases: self.biases.clone() });
        let plain = self.device.is_plain();
        let recompute = (self.recompute && !plain)
            .then(|| Layers { tensors: Arc::clone(&tensors), detached: Arc::new(tensors.detached()) });
        let plainly = ops::Plainly::begin(plain);
        Pass { tensors, recompute, balance: None, notes: Notes::default(), _plainly: plainly }
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(super) fn variable(&self, at: usize) -> &Tensor {
        self.variables[at].1.as_tensor()
    }
}

impl Pass {
    /// The same with weights through which no gradient flows: nothing is kept for a backward pass.
    fn detached(self) -> Self {
        Self { tensors: Arc::new(self.tensors.detached()), recompute: None, ..self }
    }

    /// What all layers share that read sequences of these lengths.
    pub fn context(&self, model: &Transformer, lengths: &[usize]) -> Arc<Context> {
        Arc::new(Context::new(&model.config, lengths).balanced(self.balance.clone()))
    }

    /// The normed hidden states of the chosen rows.
    pub fn read(&mut self, model: &Transformer, packed: &Packed, rows: &[u32]) -> Result<Tensor, ModelError> {
        let context = self.context(model, &packed.lengths);
        let every_row = rows.len() == packed.ids.len() && rows.iter().enumerate().all(|(at, row)| at == *row as usize);
        let finish = Finish { rows: (!every_row).then(|| rows.to_vec()), norm: model.plan.norm };
        let x = ops::select_rows(self.tensors.variable(model.plan.embedding), &packed.ids)?;
        self.layers(&model.plan.layers, &context, &x, Some(finish))
    }

    /// The residual stream after some layers; or what `finish` makes of it.
    pub fn layers(
        &mut self,
        plans: &[Arc<LayerPlan>],
        context: &Arc<Context>,
        x: &Tensor,
        finish: Option<Finish>,
    ) -> Result<Tensor, ModelError> {
        if let Some(layers) = &self.recompute {
            return Ok(layers.through(plans, context, x, finish, &mut self.notes)?);
        }
        let mut x = x.clone();
        for plan in plans {
            x = layers::layer(&self.tensors, plan, context, &x, &mut self.notes)?;
        }
        Ok(match finish {
            Some(finish) => finish.apply(&self.tensors, context, &x)?,
            None => x,
        })
    }
}
