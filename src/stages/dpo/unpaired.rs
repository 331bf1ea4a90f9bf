//! One step on answers one by one.

use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;

use super::{
    loss::{Answer, Loss, Settings},
    reference::{Reference, sums},
};
use crate::{
    model::{PartLoss, Transformer},
    stages::{
        StageError,
        context::Metrics,
        part::{Part, Sequence, parts},
        preference::Rated,
        slopes::with_slopes,
        trainer::{Trainer, Update},
    },
};

/// How answers are learnt from.
pub struct Unpaired<'a> {
    pub pool: &'a ThreadPool,
    pub settings: Settings,
}

/// What an answer came to.
#[derive(Clone, Copy)]
struct Seen {
    good: bool,
    loss: f64,
    reward: f64,
    log_prob: f64,
}

impl Unpaired<'_> {
    pub fn step(
        &self,
        trainer: &mut Trainer,
        reference: &mut Reference,
        rows: &[Rated],
        chosen: &[usize],
        lr: f64,
    ) -> Result<Metrics, StageError> {
        let own = |row: usize| rows.get(row).map(|it| vec![it.answer.clone()]).unwrap_or_default();
        let batch: Vec<&Rated> = chosen.iter().filter_map(|row| rows.get(*row)).collect();
        let divergence = match self.settings.loss {
            Loss::Kto => self.divergence(&trainer.model, reference.model(), &batch)?,
            _ => 0.0,
        };
        let references = reference.of(self.pool, chosen, &own)?;
        let sequences: Vec<Sequence> = batch.iter().map(|it| it.answer.clone()).collect();
        let share = 1.0 / batch.len().max(1) as f64;
        let parts: Vec<(usize, Part)> = parts(&sequences).into_iter().enumerate().collect();
        let seen = Mutex::new(vec![Vec::new(); parts.len()]);
        let update = trainer.step(self.pool, lr, &parts, |model, (index, part)| {
            let scored = model.log_probs(&part.packed, &part.rows, &part.targets)?;
            let new: Vec<f64> = scored.log_probs.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
            let mut slopes = Vec::with_capacity(new.len());
            let (mut value, mut of_part) = (0.0, Vec::with_capacity(part.sequences.len()));
            let mut rest = new.as_slice();
            for (at, length) in &part.sequences {
                let (own, others) = rest.split_at((*length).min(rest.len()));
                rest = others;
                let said = references.get(*at).and_then(|it| it.first()).copied().unwrap_or_default();
                let answer = Answer { policy: own.iter().sum(), reference: said, tokens: *length as f64 };
                let good = batch.get(*at).is_some_and(|it| it.good);
                let (loss, slope) = self.settings.of_answer(answer, good, divergence);
                slopes.extend(std::iter::repeat_n((share * slope) as f32, own.len()));
                value += share * loss;
                of_part.push(Seen { good, loss, reward: self.settings.reward(answer), log_prob: answer.policy });
            }
            if let Some(place) = seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*index) {
                *place = of_part;
            }
            Ok(PartLoss { loss: with_slopes(&scored.log_probs, slopes, value)?, loads: scored.loads })
        })?;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner).concat();
        Ok(self.metrics(update, &seen, divergence, lr))
    }

    /// How far the model has gone from the reference on answers that belong to other prompts: each prompt of the batch with
    /// the answer of the row before it. No gradient flows through it, and it is never below nought.
    fn divergence(
        &self,
        model: &Transformer,
        reference: Option<&Transformer>,
        batch: &[&Rated],
    ) -> Result<f64, StageError> {
        let Some(reference) = reference else { return Ok(0.0) };
        let before = batch.iter().cycle().skip(batch.len().saturating_sub(1));
        let crossed = batch.iter().zip(before).map(|(row, other)| {
            let prompt = row.answer.ids.iter().take(row.answer.from);
            let answer = other.answer.ids.iter().skip(other.answer.from);
            Sequence { ids: prompt.chain(answer).copied().collect(), from: row.answer.from }
        });
        let crossed: Vec<Sequence> = crossed.collect();
        let (new, old) = (sums(model, self.pool, &crossed)?, sums(reference, self.pool, &crossed)?);
        let gone = new.iter().zip(&old).map(|(new, old)| new - old).sum::<f64>() / crossed.len().max(1) as f64;
        Ok(gone.max(0.0))
    }

    fn metrics(&self, update: Update, seen: &[Seen], divergence: f64, lr: f64) -> Metrics {
        let loss = seen.iter().map(|it| it.loss).sum::<f64>() / seen.len().max(1) as f64;
        let mut metrics = Update { loss, ..update }.metrics(lr);
        if self.settings.loss == Loss::Kto {
            metrics.push(("kl".into(), divergence));
        }
        // A batch may hold answers of one sort only.
        let mean = |good: bool, of: &dyn Fn(&Seen) -> f64| {
            let values: Vec<f64> = seen.iter().filter(|it| it.good == good).map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let (chosen, rejected) = (mean(true, &|it| it.reward), mean(false, &|it| it.reward));
        let margin = chosen.zip(rejected).map(|(chosen, rejected)| chosen - rejected);
        let figures = [
            ("rewards/chosen", chosen),
            ("rewards/rejected", rejected),
            ("rewards/margins", margin),
            ("logps/chosen", mean(true, &|it| it.log_prob)),
            ("logps/rejected", mean(false, &|it| it.log_prob)),
        ];
        metrics.extend(figures.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
        metrics
    }
}
