//! Maximum likelihood: one step on the mean negative log-probability of the tokens that are learnt.

use rayon::ThreadPool;

use crate::{
    model::PartLoss,
    stages::{
        StageError,
        part::{Sequence, parts},
        trainer::{Trainer, Update},
    },
};

/// Takes one optimiser step on a batch; every learnt token of the batch weighs the same, whichever part it falls in.
pub fn step(trainer: &mut Trainer, pool: &ThreadPool, lr: f64, sequences: &[Sequence]) -> Result<Update, StageError> {
    step_ahead(trainer, pool, lr, sequences, 0.0)
}

/// As [`step`], with the loss of the layers that predict tokens farther ahead, times a weight (DeepSeek-V3, equation 25).
pub fn step_ahead(
    trainer: &mut Trainer,
    pool: &ThreadPool,
    lr: f64,
    sequences: &[Sequence],
    weight: f64,
) -> Result<Update, StageError> {
    let parts = parts(sequences);
    let targets: usize = sequences.iter().map(Sequence::targets).sum();
    let scale = -1.0 / targets.max(1) as f64;
    trainer.step(pool, lr, &parts, |model, part| {
        if weight > 0.0 && model.config().layers_ahead() > 0 {
            let scored = model.log_probs_ahead(&part.packed, &part.rows, &part.targets)?;
            return Ok(PartLoss { loss: scored.loss(targets, weight)?, loads: scored.next.loads });
        }
        let scored = model.log_probs(&part.packed, &part.rows, &part.targets)?;
        Ok(PartLoss { loss: (scored.log_probs.sum_all()? * scale)?, loads: scored.loads })
    })
}
