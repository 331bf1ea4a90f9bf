//! Maximum likelihood: one step on the mean negative log-probability of the tokens that are learnt.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, prelude::*};

use crate::{
    model::{Balance, ModelError, PartLoss, Router, Scoring, Transformer},
    stages::{
        StageError,
        context::{Metrics, figures},
        part::{Learn, Part, parts},
        trainer::{Trainer, Update},
    },
};

/// What the loss holds beside the log-probabilities of next tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Likelihood {
    /// The weight of the layers that predict tokens farther ahead (DeepSeek-V3, equation 25).
    pub ahead: f64,
    /// The weight of the loss that balances the experts: within each sequence for DeepSeek-V3 (equations 17 to 20), over
    /// the batch for Qwen3-MoE (its `router_aux_loss_coef`).
    pub balance: f64,
}

/// What one step learnt.
pub struct Learnt {
    pub update: Update,
    /// The tokens that were learnt, and how many of them were the likeliest.
    targets: f64,
    hits: f64,
    /// Summed over those tokens, in nats.
    entropy: f64,
    /// The loss that balances the experts, without its weight; None where it has no part.
    balance: Option<f64>,
}

/// Sums over the learnt tokens of one part.
#[derive(Clone, Copy, Default)]
struct Sums {
    hits: usize,
    entropy: f64,
    balance: f64,
}

impl Likelihood {
    /// Takes one optimiser step on a batch; every learnt token of the batch weighs the same, whichever part it falls in.
    pub fn step<T: Learn>(
        self,
        trainer: &mut Trainer,
        pool: &ThreadPool,
        lr: f64,
        batch: &[T],
    ) -> Result<Learnt, StageError> {
        self.step_of(trainer, pool, lr, batch.len(), parts(batch))
    }

    /// As [`Likelihood::step`], of a batch of so many sequences that lies in parts.
    fn step_of(
        self,
        trainer: &mut Trainer,
        pool: &ThreadPool,
        lr: f64,
        sequences: usize,
        parts: Vec<Part>,
    ) -> Result<Learnt, StageError> {
        let targets: usize = parts.iter().map(|it| it.targets.len()).sum();
        let balance = self.balance(&trainer.model, pool, sequences, &parts)?;
        let sums = Mutex::new(vec![Sums::default(); parts.len()]);
        let numbered: Vec<(usize, Part)> = parts.into_iter().enumerate().collect();
        let update = trainer.step(pool, lr, &numbered, |model, (index, part)| {
            let (loss, of_part) = self.part_loss(model, part, targets, balance.clone())?;
            if let Some(place) = sums.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*index) {
                *place = of_part;
            }
            Ok(loss)
        })?;
        // Summed in the order of the parts, not in the order in which threads came to an end.
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Learnt {
            update,
            targets: targets as f64,
            hits: sums.iter().map(|it| it.hits).sum::<usize>() as f64,
            entropy: sums.iter().map(|it| it.entropy).sum(),
            balance: balance.map(|_| sums.iter().map(|it| it.balance).sum::<f64>() / self.balance),
        })
    }

    /// The share of a part in the loss of a batch that has so many targets.
    fn part_loss(
        self,
        model: &Transformer,
        part: &Part,
        targets: usize,
        balance: Option<Balance>,
    ) -> Result<(PartLoss, Sums), ModelError> {
        let (packed, rows, ahead) = (&part.packed, &part.rows, self.ahead > 0.0);
        let scored = model.log_probs_to_learn(packed, rows, &part.targets, ahead, balance)?;
        let sums = Sums {
            hits: scored.next.hits.iter().filter(|it| **it).count(),
            entropy: scored.next.entropy.iter().map(|it| f64::from(*it)).sum(),
            balance: scored.balance,
        };
        Ok((PartLoss { loss: scored.loss(targets, self.ahead)?, loads: scored.next.loads }, sums))
    }

    /// The balance loss of a batch, where the model has experts and the loss a weight.
    fn balance(
        self,
        model: &Transformer,
        pool: &ThreadPool,
        sequences: usize,
        parts: &[Part],
    ) -> Result<Option<Balance>, ModelError> {
        let Some(router) = Router::new(model.config()).filter(|_| self.balance > 0.0) else { return Ok(None) };
        if router.scoring == Scoring::Sigmoid {
            return Ok(Some(Balance::Sequence { weight: self.balance / sequences.max(1) as f64 }));
        }
        // How often each expert is chosen in the whole batch has to be known before the first gradient.
        let of_parts: Result<Vec<_>, ModelError> =
            pool.install(|| parts.par_iter().map(|part| model.loads(&part.packed)).collect());
        let mut loads: Vec<Vec<u64>> = Vec::new();
        for part in of_parts? {
            if loads.is_empty() {
                loads = part;
            } else {
                loads.iter_mut().flatten().zip(part.iter().flatten()).for_each(|(sum, load)| *sum += load);
            }
        }
        Ok(Some(Balance::batch(self.balance, &loads, router.chosen)))
    }
}

impl Learnt {
    /// The figures of the step, under the names that TRL has for them; `tokens` and `epoch` are those of the whole training
    /// so far.
    #[must_use]
    pub fn metrics(&self, lr: f64, tokens: u64, epoch: f64) -> Metrics {
        let targets = self.targets.max(1.0);
        let mut metrics = figures([
            ("mean_token_accuracy", self.hits / targets),
            ("entropy", self.entropy / targets),
            ("num_tokens", tokens as f64),
            ("epoch", epoch),
        ]);
        metrics.extend(self.balance.map(|balance| ("aux_loss".into(), balance)));
        let mut all = self.update.metrics(lr);
        all.splice(1..1, metrics);
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        base::rng::Stream,
        model::{Config, Gradients, gradients},
        stages::part::Example,
    };

    /// A fresh model of a fixture's sizes; DeepSeek-V3 with a layer that looks ahead.
    fn model(name: &str) -> Transformer {
        let path = format!("{}/tests/fixtures/{name}/config.json", env!("CARGO_MANIFEST_DIR"));
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        if name.starts_with("dsv3") {
            config["num_nextn_predict_layers"] = json!(1);
        }
        config["initializer_range"] = json!(0.1);
        Transformer::init(Config::from_json(&config).unwrap(), 3).unwrap()
    }

    fn models() -> [Transformer; 2] {
        [model("dsv3_group"), model("qwen3_moe")]
    }

    /// Conversations of several lengths, of which one stretch is learnt or two.
    fn batch() -> Vec<Example> {
        let stream = Stream::new(9, "batch");
        let example = |row: u64| {
            let length = 4 + stream.below(20, row, 1000);
            let ids = (0..length).map(|at| stream.below(50, row, at) as u32).collect();
            let length = length as usize;
            let middle = length / 2;
            let learnt = [1..3, middle + 2..length].into_iter().skip(usize::from(row.is_multiple_of(3))).collect();
            Example { ids, learnt }
        };
        (0..23).map(example).collect()
    }

    /// The gradients and the loss of a batch that is computed in so many parts.
    fn learn(likelihood: Likelihood, model: &Transformer, count: usize) -> (Gradients, f64) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let batch = batch();
        let parts: Vec<Part> = batch.chunks(batch.len().div_ceil(count)).flat_map(parts).collect();
        assert_eq!(parts.len(), count);
        let targets = parts.iter().map(|it| it.targets.len()).sum();
        let balance = likelihood.balance(model, &pool, batch.len(), &parts).unwrap();
        let loss = |part: &Part| Ok(likelihood.part_loss(model, part, targets, balance.clone())?.0);
        let found = gradients(model, &pool, &parts, loss).unwrap();
        let loss = found.losses.iter().map(|it| f64::from(*it)).sum();
        (found, loss)
    }

    /// The larger of two gradients' greatest difference, over the greatest of their numbers.
    fn difference(one: &Gradients, other: &Gradients) -> f32 {
        let largest = one.tensors.iter().flatten().fold(0.0_f32, |most, it| most.max(it.abs()));
        let pairs = one.tensors.iter().flatten().zip(other.tensors.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
    }

    #[test]
    fn micro_batches_and_sequences_alone_learn_what_the_whole_batch_does() {
        for mut model in models() {
            model.update_router_bias(&learn(Likelihood::default(), &model, 1).0.loads, 0.02);
            for likelihood in [Likelihood::default(), Likelihood { ahead: 0.3, balance: 0.5 }] {
                let (whole, loss) = learn(likelihood, &model, 1);
                for count in [4, 23] {
                    let (found, found_loss) = learn(likelihood, &model, count);
                    assert!((loss - found_loss).abs() < 1e-5 * loss, "{loss} {found_loss}");
                    assert!(difference(&whole, &found) < 1e-5, "{}", difference(&whole, &found));
                    // Routers are moved by the load of the whole batch.
                    assert_eq!(whole.loads, found.loads);
                }
            }
        }
    }

    #[test]
    fn a_balance_loss_pulls_on_the_routers_and_on_what_feeds_them() {
        for model in models() {
            let plain = learn(Likelihood::default(), &model, 1);
            let pulled = learn(Likelihood { balance: 0.5, ..Default::default() }, &model, 1);
            assert!(pulled.1 > plain.1 + 0.4, "{} {}", pulled.1, plain.1);
            assert!(difference(&plain.0, &pulled.0) > 1e-2);
        }
    }

    #[test]
    fn dense_models_have_nothing_to_balance() {
        let model = model("llama");
        let plain = learn(Likelihood::default(), &model, 1);
        assert_eq!(learn(Likelihood { ahead: 0.3, balance: 0.5 }, &model, 1).0, plain.0);
    }
}
