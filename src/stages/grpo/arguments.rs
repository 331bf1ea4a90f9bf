//! The arguments of `grpo`, and which of them go together.

use serde::Deserialize;
use serde_json::Value;

use super::{
    advantage::Normalize,
    objective::{Estimator, Level, Objective, Surrogate},
    weights::Aggregate,
};
use crate::{
    base::{
        reward::Reward,
        schedule::Schedule,
        units::{Amount, Unit},
    },
    stages::{StageError, trainer::Settings, training::is_open_ended},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    pub reward: Schedule<Reward>,
    pub budget: Amount,
    pub prompts: usize,
    pub group: usize,
    pub lr: Schedule<f64>,
    pub temperature: Schedule<f64>,
    pub max_length: Schedule<Amount>,
    pub kl: f64,
    pub kl_estimator: Estimator,
    pub use_bias_correction_kl: bool,
    pub clip_low: f64,
    pub clip_high: f64,
    /// The largest ratio that counts at all, whatever the advantage; any where absent.
    pub delta: Option<f64>,
    pub surrogate: Surrogate,
    pub sapo_temperature_pos: f64,
    pub sapo_temperature_neg: f64,
    pub importance_sampling_level: Level,
    pub off_policy_mask_threshold: Option<f64>,
    pub normalize: Normalize,
    pub loss: Aggregate,
    pub minibatches: usize,
    pub iterations: usize,
    /// Steps after which the reference moves to the policy of the moment; never where absent.
    pub reference: Option<Amount>,
    /// How far it moves then, one being all the way.
    pub ref_model_mixup_alpha: f64,
    /// How often at most questions are drawn in the place of those whose answers are all worth the same.
    pub dynamic_sampling: u64,
    pub mask_truncated_completions: bool,
    pub entropy_coef: f64,
    pub top_entropy_quantile: f64,
    pub clip: f64,
    pub beta2: f64,
    pub weight_decay: f64,
    pub bias_speed: f64,
    pub seed: u64,
}

impl Arguments {
    /// An argument that does not go with the others, each being in its own range, and what is wrong with it.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        if self.budget.unit != Unit::Steps {
            return Some(("budget", format!("expected a budget in steps, found {}", self.budget.unit.name())));
        }
        let least = 1.0 + self.clip_high;
        if let Some(delta) = self.delta.filter(|delta| *delta <= least) {
            return Some(("delta", format!("expected a `delta` above 1 + `clip_high`, {least}, found {delta}")));
        }
        if self.surrogate != Surrogate::Clip && self.delta.is_some() {
            return Some(("delta", "only the surrogate `clip` has a `delta`; leave it out".to_owned()));
        }
        let positive = [
            ("top_entropy_quantile", self.top_entropy_quantile),
            ("sapo_temperature_pos", self.sapo_temperature_pos),
            ("sapo_temperature_neg", self.sapo_temperature_neg),
        ];
        let (name, value) = positive.into_iter().find(|(_, value)| *value <= 0.0)?;
        Some((name, format!("expected a `{name}` above 0, found {value}")))
    }

    /// Whether a run with a larger budget may go on from this one's end.
    pub fn extends(&self) -> Result<(), String> {
        is_open_ended(&[("lr", &self.lr), ("temperature", &self.temperature)])
    }

    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { beta2: self.beta2, weight_decay: self.weight_decay, clip: self.clip, bias_speed: self.bias_speed }
    }

    #[must_use]
    pub fn objective(&self) -> Objective {
        Objective {
            surrogate: self.surrogate,
            level: self.importance_sampling_level,
            clip_low: self.clip_low,
            clip_high: self.clip_high,
            gate: (self.sapo_temperature_pos, self.sapo_temperature_neg),
            delta: self.delta,
            kl: self.kl,
            estimator: self.kl_estimator,
            corrected: self.use_bias_correction_kl,
            off_policy: self.off_policy_mask_threshold,
        }
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.budget.count()
    }

    /// The temperature of a step; without one there is no choice to learn from.
    pub fn temperature(&self, step: u64) -> Result<f64, StageError> {
        let temperature = self.temperature.at(step, self.total());
        if temperature > 0.0 {
            return Ok(temperature);
        }
        Err(StageError::Arguments(format!("expected a temperature above 0 at every step, found 0 at step {step}")))
    }

    /// The longest answer of a step.
    pub fn max_length(&self, step: u64) -> Result<usize, StageError> {
        let length = self.max_length.constant_at(step).map(|it| it.count() as usize);
        length
            .ok_or_else(|| StageError::Arguments("expected `max_length` to be constant between its phases".to_owned()))
    }

    /// The reward of a step.
    pub fn reward(&self, step: u64) -> Result<&Reward, StageError> {
        let reward = self.reward.constant_at(step);
        reward.ok_or_else(|| StageError::Arguments("expected a reward at every step".to_owned()))
    }

    /// Whether the reference moves before a step.
    #[must_use]
    pub fn refreshes(&self, step: u64) -> bool {
        self.reference.as_ref().is_some_and(|every| step > 0 && step.is_multiple_of(every.count().max(1)))
    }
}

pub fn read(arguments: &Value) -> Result<Arguments, StageError> {
    Arguments::deserialize(arguments).map_err(|error| StageError::Arguments(error.to_string()))
}
