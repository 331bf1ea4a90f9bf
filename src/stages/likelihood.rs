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
    let parts = parts(sequences);
    let targets: usize = sequences.iter().map(Sequence::targets).sum();
    let scale = -1.0 / targets.max(1) as f64;
    trainer.step(pool, lr, &parts, |model, part| {
        let scored = model.log_probs(&part.packed, &part.rows, &part.targets)?;
        Ok(PartLoss { loss: (scored.log_probs.sum_all()? * scale)?, loads: scored.loads })
    })
}
