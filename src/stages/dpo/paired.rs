//! One step on pairs of answers.

use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;

use super::{
    loss::{Answer, Settings},
    reference::Reference,
};
use crate::{
    model::PartLoss,
    stages::{
        StageError,
        context::{Metrics, figures},
        part::{Part, Sequence, grouped_parts},
        preference::Couple,
        slopes::with_slopes,
        trainer::{Trainer, Update},
    },
};

/// How pairs are learnt from.
pub struct Paired<'a> {
    pub pool: &'a ThreadPool,
    pub settings: Settings,
    /// The weight of the mean negative log-probability of the preferred answers' tokens beside the loss.
    pub likelihood: f64,
}

/// What a pair came to.
#[derive(Clone, Copy, Default)]
struct Seen {
    loss: f64,
    /// The log-probability of all tokens whose likelihood counts.
    likelihood: f64,
    rewards: [f64; 2],
    log_probs: [f64; 2],
}

impl Paired<'_> {
    pub fn step(
        &self,
        trainer: &mut Trainer,
        reference: &mut Reference,
        rows: &[Couple],
        chosen: &[usize],
        lr: f64,
    ) -> Result<Metrics, StageError> {
        let both = |row: usize| {
            let couple = rows.get(row);
            couple.map(|it| vec![it.chosen.clone(), it.rejected.clone()]).unwrap_or_default()
        };
        let references = reference.of(self.pool, chosen, &both)?;
        let mut groups: Vec<Vec<Sequence>> = chosen.iter().map(|row| both(*row)).collect();
        let lengths: Vec<Vec<usize>> = groups.iter().map(|it| it.iter().map(Sequence::targets).collect()).collect();
        if self.settings.loss.learns_prompts() {
            groups.iter_mut().filter_map(|it| it.first_mut()).for_each(|it| it.from = 0);
        }
        let likely: usize = groups.iter().filter_map(|it| it.first()).map(Sequence::targets).sum();
        let weight = self.likelihood / likely.max(1) as f64;
        let share = 1.0 / chosen.len().max(1) as f64;
        let parts: Vec<(usize, Part)> = grouped_parts(&groups).into_iter().enumerate().collect();
        let seen = Mutex::new(vec![Vec::new(); parts.len()]);
        let update = trainer.step(self.pool, lr, &parts, |model, (index, part)| {
            let scored = model.log_probs(&part.packed, &part.rows, &part.targets)?;
            let new: Vec<f64> = scored.log_probs.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
            let mut slopes = Vec::with_capacity(new.len());
            let (mut value, mut of_part) = (0.0, Vec::with_capacity(part.groups.len()));
            let mut rest = new.as_slice();
            let mut next = |length: usize| {
                let (own, others) = rest.split_at(length.min(rest.len()));
                rest = others;
                own
            };
            for (pair, group) in part.sequences.chunks(2).zip(&part.groups) {
                let [(_, first), (_, second)] = pair else { continue };
                let (first, second) = (next(*first), next(*second));
                let asked = references.get(*group).map(Vec::as_slice).unwrap_or_default();
                let tokens = lengths.get(*group).map(Vec::as_slice).unwrap_or_default();
                let (pair, slope) = self.of_pair([first, second], asked, tokens);
                let before = first.len() - tokens.first().copied().unwrap_or_default().min(first.len());
                slopes.extend((0..first.len()).map(|at| {
                    let own = if at < before { 0.0 } else { share * slope[0] };
                    (own - weight) as f32
                }));
                slopes.extend(std::iter::repeat_n((share * slope[1]) as f32, second.len()));
                value += share * pair.loss - weight * pair.likelihood;
                of_part.push(pair);
            }
            if let Some(place) = seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*index) {
                *place = of_part;
            }
            Ok(PartLoss { loss: with_slopes(&scored.log_probs, slopes, value)?, loads: scored.loads })
        })?;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner).concat();
        Ok(self.metrics(update, &seen, likely, lr))
    }

    /// What a pair comes to, and the derivatives of its loss by the sums of its two answers' log-probabilities.
    fn of_pair(&self, found: [&[f64]; 2], references: &[f64], tokens: &[usize]) -> (Seen, [f64; 2]) {
        let answer = |at: usize| {
            let (own, length) = (found[at], tokens.get(at).copied().unwrap_or_default());
            // The prompt comes before the answer, where it is learnt.
            let answer = own.get(own.len() - length.min(own.len())..).unwrap_or_default();
            let reference = references.get(at).copied().unwrap_or_default();
            Answer { policy: answer.iter().sum(), reference, tokens: length as f64 }
        };
        let answers = [answer(0), answer(1)];
        let of_pair = self.settings.of_pair(answers[0], answers[1]);
        let seen = Seen {
            loss: of_pair.loss,
            likelihood: found[0].iter().sum(),
            rewards: answers.map(|it| self.settings.reward(it)),
            log_probs: answers.map(|it| it.policy),
        };
        (seen, [of_pair.chosen, of_pair.rejected])
    }

    fn metrics(&self, update: Update, seen: &[Seen], likely: usize, lr: f64) -> Metrics {
        let mean = |of: &dyn Fn(&Seen) -> f64| seen.iter().map(of).sum::<f64>() / seen.len().max(1) as f64;
        let unlikelihood = -seen.iter().map(|it| it.likelihood).sum::<f64>() / likely.max(1) as f64;
        let loss = mean(&|it| it.loss) + self.likelihood * unlikelihood;
        let mut metrics = Update { loss, ..update }.metrics(lr);
        metrics.extend(figures([
            ("rewards/chosen", mean(&|it| it.rewards[0])),
            ("rewards/rejected", mean(&|it| it.rewards[1])),
            ("rewards/accuracies", mean(&|it| f64::from(u8::from(it.rewards[0] > it.rewards[1])))),
            ("rewards/margins", mean(&|it| it.rewards[0] - it.rewards[1])),
            ("logps/chosen", mean(&|it| it.log_probs[0])),
            ("logps/rejected", mean(&|it| it.log_probs[1])),
        ]));
        if self.likelihood > 0.0 {
            metrics.push(("nll_loss".into(), unlikelihood));
        }
        metrics
    }
}
