//! One optimiser step, shared by every stage that trains: gradients over parts, clipping, AdamW, router balancing.

use rayon::ThreadPool;

use crate::{
    model::{AdamW, AdamWSettings, ModelError, Moments, PartLoss, Transformer, gradients},
    stages::{
        StageError,
        context::{Metrics, figures},
    },
};

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub beta2: f64,
    pub weight_decay: f64,
    /// The largest gradient norm that passes unscaled; nought switches clipping off.
    pub clip: f64,
    /// How far a router's correction bias moves after a step (gamma in DeepSeek-V3, section 2.1.2).
    pub bias_speed: f64,
}

impl Settings {
    fn adamw(&self) -> AdamWSettings {
        AdamWSettings { beta2: self.beta2, weight_decay: self.weight_decay, ..Default::default() }
    }
}

/// A model in training, with its optimiser.
pub struct Trainer {
    pub model: Transformer,
    optimizer: AdamW,
    settings: Settings,
}

/// What one step did.
pub struct Update {
    pub loss: f64,
    pub gradient_norm: f64,
    /// The busiest expert's load over the mean load, the worst of all layers; one is perfect balance.
    pub imbalance: f64,
    /// The load and the bias of every layer's router.
    pub router: Metrics,
}

impl Trainer {
    pub fn new(model: Transformer, settings: Settings) -> Result<Self, StageError> {
        let optimizer = AdamW::new(&model, settings.adamw());
        Ok(Self { model, optimizer, settings })
    }

    /// Says how far a router's correction bias moves from the next step on.
    pub fn set_bias_speed(&mut self, speed: f64) {
        self.settings.bias_speed = speed;
    }

    /// The state of the optimizer.
    #[must_use]
    pub fn moments(&self) -> &Moments {
        self.optimizer.moments()
    }

    /// Puts the optimizer back into a state.
    pub fn resume(&mut self, moments: Moments) -> Result<(), StageError> {
        self.optimizer = AdamW::resume(&self.model, self.settings.adamw(), moments)?;
        Ok(())
    }

    /// Takes one step. The losses of the parts are summed as they are, so each part weighs its own share.
    pub fn step<P: Sync>(
        &mut self,
        pool: &ThreadPool,
        lr: f64,
        parts: &[P],
        loss: impl Fn(&Transformer, &P) -> Result<PartLoss, ModelError> + Sync,
    ) -> Result<Update, StageError> {
        let model = &self.model;
        let mut gradients = gradients(model, pool, parts, |part| loss(model, part))?;
        let gradient_norm =
            if self.settings.clip > 0.0 { gradients.clip(self.settings.clip) } else { gradients.norm() };
        let loss = gradients.losses.iter().map(|it| f64::from(*it)).sum::<f64>();
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(StageError::Data(format!(
                "training diverged: the loss is {loss} and the gradient norm {gradient_norm}; lower `lr` or `clip`"
            )));
        }
        self.optimizer.step(&self.model, &gradients, lr, pool)?;
        self.model.update_router_bias(&gradients.loads, self.settings.bias_speed as f32);
        let (router, imbalance) = (self.router(&gradients.loads), imbalance(&gradients.loads));
        gradients.give_back(&self.model);
        Ok(Update { loss, gradient_norm, imbalance, router })
    }

    /// How a step's tokens were spread over the experts of each layer, and how far the biases have moved by now:
    /// `router/layer_3/load_max` is the busiest expert's load over the mean, `load_cv` the deviation over the mean, and
    /// `bias_max` the largest bias, up or down.
    fn router(&self, loads: &[Vec<u64>]) -> Metrics {
        let mut metrics = Metrics::new();
        for (at, (layer, loads)) in self.model.plan().sparse_layers().into_iter().zip(loads).enumerate() {
            let count = loads.len().max(1) as f64;
            let mean = (loads.iter().sum::<u64>() as f64 / count).max(f64::MIN_POSITIVE);
            let variance = loads.iter().map(|load| (*load as f64 - mean).powi(2)).sum::<f64>() / count;
            let name = |figure: &str| format!("router/layer_{layer}/{figure}").into();
            metrics.push((name("load_max"), loads.iter().max().map_or(0.0, |most| *most as f64 / mean)));
            metrics.push((name("load_cv"), variance.sqrt() / mean));
            if let Some(bias) = self.model.router_biases().get(at) {
                let largest = bias.iter().map(|it| f64::from(it.abs())).fold(0.0, f64::max);
                metrics.push((name("bias_max"), largest));
            }
        }
        metrics
    }
}

impl Update {
    /// The figures that every training tells of a step.
    #[must_use]
    pub fn metrics(&self, lr: f64) -> Metrics {
        let mut metrics = figures([
            ("loss", self.loss),
            ("learning_rate", lr),
            ("grad_norm", self.gradient_norm),
            ("expert_imbalance", self.imbalance),
        ]);
        metrics.extend(self.router.iter().cloned());
        metrics
    }
}

fn imbalance(loads: &[Vec<u64>]) -> f64 {
    let ratio = |layer: &Vec<u64>| {
        let mean = layer.iter().sum::<u64>() as f64 / layer.len().max(1) as f64;
        layer.iter().max().map_or(1.0, |most| *most as f64 / mean.max(1.0))
    };
    loads.iter().map(ratio).fold(1.0, f64::max)
}
